//! The door at work: core's machine, with the clock and the chance that it is given, and the connections that it counts.

use std::{
    cell::{Cell, RefCell},
    io,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper::{
    HeaderMap,
    header::{FORWARDED, HeaderName, HeaderValue},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::{
        Notify, OwnedSemaphorePermit, Semaphore, SemaphorePermit,
        mpsc::{self, UnboundedReceiver, UnboundedSender},
    },
};
use trunkline_core::{
    Seldom, Time,
    client_address::{
        Announced,
        proxy_protocol::{self, Progress, Source},
    },
    door::{Door, DoorSettings, Network, Rate},
    handshake::{Answer, RequestFault, spread_retry_after},
};

use crate::{
    clock::Clock,
    config::{ClientAddress, Limits},
    random::Random,
};

/// Connections that are being turned away at most; further ones are cut.
pub(super) const TURNING_AWAY_MAX: usize = 1024;
/// Handshakes that HTTP is spoken with at once: each has buffers. Others wait, and cost next to nothing.
const ACTIVE_MAX: usize = 512;
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who lets connections in to the handshake.
pub(crate) struct Doorkeeper {
    machine: RefCell<Door>,
    clock: Clock,
    random: RefCell<Random>,
    /// How the addresses of those who come now are known.
    client_address: RefCell<Rc<ClientAddress>>,
    /// Addresses of connections that have ended, wherever that was. There is one for each that was counted, at most.
    left: UnboundedSender<Network>,
    collect: RefCell<UnboundedReceiver<Network>>,
    turning_away: Arc<Semaphore>,
    /// Told whenever no handshake is under way any more.
    quiet: Notify,
    active: Semaphore,
    report: RefCell<Report>,
}

/// What was turned away since the log last said so.
#[derive(Default)]
struct Report {
    seldom: Seldom,
    too_many: u64,
    busy: u64,
    cut: u64,
}

/// The clients of the gateway: so many at most. They end wherever they are.
#[derive(Debug)]
pub(crate) struct Places {
    taken: Arc<AtomicUsize>,
    max: Cell<usize>,
}

/// A client that is counted, until this is dropped.
#[derive(Debug)]
pub(super) struct Counted(Arc<AtomicUsize>);

/// A place among the gateway's clients, for as long as the connection lasts.
#[derive(Debug)]
pub(crate) struct Place {
    _client: Counted,
    _address: Option<OfAddress>,
}

/// A connection that is counted for its address, until this is dropped.
#[derive(Debug)]
pub(super) struct OfAddress {
    network: Network,
    left: UnboundedSender<Network>,
}

/// A connection in its handshake.
pub(super) struct Visit {
    door: Rc<Doorkeeper>,
    /// How its address is known.
    client_address: Rc<ClientAddress>,
    peer: SocketAddr,
    client: Cell<IpAddr>,
    address: RefCell<Option<OfAddress>>,
    /// Whether the next request was counted when the connection arrived.
    counted: Cell<bool>,
}

impl Places {
    pub(crate) fn new(max: usize) -> Self {
        Places { taken: Arc::default(), max: Cell::new(max) }
    }

    /// A place, if there is one. Places are taken on this thread only.
    pub(super) fn take(&self) -> Option<Counted> {
        if self.taken() >= self.max.get() {
            return None;
        }
        self.taken.fetch_add(1, Ordering::Relaxed);
        Some(Counted(Arc::clone(&self.taken)))
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many there may be.
    pub(crate) fn max(&self) -> usize {
        self.max.get()
    }

    /// So many there may be from now on. Who has a place keeps it.
    pub(crate) fn set_max(&self, max: usize) {
        self.max.set(max);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Place {
    pub(super) fn new(client: Counted, address: Option<OfAddress>) -> Self {
        Place { _client: client, _address: address }
    }
}

impl Doorkeeper {
    pub(crate) fn new(limits: &Limits, client_address: ClientAddress) -> Rc<Self> {
        let mut random = Random::new();
        let settings = DoorSettings { seed: random.number(), ..limits.door.clone() };
        let (left, collect) = mpsc::unbounded_channel();
        Rc::new(Doorkeeper {
            machine: RefCell::new(Door::new(settings)),
            clock: Clock::start(),
            random: RefCell::new(random),
            client_address: RefCell::new(client_address.into()),
            left,
            collect: RefCell::new(collect),
            turning_away: Arc::new(Semaphore::new(TURNING_AWAY_MAX)),
            quiet: Notify::new(),
            active: Semaphore::new(ACTIVE_MAX),
            report: RefCell::default(),
        })
    }

    /// An operator has decided otherwise: for whoever comes from now on.
    pub(crate) fn change(&self, limits: &Limits, client_address: ClientAddress) {
        self.machine.borrow_mut().change(limits.door.clone());
        self.client_address.replace(client_address.into());
    }

    /// Lets a connection in to its handshake.
    pub(super) fn arrive(self: &Rc<Self>, peer: SocketAddr) -> Result<Visit, Answer> {
        let client = peer.ip().to_canonical();
        let client_address = Rc::clone(&self.client_address.borrow());
        // What a proxy will say is not known yet, and no limit applies to its own address.
        let network = client_address.limited(client);
        let now = self.collect();
        self.machine.borrow_mut().arrive(now, network)?;
        Ok(Visit {
            door: Rc::clone(self),
            client_address,
            peer,
            client: Cell::new(client),
            address: RefCell::new(network.map(|network| self.of_address(network))),
            counted: Cell::new(true),
        })
    }

    /// The gateway drains.
    pub(crate) fn drain(&self) {
        self.machine.borrow_mut().drain();
    }

    /// Whether the gateway has been told to stop.
    pub(crate) fn drains(&self) -> bool {
        self.machine.borrow().drains()
    }

    /// Whether anyone is let in at all.
    pub(super) fn open(&self) -> Result<(), Answer> {
        self.machine.borrow().open()
    }

    /// A user, whose token was verified, asks to come in to an endpoint.
    pub(super) fn attempt_of_user(&self, endpoint: u64, user: &str, rate: Rate) -> Result<(), Answer> {
        let now = self.clock.now();
        self.machine.borrow_mut().attempt_of_user(now, endpoint, user, rate)
    }

    /// What `Retry-After` says to one who is to stay away for at least so long.
    pub(super) fn retry_after(&self, least: Duration) -> u64 {
        spread_retry_after(least.as_secs(), self.random.borrow_mut().number())
    }

    /// A place among those that are being turned away; `None`: the connection is to be cut.
    pub(super) fn turning_away(&self, answer: Answer) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.turning_away).try_acquire_owned().ok();
        let now = self.clock.now();
        let mut report = self.report.borrow_mut();
        match (&place, answer) {
            (None, _) => report.cut += 1,
            (_, Answer::TooMany) => report.too_many += 1,
            _ => report.busy += 1,
        }
        if report.seldom.count(now).is_some() {
            let Report { too_many, busy, cut, seldom } = *report;
            *report = Report { seldom, ..Report::default() };
            tracing::warn!(target: "handshake", too_many, busy, cut, "connections turned away");
        }
        place
    }

    /// Waits until no handshake is under way.
    pub(crate) async fn quiet(&self) {
        loop {
            let quiet = self.quiet.notified();
            if self.machine.borrow().handshakes() == 0 {
                return;
            }
            quiet.await;
        }
    }

    fn of_address(&self, network: Network) -> OfAddress {
        OfAddress { network, left: self.left.clone() }
    }

    /// Takes note of connections that have ended. Returns the time.
    fn collect(&self) -> Time {
        let (mut machine, mut left) = (self.machine.borrow_mut(), self.collect.borrow_mut());
        while let Ok(network) = left.try_recv() {
            machine.leave(Some(network));
        }
        self.clock.now()
    }
}

impl ClientAddress {
    /// What the limits on an address count this one as; `None`: they do not apply to it.
    fn limited(&self, address: IpAddr) -> Option<Network> {
        (!self.proxies.trusts(address)).then(|| address.into())
    }
}

impl Visit {
    /// The client's address, as far as it is known.
    pub(super) fn client(&self) -> IpAddr {
        self.client.get()
    }

    /// Reads what a proxy of the PROXY protocol says first, where that is to be expected. `Some`: the client is turned
    /// away.
    ///
    /// # Errors
    ///
    /// It does not say it.
    pub(super) async fn introduce(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> io::Result<Option<Answer>> {
        let ClientAddress { announced, proxies } = &*self.client_address;
        if *announced != Announced::ProxyProtocol || !proxies.trusts(self.peer.ip()) {
            return Ok(None);
        }
        let mut header = Vec::new();
        let source = loop {
            match proxy_protocol::read(&header) {
                Ok(Progress::Complete(source)) => break source,
                Ok(Progress::Needs(bytes)) => {
                    let read = header.len();
                    header.resize(read + bytes, 0);
                    stream.read_exact(&mut header[read..]).await?;
                }
                Err(_) => return Err(io::ErrorKind::InvalidData.into()),
            }
        };
        match source {
            Source::Peer => Ok(None),
            Source::Client(address) => Ok(self.settle(address).err()),
        }
    }

    /// Waits until HTTP may be spoken with the client.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.door.active.acquire().await.ok()
    }

    /// A request has come. `Err`: what it is answered.
    pub(super) fn ask(&self, headers: &HeaderMap) -> Result<(), Answer> {
        let ClientAddress { announced, proxies } = &*self.client_address;
        let name = match announced {
            Announced::Forwarded => FORWARDED,
            Announced::XForwardedFor => X_FORWARDED_FOR,
            Announced::Peer | Announced::ProxyProtocol => return self.ask_again(),
        };
        let lines: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
        let client = proxies.client(*announced, self.peer.ip(), &lines);
        let client = client.map_err(|_| Answer::BadRequest(RequestFault::Forwarded))?;
        // A proxy may use one connection for several clients, one after the other.
        if self.client() == client {
            return self.ask_again();
        }
        self.count(None)?;
        self.settle(client)
    }

    fn ask_again(&self) -> Result<(), Answer> {
        let network = self.address.borrow().as_ref().map(|counted| counted.network);
        self.count(network)
    }

    /// Counts an attempt, unless it was counted when the connection arrived.
    fn count(&self, network: Option<Network>) -> Result<(), Answer> {
        if self.counted.take() {
            return Ok(());
        }
        let now = self.door.collect();
        self.door.machine.borrow_mut().attempt(now, network)
    }

    /// The client has this address.
    fn settle(&self, client: IpAddr) -> Result<(), Answer> {
        let client = client.to_canonical();
        self.client.set(client);
        drop(self.address.take());
        let now = self.door.collect();
        let Some(network) = self.client_address.limited(client) else { return Ok(()) };
        self.door.machine.borrow_mut().settle(now, network)?;
        self.address.replace(Some(self.door.of_address(network)));
        Ok(())
    }

    /// Gives away what counts the connection for its address.
    pub(super) fn take_address(&self) -> Option<OfAddress> {
        self.address.take()
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut machine = self.door.machine.borrow_mut();
        machine.over();
        if machine.handshakes() == 0 {
            self.door.quiet.notify_waiters();
        }
    }
}

impl Drop for OfAddress {
    fn drop(&mut self) {
        // Where nobody counts any more, the gateway has ended.
        let _ = self.left.send(self.network);
    }
}
