//! What clients see: whether they are let in, what they hear, why they are closed.

use super::{GRAIN_MS, Judge};
use crate::{
    plan::{CLIENT_QUEUE_BYTES, REST_MS},
    record::{Conn, EndpointIndex, Leaving, Who},
    world::date_of,
};

/// Two clients that ask within this time of each other may be admitted in the other order; what has failed so long ago may
/// still be felt.
const AROUND_MS: u64 = 10_000;
/// What was so long before a client asked does not concern it.
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
    /// It has broken the protocol, and is to be closed with this.
    misbehaved: Option<u16>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Asks,
    In,
    /// Since then.
    Over(u64),
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
            misbehaved: None,
        }
    }
}

impl Judge<'_> {
    pub(super) fn over(&mut self, at: u64, conn: Conn) {
        if let Some(client) = self.clients.get_mut(&conn) {
            client.state = State::Over(at);
        }
    }

    /// A client is answered rightly.
    pub(super) fn refused(&mut self, at: u64, conn: Conn, status: u16) {
        self.over(at, conn);
        let Some(Client { who, asked_at, .. }) = self.clients.get(&conn) else { return };
        let endpoint = who.endpoint;
        let draining = self.told_to_stop.is_some_and(|told| *asked_at > told + GRAIN_MS);
        let (case, is_rightful) = match status {
            503 if self.told_to_stop.is_some() => ("who comes while the gateway drains is refused", true),
            503 => ("who comes is refused while the backend is away", self.may_be_away(at, endpoint)),
            409 => {
                let rejects = self.plan.endpoints[endpoint].rejects;
                ("a duplicate is refused", rejects && self.another_is_there(conn) && !draining)
            }
            401 => ("a token expires", self.may_have_expired(at, conn)),
            _ => ("a client is refused", false),
        };
        if is_rightful {
            self.reached(case);
        } else {
            self.broken(at, "handshake", format!("{conn} is refused without cause: {status}"));
        }
    }

    /// A client that waits gets an answer, unless the network or the gateway fails.
    pub(super) fn unanswered(&mut self, at: u64, conn: Conn) {
        self.over(at, conn);
        if self.told_to_stop.is_none() && !self.is_cut_off(at, conn) {
            self.broken(at, "one answer", format!("{conn} gets no answer"));
        }
    }

    pub(super) fn admitted(&mut self, at: u64, conn: Conn) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        client.state = State::In;
        // It may have been admitted just before.
        if self.told_to_stop.is_some_and(|told| client.asked_at > told + GRAIN_MS) {
            self.broken(at, "law 15", format!("{conn} is admitted though the gateway drains"));
        }
    }

    pub(super) fn misbehaves(&mut self, conn: Conn, code: u16) {
        if let Some(client) = self.clients.get_mut(&conn) {
            client.misbehaved = Some(code);
        }
    }

    /// No connection ends without a word, unless something fails; one whose client does not read may.
    pub(super) fn lost(&mut self, at: u64, conn: Conn) {
        self.over(at, conn);
        let Some(Client { who, .. }) = self.clients.get(&conn) else { return };
        let floods = self.plan.backends[who.endpoint].floods > 0.0;
        if !floods && !self.is_cut_off(at, conn) {
            self.broken(at, "closing", format!("{conn} is lost without a close frame"));
        }
    }

    /// Nobody has to give up, unless something fails or its backend does not take what it says.
    pub(super) fn leaves(&mut self, at: u64, conn: Conn, how: Leaving) {
        self.over(at, conn);
        let Some(Client { who, asked_at, .. }) = self.clients.get(&conn) else { return };
        let backend = &self.plan.backends[who.endpoint];
        let (from, endpoint) = (asked_at.saturating_sub(AROUND_MS), who.endpoint);
        match how {
            Leaving::Dropping => self.reached("a client vanishes"),
            Leaving::Closing => {}
            Leaving::GivingUp | Leaving::Misbehaving => {
                let may_wait = backend.is_slow_to_read() || self.plan.disturbs(endpoint, from, at);
                let is_at_rest = at >= self.plan.heals_at + REST_MS;
                if !self.is_cut_off(at, conn) && (is_at_rest || !may_wait) {
                    self.broken(at, "law 13", format!("{conn} waits in vain, and leaves"));
                }
            }
        }
    }

    /// Whoever says its last word has been heard before, unless that was lost with a link: nobody needs another word to get
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
        let mut wrong =
            self.endpoints[client.who.endpoint].is_heard(&client.who.user, (client.heard, number), text);
        if number <= client.heard {
            wrong.push(("law 5", "what it hears is out of order"));
        }
        client.heard = number;
        client.answered |= client.said > 0 && text.contains(&format!("you said {}.{} ", conn.0, client.said));
        for (law, what) in wrong {
            self.broken(at, law, format!("{conn}: {what}: {text:.60?}"));
        }
    }

    /// A client is closed for a reason that there is.
    pub(super) fn closed(&mut self, at: u64, conn: Conn, code: u16, reason: &str) {
        let Some(client) = self.clients.get(&conn) else { return };
        let (user, endpoint) = (client.who.user.clone(), client.who.endpoint);
        let (heard, misbehaved) = (client.heard, client.misbehaved);
        let (case, is_rightful) = match (code, reason) {
            (1008, "Only one connection per endpoint per token bearer is allowed") => {
                let takes_over = !self.plan.endpoints[endpoint].rejects && self.another_came(conn);
                ("a session is taken over", takes_over)
            }
            (1008, "token expired") => ("a token expires", self.may_have_expired(at, conn)),
            (1013, "client too slow") => {
                let unheard = self.endpoints[endpoint].bytes_since(&user, heard);
                ("a client is too slow", unheard >= CLIENT_QUEUE_BYTES / 2)
            }
            (1013, "backend unavailable") => ("held clients are closed", self.may_be_away(at, endpoint)),
            (1001, "gateway is shutting down") => {
                // The backend hears of it first.
                if self.endpoints[endpoint].has_open(&user) {
                    self.broken(at, "law 15", format!("{conn} is closed before its backend has heard of it"));
                }
                ("a drained client is closed", self.told_to_stop.is_some())
            }
            (1002 | 1007, _) => ("a client breaks the protocol", misbehaved == Some(code)),
            (1011, "Something went wrong on the backend") => {
                ("a backend closes a client", self.endpoints[endpoint].is_closed(&user, None))
            }
            (4_001, "Initiated by backend") => {
                ("a backend closes a client", self.endpoints[endpoint].is_closed(&user, Some(code)))
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

    /// Whether another client of the same user was there when this one asked, or not long before.
    fn another_is_there(&self, conn: Conn) -> bool {
        let Some(Client { who, asked_at, .. }) = self.clients.get(&conn) else { return false };
        self.clients.iter().any(|(other, client)| {
            let is_same = client.who.user == who.user && client.who.endpoint == who.endpoint;
            is_same
                && *other != conn
                && !matches!(client.state, State::Over(at) if at + AROUND_MS < *asked_at)
        })
    }

    /// Whether a client's token may have expired by now, or have been found so before the wall clock was set back.
    fn may_have_expired(&self, at: u64, conn: Conn) -> bool {
        let latest = date_of(at).saturating_add_signed(self.clock_forward_max_ms);
        self.clients.get(&conn).is_some_and(|client| latest + GRAIN_MS >= client.who.expires)
    }

    /// Whether the backend may be away for longer than clients are held: not if no outage of the run is as long.
    fn may_be_away(&self, at: u64, endpoint: EndpointIndex) -> bool {
        let backend = &self.plan.backends[endpoint];
        let is_disturbed = self.plan.disturbs(endpoint, at.saturating_sub(AROUND_MS), at);
        let may_break = backend.is_slow_to_read() || backend.is_unsteady();
        self.plan.grace_ms < self.plan.heals_at && (is_disturbed || may_break)
    }

    /// Whether what is between a client and the gateway has failed since a little before it asked, or the gateway has.
    fn is_cut_off(&self, at: u64, conn: Conn) -> bool {
        let Some(Client { who, asked_at, .. }) = self.clients.get(&conn) else { return false };
        self.plan.disturbs_host(who.host, asked_at.saturating_sub(SETTLED_MS), at)
    }
}

/// The number of what a backend has sent.
fn number_of(text: &str) -> u64 {
    let digits = text.strip_prefix("{\"number\":").unwrap_or(text);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(0)
}
