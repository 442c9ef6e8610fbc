//! What the tests of the whole gateway share: a rig of real sockets, the bodies of fuzz targets, the load tool, and what
//! takes long.

pub mod endure;
pub mod fuzz;
pub mod load;
pub mod rig;
