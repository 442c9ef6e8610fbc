//! JSON's strings, both ways: what an event says is escaped, what an action says is unescaped.
//!
//! Most text has nothing to escape, so both directions look for the next byte that matters a block at a time, and
//! copy whole runs.

use alloc::{borrow::Cow, string::String, vec::Vec};

/// How a byte below U+0020 is written: as `JSON.stringify` does.
const CONTROLS: [&str; 32] = [
    r"\u0000", r"\u0001", r"\u0002", r"\u0003", r"\u0004", r"\u0005", r"\u0006", r"\u0007", //
    r"\b", r"\t", r"\n", r"\u000b", r"\f", r"\r", r"\u000e", r"\u000f", //
    r"\u0010", r"\u0011", r"\u0012", r"\u0013", r"\u0014", r"\u0015", r"\u0016", r"\u0017", //
    r"\u0018", r"\u0019", r"\u001a", r"\u001b", r"\u001c", r"\u001d", r"\u001e", r"\u001f",
];

/// What text can be appended to.
pub(super) trait PushText {
    fn push_text(&mut self, text: &str);
}

impl PushText for String {
    fn push_text(&mut self, text: &str) {
        self.push_str(text);
    }
}

impl PushText for Vec<u8> {
    fn push_text(&mut self, text: &str) {
        self.extend_from_slice(text.as_bytes());
    }
}

/// Appends `text` as a JSON string, its quotes included, as `JSON.stringify` writes it.
pub(super) fn write_string(text: &str, out: &mut impl PushText) {
    out.push_text("\"");
    let mut rest = text;
    loop {
        let (plain, tail) = split_plain(rest);
        out.push_text(plain);
        let mut tail = tail.chars();
        match tail.next() {
            None => break,
            Some('"') => out.push_text(r#"\""#),
            Some('\\') => out.push_text(r"\\"),
            Some(control) => out.push_text(CONTROLS.get(control as usize).copied().unwrap_or_default()),
        }
        rest = tail.as_str();
    }
    out.push_text("\"");
}

/// The text up to the first byte that does not stand for itself, and the rest. That byte is ASCII, so it is at a
/// character's edge.
fn split_plain(text: &str) -> (&str, &str) {
    text.split_at_checked(plain_len(text.as_bytes())).unwrap_or((text, ""))
}

/// Two words. Most strings end before, and so do most runs of JSON that stands in a string: no block is looked at in vain.
const SHORT: usize = 16;

/// How many bytes at the front stand for themselves in a JSON string: none of them is a quote, a backslash or a
/// control character.
pub(super) fn plain_len(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    let plain = loop {
        let Some((word, tail)) = rest.split_first_chunk() else {
            let special = rest.iter().position(|&byte| !is_plain(byte));
            break special.unwrap_or(rest.len());
        };
        let hits = special_bytes(u64::from_le_bytes(*word));
        if hits != 0 {
            break hits.trailing_zeros() as usize / 8;
        }
        let passed = bytes.len().saturating_sub(tail.len());
        rest = if passed == SHORT { skip_plain_blocks(tail) } else { tail };
    };
    bytes.len().saturating_sub(rest.len()).saturating_add(plain)
}

/// What follows the blocks at the front in which each byte stands for itself. The loop is one that compilers turn into
/// vector instructions.
fn skip_plain_blocks(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let Some((block, tail)) = rest.split_first_chunk::<32>()
        && block.iter().fold(true, |all, &byte| all & is_plain(byte))
    {
        rest = tail;
    }
    rest
}

fn is_plain(byte: u8) -> bool {
    (byte >= b' ') & (byte != b'"') & (byte != b'\\')
}

/// Marks the bytes of `word` that do not stand for themselves, each in its top bit.
///
/// A subtraction may borrow from the byte above one that is marked, so only the lowest mark is sure: the one that
/// [`plain_len`] looks at.
fn special_bytes(word: u64) -> u64 {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    let below = |word: u64, limit: u8| word.wrapping_sub(u64::from_le_bytes([limit; 8])) & !word;
    let equal = |byte: u8| below(word ^ u64::from_le_bytes([byte; 8]), 1);
    (below(word, b' ') | equal(b'"') | equal(b'\\')) & (EACH << 7)
}

/// What stands between the quotes of a string whose grammar has been checked.
#[derive(Clone, Copy)]
pub(super) struct RawString<'a> {
    pub(super) content: &'a str,
    /// Whether there is a backslash in it.
    pub(super) escaped: bool,
}

