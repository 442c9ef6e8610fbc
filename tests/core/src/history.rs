//! What has been seen of a machine: its inputs and outputs, told to vectors and looked up by scanning.
//!
//! It judges nothing: laws and reference ask it. It forgets the dead, so its memory is bounded by the
//! machine's own limits. It expects a driver that hands in `Deadline` before anything else that is due.

use std::collections::{BTreeMap, VecDeque};

use trunkline_core::{
    DropCause, EndCause, Identity, Input, LinkId, LinkPhase, Millis, Queued, Redeliver, SessionId, Settings,
    Time,
};

use crate::said::{Given, Msg, Said, What};

/// What a parked message weighs beside its size.
pub const PARKED_OVERHEAD: usize = 64;

/// When something happened: exactly (`from == to`), or within a deadline that was handled late.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct When {
    /// Not before.
    pub from: Time,
    /// Not after.
    pub to: Time,
}

/// A session, as far as anything about it can still be heard.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub who: Identity,
    /// When its token expires.
    pub expires: Option<Time>,
    /// When and why it ended.
    pub ended: Option<(When, EndCause)>,
    /// Where its client is.
    pub client: Client,
    /// Whether its client may not be read from.
    pub stopped: Option<u64>,
    /// Bytes queued for its client.
    pub queue: usize,
    /// Bytes of the queue that were lost, until a fact counts them.
    pub queue_lost: usize,
    /// The last link on which its `open` went out, and when; and whether that was its second link or later.
    pub opened: Option<Opened>,
    /// What is due of its `close`.
    pub close: Close,
    /// Its client's messages that no link has taken.
    pub line: VecDeque<Msg>,
    /// Those that a broken link had taken, to be sent again.
    pub kept: VecDeque<Msg>,
    /// Those that the link has taken and not confirmed, and what becomes of each if it breaks before.
    pub sent: VecDeque<(Msg, Redeliver)>,
    /// Those that broke with a link and whose session is over, until a fact counts them.
    pub lost: usize,
    /// Bytes of its messages that links have taken since the last Ping.
    pub spent: usize,
}

/// Where an `open` went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opened {
    /// Over which link.
    pub link: LinkId,
    /// When.
    pub at: Time,
    /// Whether an earlier link had it too.
    pub again: bool,
    /// Whether this link confirmed it.
    pub confirmed: bool,
}

/// Where a client is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Client {
    /// Connected.
    In,
    /// Told to go.
    Closed,
    /// Gone.
    Left,
}

/// What is due of a session's `close`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Close {
    /// Nothing.
    NotDue,
    /// It is to go out, again if a link that had it broke.
    Owed,
    /// The link has it: up to this byte, which left at that time.
    Said {
        /// Counted from the link's first byte.
        end: u64,
        /// Once that byte has left: when the gap after it is over.
        free: Option<Time>,
    },
    /// The backend has it.
    Confirmed {
        /// Once its last byte has left: when the gap after it is over.
        free: Option<Time>,
    },
}

/// The link that was dialled last.
#[derive(Clone, Debug)]
pub struct Link {
    /// Which.
    pub id: LinkId,
    /// How it is.
    pub state: LinkState,
    /// When it came to be so.
    pub since: When,
    /// What the machine says.
    pub phase: LinkPhase,
    /// Bytes emitted and sent so far.
    pub emitted: u64,
    /// Bytes that have gone out.
    pub sent: u64,
    /// Events that no Ping has followed.
    pub unpinged: Vec<Emitted>,
    /// Events that the outstanding Ping has followed.
    pub pinged: Vec<Emitted>,
    /// The outstanding Ping, and when it went.
    pub ping: Option<(u64, When)>,
    /// The last Pong, or when it came up.
    pub calm_since: Time,
    /// Whether it takes no events.
    pub full: bool,
    /// Until when it is there at most, as it is left for another.
    pub leaves_by: Option<Time>,
    /// Whether the machine says so.
    pub told_full: bool,
    /// Sessions whose `close` was owed when it came up.
    pub settling: Vec<SessionId>,
    /// Sessions that were live when that was done, but for those that waited for their gap.
    pub announcing: Option<Vec<SessionId>>,
}

