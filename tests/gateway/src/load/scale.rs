//! What a message costs with few clients and with many, and whether that grows by more than the floor's does.

use std::{path::Path, time::Duration};

use super::{
    cli::Crowding,
    compare::arrive,
    error::Failure,
    report::{self, Series, progress},
    settings::Settings,
    subject::{Kind, Subject},
    window,
};

/// How it goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan<'a> {
    pub(super) subjects: &'a [Kind],
    /// The numbers of clients, the one first that the others are compared with.
    pub(super) clients: &'a [u32],
    pub(super) payload: usize,
    /// Of each loop.
    pub(super) time: Duration,
    pub(super) runs: u32,
}

/// Measures each subject with each number of clients, in turns, each time in fresh processes.
pub(super) fn scale(gateway: &Path, plan: &Plan<'_>, json: bool) -> Result<(), Failure> {
    let mut all: Vec<_> = plan.subjects.iter().map(|kind| Series::new(kind.name())).collect();
    for run in 1..=plan.runs {
        for (kind, series) in plan.subjects.iter().zip(&mut all) {
            let mut figures = report::Figures::default();
            for &clients in plan.clients {
                progress(&format!("run {run} of {}: {} with {clients} clients", plan.runs, kind.name()));
                let subject = Subject::start(*kind, gateway, &Settings::of(clients))?;
                let (mut crowd, _) = arrive(&subject, Crowding { clients, payload: plan.payload })?;
                let name = format!("closed_{clients}x{}", plan.payload);
                figures.append(window::closed(&name, &mut crowd, &subject.probe, plan.time)?);
            }
            let [first, rest @ ..] = plan.clients else { continue };
            let cost = |clients| figures.get(&format!("closed_{clients}x{}.cpu_us", plan.payload));
            let growth: Vec<_> = rest
                .iter()
                .filter_map(|clients| {
                    Some((format!("growth_{first}_to_{clients}"), cost(clients)? / cost(first)?))
                })
                .collect();
            growth.into_iter().for_each(|(name, value)| figures.add(name, value));
            series.runs.push(Some(figures));
        }
    }
    report::compare(&all, json);
    Ok(())
}
