//! Keys that an issuer publishes: read from what was fetched, and put in the place of those that came before.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use super::{Algorithm, keys::KeyRing};
use crate::config::ServerUrl;

/// The keys that are published at a URL, as they came last; none before they have come.
///
/// A set takes the place of the one before as a whole: whoever verifies meanwhile has the one or the other.
pub struct Published {
    url: ServerUrl,
    algorithms: Vec<Algorithm>,
    keys: RwLock<Option<Arc<KeyRing>>>,
}

/// A set of keys that was read, and can be used.
#[derive(Clone)]
pub struct KeySet {
    keys: Arc<KeyRing>,
    /// How many of its keys are of no use here.
    pub passed_over: usize,
}

/// Why a set of keys cannot be used. It says nothing of what is in it but numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SetFault {
    /// It is no object with a list of `keys`; where in the text that shows.
    NotASet {
        /// The line, from one.
        line: usize,
        /// The column, from one.
        column: usize,
    },
    /// It has so many keys.
    TooMany(usize),
    /// It has so many keys, and none is a public key for an algorithm that is allowed.
    NoneFits(usize),
}

impl fmt::Display for SetFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetFault::NotASet { line, column } => {
                write!(f, "it is no set of JWKs at line {line}, column {column}")
            }
            SetFault::TooMany(keys) => write!(f, "it has {keys} keys, which are too many"),
            SetFault::NoneFits(keys) => {
                write!(f, "none of its {keys} keys is a public key for an algorithm that is allowed")
            }
        }
    }
}

impl KeySet {
    /// Reads a set (RFC 7517, section 5). Keys of no use are passed over; one at least has to be of use.
    ///
    /// # Errors
    ///
    /// See [`SetFault`].
    pub fn read(text: &[u8], allowed: &[Algorithm]) -> Result<KeySet, SetFault> {
        let (keys, passed_over) = KeyRing::of_set(text, allowed)?;
        Ok(KeySet { keys: Arc::new(keys), passed_over })
    }
}

impl Published {
    /// Nothing has come yet.
    pub(super) fn new(url: ServerUrl, algorithms: &[Algorithm]) -> Self {
        Published { url, algorithms: algorithms.to_vec(), keys: RwLock::new(None) }
    }

    /// Where they are published.
    pub fn url(&self) -> &ServerUrl {
        &self.url
    }

    /// The algorithms that they may serve.
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    /// Puts a set in the place of the one before.
    pub fn put(&self, set: &KeySet) {
        self.set(Some(Arc::clone(&set.keys)));
    }

    /// Forgets the keys: they are too old.
    pub fn forget(&self) {
        self.set(None);
    }

    /// Whether there are any.
    pub fn is_there(&self) -> bool {
        self.keys().is_some()
    }

    pub(super) fn keys(&self) -> Option<Arc<KeyRing>> {
        // Nothing is ever left half done in there.
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, keys: Option<Arc<KeyRing>>) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }
}
