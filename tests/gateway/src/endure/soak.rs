//! A steady load with faults, for a long time: what must stay flat stays flat.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::time::{sleep, timeout};

use super::{
    backend::Backend,
    gateway::{Gateway, Site},
    judge, say,
    visitor::{Heard, Visitor},
};

/// Between two words of a client.
const PACE: Duration = Duration::from_millis(200);
/// Between two faults.
const FAULT_EVERY: Duration = Duration::from_secs(10);
/// Between two lines of the report.
const REPORT_EVERY: Duration = Duration::from_secs(60);
/// By how much memory may grow from the first quarter to the end.
const GROWTH_MAX_PERCENT: u64 = 10;
/// What does not count as growth.
const GROWTH_MIN_KIB: u64 = 4 << 10;

#[derive(Default)]
struct Counts {
    echoes: AtomicU64,
    /// Echoes that came to the next visit of a user.
    late: AtomicU64,
    visits: AtomicU64,
    refused: AtomicU64,
    wrong: AtomicU64,
    /// All clients vanish, and come back.
    vanish: AtomicU64,
    over: AtomicBool,
}

pub(super) async fn run(program: &Path, clients: u32, time: Duration) -> Result<(), String> {
    let backend = Backend::start().await.map_err(|error| error.to_string())?;
    let site = Site::new(&backend, "").map_err(|error| error.to_string())?;
    let mut gateway = site.start(program).map_err(|error| error.to_string())?;
    site.is_ready().await;
    let at_rest = gateway.descriptors();

    let counts = Arc::new(Counts::default());
    let visiting: Vec<_> = (0..clients)
        .map(|number| tokio::spawn(visit_again_and_again(site.address, number, Arc::clone(&counts))))
        .collect();
    let figures = watch(&backend, &mut gateway, &counts, time).await?;
    counts.over.store(true, Ordering::Relaxed);
    for visit in visiting {
        // A task that has panicked has said so.
        visit.await.map_err(|error| error.to_string())?;
    }
    let settled = async {
        while backend.seen().live() > 0 || gateway.descriptors() > at_rest {
            sleep(Duration::from_millis(100)).await;
        }
    };
    if timeout(Duration::from_secs(60), settled).await.is_err() {
        say(&format!("{} descriptors at rest, {} in the end", at_rest, gateway.descriptors()));
    }
    judge(&backend)?;
    conclude(&figures, at_rest, gateway.descriptors(), counts.wrong.load(Ordering::Relaxed))
}

/// Puts in faults and reports, until the time is over. Memory at the end of each interval, in KiB.
async fn watch(
    backend: &Backend,
    gateway: &mut Gateway,
    counts: &Counts,
    time: Duration,
) -> Result<Vec<u64>, String> {
    let (began, mut figures, mut faults) = (Instant::now(), Vec::new(), 0u64);
    while began.elapsed() < time {
        sleep(FAULT_EVERY).await;
        match faults % 3 {
            0 => backend.cut(),
            1 => {
                counts.vanish.fetch_add(1, Ordering::Relaxed);
            }
            // Twice in a row: the second while the first is being mended.
            _ => {
                backend.cut();
                sleep(Duration::from_millis(300)).await;
                backend.cut();
            }
        }
        faults += 1;
        if began.elapsed() >= REPORT_EVERY * (figures.len() as u32 + 1) {
            figures.push(gateway.resident_kib());
            let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
            say(&format!(
                "{:>5.0?}: {} KiB, {} descriptors, {} echoes, {} late, {} visits, {} faults, {} refused",
                began.elapsed(),
                gateway.resident_kib(),
                gateway.descriptors(),
                count(&counts.echoes),
                count(&counts.late),
                count(&counts.visits),
                faults,
                count(&counts.refused),
            ));
        }
        if let Ok(well) = gateway.ended(Duration::ZERO).await {
            return Err(format!("the gateway has ended, well: {well}"));
        }
    }
    Ok(figures)
}

fn conclude(figures: &[u64], at_rest: usize, descriptors: usize, wrong: u64) -> Result<(), String> {
    let early = figures.iter().take(figures.len().div_ceil(4)).max().copied().unwrap_or(0);
    let late = figures.last().copied().unwrap_or(0);
    say(&format!("memory: {early} KiB at most in the first quarter, {late} KiB in the end"));
    if wrong > 0 {
        return Err(format!("{wrong} times something was heard that should not be"));
    }
    if late > early + (early * GROWTH_MAX_PERCENT / 100).max(GROWTH_MIN_KIB) {
        return Err("memory grows".to_owned());
    }
    if descriptors > at_rest {
        return Err(format!("{} descriptors are left over", descriptors - at_rest));
    }
    Ok(())
}

/// Comes, talks, and comes again, until all is over.
async fn visit_again_and_again(address: SocketAddr, number: u32, counts: Arc<Counts>) {
    // Spread over the pace, so that the load is steady.
    sleep(PACE * (number % 7) / 7).await;
    let mut visits = 0;
    while !counts.over.load(Ordering::Relaxed) {
        visits += 1;
        match Visitor::enter(address, &format!("user-{number}"), visits).await {
            Ok(visitor) => {
                counts.visits.fetch_add(1, Ordering::Relaxed);
                visit(visitor, number, &counts).await;
            }
            Err(_) => {
                counts.refused.fetch_add(1, Ordering::Relaxed);
                sleep(PACE).await;
            }
        }
    }
}

async fn visit(mut visitor: Visitor, number: u32, counts: &Counts) {
    let vanishes = counts.vanish.load(Ordering::Relaxed);
    let mut next = tokio::time::Instant::now() + PACE;
    loop {
        if counts.over.load(Ordering::Relaxed) {
            return visitor.leave().await;
        }
        // Every other one is among those who vanish.
        if number.is_multiple_of(2) && counts.vanish.load(Ordering::Relaxed) > vanishes {
            return visitor.vanish();
        }
        tokio::select! {
            () = tokio::time::sleep_until(next) => {
                next += PACE;
                visitor.say().await;
            }
            heard = visitor.hear() => match heard {
                Heard::Echo => {
                    counts.echoes.fetch_add(1, Ordering::Relaxed);
                }
                Heard::Late => {
                    counts.late.fetch_add(1, Ordering::Relaxed);
                }
                Heard::Wrong(what) => {
                    say(&what);
                    counts.wrong.fetch_add(1, Ordering::Relaxed);
                }
                Heard::Closed(_) | Heard::Ended => return,
            },
        }
    }
}
