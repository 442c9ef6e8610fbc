//! A backend that does what a test tells it, and remembers all that it hears.

use std::{
    net::{Ipv4Addr, SocketAddr},
    process,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
};
use tokio_tungstenite::tungstenite::Message;

use super::{
    Event,
    link::{self, Entry, Heard, Link, Order},
    within,
};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 64;
/// Backends that there have been in this process.
static BACKENDS: AtomicU64 = AtomicU64::new(0);

/// How a backend answers the request for an upgrade.
#[derive(Clone, Debug, Default)]
pub enum Upgrade {
    /// As it should.
    #[default]
    Accept,
    /// With these bytes, and the end of the connection.
    Answer(&'static str),
    /// With these bytes, each after this pause; the connection is kept for as long as the gateway keeps it.
    Hold(Vec<u8>, Duration),
}

impl Upgrade {
    /// With this text at once; the connection is kept for as long as the gateway keeps it.
    pub fn hold(answer: &str) -> Upgrade {
        Upgrade::Hold(answer.as_bytes().to_vec(), Duration::ZERO)
    }
}

/// A backend on a port of its own.
///
/// What it does happens on the runtime of the test.
#[derive(Debug)]
pub struct Backend {
    address: SocketAddr,
    /// Bound, and never listening: it keeps the port while nobody listens there.
    _guard: TcpSocket,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
    reads: watch::Sender<bool>,
    receive_buffer: Option<u32>,
    /// Events that the test has taken.
    taken: usize,
}

/// What the links share with the test.
#[derive(Debug)]
pub(super) struct Shared {
    pub echoes: bool,
    /// The path at which this backend is, and no other: the gateway of a test that is over may still dial a port that
    /// is another's by now.
    pub path: String,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    log: Vec<Entry>,
    events: Vec<Event>,
    /// Where each link takes its orders.
    links: Vec<mpsc::UnboundedSender<Order>>,
    /// Connections that were accepted.
    dials: usize,
    /// Of those that were kept instead of upgraded: how many the gateway has ended.
    hung_up: usize,
    upgrade: Upgrade,
}

impl State {
    fn links_open(&self) -> usize {
        self.log.iter().fold(0, |open, entry| match entry.heard {
            Heard::Began => open + 1,
            Heard::Ended => open - 1,
            _ => open,
        })
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, entry: Entry) {
        let mut state = self.state();
        if let Heard::Event(event) = &entry.heard {
            state.events.push(event.clone());
        }
        state.log.push(entry);
        drop(state);
        self.changed.notify_waiters();
    }
}

impl Backend {
    /// One that hears and says nothing by itself.
    pub async fn start() -> Backend {
        let mut backend = Backend::absent(false);
        backend.listen();
        backend
    }

    /// One that answers each `message` with a `send` of the same data.
    pub async fn echo() -> Backend {
        let mut backend = Backend::absent(true);
        backend.listen();
        backend
    }

    /// One that does not listen yet.
    ///
    /// # Panics
    ///
    /// There is no free port.
    pub fn absent(echoes: bool) -> Backend {
        let guard = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let address = guard.local_addr().expect("it is bound");
        let number = BACKENDS.fetch_add(1, Ordering::Relaxed);
        let path = format!("/{}-{number}", process::id());
        let shared = Shared { echoes, path, state: Mutex::default(), changed: Notify::new() };
        let reads = watch::Sender::new(true);
        Backend {
            address,
            _guard: guard,
            shared: Arc::new(shared),
            listener: None,
            reads,
            receive_buffer: None,
            taken: 0,
        }
    }

    /// A new one on the same port, as after a restart: it knows nothing of what the old one has heard. All links are
    /// cut, and what the old one has heard is returned.
    pub async fn restarted(mut self) -> (Backend, Vec<Event>) {
        self.stop_listening().await;
        self.cut();
        self.wait("its links end", |state| (state.links_open() == 0).then_some(())).await;
        let heard = self.events();
        let (echoes, path) = (self.shared.echoes, self.shared.path.clone());
        self.shared = Arc::new(Shared { echoes, path, state: Mutex::default(), changed: Notify::new() });
        self.taken = 0;
        self.listen();
        (self, heard)
    }

