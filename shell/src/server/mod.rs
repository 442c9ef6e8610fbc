//! The front: connections are accepted, handshakes answered, and clients handed on to their endpoint's thread.

mod answers;
mod door;
mod handshake;
mod health;

use std::{
    cell::RefCell, convert::Infallible, net::SocketAddr, path::PathBuf, rc::Rc, sync::Arc, time::Duration,
};

use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::{sleep, timeout},
};
use trunkline_core::{
    DrainSettings, Seldom,
    handshake::{Answer, RequestFault, may_be_http},
    path::Routes,
};

use self::answers::{CUT, TIMED_OUT, TLS_FAILED};
use self::door::{TURNING_AWAY_MAX, Visit};
pub(crate) use self::{
    answers::Answers,
    door::{Doorkeeper, Place, Places},
};

use crate::{
    clock::Clock,
    config::{EndpointConfig, Limits},
    endpoint::{Command, Status},
    jwks::Keeper,
    metrics::EndpointMetrics,
    net::{self, TcpListener, TcpStream},
    series::Series,
    spans::Tracer,
    tls::{self, ServerTls},
    transport::Transport,
    worker::Seat,
};

/// How long accepting pauses when the system has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections of a listener for health alone, at most; further ones wait to be accepted.
const HEALTH_CONNECTIONS_MAX: usize = 256;
/// Connections that are neither counted among clients nor among handshakes.
pub(crate) const OTHER_CONNECTIONS_MAX: usize = HEALTH_CONNECTIONS_MAX + TURNING_AWAY_MAX;
/// Handshakes at most that wait for an issuer's newer keys; the others keep their places.
const LOOKUPS_MAX: usize = 256;

/// What the front knows of an endpoint, as one configuration has it.
pub(crate) struct Gate {
    pub config: EndpointConfig,
    pub desk: Rc<Desk>,
    /// Who fetches the verifier's published keys, in its order.
    pub keepers: Vec<Rc<Keeper>>,
}

/// What the front has of an endpoint for as long as it lives, whatever configurations come.
pub(crate) struct Desk {
    /// No other endpoint ever has it.
    pub number: u64,
    pub commands: mpsc::Sender<Command>,
    pub status: watch::Receiver<Status>,
    pub metrics: Arc<EndpointMetrics>,
    /// How handshakes were answered that found it.
    pub answers: Answers,
    /// What happened in each of the last seconds.
    pub series: RefCell<Series>,
    /// Its place on a thread.
    pub _seat: Seat,
}

impl Desk {
    /// Resolves when the endpoint has drained and ended.
    pub(crate) async fn ended(&self) {
        let mut status = self.status.clone();
        while status.changed().await.is_ok() {}
    }
}

/// What newcomers meet, as one configuration has it. A handshake sees one of them, whole.
#[derive(Clone)]
pub(crate) struct Table {
    pub limits: Limits,
    /// What clients are met with, where they are to speak TLS.
    pub tls: Option<ServerTls>,
    pub routes: Routes,
    /// By the index of their template in `routes`.
    pub gates: Vec<Rc<Gate>>,
    /// Of endpoints that are not configured any more, and have not ended.
    pub leaving: Vec<Rc<Gate>>,
    /// Where recordings are written.
    pub folder: Option<PathBuf>,
    pub drain: DrainSettings,
}

/// What all connections share.
pub(crate) struct Front {
    table: RefCell<Rc<Table>>,
    /// How handshakes were answered that found no endpoint.
    pub answers: Answers,
    pub door: Rc<Doorkeeper>,
    /// What makes spans of handshakes, where there are any.
    pub tracer: Option<Tracer>,
    /// Places for clients.
    pub places: Places,
    /// Places for handshakes that wait for newer keys.
    pub lookups: Semaphore,
}

impl Table {
    /// Of all endpoints that live.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Rc<Gate>> {
        self.gates.iter().chain(&self.leaving)
    }
}

impl Front {
    pub(crate) fn new(table: Table, door: Rc<Doorkeeper>, tracer: Option<Tracer>) -> Self {
        Front {
            places: Places::new(table.limits.connections_max),
            table: RefCell::new(table.into()),
            answers: Answers::default(),
            door,
            tracer,
            lookups: Semaphore::new(LOOKUPS_MAX),
        }
    }

    /// What holds now.
    pub(crate) fn table(&self) -> Rc<Table> {
        Rc::clone(&self.table.borrow())
    }

    /// An endpoint that was leaving has ended.
    pub(crate) fn forget(&self, desk: &Rc<Desk>) {
        let mut table = Table::clone(&self.table());
        table.leaving.retain(|gate| !Rc::ptr_eq(&gate.desk, desk));
        self.set_table(table);
    }

    /// Whoever comes from now on meets this.
    pub(crate) fn set_table(&self, table: Table) {
        self.places.set_max(table.limits.connections_max);
        self.table.replace(table.into());
    }
}

/// What a listener is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Serves {
    /// Clients, and questions about health too unless those have a listener of their own.
    Clients { health: bool },
    /// Questions about health alone.
    Health,
    /// Operators: not a matter of the front.
    Admin,
}

impl Serves {
    fn clients(self) -> bool {
        matches!(self, Serves::Clients { .. })
    }

    fn health(self) -> bool {
        matches!(self, Serves::Clients { health: true } | Serves::Health)
    }
}

type Answered = Response<Full<Bytes>>;

