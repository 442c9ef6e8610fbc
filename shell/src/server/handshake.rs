//! The handshake: the rows of language.md's table, tried in their order. What each answers is core's to say.

use std::{
    borrow::Cow,
    fmt::Write,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use http_body_util::Full;
use hyper::{
    HeaderMap, Request, Response, StatusCode, Version,
    body::{Bytes, Incoming},
    header::{
        CONNECTION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, ORIGIN, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT,
        SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    },
    upgrade::{OnUpgrade, Parts, Upgraded},
};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    time::timeout,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use trunkline_core::{
    Identity, Refusal, SessionId,
    handshake::{Answer, RequestFault, Search, TokenFault, UpgradeRequest, select_subprotocol},
    origin::Policy,
};

use super::{Answered, Front, Gate, Place, Table, Visit, answers::ADMITTED};
use crate::{
    clock::unix_seconds,
    endpoint::Command,
    jwks::Ending,
    net::TcpStream,
    spans::{self, Parent},
    tls,
    token::{self, Claims, Denied},
    transport::Transport,
};

/// How long a client that is turned away may take for its part of that, and how much is read of it.
const TURN_AWAY_TIME: Duration = Duration::from_secs(1);
/// How long its request is waited for, so that the answer does not come before it.
const REQUEST_TIME: Duration = Duration::from_millis(250);
const TURN_AWAY_READS: usize = 16;

/// A client that is to be let in.
struct Welcome {
    user: String,
    client: IpAddr,
    session: SessionId,
    commands: mpsc::Sender<Command>,
    place: Place,
    /// The subprotocol that is spoken, if it asked for one that there is.
    subprotocol: Option<HeaderValue>,
}

/// Answers a request that is not about health. Without a `visit` clients are not served, and there is no endpoint.
pub(super) async fn answer(
    front: &Rc<Front>,
    mut request: Request<Incoming>,
    peer: SocketAddr,
    visit: Option<&Visit>,
) -> Answered {
    let upgrade = hyper::upgrade::on(&mut request);
    // Whatever changes meanwhile, this handshake sees one configuration.
    let table = front.table();
    let traced =
        front.tracer.as_ref().and_then(|tracer| Some((tracer, tracer.handshake(request.headers())?)));
    let Some((tracer, handshake)) = traced else {
        return negotiate(front, &table, &request, upgrade, peer, visit, None).await.0;
    };
    let trace = Some(handshake.parent());
    let (response, seen) = negotiate(front, &table, &request, upgrade, peer, visit, trace).await;
    let answer = spans::Answered {
        method: request.method().as_str(),
        secure: table.tls.is_some(),
        status: response.status().as_u16(),
        refused: seen.refused,
        endpoint: seen.gate.map(|gate| (gate.config.name.as_str(), gate.config.path.as_str())),
        session: seen.session,
    };
    tracer.answered(handshake, &answer);
    response
}

/// What has been seen of a handshake, for its span.
struct Seen<'a> {
    gate: Option<&'a Gate>,
    refused: Option<&'static str>,
    session: Option<SessionId>,
}

async fn negotiate<'a>(
    front: &Rc<Front>,
    table: &'a Table,
    request: &'a Request<Incoming>,
    upgrade: OnUpgrade,
    peer: SocketAddr,
    visit: Option<&Visit>,
    trace: Option<Parent>,
) -> (Answered, Seen<'a>) {
    let found = visit.ok_or(Answer::NotFound);
    let found = found.and_then(|visit| Ok((find(front, table, request, visit)?, visit)));
    let client = visit.map_or(peer.ip(), Visit::client);
    let refuse = |answer: Answer, gate| {
        let seen = Seen { gate, refused: Some(answer.code()), session: None };
        (refuse(front, table, answer, gate, peer, client), seen)
    };
    let (found, visit) = match found {
        Ok(found) => found,
        Err(answer) => return refuse(answer, None),
    };
    let gate = found.gate;
    let welcome = match decide(front, table, found, visit, request).await {
        Ok(welcome) => welcome,
        Err(answer) => return refuse(answer, Some(gate)),
    };
    let response = switch(request.headers(), welcome.subprotocol.clone());
    let (endpoint, user, session) = (&gate.config.name, &welcome.user, welcome.session);
    tracing::debug!(target: "handshake", endpoint, %peer, %client, ?user, ?session, "admitted");
    gate.desk.answers.count(ADMITTED);
    let seen = Seen { gate: Some(gate), refused: None, session: Some(session) };
    tokio::task::spawn_local(hand_on(welcome, upgrade, trace));
    (response, seen)
}

