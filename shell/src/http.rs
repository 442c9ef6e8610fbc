//! One request over HTTP to somebody else, who is not believed: what the answer may have is bounded, and so is the time.
//!
//! A redirect is not followed: the operator has said who is asked, and whoever may redirect would say it instead, and could
//! have the gateway ask addresses that only it can reach.

use std::{fmt, io, time::Duration};

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Request, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{ACCEPT, AUTHORIZATION, CONNECTION, HOST, USER_AGENT},
    http::request,
};
use hyper_util::rt::TokioIo;
use tokio::{task::JoinSet, time::timeout};

use crate::{
    config::ServerUrl,
    net,
    tls::{self, ClientTls},
};

/// What the answer may have in headers.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// How many headers the answer may have.
const HEADERS_MAX: usize = 64;

/// Why there is no answer that is of use.
#[derive(Debug)]
pub(crate) enum Fault {
    Timeout(Duration),
    Connect(io::Error),
    Tls(io::Error),
    Http(hyper::Error),
    Request,
    Status(StatusCode),
    TooLarge(usize),
    Broken,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Timeout(limit) => write!(f, "no whole answer within {limit:?}"),
            Fault::Connect(error) => write!(f, "cannot connect: {error}"),
            // It may quote what the peer's certificate says.
            Fault::Tls(error) => write!(f, "no TLS: {}", error.to_string().escape_debug()),
            Fault::Http(error) => write!(f, "no answer in HTTP: {error}"),
            Fault::Request => f.write_str("the URL cannot be asked for"),
            Fault::Status(status) if status.is_redirection() => {
                write!(f, "it answered {status}, which is not followed; write the URL that it leads to")
            }
            Fault::Status(status) => write!(f, "it answered {status} instead of 200"),
            Fault::TooLarge(max) => write!(f, "the answer has more than {max} bytes"),
            Fault::Broken => f.write_str("the answer ended in its middle"),
        }
    }
}

/// Whom to ask, and how much of that to bear.
#[derive(Clone, Copy)]
pub(crate) struct Server<'a> {
    pub(crate) url: &'a ServerUrl,
    /// What it is met with, where its URL is of TLS.
    pub(crate) tls: Option<&'a ClientTls>,
    /// From the name's lookup to the last byte of the answer.
    pub(crate) timeout: Duration,
    /// Of the answer.
    pub(crate) bytes_max: usize,
}

impl Server<'_> {
    /// What is there now, as one of the types in `accept`. `token` is brought as `Authorization: Bearer`.
    pub(crate) async fn get(self, accept: &str, token: Option<&str>) -> Result<Bytes, Fault> {
        let mut head = Request::get(&self.url.path_and_query).header(ACCEPT, accept);
        if let Some(token) = token {
            head = head.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        self.send(head, Bytes::new()).await
    }

    /// What it answers to that: with 200, and whole.
    pub(crate) async fn send(self, head: request::Builder, body: Bytes) -> Result<Bytes, Fault> {
        let limit = self.timeout;
        timeout(limit, self.exchange(head, body)).await.unwrap_or(Err(Fault::Timeout(limit)))
    }

    async fn exchange(self, head: request::Builder, body: Bytes) -> Result<Bytes, Fault> {
        let Server { url, bytes_max, .. } = self;
        let stream = net::connect(&url.host, url.port, self.timeout).await.map_err(Fault::Connect)?;
        // Where there is such a URL, the configuration has made it.
        let tls = self.tls.filter(|_| url.secure);
        if url.secure && tls.is_none() {
            return Err(Fault::Request);
        }
        let transport = tls::connect(tls, &url.host, stream).await.map_err(Fault::Tls)?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEADER_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .handshake(TokioIo::new(transport))
            .await
            .map_err(Fault::Http)?;
        // Once this is dropped, whatever has come of it, the connection is too.
        let mut driven = JoinSet::new();
        driven.spawn_local(connection);
        let head =
            head.header(HOST, url.authority()).header(USER_AGENT, "trunkline").header(CONNECTION, "close");
        let request = head.body(Full::new(body)).map_err(|_| Fault::Request)?;
        let response = sender.send_request(request).await.map_err(Fault::Http)?;
        if response.status() != StatusCode::OK {
            return Err(Fault::Status(response.status()));
        }
        read(response.into_body(), bytes_max).await
    }
}

async fn read(body: Incoming, bytes_max: usize) -> Result<Bytes, Fault> {
    match Limited::new(body, bytes_max).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Fault::TooLarge(bytes_max)),
        Err(_) => Err(Fault::Broken),
    }
}
