//! What the tests of Trunkline share.