impl<'a> RawString<'a> {
    /// What the string says; an escaped lone surrogate, which UTF-8 has no place for, becomes U+FFFD.
    pub(super) fn text(self) -> Cow<'a, str> {
        if self.escaped { Cow::Owned(unescape(self.content).0) } else { Cow::Borrowed(self.content) }
    }

    /// What the string says; `None` if it has a lone surrogate.
    pub(super) fn exact_text(self) -> Option<Cow<'a, str>> {
        if !self.escaped {
            return Some(Cow::Borrowed(self.content));
        }
        let (text, lone_surrogates) = unescape(self.content);
        (!lone_surrogates).then_some(Cow::Owned(text))
    }
}

/// The text, and whether there was a lone surrogate in it.
fn unescape(content: &str) -> (String, bool) {
    let mut text = String::with_capacity(content.len());
    let mut lone_surrogates = false;
    let mut rest = content;
    loop {
        let (plain, tail) = split_plain(rest);
        text.push_str(plain);
        let Some(escape) = tail.strip_prefix('\\') else { break };
        let (character, tail) = unescape_one(escape);
        text.push(character.unwrap_or(char::REPLACEMENT_CHARACTER));
        lone_surrogates |= character.is_none();
        rest = tail;
    }
    (text, lone_surrogates)
}

/// The character that `escape` begins with, the backslash being off already, and what follows it. `None` for a lone
/// surrogate.
fn unescape_one(escape: &str) -> (Option<char>, &str) {
    let mut chars = escape.chars();
    let character = match chars.next() {
        Some('u') => return unescape_unicode(chars.as_str()),
        Some('b') => Some('\u{8}'),
        Some('t') => Some('\t'),
        Some('n') => Some('\n'),
        Some('f') => Some('\u{c}'),
        Some('r') => Some('\r'),
        itself => itself,
    };
    (character, chars.as_str())
}

/// The same after `\u`. Two escapes that are a surrogate pair are one character.
fn unescape_unicode(digits: &str) -> (Option<char>, &str) {
    let (first, rest) = code_unit(digits);
    if let 0xd800..=0xdbff = first
        && let Some(digits) = rest.strip_prefix("\\u")
        && let (second @ 0xdc00..=0xdfff, rest) = code_unit(digits)
    {
        return (char::decode_utf16([first, second]).next().and_then(Result::ok), rest);
    }
    (char::from_u32(first.into()), rest)
}

/// Four hexadecimal digits, and what follows them. That they are there has been checked.
fn code_unit(text: &str) -> (u16, &str) {
    let (digits, rest) = text.split_at_checked(4).unwrap_or((text, ""));
    (u16::from_str_radix(digits, 16).unwrap_or(0xfffd), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_at_the_first_byte_that_matters_wherever_it_stands() {
        for byte in 0..=255u8 {
            let special = byte < 0x20 || byte == b'"' || byte == b'\\';
            // The neighbours are those that a borrow would mark wrongly.
            for neighbour in [b' ', b'#', b']', 0x7f, 0x80, 0xff] {
                for at in 0..100 {
                    let mut bytes = [neighbour; 100];
                    bytes[at] = byte;
                    assert_eq!(plain_len(&bytes), if special { at } else { 100 }, "{byte} at {at}");
                }
            }
        }
    }

    #[test]
    fn lone_surrogates_are_replaced_one_by_one_and_pairs_are_joined() {
        let text = |content| RawString { content, escaped: true }.text();
        assert_eq!(text(r"\ud83d\ude00"), "😀");
        assert_eq!(text(r"\ud83d\ud83d\ude00\ude00"), "\u{fffd}😀\u{fffd}");
        assert_eq!(text(r"\uDC00\uD800"), "\u{fffd}\u{fffd}");
        assert_eq!(text(r"\ud800A\n"), "\u{fffd}A\n");
        assert_eq!(text(r"\ud800\u0041"), "\u{fffd}A");
        assert_eq!(text(r#"\"\\\/\b\t\n\f\r"#), "\"\\/\u{8}\t\n\u{c}\r");
    }
}
