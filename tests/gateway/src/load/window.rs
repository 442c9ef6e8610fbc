//! What is measured over a span of time, while the clients do one of two things: each sends its next message when the
//! echo of the last has come (a closed loop), or all together send at a fixed rate whatever comes (an open loop).

use std::{
    io::Write,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use mio::net::TcpStream;

use super::{
    client::Client,
    crowd::{Course, Crowd},
    error::Failure,
    process::{Probe, Usage},
    report::Figures,
    text::Texts,
    wire::{self, Masks},
};

/// How long the clients run before anything is measured.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long a full socket is left alone before the next try.
const FULL_PAUSE: Duration = Duration::from_micros(200);

/// Latencies in nanoseconds, to three digits.
pub(super) type Latency = Histogram<u64>;

/// Whatever takes longer counts as this.
const LATENCY_MAX: Duration = Duration::from_secs(120);

/// A histogram with nothing in it.
pub(super) fn latency() -> Result<Latency, Failure> {
    Histogram::new_with_max(LATENCY_MAX.as_nanos() as u64, 3)
        .map_err(|error| Failure::Unmet(error.to_string()))
}

/// What was measured.
struct Window {
    time: Duration,
    echoes: u64,
    used: Usage,
    latency: Latency,
}

impl Window {
    fn figures(&self, name: &str) -> Figures {
        let per_echo = |amount: u64| amount as f64 / self.echoes.max(1) as f64;
        let mut figures = Figures::default();
        figures.add(format!("{name}.messages_per_s"), self.echoes as f64 / self.time.as_secs_f64());
        figures.add(format!("{name}.cpu_us"), per_echo(self.used.cpu_ns) / 1e3);
        add_latency(&mut figures, name, &self.latency);
        figures.add(format!("{name}.sleeps_per_1000"), per_echo(self.used.sleeps) * 1e3);
        figures
    }
}

/// The quantiles that are reported, in microseconds.
pub(super) fn add_latency(figures: &mut Figures, name: &str, latency: &Latency) {
    for (which, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
        figures.add(format!("{name}.{which}_us"), latency.value_at_quantile(quantile) as f64 / 1e3);
    }
}

/// Runs a closed loop of one message in flight per client.
pub(super) fn closed(
    name: &str,
    crowd: &mut Crowd,
    probe: &Probe,
    time: Duration,
) -> Result<Figures, Failure> {
    run_closed(name, crowd, probe, time, Closed::new(latency()?))
}

/// Runs a closed loop of one message in flight per `fan` clients, which all of them get; each delivery counts. The
/// backend must have been told.
pub(super) fn fan_out(
    crowd: &mut Crowd,
    probe: &Probe,
    fan: u32,
    time: Duration,
) -> Result<Figures, Failure> {
    crowd.regroup(fan);
    run_closed(&format!("fan_out_{fan}"), crowd, probe, time, Closed::new(latency()?))
}

fn run_closed(
    name: &str,
    crowd: &mut Crowd,
    probe: &Probe,
    time: Duration,
    mut course: Closed,
) -> Result<Figures, Failure> {
    crowd.begin(&mut course);
    crowd.run(WARM_UP, &mut course)?;
    course.latency.reset();
    let window = measure(crowd, probe, |crowd| crowd.run(time, &mut course))?;
    let window = Window { latency: course.latency.clone(), ..window };
    course.stop();
    crowd.settle(&mut course)?;
    crowd.faults.check()?;
    Ok(window.figures(name))
}

/// Who has heard its own last message says the next.
pub(super) struct Closed {
    going: bool,
    latency: Latency,
}

impl Closed {
    pub(super) const fn new(latency: Latency) -> Self {
        Closed { going: true, latency }
    }

    pub(super) const fn stop(&mut self) {
        self.going = false;
    }
}

impl Course for Closed {
    fn begins(&self, client: &Client) -> bool {
        client.speaker == client.id
    }

    fn echoed(&mut self, client: &Client, now: u64) -> bool {
        if !self.begins(client) {
            return false;
        }
        self.latency.saturating_record(now - client.sent_at);
        self.going
    }
}

/// Runs an open loop of `rate` messages in a second; latency counts from when each should have been sent.
pub(super) fn open(crowd: &mut Crowd, probe: &Probe, rate: u32, time: Duration) -> Result<Figures, Failure> {
    let plan = Plan {
        start: crowd.began().elapsed() + Duration::from_millis(10),
        interval: Duration::from_secs(1) / rate,
        clients: crowd.clients.len() as u32,
        messages: (f64::from(rate) * (WARM_UP + time).as_secs_f64()) as u32,
    };
    let first = crowd.clients.iter().map(|client| client.sent).collect();
    let mut course = Open { plan, first, latency: latency()? };
    let mut sender = Sender::new(crowd, plan);
    let window = thread::scope(|scope| {
        let sender = scope.spawn(move || sender.run());
        crowd.run(WARM_UP, &mut course)?;
        course.latency.reset();
        let window = measure(crowd, probe, |crowd| crowd.run(time, &mut course))?;
        while !sender.is_finished() {
            crowd.run(Duration::from_millis(1), &mut course)?;
        }
        Ok::<_, Failure>(window)
    })?;
    let window = Window { latency: course.latency.clone(), ..window };
    for client in &mut crowd.clients {
        client.sent += plan.share(client.id);
    }
    crowd.settle(&mut course)?;
    crowd.faults.check()?;
    Ok(window.figures(&format!("open_{rate}")))
}

/// When each message of an open loop is to be sent: the clients take turns.
#[derive(Clone, Copy)]
struct Plan {
    /// Since the crowd began.
    start: Duration,
    interval: Duration,
    clients: u32,
    messages: u32,
}

impl Plan {
    fn due(&self, message: u32) -> Duration {
        self.start + self.interval * message
    }

    /// How many of the messages are this client's.
    fn share(&self, client: u32) -> u32 {
        (self.messages + self.clients - 1 - client) / self.clients
    }
}

struct Open {
    plan: Plan,
    /// The number of each client's first message of this loop.
    first: Vec<u32>,
    latency: Latency,
}

impl Course for Open {
    fn echoed(&mut self, client: &Client, now: u64) -> bool {
        let nth = client.received - 1 - self.first[client.id as usize];
        let due = self.plan.due(nth * self.plan.clients + client.id).as_nanos() as u64;
        self.latency.saturating_record(now.saturating_sub(due));
        false
    }
}

/// Sends at the fixed rate, in a thread of its own, so that it sleeps to the microsecond.
struct Sender {
    plan: Plan,
    began: Instant,
    streams: Vec<(Arc<TcpStream>, u32)>,
    texts: Texts,
}

impl Sender {
    fn new(crowd: &Crowd, plan: Plan) -> Self {
        let streams = crowd.clients.iter().map(|client| (Arc::clone(&client.stream), client.sent)).collect();
        Sender { plan, began: crowd.began(), streams, texts: crowd.texts.clone() }
    }

    fn run(&mut self) {
        let (mut frame, mut masks) = (Vec::new(), Masks::new());
        for message in 0..self.plan.messages {
            if let Some(early) = self.plan.due(message).checked_sub(self.began.elapsed()) {
                thread::sleep(early);
            }
            let client = message % self.plan.clients;
            let (stream, number) = &mut self.streams[client as usize];
            frame.clear();
            wire::write(&mut frame, wire::TEXT, Some(masks.next()), self.texts.bytes(), |out| {
                self.texts.write(client, *number, out);
            });
            *number += 1;
            write_all(stream, &frame);
        }
    }
}

/// Writes to a socket that does not block. What cannot be written shows as missing.
fn write_all(mut stream: &TcpStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => thread::sleep(FULL_PAUSE),
            Err(_) => return,
        }
    }
}

/// Measures all but latency while `run` runs.
fn measure(
    crowd: &mut Crowd,
    probe: &Probe,
    run: impl FnOnce(&mut Crowd) -> std::io::Result<()>,
) -> Result<Window, Failure> {
    let (began, echoes, used) = (Instant::now(), crowd.received(), probe.usage()?);
    run(crowd)?;
    let (time, now) = (began.elapsed(), probe.usage()?);
    let used = Usage { cpu_ns: now.cpu_ns - used.cpu_ns, sleeps: now.sleeps - used.sleeps };
    Ok(Window { time, echoes: crowd.received() - echoes, used, latency: latency()? })
}
