//! The laws of docs/laws.md as one monitor: it is fed each step of a machine and names the law that is broken.
//!
//! Each law is a function; one that judges single outputs stands in `EACH`, one that judges whole steps in
//! `AFTER`, one that judges a session after a step in `OF_SESSION`. All they remember is the [`History`], which forgets
//! the dead.
//!
//! Tests, the model checker, fuzzers, recordings and a gateway at work all ask this one.
//!
//! Not here, since they need more than one run or a backend: 8's second half (settles), 11, 12.

mod begin;
pub mod book;
mod ends;
mod flow;
pub mod history;
mod order;
mod parts;
pub mod reference;
pub mod said;
mod sessions;

use std::fmt;

use trunkline_core::{
    ActionFault, DropCause, Endpoint, Input, Payload, SessionId, Settings, Time,
    language::{Action, BadAction},
};

use crate::{
    history::{Client, History, LinkState, Session},
    said::{Msg, Said},
};

/// A law, by the number that docs/laws.md gives it; those without stand beside the fifteen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // their text is in docs/laws.md
pub enum Law {
    Order1,
    OneSession2,
    TakeoverAndGap3,
    Isolation4,
    Fifo5,
    Silence6,
    BadActions7,
    Convergence8,
    Bounds9,
    NoSilentLoss10,
    Totality11,
    Determinism12,
    Progress13,
    Expiry14,
    Drain15,
    StaleIds,
    OneAnswer,
    Quiescence,
    DialWhenDue,
    PingDiscipline,
    LateClock,
    NothingShared,
    /// What [`crate::reference`] demands beyond the laws.
    Reference,
}

impl Law {
    /// Those that [`Laws`] judges; the others take more than one run, or a backend.
    pub const WATCHED: [Law; 19] = [
        Law::Order1,
        Law::OneSession2,
        Law::TakeoverAndGap3,
        Law::Isolation4,
        Law::Fifo5,
        Law::Silence6,
        Law::BadActions7,
        Law::Convergence8,
        Law::Bounds9,
        Law::NoSilentLoss10,
        Law::Progress13,
        Law::Expiry14,
        Law::Drain15,
        Law::StaleIds,
        Law::OneAnswer,
        Law::Quiescence,
        Law::DialWhenDue,
        Law::PingDiscipline,
        Law::Reference,
    ];

    /// Its name, as metrics and files have it.
    pub const fn name(self) -> &'static str {
        match self {
            Law::Order1 => "order",
            Law::OneSession2 => "one_session",
            Law::TakeoverAndGap3 => "takeover_and_gap",
            Law::Isolation4 => "isolation",
            Law::Fifo5 => "fifo",
            Law::Silence6 => "silence",
            Law::BadActions7 => "bad_actions",
            Law::Convergence8 => "convergence",
            Law::Bounds9 => "bounds",
            Law::NoSilentLoss10 => "no_silent_loss",
            Law::Totality11 => "totality",
            Law::Determinism12 => "determinism",
            Law::Progress13 => "progress",
            Law::Expiry14 => "expiry",
            Law::Drain15 => "drain",
            Law::StaleIds => "stale_ids",
            Law::OneAnswer => "one_answer",
            Law::Quiescence => "quiescence",
            Law::DialWhenDue => "dial_when_due",
            Law::PingDiscipline => "ping_discipline",
            Law::LateClock => "late_clock",
            Law::NothingShared => "nothing_shared",
            Law::Reference => "reference",
        }
    }
}

/// A broken law.
#[derive(Clone, PartialEq, Debug)]
pub struct Violation {
    /// Which.
    pub law: Law,
    /// When.
    pub at: Time,
    /// What was wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is broken at {}: {}", self.law, self.at.0, self.what)
    }
}

/// What a judge says: nothing, or what is wrong.
pub type Verdict = Result<(), String>;

/// Demands a condition of a judge.
#[macro_export]
macro_rules! must {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err(std::format!($($what)+));
        }
    };
}

/// One step of a machine.
pub struct Step<'a> {
    /// What happened.
    pub input: &'a Input<'a, Msg>,
    /// All that it said.
    pub said: &'a [Said],
    /// Its next deadline afterwards.
    pub next: Option<Time>,
    /// What may be said where the input can change nothing; `None` where it can.
    pub harmless: Option<Harmless>,
}

/// The answers to an input that changes nothing.
#[derive(Clone, PartialEq, Debug)]
pub struct Harmless {
    /// The facts of which one may be said.
    pub facts: Vec<Said>,
    /// Whether silence will do too.
    pub silence: bool,
    /// The law that says so.
    pub law: Law,
}