    /// With this receive buffer in each link's socket, from the next time that it listens.
    #[must_use]
    pub fn with_receive_buffer(mut self, bytes: u32) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// Where it is: address, port and path.
    pub fn address(&self) -> String {
        format!("{}{}", self.address, self.shared.path)
    }

    // --- What it does ---

    /// Begins to listen.
    ///
    /// # Panics
    ///
    /// Somebody else listens on its port.
    pub fn listen(&mut self) {
        let socket = bind(self.address);
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes).expect("the size may be set");
        }
        let listener = socket.listen(BACKLOG).expect("nobody else listens on this port");
        self.listener =
            Some(tokio::spawn(accept(listener, Arc::clone(&self.shared), self.reads.subscribe())));
    }

    /// Listens no more. The links that there are go on.
    pub async fn stop_listening(&mut self) {
        if let Some(listener) = self.listener.take() {
            listener.abort();
            // It says that it was cancelled.
            let _ = listener.await;
        }
    }

    /// Answers the next requests for an upgrade so.
    pub fn answer_upgrades(&self, upgrade: Upgrade) {
        self.shared.state().upgrade = upgrade;
    }

    /// Sends an action, or anything else that is JSON, over the newest link.
    pub fn send(&self, action: &Value) {
        self.send_message(Message::text(action.to_string()));
    }

    /// Sends text over the newest link.
    pub fn send_text(&self, text: &str) {
        self.send_message(Message::text(text));
    }

    /// Sends a WebSocket message over the newest link.
    pub fn send_message(&self, message: Message) {
        self.order(Order::Send(message));
    }

    /// Sends bytes over the newest link, past the library.
    pub fn send_raw(&self, bytes: &[u8]) {
        self.order(Order::Raw(bytes.to_vec()));
    }

    /// Cuts the newest link: a reset, and what was not read is lost.
    pub fn cut(&self) {
        self.order(Order::Cut);
    }

    /// Ends the newest link without a word, once all that was sent before is on its way.
    pub fn end(&self) {
        self.order(Order::End);
    }

    /// Begins the closing handshake on the newest link.
    pub fn close(&self, code: u16) {
        self.order(Order::Close(code));
    }

    /// Waits until the gateway has carried out all that was sent over the newest link.
    pub async fn carried_out(&self) {
        let is_pong = |entry: &&Entry| matches!(entry.heard, Heard::Pong(_));
        let before = self.log().iter().filter(is_pong).count();
        self.send_message(Message::Ping(b"carried out?".to_vec().into()));
        let answered = |state: &State| state.log.iter().filter(is_pong).count() > before;
        self.wait("a pong", |state| answered(state).then_some(())).await;
    }

    /// Waits until this link has ended: nothing more is heard from it.
    pub async fn ended(&self, link: usize) {
        self.heard("the link's end", |entry| entry.link == link && matches!(entry.heard, Heard::Ended)).await;
    }

    /// Reads from its sockets, or leaves all that comes where it is.
    pub fn reads(&self, reads: bool) {
        self.reads.send_replace(reads);
    }

    fn order(&self, order: Order) {
        // A link that has ended takes no orders.
        self.shared.state().links.last().map(|link| link.send(order));
    }

    // --- What it has heard ---

    /// The next event that was not taken yet.
    pub async fn next_event(&mut self) -> Event {
        let next = self.taken;
        let event = self.wait("an event", |state| state.events.get(next).cloned()).await;
        self.taken += 1;
        event
    }

    /// Expects this to be the next event, byte for byte.
    pub async fn expect(&mut self, text: &str) -> Event {
        let next = self.taken;
        let event = self.wait(&format!("the event {text}"), |state| state.events.get(next).cloned()).await;
        self.taken += 1;
        assert_eq!(event.text, text);
        event
    }

    /// Expects these to be the next events, in any order.
    pub async fn expect_all(&mut self, texts: impl IntoIterator<Item = String>) {
        let mut expected: Vec<_> = texts.into_iter().collect();
        let mut heard = Vec::new();
        for _ in 0..expected.len() {
            heard.push(self.next_event().await.text);
        }
        expected.sort();
        heard.sort();
        assert_eq!(heard, expected);
    }

    /// Waits until all events so far are as wished, taken or not.
    pub async fn until(&self, what: &str, is: impl Fn(&[Event]) -> bool) {
        self.wait(what, |state| is(&state.events).then_some(())).await;
    }

    /// Waits until something of this kind was heard, and says from which link.
    pub async fn heard(&self, what: &str, is: impl Fn(&Entry) -> bool) -> Entry {
        self.wait(what, |state| state.log.iter().find(|entry| is(entry)).cloned()).await
    }

    /// Waits until this many links have begun since it started.
    pub async fn linked(&self, links: usize) {
        let began = |entry: &&Entry| matches!(entry.heard, Heard::Began);
        self.wait("a link", |state| (state.log.iter().filter(began).count() >= links).then_some(())).await;
    }

    /// Waits until this many connections were accepted since it started.
    pub async fn dialled(&self, dials: usize) {
        self.wait("a dial", |state| (state.dials >= dials).then_some(())).await;
    }

    /// Waits until the gateway has ended this many of the connections that were kept instead of upgraded.
    pub async fn hung_up(&self, times: usize) {
        self.wait("the gateway hangs up", |state| (state.hung_up >= times).then_some(())).await;
    }

    /// All events so far, taken or not.
    pub fn events(&self) -> Vec<Event> {
        self.shared.state().events.clone()
    }

    /// Events that have come and were not taken.
    pub fn untaken(&self) -> Vec<Event> {
        self.shared.state().events[self.taken..].to_vec()
    }

    /// Takes all events that have come.
    pub fn take_all(&mut self) -> Vec<Event> {
        let events = self.untaken();
        self.taken += events.len();
        events
    }

    /// All that was heard so far.
    pub fn log(&self) -> Vec<Entry> {
        self.shared.state().log.clone()
    }

    /// Connections that were accepted since it started.
    pub fn dials(&self) -> usize {
        self.shared.state().dials
    }

    /// Links that have begun and not ended.
    pub fn links_open(&self) -> usize {
        self.shared.state().links_open()
    }

    async fn wait<T>(&self, what: &str, mut is: impl FnMut(&State) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let changed = self.shared.changed.notified();
                let found = is(&self.shared.state());
                match found {
                    Some(value) => return value,
                    None => changed.await,
                }
            }
        };
        within(what, waiting).await
    }
}

