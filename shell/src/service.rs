//! What a service manager such as systemd is told (sd_notify(3)): that the gateway listens, that it reloads, that it stops,
//! and, where there is a watchdog, that it is alive. Without a service manager nobody is told anything.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::sleep;

use crate::{gateway::Listening, pulse::Pulse};

/// How often the watchdog is fed in the time that it waits.
const FEEDS: u32 = 3;

/// Says that clients are let in.
pub fn ready(at: &Listening) {
    let clients: Vec<_> = at.clients.iter().map(ToString::to_string).collect();
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("listening on {}", clients.join(", ")))]);
}

/// Says that the configuration is read again, and when that began.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(begun) => tell(&[NotifyState::Reloading, begun]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// Says that this is over, for better or worse.
pub fn reloaded() {
    tell(&[NotifyState::Ready]);
}

/// Says that sessions are being ended.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

/// Feeds the watchdog for as long as all threads turn; this one does if it gets here. Returns if there is none.
pub async fn feed_watchdog(pulse: Pulse) {
    let Some(patience) = sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero()) else { return };
    loop {
        if pulse.beat() {
            tell(&[NotifyState::Watchdog]);
        } else {
            tracing::error!(target: "gateway", "a thread does not turn: the watchdog is left to wait");
        }
        sleep(patience.div_f64(FEEDS.into()).max(Duration::from_millis(1))).await;
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(target: "gateway", %error, "the service manager cannot be told");
    }
}
