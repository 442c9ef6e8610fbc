//! What the tests of the whole gateway share: a rig of real sockets, the load tool, what takes long, and the hostile
//! campaign.

pub mod endure;
pub mod hostile;
pub mod load;
pub mod rig;
