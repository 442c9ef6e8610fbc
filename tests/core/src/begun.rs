//! The laws begun in the middle of a run: of a machine that keeps them they say nothing, and what is wrong they see as well
//! as those that have seen it all.

use std::collections::BTreeMap;

use trunkline_core::{Endpoint, SessionId, Time};

use crate::{
    drive::{Failure, Line, record},
    laws::{Law, Laws, Looks, Violation},
    said::{Msg, Said, What, tell},
};

/// Begins at some steps of the scenario, looking at all sessions or at few, and goes on from each to the end.
pub fn run_begun(bytes: &[u8]) -> Result<(), Box<Failure>> {
    let (settings, log) = record(bytes);
    let mut endpoint = Endpoint::<Msg>::new(settings.clone(), Time(0));
    let mut watches = vec![Laws::begin(&endpoint, Looks(1), |msg| *msg)];
    for (index, (now, input, said)) in log.iter().enumerate() {
        tell(&mut endpoint, *now, input.clone());
        for laws in &mut watches {
            if let Err(Violation { law, at, what }) = laws.step(*now, input, said, endpoint.next_deadline()) {
                let what = format!("to one who has not seen the beginning: {what}");
                let violation = Violation { law, at, what };
                return Err(Box::new(Failure { settings, log: log[..=index].to_vec(), violation }));
            }
        }
        if (index + bytes.len()).is_multiple_of(13) {
            let looks = [Looks::ALL, Looks(1)][index % 2];
            watches.push(Laws::begin(&endpoint, looks, |msg| *msg));
        }
    }
    Ok(())
}

/// How often a law was seen to be broken by those who have seen all, and of these by those who began later.
pub type Seen = BTreeMap<String, (u64, u64)>;

/// Spoils one step of the scenario in one way, which the bytes choose: what those see who have seen all, and those who
/// began later. Each is asked until the end of the run.
pub fn run_spoilt(bytes: &[u8], seen: &mut Seen) {
    let (settings, mut log) = record(bytes);
    let choice =
        bytes.iter().fold(bytes.len(), |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
    if log.len() < 4 || !spoil(&mut log, choice) {
        return;
    }
    let mut endpoint = Endpoint::<Msg>::new(settings, Time(0));
    let mut all = Some(Laws::begin(&endpoint, Looks::ALL, |msg| *msg));
    let (spoilt, mut late, mut late_sees) = (spoilt_step(&log, choice), None, false);
    let mut broken: Option<Law> = None;
    for (index, (now, input, said)) in log.iter().enumerate() {
        if index == spoilt - spoilt.min(1 + choice % 7) {
            late = Some(Laws::begin(&endpoint, Looks::ALL, |msg| *msg));
        }
        tell(&mut endpoint, *now, input.clone());
        let next = endpoint.next_deadline();
        let judge = |laws: &mut Option<Laws>| {
            let judged = laws.as_mut().map(|laws| laws.step(*now, input, said, next));
            let violation = judged.and_then(Result::err);
            if violation.is_some() {
                *laws = None;
            }
            violation
        };
        broken = broken.or(judge(&mut all).map(|violation| violation.law));
        late_sees |= judge(&mut late).is_some();
    }
    if let Some(law) = broken {
        let (of_all, of_late) = seen.entry(format!("{law:?}")).or_default();
        *of_all += 1;
        *of_late += u64::from(late_sees);
    }
}

/// The step that is spoilt: in the second half, where there is something to spoil.
fn spoilt_step(log: &[Line], choice: usize) -> usize {
    let from = log.len() / 2 + choice % (log.len() / 2);
    let speaks = |index: &usize| !log[*index].2.is_empty();
    (from..log.len()).chain((0..from).rev()).find(speaks).unwrap_or(0)
}

/// Takes away, doubles, swaps or alters what was said in one step. Whether anything is different.
fn spoil(log: &mut [Line], choice: usize) -> bool {
    let step = spoilt_step(log, choice);
    let said = &mut log[step].2;
    let Some(which) = (choice / 11).checked_rem(said.len()) else { return false };
    let before = said.clone();
    match choice / 101 % 4 {
        0 => drop(said.remove(which)),
        1 => said.push(said[which].clone()),
        2 => said.swap(which, before.len() - 1 - which),
        _ => alter(&mut said[which]),
    }
    *said != before
}

fn alter(said: &mut Said) {
    match said {
        Said::Event { what: What::Message(msg), .. } => msg.number += 1,
        Said::Event { what: what @ What::Open, .. } => *what = What::Close,
        Said::Event { what: what @ What::Close, .. } => *what = What::Open,
        Said::Message { session, .. }
        | Said::Stop(session)
        | Said::Resume(session)
        | Said::Admit(session) => {
            *session = SessionId { slot: session.slot ^ 1, ..*session };
        }
        Said::Ping { counter, .. } => *counter = 0,
        Said::MessagesDropped { messages, .. } => *messages += 1,
        Said::Unconfirmed { messages } => *messages += 1,
        Said::QueueDropped { bytes, .. } => *bytes += 1,
        Said::Dial(link) => link.0 += 1,
        Said::Stale => *said = Said::StopAll,
        _ => {}
    }
}
