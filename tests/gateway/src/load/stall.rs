//! A backend that does not read for a while: what the gateway holds then, and that nothing is lost.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::{
    cli::Crowding,
    client::Client,
    compare::mib,
    crowd::{Arrival, Course, Crowd},
    error::Failure,
    report::{Figures, note},
    settings::{PARKED_BYTES_MAX, PARKED_TOTAL_BYTES_MAX, QUEUE_HIGH_BYTES, READ_BYTES, Settings},
    subject::{Kind, Subject},
    text::{Charset, Texts},
};

/// How long everything flows before the backend stops reading.
const FLOW: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_secs(1);
const PRESS_EVERY: Duration = Duration::from_millis(50);
/// What the system takes from each client beyond what the gateway has read.
const SEND_BUFFER_BYTES: usize = 64 << 10;
/// How much longer than the stall the gateway waits for a Pong.
const PONG_SLACK_SECONDS: u64 = 60;
/// Messages that are given to a socket at once.
const BATCH: u32 = 16;

/// Lets the backend not read for `time` while the clients send at full speed.
pub(super) fn stall(gateway: &Path, crowding: Crowding, time: Duration, json: bool) -> Result<(), Failure> {
    let Crowding { clients, payload } = crowding;
    let pong_timeout_seconds = time.as_secs() + PONG_SLACK_SECONDS;
    let mut subject =
        Subject::start(Kind::Gateway, gateway, &Settings { pong_timeout_seconds, ..Settings::of(clients) })?;
    let arrival = Arrival { address: subject.address, clients, send_buffer: Some(SEND_BUFFER_BYTES) };
    let mut crowd = Crowd::connect(arrival, Texts::new(payload, Charset::Plain))?;
    let empty = subject.probe.resident()?;
    let mut course = FullSpeed { batch: BATCH };
    crowd.begin(&mut course);
    crowd.run(FLOW, &mut course)?;
    let (flowing, before) = (subject.probe.resident()?, crowd.received());

    subject.backend()?.order("pause")?;
    let (began, mut looked, mut most) = (Instant::now(), Instant::now(), 0);
    while began.elapsed() < time {
        crowd.run(PRESS_EVERY, &mut course)?;
        crowd.press(&mut course);
        if looked.elapsed() >= LOOK_EVERY {
            looked = Instant::now();
            let resident = subject.probe.resident()?;
            most = most.max(resident);
            let seconds = began.elapsed().as_secs();
            note(
                json,
                &format!("{seconds:>4} s {:>8.1} MiB, {} under way", mib(resident), crowd.outstanding()),
            );
        }
    }
    let held = crowd.outstanding();
    subject.backend()?.order("resume")?;
    course.batch = 0;
    let resumed = Instant::now();
    crowd.settle(&mut course)?;
    crowd.faults.check()?;

    let mut figures = Figures::default();
    figures.add("before.echoes", before as f64);
    figures.add("stall.messages_under_way", held as f64);
    figures.add("after.echoes_missing", 0.0);
    figures.add("after.seconds", resumed.elapsed().as_secs_f64());
    figures.add("empty.resident_mib", mib(empty));
    figures.add("flowing.resident_mib", mib(flowing));
    figures.add("stall.resident_mib_max", mib(most));
    figures.add("stall.bound_mib", mib(empty + bound(clients, crowd.texts.bytes())));
    figures.add("peak_resident_mib", mib(subject.probe.resident_peak()?));
    figures.print(json);
    Ok(())
}

/// What a stalled gateway may hold beyond what it held empty, by its configuration: the link's queue, which may have
/// grown by doubling; what clients have parked, one message more each; and what was left of a read when the gateway
/// stopped reading.
fn bound(clients: u32, payload: usize) -> u64 {
    let parked = (PARKED_BYTES_MAX + payload as u64) * u64::from(clients);
    let parked = parked.min(PARKED_TOTAL_BYTES_MAX + payload as u64);
    2 * QUEUE_HIGH_BYTES + parked + READ_BYTES * u64::from(clients)
}

/// Everybody sends as fast as the sockets take it.
pub(super) struct FullSpeed {
    /// Messages that are given to a socket at once; 0: none any more.
    pub(super) batch: u32,
}

impl Course for FullSpeed {
    fn echoed(&mut self, _: &Client, _: u64) -> bool {
        false
    }

    fn more(&mut self, _: &Client) -> u32 {
        self.batch
    }
}
