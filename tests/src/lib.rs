//! What the tests of Trunkline share: the laws as a monitor, a reference, scenarios and what drives a machine through
//! them; stories that people read; a rig of real sockets; the load tool.

pub mod drive;
pub mod history;
pub mod laws;
pub mod load;
pub mod reference;
pub mod rig;
pub mod said;
pub mod scenario;
pub mod story;
