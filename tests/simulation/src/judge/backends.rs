//! What backends see: their links, and the events on them.

use std::collections::{BTreeMap, BTreeSet};

use super::{GRAIN_MS, Judge, clients::Client};
use crate::{
    plan::{REOPEN_GAP_MS, words},
    record::{Conn, EndpointIndex, Event, Kind},
};

/// An endpoint, as its backend sees it.
#[derive(Default)]
pub(super) struct Endpoint {
    link: Option<u32>,
    /// The first link since the gateway began; `None`: there was none yet.
    first_link: Option<u32>,
    users: BTreeMap<String, User>,
    /// What the backend has sent, by number.
    sent: BTreeMap<u64, Sent>,
    /// What has been heard of that.
    heard: BTreeSet<u64>,
    /// When the newest link came up. What an earlier one had not handed over until then may be lost.
    link_up_at: u64,
}

/// What a backend has sent: when, to whom, and what.
struct Sent {
    at: u64,
    to: String,
    text: String,
}

/// What a backend knows of a user.
#[derive(Default)]
pub(super) struct User {
    /// On the link that is up.
    here: Here,
    /// When the last `close` came.
    closed_at: Option<u64>,
    /// Statuses with which the backend has closed it.
    closed_with: Vec<Option<u16>>,
    /// The sessions of these clients have ended.
    past: BTreeSet<Conn>,
}

#[derive(Clone, PartialEq, Eq, Default)]
pub(super) enum Here {
    /// Nothing was said of it on this link.
    #[default]
    Unknown,
    /// The same, and on an earlier link it had the session of this client, of which no end is known.
    Earlier(Conn),
    /// It has a session, in a room; of which client, that is seen by its first message, unless it was opened before.
    Open { room: String, earlier: Option<Conn>, conn: Option<Conn>, number: u32, closed_by_backend: bool },
    /// Sessions of earlier links have ended; it had none on this one.
    Settled,
    /// Its session on this link has ended.
    Closed,
}

impl Endpoint {
    /// The backend sends something.
    pub(super) fn sends(&mut self, at: u64, number: u64, to: String, text: String) {
        self.sent.insert(number, Sent { at, to, text });
    }

    /// The backend closes a user.
    pub(super) fn closes(&mut self, user: &str, status: Option<u16>) {
        let user = self.users.entry(user.to_owned()).or_default();
        user.closed_with.push(status);
        match &mut user.here {
            Here::Open { closed_by_backend, .. } => *closed_by_backend = true,
            Here::Earlier(_) => user.here = Here::Unknown,
            Here::Unknown | Here::Settled | Here::Closed => {}
        }
    }

    pub(super) fn link_ended(&mut self) {
        self.link = None;
    }

    /// A gateway begins, which knows nothing of what was before.
    pub(super) fn gateway_began(&mut self) {
        self.first_link = None;
    }

    /// Its link is up, and has been since then.
    pub(super) fn is_up_since(&self, at: u64) -> bool {
        self.link.is_some() && self.link_up_at < at
    }

    /// A client is closed as its backend wanted: whether the backend has closed its user with this status, once for each.
    pub(super) fn is_closed(&mut self, user: &str, status: Option<u16>) -> bool {
        let Some(user) = self.users.get_mut(user) else { return false };
        let place = user.closed_with.iter().position(|closed| *closed == status);
        place.map(|place| user.closed_with.remove(place)).is_some()
    }

    /// The bytes that the backend has sent to a user since the one of this number.
    pub(super) fn bytes_since(&self, user: &str, number: u64) -> usize {
        self.sent
            .range(number + 1..)
            .filter(|(_, sent)| sent.to == user)
            .map(|(_, sent)| sent.text.len())
            .sum()
    }

    /// Whether the user has a session, as far as the backend has been told and has not ended it itself.
    pub(super) fn has_open(&self, user: &str) -> bool {
        let here = self.users.get(user).map(|user| &user.here);
        matches!(here, Some(Here::Open { closed_by_backend: false, .. }))
    }

    /// A user hears what its backend has sent, the one of number `last` before: what is wrong with that.
    pub(super) fn is_heard(
        &mut self,
        user: &str,
        (last, number): (u64, u64),
        text: &str,
    ) -> Vec<(&'static str, &'static str)> {
        let mut wrong = Vec::new();
        match self.sent.get(&number) {
            Some(sent) if sent.to == user && sent.text == text => {}
            Some(sent) if sent.to == user => wrong.push(("law 5", "what it hears was altered")),
            _ => wrong.push(("law 4", "it hears what was not for it")),
        }
        // What was sent over an earlier link may be lost with it.
        let same_link = self.sent.get(&last).is_some_and(|sent| sent.at > self.link_up_at);
        if same_link && last < number && self.sent.range(last + 1..number).any(|(_, sent)| sent.to == user) {
            wrong.push(("law 10", "what was sent to it before is lost"));
        }
        if !self.heard.insert(number) {
            wrong.push(("law 5", "what it hears was heard before"));
        }
        wrong
    }
}

