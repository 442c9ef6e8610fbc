//! Everybody at once, as after a restart: how long it takes until all are served, what it costs, what goes wrong; and
//! what one notices who is in session already.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io::{self, ErrorKind, Read, Write},
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token, net::TcpStream};

use super::{
    client::connect,
    compare::mib,
    error::Failure,
    report::Figures,
    settings::Settings,
    subject::{Kind, Subject},
    tokens::{Issuer, Signing, request_with, user},
    wire::{self, Masks},
};

/// How a storm goes.
pub(super) struct Storm<'a> {
    pub(super) clients: u32,
    pub(super) algorithm: Signing,
    /// How often a client comes at most.
    pub(super) tries: u32,
    /// More lines for the configuration.
    pub(super) with: &'a [String],
    /// The gateway is one that knows no limits on addresses.
    pub(super) unlimited: bool,
}

/// How long a client waits for an answer, and before it comes again after an error that does not say when.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// How long the storm may last.
const PATIENCE: Duration = Duration::from_secs(180);
/// The longest time that is told from a longer one.
const MICROS_MAX: u64 = 600_000_000;
const EVENTS_MAX: usize = 1024;
const NAP: Duration = Duration::from_millis(5);
/// How often the one in session says something.
const SAY_EVERY: Duration = Duration::from_millis(2);

/// Lets everybody come at once.
pub(super) fn storm(gateway: &Path, storm: &Storm<'_>, json: bool) -> Result<(), Failure> {
    let issuer = Issuer::new(storm.algorithm)?;
    let mut settings = Settings::of(storm.clients);
    settings.algorithm = storm.algorithm;
    settings.public_key = issuer.public_key();
    if storm.unlimited {
        settings.with.clear();
    }
    settings.with.extend_from_slice(storm.with);
    // Before the gateway begins: what makes tokens costs more than what checks them.
    let tokens: Result<Vec<_>, _> = (0..storm.clients).map(|client| issuer.token(&user(client))).collect();
    let subject = Subject::start(Kind::Gateway, gateway, &settings)?;
    let requests: Vec<_> = tokens?.iter().map(|token| request_with(subject.address, token)).collect();
    let calm = InSession::enter(subject.address, &issuer)?;
    let calm = calm.measure_until(|| {
        thread::sleep(Duration::from_secs(1));
        Ok(())
    })?;
    let (empty, before) = (subject.probe.resident()?, subject.probe.usage()?);

    let mut gathered = None;
    let session = calm.session.measure_until(|| {
        gathered = Some(gather(subject.address, &requests, storm.tries)?);
        Ok(())
    })?;
    let after = subject.probe.usage()?;
    let Some(gathered) = gathered else { return Err(Failure::Unmet("there was no storm".to_owned())) };

    let mut figures = Figures::default();
    figures.add("all_served_s", gathered.last_served.as_secs_f64());
    figures.add("served", gathered.served.len() as f64);
    figures.add("served.p50_ms", gathered.served.value_at_quantile(0.5) as f64 / 1e3);
    figures.add("served.p99_ms", gathered.served.value_at_quantile(0.99) as f64 / 1e3);
    figures.add("tries", gathered.tries as f64);
    figures.add("told_to_come_again", gathered.told as f64);
    figures.add("errors", gathered.errors as f64);
    figures.add("gave_up", gathered.gave_up as f64);
    figures.add("cpu_us_per_client", (after.cpu_ns - before.cpu_ns) as f64 / 1e3 / f64::from(storm.clients));
    figures.add("empty.resident_mib", mib(empty));
    figures.add("peak_resident_mib", mib(subject.probe.resident_peak()?));
    for (name, echoes) in [("before", &calm.echoes), ("during", &session.echoes)] {
        figures.add(format!("in_session.{name}.p50_ms"), echoes.value_at_quantile(0.5) as f64 / 1e3);
        figures.add(format!("in_session.{name}.p99_ms"), echoes.value_at_quantile(0.99) as f64 / 1e3);
        figures.add(format!("in_session.{name}.max_ms"), echoes.max() as f64 / 1e3);
    }
    figures.print(json);
    Ok(())
}

