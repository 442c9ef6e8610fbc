//! What the tests of Trunkline share.

pub mod rig;