/// How a link is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkState {
    /// There is none.
    Gone,
    /// Being made.
    Dialled,
    /// Up.
    Up,
    /// Told to close.
    Closing,
}

/// An event on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Emitted {
    /// Whose.
    pub session: SessionId,
    /// What.
    pub what: What,
    /// How long.
    pub bytes: usize,
    /// When.
    pub at: When,
}

/// Ends that are spread over a time: the k-th of n at `start + ceil(k * span / n)`.
#[derive(Clone, Debug)]
pub struct Turns {
    /// From when.
    pub start: When,
    /// Over how long.
    pub span: Millis,
    /// Who, oldest first.
    pub list: Vec<SessionId>,
    /// How many turns have been taken.
    pub taken: usize,
}

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
    /// Oldest first.
    pub sessions: Vec<Session>,
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
    pub left_at: BTreeMap<String, Time>,
    /// When the gaps after all closes of each user that left are over.
    pub free_at: BTreeMap<String, Time>,
    /// Whether the drain is over.
    pub empty: bool,
}

impl When {
    /// Exactly then.
    pub fn at(time: Time) -> Self {
        When { from: time, to: time }
    }
}

impl Turns {
    /// When the k-th turn is, from 1, counted from the start's edge `start`.
    pub fn turn(&self, k: usize, start: Time) -> Time {
        start + Millis((k as u64 * self.span.0).div_ceil(self.list.len().max(1) as u64))
    }

    /// How many turns have certainly passed, and how many may have.
    pub fn passed(&self, now: Time) -> (usize, usize) {
        let count = |start| (1..=self.list.len()).filter(|&k| self.turn(k, start) <= now).count();
        (count(self.start.to), count(self.start.from))
    }
}

impl Session {
    /// Whether it is not over.
    pub fn is_live(&self) -> bool {
        self.ended.is_none()
    }

    /// Whether its `open` went out on this link.
    pub fn is_open_on(&self, link: &Link) -> bool {
        link.state == LinkState::Up && self.opened.is_some_and(|opened| opened.link == link.id)
    }

    /// Whether it ended, but what it had parked still goes out before its `close`.
    pub fn follows(&self, link: &Link) -> bool {
        self.is_open_on(link)
            && self.ended.is_some_and(|(_, cause)| !matches!(cause, EndCause::Expired | EndCause::Backend))
    }

    /// Bytes that it has parked.
    pub fn parked(&self) -> usize {
        self.line.iter().map(|msg| msg.size + PARKED_OVERHEAD).sum()
    }
}

impl Link {
    /// Bytes queued.
    pub fn queued(&self) -> usize {
        (self.emitted - self.sent) as usize
    }

    /// Whether all that it has taken is confirmed.
    pub fn is_calm(&self) -> bool {
        self.ping.is_none() && self.unpinged.is_empty() && self.pinged.is_empty()
    }

    /// Bytes of events that are not confirmed.
    pub fn unconfirmed(&self) -> usize {
        self.unpinged.iter().chain(&self.pinged).map(|event| event.bytes).sum()
    }
}

impl History {
    /// Before anything.
    pub fn new(settings: &Settings, now: Time) -> Self {
        History {
            settings: settings.clone(),
            slots_max: settings.sessions_max,
            now,
            due: Some(now),
            sessions: Vec::new(),
            link: Link::new(LinkId(0), LinkState::Gone, When::at(now)),
            pings: 0,
            outage: Some(When::at(now)),
            spread: None,
            drain: None,
            stop_all: false,
            stops: 0,
            lost: 0,
            left_at: BTreeMap::new(),
            free_at: BTreeMap::new(),
            empty: false,
        }
    }

