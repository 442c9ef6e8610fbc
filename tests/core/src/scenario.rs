//! Bytes to what can happen: one decoder for property tests and fuzzers.
//!
//! Position by position the bytes choose among the steps that are possible in a [`World`] that has heard all that
//! the machine has said, so that nearly every byte does something. The world behaves towards the machine as the
//! shell must; its hostile steps use only inputs that must change nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use trunkline_core::{
    CloseCode, DrainSettings, Duplicates, Expiry, Identity, Input, LeaveCause, LinkId, LinkSettings, Millis,
    OutagePolicy, OutageSettings, Queued, Redeliver, SessionId, Settings, Time,
    language::{Action, BadAction, Data, Field, Status},
};

use crate::said::{Given, Msg, Said, What};

/// The users of all scenarios.
pub const USERS: [&str; 4] = ["u0", "__proto__", "constructor", "q\"\n\u{1}"];

/// A crossing window that no scenario outlasts.
const WINDOW_FOREVER: Millis = Millis(1_000_000_000);

/// Bytes that are used up one by one.
#[derive(Clone, Debug)]
pub struct Bytes<'a>(pub &'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> Option<usize> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(usize::from(*first))
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.byte().unwrap_or(0) % choices.len()]
    }

    /// Small settings, in which every bound is soon met.
    pub fn settings(&mut self) -> Settings {
        let high_bytes = self.of(&[4000, 30, 100, 400]);
        let policy =
            self.of(&[OutagePolicy::Hold, OutagePolicy::Hold, OutagePolicy::Hold, OutagePolicy::Close]);
        Settings {
            sessions_max: self.of(&[4, 6, 2, 1, 3]),
            duplicates: self.of(&[Duplicates::TakeOver, Duplicates::TakeOver, Duplicates::Reject]),
            reopen_gap: Millis(self.of(&[5, 1, 0])),
            crossing_window: self.of(&[WINDOW_FOREVER, Millis(8), Millis(0)]),
            expiry: self.of(&[Expiry::Close, Expiry::Close, Expiry::Ignore]),
            redeliver: self.of(&[Redeliver::Never, Redeliver::Unconfirmed]),
            parked_bytes_max: self.of(&[1000, 200, 65]),
            parked_bytes_total_max: self.of(&[3000, 400, 150]),
            client_queue_bytes_max: self.of(&[500, 60, 20]),
            client_queue_bytes_total_max: self.of(&[1000, 100, 30]),
            link: LinkSettings {
                redial_min: Millis(self.of(&[1, 5])),
                backoff_first: Millis(self.of(&[1, 4])),
                backoff_max: Millis(self.of(&[4, 20])),
                high_bytes,
                low_bytes: high_bytes / self.of(&[2, 4, 1]),
                confirm_delay: Millis(self.of(&[1, 0, 3])),
                ping_interval: Millis(self.of(&[30, 7])),
                pong_timeout: Millis(self.of(&[40, 10])),
            },
            outage: OutageSettings {
                policy,
                grace: Millis(self.of(&[40, 10])),
                spread: Millis(self.of(&[10, 15, 0])),
            },
            drain: DrainSettings {
                time: Millis(self.of(&[10, 25, 0])),
                confirm_timeout: Millis(self.of(&[15, 3])),
            },
            seed: self.byte().unwrap_or(0) as u64,
        }
    }
}

/// What the world does next.
#[derive(Clone, PartialEq, Debug)]
pub struct Move {
    /// When.
    pub at: Time,
    /// Whether deadlines on the way there are handled late, at `at`, rather than in time.
    pub late: bool,
    /// What.
    pub input: Given,
}

