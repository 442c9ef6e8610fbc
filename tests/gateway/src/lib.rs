//! What the tests of the whole gateway share: a rig of real sockets, the bodies of fuzz targets, and the load tool.

pub mod fuzz;
pub mod load;
pub mod rig;
