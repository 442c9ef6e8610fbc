//! A history that begins in the middle of a machine's life: what the machine's state tells of what came before.
//!
//! What it does not tell is taken as it suits the machine: in which order clients were stopped, whose the events were
//! that are on their way, which `open`s are confirmed, why and when a session ended and when a link broke, who had had a
//! turn to be closed and lives no more. All that comes later is held against the laws as ever.

use std::collections::BTreeMap;

use trunkline_core::{
    EndCause, Identity, LeaveCause, LinkPhase, Payload, Redeliver, SessionId, Time,
    recording::{ClientState, CloseState, LinkSnapshot, SessionSnapshot, Snapshot, Turns as Spread, Up},
};

use crate::{
    history::{Batch, Client, Close, Emitted, History, Link, LinkState, Opened, Session, Turns, When},
    said::{Msg, What},
};

/// Stands for a session that had a turn and lives no more.
const NOBODY: SessionId = SessionId { slot: u32::MAX, generation: u32::MAX };

impl History {
    /// Of a machine whose state is this; `mark` is what stands for a payload.
    pub(crate) fn of<P: Payload>(machine: &Snapshot<'_, P>, looks: usize, mark: impl Fn(&P) -> Msg) -> Self {
        let mut seen = History::new(machine.settings, machine.now, looks);
        (seen.due, seen.pings) = (machine.next, machine.pings);
        seen.slots_max = seen.slots_max.max(machine.slots);
        (seen.stop_all, seen.outage) = (machine.all_stopped, machine.outage.map(|(at, _)| When::at(at)));
        seen.empty = machine.drain.as_ref().is_some_and(|drain| drain.over);
        seen.link = link(machine);
        let up = match &machine.line {
            LinkSnapshot::Up(up) => Some(up),
            _ => None,
        };
        seen.sessions.count_opened_on(machine.link);
        let waits = Waits::of(machine, up);
        for session in &machine.sessions {
            let ended = When::at(waits.ended_at(session, machine));
            seen.remember(session, ended, machine.pings, &waits, &mark);
        }
        seen.remember_left(machine);
        seen.drain = machine.drain.as_ref().map(|drain| seen.turns_left(drain.turns));
        let spread = machine.outage.and_then(|(_, spread)| spread).filter(|spread| spread.total > 0);
        seen.spread = spread.map(|spread| seen.turns_left(spread));
        if let Some(up) = up {
            seen.remember_sent(up, &mark);
            seen.remember_phase(machine, up);
        }
        seen
    }

    fn remember<P>(
        &mut self,
        known: &SessionSnapshot<'_, P>,
        ended: When,
        pings: u64,
        waits: &Waits,
        mark: impl Fn(&P) -> Msg,
    ) {
        let mut session = Session::new(known.id, known.identity.clone(), known.expires);
        session.client = match known.client {
            ClientState::In | ClientState::Leaving => Client::In,
            ClientState::Closed => Client::Closed,
            ClientState::Left => Client::Left,
        };
        session.ended = known.over.map(|_| {
            let drained = known.client == ClientState::Leaving;
            let cause = if drained { EndCause::Drained } else { EndCause::Left(LeaveCause::Closed) };
            (ended, cause)
        });
        session.close = match known.over {
            None | Some(CloseState::Settled) => Close::NotDue,
            Some(CloseState::Owed) => Close::Owed,
            Some(CloseState::Sent { free, confirmed: true }) => Close::Confirmed { free },
            Some(CloseState::Sent { free, confirmed: false }) => {
                Close::Said { end: waits.ends.get(&known.id).copied().unwrap_or(0), free }
            }
        };
        session.stopped = known.stopped.then_some(0);
        session.queue = known.queued;
        session.opened = known.opened.map(|(link, at, again)| Opened { link, at, again, confirmed: true });
        session.spent = (known.spent, pings);
        known.again.iter().for_each(|payload| session.kept.push_back(mark(payload)));
        known.parked.iter().for_each(|payload| session.line.push_back(mark(payload)));
        self.sessions.add(session);
    }

    fn remember_left<P>(&mut self, machine: &Snapshot<'_, P>) {
        let window = self.settings.crossing_window;
        let mut left: Vec<_> =
            machine.left.iter().copied().filter(|(_, at)| self.now - *at < window).collect();
        left.sort_unstable_by_key(|(_, at)| *at);
        left.into_iter().for_each(|(user, at)| self.note_left(user.into(), at));
        let now = self.now;
        machine
            .gaps
            .iter()
            .filter(|(_, over)| *over > now)
            .for_each(|(user, over)| self.note_gap((*user).into(), *over));
    }

    /// Turns some of which have passed: those who live have the last ones.
    fn turns_left(&self, spread: Spread) -> Turns {
        let Spread { start, span, total, done } = spread;
        let mut turns = self.turns(When::at(start), span);
        turns.first = (total as usize).saturating_sub(turns.list.len());
        turns.list.splice(..0, std::iter::repeat_n(NOBODY, turns.first));
        turns.taken = done as usize;
        turns
    }

