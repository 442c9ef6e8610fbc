//! What one configuration has otherwise than another, and when that takes effect.
//!
//! It compares what two listings say and knows nothing of what is done with it; so an operator's machine finds the same
//! as the gateway would.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde_json::{Value, json};

use crate::config::{Effect, Listing, Printed, effect, endpoint_of};

/// One thing that is otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// There is an endpoint of this name, and was none.
    Added {
        /// Its name.
        endpoint: String,
    },
    /// There is no endpoint of this name any more: its sessions are closed with 1001.
    Removed {
        /// Its name.
        endpoint: String,
    },
    /// A key has another value.
    Changed {
        /// Its name in full.
        key: String,
        /// What it was, and is, as TOML; `None`: it was not given, or is not.
        values: (Option<String>, Option<String>),
        /// When that takes effect.
        effect: Effect,
    },
}

/// What `new` has otherwise than `old`: endpoints first, then keys, by name. Keys of endpoints that are added or removed
/// are not told apart.
pub fn diff(old: &Listing, new: &Listing) -> Vec<Change> {
    let (were, are) = (endpoints(old), endpoints(new));
    let added = are.difference(&were).map(|name| Change::Added { endpoint: (*name).to_owned() });
    let removed = were.difference(&are).map(|name| Change::Removed { endpoint: (*name).to_owned() });
    let stays = |key: &str| {
        endpoint_of(key).is_none_or(|(endpoint, _)| were.contains(endpoint) && are.contains(endpoint))
    };
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).filter(|key| stays(key)).collect();
    let changed = keys.into_iter().filter(|key| old.get(*key) != new.get(*key)).map(|key| {
        let value = |listing: &Listing| listing.get(key).map(|printed: &Printed| printed.value.clone());
        Change::Changed { key: key.clone(), values: (value(old), value(new)), effect: effect_here(key, old, new) }
    });
    added.chain(removed).chain(changed).collect()
}

/// A listener for operators that comes or goes does so with all that belongs to it.
fn effect_here(key: &str, old: &Listing, new: &Listing) -> Effect {
    const ADDRESS: &str = "admin.address";
    let stays = old.contains_key(ADDRESS) == new.contains_key(ADDRESS);
    if key.starts_with("admin.") && !stays { Effect::Restart } else { effect(key) }
}

fn endpoints(listing: &Listing) -> BTreeSet<&str> {
    listing.keys().filter_map(|key| endpoint_of(key)).map(|(endpoint, _)| endpoint).collect()
}

impl Change {
    /// Whether it takes effect only once the gateway is started anew.
    pub fn needs_restart(&self) -> bool {
        matches!(self, Change::Changed { effect: Effect::Restart, .. })
    }

    /// Whether what is otherwise is not shown: a secret, or what a file holds.
    fn is_hidden(values: &(Option<String>, Option<String>)) -> bool {
        values.0 == values.1
    }

    /// As the API tells it.
    pub fn json(&self) -> Value {
        match self {
            Change::Added { endpoint } => json!({ "kind": "endpoint_added", "endpoint": endpoint }),
            Change::Removed { endpoint } => json!({ "kind": "endpoint_removed", "endpoint": endpoint }),
            Change::Changed { key, values, effect } => json!({
                "kind": "changed",
                "key": key,
                "old": values.0,
                "new": values.1,
                "hidden": Change::is_hidden(values),
                "effect": effect.name(),
            }),
        }
    }
}

/// In one line.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Added { endpoint } => write!(f, "endpoints.{endpoint} is added"),
            Change::Removed { endpoint } => {
                write!(f, "endpoints.{endpoint} is removed: its sessions are closed with 1001, over drain.time")
            }
            Change::Changed { key, values, effect } if Change::is_hidden(values) => {
                write!(f, "{key} is another, which is not shown; {}", effect.words())
            }
            Change::Changed { key, values: (old, new), effect } => {
                let (old, new) = (old.as_deref().unwrap_or("none"), new.as_deref().unwrap_or("none"));
                write!(f, "{key}: {old} becomes {new}; {}", effect.words())
            }
        }
    }
}

/// What changes of one endpoint that stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OfEndpoint {
    /// Who comes in is found out otherwise.
    pub token: bool,
    /// The backend is elsewhere, or met otherwise.
    pub moved: bool,
}

/// The endpoints that stay and of which something changes, by name.
pub fn of_endpoints(changes: &[Change], new: &Listing) -> BTreeMap<String, OfEndpoint> {
    let mut all: BTreeMap<String, OfEndpoint> = BTreeMap::new();
    let added = |name: &str| changes.iter().any(|one| matches!(one, Change::Added { endpoint } if endpoint == name));
    let names = || endpoints(new).into_iter().filter(|name| !added(name));
    for change in changes {
        let Change::Changed { key, effect, .. } = change else { continue };
        let (whose, key) = match endpoint_of(key) {
            Some((endpoint, key)) => (vec![endpoint], key),
            // What is inherited is each one's, as these are.
            None => match key.strip_prefix("defaults.") {
                Some(key) => (names().collect(), key),
                None if key.starts_with("drain.") || key == "recording.bytes_max" => {
                    (names().collect(), key.as_str())
                }
                None => continue,
            },
        };
        for name in whose {
            let of = all.entry(name.to_owned()).or_default();
            of.token |= key.starts_with("token.");
            of.moved |= *effect == Effect::Relink;
        }
    }
    all
}
