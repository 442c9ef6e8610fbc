//! Issuers of tokens that publish their keys over HTTP, and do everything wrong that a test wants.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    sync::watch,
    task::JoinHandle,
    time::interval,
};
use tokio_rustls::TlsAcceptor;

use super::{tokens, within};

/// Between two bytes of an answer that drips.
const DRIP: Duration = Duration::from_millis(20);
/// A head that is longer is none that a gateway sends.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// A key of an issuer, with its name.
#[derive(Debug)]
pub struct SigningKey {
    kid: String,
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// A new one.
    ///
    /// # Panics
    ///
    /// The system has no randomness.
    pub fn new(kid: &str) -> Self {
        SigningKey { kid: kid.to_owned(), pair: Ed25519KeyPair::generate().expect("keys can be made") }
    }

    /// What is published of it.
    pub fn jwk(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key());
        json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": self.kid, "x": x })
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        let header = json!({ "alg": "EdDSA", "kid": self.kid });
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let message = format!("{}.{}", part(&header), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    /// A valid token of `user`.
    pub fn token(&self, user: &str) -> String {
        self.sign(&json!({ "sub": user, "exp": tokens::now() + 3_600 }))
    }

    /// A valid token of `user` that says who issued it.
    pub fn token_from(&self, issuer: &str, user: &str) -> String {
        self.sign(&json!({ "sub": user, "iss": issuer, "exp": tokens::now() + 3_600 }))
    }
}

/// A set of these keys.
pub fn jwks(keys: &[&SigningKey]) -> String {
    json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() }).to_string()
}

/// What an issuer answers.
#[derive(Clone, Debug)]
pub enum Publish {
    /// 200 with this body.
    Body(String),
    /// These bytes, and then the end.
    Raw(String),
    /// These bytes, one at a time.
    Drip(String),
    /// Nothing: it ends the connection.
    Nothing,
}

/// An issuer that listens on loopback, and does what it does on the runtime of the test.
#[derive(Debug)]
pub struct Issuer {
    address: SocketAddr,
    secure: bool,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    publish: Mutex<Publish>,
    asked: watch::Sender<usize>,
    dropped: watch::Sender<usize>,
    held: watch::Sender<bool>,
}

impl Issuer {
    /// One that publishes this.
    pub async fn start(publish: Publish) -> Issuer {
        Issuer::listen(publish, None).await
    }

    /// One that does so over TLS.
    pub async fn start_tls(publish: Publish, tls: Arc<ServerConfig>) -> Issuer {
        Issuer::listen(publish, Some(tls)).await
    }

    async fn listen(publish: Publish, tls: Option<Arc<ServerConfig>>) -> Issuer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            publish: Mutex::new(publish),
            asked: watch::Sender::new(0),
            dropped: watch::Sender::new(0),
            held: watch::Sender::new(false),
        });
        let secure = tls.is_some();
        let task = tokio::spawn(accept(listener, tls.map(TlsAcceptor::from), Arc::clone(&shared)));
        Issuer { address, secure, shared, task }
    }

    /// Where its keys are.
    pub fn url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}/keys", self.address)
    }

    /// From now on it publishes this.
    pub fn publish(&self, publish: Publish) {
        *self.shared.publish.lock().unwrap_or_else(PoisonError::into_inner) = publish;
    }

    /// From now on it keeps whoever asks waiting, or no longer.
    pub fn hold(&self, held: bool) {
        self.shared.held.send_replace(held);
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        *self.shared.asked.borrow()
    }

    /// Waits until it has been asked so often.
    pub async fn is_asked(&self, times: usize) {
        let mut asked = self.shared.asked.subscribe();
        let enough = asked.wait_for(|asked| *asked >= times);
        within(&format!("the issuer is asked {times} times"), enough).await.expect("the issuer is there");
    }

    /// Waits until so many have gone away in the middle of their answer.
    pub async fn is_dropped(&self, times: usize) {
        let mut dropped = self.shared.dropped.subscribe();
        let enough = dropped.wait_for(|dropped| *dropped >= times);
        within("whoever asked goes away", enough).await.expect("the issuer is there");
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            match tls {
                None => answer(stream, &shared).await,
                // Whoever does not trust it goes away.
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => answer(stream, &shared).await,
                    Err(_) => shared.dropped.send_modify(|dropped| *dropped += 1),
                },
            }
        });
    }
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, shared: &Shared) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_BYTES_MAX {
        if !matches!(stream.read_buf(&mut head).await, Ok(1..)) {
            return;
        }
    }
    assert!(head.starts_with(b"GET /keys HTTP/1.1\r\n"), "{}", String::from_utf8_lossy(&head));
    let publish = shared.publish.lock().unwrap_or_else(PoisonError::into_inner).clone();
    shared.asked.send_modify(|asked| *asked += 1);
    // Dropped or told: both mean that it goes on.
    let _ = shared.held.subscribe().wait_for(|held| !held).await;
    let whole = match publish {
        Publish::Nothing => return,
        Publish::Raw(text) => text,
        Publish::Body(body) => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
        Publish::Drip(text) => return drip(stream, &text, shared).await,
    };
    // Whoever asked may have heard enough.
    if stream.write_all(whole.as_bytes()).await.is_err() {
        shared.dropped.send_modify(|dropped| *dropped += 1);
    }
    let _ = stream.shutdown().await;
}

async fn drip<S: AsyncWrite + Unpin>(mut stream: S, text: &str, shared: &Shared) {
    let mut pace = interval(DRIP);
    for byte in text.bytes() {
        pace.tick().await;
        if stream.write_all(&[byte]).await.is_err() {
            shared.dropped.send_modify(|dropped| *dropped += 1);
            return;
        }
    }
}
