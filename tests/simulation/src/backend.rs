//! A backend: a WebSocket library, an application that may lag behind it, and users that may survive its process.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    time::Duration,
};

use futures_util::{FutureExt, SinkExt, StreamExt};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    sync::{mpsc, oneshot},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_tungstenite::{WebSocketStream, accept_async, tungstenite::Message};

use crate::{
    net::{self, TcpStream},
    plan::{BackendPlan, Plan},
    record::{EndpointIndex, Event, Kind, LinkEnd, Log, What},
    world,
};

/// Where each backend listens.
const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 9000);
/// How long a link may take what is sent over it.
const PATIENCE: Duration = Duration::from_secs(4);
/// Where the gateway is killed, users of a link that has ended are forgotten if nobody opens them again within this time:
/// only so can a backend know of them (language.md, "Clients that are too slow, and the end of the gateway").
const FORGET_AFTER: Duration = Duration::from_secs(10);
/// How long a link that its backend ends is still read, after the last that came.
const LAST_READ: Duration = Duration::from_millis(50);
/// How long a backend that stalls reads nothing.
const STALL: Duration = Duration::from_secs(3);
/// What a user is sent that is to be too much.
const FLOOD: usize = 60;
const FLOOD_BYTES: usize = 2_000;

/// What outlives a backend's process.
#[derive(Debug)]
pub(crate) struct Backend {
    index: EndpointIndex,
    plan: BackendPlan,
    log: Log,
    /// When it stops misbehaving.
    heals_at: u64,
    /// It forgets users of a link that has ended.
    forgets: bool,
    links: Cell<u32>,
    sends: Cell<u64>,
    /// Who is there, and by which `open`.
    users: RefCell<BTreeMap<String, u64>>,
    opens: Cell<u64>,
}

impl Backend {
    pub(crate) fn new(index: EndpointIndex, plan: &Plan, log: Log) -> Self {
        Backend {
            index,
            plan: plan.backends[index],
            log,
            heals_at: plan.heals_at,
            forgets: plan.kills_gateway(),
            links: Cell::new(0),
            sends: Cell::new(0),
            users: RefCell::default(),
            opens: Cell::new(0),
        }
    }

    /// Whom it believes to be there.
    pub(crate) fn believes(&self) -> What {
        What::Believes(self.index, self.users.borrow().keys().cloned().collect())
    }

    /// Its process, from its beginning.
    pub(crate) async fn run(self: Rc<Self>) -> io::Result<()> {
        self.log.note(What::Began(self.index));
        if !self.plan.keeps {
            self.users.borrow_mut().clear();
        }
        self.forget_later();
        let chance = StdRng::seed_from_u64(self.plan.seed ^ world::elapsed_millis());
        let process = Rc::new(Process {
            backend: Rc::clone(&self),
            chance: RefCell::new(chance),
            outbox: RefCell::default(),
        });
        let (handle_later, due) = mpsc::unbounded_channel();
        tokio::task::spawn_local(Rc::clone(&process).apply_all(due));
        let listener = net::listen(ADDRESS)?;
        let mut before: Option<(oneshot::Sender<()>, oneshot::Receiver<()>)> = None;
        loop {
            let (stream, _) = listener.accept().await?;
            let Ok(Ok(socket)) = timeout(PATIENCE, accept_async(stream)).await else { continue };
            // The gateway has one link at a time: the one before is read to its end first.
            if let Some((superseded, ended)) = before.take() {
                let _ = superseded.send(());
                let _ = ended.await;
            }
            let number = self.links.get();
            self.links.set(number + 1);
            self.log.note(What::LinkUp(self.index, number));
            let (outbox, to_send) = mpsc::unbounded_channel();
            process.outbox.replace(Some((number, outbox)));
            let (supersede, superseded) = oneshot::channel();
            let (end, ended) = oneshot::channel();
            before = Some((supersede, ended));
            let link =
                Link { process: Rc::clone(&process), number, socket, handle_later: handle_later.clone() };
            tokio::task::spawn_local(async move {
                link.serve(to_send, superseded).await;
                let _ = end.send(());
            });
        }
    }

