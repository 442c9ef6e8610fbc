//! What has been seen of a machine: its inputs and outputs, told to a book of sessions and a link.
//!
//! It judges nothing: laws and reference ask it. It forgets the dead, so its memory is bounded by the
//! machine's own limits. It expects a driver that hands in `Deadline` before anything else that is due.
//! A step costs about the same however many sessions there are, but for those that concern them all: a link that comes
//! up or breaks, a drain, a clock that is set.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use trunkline_core::{
    DropCause, EndCause, Input, LinkId, LinkPhase, Millis, Queued, Redeliver, SessionId, Settings, Time,
};

pub use crate::parts::{
    Batch, Client, Close, Emitted, Link, LinkState, Messages, Opened, PARKED_OVERHEAD, Session, Turns, When,
};
use crate::{
    book::Sessions,
    said::{Msg, Said, What},
};

/// All of it.
#[derive(Clone, Debug)]
pub struct History {
    /// Of the endpoint.
    pub settings: Settings,
    /// The most sessions that it ever might have.
    pub slots_max: u32,
    /// The latest time.
    pub now: Time,
    /// The machine's next deadline, as it said before this step.
    pub due: Option<Time>,
    /// The sessions.
    pub sessions: Sessions,
    /// The last link.
    pub link: Link,
    /// The highest counter of a Ping.
    pub pings: u64,
    /// Since when the backend is away.
    pub outage: Option<When>,
    /// The closes of this outage, if they have started.
    pub spread: Option<Turns>,
    /// The drain.
    pub drain: Option<Turns>,
    /// Whether nobody may be read from.
    pub stop_all: bool,
    /// Counts the stops.
    pub stops: u64,
    /// Messages that broke with a link, until a fact counts them.
    pub lost: u64,
    /// When the last `close` of each user left: for the crossing window.
    pub left_at: BTreeMap<Box<str>, Time>,
    /// The same, in the order in which they left.
    lefts: VecDeque<(Time, Box<str>)>,
    /// When the gaps after all closes of each user that left are over.
    pub free_at: BTreeMap<Box<str>, Time>,
    /// The same, the first one first.
    frees: BTreeSet<(Time, Box<str>)>,
    /// Whether the drain is over.
    pub empty: bool,
    /// How many sessions are looked at in a step besides those that it concerns.
    pub(crate) looks: usize,
    /// Whose turn to be looked at and to be forgotten comes next.
    look_from: u64,
    forget_from: u64,
}

impl History {
    /// Before anything. `looks`: how many sessions are looked at in each step besides those that it concerns.
    pub(crate) fn new(settings: &Settings, now: Time, looks: usize) -> Self {
        History {
            settings: settings.clone(),
            slots_max: settings.sessions_max,
            now,
            due: Some(now),
            sessions: Sessions::default(),
            link: Link::new(LinkId(0), LinkState::Gone, When::at(now)),
            pings: 0,
            outage: Some(When::at(now)),
            spread: None,
            drain: None,
            stop_all: false,
            stops: 0,
            lost: 0,
            left_at: BTreeMap::new(),
            lefts: VecDeque::new(),
            free_at: BTreeMap::new(),
            frees: BTreeSet::new(),
            empty: false,
            looks,
            look_from: 0,
            forget_from: 0,
        }
    }

