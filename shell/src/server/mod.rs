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
    time::{sleep, timeout},
};
use trunkline_core::{handshake::may_be_http, path::Routes};

use crate::{
    config::{EndpointConfig, Limits},
    endpoint::{Command, Status},
    net::{self, TcpListener, TcpStream},
};

/// How long accepting pauses when the system has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
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

/// Accepts connections for as long as the gateway runs.
pub(crate) async fn accept(front: Rc<Front>, listener: TcpListener, serves: Serves) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
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
                tracing::warn!(target: "gateway", %error, "cannot accept");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers what comes over one connection, until it is upgraded, ends, or has taken too long.
async fn serve(front: Rc<Front>, mut stream: TcpStream, peer: SocketAddr, serves: Serves) {
    if net::tune_client(&stream).is_err() {
        return;
    }
    let limits = front.limits.clone();
    match timeout(limits.handshake_timeout, net::begins(&mut stream, may_be_http)).await {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) => return handshake::refuse_raw(stream, peer).await,
        Ok(Err(_)) | Err(_) => return,
    }
    let service = service_fn(move |request| {
        let front = Rc::clone(&front);
        async move { Ok::<_, Infallible>(answer(&front, request, peer, serves).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.handshake_timeout)
        .max_buf_size(limits.header_bytes_max)
        .max_headers(limits.headers_max)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    match timeout(limits.handshake_timeout, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(target: "handshake", %peer, %error, "connection ended"),
        Err(_) => tracing::debug!(target: "handshake", %peer, "connection took too long"),
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
