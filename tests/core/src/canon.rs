//! Canonical keys: what of a run's state can still matter, as numbers, where things have no meaning but that they are
//! the same or not. See [`trunkline_core::Naming`].

use trunkline_core::{
    DropCause, EndCause, Identity, Millis, Naming, SessionId, Settings, Time,
    language::{Action, BadAction},
};

use crate::{
    history::{Batch, Client, Close, Emitted, History, Link, LinkState, Session, Turns, When},
    said::{Msg, Said, What},
    world::FOREVER,
};

/// Names by first appearance.
#[derive(Clone, Debug, Default)]
pub struct Names {
    sessions: Vec<SessionId>,
    users: Vec<String>,
    identities: Vec<Identity>,
    messages: Vec<u64>,
}

impl Names {
    /// The number of a session.
    pub fn session(&mut self, id: SessionId) -> u64 {
        name(&mut self.sessions, &id, |id| *id)
    }

    /// The number of a user.
    pub fn user(&mut self, user: &str) -> u64 {
        name(&mut self.users, user, str::to_owned)
    }

    /// The number of an identity.
    pub fn identity(&mut self, who: &Identity) -> u64 {
        name(&mut self.identities, who, Identity::clone)
    }

    /// Appends whose an event is.
    pub fn who(&mut self, who: &Identity, key: &mut Vec<u64>) {
        key.extend([self.user(who.user()), self.identity(who)]);
    }

    /// The number of a message.
    pub fn message(&mut self, number: u64) -> u64 {
        name(&mut self.messages, &number, |number| *number)
    }

    /// The users that have a number, in their order.
    pub fn users(&self) -> &[String] {
        &self.users
    }

    /// Appends what an action says.
    pub fn action(&mut self, action: &Result<Action<'_>, BadAction>, key: &mut Vec<u64>) {
        match action {
            Ok(Action::Send { user, data }) => {
                key.extend([0, user.as_deref().map_or(u64::MAX, |user| self.user(user))]);
                key.push(hash(&format!("{data:?}")));
            }
            Ok(Action::Close { user, status, reason }) => {
                key.extend([1, user.as_deref().map_or(u64::MAX, |user| self.user(user))]);
                key.push(hash(&(format!("{status:?}"), reason)));
            }
            Err(bad) => key.extend([2, hash(&format!("{bad:?}"))]),
        }
    }
}

impl Naming<Msg> for Names {
    fn session(&mut self, id: SessionId) -> u64 {
        Names::session(self, id)
    }

    fn user(&mut self, name: &str) -> u64 {
        Names::user(self, name)
    }

    fn identity(&mut self, identity: &Identity) -> u64 {
        Names::identity(self, identity)
    }

    fn payload(&mut self, payload: &Msg) -> u64 {
        self.message(payload.number)
    }
}

/// Where it stands among those that have appeared.
fn name<T: PartialEq<Q>, Q: ?Sized>(known: &mut Vec<T>, new: &Q, own: impl Fn(&Q) -> T) -> u64 {
    let at = known.iter().position(|one| one == new).unwrap_or_else(|| {
        known.push(own(new));
        known.len() - 1
    });
    at as u64
}

fn hash<T: std::hash::Hash>(of: &T) -> u64 {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// How long since, where no longer than `most` matters.
fn age(now: Time, at: Time, most: Millis) -> u64 {
    (now - at).min(most).0
}

fn ages(now: Time, when: When, most: Millis) -> [u64; 2] {
    [age(now, when.from, most), age(now, when.to, most)]
}

/// A span that nothing outlasts: how old something is then matters not.
fn bounded(span: Millis) -> Millis {
    if span == FOREVER { Millis(0) } else { span }
}

/// What has a canonical key.
pub trait Keyed {
    /// Appends what of it can still matter.
    fn key(&self, names: &mut Names, key: &mut Vec<u64>);
}

/// The settings that are in force, and those that may come.
#[derive(Clone, Copy)]
struct Longest<'a> {
    settings: &'a Settings,
    later: &'a [Settings],
}

impl Longest<'_> {
    fn all(&self) -> impl Iterator<Item = &Settings> {
        std::iter::once(self.settings).chain(self.later)
    }

    /// The longest of a span that ends; 0: there is none.
    fn of(&self, span: impl Fn(&Settings) -> Millis) -> Millis {
        self.all().map(|settings| bounded(span(settings))).max().unwrap_or(Millis(0))
    }

    fn any(&self, so: impl Fn(&Settings) -> bool) -> bool {
        self.all().any(so)
    }

    /// The largest share of the link that is bounded.
    fn share(&self) -> Option<usize> {
        self.all().map(|settings| settings.link.share_bytes).filter(|share| *share < usize::MAX).max()
    }
}

