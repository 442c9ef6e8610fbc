//! Drives a machine through a scenario under the laws and the reference: the body of property tests and fuzzers.

use std::{
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use trunkline_core::{EndCause, Endpoint, Input, LinkPhase, Redeliver, Settings, Time};

use crate::{
    history::{Client, Close, History, LinkState},
    laws::{Law, Laws, Violation},
    said::{Given, Msg, Said, What, tell},
    scenario::Bytes,
    world::{Memory, Move, World},
};

/// Steps within which a world in which all goes well brings everybody to agree.
const SETTLES_WITHIN: usize = 600;

/// One step of a run: when, what happened, what was said.
pub type Line = (Time, Given, Vec<Said>);

/// How often each law's case occurred.
pub type Reached = BTreeMap<&'static str, u64>;

/// A broken law, and how it came to be.
#[derive(Clone)]
pub struct Failure {
    /// Of the endpoint.
    pub settings: Settings,
    /// All steps, the broken one last.
    pub log: Vec<Line>,
    /// What is broken.
    pub violation: Violation,
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}", self.settings)?;
        for (at, input, said) in &self.log {
            writeln!(f, "  {:>4} {input:?}", at.0)?;
            said.iter().try_for_each(|said| writeln!(f, "         -> {said:?}"))?;
        }
        write!(f, "{}", self.violation)
    }
}

/// A machine under judgement, and the world around it.
#[derive(Clone, Debug)]
pub struct Drive {
    endpoint: Endpoint<Msg>,
    laws: Laws,
    world: World,
    log: Vec<Line>,
    reached: Reached,
}

/// Runs the scenario that the bytes tell, then lets all go well.
pub fn run(bytes: &[u8]) -> Result<Reached, Box<Failure>> {
    let mut bytes = Bytes(bytes);
    let settings = bytes.settings();
    let mut drive = Drive::new(&settings);
    let played = drive.play(&mut bytes).and_then(|()| drive.settle()).and_then(|()| drive.again(&settings));
    match played {
        Ok(()) => Ok(drive.reached),
        Err(violation) => Err(Box::new(Failure { settings, log: drive.log, violation })),
    }
}

/// Plays the scenario and writes down what was said, whatever the laws make of it.
pub fn record(bytes: &[u8]) -> (Settings, Vec<Line>) {
    let mut bytes = Bytes(bytes);
    let settings = bytes.settings();
    let mut drive = Drive::new(&settings);
    // What it breaks is told by `run`.
    if drive.play(&mut bytes).is_err() {
        drive.log.pop();
    }
    (settings, drive.log)
}

/// Runs the scenario twice, once with `Deadline` in place of every input that must change nothing: 7, stale ids.
///
/// All other steps must say the same.
pub fn run_without_harmless(bytes: &[u8]) -> Result<(), Box<Failure>> {
    let (settings, log) = record(bytes);
    let mut twin = Endpoint::new(settings.clone(), Time(0));
    for (index, (now, input, said)) in log.iter().enumerate() {
        let harmless = matches!(said.as_slice(), [Said::Stale | Said::Ignored { .. }]);
        let again = tell(&mut twin, *now, if harmless { Input::Deadline } else { input.clone() });
        if again != *said && !harmless || harmless && !again.is_empty() {
            let what = format!("{again:?}, where nothing harmless had come before");
            let violation = Violation { law: Law::BadActions7, at: *now, what };
            return Err(Box::new(Failure { settings, log: log[..=index].to_vec(), violation }));
        }
    }
    Ok(())
}