#[derive(Clone, Debug)]
struct Peer {
    id: SessionId,
    closed: bool,
    stopped: bool,
    queued: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum LinkState {
    Gone,
    Dialled,
    Up,
}

/// What travels to the backend.
#[derive(Clone, PartialEq, Debug)]
enum Frame {
    Ping(u64),
    Event(What, Identity),
}

/// What travels to the gateway: in order, as a backend's library sends it.
#[derive(Clone, PartialEq, Debug)]
enum Back {
    Pong(u64),
    /// Whether events about its user were on their way when it was said, and whether the backend knew the user.
    Action {
        action: Result<Action<'static>, BadAction>,
        crossed: bool,
        known: bool,
    },
}

/// Clients, wires and backend around one machine.
///
/// What goes to the backend passes through the shell's queue, the wire, the backend's WebSocket library, which
/// answers Pings in order, and its application, which lags.
#[derive(Clone, Debug)]
pub struct World {
    now: Time,
    window: Millis,
    peers: Vec<Peer>,
    gone: VecDeque<SessionId>,
    stop_all: bool,
    link: LinkId,
    state: LinkState,
    queue: VecDeque<(Frame, usize)>,
    wire: VecDeque<Frame>,
    application: VecDeque<(What, Identity, bool)>,
    back: VecDeque<Back>,
    messages: u32,
    asks: u32,
    last_pong: u64,
    /// Whom a backend believes in that kept its state over every break.
    pub kept: BTreeMap<String, Identity>,
    /// Whom one believes in that lost it at each.
    pub lost: BTreeMap<String, Identity>,
    /// Users of whom a backend may err, since it closed whom it did not know, or lagged beyond the window.
    pub excused: BTreeSet<String>,
    drained: bool,
}

impl World {
    /// Nobody is there.
    pub fn new(settings: &Settings) -> Self {
        World {
            now: Time(0),
            window: settings.crossing_window,
            peers: Vec::new(),
            gone: VecDeque::new(),
            stop_all: false,
            link: LinkId(0),
            state: LinkState::Gone,
            queue: VecDeque::new(),
            wire: VecDeque::new(),
            application: VecDeque::new(),
            back: VecDeque::new(),
            messages: 0,
            asks: 0,
            last_pong: 0,
            kept: BTreeMap::new(),
            lost: BTreeMap::new(),
            excused: BTreeSet::new(),
            drained: false,
        }
    }

    /// The next move that the bytes choose; `None` when they are used up. `deadline` is the machine's.
    pub fn next(&mut self, bytes: &mut Bytes<'_>, deadline: Option<Time>) -> Option<Move> {
        loop {
            let choice = bytes.byte()?;
            let (at, late) = self.time(choice >> 5, bytes, deadline);
            // What is not possible now leaves room for what everything waits for.
            if let Some(input) = self.input(choice & 31, bytes).or_else(|| self.link_up()) {
                self.now = at;
                return Some(Move { at, late, input });
            }
        }
    }

    fn time(&self, choice: usize, bytes: &mut Bytes<'_>, deadline: Option<Time>) -> (Time, bool) {
        let next = deadline.unwrap_or(self.now).max(self.now);
        match choice {
            0..=3 => (self.now, false),
            4 => (self.now + Millis(1), false),
            5 => (self.now + Millis(3), false),
            6 => (next.min(self.now + Millis(100)), false),
            _ => match bytes.byte().unwrap_or(0) {
                large @ 0..=23 => (self.now + Millis(large as u64), false),
                late @ 64..=127 => (next.min(self.now + Millis(100)) + Millis(late as u64 & 7), true),
                late @ 128..=143 => (self.now + Millis(late as u64 & 63), true),
                _ => (next.min(self.now + Millis(100)), false),
            },
        }
    }