/// Accepts connections for as long as it is polled. Clients never wait to be accepted: who is too many is told so.
pub(crate) async fn accept(front: Rc<Front>, listener: TcpListener, serves: Serves) {
    let for_health = Arc::new(Semaphore::new(HEALTH_CONNECTIONS_MAX));
    // It may fail again and again for as long as clients hold all descriptors.
    let (clock, mut failures) = (Clock::start(), Seldom::default());
    loop {
        let place = match serves.clients() {
            true => None,
            // The semaphore is never closed.
            false => Arc::clone(&for_health).acquire_owned().await.ok(),
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let visit = match serves.clients() {
                    true => match front.door.arrive(peer) {
                        Ok(visit) => Some(Rc::new(visit)),
                        Err(answer) => {
                            turn_away(&front, stream, peer, answer);
                            continue;
                        }
                    },
                    false => None,
                };
                let front = Rc::clone(&front);
                tokio::task::spawn_local(async move {
                    serve(front, stream, peer, serves, visit).await;
                    drop(place);
                });
            }
            Err(error) => {
                if let Some(count) = failures.count(clock.now()) {
                    tracing::warn!(target: "gateway", %error, count, "cannot accept");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Turns a connection away before it has said anything: with an answer, or, where too many get one already, without.
fn turn_away(front: &Rc<Front>, stream: TcpStream, peer: SocketAddr, answer: Answer) {
    let place = front.door.turning_away(answer);
    front.answers.count(if place.is_some() { answer.code() } else { CUT });
    let Some(place) = place else { return };
    let table = front.table();
    let retry_after = front.door.retry_after(table.limits.retry_after);
    tokio::task::spawn_local(async move {
        handshake::turn_away(stream, peer, table.tls.is_some(), answer, retry_after).await;
        drop(place);
    });
}

/// Answers what comes over one connection, until it is upgraded, ends, or has taken too long.
async fn serve(
    front: Rc<Front>,
    stream: TcpStream,
    peer: SocketAddr,
    serves: Serves,
    visit: Option<Rc<Visit>>,
) {
    if net::tune_client(&stream).is_err() {
        return;
    }
    let table = front.table();
    let limit = table.limits.handshake_timeout;
    let (timed_out, is_client) = (Rc::clone(&front), visit.is_some());
    let served = async {
        let Some(stream) = begin(&front, &table, stream, peer, visit.as_deref()).await else { return };
        // Only those who have begun to say something take a turn, so that the silent are in nobody's way.
        let turn = match &visit {
            None => None,
            Some(visit) => visit.turn().await,
        };
        // What waits is small: this is made when its turn has come.
        let tls = table.tls.as_ref().filter(|_| visit.is_some());
        let Some(transport) = Box::pin(secure(tls, stream, peer)).await else {
            return front.answers.count(TLS_FAILED);
        };
        Box::pin(serve_http(front, &table.limits, transport, peer, serves, visit.clone())).await;
        drop(turn);
    };
    if timeout(limit, served).await.is_err() {
        if is_client {
            timed_out.answers.count(TIMED_OUT);
        }
        tracing::debug!(target: "handshake", %peer, "connection took too long");
    }
}

/// Waits until the connection has shown what it is; `None`: it has ended, or been told why it is of no use. Where there
/// is no `visit`, only questions about health are answered, without TLS.
async fn begin(
    front: &Rc<Front>,
    table: &Table,
    mut stream: TcpStream,
    peer: SocketAddr,
    visit: Option<&Visit>,
) -> Option<TcpStream> {
    if let Some(visit) = visit {
        match visit.introduce(&mut stream).await {
            Ok(None) => {}
            Ok(Some(answer)) => {
                turn_away(front, stream, peer, answer);
                return None;
            }
            Err(error) => {
                tracing::debug!(target: "handshake", %peer, %error, "no PROXY header");
                return None;
            }
        }
    }
    let tls = table.tls.as_ref().filter(|_| visit.is_some());
    let (expected, fault): (fn(&[u8]) -> bool, _) = match tls {
        Some(_) => (tls::may_be_tls, RequestFault::NotTls),
        None => (may_be_http, RequestFault::NotHttp),
    };
    if !net::begins(&mut stream, expected).await.ok()? {
        let answer = Answer::BadRequest(fault);
        if visit.is_some() {
            front.answers.count(answer.code());
        }
        handshake::turn_away(stream, peer, tls.is_some(), answer, 0).await;
        return None;
    }
    Some(stream)
}

/// What HTTP is to be spoken over; `None`: there is no agreement on that.
async fn secure(tls: Option<&ServerTls>, stream: TcpStream, peer: SocketAddr) -> Option<Transport> {
    let Some(tls) = tls else { return Some(Transport::plain(stream)) };
    match tls::accept(tls.current(), stream).await {
        Ok(transport) => Some(transport),
        Err(error) => {
            // It may quote the peer.
            let error = error.to_string();
            tracing::debug!(target: "handshake", %peer, ?error, "TLS handshake failed");
            None
        }
    }
}

async fn serve_http(
    front: Rc<Front>,
    limits: &Limits,
    transport: Transport,
    peer: SocketAddr,
    serves: Serves,
    visit: Option<Rc<Visit>>,
) {
    let builder = {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(limits.handshake_timeout)
            .max_buf_size(limits.header_bytes_max)
            .max_headers(limits.headers_max);
        builder
    };
    let service = service_fn(move |request| {
        let (front, visit) = (Rc::clone(&front), visit.clone());
        async move { Ok::<_, Infallible>(answer(&front, request, peer, serves, visit.as_deref()).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(transport), service).with_upgrades();
    if let Err(error) = connection.await {
        tracing::debug!(target: "handshake", %peer, %error, "connection ended");
    }
}

async fn answer(
    front: &Rc<Front>,
    request: Request<Incoming>,
    peer: SocketAddr,
    serves: Serves,
    visit: Option<&Visit>,
) -> Answered {
    if serves.health()
        && let Some(answer) = health::answer(front, request.uri())
    {
        return answer;
    }
    handshake::answer(front, request, peer, visit).await
}
