//! A client with a WebSocket library.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        protocol::{CloseFrame, Role, frame::coding::CloseCode},
    },
};

use super::{Gateway, Handshake, within};

/// A client that has been let in.
#[derive(Debug)]
pub struct Client {
    socket: WebSocketStream<TcpStream>,
}

impl Client {
    /// Lets `user` into lobby 7.
    pub async fn enter(gateway: &Gateway, user: &str) -> Client {
        Handshake::of(user).enter(gateway).await
    }

    pub(super) async fn over(stream: TcpStream, read: Vec<u8>) -> Client {
        Client { socket: WebSocketStream::from_partially_read(stream, read, Role::Client, None).await }
    }

    /// Sends a text message.
    pub async fn say(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    /// Sends a binary message.
    pub async fn say_binary(&mut self, bytes: &[u8]) {
        self.send(Message::binary(bytes.to_vec())).await;
    }

    /// Sends anything.
    ///
    /// # Panics
    ///
    /// The connection has ended.
    pub async fn send(&mut self, message: Message) {
        within("a message goes out", self.socket.send(message)).await.expect("the connection is open");
    }

    /// What comes next; `None`: the connection has ended.
    pub async fn next(&mut self) -> Option<Result<Message, tungstenite::Error>> {
        within("the gateway sends something", self.socket.next()).await
    }

    /// Expects a message next, and returns its text.
    pub async fn hear(&mut self) -> String {
        match self.next().await {
            Some(Ok(Message::Text(text))) => text.as_str().to_owned(),
            other => panic!("no text: {other:?}"),
        }
    }

    /// Expects to be closed, whatever comes before it: the code and the reason. The closing handshake is completed.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.next().await {
                Some(Ok(Message::Close(frame))) => {
                    while let Some(Ok(_)) = self.next().await {}
                    return frame.map_or((1005, String::new()), |frame| {
                        (frame.code.into(), frame.reason.to_string())
                    });
                }
                Some(Ok(_)) => {}
                other => panic!("ended without a close frame: {other:?}"),
            }
        }
    }

    /// Leaves in good order.
    pub async fn leave(mut self) {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        self.send(Message::Close(Some(frame))).await;
        while let Some(Ok(_)) = self.next().await {}
    }
}
