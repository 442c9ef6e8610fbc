//! What an endpoint logs once in a while, however often it happens: actions that were ignored, by cause, the offending text
//! cut short; and clients that send too fast.

use trunkline_core::{ActionFault, Seldom, SessionId, Time};

/// The most of an action's text that is logged.
pub(super) const EXCERPT_BYTES: usize = 120;

/// What was ignored since it was last logged, by cause. There are few causes, so a list will do.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    causes: Vec<(ActionFault, Seldom)>,
}

impl Refusals {
    fn of(&mut self, fault: ActionFault) -> &mut Seldom {
        let known = self.causes.iter().position(|(cause, _)| *cause == fault);
        let at = known.unwrap_or_else(|| {
            self.causes.push((fault, Seldom::default()));
            self.causes.len() - 1
        });
        &mut self.causes[at].1
    }

    pub(super) fn log(&mut self, endpoint: &str, fault: ActionFault, excerpt: &[u8], now: Time) {
        let Some(count) = self.of(fault).count(now) else { return };
        // Control characters are escaped, and bytes that are not UTF-8 are replaced.
        let text = String::from_utf8_lossy(excerpt);
        match fault {
            // A `send` to a user who has just gone is normal; and its `data` is nobody's business.
            ActionFault::NoSession | ActionFault::NotAnnounced => {
                tracing::debug!(target: "action", endpoint, ?fault, count, "actions ignored");
            }
            ActionFault::Bad(_) => {
                tracing::warn!(target: "action", endpoint, ?fault, count, ?text, "actions ignored");
            }
        }
    }
}

/// Says that a client was found to send faster than it may; each is, once in its life at most.
pub(super) fn log_too_fast(seldom: &mut Seldom, endpoint: &str, session: SessionId, now: Time) {
    if let Some(clients) = seldom.count(now) {
        tracing::warn!(target: "session", endpoint, clients, ?session, "clients send faster than their rate");
    }
}
