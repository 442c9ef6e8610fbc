//! Whatever a test is about, the gateways that it starts are held against the laws, and a breach fails it.

use std::{fmt, sync::Once};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// From now on a gateway in this process that says that a law is broken panics.
pub(super) fn insist() {
    static ONCE: Once = Once::new();
    // Where something else listens already, that is what is wanted.
    ONCE.call_once(|| drop(tracing::subscriber::set_global_default(Insists)));
}

struct Insists;

impl Subscriber for Insists {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "gateway" && *metadata.level() == Level::ERROR
    }

    fn event(&self, event: &Event<'_>) {
        let mut said = Said(String::new());
        event.record(&mut said);
        assert!(!said.0.contains("a law is broken"), "{}", said.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Said(String);

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push_str(&format!("{field} = {value:?} "));
    }
}
