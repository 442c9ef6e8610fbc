//! The laws, from the outside: what clients and backends have seen is held against `docs/laws.md`.
//!
//! Who looks from outside does not know when the gateway did something, nor what was lost on a connection that broke. So
//! each check says what it cannot decide.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    plan::{Fault, LAST_WORD_MS, Plan, REOPEN_GAP_MS, words},
    record::{Conn, EndpointIndex, Entry, Event, Kind, Leaving, What, Who},
};

/// How often each case of interest occurred.
pub type Reached = BTreeMap<&'static str, u64>;

/// The cases that a campaign has to reach.
pub const CASES: [&str; 25] = [
    "a session is taken over",
    "a duplicate is refused",
    "a client is held while the link is down",
    "who comes is refused while the backend is away",
    "held clients are closed",
    "a client is too slow",
    "a token expires",
    "a client breaks the protocol",
    "a client vanishes",
    "a client does not wait for its answer",
    "a backend closes a client",
    "a close crosses and is answered",
    "a close is owed from an earlier link",
    "a session is opened on a second link",
    "messages are lost with a link",
    "a message is sent again",
    "a backend closes its link",
    "a backend drops its link",
    "a backend breaks the protocol",
    "a backend is restarted and has forgotten",
    "a backend is restarted and has kept its users",
    "the gateway is killed",
    "the wall clock is set",
    "a drained client is closed",
    "who comes while the gateway drains is refused",
];

/// What is said of a run.
#[derive(Debug)]
pub struct Verdict {
    /// Which laws were broken, and how.
    pub broken: Vec<String>,
    /// How often each case occurred.
    pub reached: Reached,
}

/// How far the times of two hosts, and of the gateway and a host, may be apart: a few turns.
const GRAIN_MS: u64 = 20;
/// How long a session may outlive its token where nothing hinders: the shell's look at the wall clock, and a way.
const EXPIRY_GRAIN_MS: u64 = 1_500;

/// Judges a run by its log.
pub fn judge(plan: &Plan, log: &[Entry]) -> Verdict {
    let mut judge = Judge {
        plan,
        clients: BTreeMap::new(),
        endpoints: [(); 2].map(|()| Endpoint::default()),
        clock_forward_ms: 0,
        told_to_stop: None,
        stopped: false,
        verdict: Verdict { broken: Vec::new(), reached: Reached::new() },
    };
    for entry in log {
        judge.take(entry);
    }
    if !judge.stopped {
        judge.verdict.broken.push("law 15: the gateway has not stopped in time".to_owned());
    }
    judge.verdict
}

struct Judge<'a> {
    plan: &'a Plan,
    clients: BTreeMap<Conn, Client>,
    endpoints: [Endpoint; 2],
    clock_forward_ms: i64,
    told_to_stop: Option<u64>,
    stopped: bool,
    verdict: Verdict,
}

/// A client that has asked.
struct Client {
    who: Who,
    asked_at: u64,
    state: State,
    /// What it has said last, and what of that its backend has heard last.
    said: u32,
    understood: u32,
    /// The number of what it has heard last.
    heard: u64,
    /// It has heard the answer to what it said last.
    answered: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Asks,
    In,
    Over,
}

/// An endpoint, as its backend sees it.
#[derive(Default)]
struct Endpoint {
    link: Option<u32>,
    /// The first link since the gateway began; `None`: there was none yet.
    first_link: Option<u32>,
    users: BTreeMap<String, User>,
    /// What the backend has sent, by number: to whom, and what.
    sent: BTreeMap<u64, (String, String)>,
    /// What has been heard of that.
    heard: BTreeSet<u64>,
    /// When the newest link came up. What an earlier one had not handed over until then may be lost.
    link_up_at: u64,
}

