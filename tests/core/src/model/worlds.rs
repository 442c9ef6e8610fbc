//! The worlds that are exhausted: what there is in each, and that each pair of features is together in one.

use trunkline_core::{
    DrainSettings, Duplicates, Expiry, LinkSettings, Millis, OutagePolicy, OutageSettings, Redeliver,
    Settings,
};

use super::Spec;
use crate::world::{FOREVER, Memory};

/// What can be there in a world, or not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Feature {
    /// There are two users, with as many sessions in sum as one would have.
    Users,
    /// Clients send messages.
    Messages,
    /// The backend closes.
    Closes,
    /// The backend sends, and clients may be too slow.
    Sends,
    /// Who comes while the user is there is refused.
    Reject,
    /// The backend forgets all when its link breaks.
    Forgets,
    /// The backend's application lags behind its library.
    Lags,
    /// No time need pass between a user's `close` and the next `open`.
    NoGap,
    /// The crossing window ends.
    Window,
    /// Messages are sent again that were not confirmed.
    Redelivers,
    /// The link takes no more than two events at once.
    FullLink,
    /// Few messages may be parked.
    FullPark,
    /// There are no more slots than sessions that can be there.
    FullSlots,
    /// Clients are held for a while when the backend is away, then closed.
    Outage,
    /// Clients are closed when the backend is away.
    OutageCloses,
    /// The link is pinged when it is quiet, and is broken when it does not answer.
    Keepalive,
    /// Tokens expire.
    Expiry,
    /// The wall clock is set.
    Clock,
    /// The gateway is told to stop.
    Drain,
    /// Deadlines are handled late.
    Late,
    /// Time passes also where nothing is due.
    Ticks,
    /// A client has had its share of the link after one message.
    Share,
    /// An operator closes clients.
    Kicks,
    /// An operator changes settings, and changes them back.
    Changes,
    /// An operator moves the backend.
    Moves,
}

impl Feature {
    /// All of them.
    pub const ALL: [Feature; 25] = [
        Feature::Users,
        Feature::Messages,
        Feature::Closes,
        Feature::Sends,
        Feature::Reject,
        Feature::Forgets,
        Feature::Lags,
        Feature::NoGap,
        Feature::Window,
        Feature::Redelivers,
        Feature::FullLink,
        Feature::FullPark,
        Feature::FullSlots,
        Feature::Outage,
        Feature::OutageCloses,
        Feature::Keepalive,
        Feature::Expiry,
        Feature::Clock,
        Feature::Drain,
        Feature::Late,
        Feature::Ticks,
        Feature::Share,
        Feature::Kicks,
        Feature::Changes,
        Feature::Moves,
    ];

    fn add(self, spec: &mut Spec) {
        let settings = &mut spec.settings;
        match self {
            Feature::Users => spec.users = 2,
            Feature::Messages => spec.messages = 1,
            Feature::Closes => (spec.actions, spec.closes) = (1, true),
            Feature::Sends => {
                (spec.actions, spec.sends) = (1, true);
                (settings.client_queue_bytes_max, settings.client_queue_bytes_total_max) = (2, 2);
            }
            Feature::Reject => settings.duplicates = Duplicates::Reject,
            Feature::Forgets => spec.memory = Memory::Lost,
            Feature::Lags => spec.lags = true,
            Feature::NoGap => settings.reopen_gap = Millis(0),
            Feature::Window => settings.crossing_window = Millis(2),
            Feature::Redelivers => settings.redeliver = Redeliver::Unconfirmed,
            Feature::FullLink => (settings.link.high_bytes, settings.link.low_bytes) = (12, 6),
            Feature::FullPark => (settings.parked_bytes_max, settings.parked_bytes_total_max) = (1, 65),
            // There is room for the session that is refused.
            Feature::FullSlots => {
                settings.sessions_max = spec.sessions as u32;
                spec.sessions += 1;
            }
            Feature::Outage => settings.outage.grace = Millis(2),
            Feature::OutageCloses => settings.outage.policy = OutagePolicy::Close,
            Feature::Keepalive => {
                (settings.link.ping_interval, settings.link.pong_timeout) = (Millis(2), Millis(2));
            }
            Feature::Expiry => spec.tokens = &[Some(2)],
            Feature::Clock => (spec.tokens, spec.clock) = (&[Some(1)], true),
            Feature::Drain => spec.drains = true,
            Feature::Late => spec.late = true,
            Feature::Ticks => spec.ticks = true,
            Feature::Kicks => spec.kicks = true,
            // Once all others have been added.
            Feature::Changes => {}
            Feature::Moves => spec.moves = true,
            Feature::Share => (spec.messages, settings.link.share_bytes) = (2, 1),
        }
    }
}

