//! What became of hostile connections, counted.

use std::{collections::BTreeMap, fmt};

/// What became of one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Outcome {
    /// It was answered with this status, and that was all.
    Answered(u16),
    /// It was let in, and closed with this code.
    Closed(u16),
    /// It was let in, and ended without a close frame.
    Ended,
    /// It was ended without an answer.
    Unanswered,
    /// It reset the connection before it had an answer.
    Reset,
    /// The gateway has not ended it in time.
    NotEnded,
    /// It could not connect.
    Unreachable(String),
}

impl Outcome {
    /// By all that the gateway said.
    pub(super) fn of(answer: &[u8]) -> Outcome {
        let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Outcome::Unanswered;
        };
        let status = answer.get(9..12).and_then(|status| str::from_utf8(status).ok()?.parse().ok());
        match status {
            // Of several answers over one connection, the last decides what happens, and the first is counted.
            Some(101) => close_code(&answer[end + 4..]).map_or(Outcome::Ended, Outcome::Closed),
            Some(status) => Outcome::Answered(status),
            None => Outcome::Unanswered,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Answered(status) => write!(f, "answered {status}"),
            Outcome::Closed(code) => write!(f, "let in, closed with {code}"),
            Outcome::Ended => f.write_str("let in, ended without a close frame"),
            Outcome::Unanswered => f.write_str("ended without an answer"),
            Outcome::Reset => f.write_str("reset by itself"),
            Outcome::NotEnded => f.write_str("NOT ENDED by the gateway in time"),
            Outcome::Unreachable(error) => write!(f, "NOT CONNECTED: {error}"),
        }
    }
}

/// The code of the close frame among these frames of a server; 1005 if it has none.
fn close_code(mut frames: &[u8]) -> Option<u16> {
    loop {
        let (&first, &second) = (frames.first()?, frames.get(1)?);
        let (len, head) = match second {
            126 => (u64::from(u16::from_be_bytes(frames.get(2..4)?.try_into().ok()?)), 4),
            127 => (u64::from_be_bytes(frames.get(2..10)?.try_into().ok()?), 10),
            len => (u64::from(len), 2),
        };
        if first & 0x0f == 8 {
            let code = frames.get(head..head + 2).filter(|_| len >= 2);
            return Some(code.map_or(1005, |code| u16::from_be_bytes([code[0], code[1]])));
        }
        frames = frames.get(head + usize::try_from(len).ok()?..)?;
    }
}

/// Counts by kind and by outcome.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) kinds: BTreeMap<&'static str, u64>,
    pub(super) outcomes: BTreeMap<Outcome, u64>,
    /// The numbers of those that the gateway has not ended, or that could not connect.
    pub(super) suspects: Vec<u64>,
}

impl Tally {
    pub(super) fn add(&mut self, number: u64, kind: &'static str, outcome: Outcome) {
        if matches!(outcome, Outcome::NotEnded | Outcome::Unreachable(_)) {
            self.suspects.push(number);
        }
        *self.kinds.entry(kind).or_default() += 1;
        *self.outcomes.entry(outcome).or_default() += 1;
    }

    pub(super) fn merge(&mut self, other: Tally) {
        for (kind, count) in other.kinds {
            *self.kinds.entry(kind).or_default() += count;
        }
        for (outcome, count) in other.outcomes {
            *self.outcomes.entry(outcome).or_default() += count;
        }
        self.suspects.extend(other.suspects);
    }

    pub(super) fn count(&self) -> u64 {
        self.kinds.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_gateway_said_tells_what_became_of_it() {
        let cases: [(&[u8], Outcome); 6] = [
            (b"", Outcome::Unanswered),
            (b"HTTP/1.1 400 Bad", Outcome::Unanswered),
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", Outcome::Answered(400)),
            (b"HTTP/1.1 101 Switching\r\n\r\n", Outcome::Ended),
            (b"HTTP/1.1 101 Switching\r\n\r\n\x81\x02hi\x88\x02\x03\xea", Outcome::Closed(1002)),
            (b"HTTP/1.1 101 Switching\r\n\r\n\x88\x00", Outcome::Closed(1005)),
        ];
        for (answer, outcome) in cases {
            assert_eq!(Outcome::of(answer), outcome, "{:?}", String::from_utf8_lossy(answer));
        }
    }
}
