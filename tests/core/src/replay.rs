//! What a recorded scenario must still say when it is played otherwise: with deadlines that fire late, beside another
//! endpoint, with somebody asking to come in after each step, written down and read again, and with sizes beyond all
//! bounds.

use std::panic::{AssertUnwindSafe, catch_unwind};

use trunkline_core::{Endpoint, Identity, Input, Millis, Output, Refusal, Settings, Time};

use crate::{
    drive::{Failure, Line, Reached, record},
    history::{History, LinkState},
    laws::{Law, Laws, Verdict, Violation, must},
    said::{Msg, Said, tell},
    world::USERS,
};

/// Late clock: what is due is done by a `Deadline` that comes late as by one that comes in time, equal but for when.
///
/// That is so for as long as nothing else has become due meanwhile: what a step sets a time for, it counts from when
/// it was made. Every third time a deadline is made late twice: by a part of the time to the next one, and by all of
/// it but the last millisecond.
pub fn run_late(bytes: &[u8]) -> Result<Reached, Box<Failure>> {
    let (settings, log) = record(bytes);
    let mut reached = Reached::new();
    let mut endpoint = Endpoint::<Msg>::new(settings.clone(), Time(0));
    for (index, (now, input, _)) in log.iter().enumerate() {
        if let Some(due) = endpoint.next_deadline().filter(|_| index % 3 == log.len() % 3) {
            let mut punctual = endpoint.clone();
            let in_time = tell(&mut punctual, due, Input::Deadline);
            let last = punctual.next_deadline().map_or(due + Millis(1_000), |next| Time(next.0 - 1));
            for at in [Time(due.0 + (last - due).0 / 3), last] {
                let late = tell(&mut endpoint.clone(), at, Input::Deadline);
                if late != in_time {
                    let what = format!("due at {}: {in_time:?}, and at {}: {late:?}", due.0, at.0);
                    return Err(failed(Law::LateClock, &settings, &log[..index], due, what));
                }
                *reached.entry(lateness(&in_time, at > due)).or_default() += 1;
            }
        }
        tell(&mut endpoint, *now, input.clone());
    }
    Ok(reached)
}

/// What `run_late` must have reached.
pub const LATE_CASES: &[&str] = &["late, and something said", "late, and nothing to say"];

fn lateness(said: &[Said], late: bool) -> &'static str {
    match (late, said) {
        (false, _) => "in time",
        (true, []) => "late, and nothing to say",
        (true, _) => "late, and something said",
    }
}

/// Two interleaved machines: each of two scenarios, played in turns, says what it says alone.
///
/// Both have the same users and the same ids, so that whatever they shared would show.
pub fn run_interleaved(bytes: &[u8]) -> Result<(), Box<Failure>> {
    let (one, another) = bytes.split_at(bytes.len() / 2);
    let runs = [record(one), record(another)];
    let mut endpoints = runs.each_ref().map(|(settings, _)| Endpoint::new(settings.clone(), Time(0)));
    let longest = runs.iter().map(|(_, log)| log.len()).max().unwrap_or(0);
    for index in 0..longest {
        for ((settings, log), endpoint) in runs.iter().zip(&mut endpoints) {
            let Some((now, input, said)) = log.get(index) else { continue };
            let again = tell(endpoint, *now, input.clone());
            if again != *said {
                let what = format!("beside another machine it says {again:?}");
                return Err(failed(Law::NothingShared, settings, &log[..=index], *now, what));
            }
        }
    }
    Ok(())
}

/// One answer: what [`Endpoint::refusal`] and [`Endpoint::accepts`] foretell is what who asks then gets.
pub fn run_asking(bytes: &[u8]) -> Result<(), Box<Failure>> {
    let (settings, log) = record(bytes);
    let mut endpoint = Endpoint::<Msg>::new(settings.clone(), Time(0));
    for (index, (now, input, _)) in log.iter().enumerate() {
        tell(&mut endpoint, *now, input.clone());
        let user = USERS.get(index % (USERS.len() + 1)).unwrap_or(&"a stranger");
        let (foretold, open) = (endpoint.refusal(user), endpoint.accepts());
        let asks = Input::Ask { identity: Identity::new(user, []), expires: None };
        let refused = tell(&mut endpoint.clone(), *now, asks).into_iter().find_map(|said| match said {
            Said::Refuse(reason) => Some(reason),
            _ => None,
        });
        if refused != foretold || open == matches!(refused, Some(Refusal::Draining | Refusal::BackendAway)) {
            let what = format!("{user:?} gets {refused:?}, foretold were {foretold:?} and {open}");
            return Err(failed(Law::OneAnswer, &settings, &log[..=index], *now, what));
        }
    }
    Ok(())
}

