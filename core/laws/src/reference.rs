//! What backend and clients must get to see, from what has been seen: no slots, no cursors, no queues of work.
//!
//! The laws say what may never happen; this says what must, and when: who is admitted, who ends and why, what
//! each action does, what must have gone out once a step is over. It leaves the order of work within a step to
//! the machine.

use trunkline_core::{
    ActionFault, Duplicates, EndCause, Input, LinkPhase, OutagePolicy, Queued, Refusal, SessionId, Time,
    language::{Action, Status},
};

use crate::{
    Step, Verdict, bad_action,
    history::{Client, Close, History, Link, LinkState, Session, When},
    must,
    said::{Msg, Said, What},
};

/// What follows from a step's input and all that was before it.
#[derive(Clone, Debug)]
pub struct Before {
    /// To a client that asks, the answers of which one must come; `None` in it admits.
    answers: Option<Vec<Option<Refusal>>>,
    /// Whose session the step's input ends, and why.
    ends: Option<(SessionId, EndCause)>,
    /// What an action does.
    action: Option<Effect>,
}

#[derive(Clone, Debug)]
enum Effect {
    Ignored(Option<String>, ActionFault),
    Message(SessionId, String),
    Close { session: SessionId, code: u16, reason: String, replaced: bool },
}

impl Before {
    /// Before the input is applied.
    pub fn new(seen: &History, input: &Input<'_, Msg>) -> Self {
        let mut before = Before { answers: None, ends: None, action: None };
        match input {
            Input::Ask { identity, .. } => {
                let answers = answers(seen, identity.user());
                before.ends = seen.live(identity.user()).map(|old| (old.id, EndCause::TakenOver));
                before.ends.take_if(|_| !answers.contains(&None));
                before.answers = Some(answers);
            }
            Input::Left { session, cause } => {
                let live = seen.session(*session).is_some_and(|known| known.is_live());
                before.ends = live.then_some((*session, EndCause::Left(*cause)));
            }
            Input::Kick { session } => {
                let live = seen.session(*session).is_some_and(|known| known.is_live());
                before.ends = live.then_some((*session, EndCause::Kicked));
            }
            Input::Action { link, action } if seen.is_up(*link) => {
                before.action = Some(match (bad_action(seen, action.as_ref()), action) {
                    (Some((user, fault)), _) => Effect::Ignored(user, fault),
                    (None, Ok(action)) => effect(seen, action),
                    (None, Err(bad)) => Effect::Ignored(None, ActionFault::Bad(*bad)),
                });
                if let Some(Effect::Close { session, .. }) = before.action {
                    before.ends = Some((session, EndCause::Backend));
                }
            }
            _ => {}
        }
        before
    }

