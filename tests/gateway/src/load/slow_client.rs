//! One client that never reads, while its backend sends to it as fast as it can, among others that must not notice.

use std::{
    io::{ErrorKind, Read},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use super::{
    cli::Crowding,
    client::Client,
    compare::mib,
    crowd::{Arrival, Course, Crowd},
    error::Failure,
    fair,
    report::{Figures, note},
    settings::Settings,
    subject::{Helper, Kind, Subject},
    text::{Charset, Texts},
    tokens,
    window::{Latency, add_latency, latency},
    wire,
};

const USER: &str = "slow";
/// What the backend sends to it, in one message.
const MESSAGE_BYTES: usize = 1024;
/// Between two floods, so that the others are seen at rest too.
const REST: Duration = Duration::from_millis(500);
/// How long a read of the slow client may take, once it reads.
const READ_LIMIT: Duration = Duration::from_secs(10);
/// How much may pile up for one client in the system's buffers of both sides, and in the gateway.
const FLOOD_BYTES_MAX: u64 = 256 << 20;

/// Floods a client that does not read, `rounds` times.
pub(super) fn slow_client(
    gateway: &Path,
    crowding: Crowding,
    rounds: u32,
    json: bool,
) -> Result<(), Failure> {
    let Crowding { clients, payload } = crowding;
    let mut subject = Subject::start(Kind::Gateway, gateway, &Settings::of(clients))?;
    let arrival = Arrival { address: subject.address, clients, send_buffer: None };
    let mut crowd = Crowd::connect(arrival, Texts::new(payload, Charset::Plain))?;
    let shared =
        Shared { stop: AtomicBool::new(false), flooding: AtomicBool::new(false), ended: AtomicU64::new(0) };
    let (began, address) = (crowd.began(), subject.address);
    let mut course = Others { shared: &shared, before: latency()?, during: latency()? };
    let backend = subject.backend()?;
    let closes = thread::scope(|scope| {
        let closes = scope.spawn({
            let shared = &shared;
            move || {
                let closes = (0..rounds)
                    .map(|_| flood(address, backend, shared, began))
                    .collect::<Result<Vec<_>, _>>();
                shared.stop.store(true, Relaxed);
                closes
            }
        });
        crowd.begin(&mut course);
        while !shared.stop.load(Relaxed) {
            crowd.run(Duration::from_millis(20), &mut course)?;
        }
        crowd.settle(&mut course)?;
        closes.join().unwrap_or_else(|_| Err(Failure::Unmet("the slow client has panicked".to_owned())))
    })?;
    crowd.faults.check()?;
    let mut figures = Figures::default();
    add_latency(&mut figures, "before", &course.before);
    add_latency(&mut figures, "during", &course.during);
    figures.add("during.echoes", course.during.len() as f64);
    for close in &closes {
        note(
            json,
            &format!(
                "closed with {:?} {:.1} ms after the flood began; the backend had sent {:.2} MiB, {:.2} MiB were there \
                 to be read",
                close.code,
                close.after.as_secs_f64() * 1e3,
                mib(close.sent),
                mib(close.read),
            ),
        );
        if close.code != Some(1013) || close.sent > FLOOD_BYTES_MAX {
            return Err(Failure::Unmet(format!("the slow client was not closed as it should be: {close:?}")));
        }
    }
    figures.add("slow.sent_mib_max", closes.iter().map(|close| mib(close.sent)).fold(0.0, f64::max));
    figures.add("slow.close_code", closes.first().and_then(|close| close.code).map_or(0.0, f64::from));
    figures.add("peak_resident_mib", mib(subject.probe.resident_peak()?));
    figures.print(json);
    Ok(())
}

/// What the flood and the crowd know of each other.
struct Shared {
    stop: AtomicBool,
    flooding: AtomicBool,
    /// When the last flood ended.
    ended: AtomicU64,
}

struct Others<'a> {
    shared: &'a Shared,
    before: Latency,
    during: Latency,
}

impl Course for Others<'_> {
    fn echoed(&mut self, client: &Client, now: u64) -> bool {
        // An echo belongs to a flood if any of its way does.
        let flooded = self.shared.flooding.load(Relaxed) || client.sent_at < self.shared.ended.load(Relaxed);
        let latency = if flooded { &mut self.during } else { &mut self.before };
        latency.saturating_record(now - client.sent_at);
        !self.shared.stop.load(Relaxed)
    }
}

/// How the slow client ended.
#[derive(Debug)]
struct Closed {
    code: Option<u16>,
    after: Duration,
    /// What the backend had sent to it by then, and what had come so far that it could read it.
    sent: u64,
    read: u64,
}

fn flood(
    address: SocketAddr,
    backend: &mut Helper,
    shared: &Shared,
    began: Instant,
) -> Result<Closed, Failure> {
    let mut slow = fair::enter(address, tokens::PATH, USER)?;
    slow.set_read_timeout(Some(READ_LIMIT))?;
    thread::sleep(REST);
    shared.flooding.store(true, Relaxed);
    let flood_began = Instant::now();
    backend.order(&format!("flood {USER} {MESSAGE_BYTES}"))?;
    let line = backend.hear();
    let after = flood_began.elapsed();
    shared.ended.store(began.elapsed().as_nanos() as u64, Relaxed);
    shared.flooding.store(false, Relaxed);
    let line = line?;
    let sent = line.rsplit(' ').next().and_then(|bytes| bytes.parse().ok()).unwrap_or(u64::MAX);
    let (code, read) = read_to_close(&mut slow)?;
    Ok(Closed { code, after, sent, read })
}

/// Reads all that is left, up to the close frame. Returns its code, and the bytes of messages before it.
fn read_to_close(slow: &mut TcpStream) -> Result<(Option<u16>, u64), Failure> {
    let (mut bytes, mut scratch, mut messages) = (Vec::new(), vec![0; 256 << 10], 0);
    loop {
        match slow.read(&mut scratch) {
            Ok(0) => return Ok((None, messages)),
            Ok(read) => bytes.extend_from_slice(&scratch[..read]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok((None, messages)),
            Err(error) => return Err(error.into()),
        }
        let mut used = 0;
        while let Some(frame) = wire::read(&mut bytes[used..]) {
            let payload = &bytes[used + frame.start..used + frame.end];
            match (frame.opcode, payload) {
                (wire::CLOSE, [a, b, ..]) => return Ok((Some(u16::from_be_bytes([*a, *b])), messages)),
                (wire::CLOSE, _) => return Ok((None, messages)),
                _ => messages += payload.len() as u64,
            }
            used += frame.end;
        }
        bytes.drain(..used);
    }
}
