//! The shell's WebSocket codec: however the bytes are cut it reads the same, it reads what tungstenite reads, and what
//! it writes is read back by both.

use tokio_tungstenite::tungstenite::protocol;
use trunkline::ws::{Decoder, Fault, Item, Opcode, Role, frame};
use trunkline_core::CloseCode;

use super::peer::{self, End};

/// Limits on a message that are worth trying.
const MESSAGE_BYTES_MAX: [usize; 4] = [128, 4, 1_000, 70_000];

/// What has come whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Told {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

/// Why nothing more is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stop {
    /// So many bytes are no whole frame.
    Incomplete(usize),
    Closed,
    Fault(Fault),
}

/// The first byte says whose frames the rest is (bit 0), the limit on a message (bits 1 and 2), and into pieces of
/// which size it is cut.
///
/// # Panics
///
/// A cut makes a difference, or tungstenite reads something else.
pub fn check(bytes: &[u8]) {
    let Some((choice, stream)) = bytes.split_first() else { return };
    let (role, other) = match choice & 1 {
        0 => (Role::FromClient, Role::FromServer),
        _ => (Role::FromServer, Role::FromClient),
    };
    let limit = MESSAGE_BYTES_MAX[usize::from(choice >> 1 & 3)];
    let piece = usize::from(choice >> 3) + 1;
    let (told, stop, taken) = read(stream, stream.len(), role, limit);
    for size in [1, piece] {
        assert_eq!(read(stream, size, role, limit), (told.clone(), stop, taken), "in pieces of {size}");
    }
    lengths_are_short(&stream[..taken]);
    agrees(stream, role, limit, &told, stop);
    for role in [role, other] {
        comes_back(&told, role, piece, limit);
    }
}

/// Reads a stream that comes in pieces, as the shell does: what is not complete is kept until more comes. The last of
/// what it returns is how many bytes were frames that could be taken.
fn read(stream: &[u8], piece: usize, role: Role, limit: usize) -> (Vec<Told>, Stop, usize) {
    let mut decoder = Decoder::new(role, limit);
    let (mut buffer, mut told, mut all) = (Vec::new(), Vec::new(), 0);
    for bytes in stream.chunks(piece.max(1)) {
        buffer.extend_from_slice(bytes);
        loop {
            let (taken, item) = match decoder.decode(&mut buffer) {
                Ok(Some((taken, item))) => (taken, item.map(tell)),
                Ok(None) => break,
                Err(fault) => return (told, Stop::Fault(fault), all),
            };
            assert!(0 < taken && taken <= buffer.len(), "{taken} bytes taken of {}", buffer.len());
            buffer.drain(..taken);
            all += taken;
            told.extend(item);
            if let Some(Told::Close(..)) = told.last() {
                return (told, Stop::Closed, all);
            }
        }
    }
    (told, Stop::Incomplete(buffer.len()), all)
}

fn tell(item: Item<'_>) -> Told {
    match item {
        Item::Text(text) => Told::Text(text.to_owned()),
        Item::Binary(bytes) => Told::Binary(bytes.to_vec()),
        Item::Ping(payload) => Told::Ping(payload.to_vec()),
        Item::Pong(payload) => Told::Pong(payload.to_vec()),
        Item::Close(code, reason) => Told::Close(code, reason.to_owned()),
    }
}

/// Demands that the length of each frame is in its shortest form (RFC 6455, section 5.2), which tungstenite overlooks.
fn lengths_are_short(frames: &[u8]) {
    let mut rest = frames;
    while let [_, second, after @ ..] = rest {
        let key = if second & 0x80 == 0 { 0 } else { 4 };
        let (bytes, least) = match second & 0x7f {
            126 => (2, 126),
            127 => (8, 0x1_0000),
            _ => (0, 0),
        };
        let long = after[..bytes].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        let length = if bytes == 0 { usize::from(second & 0x7f) } else { long };
        assert!(length >= least, "a length of {length} was taken in {bytes} bytes");
        rest = &after[bytes + key + length..];
    }
}

