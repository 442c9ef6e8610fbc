//! The handshake: the rows of language.md's table, tried in their order. What each answers is core's to say.

use std::{borrow::Cow, net::SocketAddr, rc::Rc, sync::Arc};

use futures_util::{StreamExt, stream::FuturesUnordered};
use http_body_util::Full;
use hyper::{
    HeaderMap, Request, Response, StatusCode, Version,
    body::{Bytes, Incoming},
    header::{
        CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT,
        SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    },
    upgrade::{OnUpgrade, Parts, Upgraded},
};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{
        OwnedSemaphorePermit,
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    time::timeout,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use trunkline_core::{
    Identity, Refusal, SessionId,
    handshake::{Answer, RequestFault, TokenFault, UpgradeRequest},
};

use super::{Answered, Front, Gate};
use crate::{
    clock::unix_seconds,
    endpoint::Command,
    jwks::Ending,
    net::TcpStream,
    token::{self, Claims, Denied},
    transport::Transport,
};

/// What `Retry-After` says where no endpoint is known yet, in seconds.
const RETRY_AFTER_SECONDS: u64 = 5;

/// A client that is to be let in.
struct Welcome {
    user: String,
    session: SessionId,
    commands: mpsc::Sender<Command>,
    permit: OwnedSemaphorePermit,
    /// The subprotocol that its token came with.
    subprotocol: Option<HeaderValue>,
}

/// Answers a request that is not about health. Where `clients` are not served there is no endpoint.
pub(super) async fn answer(
    front: &Rc<Front>,
    mut request: Request<Incoming>,
    peer: SocketAddr,
    clients: bool,
) -> Answered {
    let upgrade = hyper::upgrade::on(&mut request);
    let gate = if clients { find(front, request.uri().path()) } else { Err(Answer::NotFound) };
    let (gate, params) = match gate {
        Ok(found) => found,
        Err(answer) => return refuse(answer, None, peer),
    };
    let welcome = match decide(front, gate, params, &request).await {
        Ok(welcome) => welcome,
        Err(answer) => return refuse(answer, Some(gate), peer),
    };
    let response = switch(request.headers(), welcome.subprotocol.clone());
    let (endpoint, user, session) = (&gate.config.name, &welcome.user, welcome.session);
    tracing::debug!(target: "handshake", endpoint, %peer, ?user, ?session, "admitted");
    tokio::task::spawn_local(hand_on(welcome, upgrade));
    response
}

type Params<'a> = Vec<(&'a str, Cow<'a, str>)>;

fn find<'a>(front: &'a Front, path: &'a str) -> Result<(&'a Gate, Params<'a>), Answer> {
    if front.draining.get() {
        return Err(Answer::Draining);
    }
    let found = front.routes.find(path).map_err(|_| Answer::BadRequest(RequestFault::Path))?;
    let found = found.ok_or(Answer::NotFound)?;
    let gate = front.gates.get(found.index).ok_or(Answer::NotFound)?;
    Ok((gate, found.params))
}

async fn decide(
    front: &Front,
    gate: &Gate,
    params: Params<'_>,
    request: &Request<Incoming>,
) -> Result<Welcome, Answer> {
    check_upgrade(request)?;
    let (claims, subprotocol) = authenticate(front, gate, request).await?;
    let params = params.iter().map(|(name, value)| (*name, value.as_ref()));
    let identity = Identity::new(&claims.user, params);
    // A place that no session comes to need is given back at once.
    let Ok(permit) = Arc::clone(&front.connections).try_acquire_owned() else {
        return Err(if gate.status.borrow().accepting { Answer::Full } else { Answer::BackendAway });
    };
    let (answer, admitted) = oneshot::channel();
    let ask = Command::Ask { identity, expires: claims.expires, answer };
    // The endpoint goes away only when the gateway does.
    gate.commands.send(ask).await.map_err(|_| Answer::Draining)?;
    let mut asked = Asked { commands: gate.commands.clone(), answer: admitted, session: None };
    asked.wait().await?;
    let session = asked.session.take().ok_or(Answer::Full)?;
    Ok(Welcome { user: claims.user, session, commands: gate.commands.clone(), permit, subprotocol })
}

/// A session that was asked for and that nobody has taken. hyper drops a request whose client has gone wherever it
/// waits, and the endpoint may have admitted it by then: so whoever drops this abandons the session.
struct Asked {
    commands: mpsc::Sender<Command>,
    answer: oneshot::Receiver<Result<SessionId, Refusal>>,
    session: Option<SessionId>,
}

impl Asked {
    /// Waits until the client is admitted.
    async fn wait(&mut self) -> Result<(), Answer> {
        self.session = Some((&mut self.answer).await.map_err(|_| Answer::Draining)??);
        Ok(())
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        // From here on, the endpoint is told that there is nobody to answer.
        self.answer.close();
        let untaken = self.session.take().or_else(|| self.answer.try_recv().ok()?.ok());
        let Some(session) = untaken else { return };
        if let Err(TrySendError::Full(abandon)) = self.commands.try_send(Command::Abandon { session }) {
            let commands = self.commands.clone();
            tokio::task::spawn_local(async move {
                // The driver takes commands for as long as it lives.
                let _ = commands.send(abandon).await;
            });
        }
    }
}

