//! The model checker: all that can happen in a small world, to the machine that ships.
//!
//! A state is a machine, what the laws have seen of it, and the world around it. From each state every step that the
//! world allows is taken; a state whose canonical key was seen before is not looked at again. Nothing bounds how long
//! a run is: the world bounds only how much is there at once, so the states come to an end.

mod explore;
pub mod worlds;

use std::panic::{AssertUnwindSafe, catch_unwind};

use trunkline_core::{
    Endpoint, Input, LeaveCause, Millis, Settings, Time,
    language::{Action, Data},
};

pub use self::explore::{Explored, explore};
use crate::{
    canon::{Names, key_history},
    drive::{Line, Reached, count},
    history::History,
    laws::{Law, Laws, Violation},
    said::{Given, Msg, Said, tell},
    world::{LinkState, Memory, USERS, World},
};

/// A small world: what can happen in it, and how much of it at once.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Of the endpoint.
    pub settings: Settings,
    /// What the backend remembers when its link breaks.
    pub memory: Memory,
    /// Whether its application handles events later than its library receives them.
    pub lags: bool,
    /// Users that come.
    pub users: usize,
    /// Sessions that are there at once, of all users together, those included that are over and still owed something.
    pub sessions: usize,
    /// Messages of a session that are parked, or on their way and not confirmed.
    pub messages: usize,
    /// Events that are on their way or not handled, beyond which nobody does anything that he need not do.
    pub events: usize,
    /// Actions on their way.
    pub actions: usize,
    /// Whether the backend closes.
    pub closes: bool,
    /// Whether it sends.
    pub sends: bool,
    /// How long the tokens live that clients come with; `None`: for ever.
    pub tokens: &'static [Option<u64>],
    /// Whether the wall clock is set, forwards and backwards.
    pub clock: bool,
    /// The settings that an operator changes to, and back.
    pub later: Option<Settings>,
    /// Whether an operator moves the backend.
    pub moves: bool,
    /// Whether an operator closes clients.
    pub kicks: bool,
    /// Whether the gateway may be told to stop.
    pub drains: bool,
    /// Whether time passes also where nothing is due.
    pub ticks: bool,
    /// Whether deadlines are handled late.
    pub late: bool,
}

impl Spec {
    /// The settings that may yet come.
    fn may_come(&self) -> Vec<Settings> {
        self.later.iter().chain(self.later.as_ref().map(|_| &self.settings)).cloned().collect()
    }
}

/// What happens next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The link that was dialled comes up.
    LinkUp,
    /// A frame leaves the gateway.
    LinkSent,
    /// The backend's library reads all that has come.
    Library,
    /// The backend's application handles an event.
    Handle,
    /// A Pong or an action arrives.
    Deliver,
    /// The n-th client leaves.
    Leave(u8),
    /// The n-th client reads what is queued for it.
    Read(u8),
    /// What is due next is handled, so many milliseconds late.
    Deadline(u8),
    /// A client of the n-th user asks to come in, with the n-th token.
    Ask(u8, u8),
    /// The n-th client sends a message.
    Message(u8),
    /// The backend sends to the n-th user.
    Send(u8),
    /// The backend closes the n-th user.
    Close(u8),
    /// An operator closes the n-th client.
    Kick(u8),
    /// The link breaks, or cannot be made.
    LinkDown,
    /// The wall clock is set forwards or backwards by a millisecond.
    Clock(i8),
    /// A millisecond passes.
    Tick,
    /// An operator changes settings.
    Change,
    /// An operator moves the backend.
    Redial,
    /// The gateway is told to stop.
    Drain,
}

impl Step {
    /// Whether it happens where all goes well.
    fn is_fair(self, state: &State) -> bool {
        match self {
            Step::LinkUp | Step::LinkSent | Step::Library | Step::Handle | Step::Deliver | Step::Read(_) => {
                true
            }
            Step::Leave(who) => state.world.peers[usize::from(who)].closed,
            Step::Deadline(late) => late == 0,
            _ => false,
        }
    }
}

/// A machine, what the laws have seen of it, and the world around it.
#[derive(Clone, Debug)]
pub struct State {
    endpoint: Endpoint<Msg>,
    laws: Laws,
    world: World,
}

impl State {
    /// The beginning: what is due at once, the first dial, is done.
    fn new(spec: &Spec, to: &mut Trail) -> Result<Self, Violation> {
        let mut state = State {
            endpoint: Endpoint::new(spec.settings.clone(), Time(0)),
            laws: Laws::new(&spec.settings),
            world: World::new(&spec.settings, spec.memory),
        };
        state.tell(Input::Deadline, to)?;
        Ok(state)
    }

    fn seen(&self) -> &History {
        self.laws.history()
    }

