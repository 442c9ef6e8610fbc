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
        Change::Changed {
            key: key.clone(),
            values: (value(old), value(new)),
            effect: effect_here(key, old, new),
        }
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
                write!(
                    f,
                    "endpoints.{endpoint} is removed: its sessions are closed with 1001, over drain.time"
                )
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
    let added =
        |name: &str| changes.iter().any(|one| matches!(one, Change::Added { endpoint } if endpoint == name));
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    const SECRET: &str = "a secret that is long enough for HS256, and known to nobody";

    /// What a configuration lists that has these lines besides.
    fn listing(lines: &[&str]) -> Listing {
        let with = |key: &str, line: String| {
            if lines.iter().any(|l| l.starts_with(key)) { String::new() } else { line }
        };
        let text = [
            lines.join("\n"),
            with("endpoints.a.path", "endpoints.a.path = \"/a\"".to_owned()),
            with("endpoints.a.backend", "endpoints.a.backend = \"ws://a.example/?key=k1\"".to_owned()),
            with("defaults.token.algorithms", "defaults.token.algorithms = [\"HS256\"]".to_owned()),
            with("defaults.token.secret", format!("defaults.token.secret = \"{SECRET}\"")),
        ];
        let config = Config::parse(&text.join("\n"), Path::new("."), |_| None);
        config.unwrap_or_else(|problems| panic!("{problems}")).values.printed(b"salt")
    }

    fn lines(old: &[&str], new: &[&str]) -> Vec<String> {
        diff(&listing(old), &listing(new)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_kind_of_change_is_said_with_when_it_takes_effect() {
        let at_once = "at once";
        let newcomers = "for whoever comes from then on";
        let relink = "at once: the link is closed and dialled anew, sessions live on";
        let table: &[(&[&str], &[&str], &[String])] = &[
            // What stands there by default is what it would be without.
            (&[], &["endpoints.a.sessions_max = 100000", "limits.headers_max = 64"], &[]),
            (&["endpoints.a.idle_timeout = \"90s\""], &["endpoints.a.idle_timeout = \"1m 30s\""], &[]),
            (
                &[],
                &["endpoints.a.sessions_max = 7"],
                &[format!("endpoints.a.sessions_max: 100000 becomes 7; {newcomers}")],
            ),
            // What is inherited is each one's own; its own value hides it.
            (
                &["defaults.idle_timeout = \"1m\""],
                &["defaults.idle_timeout = \"2m\""],
                &[format!("endpoints.a.idle_timeout: \"1m\" becomes \"2m\"; {at_once}")],
            ),
            (
                &["endpoints.a.idle_timeout = \"1m\""],
                &["defaults.idle_timeout = \"2m\"", "endpoints.a.idle_timeout = \"1m\""],
                &[],
            ),
            // A secret is shown by nothing, nor is the query of a URL.
            (
                &[],
                &["defaults.token.secret = \"another secret, as long as it has to be\""],
                &[format!("endpoints.a.token.secret is another, which is not shown; {newcomers}")],
            ),
            (
                &[],
                &["endpoints.a.backend = \"ws://a.example/?key=k2\""],
                &[format!("endpoints.a.backend is another, which is not shown; {relink}")],
            ),
            (
                &[],
                &["endpoints.a.backend = \"ws://b.example/?key=k1\""],
                &[format!(
                    "endpoints.a.backend: \"ws://a.example/?…\" becomes \"ws://b.example/?…\"; {relink}"
                )],
            ),
            (
                &[],
                &["log.targets = { link = \"debug\" }"],
                &[format!("log.targets: none becomes {{ link = \"debug\" }}; {at_once}")],
            ),
            (
                &["endpoints.a.origins = \"https://a.example\""],
                &[],
                &[format!("endpoints.a.origins: \"https://a.example\" becomes none; {newcomers}")],
            ),
            (
                &[],
                &["endpoints.a.link.connect_timeout = \"1s\""],
                &["endpoints.a.link.connect_timeout: \"5s\" becomes \"1s\"; with the next link".to_owned()],
            ),
            (&[], &["limits.workers = 3"], &["limits.workers: 0 becomes 3; not before a restart".to_owned()]),
            // A listener that comes needs a restart with all that belongs to it; one that is there does not.
            (
                &[],
                &["admin.address = \"127.0.0.1:1\"", "admin.hosts = \"ops\""],
                &[
                    "admin.address: none becomes \"127.0.0.1:1\"; not before a restart".to_owned(),
                    "admin.hosts: none becomes \"ops\"; not before a restart".to_owned(),
                ],
            ),
            (
                &["admin.address = \"127.0.0.1:1\""],
                &["admin.address = \"127.0.0.1:1\"", "admin.hosts = \"ops\""],
                &[format!("admin.hosts: none becomes \"ops\"; {at_once}")],
            ),
            // Of an endpoint that comes or goes only that is said.
            (
                &["endpoints.b.path = \"/b\"", "endpoints.b.backend = \"ws://b/\""],
                &["endpoints.c.path = \"/b\"", "endpoints.c.backend = \"ws://b/\""],
                &[
                    "endpoints.c is added".to_owned(),
                    "endpoints.b is removed: its sessions are closed with 1001, over drain.time".to_owned(),
                ],
            ),
        ];
        for (old, new, expected) in table {
            assert_eq!(lines(old, new), *expected, "{old:?}, then {new:?}");
        }
    }

    #[test]
    fn nothing_that_is_told_holds_a_secret() {
        let (old, new) =
            (listing(&[]), listing(&["defaults.token.secret = \"another secret, as long as it has to be\""]));
        let told = format!("{:?}", diff(&old, &new).iter().map(Change::json).collect::<Vec<_>>());
        for text in [format!("{old:?}"), format!("{new:?}"), told] {
            assert!(
                !text.contains("secret that") && !text.contains("another secret") && !text.contains("k1"),
                "{text}"
            );
        }
        let salted = |salt: &[u8]| {
            let text = format!(
                "endpoints.a = {{ path = \"/a\", backend = \"ws://a/\" }}\ndefaults.token = {{ algorithms = [\"HS256\"], secret = \"{SECRET}\" }}"
            );
            Config::parse(&text, Path::new("."), |_| None).expect("it is right").values.printed(salt)
        };
        let print = |salt| salted(salt)["endpoints.a.token.secret"].print.clone();
        assert_ne!(print(b"one"), print(b"other"), "prints of two gateways cannot be compared");
    }

    #[test]
    fn an_endpoint_is_told_what_concerns_it_and_no_other_is() {
        let both = ["endpoints.b.path = \"/b\"", "endpoints.b.backend = \"ws://b/\""];
        let of = |more: &[&str]| {
            let (old, new) = (listing(&both), listing(&[&both, more].concat()));
            of_endpoints(&diff(&old, &new), &new)
        };
        let some = |token, moved| OfEndpoint { token, moved };
        let only = |name: &str, of| BTreeMap::from([(name.to_owned(), of)]);
        assert_eq!(of(&["limits.headers_max = 65"]), BTreeMap::new());
        assert_eq!(of(&["endpoints.a.sessions_max = 7"]), only("a", some(false, false)));
        assert_eq!(of(&["endpoints.a.backend = \"ws://c/\""]), only("a", some(false, true)));
        assert_eq!(of(&["endpoints.a.token.leeway = \"1s\""]), only("a", some(true, false)));
        let all = |of| BTreeMap::from(["a", "b"].map(|name| (name.to_owned(), of)));
        assert_eq!(of(&["drain.time = \"1s\""]), all(some(false, false)));
        assert_eq!(of(&["recording.bytes_max = 0"]), all(some(false, false)));
        assert_eq!(
            of(&["defaults.token.secret = \"another secret, as long as it has to be\""]),
            all(some(true, false))
        );
        let new = ["endpoints.c.path = \"/c\"", "endpoints.c.backend = \"ws://c/\"", "drain.time = \"1s\""];
        assert_eq!(of(&new), all(some(false, false)), "one that is new knows all already");
    }
}
