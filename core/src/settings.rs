//! What an operator decides about an endpoint.

use crate::Millis;

/// The settings of one endpoint. [`Settings::default`] is what `docs/configuration.md` states.
#[cfg_attr(feature = "recording", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Sessions at most, those whose `close` is still owed included. At least 1.
    pub sessions_max: u32,
    /// What happens when a user comes again.
    pub duplicates: Duplicates,
    /// Least time between a user's `close` and its next `open`.
    pub reopen_gap: Millis,
    /// How far a backend's application may lag behind: see language.md, "Events".
    pub crossing_window: Millis,
    /// Whether a session ends with its token.
    pub expiry: Expiry,
    /// What becomes of messages that a link did not confirm before it broke.
    pub redeliver: Redeliver,
    /// Bytes that one session may park while its `open` or the link waits.
    pub parked_bytes_max: usize,
    /// The same for all sessions of the endpoint together.
    pub parked_bytes_total_max: usize,
    /// Bytes that may be queued for one client.
    pub client_queue_bytes_max: usize,
    /// The same for all clients of the endpoint together.
    pub client_queue_bytes_total_max: usize,
    /// The link.
    pub link: LinkSettings,
    /// When the backend is away.
    pub outage: OutageSettings,
    /// When the gateway stops.
    pub drain: DrainSettings,
    /// Where the machine spreads something by chance (backoff), the chance comes from here; the key of its index
    /// of users too.
    pub seed: u64,
}

/// The settings of the link.
#[cfg_attr(feature = "recording", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkSettings {
    /// Least time between the end of a connection and the next dial.
    pub redial_min: Millis,
    /// The most that the first wait may be; it doubles with each failed attempt ("full jitter").
    pub backoff_first: Millis,
    /// The most that any wait may be.
    pub backoff_max: Millis,
    /// Above this many bytes queued, or unconfirmed, senders are stopped.
    pub high_bytes: usize,
    /// At or below this many bytes queued and unconfirmed, they go on.
    pub low_bytes: usize,
    /// Bytes of events that one session may send between two Pings before others get their turn: it goes on after the
    /// next Ping, which then does not wait. At least 1; `usize::MAX`: no bound of its own.
    pub share_bytes: usize,
    /// How long the Ping that asks for confirmation waits for more to confirm. It does not wait once a quarter of
    /// `high_bytes` is unconfirmed.
    pub confirm_delay: Millis,
    /// A link with nothing to confirm is pinged this long after the last Pong.
    pub ping_interval: Millis,
    /// A link that leaves a Ping unanswered for this long is broken.
    pub pong_timeout: Millis,
}

/// What happens while the backend is away.
#[cfg_attr(feature = "recording", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutageSettings {
    /// Hold clients for the grace, or close them at once.
    pub policy: OutagePolicy,
    /// How long clients are held.
    pub grace: Millis,
    /// Over how long the closes are spread, once the grace has passed.
    pub spread: Millis,
}

/// How the endpoint ends.
#[cfg_attr(feature = "recording", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DrainSettings {
    /// Over how long the ends of the sessions are spread.
    pub time: Millis,
    /// How long each `close` may take to be confirmed.
    pub confirm_timeout: Millis,
}

/// What happens when a user who has a session comes again (language.md, "Two clients, one user").
#[cfg_attr(
    feature = "recording",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Duplicates {
    /// The new client takes over.
    TakeOver,
    /// The new client is refused.
    Reject,
}

/// What happens when a session's token expires.
#[cfg_attr(
    feature = "recording",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Expiry {
    /// The client is closed with 1008.
    Close,
    /// Nothing.
    Ignore,
}

/// What becomes of messages that were not confirmed when the link broke.
#[cfg_attr(
    feature = "recording",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Redeliver {
    /// They are counted: at most once.
    Never,
    /// They are sent again: at least once.
    Unconfirmed,
}

/// What happens to clients when the backend goes away.
#[cfg_attr(
    feature = "recording",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OutagePolicy {
    /// They are held for the grace.
    Hold,
    /// They are closed, spread, without waiting.
    Close,
}

/// What is done with a client's binary messages (language.md, "Binary messages from clients").
#[cfg_attr(
    feature = "recording",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Binary {
    /// Passed as text if they are UTF-8; else the session is closed with 1007.
    #[default]
    Text,
    /// Passed in base64, both ways.
    Base64,
    /// Closed with 1003.
    Reject,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            sessions_max: 100_000,
            duplicates: Duplicates::TakeOver,
            reopen_gap: Millis(100),
            crossing_window: Millis(1_000),
            expiry: Expiry::Close,
            redeliver: Redeliver::Never,
            parked_bytes_max: 64 << 10,
            parked_bytes_total_max: 64 << 20,
            client_queue_bytes_max: 1 << 20,
            client_queue_bytes_total_max: 256 << 20,
            link: LinkSettings::default(),
            outage: OutageSettings::default(),
            drain: DrainSettings::default(),
            seed: 0,
        }
    }
}

impl Default for LinkSettings {
    fn default() -> Self {
        LinkSettings {
            redial_min: Millis(250),
            backoff_first: Millis(500),
            backoff_max: Millis(10_000),
            high_bytes: 4 << 20,
            low_bytes: 2 << 20,
            share_bytes: 32 << 10,
            confirm_delay: Millis(10),
            ping_interval: Millis(10_000),
            pong_timeout: Millis(120_000),
        }
    }
}

impl Default for OutageSettings {
    fn default() -> Self {
        OutageSettings { policy: OutagePolicy::Hold, grace: Millis(60_000), spread: Millis(10_000) }
    }
}

impl Default for DrainSettings {
    fn default() -> Self {
        DrainSettings { time: Millis(10_000), confirm_timeout: Millis(2_000) }
    }
}
