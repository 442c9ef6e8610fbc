//! The least of RFC 6455 that a load needs, written anew so that a fault of the gateway's codec is not met by its twin.

pub(super) const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;
pub(super) const PONG: u8 = 10;

/// The end of an HTTP head, and what a handshake asks and gets: the example of RFC 6455, section 1.3.
pub(super) const HEAD_END: &[u8] = b"\r\n\r\n";
pub(super) const HANDSHAKE_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(super) const HANDSHAKE_ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A whole frame at the front of a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Frame {
    pub(super) opcode: u8,
    /// Where its payload begins.
    pub(super) start: usize,
    /// Where it ends.
    pub(super) end: usize,
}

/// Finds the frame at the front of `buffer` and unmasks it there; `None`: it is not complete. Neither side of the
/// load sends fragments, nor does the gateway, so a frame is a message.
pub(super) fn read(buffer: &mut [u8]) -> Option<Frame> {
    let &[first, second, ..] = &*buffer else { return None };
    let (len, mut start) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes(array(buffer, 2)?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(array(buffer, 2)?)).ok()?, 10),
        short => (usize::from(short), 2),
    };
    let key = match second & 0x80 {
        0 => None,
        _ => Some(array(buffer, start)?),
    };
    start += if key.is_some() { 4 } else { 0 };
    let end = start.checked_add(len)?;
    let payload = buffer.get_mut(start..end)?;
    if let Some(key) = key {
        mask(payload, key);
    }
    Some(Frame { opcode: first & 0x0f, start, end })
}

fn array<const N: usize>(buffer: &[u8], at: usize) -> Option<[u8; N]> {
    buffer.get(at..at + N)?.try_into().ok()
}

/// Appends a frame whose payload `fill` appends; `len` is the payload's exact size.
pub(super) fn write(
    out: &mut Vec<u8>,
    opcode: u8,
    key: Option<[u8; 4]>,
    len: usize,
    fill: impl FnOnce(&mut Vec<u8>),
) {
    write_header(out, opcode, key, len);
    let start = out.len();
    fill(out);
    debug_assert_eq!(out.len() - start, len, "the payload has the announced size");
    if let Some(key) = key {
        mask(&mut out[start..], key);
    }
}

/// Appends the header of a frame with `len` bytes of payload.
pub(super) fn write_header(out: &mut Vec<u8>, opcode: u8, key: Option<[u8; 4]>, len: usize) {
    let masked = if key.is_some() { 0x80 } else { 0 };
    out.push(0x80 | opcode);
    match len {
        0..126 => out.push(masked | len as u8),
        126..0x1_0000 => {
            out.push(masked | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    if let Some(key) = key {
        out.extend_from_slice(&key);
    }
}

/// The 101 that answers the request with this head.
pub(super) fn upgrade(head: &[u8]) -> String {
    use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

    let head = String::from_utf8_lossy(head);
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim())
    });
    let accept = derive_accept_key(key.unwrap_or_default().as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

fn mask(bytes: &mut [u8], key: [u8; 4]) {
    let wide = u128::from_ne_bytes([key, key, key, key].concat().try_into().unwrap_or_default());
    let (chunks, rest) = bytes.as_chunks_mut::<16>();
    for chunk in chunks {
        *chunk = (u128::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// Masks that differ from frame to frame and cost next to nothing (xorshift).
#[derive(Debug)]
pub(super) struct Masks(u32);

impl Masks {
    pub(super) const fn new() -> Self {
        Masks(0x9e37_79b9)
    }

    pub(super) fn next(&mut self) -> [u8; 4] {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0.to_ne_bytes()
    }
}

/// Where `needle` begins in `bytes`.
pub(super) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_with_and_without_a_mask() {
        for len in [0, 1, 17, 125, 126, 70_000] {
            for key in [None, Some([1, 2, 3, 4])] {
                let mut bytes = Vec::new();
                write(&mut bytes, TEXT, key, len, |out| out.resize(out.len() + len, b'x'));
                let whole = bytes.len();
                assert_eq!(read(&mut bytes.clone()[..whole - 1]), None);
                let frame = read(&mut bytes).expect("the frame is complete");
                assert_eq!((frame.opcode, frame.end), (TEXT, whole));
                assert!(bytes[frame.start..].iter().all(|byte| *byte == b'x'));
            }
        }
    }
}
