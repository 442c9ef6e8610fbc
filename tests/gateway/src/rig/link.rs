//! One link, as the backend's side of it runs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, watch},
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::{Event, backend::Shared};

/// How long the other side may take to end a link that was closed.
const CLOSE_TIME: Duration = Duration::from_secs(5);

/// What came over a link.
#[derive(Clone, Debug)]
pub enum Heard {
    /// It began.
    Began,
    /// An event.
    Event(Event),
    /// A Ping. The library has answered it before anything that follows is read.
    Ping,
    /// A Pong, with its payload.
    Pong(Vec<u8>),
    /// A close frame, with its code.
    Close(Option<u16>),
    /// It ended: no more comes from it.
    Ended,
}

/// What was heard, and from which link.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Which link, counted from 0.
    pub link: usize,
    /// What.
    pub heard: Heard,
}

/// What a link is told by the test.
#[derive(Debug)]
pub(super) enum Order {
    Send(Message),
    /// Bytes, past the library.
    Raw(Vec<u8>),
    /// A reset, with no word.
    Cut,
    /// The end of the stream, with no word.
    End,
    /// The closing handshake.
    Close(u16),
}

pub(super) struct Link {
    pub number: usize,
    pub shared: Arc<Shared>,
    pub orders: mpsc::UnboundedReceiver<Order>,
    pub reads: watch::Receiver<bool>,
}

impl Link {
    /// Serves a link until it has ended.
    pub(super) async fn serve(mut self, mut socket: WebSocketStream<TcpStream>) {
        self.note(Heard::Began);
        loop {
            let reads = *self.reads.borrow_and_update();
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order) => if !carry_out(order, &mut socket).await { break },
                    // The test is over.
                    None => return,
                },
                changed = self.reads.changed() => if changed.is_err() { return },
                message = socket.next(), if reads => match message {
                    Some(Ok(message)) => self.take(message, &mut socket).await,
                    Some(Err(_)) | None => break,
                },
            }
        }
        self.note(Heard::Ended);
    }

    fn note(&self, heard: Heard) {
        self.shared.note(Entry { link: self.number, heard });
    }

    async fn take(&self, message: Message, socket: &mut WebSocketStream<TcpStream>) {
        match message {
            Message::Text(text) => {
                let text = text.as_str().to_owned();
                let json: Value = serde_json::from_str(&text).expect("an event is JSON");
                let event = Event { link: self.number, at: Instant::now(), text, json };
                let answer = self.shared.echoes.then(|| echo(&event)).flatten();
                self.note(Heard::Event(event));
                if let Some(answer) = answer {
                    // A link that has broken is noticed when it is read.
                    let _ = socket.send(answer).await;
                }
            }
            Message::Pong(payload) => self.note(Heard::Pong(payload.to_vec())),
            Message::Close(frame) => self.note(Heard::Close(frame.map(|frame| frame.code.into()))),
            Message::Ping(_) => self.note(Heard::Ping),
            other => panic!("an event is text: {other:?}"),
        }
    }
}

/// The `send` that answers a `message` with the same data, in the same encoding if it names one.
fn echo(event: &Event) -> Option<Message> {
    let mut action = json!({ "action": "send", "user": event.json["user"], "data": event.json["data"] });
    if let Some(encoding) = event.json.get("encoding") {
        action["encoding"] = encoding.clone();
    }
    (event.kind() == "message").then(|| Message::text(action.to_string()))
}

/// Whether the link goes on.
async fn carry_out(order: Order, socket: &mut WebSocketStream<TcpStream>) -> bool {
    match order {
        // A link that has broken is noticed when it is read.
        Order::Send(message) => drop(socket.send(message).await),
        Order::Raw(bytes) => drop(socket.get_mut().write_all(&bytes).await),
        Order::Cut => {
            socket.get_ref().set_zero_linger().expect("the socket is open");
            return false;
        }
        Order::End => {
            // A link that has broken has ended.
            let _ = socket.get_mut().shutdown().await;
            return false;
        }
        Order::Close(code) => {
            let frame = CloseFrame { code: CloseCode::from(code), reason: "".into() };
            let _ = socket.close(Some(frame)).await;
        }
    }
    true
}

/// Upgrades a connection that asks for `path`, and no other.
pub(super) async fn accept(stream: TcpStream, path: &str) -> Option<WebSocketStream<TcpStream>> {
    stream.set_nodelay(true).expect("the socket is open");
    #[allow(clippy::result_large_err, reason = "the library wants it so")]
    let check = |request: &Request, response: Response| {
        if request.uri().path() == path { Ok(response) } else { Err(ErrorResponse::new(None)) }
    };
    accept_hdr_async(stream, check).await.ok()
}

/// Answers a request for `path` with these bytes, once it has been noted, and ends the connection.
pub(super) async fn refuse(mut stream: TcpStream, path: &str, note: impl FnOnce(), answer: &[u8]) {
    if !is_asked(&mut stream, path).await {
        return;
    }
    note();
    let _ = stream.write_all(answer).await;
    let _ = stream.shutdown().await;
    // What is unread when a socket is closed turns its end into a reset, which may overtake the answer.
    let _ = timeout(CLOSE_TIME, stream.read(&mut [0; 1])).await;
}

/// Answers a request for `path`, once it has been noted, with these bytes: at once, or each after a pause. The
/// connection is kept until the other side ends it. Whether it was such a request.
pub(super) async fn hold(
    mut stream: TcpStream,
    path: &str,
    note: impl FnOnce(),
    answer: &[u8],
    pause: Duration,
) -> bool {
    if !is_asked(&mut stream, path).await {
        return false;
    }
    note();
    let (mut reading, mut writing) = stream.split();
    let part = if pause.is_zero() { answer.len().max(1) } else { 1 };
    let saying = async {
        for part in answer.chunks(part) {
            // The pause is the pace of this backend; nobody waits for it.
            sleep(pause).await;
            if writing.write_all(part).await.is_err() {
                return;
            }
        }
        std::future::pending().await
    };
    let hanging_up = async { while matches!(reading.read(&mut [0; 64]).await, Ok(1..)) {} };
    tokio::select! {
        () = saying => {}
        () = hanging_up => {}
    }
    true
}

/// Whether a connection begins with a request for `path`.
async fn is_asked(stream: &mut TcpStream, path: &str) -> bool {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return false;
        }
    }
    request.starts_with(format!("GET {path} ").as_bytes())
}