/// The endpoint that is asked for.
struct Found<'a> {
    gate: &'a Gate,
    params: Vec<(&'a str, Cow<'a, str>)>,
}

fn find<'a>(
    front: &Front,
    table: &'a Table,
    request: &'a Request<Incoming>,
    visit: &Visit,
) -> Result<Found<'a>, Answer> {
    front.door.open()?;
    visit.ask(request.headers())?;
    let path = request.uri().path();
    let found = table.routes.find(path).map_err(|_| Answer::BadRequest(RequestFault::Path))?;
    let found = found.ok_or(Answer::NotFound)?;
    let gate = table.gates.get(found.index).ok_or(Answer::NotFound)?;
    Ok(Found { gate, params: found.params })
}

async fn decide(
    front: &Front,
    table: &Table,
    found: Found<'_>,
    visit: &Visit,
    request: &Request<Incoming>,
) -> Result<Welcome, Answer> {
    let Found { gate, params } = found;
    check_upgrade(request)?;
    check_origin(gate, request.headers())?;
    let (claims, subprotocol) = authenticate(front, table, gate, request).await?;
    front.door.attempt_of_user(gate.desk.number, &claims.user, gate.config.attempts_per_user)?;
    let params = params.iter().map(|(name, value)| (*name, value.as_ref()));
    let identity = Identity::new(&claims.user, params);
    // A place that no session comes to need is given back at once.
    let Some(counted) = front.places.take() else {
        return Err(if gate.desk.status.borrow().accepting { Answer::Full } else { Answer::BackendAway });
    };
    let (answer, admitted) = oneshot::channel();
    let ask = Command::Ask { identity, expires: claims.expires, answer };
    // An endpoint that has ended was drained.
    gate.desk.commands.send(ask).await.map_err(|_| Answer::Draining)?;
    let mut asked = Asked { commands: gate.desk.commands.clone(), answer: admitted, session: None };
    asked.wait().await?;
    let session = asked.session.take().ok_or(Answer::Full)?;
    let place = Place::new(counted, visit.take_address());
    let client = visit.client();
    Ok(Welcome {
        user: claims.user,
        client,
        session,
        commands: gate.desk.commands.clone(),
        place,
        subprotocol,
    })
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

/// The values of a header, one for each line on which it came.
fn lines(headers: &HeaderMap, name: HeaderName) -> Vec<&[u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
}

/// Whether pages of the origin that the request comes from may connect.
fn check_origin(gate: &Gate, headers: &HeaderMap) -> Result<(), Answer> {
    let takes_cookies =
        gate.config.token.sources.iter().any(|source| matches!(source, token::Source::Cookie(_)));
    let policy = match &gate.config.origins {
        Some(origins) => Policy::Listed(origins),
        None if takes_cookies => Policy::SameHost,
        None => Policy::Any,
    };
    let allowed = policy.allows(&lines(headers, ORIGIN), &lines(headers, HOST));
    if allowed { Ok(()) } else { Err(Answer::ForeignOrigin) }
}

fn check_upgrade(request: &Request<Incoming>) -> Result<(), Answer> {
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
    table: &Table,
    gate: &Gate,
    request: &Request<Incoming>,
) -> Result<(Claims, Option<HeaderValue>), Answer> {
    let found = token::find(&gate.config.token.sources, request.headers(), request.uri().query());
    let found = found.ok_or(Answer::Unauthorized(TokenFault::Missing))?;
    let claims = match gate.config.verifier.judge(&found.token, unix_seconds()) {
        Ok(claims) => claims,
        Err(denied) => with_newer_keys(front, table, gate, &found.token, denied).await?,
    };
    // Whoever offers the name that its token follows has offered nothing else that is sure to be a subprotocol.
    let offered = || {
        let offers = lines(request.headers(), SEC_WEBSOCKET_PROTOCOL);
        select_subprotocol(&offers, &gate.config.subprotocols)
    };
    let subprotocol = found.subprotocol.or_else(offered);
    Ok((claims, subprotocol.and_then(|name| HeaderValue::from_str(name).ok())))
}

/// Looks whether newer keys prove what a token says. Where none are to be had for now, what is known has to do: so
/// tokens that name keys that do not exist cost their issuer next to nothing, however many there are.
async fn with_newer_keys(
    front: &Front,
    table: &Table,
    gate: &Gate,
    token: &str,
    denied: Denied,
) -> Result<Claims, Answer> {
    let keepers = || denied.lacking.iter().filter_map(|place| gate.keepers.get(*place));
    let over = || Search::Over { all_have_keys: keepers().all(|keeper| keeper.has_keys()) };
    let mut endings: FuturesUnordered<_> =
        keepers().filter_map(|keeper| keeper.ask()).map(Ending::wait).collect();
    if endings.is_empty() {
        return Err(over().answer(denied.fault));
    }
    let cut_short = Search::CutShort.answer(denied.fault);
    let Ok(_place) = front.lookups.try_acquire() else { return Err(cut_short) };
    let proven = async {
        while let Some(()) = endings.next().await {
            if let Ok(claims) = gate.config.verifier.judge(token, unix_seconds()) {
                return Ok(claims);
            }
        }
        Err(over().answer(denied.fault))
    };
    // The rest of the handshake needs time too.
    let limit = table.limits.handshake_timeout / 2;
    timeout(limit, proven).await.unwrap_or(Err(cut_short))
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
fn refuse(
    front: &Front,
    table: &Table,
    answer: Answer,
    gate: Option<&Gate>,
    peer: SocketAddr,
    client: IpAddr,
) -> Answered {
    let endpoint = gate.map(|gate| gate.config.name.as_str());
    let (status, code) = (answer.status(), answer.code());
    gate.map_or(&front.answers, |gate| &gate.desk.answers).count(code);
    tracing::debug!(target: "handshake", endpoint, %peer, %client, status, code, "refused");
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
        let least = gate.map_or(table.limits.retry_after, |gate| gate.config.retry_after);
        headers.insert(RETRY_AFTER, HeaderValue::from(front.door.retry_after(least)));
    }
    response
}

/// Answers a connection whose request is not looked at: it is none, or there is no time for it. `retry_after` is in
/// seconds, and said where the answer says so. Who has begun with TLS, where that is spoken, could not read an answer
/// and gets an alert.
pub(super) async fn turn_away(
    mut stream: TcpStream,
    peer: SocketAddr,
    speaks_tls: bool,
    answer: Answer,
    retry_after: u64,
) {
    let status = StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::BAD_REQUEST);
    tracing::debug!(target: "handshake", %peer, status = status.as_u16(), code = answer.code(), "refused");
    let body = explain(answer);
    let mut response =
        format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n");
    // Writing to a string cannot fail.
    if answer.retry_after() {
        let _ = write!(response, "Retry-After: {retry_after}\r\n");
    }
    let _ = write!(response, "Content-Length: {}\r\n\r\n{body}", body.len());
    // What has come is read, before and after, or the end of the connection would take the answer with it. Whether that can
    // be written is no more of our concern.
    let turned_away = async {
        let mut buffer = [0; 1024];
        let read = timeout(REQUEST_TIME, stream.read(&mut buffer)).await.unwrap_or(Ok(0))?;
        let in_tls = speaks_tls && tls::may_be_tls(&buffer[..read]);
        stream.write_all(if in_tls { tls::ALERT } else { response.as_bytes() }).await?;
        stream.shutdown().await?;
        for _ in 0..TURN_AWAY_READS {
            if stream.read(&mut buffer).await? == 0 {
                break;
            }
        }
        Ok::<_, std::io::Error>(())
    };
    let _ = timeout(TURN_AWAY_TIME, turned_away).await;
}

/// The body of an answer.
fn explain(answer: Answer) -> String {
    json!({ "error": answer.code(), "message": answer.message() }).to_string()
}

/// Hands an admitted client's connection on to its endpoint, once the 101 is written; a client that does not get it
/// has left.
async fn hand_on(welcome: Welcome, upgrade: OnUpgrade, trace: Option<Parent>) {
    let Welcome { session, commands, place, client, .. } = welcome;
    let command = match upgrade.await.ok().and_then(take_socket) {
        Some((transport, early)) => Command::Attach { session, transport, early, place, client, trace },
        None => Command::Abandon { session },
    };
    // The driver takes commands for as long as it lives.
    let _ = commands.send(command).await;
}

fn take_socket(upgraded: Upgraded) -> Option<(Transport, Vec<u8>)> {
    let Parts { io, read_buf, .. } = upgraded.downcast::<TokioIo<Transport>>().ok()?;
    Some((io.into_inner().detach().ok()?, read_buf.to_vec()))
}
