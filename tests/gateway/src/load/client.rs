//! One client: its socket, its handshake, and the order of what it hears.

use std::{
    io::{self, ErrorKind, Read, Write},
    sync::Arc,
};

use mio::net::TcpStream;

use super::{
    text::{Texts, Wrong},
    wire::{self, Masks},
};

/// A client of the crowd.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: u32,
    /// Whose texts it hears: its own, unless somebody speaks to many.
    pub(super) speaker: u32,
    /// Shared with whoever sends at a fixed rate.
    pub(super) stream: Arc<TcpStream>,
    pub(super) state: State,
    /// The beginning of what is not complete.
    rest: Vec<u8>,
    out: Vec<u8>,
    written: usize,
    /// Messages begun, and echoes that came as they should.
    pub(super) sent: u32,
    pub(super) received: u32,
    /// When its last message was sent.
    pub(super) sent_at: u64,
}

/// How far a connection has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// The connection is being made, or its 101 is waited for.
    Shaking,
    Open,
    /// With the code of its close frame, if there was one.
    Closed(Option<u16>),
}

/// What a client has to say about what it read.
pub(super) trait Hear {
    /// The handshake is over.
    fn opened(&mut self);
    /// The echo that was due. Whether the next message is to be sent.
    fn echoed(&mut self, client: &Client) -> bool;
    /// Another echo than the one that was due.
    fn wrong(&mut self, wrong: Wrong);
    /// The connection has ended.
    fn closed(&mut self, code: Option<u16>);
}

impl Client {
    pub(super) fn new(id: u32, stream: TcpStream, request: &str) -> Self {
        Client {
            id,
            speaker: id,
            stream: Arc::new(stream),
            state: State::Shaking,
            rest: Vec::new(),
            out: request.as_bytes().to_vec(),
            written: 0,
            sent: 0,
            received: 0,
            sent_at: 0,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether the socket has taken all that it was given.
    pub(super) fn is_flushed(&self) -> bool {
        self.out.is_empty()
    }

    /// Appends the next message to what is to go out.
    pub(super) fn say(&mut self, texts: &Texts, masks: &mut Masks) {
        let (id, number) = (self.id, self.sent);
        wire::write(&mut self.out, wire::TEXT, Some(masks.next()), texts.bytes(), |out| {
            texts.write(id, number, out);
        });
        self.sent += 1;
    }

    /// Writes what the socket takes. An error shows as well when it is read.
    pub(super) fn flush(&mut self) {
        while self.written < self.out.len() {
            match (&*self.stream).write(&self.out[self.written..]) {
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
        self.out.clear();
        self.written = 0;
        if self.state == State::Open && self.out.capacity() > KEEP_BYTES {
            self.out = Vec::new();
        }
    }

    /// Reads all that is there into `scratch` and tells `hear` of it. Says the next messages, but does not flush.
    pub(super) fn read(
        &mut self,
        scratch: &mut [u8],
        texts: &Texts,
        masks: &mut Masks,
        hear: &mut impl Hear,
    ) {
        while !matches!(self.state, State::Closed(_)) {
            match (&*self.stream).read(scratch) {
                Ok(0) => return self.close(None, hear),
                Ok(bytes) => {
                    self.take(&mut scratch[..bytes], texts, masks, hear);
                    // Edge-triggered: a read that is not full has emptied the socket (epoll(7)).
                    if bytes < scratch.len() {
                        return;
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return,
                    ErrorKind::Interrupted => {}
                    _ => return self.close(None, hear),
                },
            }
        }
    }

    fn take(&mut self, bytes: &mut [u8], texts: &Texts, masks: &mut Masks, hear: &mut impl Hear) {
        if self.rest.is_empty() {
            let used = self.understand(bytes, texts, masks, hear);
            self.rest.extend_from_slice(&bytes[used..]);
            return;
        }
        let mut whole = std::mem::take(&mut self.rest);
        whole.extend_from_slice(bytes);
        let used = self.understand(&mut whole, texts, masks, hear);
        if used < whole.len() {
            whole.drain(..used);
            self.rest = whole;
        }
    }

    /// Uses what is complete. Returns how many bytes that were.
    fn understand(
        &mut self,
        bytes: &mut [u8],
        texts: &Texts,
        masks: &mut Masks,
        hear: &mut impl Hear,
    ) -> usize {
        let mut used = 0;
        if self.state == State::Shaking {
            let Some(end) = wire::find(bytes, wire::HEAD_END) else { return 0 };
            let head = &bytes[..end];
            if !head.starts_with(b"HTTP/1.1 101")
                || wire::find(head, wire::HANDSHAKE_ACCEPT.as_bytes()).is_none()
            {
                self.close(None, hear);
                return bytes.len();
            }
            used = end + wire::HEAD_END.len();
            self.state = State::Open;
            hear.opened();
        }
        while let Some(frame) = wire::read(&mut bytes[used..]) {
            let payload = &bytes[used + frame.start..used + frame.end];
            used += frame.end;
            match frame.opcode {
                wire::TEXT => match texts.check(self.speaker, self.received, payload) {
                    Ok(()) => {
                        self.received += 1;
                        if hear.echoed(self) {
                            self.say(texts, masks);
                        }
                    }
                    Err(wrong) => hear.wrong(wrong),
                },
                wire::PING => {
                    let payload = payload.to_vec();
                    wire::write(&mut self.out, wire::PONG, Some(masks.next()), payload.len(), |out| {
                        out.extend_from_slice(&payload);
                    });
                }
                wire::CLOSE => {
                    let code = payload.get(..2).map(|code| u16::from_be_bytes([code[0], code[1]]));
                    self.close(code, hear);
                    return bytes.len();
                }
                _ => hear.wrong(Wrong::Altered),
            }
        }
        used
    }

    fn close(&mut self, code: Option<u16>, hear: &mut impl Hear) {
        self.state = State::Closed(code);
        hear.closed(code);
    }
}

/// What an idle client's buffer may keep.
const KEEP_BYTES: usize = 4 << 10;

/// Opens a socket to `address`, not waiting for it to be connected. `send_buffer` bounds what the system takes from
/// the client beyond what the gateway has read; without it the system decides.
pub(super) fn connect(address: std::net::SocketAddr, send_buffer: Option<usize>) -> io::Result<TcpStream> {
    use socket2::{Domain, Protocol, Socket, Type};

    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(bytes) = send_buffer {
        socket.set_send_buffer_size(bytes)?;
    }
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}
