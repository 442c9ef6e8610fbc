//! Requests as they stand on the wire, so that each can be wrong in one way, and what is answered.

use std::net::SocketAddr;

use serde_json::Value;

use super::{Client, Gateway, Raw, tokens};

/// The key of RFC 6455's example, and what belongs into the answer.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// The `Sec-WebSocket-Accept` that belongs to [`KEY`].
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A request.
#[derive(Clone, Debug)]
pub struct Handshake {
    line: String,
    headers: Vec<(String, String)>,
}

impl Handshake {
    /// A right one, but for its token: it has none.
    pub fn to(target: &str) -> Self {
        Handshake::get(target)
            .with("Connection", "Upgrade")
            .with("Upgrade", "websocket")
            .with("Sec-WebSocket-Version", "13")
            .with("Sec-WebSocket-Key", KEY)
    }

    /// A right one of `user`, to lobby 7.
    pub fn of(user: &str) -> Self {
        Handshake::to("/lobby/7").token(&tokens::of(user))
    }

    /// One that asks for no upgrade.
    pub fn get(target: &str) -> Self {
        Handshake { line: format!("GET {target} HTTP/1.1"), headers: Vec::new() }.with("Host", "gateway.test")
    }

    /// With another first line.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.line = line.to_owned();
        self
    }

    /// With this token where it belongs.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        self.with("Authorization", &format!("Bearer {token}"))
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without this header.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(header, _)| header != name);
        self
    }

    /// As it is sent.
    pub fn text(&self) -> String {
        let headers: String =
            self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{}\r\n{headers}\r\n", self.line)
    }

    /// Sends it over a connection of its own.
    pub async fn ask(&self, address: SocketAddr) -> (Raw, Answer) {
        let mut raw = Raw::connect(address).await;
        let answer = raw.request(self.text().as_bytes()).await;
        (raw, answer)
    }

    /// Sends it, and expects to be refused.
    pub async fn refused(&self, gateway: &Gateway) -> Answer {
        let (_, answer) = self.ask(gateway.address()).await;
        assert_ne!(answer.status, 101, "let in with {self:?}");
        answer
    }

    /// Sends it, and expects to be let in.
    pub async fn enter_raw(&self, gateway: &Gateway) -> Raw {
        self.enter_at(gateway.address()).await
    }

    /// Sends it to this address, and expects to be let in.
    ///
    /// # Panics
    ///
    /// It is refused.
    pub async fn enter_at(&self, address: SocketAddr) -> Raw {
        let (raw, answer) = self.ask(address).await;
        assert_eq!(answer.status, 101, "refused: {answer:?}");
        raw
    }

    /// Sends it, and expects to be let in.
    pub async fn enter(&self, gateway: &Gateway) -> Client {
        self.enter_raw(gateway).await.into_client().await
    }
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The first line and the headers, as they came.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The value of the header `name`, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (header, value) = line.split_once(':')?;
            header.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// What `Retry-After` says, if it is from once to twice so many seconds, as for those who are to be spread.
    ///
    /// # Panics
    ///
    /// It says something else, or there is none.
    pub fn retry_after(&self, least: u64) -> u64 {
        let seconds = self.header("retry-after").and_then(|seconds| seconds.parse().ok());
        let seconds = seconds.unwrap_or_else(|| panic!("no Retry-After in {self:?}"));
        assert!((least..=2 * least).contains(&seconds), "{seconds} is not {least} to twice that");
        seconds
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// It is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// What the body gives as the name of the error.
    pub fn error(&self) -> String {
        let json = self.json();
        json["error"].as_str().unwrap_or_else(|| panic!("no error named in {self:?}")).to_owned()
    }
}
