//! What must be true between two inputs, however the machine came there.

use alloc::{
    borrow::ToOwned,
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
};

use super::{
    Endpoint,
    link::Line,
    session::{Client, Expires, Session, Stage},
    upstream::PARKED_OVERHEAD_BYTES,
};
use crate::Payload;

/// Nothing is wrong, or what is.
type Audited = Result<(), String>;

macro_rules! must {
    ($condition:expr, $what:literal) => {
        if !$condition {
            return Err($what.to_owned());
        }
    };
}

macro_rules! same {
    ($one:expr, $other:expr, $what:literal) => {
        let (one, other) = (&$one, &$other);
        if one != other {
            return Err(format!("{}: {one:?}, and {other:?}", $what));
        }
    };
}

impl<P: Payload> Endpoint<P> {
    /// The full audit: every sum and every index is counted again. For tests and debug builds; it takes time in
    /// proportion to the sessions.
    ///
    /// # Panics
    ///
    /// If the machine is broken.
    pub fn check_invariants(&self) {
        if let Err(what) = self.audit() {
            panic!("{what}");
        }
    }

    /// What is wrong with a machine that comes from elsewhere, however broken it is: that whatever refers to a session or
    /// a user refers to one that is there, then the full audit.
    ///
    /// # Errors
    ///
    /// The machine is broken.
    pub fn examine(&self) -> Result<(), String> {
        self.check_references()?;
        self.audit()
    }

    fn audit(&self) -> Audited {
        self.check_sums()?;
        self.check_sessions()?;
        self.check_users()?;
        self.check_line()?;
        // Before anything has happened, the first dial is due.
        let ahead = self.links == 0 || self.next_deadline().is_none_or(|at| at > self.now);
        must!(ahead, "a deadline lies in the past");
        Ok(())
    }

    fn check_sums(&self) -> Audited {
        let sum = |part: fn(&Session<P>) -> usize| {
            self.sessions.iter().map(|(_, s)| part(s)).fold(0, usize::saturating_add)
        };
        same!(self.parked_bytes, sum(Session::parked_bytes), "parked bytes");
        let live = |s: &Session<P>| if s.stage == Stage::Live { s.queued } else { 0 };
        same!(self.client_bytes, sum(live), "bytes in the queues of live clients");
        same!(self.closing_bytes, sum(|s| s.queued) - sum(live), "bytes in the queues of those that close");
        let again = |s: &Session<P>| {
            s.held
                .as_ref()
                .map_or(0, |held| held.again.iter().map(|(_, bytes)| *bytes).fold(0, usize::saturating_add))
        };
        same!(self.again_bytes, sum(again), "bytes to be sent again");
        let owing = |s: &Session<P>| usize::from(s.awaited);
        same!(self.owing, sum(owing), "sessions that are owed something");
        Ok(())
    }

    fn check_sessions(&self) -> Audited {
        let mut live = 0;
        let owed: BTreeSet<_> = self.owed.iter().collect();
        for (id, session) in self.sessions.iter() {
            let is_live = session.stage == Stage::Live;
            live += usize::from(is_live);
            same!(self.live.contains(&self.sessions, id.slot), is_live, "the list of live sessions");
            same!(is_live, session.client == Client::Open, "who is live has a client, who is not has none");
            if let Some(expires) = session.expires {
                let waits = Expires { at: expires, number: session.number, slot: id.slot };
                must!(self.expiries.contains(&waits), "an expiry that nothing waits for");
            }
            same!(session.stage == Stage::Owed, owed.contains(&id), "the queue of owed closes");
            let over = matches!(session.stage, Stage::Owed | Stage::Sent { .. });
            must!(over || !session.awaited, "a drain waits for what is settled");
            let unheard = session.client == Client::Gone && session.stage == Stage::Settled;
            must!(!unheard, "a slot that could be free");
            self.check_held(id.slot, session)?;
        }
        same!(live, self.live.len(), "the count of live sessions");
        same!(live, self.live.iter(&self.sessions).count(), "the links of live sessions");
        Ok(())
    }