    /// Whoever is there now is forgotten after a while, unless opened again.
    fn forget_later(self: &Rc<Self>) {
        if !self.forgets {
            return;
        }
        let then = self.users.borrow().clone();
        let backend = Rc::clone(self);
        tokio::task::spawn_local(async move {
            sleep(FORGET_AFTER).await;
            backend.users.borrow_mut().retain(|user, open| then.get(user) != Some(open));
        });
    }
}

/// A backend's process.
struct Process {
    backend: Rc<Backend>,
    chance: RefCell<StdRng>,
    /// Of the newest link.
    outbox: RefCell<Option<(u32, mpsc::UnboundedSender<Message>)>>,
}

/// What the library hands to the application.
enum Heard {
    Event(Event),
    /// The link has ended.
    End,
}

/// What is on its way from the library to the application: over which link it came, and when it is handled.
type Due = (u32, Instant, Heard);

impl Process {
    /// Whether something happens that is this likely while things may fail.
    fn happens(&self, likely: f64) -> bool {
        world::elapsed_millis() < self.backend.heals_at && self.chance.borrow_mut().random_bool(likely)
    }

    /// The application.
    async fn apply_all(self: Rc<Self>, mut due: mpsc::UnboundedReceiver<Due>) {
        while let Some((link, at, heard)) = due.recv().await {
            sleep_until(at).await;
            self.apply(link, heard);
        }
    }

    fn apply(&self, link: u32, heard: Heard) {
        let backend = &self.backend;
        let Heard::Event(event) = heard else { return backend.forget_later() };
        match event.kind {
            Kind::Open => {
                backend.opens.set(backend.opens.get() + 1);
                backend.users.borrow_mut().insert(event.user.clone(), backend.opens.get());
                self.send(&event.user, "welcome");
            }
            Kind::Close => {
                backend.users.borrow_mut().remove(&event.user);
            }
            Kind::Message => self.send(&event.user, &format!("you said {}", event.data)),
        }
        if self.happens(backend.plan.floods) {
            for _ in 0..FLOOD {
                self.send(&event.user, &"x".repeat(FLOOD_BYTES));
            }
        }
        if self.happens(backend.plan.misbehaves) {
            self.act("{\"action\":\"dance\",\"user\":{\"username\":\"ann\"}}".to_owned());
            self.act(json!({"action": "send", "user": {"username": "nobody"}, "data": 1}).to_string());
        }
        // By then the events of earlier links have all been handled, as law 8 has it.
        let is_newest = self.outbox.borrow().as_ref().is_some_and(|(newest, _)| *newest == link);
        if is_newest && self.happens(backend.plan.closes) {
            let status = [None, Some(4_001)][self.chance.borrow_mut().random_range(0..2)];
            backend.log.note(What::Closes(backend.index, event.user.clone(), status));
            backend.users.borrow_mut().remove(&event.user);
            let user = json!({"username": event.user});
            self.act(json!({"action": "close", "user": user, "status": status}).to_string());
        }
    }

    /// Sends a user a text, numbered; every third as JSON that is no string.
    fn send(&self, user: &str, text: &str) {
        let backend = &self.backend;
        let number = backend.sends.get() + 1;
        backend.sends.set(number);
        let data = if number.is_multiple_of(3) {
            json!({"number": number, "text": text})
        } else {
            Value::String(format!("{number} {text}"))
        };
        let heard = data.as_str().map_or_else(|| data.to_string(), str::to_owned);
        backend.log.note(What::Sends(backend.index, number, user.to_owned(), heard));
        self.act(json!({"action": "send", "user": {"username": user}, "data": data}).to_string());
    }

    fn act(&self, action: String) {
        if let Some((_, outbox)) = &*self.outbox.borrow() {
            // A link that has ended takes nothing.
            let _ = outbox.send(Message::text(action));
        }
    }
}

/// One link, as the backend's library sees it.
struct Link {
    process: Rc<Process>,
    number: u32,
    socket: WebSocketStream<TcpStream>,
    handle_later: mpsc::UnboundedSender<Due>,
}

