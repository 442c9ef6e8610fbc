//! The laws, from the outside: what clients and backends have seen is held against `docs/laws.md`.
//!
//! Who looks from outside does not know when the gateway did something, nor what was lost on a connection that broke:
//! where a check cannot decide for that, it says so. `clients` judges what clients see, `backends` what backends see; what
//! concerns both is here.

mod backends;
mod clients;

use std::collections::{BTreeMap, BTreeSet};

use self::{
    backends::Endpoint,
    clients::{Client, State},
};
use crate::{
    plan::{Fault, LAST_WORD_MS, Plan},
    record::{Conn, EndpointIndex, Entry, LinkEnd, What},
};

/// How often each case of interest occurred.
pub type Reached = BTreeMap<&'static str, u64>;

/// The cases that a campaign has to reach.
pub const CASES: [&str; 27] = [
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
    "an open follows a close closely, and nothing has held it up",
    "a client is there when everything has come to rest",
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
        clock_forward_max_ms: 0,
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
    /// How far the wall clock is ahead of the date, and how far it has been at most.
    clock_forward_ms: i64,
    clock_forward_max_ms: i64,
    told_to_stop: Option<u64>,
    stopped: bool,
    verdict: Verdict,
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
            What::Asks(conn, who) => _ = self.clients.insert(*conn, Client::new(who.clone(), at)),
            What::Refused(conn, status) => self.refused(at, *conn, *status),
            What::Unanswered(conn) => self.unanswered(at, *conn),
            What::DoesNotWait(conn) => {
                self.reached("a client does not wait for its answer");
                self.over(at, *conn);
            }
            What::Misbehaves(conn, code) => self.misbehaves(*conn, *code),
            What::Admitted(conn) => self.admitted(at, *conn),
            What::Says(conn, number) => self.says(at, *conn, *number),
            What::Hears(conn, text) => self.hears(at, *conn, text),
            What::Closed(conn, code, reason) => {
                self.closed(at, *conn, *code, reason);
                self.over(at, *conn);
            }
            What::Lost(conn) => self.lost(at, *conn),
            What::Leaves(conn, how) => self.leaves(at, *conn, *how),
            What::Began(endpoint) => self.backend_began(at, *endpoint),
            What::LinkUp(endpoint, link) => self.link_up(at, *endpoint, *link),
            What::LinkEnded(endpoint, _) => self.endpoints[*endpoint].link_ended(),
            What::EndsLink(_, how) => self.reached(match how {
                LinkEnd::Closes => "a backend closes its link",
                LinkEnd::Drops => "a backend drops its link",
                LinkEnd::Misbehaves => "a backend breaks the protocol",
            }),
            What::Event(endpoint, _, event) => self.event(at, *endpoint, event),
            What::Sends(endpoint, number, user, text) => {
                self.endpoints[*endpoint].sends(at, *number, user.clone(), text.clone());
            }
            What::Closes(endpoint, user, status) => self.endpoints[*endpoint].closes(user, *status),
            What::Believes(endpoint, users) => self.believes(at, *endpoint, users),
            What::Fault(fault, begins) => self.fault(at, *fault, *begins),
            What::GatewayBegan => self.endpoints.iter_mut().for_each(Endpoint::gateway_began),
            What::ToldToStop => {
                self.at_rest(at);
                self.told_to_stop = Some(at);
            }
            What::Stopped => self.stopped = true,
        }
    }

    // --- The whole ---

    fn fault(&mut self, at: u64, fault: Fault, begins: bool) {
        match fault {
            Fault::Killed if begins => self.reached("the gateway is killed"),
            Fault::Crash(host) if begins => {
                let on_it = self.clients.values_mut().filter(|client| client.who.host == host);
                on_it.for_each(|client| client.state = State::Over(at));
            }
            Fault::ClockSet(forward) if begins => {
                self.clock_forward_ms += forward;
                self.clock_forward_max_ms = self.clock_forward_max_ms.max(self.clock_forward_ms);
                self.reached("the wall clock is set");
            }
            _ => {}
        }
    }

    /// Nothing has failed for a while: everything has come to rest.
    fn at_rest(&mut self, at: u64) {
        let mut wrong = Vec::new();
        let (mut live, mut at_rest) = (BTreeSet::new(), 0);
        for (conn, client) in self.clients.iter().filter(|(_, client)| client.state == State::In) {
            if !live.insert((client.who.endpoint, client.who.user.clone())) {
                wrong.push(("law 2", format!("{conn}: {} has two sessions", client.who.user)));
            }
            at_rest += 1;
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
        (0..at_rest).for_each(|_| self.reached("a client is there when everything has come to rest"));
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
}
