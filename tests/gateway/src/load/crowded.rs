//! Very many clients: what they cost while they do nothing, and whether all is well while they do something.

use std::path::Path;

use super::{
    cli::Crowding,
    client::Client,
    compare::{arrive, mib},
    crowd::{Arrival, Course, Crowd},
    error::Failure,
    settings::Settings,
    subject::{Kind, Subject},
    text::{Charset, Texts},
};

/// Measures a subject with clients that do nothing.
pub(super) fn idle(kind: Kind, gateway: &Path, crowding: Crowding, json: bool) -> Result<(), Failure> {
    let subject = Subject::start(kind, gateway, &Settings::of(crowding.clients))?;
    let empty = subject.probe.resident()?;
    let (_crowd, mut figures) = arrive(&subject, crowding)?;
    figures.add("empty.resident_mib", mib(empty));
    figures.add("idle.resident_mib", mib(subject.probe.resident()?));
    figures.add("peak_resident_mib", mib(subject.probe.resident_peak()?));
    figures.print(json);
    Ok(())
}

/// Lets each client of a gateway have `messages` echoed, one after the other, with characters that JSON escapes.
pub(super) fn soak(gateway: &Path, crowding: Crowding, messages: u32, json: bool) -> Result<(), Failure> {
    let Crowding { clients, payload } = crowding;
    let subject = Subject::start(Kind::Gateway, gateway, &Settings::of(clients))?;
    let arrival = Arrival { address: subject.address, clients, send_buffer: None };
    let mut crowd = Crowd::connect(arrival, Texts::new(payload, Charset::Mixed))?;
    let mut course = Soak { messages };
    crowd.begin(&mut course);
    crowd.settle(&mut course)?;
    crowd.faults.check()?;
    let (received, wanted) = (crowd.received(), u64::from(clients) * u64::from(messages));
    if received != wanted {
        return Err(Failure::Unmet(format!("{received} echoes came, of {wanted}")));
    }
    let mut figures = super::report::Figures::default();
    figures.add("echoes", received as f64);
    figures.add("peak_resident_mib", mib(subject.probe.resident_peak()?));
    figures.print(json);
    Ok(())
}

struct Soak {
    messages: u32,
}

impl Course for Soak {
    fn echoed(&mut self, client: &Client, _: u64) -> bool {
        client.sent < self.messages
    }
}