    fn check_held(&self, slot: u32, session: &Session<P>) -> Audited {
        let on_link = match &self.line {
            Line::Connected(line) => session.opened_on == Some(line.id),
            _ => false,
        };
        let waits = on_link && session.stage == Stage::Live && session.held.is_some();
        let rests = self.resting.contains(&self.sessions, slot);
        same!(self.backlog.contains(&self.sessions, slot) || rests, waits, "the backlog");
        if rests {
            must!(!self.backlog.contains(&self.sessions, slot), "one that waits twice");
            must!(self.has_spent_share(slot), "one that waits for the next Ping has had its share");
        }
        must!(!waits || session.stopped, "one that waits for the link is read from");
        if let Some(held) = &session.held {
            must!(!(held.again.is_empty() && held.parked.is_empty()), "an empty box of held messages");
            let weigh = |payload: &P| payload.size().saturating_add(PARKED_OVERHEAD_BYTES);
            let bytes = held.parked.iter().map(weigh).fold(0, usize::saturating_add);
            same!(held.parked_bytes, bytes, "a session's parked bytes");
        }
        Ok(())
    }

    fn check_users(&self) -> Audited {
        same!(self.users.len(), self.users.iter().count(), "names that no user has");
        // Counted again: the sessions of each, the live one, and closes that have not left.
        let mut counted: BTreeMap<_, (u32, Option<u32>, u32)> = BTreeMap::new();
        for (id, session) in self.sessions.iter() {
            let (sessions, live, closes_due) = counted.entry(session.user).or_default();
            *sessions += 1;
            *closes_due += u32::from(session.is_close_due());
            *live = live.or((session.stage == Stage::Live).then_some(id.slot));
        }
        for (user, known) in self.users.iter() {
            same!(self.users.find(&known.name), Some(user), "a user who is not found");
            let (sessions, live, closes_due) = counted.remove(&user).unwrap_or_default();
            same!(known.sessions, sessions, "a user's sessions");
            same!(known.live, live, "a user's live session");
            same!(known.closes_due, closes_due, "closes that have not left");
            must!(known.sessions > 0 || known.to_forget, "a user whom nothing will forget");
        }
        Ok(())
    }

    fn check_line(&self) -> Audited {
        if let Line::Connected(line) = &self.line {
            must!(line.confirmed <= self.pings, "a Ping is confirmed that was not sent");
            let waits = line.announces() && line.cursor.is_some();
            must!(!waits, "a session could be announced, and is not");
            if !line.full
                && let Some(slot) = self.backlog.head()
            {
                let waits_for_others = self.again_bytes > 0
                    && self.sessions[slot].held.as_ref().is_some_and(|held| held.again.is_empty());
                must!(waits_for_others, "messages could go, and do not");
            }
        }
        Ok(())
    }

    /// Whatever refers to a session or a user refers to one that is there, and walks along sessions come to an end: on
    /// that the rest of the machine relies.
    fn check_references(&self) -> Audited {
        let taken = |slot: u32| self.sessions.get(self.sessions.id(slot)).is_some();
        let known = |user| self.users.knows(user);
        for list in [&self.live, &self.backlog, &self.resting] {
            must!(list.is_sound(&self.sessions), "a list that leads nowhere, or round");
        }
        must!(self.sessions.is_sound(), "a free slot that is taken, or none that is free");
        must!(self.users.is_sound(), "a free place of a user that is taken, or none that is free");
        must!(self.sessions.iter().all(|(_, session)| known(session.user)), "a session of nobody");
        must!(
            self.users.iter().all(|(_, user)| user.live.is_none_or(taken)),
            "a live session that is not there"
        );
        must!(
            self.expiries.iter().all(|expires| taken(expires.slot)),
            "the expiry of a session that is not there"
        );
        must!(
            self.owed.iter().all(|id| self.sessions.get(*id).is_some()),
            "a close owed of a session that is not there"
        );
        must!(self.gaps.iter().all(|&(.., user)| known(user)), "the gap of nobody");
        must!(self.forgets.iter().all(|&(_, user)| known(user)), "nobody is to be forgotten");
        if let Line::Connected(line) = &self.line {
            must!(line.cursor.is_none_or(taken), "a session that is to be announced is not there");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
