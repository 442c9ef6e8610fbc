//! Clients, wires and backend around one machine, moved step by step by whoever drives it: the bytes of a scenario, or
//! the model checker.
//!
//! It behaves towards the machine as the shell must, and towards the gateway as a backend may.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use trunkline_core::{
    CloseCode, Identity, Input, LeaveCause, LinkId, Millis, Queued, SessionId, Settings, Time,
    language::{Action, BadAction, Data},
};

use crate::{
    canon::{Keyed, Names},
    said::{Given, Msg, Said, What},
};

/// The users of all worlds.
pub const USERS: [&str; 4] = ["u0", "__proto__", "constructor", "q\"\n\u{1}"];

/// A span that nothing outlasts.
pub const FOREVER: Millis = Millis(u64::MAX);

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

/// What a backend remembers when its link breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Memory {
    /// Everything: what it had received it still handles.
    Kept,
    /// Nothing.
    Lost,
    /// Two backends hear the same: one of either kind.
    Both,
}

/// A client.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its session.
    pub id: SessionId,
    /// It was told to go.
    pub closed: bool,
    /// It may not be read from.
    pub stopped: bool,
    /// Bytes queued for it.
    pub queued: usize,
}

/// How the link is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkState {
    /// There is none.
    Gone,
    /// It is being made.
    Dialled,
    /// It is up.
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

/// Clients, wires and backend.
///
/// What goes to the backend passes through the shell's queue, the wire, the backend's WebSocket library, which
/// answers Pings in order, and its application, which lags.
#[derive(Clone, Debug)]
pub struct World {
    /// The time.
    pub now: Time,
    window: Millis,
    memory: Memory,
    /// The clients that have not left, oldest first.
    pub peers: Vec<Peer>,
    /// Some that have, the last one first.
    gone: VecDeque<SessionId>,
    /// Nobody may be read from.
    pub stop_all: bool,
    /// The link that was dialled last.
    link: LinkId,
    /// How it is.
    pub state: LinkState,
    queue: VecDeque<(Frame, usize)>,
    wire: VecDeque<Frame>,
    /// What the application has to handle, and whether it comes from the link that is up.
    application: VecDeque<(What, Identity, bool)>,
    back: VecDeque<Back>,
    messages: u64,
    asks: u32,
    /// The counter of the Pong that was delivered last.
    last_pong: u64,
    /// Whom a backend believes in that kept its state over every break.
    kept: BTreeMap<String, Identity>,
    /// Whom one believes in that lost it at each.
    lost: BTreeMap<String, Identity>,
    /// Users of whom a backend may err, since it closed whom it did not know, or lagged beyond the window.
    pub excused: BTreeSet<String>,
}

impl World {
    /// Nobody is there.
    pub fn new(settings: &Settings, memory: Memory) -> Self {
        World {
            now: Time(0),
            window: settings.crossing_window,
            memory,
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
        }
    }

    /// Whom the backends believe in, by what they remember.
    pub fn beliefs(&self) -> impl Iterator<Item = (&'static str, &BTreeMap<String, Identity>)> {
        let kept = (self.memory != Memory::Lost).then_some(("kept", &self.kept));
        let lost = (self.memory != Memory::Kept).then_some(("lost", &self.lost));
        kept.into_iter().chain(lost)
    }

    // --- Clients ---

    /// A client of this user asks to come in.
    pub fn ask(&mut self, user: &str, expires: Option<Time>) -> Given {
        self.asks += 1;
        Input::Ask { identity: Identity::new(user, [("n", self.asks.to_string().as_str())]), expires }
    }

    /// The clients that may be read from.
    pub fn readable(&self) -> Vec<SessionId> {
        let readable = |peer: &&Peer| !peer.closed && !peer.stopped && !self.stop_all;
        self.peers.iter().filter(readable).map(|peer| peer.id).collect()
    }

    /// A client says something.
    pub fn message(&mut self, session: SessionId, size: usize) -> Given {
        self.messages += 1;
        Input::Message { session, payload: Msg { number: self.messages, size } }
    }

