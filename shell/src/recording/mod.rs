//! The flight recorder: what has happened to an endpoint lately, to be written down and played again.
//!
//! Because a machine is deterministic, its state and the inputs that followed are a whole run. `ring` keeps them in
//! memory, in a form that only this build reads; `file` writes and reads recordings as lines of JSON, with what the
//! machine said to each input; `replay` plays one again, tells it as a story, and shows where this version says
//! something else.

mod file;
mod keep;
pub mod replay;
mod ring;

pub use keep::Recording;
pub(crate) use keep::keep;
pub(crate) use ring::Ring;
