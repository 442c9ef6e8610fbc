//! The link's socket: dialling the backend, reading its frames.

use std::{
    fmt, io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use http_body_util::Empty;
use hyper::{
    Request, StatusCode,
    client::conn::http1,
    header::{
        CONNECTION, HOST, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    },
    upgrade::{Parts, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use trunkline_core::CloseCode;

use crate::{
    config::{EndpointConfig, LinkConfig, ServerUrl},
    net,
    stream::Stream,
    tls::{self, ClientTls},
    transport::Transport,
    ws::{Decoder, Fault, Item, Role, frame},
};

/// What the answer to an upgrade may have in headers.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// What one read of the link takes, unless a frame is larger.
const READ_BYTES: usize = 64 << 10;
/// The longest header of an unmasked frame.
const FRAME_HEADER_BYTES_MAX: usize = 10;

/// A connection that is being made.
pub(super) type Dial = Pin<Box<dyn Future<Output = Result<Connection, DialFault>>>>;

/// Why no connection could be made.
#[derive(Debug)]
pub(crate) enum DialFault {
    Timeout(Duration),
    Connect(io::Error),
    Tls(io::Error),
    Http(hyper::Error),
    Status(StatusCode),
    Upgrade,
    Unasked,
    Accept,
}

impl fmt::Display for DialFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DialFault::Timeout(limit) => write!(f, "not connected within {limit:?}"),
            DialFault::Connect(error) => write!(f, "cannot connect: {error}"),
            // It may quote what the peer's certificate says.
            DialFault::Tls(error) => write!(f, "no TLS: {}", error.to_string().escape_debug()),
            DialFault::Http(error) => write!(f, "the handshake failed: {error}"),
            DialFault::Status(status) => write!(f, "it answered {status} instead of 101"),
            DialFault::Upgrade => f.write_str("its 101 does not upgrade to a WebSocket"),
            DialFault::Unasked => {
                f.write_str("its 101 names an extension or a subprotocol that was not asked for")
            }
            DialFault::Accept => f.write_str("its Sec-WebSocket-Accept does not fit the key"),
        }
    }
}

/// Begins to connect to the endpoint's backend; `key` is 16 random bytes in base64.
pub(super) fn dial(config: &EndpointConfig, key: String) -> Dial {
    let (backend, tls, link) = (config.backend.clone(), config.link_tls.clone(), config.link.clone());
    Box::pin(async move { reach(&backend, tls, &key, &link).await })
}

/// Connects to a backend; `key` is 16 random bytes in base64.
pub(crate) async fn reach(
    backend: &ServerUrl,
    tls: Option<ClientTls>,
    key: &str,
    link: &LinkConfig,
) -> Result<Connection, DialFault> {
    let limit = link.connect_timeout;
    let made = timeout(limit, connect(backend, tls, key, limit)).await;
    let (stream, early) = made.map_err(|_| DialFault::Timeout(limit))??;
    Ok(Connection::new(stream, &early, link.message_bytes_max))
}

/// Connects and shakes hands (RFC 6455, section 4.1). What came after the answer is returned too.
async fn connect(
    backend: &ServerUrl,
    tls: Option<ClientTls>,
    key: &str,
    limit: Duration,
) -> Result<(Stream, Vec<u8>), DialFault> {
    let stream = net::connect(&backend.host, backend.port, limit).await.map_err(DialFault::Connect)?;
    net::tune_link(&stream).map_err(DialFault::Connect)?;
    let transport = tls::connect(tls.as_ref(), &backend.host, stream).await.map_err(DialFault::Tls)?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEADER_BYTES_MAX)
        .handshake(TokioIo::new(transport))
        .await
        .map_err(DialFault::Http)?;
    // It ends with the request, or with the upgrade.
    tokio::task::spawn_local(connection.with_upgrades());
    let request = Request::get(&backend.path_and_query)
        .header(HOST, backend.authority())
        .header(UPGRADE, "websocket")
        .header(CONNECTION, "Upgrade")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, key)
        .body(Empty::<hyper::body::Bytes>::new())
        .map_err(|error| DialFault::Connect(io::Error::other(error)))?;
    let response = sender.send_request(request).await.map_err(DialFault::Http)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(DialFault::Status(response.status()));
    }
    let is_websocket = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
    let headers = response.headers();
    if !headers.get(UPGRADE).is_some_and(is_websocket) {
        return Err(DialFault::Upgrade);
    }
    // None were asked for (RFC 6455, section 4.1).
    if headers.contains_key(SEC_WEBSOCKET_EXTENSIONS) || headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        return Err(DialFault::Unasked);
    }
    let accept = headers.get(SEC_WEBSOCKET_ACCEPT);
    if accept.is_none_or(|accept| accept.as_bytes() != derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(DialFault::Accept);
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(DialFault::Http)?;
    take_socket(upgraded).map_err(DialFault::Connect)
}