/// What a backend knows of a user.
#[derive(Default)]
struct User {
    /// On the link that is up.
    here: Here,
    /// When the last `close` came.
    closed_at: Option<u64>,
    /// Statuses with which the backend has closed it.
    closed_with: Vec<Option<u16>>,
    /// When the backend last closed it.
    backend_closed_at: Option<u64>,
    /// The sessions of these clients have ended.
    past: BTreeSet<Conn>,
    opened_on_an_earlier_link: bool,
}

#[derive(Clone, PartialEq, Eq, Default)]
enum Here {
    /// Nothing was said of it on this link.
    #[default]
    Unknown,
    /// It has a session, in a room; of which client, that is seen by its first message.
    Open { room: String, conn: Option<Conn>, number: u32, closed_by_backend: bool },
    /// Sessions of earlier links have ended; it had none on this one.
    Settled,
    /// Its session on this link has ended.
    Closed,
}

impl Judge<'_> {
    fn broken(&mut self, at: u64, law: &str, what: impl AsRef<str>) {
        self.verdict.broken.push(format!("{law}, at {}.{:03}: {}", at / 1000, at % 1000, what.as_ref()));
    }

    fn reached(&mut self, case: &'static str) {
        assert!(CASES.contains(&case), "{case} is not listed");
        *self.verdict.reached.entry(case).or_default() += 1;
    }

    fn take(&mut self, entry: &Entry) {
        let at = entry.at;
        match &entry.what {
            What::Asks(conn, who) => {
                let client = Client {
                    who: who.clone(),
                    asked_at: at,
                    state: State::Asks,
                    said: 0,
                    understood: 0,
                    heard: 0,
                    answered: false,
                };
                self.clients.insert(*conn, client);
            }
            What::Refused(conn, status) => self.refused(at, *conn, *status),
            What::Unanswered(conn) => {
                self.reached("a client does not wait for its answer");
                self.over(*conn);
            }
            What::Admitted(conn) => self.admitted(at, *conn),
            What::Says(conn, number) => {
                if let Some(client) = self.clients.get_mut(conn) {
                    (client.said, client.answered) = (*number, false);
                }
            }
            What::Hears(conn, text) => self.hears(at, *conn, text),
            What::Closed(conn, code, reason) => {
                self.closed(at, *conn, *code, reason);
                self.over(*conn);
            }
            What::Lost(conn) => self.over(*conn),
            What::Leaves(conn, how) => {
                if *how == Leaving::Dropping {
                    self.reached("a client vanishes");
                }
                self.over(*conn);
            }
            What::Began(endpoint) => self.backend_began(at, *endpoint),
            What::LinkUp(endpoint, link) => self.link_up(at, *endpoint, *link),
            What::LinkEnded(endpoint, _) => self.endpoints[*endpoint].link = None,
            What::EndsLink(_, how) => self.reached(match how {
                Leaving::Closing => "a backend closes its link",
                Leaving::Misbehaving => "a backend breaks the protocol",
                Leaving::Dropping | Leaving::GivingUp => "a backend drops its link",
            }),
            What::Event(endpoint, link, event) => self.event(at, *endpoint, *link, event),
            What::Sends(endpoint, number, user, text) => {
                self.endpoints[*endpoint].sent.insert(*number, (user.clone(), text.clone()));
            }
            What::Closes(endpoint, user, status) => {
                let user = self.endpoints[*endpoint].users.entry(user.clone()).or_default();
                user.closed_with.push(*status);
                user.backend_closed_at = Some(at);
                if let Here::Open { closed_by_backend, .. } = &mut user.here {
                    *closed_by_backend = true;
                }
            }
            What::Believes(endpoint, users) => self.believes(at, *endpoint, users),
            What::Fault(fault, begins) => self.fault(*fault, *begins),
            What::GatewayBegan => self.endpoints.iter_mut().for_each(|endpoint| endpoint.first_link = None),
            What::ToldToStop => {
                self.at_rest(at);
                self.told_to_stop = Some(at);
            }
            What::Stopped => self.stopped = true,
        }
    }

    // --- Clients ---

    fn over(&mut self, conn: Conn) {
        if let Some(client) = self.clients.get_mut(&conn) {
            client.state = State::Over;
        }
    }

    /// Each client that asks is answered once, and rightly.
    fn refused(&mut self, at: u64, conn: Conn, status: u16) {
        self.over(conn);
        let draining = self.told_to_stop.is_some();
        let rejects =
            self.clients.get(&conn).is_some_and(|client| self.plan.endpoints[client.who.endpoint].rejects);
        match status {
            503 if draining => self.reached("who comes while the gateway drains is refused"),
            503 => self.reached("who comes is refused while the backend is away"),
            409 if rejects => self.reached("a duplicate is refused"),
            401 => {
                // A clock that is set forward may end a token on its way.
                let clock_set =
                    self.plan.faults.iter().any(|(_, _, fault)| matches!(fault, Fault::ClockSet(_)));
                let short =
                    self.clients.get(&conn).is_some_and(|client| self.wall(at) + 5_000 > client.who.expires);
                if !clock_set && !short {
                    self.broken(at, "handshake", format!("{conn} is refused with 401 in spite of its token"));
                }
            }
            _ => self.broken(at, "handshake", format!("{conn} is refused with {status}")),
        }
    }

    fn admitted(&mut self, at: u64, conn: Conn) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        if client.state != State::Asks {
            self.broken(at, "one answer", format!("{conn} is admitted twice"));
            return;
        }
        client.state = State::In;
        // It may have asked, and been admitted, just before.
        let told = self.told_to_stop;
        if told.is_some_and(|told| client.asked_at > told + GRAIN_MS) {
            self.broken(at, "law 15", format!("{conn} is admitted though the gateway drains"));
        }
    }

    /// What a client hears was sent to its user, at its endpoint, as it was sent, in order, once.
    fn hears(&mut self, at: u64, conn: Conn, text: &str) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        let number = number_of(text);
        let endpoint = &mut self.endpoints[client.who.endpoint];
        let mut wrong = Vec::new();
        match endpoint.sent.get(&number) {
            Some((user, sent)) if *user == client.who.user && sent == text => {}
            Some((user, _)) if *user == client.who.user => wrong.push(("law 5", "what it hears was altered")),
            _ => wrong.push(("law 4", "it hears what was not for it")),
        }
        if number <= client.heard {
            wrong.push(("law 5", "what it hears is out of order"));
        }
        if !endpoint.heard.insert(number) {
            wrong.push(("law 5", "what it hears was heard before"));
        }
        client.heard = number;
        client.answered |= client.said > 0 && text.contains(&format!("you said {}.{} ", conn.0, client.said));
        if client.state != State::In {
            wrong.push(("law 6", "it hears something after its end"));
        }
        for (law, what) in wrong {
            self.broken(at, law, format!("{conn}: {what}: {text:.60?}"));
        }
    }

    fn closed(&mut self, at: u64, conn: Conn, code: u16, reason: &str) {
        let Some(client) = self.clients.get(&conn) else { return };
        let who = client.who.clone();
        let is_rightful = match (code, reason) {
            (1008, "Only one connection per endpoint per token bearer is allowed") => {
                self.reached("a session is taken over");
                // Somebody must have taken over, and that is not how duplicates are refused.
                let same = |other: &Client| other.who.user == who.user && other.who.endpoint == who.endpoint;
                let later = self.clients.range(conn..).skip(1).any(|(_, other)| same(other));
                // Whoever asked earlier may have been admitted later.
                let earlier =
                    self.clients.range(..conn).any(|(_, other)| same(other) && other.state != State::Over);
                (later || earlier || self.asked_around(conn, &who))
                    && !self.plan.endpoints[who.endpoint].rejects
            }
            (1008, "token expired") => {
                self.reached("a token expires");
                self.wall(at) + GRAIN_MS >= who.expires || self.clock_was_set()
            }
            (1013, "the client reads too slowly") => true,
            (1013, _) => true,
            (1001, _) => {
                self.reached("a drained client is closed");
                self.drained(at, conn, &who);
                self.told_to_stop.is_some()
            }
            (1007 | 1002, _) => {
                self.reached("a client breaks the protocol");
                true
            }
            (1011 | 4_001, _) => {
                self.reached("a backend closes a client");
                let status = if code == 1011 { None } else { Some(code) };
                let user = self.endpoints[who.endpoint].users.get(&who.user);
                user.is_some_and(|user| user.closed_with.contains(&status))
            }
            _ => false,
        };
        if code == 1013 {
            let slow = reason.contains("slow");
            self.reached(if slow { "a client is too slow" } else { "held clients are closed" });
        }
        if !is_rightful {
            self.broken(at, "closing", format!("{conn} is closed without cause: {code} {reason:?}"));
        }
    }

    /// A client with an earlier number may ask later than another, if its way is longer: then it is the one that takes
    /// over, and may be over again.
    fn asked_around(&self, conn: Conn, who: &Who) -> bool {
        let Some(asked_at) = self.clients.get(&conn).map(|client| client.asked_at) else { return false };
        self.clients.iter().any(|(other, client)| {
            *other != conn
                && client.who.user == who.user
                && client.who.endpoint == who.endpoint
                && client.asked_at + 10_000 > asked_at
        })
    }

    /// In a drain the backend hears of the end before the client does.
    fn drained(&mut self, at: u64, conn: Conn, who: &Who) {
        let user = self.endpoints[who.endpoint].users.get(&who.user);
        let is_said = user.is_none_or(|user| match &user.here {
            Here::Open { closed_by_backend, .. } => *closed_by_backend,
            Here::Unknown | Here::Settled | Here::Closed => true,
        });
        if !is_said {
            self.broken(at, "law 15", format!("{conn} is closed before its backend has heard of it"));
        }
    }

    // --- Backends ---

    fn backend_began(&mut self, at: u64, index: EndpointIndex) {
        if at > GRAIN_MS {
            let keeps = self.plan.backends[index].keeps;
            self.reached(match keeps {
                true => "a backend is restarted and has kept its users",
                false => "a backend is restarted and has forgotten",
            });
        }
        self.endpoints[index].link = None;
    }

    fn link_up(&mut self, at: u64, index: EndpointIndex, link: u32) {
        let endpoint = &mut self.endpoints[index];
        endpoint.link_up_at = at;
        let is_first = endpoint.first_link.is_none();
        endpoint.first_link.get_or_insert(link);
        endpoint.link = Some(link);
        for user in endpoint.users.values_mut() {
            user.opened_on_an_earlier_link =
                !is_first && (user.opened_on_an_earlier_link || matches!(user.here, Here::Open { .. }));
            user.here = Here::Unknown;
        }
    }

    fn event(&mut self, at: u64, index: EndpointIndex, link: u32, event: &Event) {
        if self.endpoints[index].link != Some(link) {
            self.broken(at, "law 6", format!("an event on link {index}.{link}, which is not up"));
        }
        match event.kind {
            Kind::Open => self.open(at, index, event),
            Kind::Message => self.message(at, index, event),
            Kind::Close => self.close(at, index, event),
        }
    }

    fn open(&mut self, at: u64, index: EndpointIndex, event: &Event) {
        let mut wrong = Vec::new();
        let mut reopened = false;
        let endpoint = &mut self.endpoints[index];
        let user = endpoint.users.entry(event.user.clone()).or_default();
        match &user.here {
            Here::Open { closed_by_backend: false, .. } => wrong.push(("law 1", "a second open")),
            Here::Open { conn, .. } => user.past.extend(*conn),
            Here::Unknown => reopened = user.opened_on_an_earlier_link,
            Here::Settled | Here::Closed => {}
        }
        // What waited on its way, or to be read, arrives together: then the gap is not to be seen.
        if let Some(closed_at) = user.closed_at {
            let jitter = self.plan.latency_ms.1 - self.plan.latency_ms.0;
            let waited = self.plan.disturbs(index, closed_at.saturating_sub(5_000), at)
                || self.plan.backends[index].is_slow_to_read()
                || closed_at <= endpoint.link_up_at + GRAIN_MS;
            if !waited && at + jitter + GRAIN_MS < closed_at + REOPEN_GAP_MS {
                wrong.push(("law 3", "an open too soon after a close"));
            }
        }
        user.here = Here::Open { room: event.room.clone(), conn: None, number: 0, closed_by_backend: false };
        if reopened {
            self.reached("a session is opened on a second link");
        }
        self.all_broken(at, event, wrong);
    }

    fn message(&mut self, at: u64, index: EndpointIndex, event: &Event) {
        let mut wrong = Vec::new();
        let mut cases = Vec::new();
        let redelivers = self.plan.endpoints[index].redelivers;
        let endpoint = &mut self.endpoints[index];
        let link_up_at = endpoint.link_up_at;
        let user = endpoint.users.entry(event.user.clone()).or_default();
        let Here::Open { room, conn: session, number: last_here, .. } = &mut user.here else {
            self.broken(at, "law 1", format!("a message outside of a session: {event:?}"));
            return;
        };
        let Some((conn, number)) = speaker_of(&event.data) else {
            self.broken(at, "law 5", format!("a message that nobody said: {event:?}"));
            return;
        };
        let Some(client) = self.clients.get_mut(&conn) else {
            self.broken(at, "law 4", format!("a message of nobody: {event:?}"));
            return;
        };
        if client.who.user != event.user
            || client.who.endpoint != index
            || client.who.room != *room
            || event.room != *room
        {
            wrong.push(("law 4", "a message in another one's session"));
        }
        if event.data != words(conn.0, number) || number > client.said {
            wrong.push(("law 5", "a message that was altered"));
        }
        if user.past.contains(&conn) {
            wrong.push(("law 6", "a message of a session that had ended"));
        }
        match *session {
            Some(session) if session != conn => {
                wrong.push(("law 3", "messages of two clients in one session"))
            }
            Some(_) if number != *last_here + 1 => {
                wrong.push(("law 5", "messages out of order, or one lost on a link"))
            }
            Some(_) => {}
            None => {
                let may_have_lost = link_up_at >= client.asked_at;
                if number <= client.understood && redelivers {
                    cases.push("a message is sent again");
                } else if number <= client.understood {
                    wrong.push(("law 5", "a message was sent twice"));
                } else if number > client.understood + 1 && (redelivers || !may_have_lost) {
                    wrong.push(("law 10", "a message was lost"));
                } else if number > client.understood + 1 {
                    cases.push("messages are lost with a link");
                }
                if may_have_lost {
                    cases.push("a client is held while the link is down");
                }
            }
        }
        (*session, *last_here) = (Some(conn), number);
        client.understood = client.understood.max(number);
        cases.into_iter().for_each(|case| self.reached(case));
        self.all_broken(at, event, wrong);
    }

    fn close(&mut self, at: u64, index: EndpointIndex, event: &Event) {
        let mut wrong = Vec::new();
        let mut cases = Vec::new();
        let endpoint = &mut self.endpoints[index];
        let is_first_link = endpoint.first_link == endpoint.link;
        let user = endpoint.users.entry(event.user.clone()).or_default();
        match &user.here {
            Here::Open { room, conn, closed_by_backend, .. } => {
                if *room != event.room {
                    wrong.push(("law 1", "a close with the parameters of another session"));
                }
                if *closed_by_backend {
                    cases.push("a close crosses and is answered");
                }
                user.past.extend(*conn);
            }
            // That the `open` arrived on the earlier link, if it was lost with it, is not seen from here.
            Here::Unknown if is_first_link => wrong.push(("law 1", "a close without an open")),
            Here::Unknown | Here::Settled => cases.push("a close is owed from an earlier link"),
            Here::Closed => wrong.push(("law 1", "a second close")),
        }
        let had_none = matches!(user.here, Here::Unknown | Here::Settled);
        user.here = if had_none { Here::Settled } else { Here::Closed };
        user.closed_at = Some(at);
        cases.into_iter().for_each(|case| self.reached(case));
        self.all_broken(at, event, wrong);
    }

    fn all_broken(&mut self, at: u64, event: &Event, wrong: Vec<(&str, &str)>) {
        for (law, what) in wrong {
            self.broken(at, law, format!("{what}: {:?} {:?} {:.60?}", event.kind, event.user, event.data));
        }
    }

    // --- The whole ---

    fn fault(&mut self, fault: Fault, begins: bool) {
        match fault {
            Fault::Killed if begins => self.reached("the gateway is killed"),
            Fault::Crash(host) if begins => {
                let on_it = self.clients.values_mut().filter(|client| client.who.host == host);
                on_it.for_each(|client| client.state = State::Over);
            }
            Fault::ClockSet(forward) if begins => {
                self.clock_forward_ms += forward;
                self.reached("the wall clock is set");
            }
            _ => {}
        }
    }

    /// Nothing has failed for a while: everything has come to rest.
    fn at_rest(&mut self, at: u64) {
        let mut wrong = Vec::new();
        let mut live = BTreeSet::new();
        for (conn, client) in self.clients.iter().filter(|(_, client)| client.state == State::In) {
            if !live.insert((client.who.endpoint, client.who.user.clone())) {
                wrong.push(("law 2", format!("{conn}: {} has two sessions", client.who.user)));
            }
            // One that came late may not have had its turn.
            let is_new = client.asked_at + LAST_WORD_MS > at;
            if is_new {
                continue;
            }
            if !client.answered {
                wrong.push(("law 13", format!("{conn} is in, and got no answer to what it said last")));
            }
            if client.understood != client.said {
                wrong.push(("law 10", format!("{conn} has said more than its backend has heard")));
            }
            if client.who.expires + EXPIRY_GRAIN_MS < self.wall(at) {
                wrong.push(("law 14", format!("{conn} has outlived its token")));
            }
        }
        for (law, what) in wrong {
            self.broken(at, law, what);
        }
    }

    /// Backends believe in those who are there, and in nobody else: in nobody, once the gateway has stopped.
    fn believes(&mut self, at: u64, endpoint: EndpointIndex, users: &[String]) {
        let live: BTreeSet<_> = self
            .clients
            .values()
            .filter(|client| client.state == State::In && client.who.endpoint == endpoint)
            .map(|client| client.who.user.clone())
            .collect();
        let believed: BTreeSet<_> = users.iter().cloned().collect();
        if live != believed {
            let law = if self.told_to_stop.is_some() { "law 15" } else { "law 8" };
            let what = format!("backend {endpoint} believes in {believed:?}, there are {live:?}");
            self.broken(at, law, what);
        }
    }

    fn wall(&self, at: u64) -> u64 {
        crate::world::date_of(at).saturating_add_signed(self.clock_forward_ms)
    }

    fn clock_was_set(&self) -> bool {
        self.plan.faults.iter().any(|(_, _, fault)| matches!(fault, Fault::ClockSet(_)))
    }
}

/// The number of what a backend has sent.
fn number_of(text: &str) -> u64 {
    let digits = text.strip_prefix("{\"number\":").unwrap_or(text);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(0)
}

/// Who has said what, and which of its messages that is.
fn speaker_of(data: &str) -> Option<(Conn, u32)> {
    let (conn, number) = data.split_once(' ')?.0.split_once('.')?;
    Some((Conn(conn.parse().ok()?), number.parse().ok()?))
}
