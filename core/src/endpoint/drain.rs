//! The gateway stops (language.md, "Clients that are too slow, and the end of the gateway").

use alloc::collections::VecDeque;

use super::{Endpoint, ending::Farewell, link::Line, pace::Pace, session::Stage, tell};
use crate::{EndCause, Fact, LinkPhase, Output, Payload, SessionId, Sink, Time};

/// A drain that has begun.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Drain {
    pace: Pace,
    /// When the `close` of a session that is over is waited for no longer.
    give_ups: VecDeque<(Time, SessionId)>,
    /// Closes that were not waited for any longer.
    given_up: u64,
    over: bool,
}

impl<P: Payload> Endpoint<P> {
    pub(super) fn start_drain(&mut self) {
        if self.drain.is_some() {
            return;
        }
        let drain = &self.settings.drain;
        let due = self.now + drain.confirm_timeout;
        let owing = self.sessions.iter().filter(|(_, session)| session.is_owed());
        self.drain = Some(Drain {
            pace: Pace::new(self.now, drain.time, self.live.len()),
            give_ups: owing.map(|(id, _)| (due, id)).collect(),
            given_up: 0,
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
        super::earlier(session, drain.give_ups.front().map(|&(due, _)| due))
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

    /// A `close` that is not confirmed by now is waited for no longer, but for its user's gap if it has left.
    fn give_up<S: Sink<P> + ?Sized>(&mut self, id: SessionId, out: &mut S) {
        let Some(drain) = &mut self.drain else { return };
        match self.sessions.get(id).map(|session| session.stage) {
            Some(Stage::Owed) => {
                drain.given_up += 1;
                self.owing -= 1;
                self.drop_held(id.slot, false, out);
                self.forgo_close(id.slot, out);
                self.skip_given_up();
            }
            Some(Stage::Sent { left_at: None, confirmed: false }) => {
                drain.given_up += 1;
                self.owing -= 1;
                self.sessions[id.slot].stage = Stage::GivenUp;
                self.proceed(id.slot, out);
            }
            Some(Stage::Sent { left_at, confirmed: false }) => {
                drain.given_up += 1;
                self.sessions[id.slot].stage = Stage::Sent { left_at, confirmed: true };
                self.proceed(id.slot, out);
            }
            _ => {}
        }
    }

    /// The `close` of a session will never leave the gateway.
    pub(super) fn forgo_close<S: Sink<P> + ?Sized>(&mut self, slot: u32, out: &mut S) {
        self.sessions[slot].stage = Stage::Settled;
        let user = self.sessions[slot].user;
        self.users.get_mut(user).closes_due -= 1;
        // First, since with its last session the user may be forgotten.
        self.ready_again(user);
        self.proceed(slot, out);
    }

    /// Says that nothing is left, once.
    pub(super) fn finish_drain<S: Sink<P> + ?Sized>(&mut self, out: &mut S) {
        let (left, owing) = (self.live.len(), self.owing);
        let Some(drain) = self.drain.as_mut().filter(|drain| !drain.over && left == 0 && owing == 0) else {
            return;
        };
        drain.over = true;
        let unconfirmed_closes = drain.given_up;
        match core::mem::replace(&mut self.line, Line::Over) {
            Line::Connected(line) => {
                out.emit(Output::CloseLink { link: line.id });
                let remains = line.remains();
                self.owe_again(remains.closes, out);
                self.count_unconfirmed(remains.messages, out);
                self.send_again(remains.kept, out);
                tell(out, Fact::Link { phase: LinkPhase::Down });
            }
            Line::Dialling { link } => {
                out.emit(Output::Abort { link });
            }
            Line::Waiting { .. } | Line::Over => {}
        }
        self.outage = None;
        out.emit(Output::Empty { unconfirmed_closes });
    }
}