impl Keyed for What {
    fn key(&self, names: &mut Names, key: &mut Vec<u64>) {
        match self {
            What::Open => key.push(1),
            What::Message(msg) => key.extend([2, names.message(msg.number), msg.size as u64]),
            What::Close => key.push(3),
        }
    }
}

/// Appends what of a history can still matter to a law, where the settings in force, or those in `later`, are all that may be
/// in force from here on.
pub fn key_history(seen: &History, later: &[Settings], names: &mut Names, key: &mut Vec<u64>) {
    let longest = Longest { settings: &seen.settings, later };
    key.push(seen.sessions.len() as u64);
    for session in seen.sessions.iter() {
        key_session(seen, session, longest, names, key);
    }
    key_link(&seen.link, seen, longest, names, key);
    // At its end, to the millisecond, either may be done.
    let grace = Millis(longest.of(|settings| settings.outage.grace).0 + 1);
    key.extend(seen.outage.map_or([u64::MAX; 2], |since| ages(seen.now, since, grace)));
    for turns in [&seen.spread, &seen.drain] {
        match turns {
            None => key.push(0),
            Some(turns) => key_turns(seen, turns, names, key),
        }
    }
    let remembered = longest.of(|settings| settings.crossing_window);
    let mut left: Vec<_> =
        seen.left_at.iter().map(|(user, at)| (names.user(user), age(seen.now, *at, remembered))).collect();
    left.sort_unstable();
    key.extend(left.into_iter().flat_map(|(user, age)| [user, age]));
    key.push(u64::MAX);
    let mut free: Vec<_> =
        seen.free_at.iter().map(|(user, at)| (names.user(user), (*at - seen.now).0)).collect();
    free.sort_unstable();
    key.extend(free.into_iter().flat_map(|(user, until)| [user, until]));
    key.extend([u64::MAX, u64::from(seen.stop_all) << 1 | u64::from(seen.empty), seen.lost]);
}

fn key_session(
    seen: &History,
    session: &Session,
    longest: Longest<'_>,
    names: &mut Names,
    key: &mut Vec<u64>,
) {
    let live = session.is_live();
    key.push(names.session(session.id));
    names.who(&session.who, key);
    key.push(match session.client {
        Client::In => 0,
        Client::Closed => 1,
        Client::Left => 2,
    });
    let ends = longest.any(|settings| settings.expiry == trunkline_core::Expiry::Close);
    let expires = session.expires.filter(|_| live && ends);
    key.push(expires.map_or(u64::MAX, |at| (at - seen.now).0));
    key.push(match session.ended {
        None => 0,
        Some((_, EndCause::Drained)) => 1,
        Some((_, EndCause::Expired | EndCause::Backend)) => 2,
        Some(_) => 3,
    });
    let timeout = seen.settings.drain.confirm_timeout;
    let given_up = seen.given_up_at(session).filter(|_| session.close != Close::NotDue);
    key.extend(given_up.map_or([u64::MAX; 2], |at| {
        // At the end of the timeout, and not before, it is given up.
        [at.from, at.to].map(|at| (at - seen.now).min(timeout).0)
    }));
    let earlier = |stops: u64| {
        seen.sessions.iter().filter(|other| other.stopped.is_some_and(|other| other < stops)).count() as u64
    };
    key.push(session.stopped.map_or(u64::MAX, earlier));
    key.extend([session.queue as u64, session.queue_lost as u64, session.lost as u64]);
    if let Some(share) = longest.share() {
        key.push(seen.spent(session).min(share) as u64);
    }
    match session.opened {
        None => key.push(0),
        Some(opened) if seen.is_up(opened.link) => {
            key.push(2 | u64::from(opened.again) << 2 | u64::from(opened.confirmed) << 3);
            key.push(if opened.again {
                age(seen.now, opened.at, longest.of(|settings| settings.crossing_window))
            } else {
                0
            });
        }
        Some(_) => key.push(1),
    }
    let until = |free: Option<Time>| free.map_or(u64::MAX, |at| (at - seen.now).0);
    match session.close {
        Close::NotDue => key.push(0),
        Close::Owed => key.push(1),
        Close::Said { end, free: None } => key.extend([2, end - seen.link.sent]),
        Close::Said { free, .. } => key.extend([3, until(free)]),
        Close::Confirmed { free } => key.extend([4, until(free)]),
    }
    for messages in [&*session.line, &*session.kept] {
        key.push(messages.len() as u64);
        for msg in messages {
            key.extend([names.message(msg.number), msg.size as u64]);
        }
    }
    key.push(session.sent.len() as u64);
    for (msg, redeliver) in &session.sent {
        key.extend([names.message(msg.number), msg.size as u64, *redeliver as u64]);
    }
}

