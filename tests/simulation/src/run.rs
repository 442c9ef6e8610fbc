//! One run: hosts, a network that fails as planned, and what came of it.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt, panic,
    path::Path,
    rc::Rc,
    sync::{Arc, Mutex, Once},
    thread,
    time::Duration,
};

use tokio::sync::Notify;
use tracing::{Event, Subscriber, field::Field};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
};
use turmoil::{Builder, Sim};

use crate::{
    backend::Backend,
    client::{Crowd, live},
    config::Config,
    gateway::Gateway,
    judge::{self, Reached},
    plan::{BACKENDS, CLIENTS, Fault, GATEWAY, LAST_WORD_MS, Plan, REST_MS, STOP_MS_MAX},
    record::{Entry, Log, What},
    world,
};

/// Hosts run in turns of this length, and a segment takes at least one.
const TICK: Duration = Duration::from_millis(5);
/// Segments on their way on a connection, in each direction; connections that wait to be accepted.
const SEGMENTS_MAX: usize = 64;

/// By then, what the gateway has said last has arrived and been handled.
const LAST_WAY_MS: u64 = 1_000;

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// All that happened.
    pub log: Vec<Entry>,
    /// Which laws were broken, and how.
    pub broken: Vec<String>,
    /// How often each case of interest occurred.
    pub reached: Reached,
}

/// Plays the run that a seed stands for, and judges it. It has a thread of its own, so that nothing of another run is left
/// on it.
pub fn run(seed: u64) -> Outcome {
    watch_panics();
    let played = thread::spawn(move || {
        let plan = Plan::of(seed);
        let said = Said::default();
        let listener = tracing_subscriber::registry().with(said.clone());
        let (log, failure) = tracing::subscriber::with_default(listener, || play(&plan));
        let panics = PANICS.take();
        let verdict = judge::judge(&plan, &log);
        let mut broken = verdict.broken;
        broken.extend(said.broken());
        broken.extend(panics.into_iter().map(|panic| format!("law 11: {panic}")));
        broken.extend(failure);
        Outcome { log, broken, reached: verdict.reached }
    });
    played.join().unwrap_or_else(|_| Outcome {
        log: Vec::new(),
        broken: vec!["the simulator itself has panicked".to_owned()],
        reached: BTreeMap::new(),
    })
}

thread_local! {
    /// Panics of tasks, which tokio keeps to itself.
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.with_borrow_mut(|panics| panics.push(info.to_string()));
            before(info);
        }));
    });
}

/// What the gateway says of laws that it has broken: its own monitor is at work in every run.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<String>>>);

impl Said {
    fn broken(&self) -> Vec<String> {
        self.0.lock().map(|said| said.clone()).unwrap_or_default()
    }
}

impl<S: Subscriber> Layer<S> for Said {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut said = String::new();
        event.record(&mut |field: &Field, value: &dyn fmt::Debug| {
            said.push_str(&format!("{field} = {value:?} "))
        });
        if said.contains("a law is broken")
            && let Ok(mut all) = self.0.lock()
        {
            all.push(said);
        }
    }
}

/// Its log, and what has gone wrong with the hosts themselves.
fn play(plan: &Plan) -> (Vec<Entry>, Option<String>) {
    world::begin(plan.seed);
    let mut sim = Builder::new()
        .rng_seed(plan.seed)
        .tick_duration(TICK)
        .simulation_duration(Duration::from_hours(1))
        .min_message_latency(Duration::from_millis(plan.latency_ms.0))
        .max_message_latency(Duration::from_millis(plan.latency_ms.1))
        .tcp_capacity(SEGMENTS_MAX)
        .build();
    let stage = Stage::of(plan);
    stage.add_backends(&mut sim);
    stage.add_gateway(&mut sim, plan.config());
    stage.add_clients(&mut sim, plan);
    let failure = stage.run(&mut sim, plan).err().map(|error| format!("a host has failed: {error}"));
    (stage.log.take(), failure)
}

/// What all hosts of a run share.
struct Stage {
    log: Log,
    backends: Vec<Rc<Backend>>,
    /// Tells the gateway to stop, and the clients that it has been told.
    stop: Rc<Notify>,
    stopping: Rc<Cell<bool>>,
    /// The gateway has stopped.
    stopped: Rc<Cell<bool>>,
}

impl Stage {
    fn of(plan: &Plan) -> Self {
        let log = Log::default();
        let backend = |index| Rc::new(Backend::new(index, plan, log.clone()));
        Stage {
            backends: (0..BACKENDS.len()).map(backend).collect(),
            stop: Rc::default(),
            stopping: Rc::default(),
            stopped: Rc::default(),
            log,
        }
    }