/// A machine that was written down and read again says what the one that was not says, and holds what it holds.
///
/// That is done a few times in each run.
pub fn run_restored(bytes: &[u8]) -> Result<(), Box<Failure>> {
    let (settings, log) = record(bytes);
    let mut endpoint = Endpoint::<Msg>::new(settings.clone(), Time(0));
    for (index, (now, input, said)) in log.iter().enumerate() {
        if index % 61 == log.len() % 61 {
            let written = serde_json::to_string(&endpoint).expect("a machine can be written down");
            endpoint = serde_json::from_str(&written).expect("what was written can be read");
        }
        let again = tell(&mut endpoint, *now, input.clone());
        if again != *said {
            let what = format!("written down and read again it says {again:?}");
            return Err(failed(Law::Determinism12, &settings, &log[..=index], *now, what));
        }
    }
    Ok(())
}

/// What an operator is told, [`Endpoint::figures`] and its live sessions, is what was seen.
pub fn run_surveyed(bytes: &[u8]) -> Result<(), Box<Failure>> {
    let (settings, log) = record(bytes);
    let mut endpoint = Endpoint::<Msg>::new(settings.clone(), Time(0));
    let mut laws = Laws::new(&settings);
    for (index, (now, input, _)) in log.iter().enumerate() {
        let said = tell(&mut endpoint, *now, input.clone());
        // What breaks a law is told by `run`.
        if laws.step(*now, input, &said, endpoint.next_deadline()).is_err() {
            return Ok(());
        }
        if let Err(what) = survey(&endpoint, laws.history()) {
            return Err(failed(Law::Reference, &settings, &log[..=index], *now, what));
        }
    }
    Ok(())
}

fn survey(endpoint: &Endpoint<Msg>, seen: &History) -> Verdict {
    let figures = endpoint.figures();
    let full = seen.link.state == LinkState::Up && seen.link.full;
    let told = (figures.live, figures.all_stopped, figures.link_full);
    must!(told == (seen.lives(), seen.stop_all, full), "{figures:?}, where {} live", seen.lives());
    let mut live: Vec<_> = seen.sessions.iter().filter(|session| session.is_live()).collect();
    live.sort_unstable_by_key(|session| session.id);
    // In parts, as a shell walks over them.
    let parts = (0..endpoint.slots()).step_by(2);
    let views: Vec<_> = parts.flat_map(|from| endpoint.sessions_in(from..from + 2)).collect();
    must!(views.len() == live.len(), "{views:?}, where {live:?} live");
    for (view, known) in views.iter().zip(live) {
        let told = (view.id, view.identity, view.announced, view.stopped, view.queued_bytes);
        let right = (known.id, &known.who, known.opened.is_some(), known.stopped.is_some(), known.queue);
        must!(told == right, "{view:?}, where it is {known:?}");
        let found = [endpoint.session(view.id), endpoint.session_of(view.identity.user())];
        must!(found == [Some(*view); 2], "{view:?} is found as {found:?}");
    }
    must!(endpoint.session_of("a stranger").is_none(), "a stranger has a session");
    Ok(())
}

/// 11: whatever a sink and payloads say of their sizes, nothing panics, overflows or loops.
///
/// What they say is taken from the end of all numbers; what the machine makes of it is not looked at.
pub fn run_immense(bytes: &[u8]) -> Result<(), Box<Failure>> {
    const SIZES: [usize; 4] = [usize::MAX, usize::MAX / 2, usize::MAX - 1, 0];
    let (settings, log) = record(bytes);
    let mut endpoint = Endpoint::<Msg>::new(settings.clone(), Time(0));
    for (index, (now, input, _)) in log.iter().enumerate() {
        let mut input = input.clone();
        if let Input::Message { payload, .. } = &mut input {
            payload.size = SIZES[index % SIZES.len()];
        }
        let handled = catch_unwind(AssertUnwindSafe(|| {
            endpoint.handle(*now, input, &mut |_: Output<'_, Msg>| SIZES[index / 2 % SIZES.len()]);
        }));
        if handled.is_err() {
            let what = "a panic over sizes without bounds".to_owned();
            return Err(failed(Law::Totality11, &settings, &log[..=index], *now, what));
        }
    }
    Ok(())
}

fn failed(law: Law, settings: &Settings, log: &[Line], at: Time, what: String) -> Box<Failure> {
    let violation = Violation { law, at, what };
    Box::new(Failure { settings: settings.clone(), log: log.to_vec(), violation })
}