/// The turns of those who live; whether any did that do not, matters not.
fn key_turns(seen: &History, turns: &Turns, names: &mut Names, key: &mut Vec<u64>) {
    let live = |id: &SessionId| seen.session(*id).is_some_and(Session::is_live);
    if !turns.list.iter().any(live) {
        return key.push(1);
    }
    key.extend([2, turns.taken as u64]);
    key.extend(ages(seen.now, turns.start, turns.span));
    key.extend(turns.list.iter().map(|id| if live(id) { names.session(*id) } else { u64::MAX - 1 }));
    key.push(u64::MAX);
}

fn key_link(link: &Link, seen: &History, longest: Longest<'_>, names: &mut Names, key: &mut Vec<u64>) {
    let now = seen.now;
    key.push(link.state as u64 | (link.phase as u64) << 2 | u64::from(link.id.0 == 0) << 4);
    if link.state == LinkState::Gone {
        let wait = longest.of(|settings| settings.link.redial_min.max(settings.link.backoff_max));
        key.extend(ages(now, link.since, wait));
    }
    if link.state != LinkState::Up {
        return;
    }
    key.extend([link.queued() as u64, u64::from(link.full) << 1 | u64::from(link.told_full)]);
    key.push(link.leaves_by.map_or(u64::MAX, |by| (by - now).0));
    for Batch { events, .. } in [&link.unpinged, &link.pinged] {
        key.push(events.len() as u64);
        for Emitted { session, what } in events {
            key.push(names.session(*session));
            what.key(names, key);
        }
    }
    if let Some(first) = link.unpinged.since {
        key.extend(ages(now, first, longest.of(|settings| settings.link.confirm_delay)));
    }
    match link.ping {
        Some((_, at)) => key.extend(ages(now, at, longest.of(|settings| settings.link.pong_timeout))),
        None => {
            let interval = longest.of(|settings| settings.link.ping_interval);
            key.extend([u64::MAX, age(now, link.calm_since, interval)]);
        }
    }
    key.push(u64::from(link.announcing.is_some()));
    for session in seen.sessions.iter() {
        let awaited = match link.announcing {
            Some(_) => session.is_live() && session.listed == Some(link.id),
            None => !matches!(session.close, Close::Confirmed { .. }) && link.settling.contains(&session.id),
        };
        key.push(u64::from(awaited));
    }
}

/// But for the numbers of links and Pings.
impl Keyed for Said {
    fn key(&self, names: &mut Names, key: &mut Vec<u64>) {
        let cause = |cause: &DropCause| *cause as u64;
        match self {
            Said::Admit(id) => key.extend([0, names.session(*id)]),
            Said::Refuse(reason) => key.extend([1, *reason as u64]),
            Said::Event { session, what, who, bytes, .. } => {
                key.extend([2, names.session(*session), *bytes as u64]);
                names.who(who, key);
                what.key(names, key);
            }
            Said::Message { session, data, .. } => {
                key.extend([3, names.session(*session), hash(data)]);
            }
            Said::Close { session, code, reason, queued } => {
                key.extend([4, names.session(*session), u64::from(code.get()), hash(reason), *queued as u64]);
            }
            Said::Stop(id) => key.extend([5, names.session(*id)]),
            Said::Resume(id) => key.extend([6, names.session(*id)]),
            Said::StopAll => key.push(7),
            Said::ResumeAll => key.push(8),
            Said::Dial(_) => key.push(9),
            Said::Ping { bytes, .. } => key.extend([10, *bytes as u64]),
            Said::Abort(_) => key.push(11),
            Said::CloseLink(_) => key.push(12),
            Said::Empty { unconfirmed_closes } => key.extend([13, *unconfirmed_closes]),
            Said::Phase(phase) => key.extend([14, *phase as u64]),
            Said::Ended { session, cause } => {
                key.extend([15, names.session(*session), hash(&format!("{cause:?}"))]);
            }
            Said::Ignored { user, fault } => {
                key.extend([16, user.as_deref().map_or(u64::MAX, |user| names.user(user))]);
                key.push(hash(&format!("{fault:?}")));
            }
            Said::StatusReplaced(id) => key.extend([17, names.session(*id)]),
            Said::MessagesDropped { session, messages, cause: why } => {
                key.extend([18, names.session(*session), *messages as u64, cause(why)]);
            }
            Said::QueueDropped { session, bytes } => {
                key.extend([19, names.session(*session), *bytes as u64]);
            }
            Said::Unconfirmed { messages } => key.extend([20, *messages]),
            Said::PongTimeout => key.push(21),
            Said::LinkFull => key.push(22),
            Said::LinkDrained => key.push(23),
            Said::OutageSpread { sessions } => key.extend([24, *sessions as u64]),
            Said::Stale => key.push(25),
        }
    }
}