impl Link {
    /// Until it ends, or another takes its place; what has come by then is still heard.
    async fn serve(mut self, to_send: mpsc::UnboundedReceiver<Message>, superseded: oneshot::Receiver<()>) {
        tokio::select! {
            biased;
            _ = superseded => {}
            () = self.work(to_send) => {}
        }
        while let Some(Some(Ok(message))) = self.socket.next().now_or_never() {
            self.hear(message);
        }
        let backend = &self.process.backend;
        backend.log.note(What::LinkEnded(backend.index, self.number));
        self.hand_on(Heard::End);
    }

    async fn work(&mut self, mut to_send: mpsc::UnboundedReceiver<Message>) {
        let process = Rc::clone(&self.process);
        loop {
            tokio::select! {
                biased;
                Some(message) = to_send.recv() => {
                    if !matches!(timeout(PATIENCE, self.socket.send(message)).await, Ok(Ok(()))) {
                        return self.read_on().await;
                    }
                }
                read = self.socket.next() => {
                    let Some(Ok(message)) = read else { return };
                    self.hear(message);
                    if process.happens(process.backend.plan.stalls) {
                        sleep(STALL).await;
                    }
                    if process.happens(process.backend.plan.ends_link) {
                        return self.end().await;
                    }
                }
            }
        }
    }

    /// Ends the link, in one way or another.
    async fn end(&mut self) {
        let backend = Rc::clone(&self.process.backend);
        let ways = [LinkEnd::Closes, LinkEnd::Drops, LinkEnd::Misbehaves];
        let how = ways[self.process.chance.borrow_mut().random_range(0..ways.len())];
        backend.log.note(What::EndsLink(backend.index, how));
        let _ = match how {
            LinkEnd::Closes => timeout(PATIENCE, self.socket.close(None)).await.is_ok(),
            LinkEnd::Misbehaves => {
                timeout(PATIENCE, self.socket.get_mut().write_all(&[0xff; 9])).await.is_ok()
            }
            LinkEnd::Drops => true,
        };
        self.read_on().await;
    }

    /// Hears what still comes over a link that is of no more use.
    async fn read_on(&mut self) {
        while let Ok(Some(Ok(message))) = timeout(LAST_READ, self.socket.next()).await {
            self.hear(message);
        }
    }

    /// What the library hands to the application.
    fn hear(&self, message: Message) {
        let Message::Text(text) = message else { return };
        let backend = &self.process.backend;
        let event = read_event(&text);
        backend.log.note(What::Event(backend.index, self.number, event.clone()));
        self.hand_on(Heard::Event(event));
    }

    fn hand_on(&self, heard: Heard) {
        let lag_ms = self.process.backend.plan.lag_ms;
        if lag_ms == 0 {
            self.process.apply(self.number, heard);
        } else {
            let at = Instant::now() + Duration::from_millis(lag_ms);
            // The application lives as long as the process.
            let _ = self.handle_later.send((self.number, at, heard));
        }
    }
}

/// Reads an event. One that is none is a defect of the gateway.
fn read_event(text: &str) -> Event {
    let json: Value =
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in the event {text}"));
    let field =
        |value: &Value| value.as_str().unwrap_or_else(|| panic!("the event {text} lacks a field")).to_owned();
    let kind = match json["event"].as_str() {
        Some("open") => Kind::Open,
        Some("message") => Kind::Message,
        Some("close") => Kind::Close,
        _ => panic!("the event {text} is of no kind"),
    };
    let event = Event {
        kind,
        user: field(&json["user"]["username"]),
        room: field(&json["params"]["room"]),
        data: if kind == Kind::Message { field(&json["data"]) } else { String::new() },
    };
    assert_eq!(text, write_event(&event), "the event is not written as language.md has it");
    event
}

/// An event to the byte (language.md, "Events: gateway to backend").
fn write_event(Event { kind, user, room, data }: &Event) -> String {
    let kind = match kind {
        Kind::Open => "open",
        Kind::Message => "message",
        Kind::Close => "close",
    };
    let data = if kind == "message" { format!(",\"data\":{}", json!(data)) } else { String::new() };
    let (user, room) = (json!(user), json!(room));
    format!(r#"{{"event":"{kind}","user":{{"username":{user}}},"params":{{"room":{room}}}{data}}}"#)
}