    /// That session, if anything of it is remembered.
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.iter().find(|session| session.id == id)
    }

    /// The live session of that user.
    pub fn live(&self, user: &str) -> Option<&Session> {
        self.sessions.iter().find(|session| session.is_live() && session.who.user() == user)
    }

    /// How many are live.
    pub fn lives(&self) -> usize {
        self.sessions.iter().filter(|session| session.is_live()).count()
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
        let mut own = self.sessions.iter().filter(|other| other.who.user() == session.who.user());
        let one_leaves = own.any(|other| leaves(other.close));
        if one_leaves && self.settings.reopen_gap == Millis(0) { None } else { Some(one_leaves) }
    }

    /// Whether the gap after the last `close` of the session's user that left is not over, whatever became of it.
    fn gap_runs(&self, session: &Session) -> bool {
        self.free_at.get(session.who.user()).is_some_and(|free| *free > self.now)
    }

    /// Whether a `close` of that user is yet to go out on this link.
    pub fn owes_close(&self, user: &str) -> bool {
        self.sessions.iter().any(|session| session.who.user() == user && session.close == Close::Owed)
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
        let on_its_way = |other: &Session| {
            other.who.user() == session.who.user() && matches!(other.close, Close::Said { free: None, .. })
        };
        session.opened.is_some_and(|opened| {
            self.left_at.get(session.who.user()).is_some_and(|&at| recent(at))
                || self.is_up(opened.link)
                    && (self.sessions.iter().any(on_its_way) || opened.again && recent(opened.at))
        })
    }

    /// Applies an input; `due` is the deadline that the machine had named before.
    pub fn input(&mut self, now: Time, input: &Given, due: Option<Time>) {
        self.now = self.now.max(now);
        self.due = due;
        match *input {
            Input::Message { session, payload } => {
                if let Some(session) = self.find(session).filter(|session| session.is_live()) {
                    session.line.push_back(payload);
                }
            }
            Input::Left { session, .. } => {
                if let Some(session) = self.find(session) {
                    session.client = Client::Left;
                    session.queue_lost = std::mem::take(&mut session.queue);
                }
            }
            Input::ClientSent { session, bytes } => {
                if let Some(session) = self.find(session) {
                    session.queue = session.queue.saturating_sub(bytes);
                }
            }
            Input::LinkUp { link } if self.link.id == link && self.link.state == LinkState::Dialled => {
                let phase = self.link.phase;
                self.link = Link { phase, ..Link::new(link, LinkState::Up, When::at(self.now)) };
                self.spread = None;
                let owed = self.sessions.iter().filter(|session| session.close == Close::Owed);
                self.link.settling = owed.map(|session| session.id).collect();
            }
            Input::LinkDown { link }
                if self.link.id == link && matches!(self.link.state, LinkState::Dialled | LinkState::Up) =>
            {
                self.link_breaks(When::at(self.now));
            }
            Input::LinkSent { link, bytes } if self.is_up(link) => self.link_sent(bytes),
            Input::Pong { link, counter } if self.is_up(link) => self.pong(counter),
            Input::WallClockStepped { forward } => {
                for expires in self.sessions.iter_mut().filter_map(|session| session.expires.as_mut()) {
                    expires.0 = expires.0.saturating_add_signed(forward.saturating_neg());
                }
            }
            Input::Drain if self.drain.is_none() => {
                let live = self.sessions.iter().filter(|session| session.is_live());
                let list = live.map(|session| session.id).collect();
                let span = self.settings.drain.time;
                self.drain = Some(Turns { start: When::at(self.now), span, list, taken: 0 });
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

    /// Other settings hold from now on. What was over by the old ones stays so.
    fn change(&mut self, settings: &Settings) {
        let old = std::mem::replace(&mut self.settings, settings.clone());
        let now = self.now;
        self.left_at.retain(|_, at| now - *at < old.crossing_window);
        if old.outage != settings.outage {
            self.spread = None;
        }
        self.slots_max = self.slots_max.max(settings.sessions_max);
        self.link.fill(settings);
        self.link.drain(settings);
    }

    fn find(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.id == id)
    }

    fn link_sent(&mut self, bytes: usize) {
        self.link.sent = self.link.sent.saturating_add(bytes as u64).min(self.link.emitted);
        for session in &mut self.sessions {
            if let Close::Said { end, free: free @ None } = &mut session.close
                && *end <= self.link.sent
            {
                let over = self.now + self.settings.reopen_gap;
                *free = Some(over);
                self.left_at.insert(session.who.user().to_owned(), self.now);
                let all_over = self.free_at.entry(session.who.user().to_owned()).or_insert(over);
                *all_over = over.max(*all_over);
            }
        }
        self.link.drain(&self.settings);
    }

    fn pong(&mut self, counter: u64) {
        if self.link.ping.take_if(|(outstanding, _)| *outstanding == counter).is_none() {
            return;
        }
        self.link.calm_since = self.now;
        for event in std::mem::take(&mut self.link.pinged) {
            let Some(session) = self.find(event.session) else { continue };
            match event.what {
                What::Open => session.opened.iter_mut().for_each(|opened| opened.confirmed = true),
                What::Message(_) => drop(session.sent.pop_front()),
                What::Close => {
                    if let Close::Said { free, .. } = session.close {
                        session.close = Close::Confirmed { free };
                    }
                }
            }
        }
        self.link.drain(&self.settings);
    }

    fn link_breaks(&mut self, at: When) {
        let mut lost = 0;
        for session in &mut self.sessions {
            if let Close::Said { .. } = session.close {
                session.close = Close::Owed;
            }
            let sent = std::mem::take(&mut session.sent);
            let goes_again = |(_, redeliver): &(Msg, Redeliver)| *redeliver == Redeliver::Unconfirmed;
            let (again, gone): (Vec<_>, Vec<_>) = sent.into_iter().partition(goes_again);
            lost += gone.len() as u64;
            match session.ended {
                Some(_) => session.lost += again.len(),
                None => again.into_iter().rev().for_each(|(msg, _)| session.kept.push_front(msg)),
            }
        }
        self.lost += lost;
        if self.link.state != LinkState::Dialled {
            self.outage.get_or_insert(at);
        }
        let phase = self.link.phase;
        self.link = Link { phase, ..Link::new(self.link.id, LinkState::Gone, at) };
    }

    /// Notes that the owed closes are confirmed.
    fn settle(&mut self) {
        let done =
            |id: &SessionId| self.session(*id).is_none_or(|s| matches!(s.close, Close::Confirmed { .. }));
        if self.link.state == LinkState::Up
            && self.link.announcing.is_none()
            && self.link.settling.iter().all(done)
        {
            let live = |session: &&Session| session.is_live() && self.in_gap(session) == Some(false);
            let live = self.sessions.iter().filter(live);
            self.link.announcing = Some(live.map(|session| session.id).collect());
        }
    }

    /// Applies an output of the step whose input was `input`.
    pub fn output(&mut self, input: &Given, said: &Said) {
        let when = self.when();
        match *said {
            Said::Admit(id) => {
                if let Input::Ask { identity, expires } = input {
                    self.sessions.push(Session::new(id, identity.clone(), *expires));
                }
            }
            Said::Event { session, what, bytes, .. } => self.event(session, what, bytes),
            Said::Message { session, bytes, .. } => {
                if let Some(session) = self.find(session) {
                    session.queue += bytes;
                }
            }
            Said::Close { session, queued, .. } => {
                if let Some(session) = self.find(session) {
                    session.client = Client::Closed;
                    if queued == Queued::Drop {
                        session.queue_lost += std::mem::take(&mut session.queue);
                    }
                }
            }
            Said::Ended { session, cause } => self.ended(session, cause),
            Said::Stop(session) => {
                self.stops += 1;
                let stops = self.stops;
                self.find(session).into_iter().for_each(|session| session.stopped = Some(stops));
            }
            Said::Resume(session) => {
                self.find(session).into_iter().for_each(|session| session.stopped = None)
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
                self.sessions.iter_mut().for_each(|session| session.spent = 0);
                let unpinged = std::mem::take(&mut self.link.unpinged);
                self.link.pinged.extend(unpinged);
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
                if let Some(session) = self.find(session) {
                    match cause {
                        DropCause::Parked => session.line.clear(),
                        DropCause::Unconfirmed => {
                            let of_kept = messages.saturating_sub(session.lost).min(session.kept.len());
                            session.kept.drain(..of_kept);
                            session.lost = session.lost.saturating_sub(messages);
                        }
                        DropCause::AfterEnd => {}
                    }
                }
            }
            Said::QueueDropped { session, .. } => {
                if let Some(session) = self.find(session) {
                    (session.queue, session.queue_lost) = (0, 0);
                }
            }
            Said::Unconfirmed { .. } => self.lost = 0,
            Said::LinkFull => self.link.told_full = true,
            Said::LinkDrained => self.link.told_full = false,
            Said::OutageSpread { .. } => {
                let live = self.sessions.iter().filter(|session| session.is_live());
                let list = live.map(|session| session.id).collect();
                self.spread = Some(Turns { start: when, span: self.settings.outage.spread, list, taken: 0 });
            }
            Said::Refuse(_)
            | Said::Ignored { .. }
            | Said::StatusReplaced(_)
            | Said::PongTimeout
            | Said::Stale => {}
        }
    }

    fn event(&mut self, id: SessionId, what: What, bytes: usize) {
        let at = self.when();
        self.link.emitted += bytes as u64;
        self.link.unpinged.push(Emitted { session: id, what, bytes, at });
        let (link, end) = (self.link.id, self.link.emitted);
        self.link.fill(&self.settings);
        let redeliver = self.settings.redeliver;
        let Some(session) = self.find(id) else { return };
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
                session.spent = session.spent.saturating_add(bytes);
            }
            What::Close => session.close = Close::Said { end, free: None },
        }
    }

    fn ended(&mut self, id: SessionId, cause: EndCause) {
        let when = self.when();
        let Some(index) = self.sessions.iter().position(|session| session.id == id) else { return };
        let owed = match cause {
            EndCause::Backend => self.crosses(&self.sessions[index]),
            _ => self.sessions[index].opened.is_some(),
        };
        let turns = match cause {
            EndCause::Drained => self.drain.as_mut(),
            EndCause::Outage => self.spread.as_mut(),
            _ => None,
        };
        turns.into_iter().for_each(|turns| turns.taken += 1);
        let session = &mut self.sessions[index];
        session.ended = Some((when, cause));
        session.close = if owed { Close::Owed } else { Close::NotDue };
    }

    /// After the step: forgets what can no longer be heard of.
    pub fn forget(&mut self) {
        // A `close` that was given up may still be confirmed, and a settling link waits for that.
        let under_way = |id: SessionId| {
            let mut events = self.link.unpinged.iter().chain(&self.link.pinged);
            events.any(|event| event.session == id)
        };
        let over = |session: &Session| {
            !session.is_live()
                && session.line.is_empty()
                && !under_way(session.id)
                && !self.holds_slot(session)
        };
        let keep: Vec<Session> = self.sessions.iter().filter(|session| !over(session)).cloned().collect();
        if keep.len() < self.sessions.len() {
            self.sessions = keep;
        }
        let (now, window) = (self.now, self.settings.crossing_window);
        self.left_at.retain(|_, at| now - *at < window);
        self.free_at.retain(|_, at| *at > now);
    }
}

