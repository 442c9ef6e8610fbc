//! 1, 5, 6 and 8: what may be said of a session, and after what.

use trunkline_core::{EndCause, Input, language::Action};

use crate::{Step, Verdict, must};
use crate::{
    history::{Client, Close, History},
    said::{Digest, Said, What},
};

/// 1: `open`, then messages, then one `close`, none of them twice on a link; a `close` without an `open` on its
/// link is owed from an earlier one and comes before any `open` of that user.
pub(super) fn order(seen: &History, _: &Step<'_>, said: &Said) -> Verdict {
    let Said::Event { link, session, what, ref who, .. } = *said else { return Ok(()) };
    let Some(known) = seen.session(session) else {
        return Err(format!("{said:?} of a session that is no more"));
    };
    must!(*who == known.who, "{said:?} names {who:?}, not {:?}", known.who);
    let opened_here = known.is_open_on(&seen.link);
    match what {
        What::Open => {
            must!(known.is_live(), "`open` of a session that has ended: {session:?}");
            must!(!opened_here, "a second `open` on {link:?}: {session:?}");
            must!(!seen.owes_close(who.user()), "`open` before the `close` owed of {:?}", who.user());
        }
        What::Message(msg) => {
            must!(opened_here, "{msg:?} before `open` of {session:?}");
            must!(matches!(known.close, Close::NotDue | Close::Owed), "{msg:?} after `close` of {session:?}");
            let silenced = matches!(known.ended, Some((_, EndCause::Backend | EndCause::Expired)));
            must!(!silenced, "{msg:?} after the end of {session:?}");
        }
        What::Close => {
            must!(!known.is_live(), "`close` of a live session: {session:?}");
            must!(known.close != Close::NotDue, "a `close` that nobody is owed: {session:?}");
            must!(!matches!(known.close, Close::Said { .. }), "a second `close` on {link:?}: {session:?}");
            let mut of_user = seen.sessions.of_user(who.user());
            must!(
                opened_here || !of_user.any(|other| other.is_open_on(&seen.link)),
                "a `close` owed from an earlier link after an `open` of {:?}",
                who.user()
            );
        }
    }
    Ok(())
}

/// 5: messages are handed over in the order in which they were taken, unaltered, in either direction.
pub(super) fn fifo(seen: &History, step: &Step<'_>, said: &Said) -> Verdict {
    match said {
        Said::Event { session, what: What::Message(msg), .. } => {
            let Some(known) = seen.session(*session) else { return Ok(()) };
            let first = known.kept.front().or(known.line.front());
            must!(first == Some(msg), "{msg:?} of {session:?} handed over, where {first:?} is next");
        }
        Said::Message { data: said, .. } => {
            if let Input::Action { action: Ok(Action::Send { data, .. }), .. } = step.input {
                let data = Digest::of(data);
                must!(*said == data, "{said:?} handed over, where {data:?} was sent");
            }
        }
        _ => {}
    }
    Ok(())
}

/// 6: nothing for a client after its close, nothing on a link that is not up.
pub(super) fn silence(seen: &History, _: &Step<'_>, said: &Said) -> Verdict {
    match *said {
        Said::Message { session, .. }
        | Said::Close { session, .. }
        | Said::Stop(session)
        | Said::Resume(session) => {
            let client = seen.session(session).map(|known| known.client);
            must!(client == Some(Client::In), "{said:?} to a client that is {client:?}");
        }
        Said::Event { link, .. } | Said::Ping { link, .. } | Said::CloseLink(link) => {
            must!(seen.is_up(link), "{said:?}, where the link is {:?} {:?}", seen.link.id, seen.link.state);
        }
        _ => {}
    }
    Ok(())
}

/// 8: a second `close` goes out only if the first was unconfirmed when its link broke.
pub(super) fn close_again(seen: &History, _: &Step<'_>, said: &Said) -> Verdict {
    if let Said::Event { session, what: What::Close, .. } = *said {
        let confirmed =
            seen.session(session).is_some_and(|known| matches!(known.close, Close::Confirmed { .. }));
        must!(!confirmed, "a second `close` of {session:?}, whose first was confirmed");
    }
    Ok(())
}