/// What became of all.
struct Gathered {
    /// From the beginning of the storm until each was served, in microseconds.
    served: Histogram<u64>,
    last_served: Duration,
    tries: u64,
    told: u64,
    errors: u64,
    gave_up: u64,
    /// They stay until they have been measured.
    _open: Vec<TcpStream>,
}

/// One client that has not been served yet.
struct Comer {
    stream: Option<TcpStream>,
    tries: u32,
    since: Instant,
    written: usize,
    read: Vec<u8>,
}

/// What one try has come to.
enum End {
    Served,
    /// To come again, in so many seconds.
    Told(u64),
    Failed,
}

fn gather(address: SocketAddr, requests: &[String], tries_max: u32) -> Result<Gathered, Failure> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(EVENTS_MAX);
    let began = Instant::now();
    let new = || Comer { stream: None, tries: 0, since: began, written: 0, read: Vec::new() };
    let mut comers: Vec<Comer> = requests.iter().map(|_| new()).collect();
    let mut due: BinaryHeap<Reverse<(Instant, usize)>> =
        (0..comers.len()).map(|at| Reverse((began, at))).collect();
    let mut gathered = Gathered {
        served: Histogram::new_with_max(MICROS_MAX, 3)
            .map_err(|_| Failure::Unmet("no histogram".to_owned()))?,
        last_served: Duration::ZERO,
        tries: 0,
        told: 0,
        errors: 0,
        gave_up: 0,
        _open: Vec::new(),
    };
    let mut left = comers.len();
    let mut looked = began;
    while left > 0 && began.elapsed() < PATIENCE {
        let mut ended = Vec::new();
        // A few at a time, so that answers are taken meanwhile.
        for _ in 0..64 {
            let now = Instant::now();
            let Some(Reverse((at, client))) = due.pop_if_due(now) else { break };
            let comer = &mut comers[client];
            (comer.tries, comer.since, comer.written) = (comer.tries + 1, at.max(began), 0);
            comer.read.clear();
            gathered.tries += 1;
            match connect(address, None) {
                Ok(mut stream) => {
                    let both = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut stream, Token(client), both)?;
                    comer.stream = Some(stream);
                    comer.since = now;
                }
                Err(_) => ended.push((client, End::Failed)),
            }
        }
        let nap = match due.peek() {
            Some(Reverse((at, _))) => at.saturating_duration_since(Instant::now()).min(NAP),
            None => NAP,
        };
        match poll.poll(&mut events, Some(nap)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &events {
            let client = event.token().0;
            let Some(end) = comers[client].go_on(&requests[client]) else { continue };
            ended.push((client, end));
        }
        if looked.elapsed() > Duration::from_secs(1) {
            looked = Instant::now();
            let is_late = |comer: &Comer| comer.stream.is_some() && comer.since.elapsed() > ANSWER_LIMIT;
            let late = comers.iter().enumerate().filter(|(_, comer)| is_late(comer));
            ended.extend(late.map(|(client, _)| (client, End::Failed)));
        }
        for (client, end) in ended {
            let comer = &mut comers[client];
            let stream = comer.stream.take();
            let again = match end {
                End::Served => {
                    let took = began.elapsed();
                    gathered.served.saturating_record(took.as_micros() as u64);
                    gathered.last_served = gathered.last_served.max(took);
                    gathered._open.extend(stream);
                    left -= 1;
                    continue;
                }
                End::Told(seconds) => {
                    gathered.told += 1;
                    Duration::from_secs(seconds)
                }
                End::Failed => {
                    gathered.errors += 1;
                    AFTER_ERROR
                }
            };
            if comer.tries >= tries_max {
                gathered.gave_up += 1;
                left -= 1;
            } else {
                due.push(Reverse((Instant::now() + again, client)));
            }
        }
    }
    gathered.gave_up += left as u64;
    Ok(gathered)
}