    fn input(&mut self, choice: usize, bytes: &mut Bytes<'_>) -> Option<Given> {
        match choice {
            0..=3 => Some(self.ask(bytes)),
            4..=7 => self.message(bytes),
            8 | 9 => self.leave(bytes.byte()?, bytes.byte()?),
            10 => {
                let closed = self.peers.iter().position(|peer| peer.closed)?;
                self.leave(closed, 0)
            }
            11 => {
                let count = self.peers.len();
                let peer = self.peers.get_mut(bytes.byte()? % count.max(1))?;
                let bytes = (peer.queued / bytes.of(&[1, 2])).max(1);
                let bytes = bytes.min(peer.queued);
                peer.queued -= bytes;
                Some(Input::ClientSent { session: peer.id, bytes })
            }
            12 | 13 => self.link_up().or_else(|| {
                self.library();
                self.deliver()
            }),
            14 => match bytes.byte()? {
                0..=70 => self.link_down(),
                _ => self.link_up(),
            },
            15 => self.link_sent(bytes.byte()? % 40),
            16 | 17 => self.link_sent(usize::MAX),
            18 | 19 => self.link_up().or_else(|| self.link_sent(usize::MAX)).or_else(|| {
                self.library();
                self.deliver()
            }),
            20 | 21 => self.deliver(),
            22 => {
                self.handle(bytes.byte()? % 4);
                None
            }
            23 | 24 => {
                let user = USERS[bytes.byte()? % USERS.len()];
                let data = "m".repeat(bytes.byte()? % 40);
                let data = if data.len() == 7 {
                    Data::Binary(data.into_bytes().into())
                } else {
                    Data::Text(data.into())
                };
                self.act(Ok(Action::Send { user: Some(user.into()), data }))
            }
            25 => {
                let action = self.close_action(bytes);
                self.act(action)
            }
            26 => {
                let bad = bytes.of(&[
                    Err(BadAction::NotJson),
                    Err(BadAction::Missing(Field::User)),
                    Ok(None),
                    Ok(Some("nobody")),
                ]);
                let send = |user: Option<&'static str>| Action::Send {
                    user: user.map(Into::into),
                    data: Data::Text("to nobody".into()),
                };
                self.act(bad.map(send))
            }
            27 => {
                let forward = bytes.byte()? as i64 - 128;
                (forward & 3 == 0).then_some(Input::WallClockStepped { forward: forward / 4 })
            }
            28 => (bytes.byte()? < 20).then_some(Input::Drain),
            29 => Some(self.hostile(bytes.byte()?)),
            30 => {
                // A Pong is lost, or all that is under way arrives at once.
                if bytes.byte()? < 40 {
                    let pong = self.back.iter().position(|back| matches!(back, Back::Pong(_)))?;
                    self.back.remove(pong);
                    return None;
                }
                self.library();
                self.handle(usize::MAX);
                self.link_sent(usize::MAX)
            }
            _ => Some(Input::Deadline),
        }
    }

    fn ask(&mut self, bytes: &mut Bytes<'_>) -> Given {
        let choice = bytes.byte().unwrap_or(0);
        self.asks += 1;
        let identity = Identity::new(USERS[choice % USERS.len()], [("n", self.asks.to_string().as_str())]);
        let expires = match choice >> 2 {
            0..=39 => None,
            40..=41 => Some(self.now),
            span => Some(self.now + Millis(span as u64 * 2)),
        };
        Input::Ask { identity, expires }
    }

    fn message(&mut self, bytes: &mut Bytes<'_>) -> Option<Given> {
        let choice = bytes.byte()?;
        let readable = |peer: &&Peer| !peer.closed && !peer.stopped;
        let readable: Vec<SessionId> = self.peers.iter().filter(readable).map(|peer| peer.id).collect();
        if readable.is_empty() || self.stop_all {
            return None;
        }
        self.messages += 1;
        let payload = Msg { number: self.messages, size: choice / 4 };
        Some(Input::Message { session: readable[choice % readable.len()], payload })
    }

    fn leave(&mut self, who: usize, cause: usize) -> Option<Given> {
        if self.peers.is_empty() {
            return None;
        }
        let peer = self.peers.remove(who % self.peers.len());
        self.gone.push_front(peer.id);
        self.gone.truncate(4);
        let causes = [
            LeaveCause::Closed,
            LeaveCause::Lost,
            LeaveCause::TimedOut,
            LeaveCause::Misbehaved(CloseCode::TOO_BIG),
        ];
        Some(Input::Left { session: peer.id, cause: causes[cause % causes.len()] })
    }

    fn link_up(&mut self) -> Option<Given> {
        (self.state == LinkState::Dialled).then(|| {
            self.state = LinkState::Up;
            Input::LinkUp { link: self.link }
        })
    }

    fn link_down(&mut self) -> Option<Given> {
        (self.state != LinkState::Gone).then(|| {
            self.breaks();
            Input::LinkDown { link: self.link }
        })
    }

    /// What is on the wire is lost; what the library has received the application still handles, if it lives on.
    fn breaks(&mut self) {
        self.state = LinkState::Gone;
        self.queue.clear();
        self.wire.clear();
        self.back.clear();
        self.lost.clear();
        self.application.iter_mut().for_each(|(_, _, of_this_life)| *of_this_life = false);
    }

