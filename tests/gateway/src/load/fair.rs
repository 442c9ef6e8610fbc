//! Clients that send now and then, beside others that send all that they can: how long the former wait for their echoes.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use super::{
    client::Client,
    compare::mib,
    crowd::{Arrival, Course, Crowd},
    error::Failure,
    report::{Figures, note},
    settings::{Rates, Settings},
    subject::{Helper, Kind, Subject},
    text::{Charset, Texts},
    tokens::{self, PATH},
    window::{Latency, latency},
    wire,
};

/// What the polite clients send, all together, in a second, and how large each message is.
const POLITE_PER_SECOND: u32 = 1000;
pub(super) const POLITE_BYTES: usize = 128;
/// How long the others have been at it before anything is measured.
const WARM_UP: Duration = Duration::from_secs(1);
/// What a greedy client gives to its socket at once, and how large its small messages are.
const CHUNK_BYTES: usize = 64 << 10;
const SMALL_BYTES: usize = 32;
const LARGE_BYTES: usize = 128 << 10;
const GIANT_BYTES: usize = 16 << 20;
/// A large action, and how often one comes.
const ACTION_BYTES: usize = 3 << 20;
const ACTION_EVERY: Duration = Duration::from_millis(100);
/// How long a socket may take nothing before its owner looks whether all is over.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How it goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Who are polite.
    pub(super) clients: u32,
    /// Of each case.
    pub(super) time: Duration,
    pub(super) rates: Rates,
    /// 0: as fast as it can.
    pub(super) backend_bytes_per_ms: usize,
}

/// Who disturbs the others.
#[derive(Clone, Copy, Debug)]
struct Case {
    name: &'static str,
    /// How many send as fast as they can, and messages of what size.
    greedy: u32,
    bytes: usize,
    /// Whether the backend sends large actions to one of them, who says nothing.
    actions: bool,
}

const CASES: [Case; 6] = [
    Case { name: "alone", greedy: 0, bytes: 0, actions: false },
    Case { name: "one_sends_32_b", greedy: 1, bytes: SMALL_BYTES, actions: false },
    Case { name: "ten_send_32_b", greedy: 10, bytes: SMALL_BYTES, actions: false },
    Case { name: "one_sends_128_kib", greedy: 1, bytes: LARGE_BYTES, actions: false },
    Case { name: "one_sends_16_mib", greedy: 1, bytes: GIANT_BYTES, actions: false },
    Case { name: "one_gets_3_mib", greedy: 0, bytes: 0, actions: true },
];

/// Measures each case in fresh processes.
pub(super) fn fair(gateway: &Path, plan: Plan, json: bool) -> Result<(), Failure> {
    let mut figures = Figures::default();
    let mut alone = None;
    note(
        json,
        "| case | p50, ms | p99, ms | most, ms | p50, factor | p99, factor | greedy, MiB/s | peak, MiB |",
    );
    note(json, "|---|---:|---:|---:|---:|---:|---:|---:|");
    for case in CASES {
        let run = run(gateway, plan, case)?;
        let ms = |quantile| run.latency.value_at_quantile(quantile) as f64 / 1e6;
        let (p50, p99, most) = (ms(0.5), ms(0.99), ms(1.0));
        let (calm50, calm99) = *alone.get_or_insert((p50, p99));
        let (name, greedy, peak) = (case.name, run.greedy_mib_per_s, run.peak_mib);
        let (by50, by99) = (p50 / calm50, p99 / calm99);
        note(
            json,
            &format!(
                "| {name} | {p50:.2} | {p99:.2} | {most:.2} | {by50:.1} | {by99:.1} | {greedy:.1} | {peak:.1} |"
            ),
        );
        for (what, value) in
            [("p50_ms", p50), ("p99_ms", p99), ("max_ms", most), ("greedy_mib_per_s", greedy)]
        {
            figures.add(format!("{name}.{what}"), value);
        }
    }
    if json {
        figures.print(json);
    }
    Ok(())
}

/// What a case came to.
struct Outcome {
    latency: Latency,
    greedy_mib_per_s: f64,
    peak_mib: f64,
}

fn run(gateway: &Path, plan: Plan, case: Case) -> Result<Outcome, Failure> {
    let message_bytes_max = case.bytes.max(LARGE_BYTES);
    let settings = Settings { rates: plan.rates, message_bytes_max, ..Settings::of(plan.clients) };
    let mut subject = Subject::start(Kind::Gateway, gateway, &settings)?;
    let address = subject.address;
    let arrival = Arrival { address, clients: plan.clients, send_buffer: None };
    let mut crowd = Crowd::connect(arrival, Texts::new(POLITE_BYTES, Charset::Plain))?;
    let mut course = Polite::new()?;
    let backend = subject.backend()?;
    if plan.backend_bytes_per_ms > 0 {
        backend.order(&format!("pace {}", plan.backend_bytes_per_ms))?;
    }
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let measured = thread::scope(|scope| {
        for number in 0..case.greedy {
            scope.spawn({
                let (stop, sent) = (&stop, &sent);
                move || greedy(address, PATH, number, case.bytes, stop, sent)
            });
        }
        if case.actions {
            let stop = &stop;
            scope.spawn(move || gets_actions(address, backend, stop));
        }
        let measured = measure(&mut crowd, plan, &mut course, &sent);
        stop.store(true, Relaxed);
        measured
    })?;
    crowd.settle(&mut course)?;
    crowd.faults.check()?;
    let seconds = plan.time.as_secs_f64();
    Ok(Outcome {
        latency: measured.0,
        greedy_mib_per_s: mib(measured.1) / seconds,
        peak_mib: mib(subject.probe.resident_peak()?),
    })
}