    /// A client leaves, the n-th.
    pub fn leave(&mut self, who: usize, cause: LeaveCause) -> Given {
        let peer = self.peers.remove(who);
        self.gone.push_front(peer.id);
        self.gone.truncate(4);
        Input::Left { session: peer.id, cause }
    }

    /// A client, the n-th, has read so many bytes, or all that were queued.
    pub fn client_sent(&mut self, who: usize, at_most: usize) -> Given {
        let peer = &mut self.peers[who];
        let bytes = at_most.min(peer.queued);
        peer.queued -= bytes;
        Input::ClientSent { session: peer.id, bytes }
    }

    // --- The link ---

    /// The link that was dialled comes up.
    pub fn link_up(&mut self) -> Option<Given> {
        (self.state == LinkState::Dialled).then(|| {
            self.state = LinkState::Up;
            Input::LinkUp { link: self.link }
        })
    }

    /// The link breaks, or cannot be made.
    pub fn link_down(&mut self) -> Option<Given> {
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
        match self.memory {
            Memory::Lost => self.application.clear(),
            _ => self.application.iter_mut().for_each(|(_, _, of_this_life)| *of_this_life = false),
        }
    }

    /// So many bytes leave the gateway.
    pub fn link_sent(&mut self, at_most: usize) -> Option<Given> {
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

    /// Bytes of the frame that leaves next.
    pub fn next_frame(&self) -> usize {
        self.queue.front().map_or(0, |(_, left)| *left)
    }

    /// Whether nothing is on its way to the library.
    pub fn is_wire_empty(&self) -> bool {
        self.wire.is_empty()
    }

    /// Events on their way to the application, or not handled by it.
    pub fn in_flight(&self) -> usize {
        self.queue.len() + self.wire.len() + self.application.len()
    }

    /// An operator changes settings. With a crossing window that ends, a backend may always have lagged beyond it.
    pub fn change(&mut self, settings: Settings) -> Given {
        self.window = self.window.min(settings.crossing_window);
        Input::Settings(settings.into())
    }

    // --- The backend ---

    /// The backend's library reads the wire to its end.
    pub fn library(&mut self) {
        for frame in self.wire.drain(..) {
            match frame {
                Frame::Ping(counter) => self.back.push_back(Back::Pong(counter)),
                Frame::Event(what, who) => self.application.push_back((what, who, true)),
            }
        }
    }

    /// Events that the backend's application has to handle.
    pub fn unhandled(&self) -> usize {
        self.application.len()
    }

    /// The backend's application handles so many events.
    pub fn handle(&mut self, events: usize) {
        for _ in 0..events {
            let Some((what, who, of_this_life)) = self.application.pop_front() else { return };
            let user = who.user().to_owned();
            let kept = (self.memory != Memory::Lost).then_some(&mut self.kept);
            let lost = (self.memory != Memory::Kept && of_this_life).then_some(&mut self.lost);
            for belief in kept.into_iter().chain(lost) {
                match what {
                    What::Open => drop(belief.insert(user.clone(), who.clone())),
                    What::Close => drop(belief.remove(&user)),
                    What::Message(_) => {}
                }
            }
            if what == What::Close && !self.is_coming(&user) && self.window == FOREVER {
                self.excused.remove(&user);
            }
        }
    }

    /// Whether the backend knows that user, and has heard all that earlier links told of it: law 8 is of such backends.
    pub fn knows(&self, user: &str) -> bool {
        let known = if self.memory == Memory::Lost { &self.lost } else { &self.kept };
        known.contains_key(user)
            && !self.application.iter().any(|(_, who, of_this_life)| !of_this_life && who.user() == user)
    }

    /// The backend says something; it arrives after all that it has said before.
    pub fn act(&mut self, action: Result<Action<'static>, BadAction>) {
        if self.state != LinkState::Up {
            return;
        }
        let (mut crossed, mut known) = (false, true);
        if let Ok(Action::Close { user: Some(user), .. }) = &action {
            crossed = self.is_coming(user);
            known = self.knows(user);
            self.kept.remove(user.as_ref());
            self.lost.remove(user.as_ref());
        }
        self.back.push_back(Back::Action { action, crossed, known });
    }

    /// What the backend has said and the gateway not heard: Pongs and actions.
    pub fn unheard(&self) -> (usize, usize) {
        let pongs = self.back.iter().filter(|back| matches!(back, Back::Pong(_))).count();
        (pongs, self.back.len() - pongs)
    }

    /// What the backend said first arrives.
    pub fn deliver(&mut self) -> Option<Given> {
        match self.back.pop_front()? {
            Back::Pong(counter) => {
                self.last_pong = counter;
                Some(Input::Pong { link: self.link, counter })
            }
            Back::Action { action, crossed, known } => {
                if let Ok(Action::Close { user: Some(user), .. }) = &action
                    // With a window that ends, it may always have lagged beyond it; else it errs only about one whom
                    // it did not know, where it crosses what is under way.
                    && (self.window != FOREVER || !known && (crossed || self.is_coming(user)))
                {
                    self.excused.insert(user.clone().into_owned());
                }
                Some(Input::Action { link: self.link, action })
            }
        }
    }

    /// A Pong is lost on its way.
    pub fn lose_pong(&mut self) {
        if let Some(pong) = self.back.iter().position(|back| matches!(back, Back::Pong(_))) {
            self.back.remove(pong);
        }
    }

    /// Whether anything about that user is on its way to the backend's application.
    fn is_coming(&self, user: &str) -> bool {
        let about = |frame: &Frame| matches!(frame, Frame::Event(_, who) if who.user() == user);
        self.queue.iter().any(|(frame, _)| about(frame))
            || self.wire.iter().any(about)
            || self.application.iter().any(|(_, who, _)| who.user() == user)
    }

    /// Whether nothing waits to leave the gateway over the link.
    pub fn is_queue_empty(&self) -> bool {
        self.queue.is_empty()
    }

    // --- Hostility ---

    /// How many kinds of inputs there are that must change nothing.
    pub const HOSTILE: usize = 20;

    /// An input of this kind that must change nothing; where it is of a session that is gone, of the n-th last.
    pub fn hostile(&self, kind: usize, gone: usize) -> Given {
        let nobody = SessionId { slot: 77, generation: 0 };
        let gone = self.gone.get(gone).copied().unwrap_or(nobody);
        let before = LinkId(self.link.0.saturating_sub(1));
        let link = if self.state == LinkState::Up { self.link } else { before };
        let payload = Msg { number: 0, size: 1 };
        let send =
            |user: &'static str| Action::Send { user: Some(user.into()), data: Data::Text("late".into()) };
        match kind {
            0 => Input::Message { session: gone, payload },
            1 => Input::Left { session: gone, cause: LeaveCause::Lost },
            2 => Input::ClientSent { session: gone, bytes: 1 },
            3 => Input::Message { session: nobody, payload },
            4 => Input::Left { session: nobody, cause: LeaveCause::Closed },
            5 => Input::LinkUp { link },
            6 => Input::LinkUp { link: LinkId(self.link.0 + 1) },
            7 => Input::LinkDown { link: before },
            8 => Input::LinkSent { link: before, bytes: 5 },
            9 => Input::LinkSent { link: self.link, bytes: usize::from(self.queue.is_empty()) << 60 },
            10 => Input::Pong { link: before, counter: self.last_pong + 1 },
            11 => Input::Pong { link: self.link, counter: self.last_pong },
            12 => Input::Pong { link: self.link, counter: u64::MAX },
            13 => Input::Action { link: before, action: Ok(send("u0")) },
            14 => match self.peers.iter().find(|peer| peer.queued == 0) {
                Some(peer) => Input::ClientSent { session: peer.id, bytes: 9 },
                None => Input::Deadline,
            },
            15 => match self.peers.iter().find(|peer| peer.closed) {
                Some(peer) => Input::Message { session: peer.id, payload },
                None => Input::Deadline,
            },
            16 => Input::Action { link, action: Ok(send("nobody")) },
            17 => Input::Kick { session: gone },
            18 => match self.peers.iter().find(|peer| peer.closed) {
                Some(peer) => Input::Kick { session: peer.id },
                None => Input::Deadline,
            },
            _ => Input::Action { link, action: Err(BadAction::NotJson) },
        }
    }

    // --- The machine ---

    /// Takes in what the machine said.
    pub fn hear(&mut self, said: &[Said]) {
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
                // At the end of a drain nobody looks any more.
                Said::CloseLink(_) if !said.iter().any(|one| matches!(one, Said::Empty { .. })) => {
                    self.breaks();
                }
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
        let reads = self.peers.iter().position(|peer| peer.queued > 0);
        let input = self
            .link_up()
            .or_else(|| self.link_sent(usize::MAX))
            .or_else(|| {
                self.library();
                self.handle(usize::MAX);
                self.deliver()
            })
            .or_else(|| closed.map(|closed| self.leave(closed, LeaveCause::Closed)))
            .or_else(|| reads.map(|reads| self.client_sent(reads, usize::MAX)));
        match input {
            Some(input) => Some(Move { at: self.now, late: false, input }),
            None => {
                self.now = self.now.max(deadline?);
                Some(Move { at: self.now, late: false, input: Input::Deadline })
            }
        }
    }

    /// Appends what of it can still matter: see [`trunkline_core::Naming`].
    pub fn key(&self, names: &mut Names, pings: u64, key: &mut Vec<u64>) {
        key.push(match self.state {
            LinkState::Gone => 0,
            LinkState::Dialled => 1,
            LinkState::Up => 2,
        });
        key.push(u64::from(self.stop_all));
        for peer in &self.peers {
            let flags = u64::from(peer.closed) << 1 | u64::from(peer.stopped);
            key.extend([names.session(peer.id), flags, peer.queued as u64]);
        }
        key.push(u64::MAX);
        for (frame, left) in &self.queue {
            key.push(*left as u64);
            frame.key(names, pings, key);
        }
        key.push(u64::MAX);
        self.wire.iter().for_each(|frame| frame.key(names, pings, key));
        key.push(u64::MAX);
        for (what, who, of_this_life) in &self.application {
            key.push(u64::from(*of_this_life));
            what.key(names, key);
            names.who(who, key);
        }
        key.push(u64::MAX);
        for back in &self.back {
            back.key(names, pings, key);
        }
        key.push(u64::MAX);
        for (_, belief) in self.beliefs() {
            let mut pairs: Vec<_> = belief.iter().map(|(user, who)| (names.user(user), who)).collect();
            pairs.sort_unstable_by_key(|(user, _)| *user);
            key.extend(pairs.into_iter().flat_map(|(user, who)| [user, names.identity(who)]));
            key.push(u64::MAX);
        }
        let mut excused: Vec<_> = self.excused.iter().map(|user| names.user(user)).collect();
        excused.sort_unstable();
        key.extend(excused);
    }
}

impl Frame {
    fn key(&self, names: &mut Names, pings: u64, key: &mut Vec<u64>) {
        match self {
            Frame::Ping(counter) => key.extend([4, pings - counter]),
            Frame::Event(what, who) => {
                what.key(names, key);
                names.who(who, key);
            }
        }
    }
}

impl Back {
    fn key(&self, names: &mut Names, pings: u64, key: &mut Vec<u64>) {
        match self {
            Back::Pong(counter) => key.extend([0, pings - counter]),
            Back::Action { action, crossed, known } => {
                key.push(1 | u64::from(*crossed) << 2 | u64::from(*known) << 3);
                names.action(action, key);
            }
        }
    }
}

/// The codes with which a client may be said to leave.
pub const LEAVES: [LeaveCause; 4] =
    [LeaveCause::Closed, LeaveCause::Lost, LeaveCause::TimedOut, LeaveCause::Misbehaved(CloseCode::TOO_BIG)];