    /// The machine's key, then what else is in the state; and who has which number in it.
    fn key(&self, spec: &Spec, key: &mut Vec<u64>) -> Names {
        let (later, changed) = (spec.may_come(), spec.later.as_ref() == Some(&self.seen().settings));
        let mut names = Names::default();
        key.clear();
        self.endpoint.key(&later, &mut names, key);
        key.push(u64::from(changed));
        key_history(self.seen(), &later, &mut names, key);
        self.world.key(&mut names, self.seen().pings, key);
        names
    }

    fn due(&self) -> Option<Time> {
        self.endpoint.next_deadline().filter(|due| *due < Time(u64::MAX))
    }

    /// All that can happen next, in an order that is the same for states of the same key: what happens where all goes
    /// well comes first.
    fn steps(&self, spec: &Spec, names: &Names) -> Vec<Step> {
        let mut steps = self.waiting(spec);
        self.disturbing(spec, &mut steps);
        // Where much is on its way, nobody does what he need not do.
        if self.world.in_flight() < spec.events {
            self.chosen(spec, names, &mut steps);
        }
        steps
    }

    /// What waits to happen.
    fn waiting(&self, spec: &Spec) -> Vec<Step> {
        let world = &self.world;
        let mut steps = Vec::with_capacity(16);
        steps.extend((world.state == LinkState::Dialled).then_some(Step::LinkUp));
        steps.extend((!world.is_queue_empty()).then_some(Step::LinkSent));
        steps.extend((!world.is_wire_empty()).then_some(Step::Library));
        steps.extend((world.unhandled() > 0).then_some(Step::Handle));
        steps.extend((world.unheard() != (0, 0)).then_some(Step::Deliver));
        let peers = || (0..).zip(&world.peers);
        steps.extend(peers().filter(|(_, peer)| peer.closed).map(|(who, _)| Step::Leave(who)));
        steps.extend(peers().filter(|(_, peer)| peer.queued > 0).map(|(who, _)| Step::Read(who)));
        steps.extend(self.due().filter(|_| self.keeps_up(spec)).map(|_| Step::Deadline(0)));
        steps
    }

    /// Whether the backend's application does not lag so far behind that links come and go meanwhile without end.
    fn keeps_up(&self, spec: &Spec) -> bool {
        self.world.unhandled() <= spec.events
    }

    /// What befalls clients, gateway and backend.
    fn disturbing(&self, spec: &Spec, steps: &mut Vec<Step>) {
        let world = &self.world;
        let soon = world.now + Millis(1);
        let keeps_up = self.keeps_up(spec);
        steps.extend((spec.late && keeps_up && self.due().is_some()).then_some(Step::Deadline(1)));
        steps.extend((spec.ticks && self.due().is_none_or(|due| due > soon)).then_some(Step::Tick));
        steps.extend((spec.drains && self.seen().drain.is_none()).then_some(Step::Drain));
        steps.extend((world.state != LinkState::Gone && keeps_up).then_some(Step::LinkDown));
        let goes_on = self.seen().drain.is_none();
        steps.extend((spec.later.is_some() && goes_on).then_some(Step::Change));
        let there = world.state != LinkState::Gone && keeps_up && self.seen().link.leaves_by.is_none();
        steps.extend((spec.moves && goes_on && there).then_some(Step::Redial));
        let live = || self.seen().sessions.iter().filter(|session| session.is_live());
        let expiries = || live().filter_map(|session| session.expires);
        let forward = spec.clock && expiries().any(|at| at > world.now);
        steps.extend(forward.then_some(Step::Clock(1)));
        let back = spec.clock && expiries().count() > 0 && expiries().all(|at| at <= soon);
        steps.extend(back.then_some(Step::Clock(-1)));
    }

    /// What clients and backend choose to do.
    fn chosen(&self, spec: &Spec, names: &Names, steps: &mut Vec<Step>) {
        let world = &self.world;
        let comes = self.seen().sessions.len() < spec.sessions;
        let tokens = if comes { spec.tokens.len() as u8 } else { 0 };
        for (who, user) in (0..).zip(known_users(spec, names)) {
            steps.extend((0..tokens).map(|token| Step::Ask(who, token)));
            if world.state == LinkState::Up && world.unheard().1 < spec.actions && world.knows(user) {
                steps.extend(spec.closes.then_some(Step::Close(who)));
                steps.extend(spec.sends.then_some(Step::Send(who)));
            }
        }
        for (who, peer) in (0..).zip(&world.peers).filter(|(_, peer)| !peer.closed) {
            steps.push(Step::Leave(who));
            steps.extend(spec.kicks.then_some(Step::Kick(who)));
            let speaks = self.seen().session(peer.id).is_some_and(|session| {
                session.line.len() + session.kept.len() + session.sent.len() < spec.messages
            });
            steps.extend((speaks && !peer.stopped && !world.stop_all).then_some(Step::Message(who)));
        }
    }

