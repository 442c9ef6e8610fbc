//! Bytes to what can happen: one decoder for property tests and fuzzers.
//!
//! Position by position the bytes choose among the steps that are possible in a [`World`] that has heard all that
//! the machine has said, so that nearly every byte does something. The world behaves towards the machine as the
//! shell must; its hostile steps use only inputs that must change nothing.

use trunkline_core::{
    CloseCode, DrainSettings, Duplicates, Expiry, Input, LeaveCause, LinkSettings, Millis, OutagePolicy,
    OutageSettings, Redeliver, Settings, Time,
    language::{Action, BadAction, Data, Field, Status},
};

use crate::{
    said::Given,
    world::{FOREVER, LEAVES, Move, USERS, World},
};

/// Bytes that are used up one by one.
#[derive(Clone, Debug)]
pub struct Bytes<'a>(pub &'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> Option<usize> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(usize::from(*first))
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.byte().unwrap_or(0) % choices.len()]
    }

    /// Small settings, in which every bound is soon met.
    pub fn settings(&mut self) -> Settings {
        let high_bytes = self.of(&[4000, 30, 100, 400]);
        let policy =
            self.of(&[OutagePolicy::Hold, OutagePolicy::Hold, OutagePolicy::Hold, OutagePolicy::Close]);
        let mut settings = Settings {
            sessions_max: self.of(&[4, 6, 2, 1, 3]),
            duplicates: self.of(&[Duplicates::TakeOver, Duplicates::TakeOver, Duplicates::Reject]),
            reopen_gap: Millis(self.of(&[5, 1, 0])),
            crossing_window: self.of(&[FOREVER, Millis(8), Millis(0)]),
            expiry: self.of(&[Expiry::Close, Expiry::Close, Expiry::Ignore]),
            redeliver: self.of(&[Redeliver::Never, Redeliver::Unconfirmed]),
            parked_bytes_max: self.of(&[1000, 200, 65]),
            parked_bytes_total_max: self.of(&[3000, 400, 150]),
            client_queue_bytes_max: self.of(&[500, 60, 20]),
            client_queue_bytes_total_max: self.of(&[1000, 100, 30]),
            link: LinkSettings {
                redial_min: Millis(self.of(&[1, 5])),
                backoff_first: Millis(self.of(&[1, 4])),
                backoff_max: Millis(self.of(&[4, 20])),
                high_bytes,
                low_bytes: high_bytes / self.of(&[2, 4, 1]),
                share_bytes: usize::MAX,
                confirm_delay: Millis(self.of(&[1, 0, 3])),
                ping_interval: Millis(self.of(&[30, 7])),
                pong_timeout: Millis(self.of(&[40, 10])),
            },
            outage: OutageSettings {
                policy,
                grace: Millis(self.of(&[40, 10])),
                spread: Millis(self.of(&[10, 15, 0])),
            },
            drain: DrainSettings {
                time: Millis(self.of(&[10, 25, 0])),
                confirm_timeout: Millis(self.of(&[15, 3])),
            },
            seed: self.byte().unwrap_or(0) as u64,
        };
        // Not a byte of its own: what the corpus says would mean something else.
        settings.link.share_bytes = [usize::MAX, 1, 30, 100][settings.seed as usize % 4];
        settings
    }
}

/// Of each span and share that [`Bytes::settings`] may choose, the longest that ends.
pub fn longest() -> Settings {
    let mut settings = Settings { reopen_gap: Millis(5), crossing_window: Millis(8), ..Settings::default() };
    settings.link.redial_min = Millis(5);
    settings.link.backoff_max = Millis(20);
    settings.link.share_bytes = 100;
    settings.link.confirm_delay = Millis(3);
    settings.link.ping_interval = Millis(30);
    settings.link.pong_timeout = Millis(40);
    settings.outage.grace = Millis(40);
    settings
}

impl World {
    /// The next move that the bytes choose; `None` when they are used up. `deadline` is the machine's.
    pub fn next(&mut self, bytes: &mut Bytes<'_>, deadline: Option<Time>) -> Option<Move> {
        loop {
            let choice = bytes.byte()?;
            let (at, late) = self.time(choice >> 5, bytes, deadline);
            // What is not possible now leaves room for what everything waits for.
            if let Some(input) = self.input(choice & 31, bytes).or_else(|| self.link_up()) {
                self.now = at;
                return Some(Move { at, late, input });
            }
        }
    }

    fn time(&self, choice: usize, bytes: &mut Bytes<'_>, deadline: Option<Time>) -> (Time, bool) {
        let next = deadline.unwrap_or(self.now).max(self.now);
        match choice {
            0..=3 => (self.now, false),
            4 => (self.now + Millis(1), false),
            5 => (self.now + Millis(3), false),
            6 => (next.min(self.now + Millis(100)), false),
            _ => match bytes.byte().unwrap_or(0) {
                large @ 0..=23 => (self.now + Millis(large as u64), false),
                late @ 64..=127 => (next.min(self.now + Millis(100)) + Millis(late as u64 & 7), true),
                late @ 128..=143 => (self.now + Millis(late as u64 & 63), true),
                _ => (next.min(self.now + Millis(100)), false),
            },
        }
    }

