//! `trunkline connect`: a small terminal client, so that nobody needs another tool to try a gateway.

use std::{
    fmt,
    io::{self, BufRead, Write},
    path::PathBuf,
    thread,
};

use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, sync::mpsc};
use tokio_tungstenite::{
    client_async,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        http::{HeaderValue, header::AUTHORIZATION},
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use crate::{
    config::ServerUrl,
    tls::{self, ClientFiles, ClientTls, TlsFault},
    transport::Transport,
};

/// Why there was no conversation.
#[derive(Debug)]
pub enum ConnectFault {
    /// The URL is none that can be connected to.
    Url(String),
    /// The token has characters that a header cannot have.
    Token,
    /// What the gateway's certificate is to be checked with is of no use.
    Tls(TlsFault),
    /// The gateway answered otherwise than with 101.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The body of the answer.
        body: String,
    },
    /// The connection could not be made, or broke.
    Broken(String),
}

impl fmt::Display for ConnectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectFault::Url(what) => write!(f, "URL: {what}"),
            ConnectFault::Token => f.write_str("token: it has characters that no token has; copy it whole"),
            ConnectFault::Tls(fault) => write!(f, "{fault}"),
            ConnectFault::Refused { status, body } => write!(f, "refused with {status}: {}", printable(body)),
            ConnectFault::Broken(what) => write!(f, "{what}"),
        }
    }
}

impl std::error::Error for ConnectFault {}

/// Connects, sends the lines of standard input, and prints what comes to `out`, until either side closes. With
/// `wss://`, the gateway's certificate must come from a CA in the file `ca`, or else from one of the system's.
///
/// # Errors
///
/// See [`ConnectFault`].
pub async fn run(
    url: &str,
    token: Option<&str>,
    ca: Option<PathBuf>,
    out: &mut impl Write,
) -> Result<(), ConnectFault> {
    let broken = |error: tungstenite::Error| ConnectFault::Broken(error.to_string());
    let server = ServerUrl::websocket(url).map_err(ConnectFault::Url)?;
    let mut request = url.into_client_request().map_err(|error| ConnectFault::Url(error.to_string()))?;
    if let Some(token) = token {
        let value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| ConnectFault::Token)?;
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    let transport = reach(&server, ca).await?;
    let mut socket = match client_async(request, transport).await {
        Ok((socket, _)) => socket,
        Err(tungstenite::Error::Http(response)) => {
            let body = response.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            return Err(ConnectFault::Refused {
                status: response.status().as_u16(),
                body: body.into_owned(),
            });
        }
        Err(tungstenite::Error::Url(error)) => return Err(ConnectFault::Url(error.to_string())),
        Err(error) => return Err(broken(error)),
    };
    say(out, format_args!("connected to {url}; a line is a message, the end of input closes"));
    let mut lines = read_lines();
    let mut open = true;
    loop {
        tokio::select! {
            line = lines.recv(), if open => match line {
                Some(line) => socket.send(Message::text(line)).await.map_err(broken)?,
                None => {
                    open = false;
                    let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
                    socket.close(Some(frame)).await.map_err(broken)?;
                }
            },
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => say(out, format_args!("< {}", printable(&text))),
                Some(Ok(Message::Binary(bytes))) => say(out, format_args!("< {} bytes of binary", bytes.len())),
                Some(Ok(Message::Close(frame))) => say(out, format_args!("closed: {}", describe(frame))),
                Some(Ok(_)) => {}
                Some(Err(tungstenite::Error::ConnectionClosed)) | None => return Ok(()),
                Some(Err(error)) => return Err(broken(error)),
            },
        }
    }
}

async fn reach(server: &ServerUrl, ca: Option<PathBuf>) -> Result<Transport, ConnectFault> {
    let stream = TcpStream::connect((server.host.as_str(), server.port)).await.map_err(|error| {
        ConnectFault::Broken(match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                format!("nobody listens at {}; is the gateway running?", server.authority())
            }
            _ => error.to_string(),
        })
    })?;
    let files = ClientFiles { ca, identity: None };
    let tls = server.secure.then(|| ClientTls::load(files)).transpose().map_err(ConnectFault::Tls)?;
    let secure = tls::connect(tls.as_ref(), &server.host, stream).await;
    secure.map_err(|error| ConnectFault::Broken(format!("no TLS: {}", error.to_string().escape_debug())))
}

/// The lines of standard input, read by a thread of their own: reading them cannot be interrupted.
fn read_lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(1);
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

fn describe(frame: Option<CloseFrame>) -> String {
    match frame {
        Some(frame) if frame.reason.is_empty() => u16::from(frame.code).to_string(),
        Some(frame) => format!("{} {}", u16::from(frame.code), printable(&frame.reason)),
        None => "without a code".to_owned(),
    }
}

/// Text of a peer, its control characters escaped: it is going to a terminal.
pub(crate) fn printable(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

fn say(out: &mut impl Write, line: fmt::Arguments<'_>) {
    // Where nobody can read it, there is nobody to tell.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
