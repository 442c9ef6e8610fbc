//! The date, chance and threads of a simulated run: all from its seed and its virtual time.

use std::{cell::RefCell, io};

use rand::{Rng, SeedableRng, rngs::StdRng};

/// When every run begins: 2026-01-01, in milliseconds since the Unix epoch.
const BEGINNING_MS: u64 = 1_767_225_600_000;

thread_local! {
    // A run has a thread of its own.
    static WORLD: RefCell<World> = RefCell::new(World::of(0));
}

struct World {
    chance: StdRng,
    /// How far the wall clock has been set forward, or back.
    forward_ms: i64,
}

impl World {
    fn of(seed: u64) -> Self {
        World { chance: StdRng::seed_from_u64(seed), forward_ms: 0 }
    }
}

/// A new world, for the run with this seed.
pub(crate) fn begin(seed: u64) {
    WORLD.replace(World::of(seed));
}

/// Sets the wall clock, as everybody in this world sees it.
pub(crate) fn set_wall_clock(forward_ms: i64) {
    WORLD.with_borrow_mut(|world| world.forward_ms += forward_ms);
}

/// The date so many milliseconds after the run's beginning, in Unix milliseconds, whatever the wall clock shows.
pub(crate) fn date_of(ms: u64) -> u64 {
    BEGINNING_MS.saturating_add(ms)
}

/// Milliseconds since the run began. Must be called from within it.
pub(crate) fn elapsed_millis() -> u64 {
    turmoil::sim_elapsed().map_or(0, |elapsed| elapsed.as_millis() as u64)
}

/// The wall clock: milliseconds since the Unix epoch.
pub(crate) fn unix_millis() -> u64 {
    let forward = WORLD.with_borrow(|world| world.forward_ms);
    date_of(elapsed_millis()).saturating_add_signed(forward)
}

/// A generator that the run's seed foretells.
pub(crate) fn generator() -> StdRng {
    WORLD.with_borrow_mut(|world| StdRng::seed_from_u64(world.chance.next_u64()))
}

/// Carries out `work` on the host that asks for it: a simulated host has one thread.
pub(crate) fn start_thread<F: Future<Output = ()> + 'static>(
    _name: String,
    work: impl FnOnce() -> F + Send + 'static,
) -> io::Result<()> {
    tokio::task::spawn_local(work());
    Ok(())
}