    /// That session, if anything of it is remembered.
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(id)
    }

    /// The live session of that user.
    pub fn live(&self, user: &str) -> Option<&Session> {
        self.sessions.of_user(user).find(|session| session.is_live())
    }

    /// How many are live.
    pub fn lives(&self) -> usize {
        self.sessions.sums().live
    }

    /// Bytes of a session's messages that links have taken since the last Ping.
    pub fn spent(&self, session: &Session) -> usize {
        if session.spent.1 == self.pings { session.spent.0 } else { 0 }
    }

    /// Whether all who live have been opened on this link.
    pub fn all_open(&self) -> bool {
        let opened = if self.link.state == LinkState::Up { self.sessions.opened_on(self.link.id) } else { 0 };
        opened == self.lives()
    }

    /// Whether so many slots are taken, or more.
    pub fn takes_slots(&self, max: usize) -> bool {
        self.sessions.len() >= max
            && self.lives() + self.sessions.over().filter(|session| self.holds_slot(session)).count() >= max
    }

    /// Whether that link is up.
    pub fn is_up(&self, link: LinkId) -> bool {
        self.link.id == link && self.link.state == LinkState::Up
    }

    /// When what happens in this step does: exactly now, unless it was due earlier.
    pub fn when(&self) -> When {
        When { from: self.due.unwrap_or(self.now).min(self.now), to: self.now }
    }

    /// Whether its user's gap keeps the session from being opened: `None` where that cannot be told, since with
    /// no gap a machine may wait for the `close` to leave or not.
    pub fn in_gap(&self, session: &Session) -> Option<bool> {
        if self.gap_runs(session) {
            return Some(true);
        }
        let leaves = |close: Close| matches!(close, Close::Said { free: None, .. });
        let one_leaves = self.sessions.of_user(session.who.user()).any(|other| leaves(other.close));
        if one_leaves && self.settings.reopen_gap == Millis(0) { None } else { Some(one_leaves) }
    }

    /// Whether the gap after the last `close` of the session's user that left is not over, whatever became of it.
    fn gap_runs(&self, session: &Session) -> bool {
        self.free_at.get(session.who.user()).is_some_and(|free| *free > self.now)
    }

    /// Whether a `close` of that user is yet to go out on this link.
    pub fn owes_close(&self, user: &str) -> bool {
        self.sessions.of_user(user).any(|session| session.close == Close::Owed)
    }

    /// Until when the `close` of an ended session is waited for, once draining.
    pub fn given_up_at(&self, session: &Session) -> Option<When> {
        let (drain, (ended, _)) = (self.drain.as_ref()?, session.ended?);
        let timeout = self.settings.drain.confirm_timeout;
        let from = ended.from.max(drain.start.from) + timeout;
        Some(When { from, to: ended.to.max(drain.start.to) + timeout })
    }

    /// Whether the session's slot is taken.
    pub fn holds_slot(&self, session: &Session) -> bool {
        let gap_runs = |free: Option<Time>| free.is_none_or(|free| free > self.now);
        session.client != Client::Left
            || match session.close {
                Close::NotDue => false,
                // Once a drain is over, nobody will ever hear it.
                Close::Owed | Close::Said { .. } => !self.empty,
                Close::Confirmed { free } => gap_runs(free) && !self.empty,
            }
    }

    /// Whether a backend that closes this session now may have meant another: language.md, "Events".
    pub fn crosses(&self, session: &Session) -> bool {
        let recent = |at: Time| self.now - at < self.settings.crossing_window;
        let on_its_way = |other: &Session| matches!(other.close, Close::Said { free: None, .. });
        session.opened.is_some_and(|opened| {
            self.left_at.get(session.who.user()).is_some_and(|&at| recent(at))
                || self.is_up(opened.link)
                    && (self.sessions.of_user(session.who.user()).any(on_its_way)
                        || opened.again && recent(opened.at))
        })
    }

    /// Applies an input; `due` is the deadline that the machine had named before.
    pub fn input(&mut self, now: Time, input: &Input<'_, Msg>, due: Option<Time>) {
        self.sessions.begin_step();
        self.now = self.now.max(now);
        self.due = due;
        match *input {
            Input::Message { session, payload } if self.session(session).is_some_and(Session::is_live) => {
                self.sessions.change(session, |session| session.line.push_back(payload));
            }
            Input::Left { session, .. } => {
                self.sessions.change(session, |session| {
                    session.client = Client::Left;
                    session.queue_lost = std::mem::take(&mut session.queue);
                });
            }
            Input::ClientSent { session, bytes } => {
                self.sessions.change(session, |session| session.queue = session.queue.saturating_sub(bytes));
            }
            Input::LinkUp { link } if self.link.id == link && self.link.state == LinkState::Dialled => {
                let phase = self.link.phase;
                self.link = Link { phase, ..Link::new(link, LinkState::Up, When::at(self.now)) };
                self.spread = None;
                let owed = self.sessions.over().filter(|session| session.close == Close::Owed);
                self.link.settling = owed.map(|session| session.id).collect();
            }
            Input::LinkDown { link }
                if self.link.id == link && matches!(self.link.state, LinkState::Dialled | LinkState::Up) =>
            {
                self.link_breaks(When::at(self.now));
            }
            Input::LinkSent { link, bytes } if self.is_up(link) => self.link_sent(bytes),
            Input::Pong { link, counter } if self.is_up(link) => self.pong(counter),
            Input::WallClockStepped { forward } => self.sessions.move_expiries(self.now, forward),
            Input::Drain if self.drain.is_none() => {
                self.drain = Some(self.turns(When::at(self.now), self.settings.drain.time));
            }
            Input::Settings(ref settings) if self.drain.is_none() => self.change(settings),
            Input::Redial if self.drain.is_none() && self.link.state == LinkState::Up => {
                self.link.leaves_by.get_or_insert(self.now + self.settings.drain.confirm_timeout);
                self.link.full = true;
            }
            _ => {}
        }
        self.settle();
    }

    /// Turns of all who live.
    pub(crate) fn turns(&self, start: When, span: Millis) -> Turns {
        let live = || self.sessions.iter().filter(|session| session.is_live());
        let last_number = live().next_back().map_or(0, |session| session.number);
        let list = live().map(|session| session.id).collect();
        Turns { start, span, list, first: 0, last_number, taken: 0 }
    }

    /// Other settings hold from now on. What was over by the old ones stays so.
    fn change(&mut self, settings: &Settings) {
        let old = std::mem::replace(&mut self.settings, settings.clone());
        self.forget_lefts(old.crossing_window);
        if old.outage != settings.outage {
            self.spread = None;
        }
        self.slots_max = self.slots_max.max(settings.sessions_max);
        self.link.fill(settings);
        self.link.drain(settings);
    }

    fn link_sent(&mut self, bytes: usize) {
        self.link.sent = self.link.sent.saturating_add(bytes as u64).min(self.link.emitted);
        let (sent, now, gap) = (self.link.sent, self.now, self.settings.reopen_gap);
        while let Some((_, id)) = self.link.leaving.pop_front_if(|(end, _)| *end <= sent) {
            let user = self.sessions.change(id, |session| match &mut session.close {
                Close::Said { free: free @ None, .. } => {
                    *free = Some(now + gap);
                    Some(Box::<str>::from(session.who.user()))
                }
                _ => None,
            });
            if let Some(user) = user.flatten() {
                self.note_left(user.clone(), now);
                self.note_gap(user, now + gap);
            }
        }
        self.link.drain(&self.settings);
    }

    pub(crate) fn note_left(&mut self, user: Box<str>, at: Time) {
        self.left_at.insert(user.clone(), at);
        self.lefts.push_back((at, user));
    }

    pub(crate) fn note_gap(&mut self, user: Box<str>, over: Time) {
        let all_over = self.free_at.entry(user.clone()).or_insert(over);
        *all_over = over.max(*all_over);
        self.frees.insert((over, user));
    }

    fn pong(&mut self, counter: u64) {
        if self.link.ping.take_if(|(outstanding, _)| *outstanding == counter).is_none() {
            return;
        }
        self.link.calm_since = self.now;
        for event in std::mem::take(&mut self.link.pinged).events {
            self.sessions.change(event.session, |session| {
                session.on_way -= 1;
                match event.what {
                    What::Open => session.opened.iter_mut().for_each(|opened| opened.confirmed = true),
                    What::Message(_) => drop(session.sent.pop_front()),
                    What::Close => {
                        if let Close::Said { free, .. } = session.close {
                            session.close = Close::Confirmed { free };
                        }
                    }
                }
            });
        }
        self.link.drain(&self.settings);
    }

    fn link_breaks(&mut self, at: When) {
        let batches = [std::mem::take(&mut self.link.pinged), std::mem::take(&mut self.link.unpinged)];
        for batch in batches {
            self.lost += batch.earlier_messages;
            for Emitted { session, .. } in batch.events {
                let lost = self.sessions.change(session, |session| {
                    session.on_way = 0;
                    if let Close::Said { .. } = session.close {
                        session.close = Close::Owed;
                    }
                    let sent = std::mem::take(&mut session.sent);
                    let goes_again = |(_, redeliver): &(Msg, Redeliver)| *redeliver == Redeliver::Unconfirmed;
                    let (again, gone): (Vec<_>, Vec<_>) = sent.into_iter().partition(goes_again);
                    match session.ended {
                        Some(_) => session.lost += again.len(),
                        None => {
                            let later = std::mem::take(&mut session.kept).queue;
                            let again = again.into_iter().map(|(msg, _)| msg);
                            again.chain(later).for_each(|msg| session.kept.push_back(msg));
                        }
                    }
                    gone.len() as u64
                });
                self.lost += lost.unwrap_or(0);
            }
        }
        if self.link.state != LinkState::Dialled {
            self.outage.get_or_insert(at);
        }
        let phase = self.link.phase;
        self.link = Link { phase, ..Link::new(self.link.id, LinkState::Gone, at) };
    }

    /// Notes that the owed closes are confirmed.
    fn settle(&mut self) {
        if self.link.state != LinkState::Up || self.link.announcing.is_some() {
            return;
        }
        let sessions = &self.sessions;
        let done =
            |id: &mut SessionId| sessions.get(*id).is_none_or(|s| matches!(s.close, Close::Confirmed { .. }));
        while self.link.settling.pop_front_if(done).is_some() {}
        if !self.link.settling.is_empty() {
            return;
        }
        let live = |session: &&Session| session.is_live() && self.in_gap(session) == Some(false);
        let list: Vec<_> = self.sessions.iter().filter(live).map(|s| (s.number, s.id)).collect();
        for (_, id) in &list {
            self.sessions.change(*id, |session| session.listed = Some(self.link.id));
        }
        self.link.announcing = Some(list.into_iter().map(|(number, _)| number).collect());
    }

    /// Applies an output of the step whose input was `input`.
    pub fn output(&mut self, input: &Input<'_, Msg>, said: &Said) {
        let when = self.when();
        match *said {
            Said::Admit(id) => {
                if let Input::Ask { identity, expires } = input {
                    self.sessions.add(Session::new(id, identity.clone(), *expires));
                }
            }
            Said::Event { session, what, bytes, .. } => self.event(session, what, bytes),
            Said::Message { session, bytes, .. } => {
                self.sessions.change(session, |session| session.queue += bytes);
            }
            Said::Close { session, queued, .. } => {
                self.sessions.change(session, |session| {
                    session.client = Client::Closed;
                    if queued == Queued::Drop {
                        session.queue_lost += std::mem::take(&mut session.queue);
                    }
                });
            }
            Said::Ended { session, cause } => self.ended(session, cause),
            Said::Stop(session) => {
                self.stops += 1;
                let stops = self.stops;
                self.sessions.change(session, |session| session.stopped = Some(stops));
            }
            Said::Resume(session) => {
                self.sessions.change(session, |session| session.stopped = None);
            }
            Said::StopAll => self.stop_all = true,
            Said::ResumeAll => self.stop_all = false,
            Said::Dial(link) => {
                let phase = self.link.phase;
                self.link = Link { phase, ..Link::new(link, LinkState::Dialled, when) };
            }
            Said::Ping { counter, bytes, .. } => {
                self.pings = self.pings.max(counter);
                self.link.emitted += bytes as u64;
                self.link.ping = Some((counter, when));
                let Batch { events, earlier_messages, bytes, .. } = std::mem::take(&mut self.link.unpinged);
                self.link.pinged.events.extend(events);
                self.link.pinged.earlier_messages += earlier_messages;
                self.link.pinged.bytes += bytes;
                self.link.fill(&self.settings);
            }
            Said::Abort(_) => {
                self.link_breaks(when);
            }
            Said::CloseLink(_) => {
                let left = self.link.leaves_by.is_some() && self.link.is_calm();
                self.link_breaks(when);
                if !left {
                    self.link.state = LinkState::Closing;
                }
            }
            Said::Empty { .. } => self.empty = true,
            Said::Phase(phase) => {
                self.link.phase = phase;
                if phase == LinkPhase::Up {
                    self.outage = None;
                }
            }
            Said::MessagesDropped { session, cause, messages } => {
                self.sessions.change(session, |session| match cause {
                    DropCause::Parked => session.line = Messages::default(),
                    DropCause::Unconfirmed => {
                        let of_kept = messages.saturating_sub(session.lost).min(session.kept.len());
                        session.kept.drop_front(of_kept);
                        session.lost = session.lost.saturating_sub(messages);
                    }
                    DropCause::AfterEnd => {}
                });
            }
            Said::QueueDropped { session, .. } => {
                self.sessions.change(session, |session| (session.queue, session.queue_lost) = (0, 0));
            }
            Said::Unconfirmed { .. } => self.lost = 0,
            Said::LinkFull => self.link.told_full = true,
            Said::LinkDrained => self.link.told_full = false,
            Said::OutageSpread { .. } => {
                self.spread = Some(self.turns(when, self.settings.outage.spread));
            }
            Said::Refuse(_)
            | Said::Ignored { .. }
            | Said::StatusReplaced(_)
            | Said::PongTimeout
            | Said::Stale => {}
        }
    }

    fn event(&mut self, id: SessionId, what: What, bytes: usize) {
        let (at, pings) = (self.when(), self.pings);
        self.link.emitted += bytes as u64;
        self.link.unpinged.bytes += bytes;
        self.link.unpinged.since.get_or_insert(at);
        let (link, end) = (self.link.id, self.link.emitted);
        self.link.fill(&self.settings);
        if what == What::Open {
            self.sessions.count_opened_on(link);
        }
        let redeliver = self.settings.redeliver;
        let number = self.sessions.change(id, |session| {
            session.on_way += 1;
            match what {
                What::Open => {
                    let again = session.opened.is_some();
                    session.opened = Some(Opened { link, at: at.to, again, confirmed: false });
                }
                What::Message(msg) => {
                    if session.kept.pop_front().is_none() {
                        session.line.pop_front();
                    }
                    session.sent.push_back((msg, redeliver));
                    let (spent, after) = session.spent;
                    let before = if after == pings { spent } else { 0 };
                    session.spent = (before.saturating_add(bytes), pings);
                }
                What::Close => session.close = Close::Said { end, free: None },
            }
            session.number
        });
        let Some(number) = number else { return };
        self.link.unpinged.events.push(Emitted { session: id, what });
        match what {
            What::Open => self.announced(number),
            What::Close => self.link.leaving.push_back((end, id)),
            What::Message(_) => {}
        }
    }

    /// That session need not be opened any more.
    fn announced(&mut self, number: u64) {
        if let Some(announcing) = &mut self.link.announcing {
            announcing.remove(&number);
        }
    }

    fn ended(&mut self, id: SessionId, cause: EndCause) {
        let when = self.when();
        let Some(session) = self.session(id) else { return };
        let owed = match cause {
            EndCause::Backend => self.crosses(session),
            _ => session.opened.is_some(),
        };
        let number = session.number;
        self.sessions.change(id, |session| {
            session.ended = Some((when, cause));
            session.close = if owed { Close::Owed } else { Close::NotDue };
        });
        self.announced(number);
        let sessions = &self.sessions;
        let is_over = |id: &SessionId| sessions.get(*id).is_none_or(|session| !session.is_live());
        for turns in [&mut self.drain, &mut self.spread].into_iter().flatten() {
            while turns.list.get(turns.first).is_some_and(is_over) {
                turns.first += 1;
            }
        }
        let turns = match cause {
            EndCause::Drained => self.drain.as_mut(),
            EndCause::Outage => self.spread.as_mut(),
            _ => None,
        };
        turns.into_iter().for_each(|turns| turns.taken += 1);
    }

    /// Whom to look at after the step.
    pub(crate) fn look_at(&mut self, to: &mut Vec<SessionId>) {
        to.clear();
        self.look_from = self.sessions.to_look_at(self.look_from, self.looks, to);
    }

    /// After the step: forgets what can no longer be heard of.
    pub fn forget(&mut self) {
        let mut over = Vec::new();
        self.forget_from = self.sessions.to_forget(self.forget_from, self.looks, &mut over);
        // A `close` that was given up may still be confirmed, and a settling link waits for that.
        over.retain(|id| {
            let is_over = |session: &Session| {
                session.line.is_empty() && session.on_way == 0 && !self.holds_slot(session)
            };
            self.session(*id).is_some_and(is_over)
        });
        over.into_iter().for_each(|id| self.sessions.remove(id));
        self.forget_lefts(self.settings.crossing_window);
        let now = self.now;
        while let Some((at, user)) = self.frees.first().filter(|(at, _)| *at <= now).cloned() {
            self.frees.pop_first();
            self.free_at.remove(&user).filter(|free| *free > at).map(|free| self.free_at.insert(user, free));
        }
    }

    /// Those count no longer that left so long ago.
    fn forget_lefts(&mut self, window: Millis) {
        let now = self.now;
        while let Some((at, user)) = self.lefts.pop_front_if(|(at, _)| now - *at >= window) {
            if self.left_at.get(&user) == Some(&at) {
                self.left_at.remove(&user);
            }
        }
    }

    /// Whether no gap runs after any `close`.
    pub fn gaps_over(&self) -> bool {
        self.frees.last().is_none_or(|(at, _)| *at <= self.now)
    }
}