/// Runs the scenario with inputs that come while something is due, which is then done first, and at times that
/// go backwards or leap to the end of time: 11.
pub fn run_carelessly(bytes: &[u8]) -> Result<(), Box<Failure>> {
    let mut bytes = Bytes(bytes);
    let settings = bytes.settings();
    let mut endpoint = Endpoint::new(settings.clone(), Time(0));
    let mut world = World::new(&settings, Memory::Both);
    let mut log: Vec<Line> = Vec::new();
    while let Some(next) = world.next(&mut bytes, endpoint.next_deadline()) {
        let shift = [0, 0, 7, u64::MAX / 2, u64::MAX][log.len() % 5];
        let now = match log.len() % 16 {
            15 => Time(next.at.0.saturating_sub(shift)),
            _ if shift > 7 && log.len() > 200 => Time(shift),
            _ => next.at,
        };
        log.push((now, next.input.clone(), Vec::new()));
        let handled = catch_unwind(AssertUnwindSafe(|| {
            let said = tell(&mut endpoint, now, next.input.clone());
            endpoint.check_invariants();
            said
        }));
        let Ok(said) = handled else {
            let what = "a panic, or an invariant that does not hold".to_owned();
            let violation = Violation { law: Law::Totality11, at: now, what };
            return Err(Box::new(Failure { settings, log, violation }));
        };
        world.hear(&said);
    }
    Ok(())
}

impl Drive {
    fn new(settings: &Settings) -> Self {
        Drive {
            endpoint: Endpoint::new(settings.clone(), Time(0)),
            laws: Laws::new(settings),
            world: World::new(settings, Memory::Both),
            log: Vec::new(),
            reached: Reached::new(),
        }
    }

    fn play(&mut self, bytes: &mut Bytes<'_>) -> Result<(), Violation> {
        while let Some(next) = self.world.next(bytes, self.endpoint.next_deadline()) {
            self.make(next)?;
        }
        Ok(())
    }

    /// Makes a move as the shell does: what is due first.
    fn make(&mut self, next: Move) -> Result<(), Violation> {
        if !next.late {
            for _ in 0..50 {
                match self.endpoint.next_deadline().filter(|due| *due <= next.at) {
                    Some(due) => self.step(due, Input::Deadline)?,
                    None => break,
                }
            }
        }
        if self.endpoint.next_deadline().is_some_and(|due| due <= next.at) {
            self.step(next.at, Input::Deadline)?;
        }
        self.step(next.at, next.input)
    }

    fn step(&mut self, now: Time, input: Given) -> Result<(), Violation> {
        let endpoint = &mut self.endpoint;
        let told = catch_unwind(AssertUnwindSafe(|| {
            let said = tell(endpoint, now, input.clone());
            endpoint.check_invariants();
            said
        }));
        let Ok(said) = told else {
            self.log.push((now, input, Vec::new()));
            let what = "a panic, or an invariant that does not hold".to_owned();
            return Err(Violation { law: Law::Totality11, at: now, what });
        };
        self.world.hear(&said);
        count(&mut self.reached, self.laws.history(), &input, &said);
        let judged = self.laws.step(now, &input, &said, self.endpoint.next_deadline());
        self.log.push((now, input, said));
        judged
    }

    /// 8 and 13: when all goes well, gateway and backends come to agree, nothing waits, and a drain ends.
    fn settle(&mut self) -> Result<(), Violation> {
        let mut waits = String::new();
        for _ in 0..SETTLES_WITHIN {
            match unsettled(self.laws.history(), &self.world) {
                None => return Ok(()),
                Some(reason) => waits = reason,
            }
            match self.world.fair(self.endpoint.next_deadline()) {
                Some(next) => self.make(next)?,
                None => break,
            }
        }
        let what = format!("all goes well, and does not settle: {waits}");
        Err(Violation { law: Law::Convergence8, at: self.laws.history().now, what })
    }

    /// 12: the same inputs give the same outputs, from the beginning and from a copy made half-way.
    fn again(&self, settings: &Settings) -> Result<(), Violation> {
        let mut second = Endpoint::new(settings.clone(), Time(0));
        let mut copy = None;
        for (index, (now, input, said)) in self.log.iter().enumerate() {
            if index == self.log.len() / 2 {
                copy = Some(second.clone());
            }
            for endpoint in [Some(&mut second), copy.as_mut()].into_iter().flatten() {
                let again = tell(endpoint, *now, input.clone());
                if again != *said {
                    let what = format!("step {index}, {input:?}: {said:?}, and again {again:?}");
                    return Err(Violation { law: Law::Determinism12, at: *now, what });
                }
            }
        }
        Ok(())
    }
}