    /// Of the events on their way, closes and kept messages are known one by one.
    fn remember_sent<P>(&mut self, up: &Up<'_, P>, mark: impl Fn(&P) -> Msg) {
        for (batch, known) in [(&mut self.link.unpinged, up.unpinged), (&mut self.link.pinged, up.pinged)] {
            batch.bytes = known.bytes;
            batch.earlier_messages = known.messages;
        }
        self.link.unpinged.since = (!up.unpinged.empty).then_some(When::at(up.unpinged_since));
        let outstanding = up.ping.map(|(counter, _)| counter);
        let closes = up.closes.iter().map(|(by, id)| (*by, *id, What::Close));
        let messages = up.kept.iter().map(|(by, id, payload)| (*by, *id, What::Message(mark(payload))));
        for (by, id, what) in closes.chain(messages) {
            if self.session(id).is_none() && what != What::Close {
                let mut gone = Session::new(id, Identity::new("", []), None);
                gone.ended = Some((When::at(self.now), EndCause::Backend));
                gone.client = Client::Left;
                self.sessions.add_remains(gone);
            }
            let known = self.sessions.change(id, |session| {
                session.on_way += 1;
                if let What::Message(msg) = what {
                    session.sent.push_back((msg, Redeliver::Unconfirmed));
                }
            });
            if known.is_some() {
                let pinged = outstanding == Some(by);
                let batch: &mut Batch = if pinged { &mut self.link.pinged } else { &mut self.link.unpinged };
                batch.earlier_messages -= u64::from(what != What::Close);
                batch.events.push(Emitted { session: id, what });
            }
        }
    }

    fn remember_phase<P>(&mut self, machine: &Snapshot<'_, P>, up: &Up<'_, P>) {
        if up.phase == LinkPhase::Settling {
            let awaited = |by: u64| up.target.is_none_or(|target| by <= target);
            let said = up.closes.iter().filter(|(by, _)| awaited(*by)).map(|(_, id)| *id);
            self.link.settling = said.chain(machine.owed.iter().copied().take(up.settling)).collect();
            return;
        }
        let awaits = |known: &&SessionSnapshot<'_, P>| {
            let opened = known.opened.is_some_and(|(link, ..)| link == up.link);
            let passed = known.passed_on == Some(up.link);
            let in_gap = || self.session(known.id).is_none_or(|session| self.in_gap(session) != Some(false));
            known.over.is_none() && !opened && !passed && known.number <= up.announcing_to && !in_gap()
        };
        let listed: Vec<SessionId> = match up.phase {
            LinkPhase::Announcing => machine.sessions.iter().filter(awaits).map(|known| known.id).collect(),
            _ => Vec::new(),
        };
        let list = |session: &mut Session| {
            session.listed = Some(up.link);
            session.number
        };
        let numbers = listed.into_iter().filter_map(|id| self.sessions.change(id, list)).collect();
        self.link.announcing = Some(numbers);
    }
}

/// What the machine waits for, by session.
struct Waits {
    /// After how many bytes a `close` has left.
    ends: BTreeMap<SessionId, u64>,
    /// When a drain gives a `close` up.
    give_ups: BTreeMap<SessionId, Time>,
}

impl Waits {
    fn of<P>(machine: &Snapshot<'_, P>, up: Option<&Up<'_, P>>) -> Self {
        let ends = up.into_iter().flat_map(|up| up.leaving).map(|(end, id)| (*id, *end));
        let give_ups = machine.drain.iter().flat_map(|drain| drain.give_ups).map(|(at, id)| (*id, *at));
        Waits { ends: ends.collect(), give_ups: give_ups.collect() }
    }

    /// When a session ended, as far as that matters: to a drain, which waits for its `close` for so long.
    fn ended_at<P>(&self, session: &SessionSnapshot<'_, P>, machine: &Snapshot<'_, P>) -> Time {
        let given_up = session.given_up.then_some(machine.now);
        let due = self.give_ups.get(&session.id).copied().or(given_up);
        let timeout = machine.settings.drain.confirm_timeout;
        due.map_or(machine.now, |due| Time(due.0.saturating_sub(timeout.0)))
    }
}

fn link<P>(machine: &Snapshot<'_, P>) -> Link {
    let up = match &machine.line {
        // It may have broken at any time.
        LinkSnapshot::Gone => {
            return Link::new(machine.link, LinkState::Gone, When { from: Time(0), to: machine.now });
        }
        LinkSnapshot::Dialled => return Link::new(machine.link, LinkState::Dialled, When::at(machine.now)),
        LinkSnapshot::Over => return Link::new(machine.link, LinkState::Closing, When::at(machine.now)),
        LinkSnapshot::Up(up) => up,
    };
    Link {
        phase: up.phase,
        emitted: up.emitted,
        sent: up.sent,
        leaving: up.leaving.clone(),
        ping: up.ping.map(|(counter, at)| (counter, When::at(at))),
        calm_since: up.quiet_since,
        full: up.full,
        leaves_by: up.leaves_by,
        told_full: up.full,
        ..Link::new(up.link, LinkState::Up, When::at(machine.now))
    }
}
