//! Figures that anybody may read at any time while one thread writes them.
//!
//! An endpoint's are written by its thread alone, from what core says as it passes `endpoint/outlet.rs`. So adding is a
//! plain load and a plain store, without a lock and without an atomic addition; whoever reads may be a turn behind, and
//! two figures may be of two turns.
//!
//! - `causes` has the names of what is counted by cause, all of which are bounded.
//! - `latency` counts times in buckets.
//! - `text` writes everything as Prometheus reads it, `process` asks the system about this process.

mod causes;
mod latency;
mod process;
mod text;

use std::{
    array::from_fn,
    sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
};

use trunkline_core::{Figures, LinkPhase};
use trunkline_laws::Law;

pub(crate) use self::{
    causes::{DROP_CAUSES, DropKind, END_CAUSES, FAULTS, end_cause, end_name, fault},
    latency::{BOUNDS_MICROS, Buckets, Histogram, quantile, since},
    process::Process,
    text::{Scraped, write},
};

/// A figure that only grows, and that one thread writes.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A figure that one thread sets.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU64);

impl Gauge {
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Counters, one for each of some causes.
#[derive(Debug)]
pub(crate) struct Counters<const N: usize>([Counter; N]);

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Counters(from_fn(|_| Counter::default()))
    }
}

impl<const N: usize> Counters<N> {
    pub(crate) fn add(&self, cause: usize, more: u64) {
        if let Some(counter) = self.0.get(cause) {
            counter.add(more);
        }
    }

    pub(crate) fn all(&self) -> [u64; N] {
        from_fn(|cause| self.0[cause].get())
    }
}

/// What is counted of messages in one direction.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) messages: Counter,
    pub(crate) bytes: Counter,
}

impl Traffic {
    pub(crate) fn add(&self, bytes: usize) {
        self.messages.add(1);
        self.bytes.add(bytes as u64);
    }
}

/// All figures of an endpoint. Its thread writes them. Apart from those of others, or writers would wait for each other.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct EndpointMetrics {
    pub(crate) opens: Counter,
    pub(crate) closes: Counters<{ END_CAUSES.len() }>,
    pub(crate) from_clients: Traffic,
    pub(crate) to_clients: Traffic,
    pub(crate) ignored: Counters<{ FAULTS.len() }>,
    pub(crate) dropped: Counters<{ DROP_CAUSES.len() }>,
    pub(crate) queue_dropped_bytes: Counter,
    pub(crate) statuses_replaced: Counter,
    pub(crate) stops: Counter,
    pub(crate) stops_of_all: Counter,
    pub(crate) dials: Counter,
    pub(crate) connects: Counter,
    pub(crate) pong_timeouts: Counter,
    pub(crate) link_full: Counter,
    /// Where it is watched: steps that were held against the laws, and those that broke one.
    pub(crate) law_steps: Counter,
    pub(crate) law_breaches: Counters<{ Law::WATCHED.len() }>,
    /// Steps that the recording on disk has not.
    pub(crate) recording_missed: Counter,
    pub(crate) client_to_link: Histogram,
    pub(crate) link_to_client: Histogram,
    pub(crate) link: LinkTimes,
    pub(crate) load: Load,
}

/// How an endpoint is loaded, as of its driver's last turn.
#[derive(Debug, Default)]
pub(crate) struct Load {
    pub(crate) live: Gauge,
    pub(crate) owed: Gauge,
    pub(crate) stopped: Gauge,
    pub(crate) all_stopped: Gauge,
    pub(crate) parked_bytes: Gauge,
    pub(crate) client_bytes: Gauge,
    pub(crate) link_queued_bytes: Gauge,
    pub(crate) link_unconfirmed_bytes: Gauge,
    pub(crate) link_full: Gauge,
}

impl Load {
    pub(crate) fn set(&self, figures: &Figures, stopped: usize) {
        self.live.set(figures.live as u64);
        self.owed.set(figures.owed as u64);
        self.stopped.set(stopped as u64);
        self.all_stopped.set(figures.all_stopped.into());
        self.parked_bytes.set(figures.parked_bytes as u64);
        self.client_bytes.set(figures.client_bytes as u64);
        self.link_queued_bytes.set(figures.link_queued_bytes as u64);
        self.link_unconfirmed_bytes.set(figures.link_unconfirmed_bytes as u64);
        self.link_full.set(figures.link_full.into());
    }
}

/// The link's state, and since when; times are Unix times in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct LinkTimes {
    phase: AtomicU8,
    since: Gauge,
    /// When the present outage began; 0: there is none.
    outage_since: Gauge,
    /// Of the outages that are over, in milliseconds.
    outages: Counter,
}

/// The states of a link, in the order of their numbers.
pub(crate) const PHASES: [(LinkPhase, &str); 4] = [
    (LinkPhase::Down, "down"),
    (LinkPhase::Settling, "settling"),
    (LinkPhase::Announcing, "announcing"),
    (LinkPhase::Up, "up"),
];

impl LinkTimes {
    /// The link is in this state from `now` on. An outage lasts until the link is up: then its backend has heard
    /// everything.
    pub(crate) fn enter(&self, phase: LinkPhase, now: u64) {
        let number = PHASES.iter().position(|(known, _)| *known == phase).unwrap_or_default();
        self.phase.store(number as u8, Relaxed);
        self.since.set(now);
        let since = self.outage_since.get();
        match (phase, since) {
            (LinkPhase::Up, 0) => {}
            (LinkPhase::Up, since) => {
                self.outages.add(now.saturating_sub(since));
                self.outage_since.set(0);
            }
            (_, 0) => self.outage_since.set(now),
            (_, _) => {}
        }
    }

    /// The place of its state in [`PHASES`].
    pub(crate) fn phase(&self) -> usize {
        usize::from(self.phase.load(Relaxed))
    }

    pub(crate) fn since(&self) -> u64 {
        self.since.get()
    }

    /// When the present outage began.
    pub(crate) fn outage_since(&self) -> Option<u64> {
        Some(self.outage_since.get()).filter(|since| *since > 0)
    }

    /// How long all outages have lasted, the present one until `now`, in seconds.
    pub(crate) fn outage_seconds(&self, now: u64) -> f64 {
        let present = self.outage_since().map_or(0, |since| now.saturating_sub(since));
        (self.outages.get() + present) as f64 / 1e3
    }
}