    fn link_sent(&mut self, at_most: usize) -> Option<Given> {
        let mut bytes = 0;
        while let Some((frame, left)) = self.queue.front_mut() {
            let part = (*left).min(at_most - bytes);
            bytes += part;
            *left -= part;
            if *left > 0 {
                break;
            }
            self.wire.push_back(frame.clone());
            self.queue.pop_front();
        }
        (bytes > 0).then_some(Input::LinkSent { link: self.link, bytes })
    }

    /// The backend's library reads the wire to its end.
    fn library(&mut self) {
        for frame in self.wire.drain(..) {
            match frame {
                Frame::Ping(counter) => self.back.push_back(Back::Pong(counter)),
                Frame::Event(what, who) => self.application.push_back((what, who, true)),
            }
        }
    }

    /// The backend's application handles so many events.
    fn handle(&mut self, events: usize) {
        for _ in 0..events {
            let Some((what, who, of_this_life)) = self.application.pop_front() else { return };
            let user = who.user().to_owned();
            for belief in [Some(&mut self.kept), of_this_life.then_some(&mut self.lost)].into_iter().flatten()
            {
                match what {
                    What::Open => drop(belief.insert(user.clone(), who.clone())),
                    What::Close => drop(belief.remove(&user)),
                    What::Message(_) => {}
                }
            }
            if what == What::Close && !self.is_coming(&user) && self.window == WINDOW_FOREVER {
                self.excused.remove(&user);
            }
        }
    }

    fn deliver(&mut self) -> Option<Given> {
        match self.back.pop_front()? {
            Back::Pong(counter) => {
                self.last_pong = counter;
                Some(Input::Pong { link: self.link, counter })
            }
            Back::Action { action, crossed, known } => {
                if let Ok(Action::Close { user: Some(user), .. }) = &action
                    // With a window that ends, it may always have lagged beyond it; else it errs only about one whom
                    // it did not know, where it crosses what is under way.
                    && (self.window != WINDOW_FOREVER || !known && (crossed || self.is_coming(user)))
                {
                    self.excused.insert(user.clone().into_owned());
                }
                Some(Input::Action { link: self.link, action })
            }
        }
    }

