//! The gateway stops (language.md, "Clients that are too slow, and the end of the gateway").

use alloc::collections::VecDeque;

use super::{Endpoint, ending::Farewell, key::Writer, link::Line, pace::Pace, session::Stage, tell};
use crate::{EndCause, Fact, LinkPhase, Output, Payload, SessionId, Sink, Time};

/// A drain that has begun.
#[cfg_attr(feature = "recording", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Drain {
    pace: Pace,
    /// When the `close` of a session that is over is waited for no longer.
    give_ups: VecDeque<(Time, SessionId)>,
    over: bool,
}

impl Drain {
    /// What stands here.
    #[cfg(feature = "recording")]
    pub(super) const fn snapshot(&self) -> super::snapshot::Draining<'_> {
        super::snapshot::Draining { turns: self.pace.snapshot(), give_ups: &self.give_ups, over: self.over }
    }

    /// Appends what still matters of it: its pace while anybody lives, and of those that are waited for no longer when
    /// they would have been.
    pub(super) fn key<P: Payload>(
        &self,
        lives: bool,
        awaited: impl Fn(SessionId) -> bool,
        to: &mut Writer<'_, P>,
    ) {
        to.number(1 + u64::from(self.over));
        if lives {
            self.pace.key(to);
        }
        for &(at, id) in &self.give_ups {
            to.until(Some(at));
            to.flags(&[awaited(id)]);
            if awaited(id) {
                to.session(id);
            }
        }
        to.end();
    }
}

impl<P: Payload> Endpoint<P> {
    pub(super) fn start_drain(&mut self) {
        if self.drain.is_some() {
            return;
        }
        let drain = &self.settings.drain;
        let due = self.now + drain.confirm_timeout;
        let owing = self.sessions.by_age().into_iter().filter(|id| self.sessions[id.slot].awaited);
        self.drain = Some(Drain {
            pace: Pace::new(self.now, drain.time, self.live.len()),
            give_ups: owing.map(|id| (due, id)).collect(),
            over: false,
        });
    }

    /// While the gateway drains, the `close` of a session that has just ended is not waited for without end.
    pub(super) fn give_up_later(&mut self, id: SessionId) {
        if let Some(drain) = &mut self.drain {
            drain.give_ups.push_back((self.now + self.settings.drain.confirm_timeout, id));
        }
    }

    pub(super) fn drain_due(&self) -> Option<Time> {
        let drain = self.drain.as_ref()?;
        let session = if self.live.len() > 0 { drain.pace.next_due() } else { None };
        [session, drain.give_ups.front().map(|&(due, _)| due)].into_iter().flatten().min()
    }

    pub(super) fn run_drain<S: Sink<P> + ?Sized>(&mut self, at: Time, out: &mut S) {
        while let Some(drain) = &mut self.drain
            && let Some((_, id)) = drain.give_ups.pop_front_if(|(due, _)| *due <= at)
        {
            self.give_up(id, out);
        }
        while let Some(drain) = &mut self.drain
            && let Some(oldest) = self.live.head()
            && drain.pace.take(at)
        {
            self.end(oldest, EndCause::Drained, Farewell::WhenSettled, out);
        }
    }

    /// A `close` that is not confirmed by now is waited for no longer, but for its user's gap if it has left. Where it
    /// can still go out, or be confirmed, before the drain is over, it is.
    fn give_up<S: Sink<P> + ?Sized>(&mut self, id: SessionId, out: &mut S) {
        if self.sessions.get(id).is_some_and(|session| session.awaited) {
            self.sessions[id.slot].given_up = true;
            self.proceed(id.slot, out);
        }
    }

    /// Says that nothing is left, once.
    pub(super) fn finish_drain<S: Sink<P> + ?Sized>(&mut self, out: &mut S) {
        let (left, owing) = (self.live.len(), self.owing);
        let Some(drain) = self.drain.as_mut().filter(|drain| !drain.over && left == 0 && owing == 0) else {
            return;
        };
        drain.over = true;
        match core::mem::replace(&mut self.line, Line::Over) {
            Line::Connected(line) => {
                out.emit(Output::CloseLink { link: line.id });
                let remains = line.remains();
                self.count_unconfirmed(&remains, out);
                self.send_again(remains.kept, out);
                tell(out, Fact::Link { phase: LinkPhase::Down });
            }
            Line::Dialling { link } => {
                out.emit(Output::Abort { link });
            }
            Line::Waiting { .. } | Line::Over => {}
        }
        self.outage = None;
        let unconfirmed_closes = self.forgo_closes(out);
        out.emit(Output::Empty { unconfirmed_closes });
    }

    /// What has not been said by now never will be. How many closes that are.
    fn forgo_closes<S: Sink<P> + ?Sized>(&mut self, out: &mut S) -> u64 {
        self.owed.clear();
        let mut unconfirmed = 0;
        for SessionId { slot, .. } in self.sessions.by_age() {
            self.drop_held(slot, false, out);
            let session = &mut self.sessions[slot];
            unconfirmed += u64::from(session.is_unconfirmed());
            let due = u32::from(session.is_close_due());
            session.stage = Stage::Settled;
            let user = session.user;
            self.users.get_mut(user).closes_due -= due;
            self.proceed(slot, out);
        }
        unconfirmed
    }
}