/// Demands that tungstenite makes the same of the stream, but for where it is known to judge earlier, later or not.
fn agrees(stream: &[u8], role: Role, limit: usize, told: &[Told], stop: Stop) {
    let peer = if role == Role::FromClient { protocol::Role::Server } else { protocol::Role::Client };
    let (mut theirs, mut end) = peer::read(stream, peer, limit);
    if let (Stop::Fault(_), End::Incomplete) = (stop, end) {
        // It judges whole frames only, so the one at fault is given what it lacks.
        let whole = [stream, &vec![0; MESSAGE_BYTES_MAX[3] + 14]].concat();
        (theirs, end) = peer::read(&whole, peer, limit);
    }
    let same = theirs == told;
    let agree = match stop {
        Stop::Incomplete(_) => same && end == End::Incomplete,
        // It says of 1014 that the protocol is violated.
        Stop::Closed if matches!(told.last(), Some(Told::Close(Some(1014), _))) => theirs.len() == told.len(),
        Stop::Closed => same && end == End::Closed,
        // It takes lengths in any form, also of control frames, …
        Stop::Fault(Fault::Protocol("length not in its shortest form" | "control frame too long")) => {
            theirs.starts_with(told)
        }
        // … answers a code that may not be sent as if it were one, …
        Stop::Fault(Fault::Protocol("close code that may not be sent")) => {
            matches!(theirs.split_last(), Some((Told::Close(Some(1002), _), before)) if before == told)
                || same && matches!(end, End::Protocol | End::NotUtf8)
        }
        // … and looks at the length first, then waits for all of the frame: one that is too long even for what it was
        // given stays incomplete.
        Stop::Fault(Fault::Protocol(_)) => {
            same && matches!(end, End::Protocol | End::TooBig | End::Incomplete)
        }
        Stop::Fault(Fault::NotUtf8) => same && end == End::NotUtf8,
        Stop::Fault(Fault::TooBig) => same && matches!(end, End::TooBig),
    };
    assert!(agree, "{told:?}, then {stop:?}; tungstenite: {theirs:?}, then {end:?}");
}

/// Demands that what was read is read again when it is written, by the codec itself and by tungstenite.
fn comes_back(told: &[Told], role: Role, size_hint: usize, limit: usize) {
    let mut stream = Vec::new();
    for one in told {
        let (opcode, payload) = match one {
            Told::Text(text) => (Opcode::Text, text.as_bytes().to_vec()),
            Told::Binary(bytes) => (Opcode::Binary, bytes.clone()),
            Told::Ping(payload) => (Opcode::Ping, payload.clone()),
            Told::Pong(payload) => (Opcode::Pong, payload.clone()),
            Told::Close(None, _) => (Opcode::Close, Vec::new()),
            Told::Close(Some(code), reason) => {
                let code =
                    CloseCode::new(*code).unwrap_or_else(|| panic!("{code} was read, and may not be sent"));
                (Opcode::Close, frame::close_payload(code, reason))
            }
        };
        let before = stream.len();
        let size = match role {
            Role::FromServer => frame::write(opcode, &payload, &mut stream),
            Role::FromClient => {
                let key = [size_hint as u8, 0x55, 0, 0xff];
                // A hint that is far too small or too large may cost time, and nothing else.
                frame::write_masked(opcode, key, size_hint * 37, &mut stream, |out| {
                    out.extend_from_slice(&payload)
                })
            }
        };
        assert_eq!(size, stream.len() - before);
    }
    let stop = if let Some(Told::Close(..)) = told.last() { Stop::Closed } else { Stop::Incomplete(0) };
    assert_eq!(read(&stream, stream.len(), role, limit), (told.to_vec(), stop, stream.len()));
    agrees(&stream, role, limit, told, stop);
}