    fn close_action(&mut self, bytes: &mut Bytes<'_>) -> Result<Action<'static>, BadAction> {
        let user = Some(USERS[bytes.byte().unwrap_or(0) % USERS.len()].into());
        let status = bytes.of(&[
            None,
            CloseCode::new(4001).map(Status::Code),
            Some(Status::Unsendable),
            Some(Status::Code(CloseCode::INTERNAL)),
        ]);
        let reason = bytes.of(&[None, Some(1), Some(99)]).map(|length| "ä".repeat(length).into());
        Ok(Action::Close { user, status, reason })
    }

    /// The backend says something; it arrives after all that it has said before.
    fn act(&mut self, action: Result<Action<'static>, BadAction>) -> Option<Given> {
        if self.state != LinkState::Up {
            return None;
        }
        let (mut crossed, mut known) = (false, true);
        if let Ok(Action::Close { user: Some(user), .. }) = &action {
            crossed = self.is_coming(user);
            known = self.kept.remove(user.as_ref()).is_some();
            // Law 8 is of a backend that has read the old link to its end: one that speaks before may err.
            known &=
                !self.application.iter().any(|(_, who, of_this_life)| !of_this_life && who.user() == user);
            self.lost.remove(user.as_ref());
        }
        self.back.push_back(Back::Action { action, crossed, known });
        None
    }

    /// Whether anything about that user is on its way to the backend's application.
    fn is_coming(&self, user: &str) -> bool {
        let about = |frame: &Frame| matches!(frame, Frame::Event(_, who) if who.user() == user);
        self.queue.iter().any(|(frame, _)| about(frame))
            || self.wire.iter().any(about)
            || self.application.iter().any(|(_, who, _)| who.user() == user)
    }

    /// Inputs that must change nothing.
    fn hostile(&self, choice: usize) -> Given {
        let nobody = SessionId { slot: 77, generation: 0 };
        let gone = self.gone.get(choice >> 4 & 3).copied().unwrap_or(nobody);
        let before = LinkId(self.link.0.saturating_sub(1));
        let link = if self.state == LinkState::Up { self.link } else { before };
        let frame = Ok(Action::Send { user: Some("u0".into()), data: Data::Text("late".into()) });
        match choice & 15 {
            0 => Input::Message { session: gone, payload: Msg { number: 0, size: 1 } },
            1 => Input::Left { session: gone, cause: LeaveCause::Lost },
            2 => Input::ClientSent { session: gone, bytes: 1 },
            3 => Input::Message { session: nobody, payload: Msg { number: 0, size: 1 } },
            4 => Input::Left { session: nobody, cause: LeaveCause::Closed },
            5 => Input::LinkUp { link },
            6 => Input::LinkUp { link: LinkId(self.link.0 + 1) },
            7 => Input::LinkDown { link: before },
            8 => Input::LinkSent { link: before, bytes: 5 },
            9 => Input::LinkSent { link: self.link, bytes: usize::from(self.queue.is_empty()) << 60 },
            10 => Input::Pong { link: before, counter: self.last_pong + 1 },
            11 => Input::Pong { link: self.link, counter: self.last_pong },
            12 => Input::Pong { link: self.link, counter: u64::MAX },
            13 => Input::Action { link: before, action: frame },
            14 => match self.peers.iter().find(|peer| peer.queued == 0) {
                Some(peer) => Input::ClientSent { session: peer.id, bytes: 9 },
                None => Input::Deadline,
            },
            _ => match self.peers.iter().find(|peer| peer.closed) {
                Some(peer) => Input::Message { session: peer.id, payload: Msg { number: 0, size: 1 } },
                None => Input::Deadline,
            },
        }
    }

    /// Takes in what the machine said.
    pub fn hear(&mut self, input: &Given, said: &[Said]) {
        self.drained |= matches!(input, Input::Drain);
        for one in said {
            match one {
                Said::Admit(id) => {
                    self.peers.push(Peer { id: *id, closed: false, stopped: false, queued: 0 });
                }
                Said::Event { what, who, bytes, .. } => {
                    if !matches!(what, What::Message(_)) {
                        self.crosses(who.user());
                    }
                    self.queue.push_back((Frame::Event(*what, who.clone()), *bytes));
                }
                Said::Ping { counter, bytes, .. } => self.queue.push_back((Frame::Ping(*counter), *bytes)),
                Said::Message { session, bytes, .. } => {
                    self.peer(*session).into_iter().for_each(|peer| peer.queued += bytes);
                }
                Said::Close { session, queued, .. } => {
                    if let Some(peer) = self.peer(*session) {
                        peer.closed = true;
                        peer.queued *= usize::from(*queued == Queued::Flush);
                    }
                }
                Said::Stop(session) => self.peer(*session).into_iter().for_each(|peer| peer.stopped = true),
                Said::Resume(session) => {
                    self.peer(*session).into_iter().for_each(|peer| peer.stopped = false)
                }
                Said::StopAll => self.stop_all = true,
                Said::ResumeAll => self.stop_all = false,
                Said::Dial(link) => (self.link, self.state) = (*link, LinkState::Dialled),
                Said::Abort(_) => self.breaks(),
                _ => {}
            }
        }
    }

    fn peer(&mut self, id: SessionId) -> Option<&mut Peer> {
        self.peers.iter_mut().find(|peer| peer.id == id)
    }

    /// An event about a user goes out while an action for that user comes in.
    fn crosses(&mut self, about: &str) {
        for back in &mut self.back {
            if let Back::Action { action: Ok(Action::Close { user: Some(user), .. }), crossed, .. } = back
                && user == about
            {
                *crossed = true;
            }
        }
    }

    /// The next move of a world in which all goes well: what is under way arrives, then time passes.
    pub fn fair(&mut self, deadline: Option<Time>) -> Option<Move> {
        let closed = self.peers.iter().position(|peer| peer.closed);
        let input = self
            .link_up()
            .or_else(|| self.link_sent(usize::MAX))
            .or_else(|| {
                self.library();
                self.handle(usize::MAX);
                self.deliver()
            })
            .or_else(|| closed.and_then(|closed| self.leave(closed, 0)))
            .or_else(|| {
                let peer = self.peers.iter_mut().find(|peer| peer.queued > 0)?;
                Some(Input::ClientSent { session: peer.id, bytes: std::mem::take(&mut peer.queued) })
            });
        match input {
            Some(input) => Some(Move { at: self.now, late: false, input }),
            None => {
                self.now = self.now.max(deadline?);
                Some(Move { at: self.now, late: false, input: Input::Deadline })
            }
        }
    }
}