impl Session {
    fn new(id: SessionId, who: Identity, expires: Option<Time>) -> Self {
        Session {
            id,
            who,
            expires,
            ended: None,
            client: Client::In,
            stopped: None,
            queue: 0,
            queue_lost: 0,
            opened: None,
            close: Close::NotDue,
            line: VecDeque::new(),
            kept: VecDeque::new(),
            sent: VecDeque::new(),
            lost: 0,
            spent: 0,
        }
    }
}

impl Link {
    fn new(id: LinkId, state: LinkState, since: When) -> Self {
        Link {
            id,
            state,
            since,
            phase: LinkPhase::Down,
            emitted: 0,
            sent: 0,
            unpinged: Vec::new(),
            pinged: Vec::new(),
            ping: None,
            calm_since: since.to,
            full: false,
            leaves_by: None,
            told_full: false,
            settling: Vec::new(),
            announcing: None,
        }
    }

    fn fill(&mut self, settings: &Settings) {
        let high = settings.link.high_bytes;
        self.full |= self.queued() > high || self.unconfirmed() > high;
    }

    fn drain(&mut self, settings: &Settings) {
        let low = settings.link.low_bytes;
        if self.leaves_by.is_none() && self.queued() <= low && self.unconfirmed() <= low {
            self.full = false;
        }
    }
}
