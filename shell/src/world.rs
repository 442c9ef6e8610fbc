//! What a running gateway takes from the world besides sockets: the date, chance and threads. The one module that asks
//! for them, so that a simulator can take its place.

use std::{
    io, thread,
    time::{SystemTime, UNIX_EPOCH},
};

use rand::{make_rng, rngs::StdRng};
use tokio::runtime::{Builder, LocalOptions};

/// The wall clock: milliseconds since the Unix epoch.
pub(crate) fn unix_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// A generator that nobody can foresee, seeded by the system.
pub(crate) fn generator() -> StdRng {
    make_rng()
}

/// Starts a thread that carries out `work`, with a runtime of its own.
///
/// # Errors
///
/// The system has no thread, or no descriptors for it.
pub(crate) fn start_thread<F: Future<Output = ()>>(
    name: String,
    work: impl FnOnce() -> F + Send + 'static,
) -> io::Result<()> {
    let (began, begun) = std::sync::mpsc::channel();
    thread::Builder::new().name(name).spawn(move || {
        match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => {
                // Whoever has asked for the thread waits for it.
                let _ = began.send(Ok(()));
                runtime.block_on(work());
            }
            Err(error) => {
                let _ = began.send(Err(error));
            }
        }
    })?;
    begun.recv().unwrap_or_else(|_| Err(io::Error::other("the thread ended before it began")))
}