trait PopIfDue {
    fn pop_if_due(&mut self, now: Instant) -> Option<Reverse<(Instant, usize)>>;
}

impl PopIfDue for BinaryHeap<Reverse<(Instant, usize)>> {
    fn pop_if_due(&mut self, now: Instant) -> Option<Reverse<(Instant, usize)>> {
        if self.peek()?.0.0 <= now { self.pop() } else { None }
    }
}

impl Comer {
    /// Goes on as far as the socket lets it.
    fn go_on(&mut self, request: &str) -> Option<End> {
        let stream = self.stream.as_mut()?;
        while self.written < request.len() {
            match stream.write(&request.as_bytes()[self.written..]) {
                Ok(bytes) => self.written += bytes,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // An answer may have come before.
                Err(_) => break,
            }
        }
        let mut buffer = [0; 2048];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return Some(End::Failed),
                Ok(bytes) => self.read.extend_from_slice(&buffer[..bytes]),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == ErrorKind::NotConnected => return None,
                Err(_) => return Some(End::Failed),
            }
            if let Some(end) = wire::find(&self.read, wire::HEAD_END) {
                return Some(judge(&self.read[..end]));
            }
        }
    }
}

fn judge(head: &[u8]) -> End {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    if head.starts_with("http/1.1 101") {
        return End::Served;
    }
    let seconds = head.lines().find_map(|line| line.strip_prefix("retry-after:"));
    match seconds.and_then(|seconds| seconds.trim().parse().ok()) {
        Some(seconds) if head.starts_with("http/1.1 503") || head.starts_with("http/1.1 429") => {
            End::Told(seconds)
        }
        _ => End::Failed,
    }
}

/// Somebody who is in session, and has a word echoed every few milliseconds.
struct InSession {
    stream: std::net::TcpStream,
    masks: Masks,
}

/// What that one has noticed.
struct Noticed {
    session: InSession,
    /// How long echoes took, in microseconds.
    echoes: Histogram<u64>,
}

impl InSession {
    fn enter(address: SocketAddr, issuer: &Issuer) -> Result<InSession, Failure> {
        let mut stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.write_all(request_with(address, &issuer.token("calm")?).as_bytes())?;
        let mut head = Vec::new();
        while wire::find(&head, wire::HEAD_END).is_none() {
            let mut byte = [0; 1];
            stream.read_exact(&mut byte)?;
            head.extend(byte);
        }
        if !head.starts_with(b"HTTP/1.1 101") {
            return Err(Failure::Handshakes { wanted: 1, open: 0 });
        }
        Ok(InSession { stream, masks: Masks::new() })
    }

    /// Measures beside `work`, in a thread of its own.
    fn measure_until(mut self, work: impl FnOnce() -> Result<(), Failure>) -> Result<Noticed, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let measuring = thread::spawn(move || {
            let mut echoes = Histogram::<u64>::new_with_max(MICROS_MAX, 3).map_err(|_| ErrorKind::Other)?;
            while !stopped.load(Ordering::Relaxed) {
                let began = Instant::now();
                self.echo()?;
                echoes.saturating_record(began.elapsed().as_micros() as u64);
                thread::sleep(SAY_EVERY);
            }
            Ok::<_, io::Error>(Noticed { session: self, echoes })
        });
        let worked = work();
        stop.store(true, Ordering::Relaxed);
        let noticed =
            measuring.join().map_err(|_| Failure::Unmet("the one in session panicked".to_owned()))?;
        worked?;
        Ok(noticed?)
    }

    fn echo(&mut self) -> io::Result<()> {
        let mut out = Vec::new();
        wire::write(&mut out, wire::TEXT, Some(self.masks.next()), 5, |out| out.extend(b"hello"));
        self.stream.write_all(&out)?;
        let mut frame = [0; 7];
        self.stream.read_exact(&mut frame)?;
        if frame == *b"\x81\x05hello" { Ok(()) } else { Err(ErrorKind::InvalidData.into()) }
    }
}
