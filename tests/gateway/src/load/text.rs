//! What the clients say: who says it, the how manieth it is, and a filler that differs from message to message, so that
//! an echo that is missing, doubled, out of order, altered or somebody else's is told from the one that is due.

/// Who and how many: eight hexadecimal digits each.
pub(super) const HEAD_BYTES: usize = 16;
/// The filler begins at one of this many places.
const SHIFTS: usize = 61;
/// What needs an escape in JSON, and what does not.
const PLAIN: &[u8] = b"The quick brown fox jumps over the lazy dog, 0123456789 times. ";
const MIXED: &str = "plain, \"quoted\", back\\slash, tab\t, newline\n, caf\u{e9}, \u{1f600}, </script>. ";

/// Which characters the filler has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum Charset {
    /// None that JSON escapes.
    Plain,
    /// Quotes, backslashes, control and other characters too.
    Mixed,
}

/// What is wrong with an echo.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wrong {
    /// It is an earlier one again.
    Doubled,
    /// It came before its turn.
    Reordered,
    /// It is another client's.
    Misrouted,
    /// It is no message that was sent.
    Altered,
}

/// The texts of one size.
#[derive(Clone, Debug)]
pub(super) struct Texts {
    /// One whole filler per shift, as its characters may have several bytes.
    fillers: Vec<Box<[u8]>>,
    bytes: usize,
}

impl Texts {
    /// Of messages of `bytes` bytes, at least [`HEAD_BYTES`].
    pub(super) fn new(bytes: usize, charset: Charset) -> Self {
        let source = match charset {
            Charset::Plain => String::from_utf8_lossy(PLAIN).into_owned(),
            Charset::Mixed => MIXED.to_owned(),
        };
        let want = bytes.saturating_sub(HEAD_BYTES);
        let filler = |shift: usize| {
            let endless = source.chars().cycle().skip(shift);
            let mut text = String::with_capacity(want);
            endless
                .take_while(|char| {
                    text.len() + char.len_utf8() <= want && {
                        text.push(*char);
                        true
                    }
                })
                .for_each(drop);
            // A character of several bytes that does not fit any more.
            text.extend(std::iter::repeat_n('.', want - text.len()));
            text.into_bytes().into_boxed_slice()
        };
        Texts { fillers: (0..SHIFTS).map(filler).collect(), bytes: want + HEAD_BYTES }
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends a text.
    pub(super) fn write(&self, client: u32, number: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&hex(client));
        out.extend_from_slice(&hex(number));
        out.extend_from_slice(self.filler(client, number));
    }

    /// Whether `bytes` is this client's text of this number.
    pub(super) fn check(&self, client: u32, number: u32, bytes: &[u8]) -> Result<(), Wrong> {
        let Some((head, filler)) = bytes.split_at_checked(HEAD_BYTES) else { return Err(Wrong::Altered) };
        let (who, which) = head.split_at(HEAD_BYTES / 2);
        let (Some(who), Some(which)) = (parse(who), parse(which)) else { return Err(Wrong::Altered) };
        if self.filler(who, which) != filler {
            return Err(Wrong::Altered);
        }
        match which.cmp(&number) {
            _ if who != client => Err(Wrong::Misrouted),
            std::cmp::Ordering::Less => Err(Wrong::Doubled),
            std::cmp::Ordering::Greater => Err(Wrong::Reordered),
            std::cmp::Ordering::Equal => Ok(()),
        }
    }

    fn filler(&self, client: u32, number: u32) -> &[u8] {
        &self.fillers[(client as usize * 7 + number as usize) % SHIFTS]
    }
}

fn hex(number: u32) -> [u8; HEAD_BYTES / 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|place| DIGITS[(number >> (28 - 4 * place)) as usize & 0xf])
}

fn parse(digits: &[u8]) -> Option<u32> {
    u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_told_from_the_others() {
        for charset in [Charset::Plain, Charset::Mixed] {
            let texts = Texts::new(100, charset);
            let mut text = Vec::new();
            texts.write(7, 3, &mut text);
            assert_eq!(text.len(), texts.bytes());
            assert!(str::from_utf8(&text).is_ok());
            assert_eq!(texts.check(7, 3, &text), Ok(()));
            assert_eq!(texts.check(7, 4, &text), Err(Wrong::Doubled));
            assert_eq!(texts.check(7, 2, &text), Err(Wrong::Reordered));
            assert_eq!(texts.check(8, 3, &text), Err(Wrong::Misrouted));
            text[40] ^= 1;
            assert_eq!(texts.check(7, 3, &text), Err(Wrong::Altered));
        }
    }
}