fn check_upgrade(request: &Request<Incoming>) -> Result<(), Answer> {
    fn lines(headers: &HeaderMap, name: HeaderName) -> Vec<&[u8]> {
        headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
    }
    let headers = request.headers();
    UpgradeRequest {
        method: request.method().as_str(),
        version: if request.version() == Version::HTTP_11 { (1, 1) } else { (1, 0) },
        connection: &lines(headers, CONNECTION),
        upgrade: &lines(headers, UPGRADE),
        websocket_version: &lines(headers, SEC_WEBSOCKET_VERSION),
        websocket_key: &lines(headers, SEC_WEBSOCKET_KEY),
    }
    .check()
}

async fn authenticate(
    front: &Front,
    gate: &Gate,
    request: &Request<Incoming>,
) -> Result<(Claims, Option<HeaderValue>), Answer> {
    let found = token::find(&gate.config.token.sources, request.headers(), request.uri().query());
    let found = found.ok_or(Answer::Unauthorized(TokenFault::Missing))?;
    let claims = match gate.config.verifier.judge(&found.token, unix_seconds()) {
        Ok(claims) => claims,
        Err(denied) => with_newer_keys(front, gate, &found.token, denied).await?,
    };
    let subprotocol = found.subprotocol.and_then(|name| HeaderValue::from_str(name).ok());
    Ok((claims, subprotocol))
}

/// Looks whether newer keys prove what a token says. Where none are to be had for now, what is known has to do: so
/// tokens that name keys that do not exist cost their issuer next to nothing, however many there are.
async fn with_newer_keys(front: &Front, gate: &Gate, token: &str, denied: Denied) -> Result<Claims, Answer> {
    let keepers = || denied.lacking.iter().filter_map(|place| gate.keepers.get(*place));
    let unproven = |fault| match keepers().any(|keeper| !keeper.has_keys()) {
        true => Answer::KeysUnavailable,
        false => Answer::Unauthorized(fault),
    };
    if denied.lacking.is_empty() {
        return Err(Answer::Unauthorized(denied.fault));
    }
    let mut endings: FuturesUnordered<_> =
        keepers().filter_map(|keeper| keeper.ask()).map(Ending::wait).collect();
    if endings.is_empty() {
        return Err(unproven(denied.fault));
    }
    // Whoever finds no place is not told that the token is bad: nobody has looked.
    let Ok(_place) = front.lookups.try_acquire() else { return Err(Answer::KeysUnavailable) };
    let proven = async {
        while let Some(()) = endings.next().await {
            if let Ok(claims) = gate.config.verifier.judge(token, unix_seconds()) {
                return Ok(claims);
            }
        }
        Err(unproven(denied.fault))
    };
    // The rest of the handshake needs time too.
    let limit = front.limits.handshake_timeout / 2;
    timeout(limit, proven).await.unwrap_or(Err(Answer::KeysUnavailable))
}

/// 101 (RFC 6455, section 4.2.2).
fn switch(headers: &HeaderMap, subprotocol: Option<HeaderValue>) -> Answered {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let key = headers.get(SEC_WEBSOCKET_KEY).map_or(&[][..], HeaderValue::as_bytes);
    let accept = HeaderValue::try_from(derive_accept_key(key.trim_ascii()));
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = accept {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(subprotocol) = subprotocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    response
}

/// Any answer but 101: a small JSON body says what was wrong.
fn refuse(answer: Answer, gate: Option<&Gate>, peer: SocketAddr) -> Answered {
    let endpoint = gate.map(|gate| gate.config.name.as_str());
    let (status, code) = (answer.status(), answer.code());
    tracing::debug!(target: "handshake", endpoint, %peer, status, code, "refused");
    let mut response = Response::new(Full::new(Bytes::from(explain(answer))));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in answer.headers() {
        if let Ok(name) = HeaderName::try_from(*name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    if answer.retry_after() {
        let seconds = gate.map_or(RETRY_AFTER_SECONDS, |gate| gate.config.retry_after.as_secs());
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Answers what hyper cannot read, or would answer without saying what is wrong.
pub(super) async fn refuse_raw(mut stream: TcpStream, peer: SocketAddr, fault: RequestFault) {
    let answer = Answer::BadRequest(fault);
    tracing::debug!(target: "handshake", %peer, status = answer.status(), code = answer.code(), "refused");
    let body = explain(answer);
    let head = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n";
    let response = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    // What has come is read first, or the end of the connection would take the answer with it. Whether that can be
    // written is no more of our concern.
    let _ = stream.read(&mut [0; 1024]).await;
    let _ = stream.write_all(response.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// The body of an answer.
fn explain(answer: Answer) -> String {
    json!({ "error": answer.code(), "message": answer.message() }).to_string()
}

/// Hands an admitted client's connection on to its endpoint, once the 101 is written; a client that does not get it
/// has left.
async fn hand_on(welcome: Welcome, upgrade: OnUpgrade) {
    let Welcome { session, commands, permit, .. } = welcome;
    let command = match upgrade.await.ok().and_then(take_socket) {
        Some((transport, early)) => Command::Attach { session, transport, early, permit },
        None => Command::Abandon { session },
    };
    // The driver takes commands for as long as it lives.
    let _ = commands.send(command).await;
}

fn take_socket(upgraded: Upgraded) -> Option<(Transport, Vec<u8>)> {
    let Parts { io, read_buf, .. } = upgraded.downcast::<TokioIo<Transport>>().ok()?;
    Some((io.into_inner().detach().ok()?, read_buf.to_vec()))
}