impl Judge<'_> {
    pub(super) fn backend_began(&mut self, at: u64, index: EndpointIndex) {
        if at > GRAIN_MS {
            let keeps = self.plan.backends[index].keeps;
            self.reached(match keeps {
                true => "a backend is restarted and has kept its users",
                false => "a backend is restarted and has forgotten",
            });
        }
        self.endpoints[index].link = None;
    }

    pub(super) fn link_up(&mut self, at: u64, index: EndpointIndex, link: u32) {
        let endpoint = &mut self.endpoints[index];
        endpoint.link_up_at = at;
        let is_first = endpoint.first_link.is_none();
        endpoint.first_link.get_or_insert(link);
        endpoint.link = Some(link);
        for user in endpoint.users.values_mut() {
            user.here = match user.here {
                Here::Earlier(conn) if !is_first => Here::Earlier(conn),
                Here::Open { conn: Some(conn), closed_by_backend: false, .. } if !is_first => {
                    Here::Earlier(conn)
                }
                _ => Here::Unknown,
            };
        }
    }

    pub(super) fn event(&mut self, at: u64, index: EndpointIndex, event: &Event) {
        match event.kind {
            Kind::Open => self.open(at, index, event),
            Kind::Message => self.message(at, index, event),
            Kind::Close => self.close(at, index, event),
        }
    }

    fn open(&mut self, at: u64, index: EndpointIndex, event: &Event) {
        let mut wrong = Vec::new();
        let mut cases = Vec::new();
        let mut earlier = None;
        let is_asked_for = |client: &Client| {
            client.who.endpoint == index && client.who.user == event.user && client.who.room == event.room
        };
        if !self.clients.values().any(is_asked_for) {
            wrong.push(("law 4", "an open of nobody"));
        }
        let endpoint = &mut self.endpoints[index];
        let user = endpoint.users.entry(event.user.clone()).or_default();
        match &user.here {
            Here::Open { closed_by_backend: false, .. } => wrong.push(("law 1", "a second open")),
            Here::Open { conn, .. } => user.past.extend(*conn),
            Here::Earlier(conn) => {
                earlier = Some(*conn);
                cases.push("a session is opened on a second link");
            }
            Here::Unknown | Here::Settled | Here::Closed => {}
        }
        // What waited on its way, or to be read, arrives together: then the gap is not to be seen.
        if let Some(closed_at) = user.closed_at {
            let jitter = self.plan.latency_ms.1 - self.plan.latency_ms.0;
            let waited = self.plan.disturbs(index, closed_at.saturating_sub(5_000), at)
                || self.plan.backends[index].is_slow_to_read()
                || closed_at <= endpoint.link_up_at + GRAIN_MS;
            if !waited && at + jitter + GRAIN_MS < closed_at + REOPEN_GAP_MS {
                wrong.push(("law 3", "an open too soon after a close"));
            } else if !waited && at < closed_at + 2 * REOPEN_GAP_MS {
                cases.push("an open follows a close closely, and nothing has held it up");
            }
        }
        let room = event.room.clone();
        user.here = Here::Open { room, earlier, conn: None, number: 0, closed_by_backend: false };
        cases.into_iter().for_each(|case| self.reached(case));
        self.all_broken(at, event, wrong);
    }

    fn message(&mut self, at: u64, index: EndpointIndex, event: &Event) {
        let mut wrong = Vec::new();
        let mut cases = Vec::new();
        let redelivers = self.plan.endpoints[index].redelivers;
        let endpoint = &mut self.endpoints[index];
        let link_up_at = endpoint.link_up_at;
        let user = endpoint.users.entry(event.user.clone()).or_default();
        let Here::Open { room, earlier, conn: session, number: last_here, .. } = &mut user.here else {
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
        if earlier.take().is_some_and(|earlier| earlier != conn) {
            wrong.push(("law 3", "another session is opened before the close that is owed"));
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
            // It may be owed of a session before that one.
            Here::Earlier(_) => cases.push("a close is owed from an earlier link"),
            // That the `open` arrived on the earlier link, if it was lost with it, is not seen from here.
            Here::Unknown if is_first_link => wrong.push(("law 1", "a close without an open")),
            Here::Unknown | Here::Settled => {}
            Here::Closed => wrong.push(("law 1", "a second close")),
        }
        let had_none = matches!(user.here, Here::Unknown | Here::Earlier(_) | Here::Settled);
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
}

/// Who has said what, and which of its messages that is.
fn speaker_of(data: &str) -> Option<(Conn, u32)> {
    let (conn, number) = data.split_once(' ')?.0.split_once('.')?;
    Some((Conn(conn.parse().ok()?), number.parse().ok()?))
}
