//! One fetch of a set of keys: a GET, and nothing of the answer believed.
//!
//! A redirect is not followed: the operator has said where the keys are, and whoever may redirect would say it instead,
//! and could have the gateway ask addresses that only it can reach.

use std::{fmt, io, time::Duration};

use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::{
    Request, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{ACCEPT, AUTHORIZATION, CONNECTION, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use tokio::{task::JoinSet, time::timeout};

use crate::{
    config::ServerUrl,
    net, tls,
    token::{FetchSettings, SetFault},
    transport::Transport,
};

/// What the answer may have in headers.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// How many headers the answer may have.
const HEADERS_MAX: usize = 64;

/// Why no keys have come.
#[derive(Debug)]
pub(crate) enum FetchFault {
    Timeout(Duration),
    Connect(io::Error),
    Tls(io::Error),
    Http(hyper::Error),
    Request,
    Status(StatusCode),
    TooLarge(usize),
    Broken,
    Set(SetFault),
}

impl fmt::Display for FetchFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FetchFault::Timeout(limit) => write!(f, "no whole answer within {limit:?}"),
            FetchFault::Connect(error) => write!(f, "cannot connect: {error}"),
            // It may quote what the peer's certificate says.
            FetchFault::Tls(error) => write!(f, "no TLS: {}", error.to_string().escape_debug()),
            FetchFault::Http(error) => write!(f, "no answer in HTTP: {error}"),
            FetchFault::Request => f.write_str("the URL cannot be asked for"),
            FetchFault::Status(status) if status.is_redirection() => {
                write!(f, "it answered {status}, which is not followed; write the URL that it leads to")
            }
            FetchFault::Status(status) => write!(f, "it answered {status} instead of 200"),
            FetchFault::TooLarge(max) => write!(f, "the answer has more than {max} bytes"),
            FetchFault::Broken => f.write_str("the answer ended in its middle"),
            FetchFault::Set(fault) => write!(f, "{fault}"),
        }
    }
}

/// What is published at the URL now: at most `bytes_max` bytes, and whole within `timeout`. `token` is brought as
/// `Authorization: Bearer`.
pub(crate) async fn fetch(
    url: &ServerUrl,
    settings: &FetchSettings,
    token: Option<&str>,
) -> Result<Bytes, FetchFault> {
    let limit = settings.timeout;
    timeout(limit, ask(url, settings, token)).await.unwrap_or(Err(FetchFault::Timeout(limit)))
}

async fn ask(url: &ServerUrl, settings: &FetchSettings, token: Option<&str>) -> Result<Bytes, FetchFault> {
    let stream = net::connect(&url.host, url.port, settings.timeout).await.map_err(FetchFault::Connect)?;
    // Where there is such a URL, the configuration has made it.
    let tls = settings.tls.as_ref().filter(|_| url.secure);
    if url.secure && tls.is_none() {
        return Err(FetchFault::Request);
    }
    let transport = tls::connect(tls, &url.host, stream).await.map_err(FetchFault::Tls)?;
    exchange(transport, url, settings.bytes_max, token).await
}

async fn exchange(
    transport: Transport,
    url: &ServerUrl,
    bytes_max: usize,
    token: Option<&str>,
) -> Result<Bytes, FetchFault> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .handshake(TokioIo::new(transport))
        .await
        .map_err(FetchFault::Http)?;
    // Once this is dropped, whatever has come of it, the connection is too.
    let mut driven = JoinSet::new();
    driven.spawn_local(connection);
    let mut request = Request::get(&url.path_and_query)
        .header(HOST, url.authority())
        .header(ACCEPT, "application/jwk-set+json, application/json")
        .header(USER_AGENT, "trunkline")
        .header(CONNECTION, "close");
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|_| FetchFault::Request)?;
    let response = sender.send_request(request).await.map_err(FetchFault::Http)?;
    if response.status() != StatusCode::OK {
        return Err(FetchFault::Status(response.status()));
    }
    read(response.into_body(), bytes_max).await
}

async fn read(body: Incoming, bytes_max: usize) -> Result<Bytes, FetchFault> {
    match Limited::new(body, bytes_max).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(FetchFault::TooLarge(bytes_max)),
        Err(_) => Err(FetchFault::Broken),
    }
}