fn bind(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("there is a descriptor");
    socket.set_reuseaddr(true).expect("the option may be set");
    socket.bind(address).expect("the port is free");
    socket
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, reads: watch::Receiver<bool>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(greet(stream, Arc::clone(&shared), reads.clone()));
    }
}

/// Answers the request for an upgrade, and serves the link.
async fn greet(stream: TcpStream, shared: Arc<Shared>, reads: watch::Receiver<bool>) {
    let upgrade = shared.state().upgrade.clone();
    let dialled = || {
        shared.state().dials += 1;
        shared.changed.notify_waiters();
    };
    match upgrade {
        Upgrade::Accept => {
            let Some(socket) = link::accept(stream, &shared.path).await else { return };
            let (sender, orders) = mpsc::unbounded_channel();
            let number = {
                let mut state = shared.state();
                state.dials += 1;
                state.links.push(sender);
                state.links.len() - 1
            };
            Link { number, shared, orders, reads }.serve(socket).await;
        }
        Upgrade::Answer(answer) => {
            link::refuse(stream, &shared.path, dialled, answer.as_bytes()).await;
        }
        Upgrade::Hold(answer, pause) => {
            if link::hold(stream, &shared.path, dialled, &answer, pause).await {
                shared.state().hung_up += 1;
                shared.changed.notify_waiters();
            }
        }
    }
}
