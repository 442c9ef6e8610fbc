//! What the tests of the whole gateway share: a rig of real sockets, and the load tool.

pub mod load;
pub mod rig;
