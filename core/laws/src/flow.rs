//! 9, 10, 13 and pings: how much there may be of what, and where it went.

use trunkline_core::{DropCause, Input, Millis};

use crate::{Step, Verdict, must};
use crate::{
    history::{Client, History, LinkState, PARKED_OVERHEAD, Session},
    said::{Said, What},
};

/// 9: no event goes to a link above its mark, no message to a link of a session that has had its share, no message to a client whose queue is full, no session beyond the slots, none into a slot that is taken.
pub(super) fn bounds_of_queues_and_slots(seen: &History, _: &Step<'_>, said: &Said) -> Verdict {
    match *said {
        Said::Event { session, what, .. } => {
            must!(
                !seen.link.full,
                "an event for a full link: {} bytes queued, {} unconfirmed",
                seen.link.queued(),
                seen.link.unconfirmed()
            );
            // What is sent again, and what goes before a `close`, goes whatever it comes to.
            let new = |known: &&Session| known.is_live() && known.kept.is_empty();
            let spent = seen.session(session).filter(new).map_or(0, |known| seen.spent(known));
            let has_share = !matches!(what, What::Message(_)) || spent < seen.settings.link.share_bytes;
            must!(has_share, "{said:?}, where {spent} bytes of it went since the last Ping");
        }
        Said::Message { session, .. } => {
            let queue = seen.session(session).map_or(0, |known| known.queue);
            must!(queue < seen.settings.client_queue_bytes_max, "{said:?}, where {queue} bytes are queued");
            let total = seen.sessions.sums().live_queues;
            let max = seen.settings.client_queue_bytes_total_max;
            must!(total < max, "{said:?}, where {total} bytes are queued for all clients");
        }
        Said::Admit(id) => {
            let max = seen.settings.sessions_max;
            must!(!seen.takes_slots(max as usize), "{id:?} admitted, where all {max} slots are taken");
            must!(id.slot < seen.slots_max, "{id:?} admitted beyond {} slots", seen.slots_max);
            must!(
                !seen.sessions.in_slot(id.slot).any(|other| seen.holds_slot(other)),
                "{id:?} admitted into a slot that is taken"
            );
            must!(seen.session(id).is_none(), "{id:?} minted twice");
        }
        _ => {}
    }
    Ok(())
}

/// 9: parked bytes exceed their bounds by no more than the item that crossed them.
pub(super) fn bounds_of_parked(seen: &History, step: &Step<'_>) -> Verdict {
    let settings = &seen.settings;
    if let Input::Message { session, payload } = step.input
        && step.harmless.is_none()
    {
        let last = payload.size + PARKED_OVERHEAD;
        let parked = seen.session(*session).map_or(0, |session| session.parked());
        must!(
            parked.saturating_sub(last) <= settings.parked_bytes_max,
            "{session:?} has parked {parked} bytes"
        );
        let total = seen.sessions.sums().parked;
        let max = settings.parked_bytes_total_max;
        must!(total.saturating_sub(last) <= max, "{total} bytes are parked in sum");
    }
    Ok(())
}

/// 10: facts count exactly what was lost.
pub(super) fn counted(seen: &History, _: &Step<'_>, said: &Said) -> Verdict {
    match *said {
        Said::MessagesDropped { session, messages, cause } => {
            let lost = seen.session(session).map_or(0, |known| match cause {
                DropCause::Parked => known.line.len(),
                DropCause::Unconfirmed => known.kept.len() + known.lost,
                DropCause::AfterEnd => 1,
            });
            // What was sent over a link and what waited to be sent again may be counted one after the other.
            let right = messages == lost || cause == DropCause::Unconfirmed && messages < lost;
            must!(right && messages > 0, "{said:?}, where {lost} were lost");
        }
        Said::QueueDropped { session, bytes } => {
            let lost = seen.session(session).map_or(0, |known| known.queue + known.queue_lost);
            must!(bytes == lost && lost > 0, "{said:?}, where {lost} were lost");
        }
        Said::Unconfirmed { messages } => {
            must!(messages == seen.lost && seen.lost > 0, "{said:?}, where {} were lost", seen.lost);
        }
        Said::Event { session, what: What::Close, .. } => {
            let left = seen.session(session).map_or(0, |known| known.line.len() + known.kept.len());
            must!(left == 0, "`close` of {session:?}, of which {left} messages wait");
        }
        _ => {}
    }
    Ok(())
}

