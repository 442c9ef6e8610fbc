//! A client that keeps count of what it says and hears.

use std::{io, net::SocketAddr};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

use crate::rig::Handshake;

/// A client that is in.
pub(super) struct Visitor {
    socket: WebSocketStream<TcpStream>,
    /// Its user, and how often that has been there before.
    user: String,
    visit: u64,
    said: u64,
    heard: u64,
}

/// How a visit ends, or goes on.
#[derive(Debug)]
pub(super) enum Heard {
    /// One of its own words, in order.
    Echo,
    /// One that it said when it was there before: a backend that lags behind may say it to whoever is there now.
    Late,
    /// Anything else.
    Wrong(String),
    /// A close frame.
    Closed(u16),
    /// The end, without one.
    Ended,
}

impl Visitor {
    /// Comes in, or says why not.
    pub(super) async fn enter(address: SocketAddr, user: &str, visit: u64) -> Result<Visitor, String> {
        let broken = |error: io::Error| format!("{user}: {error}");
        let mut stream = TcpStream::connect(address).await.map_err(broken)?;
        stream.set_nodelay(true).map_err(broken)?;
        let request = Handshake::of(user).text();
        stream.write_all(request.as_bytes()).await.map_err(broken)?;
        let mut answer = Vec::new();
        let end = loop {
            if let Some(at) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut answer).await.map_err(broken)? == 0 {
                return Err(format!("{user}: no answer"));
            }
        };
        if !answer.starts_with(b"HTTP/1.1 101 ") {
            let line = String::from_utf8_lossy(&answer);
            return Err(format!("{user}: {}", line.lines().next().unwrap_or_default()));
        }
        let rest = answer.split_off(end);
        let socket = WebSocketStream::from_partially_read(stream, rest, Role::Client, None).await;
        Ok(Visitor { socket, user: user.to_owned(), visit, said: 0, heard: 0 })
    }

    /// Says its next word. One that cannot is over, which is noticed when it listens.
    pub(super) async fn say(&mut self) {
        let _ = self.socket.send(Message::text(format!("{} {} {}", self.user, self.visit, self.said))).await;
        self.said += 1;
    }

    /// Listens. Words may be missing where a link has broken, but none may be doubled, reordered or another's.
    pub(super) async fn hear(&mut self) -> Heard {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let mut parts = text.rsplitn(3, ' ');
                    let (word, visit, user) = (parts.next(), parts.next(), parts.next());
                    let number =
                        |part: Option<&str>| part.and_then(|part| part.parse().ok()).unwrap_or(u64::MAX);
                    let (word, visit, mine) = (number(word), number(visit), user == Some(&*self.user));
                    if mine && visit < self.visit {
                        return Heard::Late;
                    }
                    if !mine || visit != self.visit || !(self.heard..self.said).contains(&word) {
                        return Heard::Wrong(format!(
                            "{} heard {:?} after {}",
                            self.user, &*text, self.heard
                        ));
                    }
                    self.heard = word + 1;
                    return Heard::Echo;
                }
                Some(Ok(Message::Close(frame))) => {
                    return Heard::Closed(frame.map_or(1005, |frame| frame.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Heard::Ended,
            }
        }
    }

    /// Leaves without a word: the connection is reset.
    pub(super) fn vanish(self) {
        let _ = self.socket.get_ref().set_zero_linger();
    }

    /// Leaves in good order.
    pub(super) async fn leave(mut self) {
        let _ = self.socket.close(None).await;
        while let Some(Ok(_)) = self.socket.next().await {}
    }
}
