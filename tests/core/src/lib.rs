//! What the tests of the machine share: the laws as a monitor, a reference, scenarios and what drives a machine through
//! them; stories that people read. Nothing here touches a socket, or the shell.

pub mod begun;
pub mod busy;
pub use trunkline_laws as laws;
pub use trunkline_laws::history;

pub mod canon;
pub mod drive;
pub mod fuzz;
pub mod model;
pub mod replay;
pub mod said;
pub mod scenario;
pub mod story;
pub mod twins;
pub mod world;
