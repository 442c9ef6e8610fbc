//! Where operators ask and act: `/metrics`, the API of `docs/openapi.json`, and a page that shows it.
//!
//! It lives on the front's thread. What an endpoint's thread writes for anybody to read (`metrics`) it reads; all else it
//! asks the endpoint's driver (`endpoint::Question`), which answers within its turn. Nothing is locked.
//!
//! - `guard` says who may ask at all, `routes` what there is to ask.
//! - `read` answers, `act` carries out, `describe` makes JSON of what it is given.
//! - `page` is what a browser is given.

mod act;
mod describe;
mod guard;
mod page;
mod read;
mod reply;
mod routes;

use std::{
    cell::RefCell, convert::Infallible, future::pending, net::SocketAddr, rc::Rc, sync::Arc, time::Duration,
};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    sync::{Notify, Semaphore},
    time::{sleep, timeout},
};

use self::{
    reply::{Answered, Fault},
    routes::{Found, Route},
};
use crate::{
    config::AdminConfig,
    net::{self, TcpListener, TcpStream},
    reload::Reloads,
    series,
    server::Front,
    tls,
    transport::Transport,
};

/// Connections of operators at most; further ones wait to be accepted.
pub(crate) const CONNECTIONS_MAX: usize = 64;
/// How long a TLS handshake may take, and how long the head of a request is waited for.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a request may take from its head to its answer.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// The head of a request.
const HEAD_BYTES_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 64;
/// How long accepting pauses when the system has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// What all connections of operators share.
pub(crate) struct Admin {
    front: Rc<Front>,
    config: RefCell<Rc<AdminConfig>>,
    reloads: Rc<Reloads>,
    /// When the gateway started, in milliseconds of Unix time.
    started_at: u64,
    /// Told when an operator wants the gateway to stop.
    drain: Notify,
}

impl Admin {
    pub(crate) fn new(
        front: Rc<Front>,
        config: AdminConfig,
        reloads: Rc<Reloads>,
        started_at: u64,
    ) -> Rc<Self> {
        let config = RefCell::new(config.into());
        Rc::new(Admin { front, config, reloads, started_at, drain: Notify::new() })
    }

    /// What holds for whoever asks now.
    pub(crate) fn config(&self) -> Rc<AdminConfig> {
        Rc::clone(&self.config.borrow())
    }

    /// Something else holds for whoever asks from now on, but for where that is.
    pub(crate) fn change(&self, config: AdminConfig) {
        let address = self.config().address;
        self.config.replace(AdminConfig { address, ..config }.into());
    }
}

/// Resolves when an operator has said that the gateway is to stop.
pub(crate) async fn told_to_drain(admin: Option<&Admin>) {
    match admin {
        Some(admin) => admin.drain.notified().await,
        None => pending().await,
    }
}

/// Accepts connections of operators for as long as it is polled.
pub(crate) async fn accept(admin: Rc<Admin>, listener: TcpListener) {
    tokio::task::spawn_local(series::keep(Rc::clone(&admin.front)));
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // The semaphore is never closed.
        let place = Arc::clone(&places).acquire_owned().await.ok();
        match listener.accept().await {
            Ok((stream, peer)) => {
                let admin = Rc::clone(&admin);
                tokio::task::spawn_local(async move {
                    serve(admin, stream, peer).await;
                    drop(place);
                });
            }
            // The front says so too, where it happens to it.
            Err(error) => {
                tracing::debug!(target: "gateway", %error, "cannot accept operators");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(admin: Rc<Admin>, stream: TcpStream, peer: SocketAddr) {
    if net::tune_client(&stream).is_err() {
        return;
    }
    let transport = match &admin.config().tls {
        None => Transport::plain(stream),
        Some(tls) => match timeout(HEAD_TIME, tls::accept(tls.current(), stream)).await {
            Ok(Ok(transport)) => transport,
            _ => return tracing::debug!(target: "gateway", %peer, "no TLS with an operator"),
        },
    };
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    let service = service_fn(move |request| {
        let admin = Rc::clone(&admin);
        async move { Ok::<_, Infallible>(answer(&admin, request, peer).await) }
    });
    if let Err(error) = builder.serve_connection(TokioIo::new(transport), service).await {
        tracing::debug!(target: "gateway", %peer, %error, "connection of an operator ended");
    }
}

async fn answer(admin: &Admin, request: Request<Incoming>, peer: SocketAddr) -> Answered {
    match timeout(ANSWER_TIME, decide(admin, request, peer)).await {
        Ok(Ok(answered)) => answered,
        Ok(Err(fault)) => fault.answer(),
        Err(_) => Fault::Busy.answer(),
    }
}

async fn decide(admin: &Admin, request: Request<Incoming>, peer: SocketAddr) -> Result<Answered, Fault> {
    let config = admin.config();
    guard::check_place(&config, &request)?;
    let trial = config.trial.as_ref().and_then(|trial| trial.get());
    if let Some(file) = page::find(request.method(), request.uri().path(), request.headers(), trial) {
        return Ok(file);
    }
    guard::check_token(&config, request.headers())?;
    let (method, path, query) = (request.method().clone(), request.uri().path(), request.uri().query());
    let Found { route, params } = routes::find(&method, path)?;
    let query = routes::Query::parse(query, route)?;
    if route.changes() {
        tracing::info!(target: "gateway", %peer, %method, path, "an operator acts");
    }
    let params: Vec<&str> = params.iter().map(String::as_str).collect();
    match (route, params.as_slice()) {
        (Route::Metrics, _) => Ok(read::metrics(admin)),
        (Route::Overview, _) => Ok(read::overview(admin)),
        (Route::Endpoints, _) => Ok(read::endpoints(admin)),
        (Route::Endpoint, [name]) => read::endpoint(admin, name),
        (Route::Series, [name]) => read::series(admin, name, &query),
        (Route::Recording, [name]) => read::recording(admin, name).await,
        (Route::Session, [name, id]) => read::session(admin, name, id).await,
        (Route::Sessions, _) => read::sessions(admin, &query).await,
        (Route::Closes, _) => read::closes(admin, &query).await,
        (Route::Log, _) => read::log(),
        (Route::OpenApi, _) => Ok(read::openapi()),
        (Route::CloseSession, [name, id]) => act::close_session(admin, name, id).await,
        (Route::CloseUser, _) => act::close_user(admin, reply::body(request).await?).await,
        (Route::Drain, _) => Ok(act::drain(admin)),
        (Route::Configuration, _) => Ok(read::configuration(admin)),
        (Route::Reload, _) => act::reload(admin).await,
        (Route::SetLog, _) => act::set_log(reply::body(request).await?),
        _ => Err(Fault::NotFound),
    }
}
