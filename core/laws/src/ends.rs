//! 13, 15 and dialling: what comes when it is due, and how all ends.

use trunkline_core::EndCause;

use crate::{Step, Verdict, must};
use crate::{
    history::{Client, Close, History, LinkState, Session},
    said::Said,
};

/// 13: what was due is done, so the next deadline lies ahead.
pub(super) fn deadline_ahead(seen: &History, step: &Step<'_>) -> Verdict {
    must!(step.next.is_none_or(|next| next > seen.now), "the next deadline, {:?}, has passed", step.next);
    Ok(())
}

/// 15: nobody is admitted; ends come at their turn; a client is closed once its `close` is confirmed, or given
/// up, and its gap is over; empty is said once, when nobody is left.
pub(super) fn drain(seen: &History, step: &Step<'_>, said: &Said) -> Verdict {
    match *said {
        Said::Admit(id) => must!(seen.drain.is_none(), "{id:?} is admitted while draining"),
        Said::Ended { session, cause: EndCause::Drained } => {
            let Some(turns) = &seen.drain else {
                return Err(format!("{session:?} is drained without a drain"));
            };
            let turns_passed = turns.passed(seen.now).1;
            let at_start = seen.session(session).is_some_and(|known| known.number <= turns.last_number);
            must!(at_start, "{session:?} is drained, and was not live at the start");
            let first = turns.first();
            must!(first == Some(session), "{session:?} is drained before {first:?}, who is older");
            must!(turns.taken < turns_passed, "{session:?} is drained before its turn");
        }
        Said::Close { session, .. } => {
            let Some(known) = seen.session(session) else { return Ok(()) };
            if matches!(known.ended, Some((_, EndCause::Drained))) {
                may_close(seen, known)?;
            }
        }
        Said::Empty { unconfirmed_closes } => {
            must!(!seen.empty, "empty is said twice");
            must!(seen.drain.is_some(), "empty is said without a drain");
            let owed = |session: &Session| matches!(session.close, Close::Owed | Close::Said { .. });
            let left = |session: &Session| {
                session.is_live()
                    || session.client == Client::In
                    || owed(session) && seen.given_up_at(session).is_none_or(|at| at.from > seen.now)
            };
            let someone = seen.sessions.iter().find(|session| left(session)).map(|session| session.id);
            must!(someone.is_none(), "empty, and {someone:?} is left");
            let unconfirmed = seen.sessions.over().filter(|session| owed(session)).count() as u64;
            must!(
                unconfirmed <= unconfirmed_closes,
                "{unconfirmed_closes} closes are said to be unconfirmed, {unconfirmed} are"
            );
            let closes = step.said.iter().any(|said| matches!(said, Said::CloseLink(_)));
            let there = matches!(seen.link.state, LinkState::Up | LinkState::Closing);
            // One that was left may have been closed in the same step.
            must!(closes || !there, "empty, and the link is not closed");
        }
        Said::CloseLink(link) => {
            let empty = step.said.iter().any(|said| matches!(said, Said::Empty { .. }));
            let left = seen.link.leaves_by.is_some() && seen.link.is_calm();
            must!(empty || left, "{link:?} is closed before all is empty, or confirmed where it is left");
        }
        _ => {}
    }
    Ok(())
}

/// Whether the client of a drained session may be told to go.
fn may_close(seen: &History, session: &Session) -> Verdict {
    let id = session.id;
    let given_up = seen.given_up_at(session).is_some_and(|at| at.from <= seen.now);
    let free = match session.close {
        Close::NotDue => return Ok(()),
        Close::Owed | Close::Said { .. } => {
            must!(given_up, "the client of {id:?} is closed before its `close` is confirmed");
            return Ok(());
        }
        Close::Confirmed { free } => free,
    };
    let over = free.is_some_and(|free| free <= seen.now);
    must!(over || given_up, "the client of {id:?} is closed within its gap");
    Ok(())
}

/// 15: whose turn has come is over.
pub(super) fn drained_in_time(seen: &History, _: &Step<'_>) -> Verdict {
    let Some(turns) = &seen.drain else { return Ok(()) };
    let first = turns.first();
    must!(turns.first >= turns.passed(seen.now).0, "the turn of {first:?} has come, and it is live");
    Ok(())
}

/// 13: a link that is left is gone once all that it has taken is confirmed, or its time is up.
pub(super) fn left_in_time(seen: &History, _: &Step<'_>) -> Verdict {
    let link = &seen.link;
    if let (LinkState::Up, Some(leaves_by)) = (link.state, link.leaves_by) {
        must!(!link.is_calm(), "{:?} is left, all is confirmed, and it is there", link.id);
        must!(leaves_by > seen.now, "{:?} is left, and still there at {:?}", link.id, seen.now);
    }
    Ok(())
}

/// A dial is asked for when it is due, not before the least time has passed, and of the next link.
pub(super) fn dial(seen: &History, step: &Step<'_>, said: &Said) -> Verdict {
    let Said::Dial(link) = *said else { return Ok(()) };
    must!(seen.link.state == LinkState::Gone, "{said:?}, where {:?} is {:?}", seen.link.id, seen.link.state);
    must!(link.0 == seen.link.id.0 + 1, "{said:?} after {:?}", seen.link.id);
    must!(!seen.empty, "{said:?} after all is empty");
    let changed = matches!(step.input, trunkline_core::Input::Settings(_));
    must!(changed || seen.due.is_some_and(|due| due <= seen.now), "{said:?}, and nothing was due");
    let earliest = seen.link.since.from + seen.settings.link.redial_min;
    must!(link.0 == 1 || earliest <= seen.now, "{said:?} before the least time has passed");
    Ok(())
}

/// A link that is down will be dialled in time.
pub(super) fn will_dial(seen: &History, step: &Step<'_>) -> Verdict {
    let link = &seen.settings.link;
    if seen.link.state != LinkState::Gone || seen.empty {
        return Ok(());
    }
    let latest = seen.link.since.to + link.redial_min.max(link.backoff_max);
    must!(seen.now < latest || seen.link.id.0 == 0, "the link is not dialled");
    must!(step.next.is_some_and(|next| next <= latest), "nobody will dial the link: {:?}", step.next);
    Ok(())
}
