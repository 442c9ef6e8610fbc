//! tungstenite, reading what the shell's own codec reads.

use std::io::{self, Cursor, Read, Write};

use tokio_tungstenite::tungstenite::{
    Error, Message, WebSocket,
    protocol::{Role, WebSocketConfig},
};

use super::frames::Told;

/// Why tungstenite reads no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// What has come is not a whole frame.
    Incomplete,
    /// A Close has come.
    Closed,
    /// RFC 6455 is broken.
    Protocol,
    NotUtf8,
    TooBig,
}

/// What tungstenite makes of the bytes.
pub(super) fn read(bytes: &[u8], role: Role, message_bytes_max: usize) -> (Vec<Told>, End) {
    // It counts the payloads of control frames as well, for which the limit is another.
    let config = WebSocketConfig::default()
        .max_message_size(Some(message_bytes_max))
        .max_frame_size(Some(message_bytes_max.max(125)))
        .read_buffer_size(4096);
    let mut socket = WebSocket::from_raw_socket(Wire(Cursor::new(bytes)), role, Some(config));
    let mut told = Vec::new();
    loop {
        told.push(match socket.read() {
            Ok(Message::Text(text)) => Told::Text(text.as_str().to_owned()),
            Ok(Message::Binary(bytes)) => Told::Binary(bytes.to_vec()),
            Ok(Message::Ping(payload)) => Told::Ping(payload.to_vec()),
            Ok(Message::Pong(payload)) => Told::Pong(payload.to_vec()),
            Ok(Message::Close(frame)) => {
                let (code, reason) = frame.map_or((None, String::new()), |frame| {
                    (Some(frame.code.into()), frame.reason.as_str().to_owned())
                });
                told.push(Told::Close(code, reason));
                return (told, End::Closed);
            }
            Ok(Message::Frame(_)) => unreachable!("tungstenite never hands out frames as they are"),
            Err(Error::Protocol(_)) => return (told, End::Protocol),
            Err(Error::Utf8(_)) => return (told, End::NotUtf8),
            Err(Error::Capacity(_)) => return (told, End::TooBig),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return (told, End::Incomplete);
            }
            Err(other) => panic!("tungstenite fails in a way that its socket does not: {other}"),
        });
    }
}

/// A connection on which the bytes have come and nothing else comes; what is written is gone.
struct Wire<'a>(Cursor<&'a [u8]>);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            size => Ok(size),
        }
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