/// Returns how long the polite waited, and what the greedy sent meanwhile.
pub(super) fn measure(
    crowd: &mut Crowd,
    plan: Plan,
    course: &mut Polite,
    sent: &AtomicU64,
) -> Result<(Latency, u64), Failure> {
    let interval = Duration::from_secs(1) / POLITE_PER_SECOND;
    course.every = (interval * plan.clients).as_nanos() as u64;
    converse(crowd, WARM_UP, interval, course)?;
    course.latency.reset();
    let before = sent.load(Relaxed);
    converse(crowd, plan.time, interval, course)?;
    Ok((course.latency.clone(), sent.load(Relaxed) - before))
}

/// Each in turn says something, if the echo of its last has come.
fn converse(
    crowd: &mut Crowd,
    time: Duration,
    interval: Duration,
    course: &mut Polite,
) -> Result<(), Failure> {
    let (began, clients) = (Instant::now(), crowd.clients.len() as u32);
    let mut turn = 0;
    while began.elapsed() < time {
        while interval * turn <= began.elapsed() {
            let now = crowd.began().elapsed().as_nanos() as u64;
            let client = &mut crowd.clients[(turn % clients) as usize];
            if client.is_open() && client.sent == client.received {
                client.say(&crowd.texts, &mut crowd.masks);
                client.sent_at = now;
                client.flush();
            }
            turn += 1;
        }
        crowd.turn((interval * turn).saturating_sub(began.elapsed()), course)?;
    }
    Ok(())
}

/// Clients that say something now and then.
pub(super) struct Polite {
    latency: Latency,
    /// How often each wants to say something, in nanoseconds: whoever waits longer would have waited again.
    every: u64,
}

impl Polite {
    pub(super) fn new() -> Result<Self, Failure> {
        Ok(Polite { latency: latency()?, every: 0 })
    }
}

impl Course for Polite {
    fn echoed(&mut self, client: &Client, now: u64) -> bool {
        // What is longer than the histogram is as long as it is.
        let _ = self.latency.record_correct(now.saturating_sub(client.sent_at), self.every);
        false
    }
}

/// Sends as fast as it can, and reads what comes.
pub(super) fn greedy(
    address: SocketAddr,
    path: &str,
    number: u32,
    bytes: usize,
    stop: &AtomicBool,
    sent: &AtomicU64,
) -> Result<(), Failure> {
    // What is large need not come back.
    let kind = if bytes > SMALL_BYTES { "mute" } else { "greedy" };
    let mut stream = enter(address, path, &format!("{kind}{number}"))?;
    stream.set_write_timeout(Some(LOOK_EVERY))?;
    let mut chunk = Vec::new();
    while chunk.is_empty() || chunk.len() + bytes < CHUNK_BYTES {
        wire::write(&mut chunk, wire::TEXT, Some([1, 2, 3, 4]), bytes, |out| {
            out.resize(out.len() + bytes, b'x')
        });
    }
    let reading = stream.try_clone()?;
    thread::scope(|scope| {
        scope.spawn(move || drain(reading));
        while !stop.load(Relaxed) {
            let mut rest = &chunk[..];
            while !rest.is_empty() && !stop.load(Relaxed) {
                match stream.write(rest) {
                    Ok(written) => {
                        rest = &rest[written..];
                        sent.fetch_add(written as u64, Relaxed);
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        stream.shutdown(Shutdown::Both)?;
        Ok(())
    })
}

/// The backend sends it one large message after the other.
fn gets_actions(address: SocketAddr, backend: &mut Helper, stop: &AtomicBool) -> Result<(), Failure> {
    let stream = enter(address, PATH, "mute")?;
    let reading = stream.try_clone()?;
    thread::scope(|scope| {
        scope.spawn(move || drain(reading));
        while !stop.load(Relaxed) {
            backend.order(&format!("give mute {ACTION_BYTES}"))?;
            thread::sleep(ACTION_EVERY);
        }
        stream.shutdown(Shutdown::Both)?;
        Ok(())
    })
}

/// Reads until the connection ends.
fn drain(mut stream: TcpStream) {
    let mut scratch = vec![0; 256 << 10];
    while matches!(stream.read(&mut scratch), Ok(1..)) {}
}

/// A client of its own, let in.
pub(super) fn enter(address: SocketAddr, path: &str, user: &str) -> Result<TcpStream, Failure> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.write_all(tokens::request_at(address, path, user)?.as_bytes())?;
    let (mut byte, mut end) = ([0; 1], 0);
    while end < wire::HEAD_END.len() {
        stream.read_exact(&mut byte)?;
        end = if byte[0] == wire::HEAD_END[end] { end + 1 } else { usize::from(byte[0] == b'\r') };
    }
    Ok(stream)
}
