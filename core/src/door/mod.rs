//! The door: who is let in to the handshake at all. It is asked before anything costly is done for a client, and its
//! refusals are the first rows of the handshake's table (language.md, "Handshake").
//!
//! It knows no sockets and reads no clock. Whoever is in session has passed it, and is never touched by it again.

mod ledger;
mod network;
mod rate;

use core::hash::Hasher;

use siphasher::sip::SipHasher13;

use self::ledger::Ledger;
pub use self::{
    network::Network,
    rate::{Bucket, Rate},
};
use crate::{Time, handshake::Answer};

/// What an operator decides about the door. [`DoorSettings::default`] is what `docs/configuration.md` states.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DoorSettings {
    /// Handshakes under way at once, of all clients together.
    pub handshakes_max: u32,
    /// Attempts of all clients together.
    pub attempts: Rate,
    /// Connections that a client address may have at once, in a handshake or in session.
    pub connections_per_address_max: u32,
    /// Attempts of a client address.
    pub attempts_per_address: Rate,
    /// Addresses, and users, that are told apart at most.
    pub tracked_max: usize,
    /// The key of the indices, which nobody outside may know.
    pub seed: u64,
}

impl Default for DoorSettings {
    fn default() -> Self {
        DoorSettings {
            handshakes_max: 8_192,
            attempts: Rate { burst: 10_000, per_minute: 600_000 },
            connections_per_address_max: 256,
            attempts_per_address: Rate { burst: 300, per_minute: 1_200 },
            tracked_max: 100_000,
            seed: 0,
        }
    }
}

/// Counts who is there and who has come how often.
///
/// A connection [arrives](Door::arrive), which counts as its first attempt; each further request on it is one more
/// [attempt](Door::attempt). Where a proxy says only later whose it is, it [settles](Door::settle). When nothing more will be asked on it, its handshake is [over](Door::over). When
/// its socket is gone, it has [left](Door::leave). An address of `None` is one that no limit applies to, or that is
/// not known yet.
#[derive(Clone, Debug)]
pub struct Door {
    settings: DoorSettings,
    /// Time that goes backwards is taken as standing still.
    now: Time,
    handshakes: u32,
    drains: bool,
    attempts: Bucket,
    addresses: Ledger<Network>,
    /// By a keyed hash of endpoint and name, of 64 bits: two users of one hash would share their attempts.
    users: Ledger<u64>,
}

impl Door {
    /// A door that nobody has come to yet.
    pub fn new(settings: DoorSettings) -> Self {
        Door {
            now: Time(0),
            handshakes: 0,
            drains: false,
            attempts: Bucket::default(),
            addresses: Ledger::new(settings.tracked_max, settings.seed),
            users: Ledger::new(settings.tracked_max, settings.seed),
            settings,
        }
    }

    /// An operator has decided otherwise: these settings hold from now on, but for the seed. Who is counted stays so.
    pub fn change(&mut self, settings: DoorSettings) {
        self.addresses.track(settings.tracked_max);
        self.users.track(settings.tracked_max);
        self.settings = DoorSettings { seed: self.settings.seed, ..settings };
    }

    /// The gateway drains: whatever else there is to say, that is what anyone is told from now on.
    pub fn drain(&mut self) {
        self.drains = true;
    }

    /// Whether the gateway has been told to stop.
    pub fn drains(&self) -> bool {
        self.drains
    }

    /// Whether anyone is let in at all.
    pub fn open(&self) -> Result<(), Answer> {
        if self.drains { Err(Answer::Draining) } else { Ok(()) }
    }

    /// A connection was accepted. `Err`: it is turned away, and nothing of it is counted but its attempt.
    pub fn arrive(&mut self, now: Time, address: Option<Network>) -> Result<(), Answer> {
        self.let_in(now, address).map_err(|answer| if self.drains { Answer::Draining } else { answer })
    }

    fn let_in(&mut self, now: Time, address: Option<Network>) -> Result<(), Answer> {
        let now = self.go_to(now);
        self.admit(now, address)?;
        if self.handshakes >= self.settings.handshakes_max || !self.take_attempt(now) {
            self.leave(address);
            return Err(Answer::Busy);
        }
        self.handshakes = self.handshakes.saturating_add(1);
        Ok(())
    }

    /// A connection that has arrived without an address turns out to be of this one: a connection and an attempt are
    /// counted. `Err`: nothing is counted but the attempt.
    pub fn settle(&mut self, now: Time, address: Network) -> Result<(), Answer> {
        let now = self.go_to(now);
        self.admit(now, Some(address))
    }

    /// A connection on which something was asked before asks again.
    pub fn attempt(&mut self, now: Time, address: Option<Network>) -> Result<(), Answer> {
        let now = self.go_to(now);
        if !self.take_address_attempt(now, address) {
            return Err(Answer::TooMany);
        }
        if self.take_attempt(now) { Ok(()) } else { Err(Answer::Busy) }
    }

    /// A user, whose token was verified, asks to come in to an endpoint.
    pub fn attempt_of_user(
        &mut self,
        now: Time,
        endpoint: u64,
        user: &str,
        rate: Rate,
    ) -> Result<(), Answer> {
        let now = self.go_to(now);
        let mut hasher = SipHasher13::new_with_keys(self.settings.seed, !self.settings.seed);
        hasher.write_u64(endpoint);
        hasher.write(user.as_bytes());
        if self.users.take(now, hasher.finish(), rate) { Ok(()) } else { Err(Answer::TooMany) }
    }

    /// A connection that has arrived will ask nothing more.
    pub fn over(&mut self) {
        self.handshakes = self.handshakes.saturating_sub(1);
    }

    /// A connection that is counted for this address has ended.
    pub fn leave(&mut self, address: Option<Network>) {
        if let Some(address) = address {
            self.addresses.disconnect(address);
        }
    }

    /// Handshakes under way.
    pub fn handshakes(&self) -> u32 {
        self.handshakes
    }

    /// Connections that are counted for an address. It counts them anew.
    pub fn connections(&self) -> u64 {
        self.addresses.connections()
    }

    /// Addresses and users that are told apart now.
    pub fn tracked(&self) -> (usize, usize) {
        (self.addresses.len(), self.users.len())
    }

    /// Counts a connection and an attempt for the address.
    fn admit(&mut self, now: Time, address: Option<Network>) -> Result<(), Answer> {
        let Some(network) = address else { return Ok(()) };
        if !self.take_address_attempt(now, address)
            || !self.addresses.connect(now, network, self.settings.connections_per_address_max)
        {
            return Err(Answer::TooMany);
        }
        Ok(())
    }

    fn take_address_attempt(&mut self, now: Time, address: Option<Network>) -> bool {
        let rate = self.settings.attempts_per_address;
        address.is_none_or(|address| self.addresses.take(now, address, rate))
    }

    fn take_attempt(&mut self, now: Time) -> bool {
        self.attempts.take(now, self.settings.attempts)
    }

    fn go_to(&mut self, now: Time) -> Time {
        self.now = self.now.max(now);
        self.now
    }
}
