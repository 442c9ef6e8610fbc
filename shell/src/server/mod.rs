//! The front: connections are accepted, handshakes answered, and clients handed on to their endpoint's thread.

mod handshake;
mod health;

use std::{cell::Cell, convert::Infallible, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

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
    time::{Instant, sleep, timeout},
};
use trunkline_core::{
    handshake::{RequestFault, may_be_http},
    path::Routes,
};

use crate::{
    config::{EndpointConfig, Limits},
    endpoint::{Command, Status},
    net::{self, TcpListener, TcpStream},
    tls::{self, ServerTls},
    transport::Transport,
};

/// How long accepting pauses when the system has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long it is not said again that accepting fails.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);
/// Handshakes under way on a listener at most; further connections wait to be accepted.
pub(crate) const HANDSHAKES_MAX: usize = 1024;

/// What the front knows of an endpoint.
pub(crate) struct Gate {
    pub config: EndpointConfig,
    pub commands: mpsc::Sender<Command>,
    pub status: watch::Receiver<Status>,
}

/// What all connections share.
pub(crate) struct Front {
    pub limits: Limits,
    /// What clients are met with, where they are to speak TLS.
    pub tls: Option<ServerTls>,
    pub routes: Routes,
    /// By the index of their template in `routes`.
    pub gates: Vec<Gate>,
    pub draining: Cell<bool>,
    /// Places for clients.
    pub connections: Arc<Semaphore>,
}

/// What a listener is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Serves {
    pub clients: bool,
    pub health: bool,
}

type Answered = Response<Full<Bytes>>;

/// Accepts connections for as long as it is polled; each takes one of the [`HANDSHAKES_MAX`] places in `handshakes`.
pub(crate) async fn accept(
    front: Rc<Front>,
    listener: TcpListener,
    serves: Serves,
    handshakes: Arc<Semaphore>,
) {
    let mut complaints = Complaints::default();
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&handshakes).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let front = Rc::clone(&front);
                tokio::task::spawn_local(async move {
                    serve(front, stream, peer, serves).await;
                    drop(place);
                });
            }
            Err(error) => {
                complaints.log(&error);
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The log of failures to accept: one may follow the other for as long as clients hold all descriptors.
#[derive(Default)]
struct Complaints {
    logged_at: Option<Instant>,
    /// Failures since then.
    since: u64,
}

impl Complaints {
    fn log(&mut self, error: &std::io::Error) {
        self.since += 1;
        if self.logged_at.is_none_or(|at| at.elapsed() >= COMPLAINT_INTERVAL) {
            tracing::warn!(target: "gateway", %error, count = self.since, "cannot accept");
            *self = Complaints { logged_at: Some(Instant::now()), since: 0 };
        }
    }
}

/// Answers what comes over one connection, until it is upgraded, ends, or has taken too long.
async fn serve(front: Rc<Front>, stream: TcpStream, peer: SocketAddr, serves: Serves) {
    if net::tune_client(&stream).is_err() {
        return;
    }
    let limit = front.limits.handshake_timeout;
    let served = async {
        if let Some(transport) = begin(&front, stream, peer, serves).await {
            serve_http(front, transport, peer, serves).await;
        }
    };
    if timeout(limit, served).await.is_err() {
        tracing::debug!(target: "handshake", %peer, "connection took too long");
    }
}

/// What HTTP is to be spoken over, once the connection has shown what it is; `None`: it has ended, or been told why
/// it is of no use.
async fn begin(front: &Front, mut stream: TcpStream, peer: SocketAddr, serves: Serves) -> Option<Transport> {
    let tls = front.tls.as_ref().filter(|_| serves.clients);
    let (expected, fault): (fn(&[u8]) -> bool, _) = match tls {
        Some(_) => (tls::may_be_tls, RequestFault::NotTls),
        None => (may_be_http, RequestFault::NotHttp),
    };
    if !net::begins(&mut stream, expected).await.ok()? {
        handshake::refuse_raw(stream, peer, fault).await;
        return None;
    }
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

async fn serve_http(front: Rc<Front>, transport: Transport, peer: SocketAddr, serves: Serves) {
    let limits = front.limits.clone();
    let service = service_fn(move |request| {
        let front = Rc::clone(&front);
        async move { Ok::<_, Infallible>(answer(&front, request, peer, serves).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.handshake_timeout)
        .max_buf_size(limits.header_bytes_max)
        .max_headers(limits.headers_max)
        .serve_connection(TokioIo::new(transport), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::debug!(target: "handshake", %peer, %error, "connection ended");
    }
}

async fn answer(front: &Rc<Front>, request: Request<Incoming>, peer: SocketAddr, serves: Serves) -> Answered {
    if serves.health
        && let Some(answer) = health::answer(front, request.uri())
    {
        return answer;
    }
    handshake::answer(front, request, peer, serves.clients).await
}
