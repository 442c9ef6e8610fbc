//! What must be true between two inputs, however the machine came there.

use super::{
    Endpoint,
    link::Line,
    session::{Client, Expires, Session, Stage},
    upstream::PARKED_OVERHEAD_BYTES,
};
use crate::Payload;

impl<P: Payload> Endpoint<P> {
    /// The full audit: every sum and every index is counted again. For tests and debug builds; it takes time in
    /// proportion to the sessions.
    ///
    /// # Panics
    ///
    /// If the machine is broken.
    pub fn check_invariants(&self) {
        self.check_sums();
        self.check_sessions();
        self.check_users();
        self.check_line();
        assert!(self.next_deadline().is_none_or(|at| at > self.now), "a deadline lies in the past");
    }

    fn check_sums(&self) {
        let sum = |part: fn(&Session<P>) -> usize| self.sessions.iter().map(|(_, s)| part(s)).sum::<usize>();
        assert_eq!(self.parked_bytes, sum(Session::parked_bytes), "parked bytes");
        let live = |s: &Session<P>| if s.stage == Stage::Live { s.queued } else { 0 };
        assert_eq!(self.client_bytes, sum(live), "bytes in the queues of live clients");
        assert_eq!(
            self.closing_bytes,
            sum(|s| s.queued) - sum(live),
            "bytes in the queues of those that close"
        );
        let again = |s: &Session<P>| {
            s.held.as_ref().map_or(0, |held| held.again.iter().map(|(_, bytes)| bytes).sum::<usize>())
        };
        assert_eq!(self.again_bytes, sum(again), "bytes to be sent again");
        let owing = |s: &Session<P>| usize::from(s.awaited);
        assert_eq!(self.owing, sum(owing), "sessions that are owed something");
    }

    fn check_sessions(&self) {
        let mut live = 0;
        for (id, session) in self.sessions.iter() {
            let is_live = session.stage == Stage::Live;
            live += usize::from(is_live);
            assert_eq!(self.live.contains(&self.sessions, id.slot), is_live, "the list of live sessions");
            assert_eq!(
                is_live,
                session.client == Client::Open,
                "who is live has a client, who is not has none"
            );
            if let Some(expires) = session.expires {
                let waits = Expires { at: expires, number: session.number, slot: id.slot };
                assert!(self.expiries.contains(&waits), "an expiry that nothing waits for");
            }
            assert_eq!(session.stage == Stage::Owed, self.owed.contains(&id), "the queue of owed closes");
            let over = matches!(session.stage, Stage::Owed | Stage::Sent { .. });
            assert!(over || !session.awaited, "a drain waits for what is settled");
            let unheard = session.client == Client::Gone && session.stage == Stage::Settled;
            assert!(!unheard, "a slot that could be free");
            self.check_held(id.slot, session);
        }
        assert_eq!(live, self.live.len(), "the count of live sessions");
        assert_eq!(live, self.live.iter(&self.sessions).count(), "the links of live sessions");
    }

    fn check_held(&self, slot: u32, session: &Session<P>) {
        let on_link = match &self.line {
            Line::Connected(line) => session.opened_on == Some(line.id),
            _ => false,
        };
        let waits = on_link && session.stage == Stage::Live && session.held.is_some();
        let rests = self.resting.contains(&self.sessions, slot);
        assert_eq!(self.backlog.contains(&self.sessions, slot) || rests, waits, "the backlog");
        if rests {
            assert!(!self.backlog.contains(&self.sessions, slot), "one that waits twice");
            assert!(self.has_spent_share(slot), "one that waits for the next Ping has had its share");
        }
        assert!(!waits || session.stopped, "one that waits for the link is read from");
        if let Some(held) = &session.held {
            assert!(!(held.again.is_empty() && held.parked.is_empty()), "an empty box of held messages");
            let bytes: usize =
                held.parked.iter().map(|p| p.size().saturating_add(PARKED_OVERHEAD_BYTES)).sum();
            assert_eq!(held.parked_bytes, bytes, "a session's parked bytes");
        }
    }

    fn check_users(&self) {
        assert_eq!(self.users.len(), self.users.iter().count(), "names that no user has");
        for (user, known) in self.users.iter() {
            assert_eq!(self.users.find(&known.name), Some(user), "a user who is not found");
            let own = || self.sessions.iter().filter(|(_, session)| session.user == user);
            assert_eq!(known.sessions as usize, own().count(), "a user's sessions");
            let live = own().find(|(_, session)| session.stage == Stage::Live).map(|(id, _)| id.slot);
            assert_eq!(known.live, live, "a user's live session");
            let closes_due = own().filter(|(_, session)| session.is_close_due()).count();
            assert_eq!(known.closes_due as usize, closes_due, "closes that have not left");
            assert!(known.sessions > 0 || known.to_forget, "a user whom nothing will forget");
        }
    }

    fn check_line(&self) {
        if let Line::Connected(line) = &self.line {
            assert!(line.confirmed <= self.pings, "a Ping is confirmed that was not sent");
            if line.announces() && line.cursor.is_some() {
                panic!("a session could be announced, and is not");
            }
            if !line.full
                && let Some(slot) = self.backlog.head()
            {
                let waits_for_others = self.again_bytes > 0
                    && self.sessions[slot].held.as_ref().is_some_and(|held| held.again.is_empty());
                assert!(waits_for_others, "messages could go, and do not");
            }
        }
    }
}

#[cfg(test)]
mod tests;