/// 10: after each step all of a session that was lost has been counted.
pub(super) fn nothing_lost_of(seen: &History, _: &Step<'_>, session: &Session) -> Verdict {
    let (id, waiting) = (session.id, session.waiting());
    must!(session.lost == 0, "{} unconfirmed messages of {id:?} are not counted", session.lost);
    must!(session.queue_lost == 0, "{} bytes queued for {id:?} are not counted", session.queue_lost);
    let may_wait = session.is_live() || session.follows(&seen.link);
    must!(may_wait || waiting == 0, "{waiting} messages of {id:?}, which has ended, are not counted");
    Ok(())
}

/// 10: after each step all that was lost with a link has been counted, and else only what was of sessions that are over.
pub(super) fn nothing_lost(seen: &History, step: &Step<'_>) -> Verdict {
    must!(seen.lost == 0, "{} unconfirmed messages are not counted", seen.lost);
    for said in step.said {
        if let Said::MessagesDropped { session, .. } | Said::QueueDropped { session, .. } = *said {
            let live = seen.session(session).is_some_and(|known| known.is_live());
            must!(!live, "{said:?} of a live session");
        }
    }
    Ok(())
}

/// 13: who is resumed has nothing parked, and nobody who was stopped earlier is passed over.
pub(super) fn resumed_in_order(seen: &History, _: &Step<'_>, said: &Said) -> Verdict {
    let Said::Resume(id) = *said else { return Ok(()) };
    let Some(known) = seen.session(id) else { return Ok(()) };
    let Some(turn) = known.stopped else { return Err(format!("{id:?} is resumed, and was not stopped")) };
    let waiting = known.waiting();
    // Who waits for its `open` may park up to its bound, also if a full link had stopped it earlier.
    let parks = !known.is_open_on(&seen.link) && known.parked() < seen.settings.parked_bytes_max;
    must!(waiting == 0 || parks, "{id:?} is resumed, and {waiting} of its messages wait");
    let mut earlier = seen.sessions.stopped_before(turn).take(seen.looks);
    let passed_over = earlier.find(|other| other.is_live() && other.waiting() == 0);
    must!(passed_over.is_none(), "{id:?} is resumed before {:?}", passed_over.map(|other| other.id));
    Ok(())
}

/// One Ping outstanding, their counters rise, and only one that stayed unanswered breaks the link.
pub(super) fn ping(seen: &History, step: &Step<'_>, said: &Said) -> Verdict {
    match *said {
        Said::Ping { counter, .. } => {
            must!(seen.link.ping.is_none(), "Ping {counter}, where {:?} is outstanding", seen.link.ping);
            must!(counter > seen.pings, "Ping {counter} after Ping {}", seen.pings);
        }
        Said::PongTimeout => {
            let timeout: Millis = seen.settings.link.pong_timeout;
            let over = seen.link.ping.is_some_and(|(_, at)| at.from + timeout <= seen.now);
            must!(
                over && seen.link.state == LinkState::Up,
                "PongTimeout, where {:?} is outstanding",
                seen.link.ping
            );
        }
        Said::Abort(link) => {
            let left = match seen.link.state {
                LinkState::Dialled => *step.input == Input::Redial,
                _ => seen.link.leaves_by.is_some_and(|by| by <= seen.now),
            };
            let ends = |said: &Said| matches!(said, Said::PongTimeout | Said::Empty { .. });
            let why = left || step.said.iter().any(ends);
            let there = seen.link.id == link && seen.link.state != LinkState::Gone;
            must!(why && there, "Abort of {link:?}, where {:?} is {:?}", seen.link.id, seen.link.state);
        }
        Said::Stop(session) => {
            let stopped = seen.session(session).is_some_and(|known| known.stopped.is_some());
            must!(!stopped, "{session:?} is stopped twice");
            let client = seen.session(session).map(|known| known.client);
            must!(client == Some(Client::In), "{session:?} is stopped, and is {client:?}");
        }
        Said::StopAll => must!(!seen.stop_all, "all are stopped twice"),
        Said::ResumeAll => must!(seen.stop_all, "all are resumed, and were not stopped"),
        _ => {}
    }
    Ok(())
}

/// A Ping that stays unanswered for the timeout breaks the link.
pub(super) fn pong_in_time(seen: &History, _: &Step<'_>) -> Verdict {
    let timeout = seen.settings.link.pong_timeout;
    let over = seen.link.ping.is_some_and(|(_, at)| at.to + timeout <= seen.now);
    let up = seen.link.state == LinkState::Up;
    must!(!(up && over), "{:?} stays unanswered", seen.link.ping);
    Ok(())
}
