//! Randomness: masks, keys, secrets and seeds.

use rand::{Rng, rngs::StdRng};

use crate::world;

/// A source of unpredictable numbers (ChaCha, seeded by the system). RFC 6455, section 10.3, asks that masks be so.
#[derive(Debug)]
pub struct Random(StdRng);

impl Random {
    /// Seeded by the system.
    pub fn new() -> Self {
        Random(world::generator())
    }

    /// The mask of one frame.
    pub fn mask(&mut self) -> [u8; 4] {
        self.0.next_u32().to_ne_bytes()
    }

    /// A number.
    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Fresh bytes, such as a secret or the key of a handshake.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}

impl Default for Random {
    fn default() -> Self {
        Random::new()
    }
}