    fn add_backends(&self, sim: &mut Sim<'_>) {
        for (host, backend) in BACKENDS.into_iter().zip(&self.backends) {
            let backend = Rc::clone(backend);
            sim.host(host, move || {
                let backend = Rc::clone(&backend);
                async move { Ok(backend.run().await?) }
            });
        }
    }

    fn add_gateway(&self, sim: &mut Sim<'_>, config: String) {
        let (log, stop, stopped) = (self.log.clone(), Rc::clone(&self.stop), Rc::clone(&self.stopped));
        sim.host(GATEWAY, move || {
            let (config, log) = (config.clone(), log.clone());
            let (stop, stopped) = (Rc::clone(&stop), Rc::clone(&stopped));
            async move {
                let config = Config::parse(&config, Path::new("."), |_| None)?;
                log.note(What::GatewayBegan);
                Gateway::new(config).run(|_| (), async move { stop.notified().await }).await?;
                log.note(What::Stopped);
                stopped.set(true);
                Ok(())
            }
        });
    }

    fn add_clients(&self, sim: &mut Sim<'_>, plan: &Plan) {
        let next = Rc::new(Cell::new(1));
        for (host, seeds) in CLIENTS.into_iter().zip(&plan.clients) {
            let crowd = Crowd {
                host,
                log: self.log.clone(),
                next: Rc::clone(&next),
                heals_at: plan.heals_at,
                stopping: Rc::clone(&self.stopping),
            };
            let seeds = seeds.clone();
            sim.host(host, move || {
                let (crowd, seeds) = (crowd.clone(), seeds.clone());
                async move {
                    let clients =
                        seeds.iter().map(|seed| tokio::task::spawn_local(live(crowd.clone(), *seed)));
                    for client in clients.collect::<Vec<_>>() {
                        // One that has panicked is known of.
                        let _ = client.await;
                    }
                    Ok(())
                }
            });
        }
    }

    /// Everything fails that is to fail, comes to rest, and is stopped.
    fn run(&self, sim: &mut Sim<'_>, plan: &Plan) -> turmoil::Result {
        let rested_at = plan.heals_at + REST_MS + 2 * LAST_WORD_MS;
        let mut faults = Faults::new(plan);
        while now(sim) < rested_at {
            faults.carry_out(sim, &self.log);
            sim.step()?;
        }
        self.ask_backends(sim);
        self.log.note_at(now(sim), What::ToldToStop);
        self.stop.notify_one();
        self.stopping.set(true);
        while now(sim) < rested_at + STOP_MS_MAX && !self.stopped.get() {
            sim.step()?;
        }
        let ended_at = now(sim) + LAST_WAY_MS;
        while now(sim) < ended_at {
            sim.step()?;
        }
        self.ask_backends(sim);
        Ok(())
    }

    fn ask_backends(&self, sim: &Sim<'_>) {
        self.backends.iter().for_each(|backend| self.log.note_at(now(sim), backend.believes()));
    }
}

fn now(sim: &Sim<'_>) -> u64 {
    sim.elapsed().as_millis() as u64
}

/// What is to fail, and to be whole again.
struct Faults {
    /// When, what, and whether it begins then.
    due: Vec<(u64, Fault, bool)>,
}

impl Faults {
    fn new(plan: &Plan) -> Self {
        let mut due = Vec::new();
        for &(at, span, fault) in &plan.faults {
            due.push((at, fault, true));
            if !matches!(fault, Fault::ClockSet(_)) {
                due.push((at + span, fault, false));
            }
        }
        due.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
        Faults { due }
    }

    fn carry_out(&mut self, sim: &mut Sim<'_>, log: &Log) {
        while let Some((_, fault, begins)) = self.due.pop_if(|(at, ..)| *at <= now(sim)) {
            log.note_at(now(sim), What::Fault(fault, begins));
            match (fault, begins) {
                (Fault::Held(host), true) => sim.hold(GATEWAY, host),
                (Fault::Held(host), false) => sim.release(GATEWAY, host),
                (Fault::CutOff(host), true) => sim.partition(GATEWAY, host),
                (Fault::CutOff(host), false) => sim.repair(GATEWAY, host),
                (Fault::Crash(host), true) => sim.crash(host),
                (Fault::Crash(host), false) => sim.bounce(host),
                (Fault::Killed, true) => sim.crash(GATEWAY),
                (Fault::Killed, false) => sim.bounce(GATEWAY),
                (Fault::ClockSet(forward), true) => world::set_wall_clock(forward),
                (Fault::ClockSet(_), false) => {}
            }
        }
    }
}
