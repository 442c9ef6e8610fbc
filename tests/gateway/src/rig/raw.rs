//! A client without a WebSocket library: it can do everything wrong.

use std::net::{IpAddr, SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::{Answer, Client, within};

/// The opcodes of RFC 6455, section 5.2.
pub mod opcode {
    #![allow(missing_docs)]
    pub const CONTINUATION: u8 = 0;
    pub const TEXT: u8 = 1;
    pub const BINARY: u8 = 2;
    pub const CLOSE: u8 = 8;
    pub const PING: u8 = 9;
    pub const PONG: u8 = 10;
}

const FINAL: u8 = 0x80;
const KEY: [u8; 4] = [0x3a, 0xc5, 0x00, 0x9f];

/// A final frame as a client sends it. `first` is its first byte but for the final bit.
pub fn masked_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = masked_part(first, payload);
    frame[0] |= FINAL;
    frame
}

/// A frame as a client sends it, its first byte as given.
pub fn masked_part(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len @ 126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// A connection as bytes.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    /// What has been read and not been used.
    rest: Vec<u8>,
}

impl Raw {
    /// Connects.
    ///
    /// # Panics
    ///
    /// Nobody listens.
    pub async fn connect(address: SocketAddr) -> Raw {
        let stream = TcpStream::connect(address).await.expect("somebody listens");
        stream.set_nodelay(true).expect("the socket is open");
        Raw { stream, rest: Vec::new() }
    }

    /// Connects from this address of loopback.
    ///
    /// # Panics
    ///
    /// Nobody listens.
    pub async fn connect_from(from: IpAddr, address: SocketAddr) -> Raw {
        let socket = TcpSocket::new_v4().expect("there is a descriptor");
        socket.bind(SocketAddr::new(from, 0)).expect("the address is this machine's");
        let stream = socket.connect(address).await.expect("somebody listens");
        stream.set_nodelay(true).expect("the socket is open");
        Raw { stream, rest: Vec::new() }
    }

    /// Connects, with socket buffers of about this size.
    ///
    /// # Panics
    ///
    /// Nobody listens.
    pub async fn connect_small(address: SocketAddr, buffer_bytes: u32) -> Raw {
        let socket = TcpSocket::new_v4().expect("there is a descriptor");
        socket.set_recv_buffer_size(buffer_bytes).expect("the size may be set");
        socket.set_send_buffer_size(buffer_bytes).expect("the size may be set");
        let stream = socket.connect(address).await.expect("somebody listens");
        stream.set_nodelay(true).expect("the socket is open");
        Raw { stream, rest: Vec::new() }
    }

    /// Sends a request, and reads the answer.
    ///
    /// # Panics
    ///
    /// The connection ends before the answer does.
    pub async fn request(&mut self, request: &[u8]) -> Answer {
        self.write(request).await;
        self.answer().await
    }

    /// Reads an answer.
    ///
    /// # Panics
    ///
    /// The connection ends before the answer does.
    pub async fn answer(&mut self) -> Answer {
        let end = loop {
            match self.rest.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None => assert!(self.read_more().await, "ended in the head of an answer: {:?}", self.rest),
            }
        };
        let head = String::from_utf8(self.take(end).await).expect("a head is text");
        let status = head.get(9..12).and_then(|status| status.parse().ok()).expect("a head has a status");
        let mut answer = Answer { status, head, body: String::new() };
        let len = answer.header("content-length").map_or(0, |len| len.parse().expect("a length is a number"));
        answer.body = String::from_utf8(self.take(len).await).expect("the body is text");
        answer
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    ///
    /// The other side has ended the connection.
    pub async fn write(&mut self, bytes: &[u8]) {
        within("the socket takes bytes", self.stream.write_all(bytes)).await.expect("the connection is open");
    }

    /// Sends a whole text message.
    pub async fn say(&mut self, text: &str) {
        self.write(&masked_frame(opcode::TEXT, text.as_bytes())).await;
    }

    /// The next frame: its first byte and its payload. `None`: the connection has ended.
    ///
    /// # Panics
    ///
    /// The frame is masked, or cut.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        if self.rest.is_empty() && !self.read_more().await {
            return None;
        }
        let head = self.take(2).await;
        assert_eq!(head[1] & 0x80, 0, "a server masks nothing");
        let len = match head[1] {
            126 => self.take(2).await.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)),
            127 => self.take(8).await.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)),
            len => usize::from(len),
        };
        assert_ne!(head[0] & FINAL, 0, "the gateway fragments nothing");
        Some((head[0] & !FINAL, self.take(len).await))
    }

    /// Expects a text message next.
    pub async fn hear(&mut self) -> String {
        match self.frame().await {
            Some((opcode::TEXT, payload)) => String::from_utf8(payload).expect("text is UTF-8"),
            other => panic!("no text: {other:?}"),
        }
    }

    /// Expects a close frame, whatever comes before it: its code and reason.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.frame().await {
                Some((opcode::CLOSE, payload)) => return close(&payload),
                Some(_) => {}
                None => panic!("ended without a close frame"),
            }
        }
    }

    /// Expects the end of the connection, and nothing before it.
    pub async fn ended(&mut self) {
        assert!(!self.read_more().await, "more came: {:?}", String::from_utf8_lossy(&self.rest));
    }

    /// Goes on with a WebSocket library.
    pub async fn into_client(self) -> Client {
        Client::over(self.stream, self.rest).await
    }

    /// The socket, for tests that count bytes.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    async fn take(&mut self, bytes: usize) -> Vec<u8> {
        while self.rest.len() < bytes {
            assert!(self.read_more().await, "ended in the middle");
        }
        let rest = self.rest.split_off(bytes);
        std::mem::replace(&mut self.rest, rest)
    }

    /// Whether the connection had more to read. A reset is an end.
    async fn read_more(&mut self) -> bool {
        let read = within("the gateway sends something", self.stream.read_buf(&mut self.rest)).await;
        read.is_ok_and(|bytes| bytes > 0)
    }
}

/// The code and reason of a close frame; 1005 where it has none.
fn close(payload: &[u8]) -> (u16, String) {
    match payload {
        [] => (1005, String::new()),
        [a, b, reason @ ..] => {
            let reason = String::from_utf8(reason.to_vec()).expect("a reason is UTF-8");
            (u16::from_be_bytes([*a, *b]), reason)
        }
        [_] => panic!("a close frame of one byte"),
    }
}
