//! How long messages take through the gateway: marks in a queue say when what ends there had come in.

use std::collections::VecDeque;

use crate::metrics::Histogram;

/// Marks at most; what comes beyond counts as if it had come with what came before it.
const MARKS_MAX: usize = 256;

/// Messages that lie in a queue, those of one turn together.
#[derive(Debug, Default)]
pub(super) struct Passage(VecDeque<Mark>);

#[derive(Clone, Copy, Debug)]
struct Mark {
    /// Where in the queue the last of them ends, counted from its beginning.
    end: u64,
    /// When they had been read, in microseconds.
    read_at: u64,
    messages: u32,
}

impl Passage {
    /// So many messages were queued, and end there.
    pub(super) fn note(&mut self, end: u64, read_at: u64, messages: u32) {
        let full = self.0.len() >= MARKS_MAX;
        match self.0.back_mut() {
            Some(last) if full || last.read_at == read_at => {
                last.end = end;
                last.messages += messages;
            }
            _ => self.0.push_back(Mark { end, read_at, messages }),
        }
    }

    /// What ends before `out` is with the system at `now`.
    pub(super) fn has_left(&mut self, out: u64, now: u64, to: &Histogram) {
        while let Some(mark) = self.0.pop_front_if(|mark| mark.end <= out) {
            to.observe(now.saturating_sub(mark.read_at), mark.messages);
        }
    }

    /// Whether nothing that would end before `out` is marked.
    pub(super) fn waits(&self, out: u64) -> bool {
        self.0.front().is_none_or(|mark| mark.end > out)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was queued is gone.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_when_the_last_byte_of_theirs_has_left() {
        let (mut passage, histogram) = (Passage::default(), Histogram::default());
        passage.note(10, 1_000, 1);
        passage.note(20, 1_000, 2);
        passage.note(25, 1_800, 1);
        passage.has_left(19, 1_100, &histogram);
        assert_eq!(histogram.buckets().iter().sum::<u64>(), 0);
        passage.has_left(24, 1_200, &histogram);
        assert_eq!((histogram.buckets()[2], passage.is_empty()), (3, false));
        passage.has_left(25, 1_801, &histogram);
        assert_eq!((histogram.buckets()[0], passage.is_empty()), (1, true));
    }

    #[test]
    fn marks_are_bounded_and_no_message_is_forgotten() {
        let (mut passage, histogram) = (Passage::default(), Histogram::default());
        (0..10_000).for_each(|turn| passage.note(turn, turn, 1));
        assert_eq!(passage.0.len(), MARKS_MAX);
        passage.has_left(10_000, 10_000, &histogram);
        assert_eq!(histogram.buckets().iter().sum::<u64>(), 10_000);
    }
}