    /// Takes a step. `names` are those of the key.
    fn take(&mut self, spec: &Spec, names: &Names, step: Step, to: &mut Trail) -> Result<(), Violation> {
        let user = |who: u8| known_users(spec, names)[usize::from(who)];
        let world = &mut self.world;
        let input = match step {
            Step::LinkUp => world.link_up(),
            Step::LinkSent => world.link_sent(world.next_frame()),
            Step::Library => {
                world.library();
                if !spec.lags {
                    world.handle(usize::MAX);
                }
                None
            }
            Step::Handle => {
                world.handle(1);
                None
            }
            Step::Deliver => world.deliver(),
            Step::Leave(who) => Some(world.leave(usize::from(who), LeaveCause::Closed)),
            Step::Read(who) => Some(world.client_sent(usize::from(who), usize::MAX)),
            Step::Deadline(late) => {
                let due = self.endpoint.next_deadline().unwrap_or(world.now);
                world.now = due + Millis(u64::from(late));
                Some(Input::Deadline)
            }
            Step::Ask(who, token) => {
                let expires = spec.tokens[usize::from(token)].map(|lives| world.now + Millis(lives));
                Some(world.ask(user(who), expires))
            }
            Step::Message(who) => {
                let session = world.peers[usize::from(who)].id;
                Some(world.message(session, 1))
            }
            Step::Send(who) => {
                let user = Some(user(who).to_owned().into());
                world.act(Ok(Action::Send { user, data: Data::Text("m".into()) }));
                None
            }
            Step::Close(who) => {
                let user = Some(user(who).to_owned().into());
                world.act(Ok(Action::Close { user, status: None, reason: None }));
                None
            }
            Step::Kick(who) => Some(Input::Kick { session: world.peers[usize::from(who)].id }),
            Step::LinkDown => world.link_down(),
            Step::Clock(forward) => Some(Input::WallClockStepped { forward: i64::from(forward) }),
            Step::Tick => {
                world.now = world.now + Millis(1);
                Some(Input::Deadline)
            }
            Step::Change => {
                let later = spec.later.as_ref().filter(|later| self.laws.history().settings != **later);
                Some(world.change(later.unwrap_or(&spec.settings).clone()))
            }
            Step::Redial => Some(Input::Redial),
            Step::Drain => Some(Input::Drain),
        };
        match input {
            None => Ok(()),
            Some(input) => self.tell(input, to),
        }
    }

    fn tell(&mut self, input: Given, to: &mut Trail) -> Result<(), Violation> {
        let (endpoint, now) = (&mut self.endpoint, self.world.now);
        let told = catch_unwind(AssertUnwindSafe(|| {
            let said = tell(endpoint, now, input.clone());
            endpoint.check_invariants();
            said
        }));
        let Ok(said) = told else {
            to.add(now, &input, &[]);
            let what = "a panic, or an invariant that does not hold".to_owned();
            return Err(Violation { law: Law::Totality11, at: now, what });
        };
        self.world.hear(&said);
        count(&mut to.reached, self.laws.history(), &input, &said);
        to.add(now, &input, &said);
        self.laws.step(now, &input, &said, self.endpoint.next_deadline())
    }

    /// 7 and stale ids: what names nothing that is there changes nothing. The key stays what it is.
    fn probe(&self, spec: &Spec, key: &[u64], to: &mut Trail) -> Result<(), Violation> {
        let mut probed = self.clone();
        let mut after = Vec::with_capacity(key.len());
        for kind in 0..World::HOSTILE {
            let input = self.world.hostile(kind, 0);
            probed.tell(input.clone(), to)?;
            after.clear();
            probed.endpoint.key(&spec.may_come(), &mut Names::default(), &mut after);
            if after != key[..after.len()] {
                let what = format!("{input:?} changes what can still matter");
                return Err(Violation { law: Law::BadActions7, at: self.world.now, what });
            }
        }
        Ok(())
    }
}

/// The users in the order of their numbers; of those that have none one stands for all, since they are alike.
fn known_users<'a>(spec: &Spec, names: &'a Names) -> Vec<&'a str> {
    let known = names.users().iter().map(String::as_str);
    let unknown = USERS.into_iter().filter(|user| !names.users().iter().any(|known| known == user));
    known.chain(unknown.take(1)).take(spec.users).collect()
}

/// What is noted on the way.
#[derive(Default)]
struct Trail {
    reached: Reached,
    /// The steps, where they are wanted.
    log: Option<Vec<Line>>,
}

impl Trail {
    fn add(&mut self, now: Time, input: &Given, said: &[Said]) {
        if let Some(log) = &mut self.log {
            log.push((now, input.clone(), said.to_vec()));
        }
    }
}
