//! What clients see: whether they are let in, what they hear, why they are closed.

use super::{GRAIN_MS, Judge};
use crate::{
    plan::{Fault, REST_MS},
    record::{Conn, Who},
};

/// Two clients that ask within this time of each other may be admitted in the other order.
const AROUND_MS: u64 = 10_000;
/// A backend whose link has been up for so long is not away.
const SETTLED_MS: u64 = 5_000;

/// A client that has asked.
pub(super) struct Client {
    pub(super) who: Who,
    pub(super) asked_at: u64,
    pub(super) state: State,
    /// What it has said last, and what of that its backend has heard last.
    pub(super) said: u32,
    said_at: u64,
    pub(super) understood: u32,
    /// The number of what it has heard last.
    heard: u64,
    /// It has heard the answer to what it said last.
    pub(super) answered: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Asks,
    In,
    Over,
}

impl Client {
    pub(super) fn new(who: Who, asked_at: u64) -> Self {
        Client {
            who,
            asked_at,
            state: State::Asks,
            said: 0,
            said_at: 0,
            understood: 0,
            heard: 0,
            answered: false,
        }
    }
}

impl Judge<'_> {
    pub(super) fn over(&mut self, conn: Conn) {
        if let Some(client) = self.clients.get_mut(&conn) {
            client.state = State::Over;
        }
    }

    /// Each client that asks is answered once, and rightly.
    pub(super) fn refused(&mut self, at: u64, conn: Conn, status: u16) {
        self.over(conn);
        let Some(Client { who, .. }) = self.clients.get(&conn) else { return };
        let endpoint = who.endpoint;
        let is_rightful = match status {
            503 if self.told_to_stop.is_some() => {
                self.reached("who comes while the gateway drains is refused");
                true
            }
            503 => {
                self.reached("who comes is refused while the backend is away");
                !self.endpoints[endpoint].is_up_since(at.saturating_sub(SETTLED_MS))
                    || self.plan.disturbs(endpoint, at.saturating_sub(SETTLED_MS), at)
                    || self.plan.backends[endpoint].is_slow_to_read()
            }
            409 => {
                self.reached("a duplicate is refused");
                self.plan.endpoints[endpoint].rejects
            }
            // It may have been on its way for as long as its token was valid.
            401 => self.may_have_expired(at + AROUND_MS, conn),
            _ => false,
        };
        if !is_rightful {
            self.broken(at, "handshake", format!("{conn} is refused without cause: {status}"));
        }
    }

    pub(super) fn admitted(&mut self, at: u64, conn: Conn) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        if client.state != State::Asks {
            return self.broken(at, "one answer", format!("{conn} is admitted twice"));
        }
        client.state = State::In;
        // It may have been admitted just before.
        if self.told_to_stop.is_some_and(|told| client.asked_at > told + GRAIN_MS) {
            self.broken(at, "law 15", format!("{conn} is admitted though the gateway drains"));
        }
    }

    /// Who has its last word has been heard before, unless that was lost with a link: nobody needs another word to get
    /// an earlier one through.
    pub(super) fn says(&mut self, at: u64, conn: Conn, number: u32) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        let endpoint = client.who.endpoint;
        let may_be_lost = !self.plan.endpoints[endpoint].redelivers
            && !self.endpoints[endpoint].is_up_since(client.said_at);
        let is_last_word = at >= self.plan.heals_at + REST_MS && client.asked_at + AROUND_MS < at;
        let was_heard = client.said == client.understood;
        (client.said, client.said_at, client.answered) = (number, at, false);
        if is_last_word && !may_be_lost && !was_heard {
            self.broken(at, "law 13", format!("{conn} was not heard while nothing stood in the way"));
        }
    }

    /// What a client hears was sent to its user, at its endpoint, as it was sent, in order, once.
    pub(super) fn hears(&mut self, at: u64, conn: Conn, text: &str) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        let number = number_of(text);
        let mut wrong = self.endpoints[client.who.endpoint].is_heard(&client.who.user, number, text);
        if number <= client.heard {
            wrong.push(("law 5", "what it hears is out of order"));
        }
        if client.state != State::In {
            wrong.push(("law 6", "it hears something after its end"));
        }
        client.heard = number;
        client.answered |= client.said > 0 && text.contains(&format!("you said {}.{} ", conn.0, client.said));
        for (law, what) in wrong {
            self.broken(at, law, format!("{conn}: {what}: {text:.60?}"));
        }
    }

    /// A client is closed for a reason that there is.
    pub(super) fn closed(&mut self, at: u64, conn: Conn, code: u16, reason: &str) {
        let Some(Client { who: Who { user, endpoint, .. }, .. }) = self.clients.get(&conn) else { return };
        let (user, endpoint) = (user.clone(), *endpoint);
        let (case, is_rightful) = match (code, reason) {
            (1008, "Only one connection per endpoint per token bearer is allowed") => {
                let takes_over = !self.plan.endpoints[endpoint].rejects && self.another_came(conn);
                ("a session is taken over", takes_over)
            }
            (1008, "token expired") => ("a token expires", self.may_have_expired(at, conn)),
            (1013, "client too slow") => ("a client is too slow", true),
            (1013, "backend unavailable") => ("held clients are closed", true),
            (1001, "gateway is shutting down") => {
                // The backend hears of it first.
                if self.endpoints[endpoint].has_open(&user) {
                    self.broken(at, "law 15", format!("{conn} is closed before its backend has heard of it"));
                }
                ("a drained client is closed", self.told_to_stop.is_some())
            }
            (1002 | 1007, _) => ("a client breaks the protocol", true),
            (1011, "Something went wrong on the backend") => {
                ("a backend closes a client", self.endpoints[endpoint].has_closed(&user, None))
            }
            (4_001, "Initiated by backend") => {
                ("a backend closes a client", self.endpoints[endpoint].has_closed(&user, Some(code)))
            }
            _ => ("a client is closed", false),
        };
        if is_rightful {
            self.reached(case);
        } else {
            self.broken(at, "closing", format!("{conn} is closed without cause: {code} {reason:?}"));
        }
    }

    /// Whether another client of the same user came at about the same time, or later.
    fn another_came(&self, conn: Conn) -> bool {
        let Some(Client { who, asked_at, .. }) = self.clients.get(&conn) else { return false };
        self.clients.iter().any(|(other, client)| {
            let is_same = client.who.user == who.user && client.who.endpoint == who.endpoint;
            is_same && *other != conn && client.asked_at + AROUND_MS > *asked_at
        })
    }

    /// Whether a client's token may have expired by now. Where the wall clock is set, that is hard to say.
    fn may_have_expired(&self, at: u64, conn: Conn) -> bool {
        let clock_is_set = self.plan.faults.iter().any(|(_, _, fault)| matches!(fault, Fault::ClockSet(_)));
        let expires = self.clients.get(&conn).map(|client| client.who.expires);
        clock_is_set || expires.is_some_and(|expires| self.wall(at) + GRAIN_MS >= expires)
    }
}

/// The number of what a backend has sent.
fn number_of(text: &str) -> u64 {
    let digits = text.strip_prefix("{\"number\":").unwrap_or(text);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(0)
}
