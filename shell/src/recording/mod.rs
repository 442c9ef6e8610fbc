//! The flight recorder: what has happened to an endpoint lately, to be written down and played again.
//!
//! Because a machine is deterministic, its state and the inputs that followed are a whole run. `ring` keeps them in
//! memory, in a form that only this build reads; `file` writes and reads recordings as lines of JSON, with what the
//! machine said to each input; `disk` writes such files while it happens, where that is wanted; `replay` plays one again, tells it as a story, and shows where this version says
//! something else.

mod disk;
mod file;
mod keep;
pub mod replay;
mod ring;

pub(crate) use disk::{Disk, OnDisk};
pub use keep::Recording;
#[cfg(test)]
pub(crate) use keep::write_breach;
pub(crate) use keep::{Breach, Keeper};
pub(crate) use ring::Ring;
