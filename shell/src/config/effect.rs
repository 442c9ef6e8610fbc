//! What a reload does with a key that has changed (docs/decisions/reload.md).

/// When a change takes effect.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Effect {
    /// At once, for those who are in session too.
    AtOnce,
    /// For whoever comes from then on.
    Newcomers,
    /// With the next link to the backend.
    NextLink,
    /// At once: the link is closed in good order, and dialled anew; sessions live on.
    Relink,
    /// When the gateway is started anew.
    Restart,
}

impl Effect {
    /// As the API and docs/configuration.md have it.
    pub fn name(self) -> &'static str {
        match self {
            Effect::AtOnce => "at_once",
            Effect::Newcomers => "newcomers",
            Effect::NextLink => "next_link",
            Effect::Relink => "relink",
            Effect::Restart => "restart",
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Effect::AtOnce => "at once",
            Effect::Newcomers => "for whoever comes from then on",
            Effect::NextLink => "with the next link",
            Effect::Relink => "at once: the link is closed and dialled anew, sessions live on",
            Effect::Restart => "not before a restart",
        }
    }
}

/// The endpoint that a key is of, and the key within it; `None`: it is the gateway's.
pub fn endpoint_of(key: &str) -> Option<(&str, &str)> {
    key.strip_prefix("endpoints.")?.split_once('.')
}

/// When a change of a key takes effect, given its name in full, or without its endpoint.
pub fn effect(key: &str) -> Effect {
    let of_endpoint = endpoint_of(key).map(|(_, key)| key).or_else(|| key.strip_prefix("defaults."));
    let key = of_endpoint.unwrap_or(key);
    let (table, rest) = key.split_once('.').unwrap_or(("", key));
    match (table, rest) {
        ("listen", "address" | "handover_socket") | ("health" | "admin", "address") => Effect::Restart,
        ("log", "format") | ("limits", "workers") => Effect::Restart,
        ("recording", "files_max" | "file_bytes_max") | ("laws" | "tracing", _) => Effect::Restart,
        ("link", "connect_timeout" | "message_bytes_max") => Effect::NextLink,
        ("link", rest) if rest.starts_with("tls.") => Effect::Relink,
        ("", "backend") => Effect::Relink,
        ("listen" | "limits" | "token" | "per_user", _) => Effect::Newcomers,
        ("", "path" | "origins" | "subprotocols" | "retry_after" | "message_bytes_max") => Effect::Newcomers,
        ("", "sessions_max" | "on_duplicate") => Effect::Newcomers,
        _ => Effect::AtOnce,
    }
}
