//! What each key is, as text: what two configurations are compared by. Nothing secret can be read from it.

use std::{collections::BTreeMap, fmt};

use aws_lc_rs::digest::{Context, SHA256};

/// Bytes of a print, which tells whether something that is not shown is another, and nothing else of it.
const PRINT_BYTES: usize = 8;

/// The value of every key that has one, defaults included, by its name in full: `endpoints.lobby.link.queue_high`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Values(BTreeMap<String, Value>);

#[derive(Clone, PartialEq, Eq)]
struct Value {
    /// As TOML, but for what may be secret in it.
    shown: String,
    /// Of what is not shown: a secret, or what a file holds.
    hidden: Option<[u8; 32]>,
}

/// The values as they may be told to an operator: see [`Values::printed`].
pub type Listing = BTreeMap<String, Printed>;

/// A value that may be told.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Printed {
    /// As TOML, but for what may be secret in it.
    pub value: String,
    /// The same for the same, where something is not shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub print: Option<String>,
}

impl Values {
    /// Takes note of a value, and of what in it is not shown.
    pub(super) fn note(&mut self, key: String, shown: String, whole: &str) {
        let hidden = (shown != whole).then(|| digest(&[whole.as_bytes()]));
        self.0.insert(key, Value { shown, hidden });
    }

    /// Takes note of something that belongs to a value and is not shown.
    pub(super) fn hide(&mut self, key: String, shown: &str, what: &[u8]) {
        let value = self.0.entry(key).or_insert_with(|| Value { shown: shown.to_owned(), hidden: None });
        value.hidden = Some(digest(&[&value.hidden.unwrap_or_default(), what]));
    }

    /// As they may be told. What is not shown is told by a print, which is of use only beside others of the same `salt`.
    pub fn printed(&self, salt: &[u8]) -> Listing {
        let printed = |value: &Value| Printed {
            value: value.shown.clone(),
            print: value.hidden.map(|hidden| hex(&digest(&[salt, &hidden])[..PRINT_BYTES])),
        };
        self.0.iter().map(|(key, value)| (key.clone(), printed(value))).collect()
    }

    /// These, but for some keys, whose values are those of `other`.
    pub fn except(mut self, other: &Values, is_other: impl Fn(&str) -> bool) -> Values {
        self.0.retain(|key, _| !is_other(key));
        self.0.extend(other.0.iter().filter(|(key, _)| is_other(key)).map(|(k, v)| (k.clone(), v.clone())));
        self
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(key, value)| (key, &value.shown))).finish()
    }
}

/// Bytes as text.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}
