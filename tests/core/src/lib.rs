//! What the tests of the machine share: the laws as a monitor, a reference, scenarios and what drives a machine through
//! them; stories that people read. Nothing here touches a socket, or the shell.

pub mod busy;
pub mod canon;
pub mod drive;
pub mod fuzz;
pub mod history;
pub mod laws;
pub mod model;
pub mod reference;
pub mod replay;
pub mod said;
pub mod scenario;
pub mod story;
pub mod twins;
pub mod world;
