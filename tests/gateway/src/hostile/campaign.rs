//! A campaign: a gateway, an echo behind it, well-behaved clients, and hostile connections beside them.

use std::{
    collections::BTreeSet,
    io,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime::Builder,
    sync::oneshot,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    attack::Attack,
    report::{Footprint, Report},
    tally::Tally,
};
use crate::rig::{Backend, Bystander, Event, Handshake, Process, Program, Setup, within};

/// What a message of a client may have, in the gateway under attack.
pub(super) const MESSAGE_BYTES_MAX: usize = 4 << 10;
/// Between two newcomers.
const NEWCOMER_EVERY: Duration = Duration::from_millis(100);
/// How long the gateway may take to give back what it held for connections that have ended.
const SETTLE_LIMIT: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The gateway.
    pub program: Program,
    /// How many connections.
    pub count: u64,
    /// What they are made from.
    pub seed: u64,
    /// The number of the first.
    pub from: u64,
    /// How many there are at once.
    pub at_once: usize,
    /// How long it may take.
    pub limit: Duration,
}

/// Carries a plan out.
///
/// # Panics
///
/// The gateway does not start, or does not serve its well-behaved clients.
pub fn run(plan: &Plan) -> Report {
    let runtime = Builder::new_current_thread().enable_all().build().expect("there is a runtime");
    runtime.block_on(campaign(plan))
}

async fn campaign(plan: &Plan) -> Report {
    let backend = Backend::echo().await;
    let setup = Setup::new(backend.address())
        // What fills up by itself, within its bound, would hide what is left behind.
        .with("recording.bytes_max", 0)
        .with("laws.endpoints", "none")
        .with("limits.handshake_timeout", "2s")
        .with("log.level", "debug")
        .lobby("close_timeout", "1s")
        .lobby("message_bytes_max", MESSAGE_BYTES_MAX);
    let mut gateway = Process::start(&plan.program, &setup, None).await;
    within("a link", backend.linked(1)).await;
    let address = gateway.address();
    let client = Handshake::of("well-behaved").enter_at(address).await.into_client().await;
    let mut bystander = Bystander::of(client);
    bystander.served().await;

    let mut report = Report { planned: plan.count, ..Report::default() };
    let began = Instant::now();
    report.footprints = [footprint(&gateway); 3];
    let warm = plan.count / 10;
    for (index, numbers) in [0..warm, warm..plan.count].into_iter().enumerate() {
        let left = plan.limit.saturating_sub(began.elapsed());
        let attacking = attack_from_a_thread(plan.clone(), address, numbers, left);
        let (tally, newcomers) = tokio::join!(attacking.done, newcomers(address, attacking.ends));
        report.tally.merge(tally.unwrap_or_default());
        report.newcomers.extend(newcomers);
        bystander.served().await;
        settle(&gateway, report.footprints[0].descriptors).await;
        report.footprints[index + 1] = footprint(&gateway);
    }
    report.took = began.elapsed();
    report.trips = bystander.leaves().await.times;
    backend
        .until("the last close", |events| events.last().is_some_and(|e| e.is("close", "well-behaved")))
        .await;

    report.ghosts = present(&backend.events());
    report.links = backend.dials();
    report.ended = gateway.ended().map(|status| status.to_string());
    let log = gateway.log();
    report.log_lines = log.len();
    report.bad_lines = log.into_iter().filter(|line| is_bad(line)).collect();
    report
}

fn footprint(gateway: &Process) -> Footprint {
    // One that has ended holds nothing, and the report says that it has ended.
    let measured = || -> io::Result<Footprint> {
        Ok(Footprint { resident: gateway.resident()?, descriptors: gateway.descriptors()? })
    };
    measured().unwrap_or_default()
}

/// Waits until the gateway has as few descriptors again as in the beginning; if it never has, the report says so.
async fn settle(gateway: &Process, descriptors: usize) {
    let settled = async {
        while footprint(gateway).descriptors > descriptors {
            sleep(LOOK_EVERY).await;
        }
    };
    let _ = timeout(SETTLE_LIMIT, settled).await;
}

/// Those who came and did not leave.
fn present(events: &[Event]) -> Vec<String> {
    let mut users = BTreeSet::new();
    for event in events {
        match event.kind() {
            "open" => drop(users.insert(event.user().to_owned())),
            "close" => drop(users.remove(event.user())),
            _ => {}
        }
    }
    users.into_iter().collect()
}

fn is_bad(line: &str) -> bool {
    let is_json = serde_json::from_str::<serde_json::Value>(line).is_ok();
    // The beginning of every token.
    !is_json || line.contains("panicked") || line.contains("eyJ")
}

struct Attacking {
    done: oneshot::Receiver<Tally>,
    ends: oneshot::Receiver<()>,
}

/// On a thread of its own, so that the well-behaved clients are not measured by how busy their enemies are.
fn attack_from_a_thread(
    plan: Plan,
    gateway: SocketAddr,
    numbers: std::ops::Range<u64>,
    limit: Duration,
) -> Attacking {
    let (tell, done) = oneshot::channel();
    let (end, ends) = oneshot::channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("there is a runtime");
        let tally = runtime.block_on(attack(&plan, gateway, numbers, limit));
        // Whoever started it waits for it.
        drop(end);
        let _ = tell.send(tally);
    });
    Attacking { done, ends }
}

async fn attack(plan: &Plan, gateway: SocketAddr, numbers: std::ops::Range<u64>, limit: Duration) -> Tally {
    let mut tally = Tally::default();
    let all = async {
        let mut under_way = JoinSet::new();
        for number in numbers {
            let number = plan.from + number;
            let attack = Attack::of(plan.seed, number);
            under_way.spawn(async move {
                let outcome = attack.carry_out(gateway, number).await;
                (number, attack.name, outcome)
            });
            while under_way.len() >= plan.at_once {
                note(&mut tally, under_way.join_next().await);
            }
        }
        while let Some(done) = under_way.join_next().await {
            note(&mut tally, Some(done));
        }
    };
    // Those that are missing then are counted by the report.
    let _ = timeout(limit, all).await;
    tally
}

type Done = (u64, &'static str, super::tally::Outcome);

fn note(tally: &mut Tally, done: Option<Result<Done, tokio::task::JoinError>>) {
    if let Some(Ok((number, kind, outcome))) = done {
        tally.add(number, kind, outcome);
    }
}

/// Well-behaved clients that come, say something, hear it and leave, one after the other, until the attack is over.
async fn newcomers(gateway: SocketAddr, mut over: oneshot::Receiver<()>) -> Vec<Duration> {
    let mut times = Vec::new();
    loop {
        let began = Instant::now();
        let user = format!("newcomer-{}", times.len());
        let mut client = Handshake::of(&user).enter_at(gateway).await.into_client().await;
        client.say("hello").await;
        assert_eq!(client.hear().await, "hello");
        times.push(began.elapsed());
        client.leave().await;
        if timeout(NEWCOMER_EVERY, &mut over).await.is_ok() {
            return times;
        }
    }
}
