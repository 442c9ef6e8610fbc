//! What the tests of Trunkline share: the laws as a monitor, a reference, scenarios, what drives a machine through
//! them, and the load tool.

pub mod drive;
pub mod history;
pub mod laws;
pub mod load;
pub mod reference;
pub mod said;
pub mod scenario;
