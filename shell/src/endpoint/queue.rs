//! Bytes that wait for a socket.

use std::{
    io,
    task::{Context, Poll},
};

use crate::stream::Stream;

/// A queue of frames as bytes. Empty, it holds no memory beyond `KEEP_BYTES`.
#[derive(Debug)]
pub(super) struct Queue {
    /// Begins at the edge of a frame.
    bytes: Vec<u8>,
    /// How many of them have gone out.
    written: usize,
    /// What an empty queue may keep allocated.
    keep: usize,
    /// All bytes that have left the queue: written, or dropped.
    gone: u64,
    /// Whether the connection still holds some of what was written.
    unflushed: bool,
}

/// The answers to a peer's Pings, in their order. Only so many are due and so many queued at a time; of the Pings that
/// are more, only the newest is answered (RFC 6455, section 5.5.3), so that no flood of Pings can fill a queue.
#[derive(Debug)]
pub(super) struct Pongs {
    due: Vec<Box<[u8]>>,
    max: u8,
    /// How many were queued since the queue last held none.
    queued: u8,
    /// Where in the queue the last one ends.
    queued_to: u64,
}

impl Pongs {
    /// At most `max` are due, and `max` queued: with its header, each takes 131 bytes at the most.
    pub(super) const fn new(max: u8) -> Self {
        Pongs { due: Vec::new(), max, queued: 0, queued_to: 0 }
    }

    /// A Ping has come.
    pub(super) fn note(&mut self, payload: &[u8]) {
        if self.due.len() >= usize::from(self.max) {
            self.due.pop();
        }
        self.due.push(payload.into());
    }

    /// The payload of the Pong that is to be queued now.
    pub(super) fn next(&mut self, queue: &Queue) -> Option<Box<[u8]>> {
        if queue.out() >= self.queued_to {
            self.queued = 0;
        }
        if self.due.is_empty() || self.queued >= self.max {
            return None;
        }
        let payload = self.due.remove(0);
        if self.due.is_empty() {
            self.due = Vec::new();
        }
        Some(payload)
    }

    /// It is the last frame of the queue.
    pub(super) fn queued(&mut self, queue: &Queue) {
        self.queued += 1;
        self.queued_to = queue.end();
    }
}

/// From here on, what has gone out is cut off before the rest has.
const COMPACT_BYTES: usize = 64 << 10;

impl Queue {
    pub(super) const fn new(keep: usize) -> Self {
        Queue { bytes: Vec::new(), written: 0, keep, gone: 0, unflushed: false }
    }

    /// Whether everything is with the system.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && !self.unflushed
    }

    /// Where it ends, counted in bytes from its beginning.
    pub(super) fn end(&self) -> u64 {
        self.gone + self.bytes.len() as u64
    }

    /// Up to where it has gone out, counted likewise.
    pub(super) fn out(&self) -> u64 {
        self.gone + self.written as u64
    }

    /// Where frames are appended.
    pub(super) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Writes as much as the socket takes now. Returns how many bytes that were.
    pub(super) fn write(&mut self, stream: &Stream, cx: &mut Context<'_>) -> io::Result<usize> {
        let before = self.written;
        while self.written < self.bytes.len() {
            match stream.poll_write(cx, &self.bytes[self.written..]) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(bytes)) => self.written += bytes,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        let sent = self.written - before;
        if sent > 0 || self.unflushed {
            self.unflushed = stream.poll_flush(cx)?.is_pending();
        }
        self.tidy();
        Ok(sent)
    }

    /// Gives back what has gone out. What is moved is never more than that, so it stays cheap.
    fn tidy(&mut self) {
        if self.written == self.bytes.len() {
            self.drop_all();
        } else if self.written >= COMPACT_BYTES && self.written >= self.bytes.len() / 2 {
            let whole = self.whole_frames_written();
            self.bytes.drain(..whole);
            self.written -= whole;
            self.gone += whole as u64;
        }
    }

    /// Forgets everything, what the connection holds too.
    pub(super) fn clear(&mut self) {
        self.unflushed = false;
        self.drop_all();
    }

    fn drop_all(&mut self) {
        self.gone += self.bytes.len() as u64;
        self.written = 0;
        if self.bytes.capacity() > self.keep {
            self.bytes = Vec::new();
        } else {
            self.bytes.clear();
        }
    }

    /// Drops all but the frame of which a part has gone out.
    pub(super) fn drop_unbegun(&mut self) {
        let mut end = self.whole_frames_written();
        if end < self.written {
            end += frame_len(&self.bytes[end..]);
        }
        self.bytes.truncate(end);
        self.tidy();
    }

    /// The size of the frames that have gone out whole.
    fn whole_frames_written(&self) -> usize {
        let mut end = 0;
        loop {
            let next = end + frame_len(&self.bytes[end..]);
            if next > self.written || next == end {
                return end;
            }
            end = next;
        }
    }
}

/// The size of the first frame in `bytes`, which are frames as this gateway writes them.
fn frame_len(bytes: &[u8]) -> usize {
    let masked = |second: u8| if second & 0x80 != 0 { 4 } else { 0 };
    let len = match *bytes {
        [_, second, a, b, ..] if second & 0x7f == 126 => {
            4 + masked(second) + usize::from(u16::from_be_bytes([a, b]))
        }
        [_, second, a, b, c, d, e, f, g, h, ..] if second & 0x7f == 127 => {
            10 + masked(second) + u64::from_be_bytes([a, b, c, d, e, f, g, h]) as usize
        }
        [_, second, ..] => 2 + masked(second) + usize::from(second & 0x7f),
        _ => 0,
    };
    len.min(bytes.len())
}