/// Why not all agree and nothing waits, if that is so.
pub fn unsettled(seen: &History, world: &World) -> Option<String> {
    if seen.drain.is_some() {
        return (!seen.empty).then(|| "the drain".to_owned());
    }
    if seen.link.phase != LinkPhase::Up {
        return Some(format!("the link is {:?}", seen.link.phase));
    }
    let waits = |session: &&crate::history::Session| {
        !session.line.is_empty()
            || !session.kept.is_empty()
            || session.is_live() && (session.stopped.is_some() || !session.is_open_on(&seen.link))
            || matches!(session.close, Close::Owed | Close::Said { .. })
    };
    if let Some(session) = seen.sessions.iter().find(waits) {
        return Some(format!("{session:?}"));
    }
    if seen.stop_all {
        return Some("nobody is read from".to_owned());
    }
    let live = seen.sessions.iter().filter(|session| session.is_live());
    let live: BTreeMap<_, _> =
        live.map(|session| (session.who.user().to_owned(), session.who.clone())).collect();
    for (name, belief) in world.beliefs() {
        let errs = |user: &&String| belief.get(*user) != live.get(*user) && !world.excused.contains(*user);
        if let Some(user) = belief.keys().chain(live.keys()).find(errs) {
            return Some(format!(
                "a backend that {name} its state believes of {user:?} {:?}, live is {:?}",
                belief.get(user),
                live.get(user)
            ));
        }
    }
    None
}

/// What `count` counts: a campaign in which one of them never occurred has tested less than it says.
pub const CASES: &[&str] = &[
    "takeover, link down",
    "takeover, settling",
    "takeover, announcing",
    "takeover, link up",
    "takeover in the gap",
    "two closes owed at once",
    "stop",
    "resume",
    "share",
    "stop all",
    "resume all",
    "too slow",
    "too slow in sum",
    "expiry",
    "expiry in the gap",
    "drain",
    "drain while announcing",
    "drained without a confirmed close",
    "empty",
    "crossing close",
    "close by the backend",
    "kick",
    "stale id",
    "stale pong",
    "message after the end",
    "redelivery",
    "unconfirmed counted",
    "parked dropped",
    "queue dropped",
    "pong timeout",
    "outage spread",
    "outage end",
    "spread stopped",
    "announced again",
    "refused: draining",
    "refused: away",
    "refused: duplicate",
    "refused: full",
    "link full",
    "wall clock stepped",
    "never announced",
    "action ignored",
    "late deadline",
    "slot used again",
    "change",
    "change in a spread",
    "move",
    "move while dialling",
    "left in good order",
    "left in time",
];

