//! An operator changes settings while sessions live, or moves the backend.
//!
//! What is decided by looking at the settings needs nothing here: the next look finds the new ones. Here is what had been
//! decided and now would be otherwise.

use super::{Endpoint, ending::remembered, link::Line};
use crate::{Output, Payload, Settings, Sink};

impl<P: Payload> Endpoint<P> {
    /// These settings hold from now on, but for the seed. An endpoint that drains ends as it began to.
    pub(super) fn change_settings<S: Sink<P> + ?Sized>(&mut self, settings: Settings, out: &mut S) {
        if self.drain.is_some() {
            return;
        }
        let seed = self.settings.seed;
        let old = core::mem::replace(&mut self.settings, Settings { seed, ..settings });
        self.forget_closes(&old);
        if old.outage != self.settings.outage
            && let Some(outage) = &mut self.outage
        {
            // Who is to be closed, and over how long, is decided anew.
            outage.spread = None;
        }
        self.share_again();
        self.stop_again(out);
    }

    /// The last `close` of a user that counted no longer does not begin to count again, and nobody is remembered for
    /// longer than is of use.
    fn forget_closes(&mut self, old: &Settings) {
        let (now, most) = (self.now, self.now + remembered(&self.settings));
        for user in self.users.iter_mut() {
            user.closed_at.take_if(|at| *at + old.crossing_window <= now);
        }
        for (due, user) in &mut self.forgets {
            *due = most.max(self.users.get(*user).free_at).min(*due);
        }
    }

    /// Whoever has a share left waits for the link alone, and not for the next Ping. Who has none any more is found when its
    /// turn on the link comes.
    fn share_again(&mut self) {
        let mut next = self.resting.head();
        while let Some(slot) = next {
            next = self.resting.after(&self.sessions, slot);
            if !self.has_spent_share(slot) {
                self.resting.remove(&mut self.sessions, slot);
                self.backlog.push_back(&mut self.sessions, slot);
            }
        }
    }

    /// Whoever has parked as much as it may is not read from, and who may park more is.
    fn stop_again<S: Sink<P> + ?Sized>(&mut self, out: &mut S) {
        let mut next = self.live.head();
        while let Some(slot) = next {
            next = self.live.after(&self.sessions, slot);
            let waits = self.backlog.contains(&self.sessions, slot);
            if waits || self.resting.contains(&self.sessions, slot) {
                continue;
            }
            let parked_bytes = self.sessions[slot].parked_bytes();
            if parked_bytes > 0 && parked_bytes >= self.settings.parked_bytes_max {
                self.stop(slot, out);
            } else {
                self.resume(slot, out);
            }
        }
        self.stop_all(out);
    }

    // --- The backend moves ---

    /// The link is left for another. A dial that is under way is given up; one that is to come goes to where the backend
    /// is then.
    pub(super) fn redial<S: Sink<P> + ?Sized>(&mut self, out: &mut S) {
        if self.drain.is_some() {
            return;
        }
        match &mut self.line {
            Line::Connected(line) => {
                line.leaves_by.get_or_insert(self.now + self.settings.drain.confirm_timeout);
            }
            Line::Dialling { link } => {
                let link = *link;
                out.emit(Output::Abort { link });
                self.redial_later();
            }
            Line::Waiting { .. } | Line::Over => {}
        }
    }

    /// Leaves a link that is to be left once all that it has taken is confirmed. When its time is up it is dropped.
    pub(super) fn leave_link<S: Sink<P> + ?Sized>(&mut self, out: &mut S) {
        let Some(line) = self.line.connected() else { return };
        if line.leaves_by.is_some() && line.is_calm() {
            out.emit(Output::CloseLink { link: line.id });
            self.break_link(self.now, out);
        }
    }
}