/// A world by its name.
pub type Named = (String, Spec);

/// The bare one, also with a third session, and each feature with messages.
pub fn singles() -> Vec<Named> {
    let bare = [named(2, &[]), named(3, &[]), named(2, &[Feature::Messages])];
    let others = Feature::ALL.into_iter().filter(|feature| *feature != Feature::Messages);
    bare.into_iter().chain(others.map(|feature| named(2, &[Feature::Messages, feature]))).collect()
}

/// Each pair of features; and what needs a third session.
pub fn pairs() -> Vec<Named> {
    let all = Feature::ALL.iter();
    let pairs = all
        .clone()
        .flat_map(|one| all.clone().filter(move |other| one < other).map(move |other| [*one, *other]));
    pairs.map(|pair| named(2, &pair)).chain([named(3, &[Feature::Messages])]).collect()
}

/// Those that take minutes each.
pub fn large() -> Vec<Named> {
    use Feature::{Closes, Drain, Expiry, Keepalive, Lags, Messages, Outage, Redelivers, Sends, Users};
    let mut three_users = named(3, &[Users]);
    three_users.0.push_str("; 3 users");
    three_users.1.users = 3;
    let mut two_messages = named(2, &[Messages, Sends]);
    two_messages.0.push_str("; 2 messages each way");
    (two_messages.1.messages, two_messages.1.actions) = (2, 2);
    vec![
        two_messages,
        three_users,
        named(2, &[Messages, Expiry, Outage, Drain]),
        named(3, &[Messages, Closes]),
        named(2, &[Messages, Closes, Sends, Redelivers, Keepalive]),
        named(2, &[Users, Messages, Closes, Lags]),
    ]
}

fn named(sessions: usize, features: &[Feature]) -> Named {
    let names: Vec<String> = features.iter().map(|feature| format!("{feature:?}")).collect();
    let name = if names.is_empty() { "nothing else".to_owned() } else { names.join(", ") };
    (format!("{sessions} sessions: {name}"), world(sessions, features))
}

/// A world in which little happens, but for these features: clients come and go, the link breaks and returns.
fn world(sessions: usize, features: &[Feature]) -> Spec {
    let mut spec = Spec {
        settings: Settings {
            sessions_max: 8,
            reopen_gap: Millis(1),
            crossing_window: FOREVER,
            link: LinkSettings {
                redial_min: Millis(1),
                backoff_first: Millis(1),
                backoff_max: Millis(1),
                high_bytes: 4_000,
                low_bytes: 2_000,
                share_bytes: usize::MAX,
                confirm_delay: Millis(1),
                ping_interval: FOREVER,
                pong_timeout: FOREVER,
            },
            outage: OutageSettings { policy: OutagePolicy::Hold, grace: FOREVER, spread: Millis(1) },
            drain: DrainSettings { time: Millis(2), confirm_timeout: Millis(2) },
            ..Settings::default()
        },
        memory: Memory::Kept,
        lags: false,
        users: 1,
        sessions,
        messages: 0,
        events: 2,
        actions: 0,
        closes: false,
        sends: false,
        tokens: &[None],
        clock: false,
        later: None,
        moves: false,
        kicks: false,
        drains: false,
        ticks: false,
        late: false,
    };
    features.iter().for_each(|feature| feature.add(&mut spec));
    if features.contains(&Feature::Changes) {
        let mut later = otherwise(&spec.settings);
        if spec.clock {
            // How long ago an ignored token expired is without end, and matters once the clock is set back.
            later.expiry = spec.settings.expiry;
        }
        spec.later = Some(later);
    }
    spec
}

/// Other settings than these: what can be said in two ways is said in the other, what is wide is narrow, a gap is longer.
fn otherwise(settings: &Settings) -> Settings {
    let mut other = settings.clone();
    other.sessions_max = 1;
    other.reopen_gap = Millis(settings.reopen_gap.0 + 1);
    other.duplicates = match settings.duplicates {
        Duplicates::TakeOver => Duplicates::Reject,
        Duplicates::Reject => Duplicates::TakeOver,
    };
    other.redeliver = match settings.redeliver {
        Redeliver::Never => Redeliver::Unconfirmed,
        Redeliver::Unconfirmed => Redeliver::Never,
    };
    other.expiry = Expiry::Ignore;
    other.outage.policy = match settings.outage.policy {
        OutagePolicy::Hold => OutagePolicy::Close,
        OutagePolicy::Close => OutagePolicy::Hold,
    };
    (other.parked_bytes_max, other.parked_bytes_total_max) = (1, 65);
    (other.client_queue_bytes_max, other.client_queue_bytes_total_max) = (1, 1);
    (other.link.high_bytes, other.link.low_bytes, other.link.share_bytes) = (12, 6, 1);
    other
}
