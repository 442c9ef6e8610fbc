//! Writing frames: header and payload go straight into the caller's buffer.

use trunkline_core::{CloseCode, REASON_BYTES_MAX};

use super::{Opcode, mask};

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;

/// Appends an unmasked frame, as a server sends it. Returns its size in bytes.
pub fn write(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) -> usize {
    let start = out.len();
    let (header, len) = header(opcode, payload.len(), None);
    out.reserve(len + payload.len());
    out.extend_from_slice(&header[..len]);
    out.extend_from_slice(payload);
    out.len() - start
}

/// Appends a masked frame, as a client sends it; `payload` appends the payload. Returns the frame's size in bytes.
///
/// `size_hint` is what the payload will probably measure: where it is no more than that, and does not need another form
/// of the length, nothing is moved.
pub fn write_masked(
    opcode: Opcode,
    key: [u8; 4],
    size_hint: usize,
    out: &mut Vec<u8>,
    payload: impl FnOnce(&mut Vec<u8>),
) -> usize {
    let start = out.len();
    let (_, room) = header(opcode, size_hint, Some(key));
    out.reserve(room + size_hint);
    out.resize(start + room, 0);
    payload(out);
    let size = out.len() - start - room;
    let (header, len) = header(opcode, size, Some(key));
    if len == room {
        out[start..start + len].copy_from_slice(&header[..len]);
    } else {
        out.splice(start..start + room, header[..len].iter().copied());
    }
    mask(&mut out[start + len..], key);
    out.len() - start
}

/// The payload of a close frame: at most 125 bytes.
pub fn close_payload(code: CloseCode, reason: &str) -> Vec<u8> {
    let mut payload = code.get().to_be_bytes().to_vec();
    payload.extend_from_slice(&reason.as_bytes()[..reason.floor_char_boundary(REASON_BYTES_MAX)]);
    payload
}

/// A final frame's header, and how many of the bytes it takes.
fn header(opcode: Opcode, size: usize, key: Option<[u8; 4]>) -> ([u8; 14], usize) {
    let mut header = [0; 14];
    let masked = if key.is_some() { MASKED } else { 0 };
    header[0] = FINAL | opcode as u8;
    let mut len = match size {
        0..126 => {
            header[1] = masked | size as u8;
            2
        }
        126..0x1_0000 => {
            header[1] = masked | 126;
            header[2..4].copy_from_slice(&(size as u16).to_be_bytes());
            4
        }
        _ => {
            header[1] = masked | 127;
            header[2..10].copy_from_slice(&(size as u64).to_be_bytes());
            10
        }
    };
    if let Some(key) = key {
        header[len..len + 4].copy_from_slice(&key);
        len += 4;
    }
    (header, len)
}