    /// Judges one output; `seen` holds all that came before it.
    pub fn each(&self, seen: &History, step: &Step<'_>, said: &Said) -> Verdict {
        match *said {
            Said::Ended { session, cause } => self.may_end(seen, session, cause),
            Said::Event { session, what: What::Open, .. } => may_open(seen, session),
            Said::Stop(session) => may_stop(seen, session),
            Said::StopAll => {
                let (_, most) = parked(seen);
                must!(most >= seen.settings.parked_bytes_total_max, "all are stopped at {most} bytes");
                Ok(())
            }
            Said::ResumeAll => {
                let (least, _) = parked(seen);
                must!(least <= seen.settings.parked_bytes_total_max / 2, "all are resumed at {least} bytes");
                Ok(())
            }
            Said::Ping { .. } => {
                // Until the announcement is confirmed, the machine may ask for that whenever it likes.
                let unsure = seen.link.phase != LinkPhase::Up;
                let rest = || seen.sessions.waiting().any(|session| rests(seen, session));
                must!(unsure || ping_due(seen, |at| at.from) || rest(), "a Ping that is not due");
                Ok(())
            }
            Said::Phase(phase) => may_be(seen, phase),
            Said::LinkFull => {
                must!(seen.link.full, "the link is said to be full, and is not");
                Ok(())
            }
            Said::OutageSpread { sessions } => {
                must!(spread_due(seen, |since| since.from), "a spread that is not due");
                must!(sessions == seen.lives(), "{said:?}, where {} live", seen.lives());
                Ok(())
            }
            Said::Close { session, queued, .. } => {
                let own =
                    seen.session(session).filter(|known| !known.is_live()).map_or(0, |known| known.queue);
                let others = seen.sessions.sums().over_queues - own;
                let too_slow = step.said.contains(&Said::Ended { session, cause: EndCause::TooSlow });
                let drops = too_slow || others >= seen.settings.client_queue_bytes_total_max;
                must!(
                    (queued == Queued::Drop) == drops,
                    "{said:?}, while others that close have {others} bytes"
                );
                let over =
                    |said: &Said| matches!(said, Said::Ended { session: ended, .. } if *ended == session);
                let drained = seen
                    .session(session)
                    .is_some_and(|known| matches!(known.ended, Some((_, EndCause::Drained))));
                must!(drained || step.said.iter().any(over), "{said:?}, and it has not ended");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn may_end(&self, seen: &History, id: SessionId, cause: EndCause) -> Verdict {
        let Some(session) = seen.session(id) else { return Err(format!("{id:?} ends, and is no more")) };
        must!(session.is_live(), "{id:?} ends twice: {:?}, then {cause:?}", session.ended);
        match cause {
            EndCause::Left(_) | EndCause::Backend | EndCause::TakenOver | EndCause::Kicked => {
                must!(self.ends == Some((id, cause)), "{id:?} ends by {cause:?}, expected {:?}", self.ends);
            }
            EndCause::TooSlow => {
                let settings = &seen.settings;
                let (queue, sum) = (session.queue, seen.sessions.sums().live_queues);
                let fullest = || {
                    let live = seen.sessions.iter().filter(|other| other.is_live()).rev();
                    live.max_by_key(|other| other.queue).map(|fullest| fullest.id)
                };
                let too_slow = queue >= settings.client_queue_bytes_max
                    || sum >= settings.client_queue_bytes_total_max && fullest() == Some(id);
                must!(too_slow, "{id:?} is too slow with {queue} bytes of {sum}");
            }
            EndCause::Outage => {
                let Some(turns) = &seen.spread else {
                    return Err(format!("{id:?} ends by an outage, which is none"));
                };
                let first = turns.first();
                must!(first == Some(id), "{id:?} ends by an outage before {first:?}");
                must!(turns.taken < turns.passed(seen.now).1, "{id:?} ends by an outage before its turn");
            }
            EndCause::Expired | EndCause::Drained => {}
        }
        Ok(())
    }

    /// Judges the whole step.
    pub fn after(&self, seen: &History, step: &Step<'_>) -> Verdict {
        self.answered(step)?;
        self.acted(step)?;
        if let Some((id, cause)) = self.ends
            && !step.said.iter().any(|said| matches!(said, Said::Refuse(_)))
        {
            let over = seen.session(id).is_none_or(|known| !known.is_live());
            must!(over, "{id:?} lives on after {cause:?}");
        }
        self.clients_told(step)?;
        link_told(seen)?;
        stopped(seen)?;
        ends_in_time(seen)
    }

    fn answered(&self, step: &Step<'_>) -> Verdict {
        let Some(answers) = &self.answers else { return Ok(()) };
        let answer = step.said.iter().find_map(|said| match said {
            Said::Admit(_) => Some(None),
            Said::Refuse(reason) => Some(Some(*reason)),
            _ => None,
        });
        must!(answer.is_some_and(|answer| answers.contains(&answer)), "{answer:?}, expected {answers:?}");
        Ok(())
    }

    fn acted(&self, step: &Step<'_>) -> Verdict {
        let said = |wanted: &dyn Fn(&Said) -> bool| step.said.iter().filter(|said| wanted(said)).count();
        let ignored = said(&|said| matches!(said, Said::Ignored { .. }));
        let replaced = said(&|said| matches!(said, Said::StatusReplaced(_)));
        let (ignored_expected, replaced_expected) = match &self.action {
            Some(Effect::Ignored(user, fault)) => {
                let fact = Said::Ignored { user: user.clone(), fault: *fault };
                must!(step.said.contains(&fact), "no {fact:?}");
                (1, 0)
            }
            Some(Effect::Message(to, user)) if step.said.contains(&too_slow(*to)) => {
                // Its queue was full already, or it was the fullest in sum: the message comes too late.
                let fact = Said::Ignored { user: Some(user.clone()), fault: ActionFault::NoSession };
                must!(step.said.contains(&fact), "no {fact:?}");
                (1, 0)
            }
            Some(Effect::Message(to, _)) => {
                let to = said(&|said| matches!(said, Said::Message { session, .. } if session == to));
                must!(to == 1, "{to} messages for a `send`");
                (0, 0)
            }
            Some(Effect::Close { replaced, .. }) => (0, usize::from(*replaced)),
            None => (0, 0),
        };
        must!(ignored == ignored_expected, "{ignored} actions ignored, expected {ignored_expected}");
        must!(replaced == replaced_expected, "{replaced} statuses replaced, expected {replaced_expected}");
        Ok(())
    }

    /// Each client whose session ended is told so, in the right words.
    fn clients_told(&self, step: &Step<'_>) -> Verdict {
        for said in step.said {
            let Said::Ended { session: ended, cause } = *said else { continue };
            let close = step.said.iter().find_map(|said| match said {
                Said::Close { session, code, reason, .. } if *session == ended => {
                    Some((code.get(), reason.as_str()))
                }
                _ => None,
            });
            let expected = match (cause, &self.action) {
                (EndCause::Drained, _) => {
                    let right = close.is_none_or(|close| close == GOING_AWAY);
                    must!(right, "{ended:?} was drained, and is told {close:?}");
                    continue;
                }
                (EndCause::Left(_), _) => None,
                (EndCause::TakenOver, _) => {
                    Some((1008, "Only one connection per endpoint per token bearer is allowed"))
                }
                (EndCause::Kicked, _) => Some((1008, "closed by an operator")),
                (EndCause::TooSlow, _) => Some((1013, "client too slow")),
                (EndCause::Expired, _) => Some((1008, "token expired")),
                (EndCause::Outage, _) => Some((1013, "backend unavailable")),
                (EndCause::Backend, Some(Effect::Close { code, reason, .. })) => {
                    Some((*code, reason.as_str()))
                }
                (EndCause::Backend, _) => return Err(format!("{said:?}, and no backend closed anything")),
            };
            must!(close == expected, "{said:?}: its client is told {close:?}, expected {expected:?}");
        }
        let ended_now =
            |id| step.said.iter().any(|said| matches!(said, Said::Ended { session, .. } if *session == id));
        for said in step.said {
            if let Said::Close { session, code, reason, .. } = said
                && !ended_now(*session)
            {
                let right = (code.get(), reason.as_str()) == GOING_AWAY;
                must!(right, "a drained client is told {said:?}");
            }
        }
        Ok(())
    }
}

const GOING_AWAY: (u16, &str) = (1001, "gateway is shutting down");

/// The answers to a client that asks, of which one must come.
fn answers(seen: &History, user: &str) -> Vec<Option<Refusal>> {
    if seen.drain.is_some() {
        return vec![Some(Refusal::Draining)];
    }
    let mut answers = Vec::new();
    if seen.link.state != LinkState::Up {
        let grace = seen.settings.outage.grace;
        if seen.settings.outage.policy == OutagePolicy::Close
            || seen.outage.is_some_and(|since| since.to + grace < seen.now)
        {
            return vec![Some(Refusal::BackendAway)];
        }
        if seen.outage.is_some_and(|since| since.from + grace <= seen.now) {
            answers.push(Some(Refusal::BackendAway));
        }
    }
    if seen.settings.duplicates == Duplicates::Reject && seen.live(user).is_some() {
        answers.push(Some(Refusal::Duplicate));
        return answers;
    }
    if seen.takes_slots(seen.settings.sessions_max as usize) {
        answers.push(Some(Refusal::Full));
        return answers;
    }
    answers.push(None);
    answers
}

fn effect(seen: &History, action: &Action<'_>) -> Effect {
    let (Action::Send { user, .. } | Action::Close { user, .. }) = action;
    let live = user.as_deref().and_then(|user| seen.live(user)).expect("judged not to be bad");
    let session = live.id;
    match action {
        Action::Send { .. } => Effect::Message(session, live.who.user().to_owned()),
        Action::Close { status, reason, .. } => {
            let code = match status {
                Some(Status::Code(code)) => code.get(),
                None | Some(Status::Unsendable) => 1011,
            };
            let reason = match reason {
                Some(reason) => cut(reason),
                None if code == 1011 => "Something went wrong on the backend",
                None => "Initiated by backend",
            };
            let replaced = *status == Some(Status::Unsendable);
            Effect::Close { session, code, reason: reason.to_owned(), replaced }
        }
    }
}

fn too_slow(session: SessionId) -> Said {
    Said::Ended { session, cause: EndCause::TooSlow }
}

/// At most 123 bytes of whole characters.
fn cut(reason: &str) -> &str {
    let end = (0..=reason.len().min(123)).rev().find(|end| reason.is_char_boundary(*end));
    &reason[..end.unwrap_or(0)]
}

/// Oldest first, and not before the owed closes are confirmed.
fn may_open(seen: &History, id: SessionId) -> Verdict {
    must!(seen.link.announcing.is_some(), "`open` of {id:?} while settling");
    let Some(session) = seen.session(id).filter(|session| session.listed == Some(seen.link.id)) else {
        return Ok(());
    };
    let older = seen.link.announcing.iter().flat_map(|waiting| waiting.range(..session.number));
    for older in older.take(seen.looks).filter_map(|number| seen.sessions.by_number(*number)) {
        let waits = seen.in_gap(older) != Some(false);
        must!(waits, "`open` of {id:?} before that of {:?}, who is older", older.id);
    }
    Ok(())
}

fn redelivery_waits(seen: &History) -> bool {
    seen.sessions.sums().keeping > 0
}

/// Whether it waits for nothing but the next Ping, having had its share.
fn rests(seen: &History, session: &Session) -> bool {
    let waits = !session.line.is_empty() && session.kept.is_empty();
    let spent = seen.spent(session) >= seen.settings.link.share_bytes;
    session.is_live() && session.is_open_on(&seen.link) && waits && spent
}

/// Bytes parked: without and with those that are to be sent again.
fn parked(seen: &History) -> (usize, usize) {
    let sums = seen.sessions.sums();
    (sums.parked, sums.parked + sums.kept)
}

fn may_stop(seen: &History, id: SessionId) -> Verdict {
    let Some(session) = seen.session(id) else { return Ok(()) };
    // Who is drained is closed later; until then nothing more is read from its client.
    if matches!(session.ended, Some((_, EndCause::Drained))) {
        return Ok(());
    }
    must!(session.waiting() > 0, "{id:?} is stopped, and has nothing parked");
    let full = session.is_open_on(&seen.link) && seen.link.full;
    let bound = session.parked() >= seen.settings.parked_bytes_max;
    let why = full || bound || redelivery_waits(seen) || rests(seen, session);
    must!(why, "{id:?} is stopped with {} bytes parked", session.parked());
    Ok(())
}

/// Whether a Ping is to go, though nobody waits for it, counting from the edge of a time that `edge` picks.
fn ping_due(seen: &History, edge: impl Fn(When) -> Time) -> bool {
    let (link, settings) = (&seen.link, &seen.settings.link);
    if link.leaves_by.is_some() && link.unpinged.since.is_some() {
        return true;
    }
    match link.unpinged.since {
        None => link.calm_since + settings.ping_interval <= seen.now,
        Some(first) => {
            link.unpinged.bytes >= settings.high_bytes / 4 || edge(first) + settings.confirm_delay <= seen.now
        }
    }
}

/// Whether held clients are to be closed, counting from the edge of the outage's start that `edge` picks.
fn spread_due(seen: &History, edge: impl Fn(&When) -> Time) -> bool {
    let away = matches!(seen.link.state, LinkState::Gone | LinkState::Dialled);
    let over = |since: &When| {
        seen.settings.outage.policy == OutagePolicy::Close
            || edge(since) + seen.settings.outage.grace <= seen.now
    };
    away && seen.spread.is_none() && seen.outage.as_ref().is_some_and(over)
}

fn may_be(seen: &History, phase: LinkPhase) -> Verdict {
    let (link, was) = (&seen.link, seen.link.phase);
    must!(phase != was, "the link is said to be {phase:?} twice");
    let up = link.state == LinkState::Up;
    let right = match phase {
        LinkPhase::Down => !up,
        LinkPhase::Settling => up && was == LinkPhase::Down && link.announcing.is_none(),
        LinkPhase::Announcing => up && link.announcing.is_some(),
        LinkPhase::Up => up && announced(seen),
    };
    must!(right, "the link is said to be {phase:?} after {was:?}");
    Ok(())
}

/// Whether all who were live when announcing began have been opened, and that is confirmed.
fn announced(seen: &History) -> bool {
    let done = |session: &Session| {
        !session.is_live()
            || session.is_open_on(&seen.link) && session.opened.is_some_and(|opened| opened.confirmed)
            || !session.is_open_on(&seen.link) && seen.in_gap(session) != Some(false)
    };
    let listed = |session: &&Session| session.listed == Some(seen.link.id);
    seen.link.announcing.is_some() && seen.sessions.iter().filter(listed).all(done)
}

/// What of a session must have gone out on a link that is up and takes events.
pub(crate) fn sent_of(seen: &History, _: &Step<'_>, session: &Session) -> Verdict {
    let (id, open) = (session.id, session.is_open_on(&seen.link));
    let rests = rests(seen, session);
    let late = rests && seen.link.ping.is_none();
    must!(!late, "{id:?} waits for a Ping, which does not go");
    if seen.link.state != LinkState::Up || seen.link.full {
        return Ok(());
    }
    must!(session.close != Close::Owed, "the link takes events, and `close` of {id:?} waits");
    if seen.link.announcing.is_none() {
        return Ok(());
    }
    let waits = session.is_live() && !open && seen.in_gap(session) == Some(false);
    must!(!waits, "the link takes events, and `open` of {id:?} waits");
    must!(
        !open || session.kept.is_empty(),
        "the link takes events, and what is to be sent again of {id:?} waits"
    );
    must!(
        !open || redelivery_waits(seen) || session.line.is_empty() || rests,
        "the link takes events, and {} messages of {id:?} wait",
        session.line.len()
    );
    Ok(())
}

/// The link's state, fullness and Pings, as they must be after a step.
fn link_told(seen: &History) -> Verdict {
    let link: &Link = &seen.link;
    if link.state != LinkState::Up {
        let down = link.phase == LinkPhase::Down || link.state == LinkState::Closing;
        must!(down, "the link is {:?}, and said to be {:?}", link.state, link.phase);
        // While draining, the sessions end at their turns of the drain.
        let due = spread_due(seen, |since| since.to) && seen.lives() > 0 && seen.drain.is_none();
        must!(!due, "held clients are to be closed, and are not");
        return Ok(());
    }
    must!(
        link.told_full == link.full,
        "the link is full: {}, and said to be so: {}",
        link.full,
        link.told_full
    );
    let calm = link.unpinged.since.is_none() && link.ping.is_none();
    let right = match link.phase {
        LinkPhase::Down => false,
        LinkPhase::Settling => link.announcing.is_none(),
        LinkPhase::Announcing => link.announcing.is_some() && !(calm && seen.all_open()),
        LinkPhase::Up => true,
    };
    must!(right, "the link is said to be {:?}", link.phase);
    let late = link.ping.is_none() && ping_due(seen, |at| at.to);
    must!(!late, "a Ping is due, and does not go");
    Ok(())
}

/// Whether all must be stopped, and whether they may no longer be.
fn stopped(seen: &History) -> Verdict {
    let (least, most) = parked(seen);
    let total_max = seen.settings.parked_bytes_total_max;
    must!(seen.stop_all || least < total_max, "{least} bytes are parked, and somebody may be read from");
    must!(!seen.stop_all || most > total_max / 2, "{most} bytes are parked, and nobody is read from");
    Ok(())
}

/// Whether a client must be stopped, and whether it may no longer be.
pub(crate) fn stopped_of(seen: &History, step: &Step<'_>, session: &Session) -> Verdict {
    if !session.is_live() || session.client != Client::In {
        return Ok(());
    }
    let id = session.id;
    let takes = seen.link.state == LinkState::Up && !seen.link.full;
    let held = session.stopped.is_some() && session.waiting() == 0 && takes;
    must!(!held, "{id:?} stays stopped, and nothing of it waits");
    let spoke = matches!(step.input, Input::Message { session, .. } if *session == id);
    if spoke && !session.line.is_empty() && session.stopped.is_none() {
        let full = session.is_open_on(&seen.link) && seen.link.full;
        must!(!full, "{id:?} is read from, and the link is full");
        must!(!rests(seen, session), "{id:?} is read from, and has had its share");
        let parked = session.parked();
        must!(parked < seen.settings.parked_bytes_max, "{id:?} is read from, with {parked} bytes parked");
    }
    Ok(())
}

/// Who must be over, and told so.
fn ends_in_time(seen: &History) -> Verdict {
    if let Some(turns) = &seen.spread
        && seen.link.state != LinkState::Up
        && seen.drain.is_none()
    {
        let (late, first) = (turns.first < turns.passed(seen.now).0, turns.first());
        must!(!late, "the turn of {first:?} in the outage has come, and it is live");
    }
    let unsettled = |session: &Session| {
        let owed = matches!(session.close, Close::Owed | Close::Said { .. });
        session.client == Client::In || owed && !given_up(seen, session)
    };
    let settled = || seen.lives() == 0 && seen.gaps_over() && !seen.sessions.over().any(unsettled);
    must!(seen.drain.is_none() || seen.empty || !settled(), "nobody is left, and empty is not said");
    Ok(())
}

fn given_up(seen: &History, session: &Session) -> bool {
    seen.given_up_at(session).is_some_and(|at| at.to <= seen.now)
}

/// Who is drained is told so once all is done.
pub(crate) fn drained_of(seen: &History, _: &Step<'_>, session: &Session) -> Verdict {
    if !matches!(session.ended, Some((_, EndCause::Drained))) || session.client != Client::In {
        return Ok(());
    }
    let given_up = given_up(seen, session);
    let gap_over = |free: Time| free <= seen.now;
    let user_gap_over = || seen.free_at.get(session.who.user()).is_none_or(|free| gap_over(*free));
    let finished = match session.close {
        Close::NotDue => true,
        // It may have left on an earlier link.
        Close::Owed | Close::Said { free: None, .. } => given_up && user_gap_over(),
        Close::Said { free: Some(free), .. } => given_up && gap_over(free),
        Close::Confirmed { free } => free.is_none_or(gap_over),
    };
    must!(!finished, "{:?} is drained, and its client is not closed", session.id);
    Ok(())
}