/// Judges one output; the history holds all that came before it.
type Each = fn(&History, &Step<'_>, &Said) -> Verdict;
/// Judges a whole step; the history holds all of it.
type After = fn(&History, &Step<'_>) -> Verdict;
/// Judges a session after a step.
type Of = fn(&History, &Step<'_>, &Session) -> Verdict;

const EACH: &[(Law, Each)] = &[
    (Law::Order1, order::order),
    (Law::TakeoverAndGap3, sessions::gap),
    (Law::Isolation4, sessions::isolation),
    (Law::Fifo5, order::fifo),
    (Law::Silence6, order::silence),
    (Law::Convergence8, order::close_again),
    (Law::Bounds9, flow::bounds_of_queues_and_slots),
    (Law::NoSilentLoss10, flow::counted),
    (Law::Progress13, flow::resumed_in_order),
    (Law::Expiry14, sessions::expired),
    (Law::Drain15, ends::drain),
    (Law::DialWhenDue, ends::dial),
    (Law::PingDiscipline, flow::ping),
];

const AFTER: &[(Law, After)] = &[
    (Law::OneSession2, sessions::one_session),
    (Law::TakeoverAndGap3, sessions::takeover),
    (Law::Bounds9, flow::bounds_of_parked),
    (Law::NoSilentLoss10, flow::nothing_lost),
    (Law::Progress13, ends::deadline_ahead),
    (Law::Progress13, ends::left_in_time),
    (Law::Expiry14, sessions::outlived),
    (Law::Drain15, ends::drained_in_time),
    (Law::OneAnswer, sessions::one_answer),
    (Law::DialWhenDue, ends::will_dial),
    (Law::PingDiscipline, flow::pong_in_time),
];

const OF_SESSION: &[(Law, Of)] = &[
    (Law::NoSilentLoss10, flow::nothing_lost_of),
    (Law::Reference, reference::sent_of),
    (Law::Reference, reference::stopped_of),
    (Law::Reference, reference::drained_of),
];

/// How many sessions are looked at after each step, besides those that the step concerns: what must have been said of
/// a session and was not shows then. What was said and must not be shows at once, whatever this is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Looks(pub usize);

impl Looks {
    /// All of them.
    pub const ALL: Self = Looks(usize::MAX);
    /// Few enough for a gateway at work.
    pub const FEW: Self = Looks(1);
}

/// The monitor of one machine, driven as the shell drives it: what is due is handled by `Deadline` before any
/// other input of the same time.
#[derive(Clone, Debug)]
pub struct Laws {
    history: History,
    next: Option<Time>,
    /// Whom to look at after a step; kept for its memory.
    looks: Vec<SessionId>,
}

impl Laws {
    /// For a machine that was made at time zero.
    pub fn new(settings: &Settings) -> Self {
        Laws { history: History::new(settings, Time(0), usize::MAX), next: Some(Time(0)), looks: Vec::new() }
    }

    /// For a machine at any time of its life, as its state is then; `mark` is what stands for a payload.
    pub fn begin<P: Payload>(machine: &Endpoint<P>, looks: Looks, mark: impl Fn(&P) -> Msg) -> Self {
        let snapshot = machine.snapshot();
        let Looks(looks) = looks;
        Laws { next: snapshot.next, history: History::of(&snapshot, looks, mark), looks: Vec::new() }
    }

    /// What has been seen.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Judges one step: `said` is all that the machine said to `input`, `next` its deadline afterwards.
    pub fn step(
        &mut self,
        now: Time,
        input: &Input<'_, Msg>,
        said: &[Said],
        next: Option<Time>,
    ) -> Result<(), Violation> {
        let history = &mut self.history;
        let due = self.next;
        let now = now.max(history.now);
        let broken = |law: Law| move |what: String| Violation { law, at: now, what };
        history.now = now;
        let harmless = harmless(history, input, due);
        let before = reference::Before::new(history, input);
        let step = Step { input, said, next, harmless };
        history.input(now, input, due);
        if let Some(harmless) = &step.harmless {
            nothing_changed(harmless, said).map_err(broken(harmless.law))?;
        }
        // With the link's end comes the count of what it did not confirm: it may be said before or after.
        let ends = said.iter().any(|one| matches!(one, Said::CloseLink(_)));
        let counts = |one: &&Said| {
            let cause = DropCause::Unconfirmed;
            let lost = matches!(one, Said::MessagesDropped { cause: lost, .. } if *lost == cause);
            ends && (lost || matches!(one, Said::Unconfirmed { .. }))
        };
        for one in said.iter().filter(|one| !counts(one)).chain(said.iter().filter(counts)) {
            for (law, judge) in EACH {
                judge(history, &step, one).map_err(broken(*law))?;
            }
            before.each(history, &step, one).map_err(broken(Law::Reference))?;
            history.output(input, one);
        }
        for (law, judge) in AFTER {
            judge(history, &step).map_err(broken(*law))?;
        }
        before.after(history, &step).map_err(broken(Law::Reference))?;
        history.look_at(&mut self.looks);
        for session in self.looks.iter().filter_map(|id| history.session(*id)) {
            for (law, judge) in OF_SESSION {
                judge(history, &step, session).map_err(broken(*law))?;
            }
        }
        history.forget();
        self.next = next;
        Ok(())
    }
}

/// 7, quiescence and stale ids: at most one fact says why nothing changed.
fn nothing_changed(harmless: &Harmless, said: &[Said]) -> Verdict {
    match said {
        [] => must!(harmless.silence, "no fact says why nothing changed, one of {:?} should", harmless.facts),
        [fact] => must!(harmless.facts.contains(fact), "{fact:?}, where nothing may change"),
        more => return Err(format!("{more:?}, where nothing may change")),
    }
    Ok(())
}

/// Whether `input` names nothing that it could change.
fn harmless(seen: &History, input: &Input<'_, Msg>, due: Option<Time>) -> Option<Harmless> {
    let silent = |law| Some(Harmless { facts: vec![], silence: true, law });
    let stale = |silence| Some(Harmless { facts: vec![Said::Stale], silence, law: Law::StaleIds });
    let is_due = due.is_some_and(|due| due <= seen.now);
    match input {
        _ if is_due => None,
        Input::Deadline => silent(Law::Quiescence),
        Input::Message { session, .. } => match seen.session(*session) {
            None => stale(false),
            Some(known) if known.is_live() => None,
            Some(known) => {
                let after_end =
                    Said::MessagesDropped { session: *session, messages: 1, cause: DropCause::AfterEnd };
                let mut facts = vec![after_end];
                if known.client == Client::Left {
                    facts.push(Said::Stale);
                }
                Some(Harmless { facts, silence: false, law: Law::StaleIds })
            }
        },
        Input::Kick { session } => match seen.session(*session) {
            None => stale(false),
            Some(known) if known.is_live() => None,
            Some(_) => stale(false),
        },
        Input::Left { session, .. } | Input::ClientSent { session, .. } => {
            match seen.session(*session).map(|known| known.client) {
                None => stale(false),
                Some(Client::Left) => stale(true),
                Some(_) => None,
            }
        }
        Input::LinkUp { link } => match seen.link.state {
            LinkState::Dialled if seen.link.id == *link => None,
            LinkState::Up if seen.link.id == *link => stale(true),
            _ => stale(false),
        },
        Input::LinkDown { link } if seen.link.id != *link => stale(false),
        Input::LinkDown { .. } => {
            matches!(seen.link.state, LinkState::Gone | LinkState::Closing).then(|| stale(true)).flatten()
        }
        Input::LinkSent { link, .. } | Input::Pong { link, .. } | Input::Action { link, .. }
            if !seen.is_up(*link) =>
        {
            stale(seen.link.id == *link)
        }
        Input::Pong { counter, .. } => {
            let asked = seen.link.ping.is_some_and(|(outstanding, _)| outstanding == *counter);
            if asked { None } else { Some(Harmless { law: Law::PingDiscipline, ..stale(true)? }) }
        }
        Input::Action { action, .. } => bad_action(seen, action.as_ref()).map(|(user, fault)| Harmless {
            facts: vec![Said::Ignored { user, fault }],
            silence: false,
            law: Law::BadActions7,
        }),
        Input::Drain | Input::Settings(_) if seen.drain.is_some() => silent(Law::Drain15),
        Input::Redial if seen.drain.is_some() => silent(Law::Drain15),
        Input::Redial => matches!(seen.link.state, LinkState::Gone | LinkState::Closing)
            .then(|| silent(Law::Quiescence))?,
        Input::Ask { .. }
        | Input::LinkSent { .. }
        | Input::WallClockStepped { .. }
        | Input::Drain
        | Input::Settings(_) => None,
    }
}

/// Why that action must be ignored, and for whom it was.
pub fn bad_action(
    seen: &History,
    action: Result<&Action<'_>, &BadAction>,
) -> Option<(Option<String>, ActionFault)> {
    let (Action::Send { user, .. } | Action::Close { user, .. }) = match action {
        Err(bad) => return Some((None, ActionFault::Bad(*bad))),
        Ok(action) => action,
    };
    let user = user.as_ref().map(|user| user.clone().into_owned());
    match user.as_deref().and_then(|user| seen.live(user)) {
        None => Some((user, ActionFault::NoSession)),
        Some(session) if session.opened.is_none() => Some((user, ActionFault::NotAnnounced)),
        Some(_) => None,
    }
}
