//! What is logged once per interval however often it happens: actions that were ignored, by cause, the offending text
//! cut short; and clients that send too fast.

use trunkline_core::{ActionFault, Millis, SessionId, Time};

/// How long a cause is not logged again.
const INTERVAL: Millis = Millis(10_000);
/// The most of an action's text that is logged.
pub(super) const EXCERPT_BYTES: usize = 120;

/// What was ignored since it was last logged, by cause. There are few causes, so a list will do.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    causes: Vec<(ActionFault, Time, u64)>,
}

impl Refusals {
    /// Counts one more. How many there were since the last time, if it is time to say so.
    fn count(&mut self, fault: ActionFault, now: Time) -> Option<u64> {
        let Some((_, logged_at, since)) = self.causes.iter_mut().find(|(cause, ..)| *cause == fault) else {
            self.causes.push((fault, now, 0));
            return Some(1);
        };
        *since += 1;
        if now - *logged_at < INTERVAL {
            return None;
        }
        *logged_at = now;
        Some(std::mem::take(since))
    }

    pub(super) fn log(&mut self, endpoint: &str, fault: ActionFault, excerpt: &[u8], now: Time) {
        let Some(count) = self.count(fault, now) else { return };
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

/// Clients that were found to send faster than they may since that was last logged. Each counts once in its life.
#[derive(Debug, Default)]
pub(super) struct TooFast {
    logged_at: Option<Time>,
    clients: u64,
}

impl TooFast {
    pub(super) fn log(&mut self, endpoint: &str, session: SessionId, now: Time) {
        self.clients += 1;
        if self.logged_at.is_some_and(|at| now - at < INTERVAL) {
            return;
        }
        self.logged_at = Some(now);
        let clients = std::mem::take(&mut self.clients);
        tracing::warn!(target: "session", endpoint, clients, ?session, "clients send faster than their rate");
    }
}