    fn input(&mut self, choice: usize, bytes: &mut Bytes<'_>) -> Option<Given> {
        match choice {
            0..=3 => Some(self.asks(bytes)),
            4..=7 => {
                let choice = bytes.byte()?;
                let readable = self.readable();
                let session = readable.get(choice % readable.len().max(1))?;
                Some(self.message(*session, choice / 4))
            }
            8 | 9 => {
                let (who, cause) = (bytes.byte()?, bytes.of(&LEAVES));
                let count = self.peers.len();
                (count > 0).then(|| self.leave(who % count, cause))
            }
            10 => {
                let closed = self.peers.iter().position(|peer| peer.closed)?;
                Some(self.leave(closed, LeaveCause::Closed))
            }
            11 => {
                let who = bytes.byte()? % self.peers.len().max(1);
                let most = (self.peers.get(who)?.queued / bytes.of(&[1, 2])).max(1);
                Some(self.client_sent(who, most))
            }
            12 | 13 => self.link_up().or_else(|| {
                self.library();
                self.deliver()
            }),
            14 => match bytes.byte()? {
                0..=70 => self.link_down(),
                _ => self.link_up(),
            },
            15 => self.link_sent(bytes.byte()? % 40),
            16 | 17 => self.link_sent(usize::MAX),
            18 | 19 => self.link_up().or_else(|| self.link_sent(usize::MAX)).or_else(|| {
                self.library();
                self.deliver()
            }),
            20 | 21 => self.deliver(),
            22 => {
                self.handle(bytes.byte()? % 4);
                None
            }
            23 | 24 => {
                let user = USERS[bytes.byte()? % USERS.len()];
                let data = "m".repeat(bytes.byte()? % 40);
                let data = if data.len() == 7 {
                    Data::Binary(data.into_bytes().into())
                } else {
                    Data::Text(data.into())
                };
                self.says(Ok(Action::Send { user: Some(user.into()), data }))
            }
            25 => {
                let action = self.close_action(bytes);
                self.says(action)
            }
            26 => {
                let bad = bytes.of(&[
                    Err(BadAction::NotJson),
                    Err(BadAction::Missing(Field::User)),
                    Ok(None),
                    Ok(Some("nobody")),
                ]);
                let send = |user: Option<&'static str>| Action::Send {
                    user: user.map(Into::into),
                    data: Data::Text("to nobody".into()),
                };
                self.says(bad.map(send))
            }
            27 => {
                let forward = bytes.byte()? as i64 - 128;
                (forward & 3 == 0).then_some(Input::WallClockStepped { forward: forward / 4 })
            }
            28 => match bytes.byte()? {
                0..=19 => Some(Input::Drain),
                100..=139 => {
                    let settings = bytes.settings();
                    Some(self.change(settings))
                }
                140..=159 => Some(Input::Redial),
                kick @ 200..=255 => {
                    let count = self.peers.len();
                    (count > 0).then(|| Input::Kick { session: self.peers[kick % count].id })
                }
                _ => None,
            },
            29 => {
                let choice = bytes.byte()?;
                Some(self.hostile((choice & 15) + 4 * (choice >> 6 & 1), choice >> 4 & 3))
            }
            30 => {
                // A Pong is lost, or all that is under way arrives at once.
                if bytes.byte()? < 40 {
                    self.lose_pong();
                    return None;
                }
                self.library();
                self.handle(usize::MAX);
                self.link_sent(usize::MAX)
            }
            _ => Some(Input::Deadline),
        }
    }

    fn asks(&mut self, bytes: &mut Bytes<'_>) -> Given {
        let choice = bytes.byte().unwrap_or(0);
        let expires = match choice >> 2 {
            0..=39 => None,
            40..=41 => Some(self.now),
            span => Some(self.now + Millis(span as u64 * 2)),
        };
        self.ask(USERS[choice % USERS.len()], expires)
    }

    /// The backend says something, which is no input yet.
    fn says(&mut self, action: Result<Action<'static>, BadAction>) -> Option<Given> {
        self.act(action);
        None
    }

    fn close_action(&mut self, bytes: &mut Bytes<'_>) -> Result<Action<'static>, BadAction> {
        let user = Some(USERS[bytes.byte().unwrap_or(0) % USERS.len()].into());
        let status = bytes.of(&[
            None,
            CloseCode::new(4001).map(Status::Code),
            Some(Status::Unsendable),
            Some(Status::Code(CloseCode::INTERNAL)),
        ]);
        let reason = bytes.of(&[None, Some(1), Some(99)]).map(|length| "ä".repeat(length).into());
        Ok(Action::Close { user, status, reason })
    }
}
