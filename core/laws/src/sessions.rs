//! 2, 3, 4, 14 and one answer: who is a session, and until when.

use trunkline_core::{EndCause, Expiry, Input, Millis, language::Action};

use crate::{Step, Verdict, must};
use crate::{
    history::History,
    said::{Said, What},
};

/// 2: at most one session of a user is live.
pub(super) fn one_session(seen: &History, step: &Step<'_>) -> Verdict {
    for said in step.said {
        let Said::Admit(id) = *said else { continue };
        let Some(user) = seen.session(id).map(|admitted| admitted.who.user()) else { continue };
        let live = seen.sessions.of_user(user).filter(|session| session.is_live());
        must!(live.count() <= 1, "two live sessions of {user:?}");
    }
    Ok(())
}

/// 3: a session is taken over only by its user, and its client is told so.
pub(super) fn takeover(seen: &History, step: &Step<'_>) -> Verdict {
    for said in step.said {
        let Said::Ended { session: old, cause: EndCause::TakenOver } = *said else { continue };
        let newcomer = match step.input {
            Input::Ask { identity, .. } => Some(identity.user()),
            _ => None,
        };
        let user = seen.session(old).map(|old| old.who.user());
        must!(newcomer == user, "{old:?} of {user:?} is taken over by {newcomer:?}");
        must!(step.said.iter().any(|said| matches!(said, Said::Admit(_))), "{old:?} is taken over by nobody");
        let told = step.said.iter().filter(|said| match said {
            Said::Close { session, code, reason, .. } => {
                *session == old
                    && code.get() == 1008
                    && reason == "Only one connection per endpoint per token bearer is allowed"
            }
            _ => false,
        });
        must!(told.count() == 1, "{old:?} is taken over, and its client is not told so");
    }
    Ok(())
}

/// 3: between a user's `close` and its next `open` lies the gap, counted from when the `close` has left.
pub(super) fn gap(seen: &History, _: &Step<'_>, said: &Said) -> Verdict {
    if let Said::Event { session, what: What::Open, .. } = *said
        && let Some(known) = seen.session(session)
    {
        must!(seen.in_gap(known) != Some(true), "`open` of {session:?} within its user's gap");
    }
    Ok(())
}

/// 4: a message goes to the client of the live, announced session of the user that the action names.
pub(super) fn isolation(seen: &History, step: &Step<'_>, said: &Said) -> Verdict {
    let Said::Message { session, .. } = *said else { return Ok(()) };
    let Input::Action { link, action: Ok(Action::Send { user: Some(user), .. }) } = step.input else {
        return Err(format!("{said:?}, and no backend sent anything"));
    };
    let right = seen.live(user).filter(|live| live.opened.is_some()).map(|live| live.id);
    must!(right == Some(session), "a `send` for {user:?}, who is {right:?}, goes to {session:?}");
    must!(seen.is_up(*link), "a `send` over {link:?}, which is not up, goes to {session:?}");
    let messages = step.said.iter().filter(|said| matches!(said, Said::Message { .. })).count();
    must!(messages == 1, "{messages} messages for one `send`");
    Ok(())
}

/// 14: no session ends as expired before its token has.
pub(super) fn expired(seen: &History, _: &Step<'_>, said: &Said) -> Verdict {
    if let Said::Ended { session, cause: EndCause::Expired } = *said
        && let Some(known) = seen.session(session)
    {
        must!(seen.settings.expiry == Expiry::Close, "{session:?} ended as expired, where that is ignored");
        let has = known.expires.is_some_and(|expires| expires <= seen.now);
        must!(has, "{session:?} ended as expired at {:?}, its token has {:?}", seen.now, known.expires);
    }
    Ok(())
}

/// 14: no session outlives its token. One that comes with an expired token, or whose token the wall clock has
/// overtaken, may live until the next deadline, which is then at once.
pub(super) fn outlived(seen: &History, step: &Step<'_>) -> Verdict {
    if seen.settings.expiry == Expiry::Ignore {
        return Ok(());
    }
    let at_once = matches!(step.input, Input::Ask { .. } | Input::WallClockStepped { .. })
        && step.next.is_some_and(|next| next <= seen.now + Millis(1));
    if let Some((expires, id)) = seen.sessions.first_to_expire() {
        must!(expires > seen.now || at_once, "{id:?} outlives its token");
    }
    Ok(())
}

/// Each client that asks is admitted or refused, once, and nobody else is.
pub(super) fn one_answer(_: &History, step: &Step<'_>) -> Verdict {
    let answers = step.said.iter().filter(|said| matches!(said, Said::Admit(_) | Said::Refuse(_))).count();
    let asked = usize::from(matches!(step.input, Input::Ask { .. }));
    must!(answers == asked, "{answers} answers to {asked} clients that ask");
    Ok(())
}
