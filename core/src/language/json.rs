//! JSON's grammar (RFC 8259), read in one pass: what is wanted is handed out as slices of the frame, what is not is
//! checked and passed over.
//!
//! Nothing here recurses or allocates, so a frame costs no more than its length, whatever it nests.

use super::{BadAction, string::RawString, string::plain_len};

/// How many objects and arrays may stand within each other, the frame's own object included.
const DEPTH_MAX: u32 = 127;

/// One value of the frame.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    /// Its JSON text as it stands, without the white space around it.
    pub(super) json: &'a str,
    pub(super) kind: Kind<'a>,
}

/// What kind of value it is, as far as any field cares.
#[derive(Clone, Copy)]
pub(super) enum Kind<'a> {
    Null,
    String(RawString<'a>),
    /// A number without fraction and exponent.
    Integer,
    Other,
}

impl<'a> Value<'a> {
    pub(super) fn as_string(self) -> Option<RawString<'a>> {
        if let Kind::String(string) = self.kind { Some(string) } else { None }
    }

    pub(super) fn is_null(self) -> bool {
        matches!(self.kind, Kind::Null)
    }
}

/// Where in the frame the reading stands.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Reader { text, at: 0 }
    }

    /// Reads an object; `member` is given each key in turn, and reads the value.
    pub(super) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, RawString<'a>) -> Result<(), BadAction>,
    ) -> Result<(), BadAction> {
        self.require(b'{')?;
        self.space();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let key = self.key()?;
            member(self, key)?;
            self.space();
            if self.take(b'}') {
                return Ok(());
            }
            self.require(b',')?;
            self.space();
        }
    }

    /// Reads any value, within `depth` open objects and arrays.
    pub(super) fn value(&mut self, depth: u32) -> Result<Value<'a>, BadAction> {
        let start = self.at;
        let kind = match self.peek() {
            Some(b'{' | b'[') => self.container(depth)?,
            _ => self.scalar()?,
        };
        Ok(Value { json: self.since(start), kind })
    }

    /// Passes over white space.
    pub(super) fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.pass(1);
        }
    }

    /// Requires that nothing but white space follows.
    pub(super) fn end(&mut self) -> Result<(), BadAction> {
        self.space();
        if self.peek().is_none() { Ok(()) } else { Err(BadAction::NotJson) }
    }

    /// The next byte.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Passes over an object or an array, and all that is in it.
    fn container(&mut self, depth: u32) -> Result<Kind<'a>, BadAction> {
        let mut nesting = Nesting::within(depth);
        loop {
            // A value is due.
            if let Some(opening @ (b'{' | b'[')) = self.peek() {
                nesting.enter(opening)?;
                self.pass(1);
                self.space();
                if self.peek() != Some(nesting.closing()) {
                    self.key_if_due(&nesting)?;
                    continue;
                }
            } else {
                self.scalar()?;
            }
            // It is over, or it is empty and its closing bracket follows.
            self.space();
            while self.take(nesting.closing()) {
                nesting.leave();
                if nesting.is_over() {
                    return Ok(Kind::Other);
                }
                self.space();
            }
            self.require(b',')?;
            self.space();
            self.key_if_due(&nesting)?;
        }
    }

    fn key_if_due(&mut self, nesting: &Nesting) -> Result<(), BadAction> {
        if nesting.in_object() { self.key().map(drop) } else { Ok(()) }
    }

    /// A key and its colon, up to the value.
    fn key(&mut self) -> Result<RawString<'a>, BadAction> {
        let key = self.string()?;
        self.space();
        self.require(b':')?;
        self.space();
        Ok(key)
    }

    fn scalar(&mut self) -> Result<Kind<'a>, BadAction> {
        match self.peek() {
            Some(b'"') => self.string().map(Kind::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'n') => self.word("null", Kind::Null),
            Some(b't') => self.word("true", Kind::Other),
            Some(b'f') => self.word("false", Kind::Other),
            _ => Err(BadAction::NotJson),
        }
    }

    fn string(&mut self) -> Result<RawString<'a>, BadAction> {
        self.require(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.pass(plain_len(self.rest()));
            match self.peek() {
                Some(b'"') => {
                    let content = self.since(start);
                    self.pass(1);
                    return Ok(RawString { content, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                // A control character, or the end.
                _ => return Err(BadAction::NotJson),
            }
        }
    }

    /// A backslash and what it makes something else of. Surrogates need not come in pairs.
    fn escape(&mut self) -> Result<(), BadAction> {
        let bytes = match self.rest() {
            [_, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 2,
            [_, b'u', digits @ ..] => match digits.first_chunk::<4>() {
                Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => 6,
                _ => return Err(BadAction::NotJson),
            },
            _ => return Err(BadAction::NotJson),
        };
        self.pass(bytes);
        Ok(())
    }

    /// A number of any size: what it is worth is not asked.
    fn number(&mut self) -> Result<Kind<'a>, BadAction> {
        let mut kind = Kind::Integer;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            kind = Kind::Other;
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            kind = Kind::Other;
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(kind)
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), BadAction> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.pass(1);
        }
        if self.at > start { Ok(()) } else { Err(BadAction::NotJson) }
    }

    fn word(&mut self, word: &str, kind: Kind<'a>) -> Result<Kind<'a>, BadAction> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(BadAction::NotJson);
        }
        self.pass(word.len());
        Ok(kind)
    }

    /// Passes over the next byte if it is this one.
    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.pass(usize::from(is_next));
        is_next
    }

    fn require(&mut self, byte: u8) -> Result<(), BadAction> {
        if self.take(byte) { Ok(()) } else { Err(BadAction::NotJson) }
    }

    /// Passes over so many bytes, which have been seen: so `at` is never beyond the end.
    fn pass(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    /// What has not been read.
    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// What has been read since `start`. Both ends are at a character's edge: each has an ASCII byte, or the end of
    /// the frame, on one of its sides.
    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }
}

/// Which objects and arrays are open: a bit for each, so that their number costs no memory.
struct Nesting {
    /// Whether it is an object, the innermost in the lowest bit.
    objects: u128,
    open: u32,
    open_max: u32,
}

impl Nesting {
    /// Nothing open yet, within `depth` that others keep.
    fn within(depth: u32) -> Self {
        Nesting { objects: 0, open: 0, open_max: DEPTH_MAX.saturating_sub(depth) }
    }

    fn enter(&mut self, opening: u8) -> Result<(), BadAction> {
        if self.open == self.open_max {
            return Err(BadAction::TooDeep);
        }
        self.open = self.open.saturating_add(1);
        self.objects = self.objects << 1 | u128::from(opening == b'{');
        Ok(())
    }

    fn leave(&mut self) {
        self.open = self.open.saturating_sub(1);
        self.objects >>= 1;
    }

    fn is_over(&self) -> bool {
        self.open == 0
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    fn closing(&self) -> u8 {
        if self.in_object() { b'}' } else { b']' }
    }
}