fn take_socket(upgraded: Upgraded) -> io::Result<(Stream, Vec<u8>)> {
    let Parts { io, read_buf, .. } = upgraded
        .downcast::<TokioIo<Transport>>()
        .map_err(|_| io::Error::other("the connection was made from another type"))?;
    Ok((Stream::new(io.into_inner()), read_buf.to_vec()))
}

/// A connection to the backend, as it is read.
pub(crate) struct Connection {
    pub(crate) stream: Rc<Stream>,
    decoder: Decoder,
    buffer: Vec<u8>,
    /// What has been read and not been used.
    filled: std::ops::Range<usize>,
    frame_bytes_max: usize,
}

/// Why a connection is of no more use.
#[derive(Debug)]
pub(crate) enum Break {
    /// The backend closed it in good order, with this code if it gave one.
    Closed(Option<u16>),
    /// The backend ended it without a word, or vanished.
    Ended,
    Failed(io::Error),
    Misbehaved(Fault),
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Break::Closed(Some(code)) => write!(f, "the backend closed it with {code}"),
            Break::Closed(None) => f.write_str("the backend closed it"),
            Break::Ended => f.write_str("the backend ended it without closing it"),
            Break::Failed(error) => write!(f, "{error}"),
            Break::Misbehaved(fault) => write!(f, "the backend broke the protocol: {}", fault.reason()),
        }
    }
}

impl Break {
    /// What the backend is told before the connection ends: the payload of a close frame. `None`: there is nobody to
    /// tell.
    pub(super) fn farewell(&self) -> Option<Vec<u8>> {
        match self {
            Break::Closed(code) => {
                let code = code.and_then(CloseCode::new);
                Some(code.map_or(Vec::new(), |code| frame::close_payload(code, "")))
            }
            Break::Misbehaved(fault) => Some(frame::close_payload(fault.code(), fault.reason())),
            Break::Ended | Break::Failed(_) => None,
        }
    }
}

impl Connection {
    fn new(stream: Stream, early: &[u8], message_bytes_max: usize) -> Self {
        let mut buffer = early.to_vec();
        buffer.resize(READ_BYTES.max(early.len()), 0);
        Connection {
            stream: Rc::new(stream),
            decoder: Decoder::new(Role::FromServer, message_bytes_max),
            buffer,
            filled: 0..early.len(),
            frame_bytes_max: message_bytes_max + FRAME_HEADER_BYTES_MAX,
        }
    }

    /// The next thing that has been read whole.
    pub(crate) fn next(&mut self) -> Result<Option<Item<'_>>, Break> {
        // A loop that lends from its own state cannot return from within: so it finds the frame first.
        loop {
            let (start, end) = (self.filled.start, self.filled.end);
            match self.decoder.frame(&self.buffer[start..end]).map_err(Break::Misbehaved)? {
                None => return Ok(None),
                Some(frame) => {
                    self.filled.start += frame.size();
                    if frame.completes() {
                        let bytes = &mut self.buffer[start..start + frame.size()];
                        return self.decoder.take(frame, bytes).map_err(Break::Misbehaved);
                    }
                    let bytes = &mut self.buffer[start..start + frame.size()];
                    self.decoder.take(frame, bytes).map_err(Break::Misbehaved)?;
                }
            }
        }
    }

    /// Reads what is there, once all that was read is used.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Break>> {
        self.make_room();
        match self.stream.poll_read(cx, &mut self.buffer[self.filled.end..]) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(0)) => Poll::Ready(Err(Break::Ended)),
            Poll::Ready(Ok(bytes)) => {
                self.filled.end += bytes;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(Break::Failed(error))),
        }
    }

    /// Moves what is left to the front, and makes the buffer larger only if one frame fills it; smaller again once
    /// that is gone.
    fn make_room(&mut self) {
        if self.filled.start > 0 {
            self.buffer.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        if self.filled.end == self.buffer.len() {
            let larger = (self.buffer.len() * 2).min(self.frame_bytes_max.max(READ_BYTES) + 1);
            self.buffer.resize(larger, 0);
        } else if self.buffer.len() > READ_BYTES && self.filled.is_empty() {
            self.buffer = vec![0; READ_BYTES];
        }
    }
}
