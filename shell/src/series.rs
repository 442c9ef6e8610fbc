//! What happened in each of the last seconds, for whoever draws it.

use std::{collections::VecDeque, rc::Rc, time::Duration};

use tokio::time::interval;

use crate::{
    clock::unix_millis,
    metrics::{Buckets, EndpointMetrics, quantile, since},
    server::{Desk, Front},
};

/// Seconds that are kept.
pub(crate) const POINTS_MAX: usize = 300;
/// Seconds over which latencies are told as of now.
const RECENT: usize = 60;
const STEP_MS: u64 = 1_000;

/// The last seconds of one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Series {
    points: VecDeque<Point>,
    /// When the last of them ended, in milliseconds of Unix time.
    until: u64,
    /// Of the last minute, with what was before it.
    latencies: VecDeque<Latencies>,
    before: Totals,
}

/// One second.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Point {
    pub(crate) sessions: u64,
    pub(crate) happened: Totals,
    pub(crate) client_to_link: Shares,
    pub(crate) link_to_client: Shares,
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) opens: u64,
    pub(crate) closes: u64,
    pub(crate) refused: u64,
    pub(crate) messages_from_clients: u64,
    pub(crate) messages_to_clients: u64,
    pub(crate) bytes_from_clients: u64,
    pub(crate) bytes_to_clients: u64,
}

/// Within how many seconds half was done, and 99 %.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Shares {
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Latencies {
    client_to_link: Buckets,
    link_to_client: Buckets,
}

impl Totals {
    fn of(desk: &Desk) -> Self {
        let metrics = &desk.metrics;
        Totals {
            opens: metrics.opens.get(),
            closes: metrics.closes.all().iter().sum(),
            refused: desk.answers.refused().iter().map(|(_, count)| count).sum(),
            messages_from_clients: metrics.from_clients.messages.get(),
            messages_to_clients: metrics.to_clients.messages.get(),
            bytes_from_clients: metrics.from_clients.bytes.get(),
            bytes_to_clients: metrics.to_clients.bytes.get(),
        }
    }

    fn since(self, before: Self) -> Self {
        Totals {
            opens: self.opens.wrapping_sub(before.opens),
            closes: self.closes.wrapping_sub(before.closes),
            refused: self.refused.wrapping_sub(before.refused),
            messages_from_clients: self.messages_from_clients.wrapping_sub(before.messages_from_clients),
            messages_to_clients: self.messages_to_clients.wrapping_sub(before.messages_to_clients),
            bytes_from_clients: self.bytes_from_clients.wrapping_sub(before.bytes_from_clients),
            bytes_to_clients: self.bytes_to_clients.wrapping_sub(before.bytes_to_clients),
        }
    }
}

impl Latencies {
    fn of(metrics: &EndpointMetrics) -> Self {
        Latencies {
            client_to_link: metrics.client_to_link.buckets(),
            link_to_client: metrics.link_to_client.buckets(),
        }
    }

    /// There, and back.
    fn since(&self, before: &Self) -> [Shares; 2] {
        let shares = |now, before| {
            let between = since(now, before);
            Shares { p50: quantile(&between, 0.5), p99: quantile(&between, 0.99) }
        };
        [
            shares(&self.client_to_link, &before.client_to_link),
            shares(&self.link_to_client, &before.link_to_client),
        ]
    }
}

impl Series {
    /// A second is over.
    fn tick(&mut self, desk: &Desk, now: u64) {
        let (totals, latencies) = (Totals::of(desk), Latencies::of(&desk.metrics));
        let before = self.latencies.back().copied().unwrap_or_default();
        let [client_to_link, link_to_client] = latencies.since(&before);
        let happened = totals.since(self.before);
        let sessions = desk.metrics.load.live.get();
        push(&mut self.points, Point { sessions, happened, client_to_link, link_to_client }, POINTS_MAX);
        push(&mut self.latencies, latencies, RECENT + 1);
        (self.before, self.until) = (totals, now);
    }

    /// How long messages took in the last minute: there, and back. Before there was any second, nothing is known.
    pub(crate) fn recent(&self) -> [Shares; 2] {
        match (self.latencies.front(), self.latencies.back()) {
            // What came before the first second is in it.
            (Some(_), Some(last)) if self.latencies.len() <= RECENT => last.since(&Latencies::default()),
            (Some(first), Some(last)) => last.since(first),
            _ => Default::default(),
        }
    }

    /// The seconds that began at `since` or later: when the first of them began, when the last ended, and they.
    pub(crate) fn points(&self, since: u64) -> (u64, u64, impl Iterator<Item = &Point> + Clone) {
        let newer = (self.until.saturating_sub(since) / STEP_MS).min(self.points.len() as u64);
        let from = if newer == 0 { 0 } else { self.until - newer * STEP_MS };
        (from, self.until, self.points.iter().skip(self.points.len() - newer as usize))
    }
}

fn push<T>(to: &mut VecDeque<T>, one: T, max: usize) {
    if to.len() >= max {
        to.pop_front();
    }
    to.push_back(one);
}

/// Takes note of each second. Seconds that were missed come at once, empty, so that the others keep their places.
pub(crate) async fn keep(front: Rc<Front>) {
    let mut seconds = interval(Duration::from_millis(STEP_MS));
    // The first is at once.
    seconds.tick().await;
    loop {
        seconds.tick().await;
        let now = unix_millis();
        for gate in front.table().all() {
            gate.desk.series.borrow_mut().tick(&gate.desk, now);
        }
    }
}
