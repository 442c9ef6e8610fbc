//! What a gateway holds after a burst of large messages, and after its backend has lagged: memory must come back.

use std::{path::Path, thread, time::Duration};

use super::{
    cli::Crowding,
    compare::mib,
    crowd::{Arrival, Crowd, Quiet},
    error::Failure,
    report::{Figures, progress},
    settings::Settings,
    stall::FullSpeed,
    subject::{Kind, Subject},
    text::{Charset, Texts},
    window,
};

/// How long it is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(1);
/// When its memory is read again.
const LATER: Duration = Duration::from_secs(10);
/// Small messages, between the bursts.
const SMALL_BYTES: usize = 128;
const SMALL_TIME: Duration = Duration::from_secs(1);
const PRESS_EVERY: Duration = Duration::from_millis(50);
/// What the system takes from each client beyond what the gateway has read.
const SEND_BUFFER_BYTES: usize = 64 << 10;

/// Lets the clients have large messages echoed for `time`, then small ones while the backend does not read for as long;
/// after each the clients fall silent.
pub(super) fn burst(
    kind: Kind,
    gateway: &Path,
    crowding: Crowding,
    time: Duration,
    json: bool,
) -> Result<(), Failure> {
    let Crowding { clients, payload } = crowding;
    let mut subject = Subject::start(kind, gateway, &Settings::of(clients))?;
    let arrival = Arrival { address: subject.address, clients, send_buffer: Some(SEND_BUFFER_BYTES) };
    let mut crowd = Crowd::connect(arrival, Texts::new(SMALL_BYTES, Charset::Plain))?;
    let mut figures = Figures::default();
    // So that what every session needs is there.
    window::closed("small", &mut crowd, &subject.probe, SMALL_TIME)?;
    note(&mut figures, &subject, &mut crowd, "idle")?;
    crowd.texts = Texts::new(payload, Charset::Plain);
    window::closed("large", &mut crowd, &subject.probe, time)?;
    note(&mut figures, &subject, &mut crowd, "after_large")?;
    figures.add("peak_resident_mib", mib(subject.probe.resident_peak()?));
    crowd.texts = Texts::new(SMALL_BYTES, Charset::Plain);
    if kind.is_relay() {
        let mut course = FullSpeed { batch: 1 };
        subject.backend()?.order("pause")?;
        for _ in 0..time.as_millis() / PRESS_EVERY.as_millis() {
            crowd.run(PRESS_EVERY, &mut course)?;
            crowd.press(&mut course);
        }
        figures.add("lagging.resident_mib", mib(subject.probe.resident()?));
        course.batch = 0;
        subject.backend()?.order("resume")?;
        crowd.settle(&mut course)?;
        crowd.faults.check()?;
        note(&mut figures, &subject, &mut crowd, "after_lag")?;
        figures.add("peak_resident_mib.lag", mib(subject.probe.resident_peak()?));
    }
    figures.print(json);
    Ok(())
}

/// Reads its memory when all has been silent for a while, and a while later.
fn note(figures: &mut Figures, subject: &Subject, crowd: &mut Crowd, what: &str) -> Result<(), Failure> {
    progress(what);
    thread::sleep(SETTLE);
    figures.add(format!("{what}.resident_mib"), mib(subject.probe.resident()?));
    // Pings may come.
    crowd.run(LATER, &mut Quiet)?;
    figures.add(format!("{what}_later.resident_mib"), mib(subject.probe.resident()?));
    Ok(())
}