/// Counts what a step reached; `seen` is before it.
pub fn count(reached: &mut Reached, seen: &History, input: &Given, said: &[Said]) {
    let mut hit = |case: &'static str| *reached.entry(case).or_default() += 1;
    if *input == Input::Drain && seen.drain.is_none() {
        hit("drain");
        if seen.link.phase == LinkPhase::Announcing {
            hit("drain while announcing");
        }
    }
    if matches!(input, Input::LinkUp { link } if seen.link.id == *link && seen.spread.is_some()) {
        hit("spread stopped");
    }
    let away = seen.link.state != LinkState::Up;
    match input {
        Input::Settings(_) if seen.drain.is_none() => {
            hit(if seen.spread.is_some() && away { "change in a spread" } else { "change" });
        }
        Input::Redial if seen.drain.is_none() && !away => hit("move"),
        Input::Redial if seen.link.state == LinkState::Dialled => hit("move while dialling"),
        _ => {}
    }
    if matches!(input, Input::WallClockStepped { .. }) {
        hit("wall clock stepped");
    }
    if matches!(input, Input::Pong { link, counter }
        if seen.is_up(*link) && seen.link.ping.is_none_or(|(outstanding, _)| outstanding != *counter))
    {
        hit("stale pong");
    }
    if seen.due.is_some() && *input == Input::Deadline && said.len() > 3 {
        hit("late deadline");
    }
    if seen.sessions.iter().filter(|session| session.close == Close::Owed).count() >= 2 {
        hit("two closes owed at once");
    }
    for one in said {
        match *one {
            Said::Ended { session, cause } => {
                let Some(known) = seen.session(session) else { continue };
                let in_gap = known.opened.is_none() && seen.in_gap(known) == Some(true);
                match cause {
                    EndCause::TakenOver => {
                        hit(match seen.link.phase {
                            LinkPhase::Down => "takeover, link down",
                            LinkPhase::Settling => "takeover, settling",
                            LinkPhase::Announcing => "takeover, announcing",
                            LinkPhase::Up => "takeover, link up",
                        });
                        if in_gap {
                            hit("takeover in the gap");
                        }
                    }
                    EndCause::TooSlow if known.queue < seen.settings.client_queue_bytes_max => {
                        hit("too slow in sum");
                    }
                    EndCause::TooSlow => hit("too slow"),
                    EndCause::Expired => hit(if in_gap { "expiry in the gap" } else { "expiry" }),
                    EndCause::Backend => {
                        hit(if seen.crosses(known) { "crossing close" } else { "close by the backend" });
                    }
                    EndCause::Kicked => hit("kick"),
                    EndCause::Outage => hit("outage end"),
                    EndCause::Drained | EndCause::Left(_) => {}
                }
                if known.opened.is_none() {
                    hit("never announced");
                }
            }
            Said::Event { session, what: What::Open, .. }
                if seen.session(session).is_some_and(|known| known.opened.is_some()) =>
            {
                hit("announced again");
            }
            Said::Event { session, what: What::Message(_), .. } => {
                let redelivers = seen.settings.redeliver == Redeliver::Unconfirmed;
                if redelivers && seen.session(session).is_some_and(|known| !known.kept.is_empty()) {
                    hit("redelivery");
                }
            }
            Said::Close { session, code, .. } => {
                let unconfirmed = |known: &crate::history::Session| {
                    matches!(known.close, Close::Owed | Close::Said { .. }) && known.client == Client::In
                };
                if code.get() == 1001 && seen.session(session).is_some_and(unconfirmed) {
                    hit("drained without a confirmed close");
                }
            }
            Said::Admit(id) if id.generation > 0 => hit("slot used again"),
            Said::Refuse(reason) => hit(match reason {
                trunkline_core::Refusal::Draining => "refused: draining",
                trunkline_core::Refusal::BackendAway => "refused: away",
                trunkline_core::Refusal::Duplicate => "refused: duplicate",
                trunkline_core::Refusal::Full => "refused: full",
            }),
            Said::Stop(session) => {
                hit("stop");
                let share = seen.settings.link.share_bytes;
                if seen.session(session).is_some_and(|known| seen.spent(known) >= share) && !seen.link.full {
                    hit("share");
                }
            }
            Said::Resume(_) => hit("resume"),
            Said::StopAll => hit("stop all"),
            Said::ResumeAll => hit("resume all"),
            Said::Stale => hit("stale id"),
            Said::MessagesDropped { cause: trunkline_core::DropCause::AfterEnd, .. } => {
                hit("message after the end")
            }
            Said::MessagesDropped { cause: trunkline_core::DropCause::Parked, .. } => hit("parked dropped"),
            Said::MessagesDropped { .. } | Said::Unconfirmed { .. } => hit("unconfirmed counted"),
            Said::QueueDropped { .. } => hit("queue dropped"),
            Said::PongTimeout => hit("pong timeout"),
            Said::OutageSpread { .. } if seen.link.state != LinkState::Up => hit("outage spread"),
            Said::Empty { .. } => hit("empty"),
            Said::LinkFull => hit("link full"),
            Said::CloseLink(_)
                if !seen.empty && !said.iter().any(|said| matches!(said, Said::Empty { .. })) =>
            {
                hit("left in good order");
            }
            Said::Abort(_) if seen.link.leaves_by.is_some() && !said.contains(&Said::PongTimeout) => {
                hit("left in time");
            }
            Said::Ignored { .. } => hit("action ignored"),
            _ => {}
        }
    }
}
