//! The door, against one that remembers everything and counts by looking through all of it.

use std::net::IpAddr;

use proptest::{collection::vec, prelude::*};
use trunkline_core::{
    Time,
    door::{Bucket, Door, DoorSettings, Network, Rate},
    handshake::Answer,
};

const A: Network = Network::V4(1);
const B: Network = Network::V4(2);

/// A door at which nothing is short, to be changed in what a test is about.
fn wide() -> DoorSettings {
    let plenty = Rate { burst: 1_000, per_minute: 60_000 };
    DoorSettings {
        handshakes_max: 1_000,
        attempts: plenty,
        connections_per_address_max: 1_000,
        attempts_per_address: plenty,
        tracked_max: 1_000,
        seed: 7,
    }
}

// ---- Rates -----------------------------------------------------------------------------------------------------

#[test]
fn a_full_bucket_gives_its_burst_at_once_and_then_at_its_rate() {
    let rate = Rate { burst: 3, per_minute: 60 };
    let mut bucket = Bucket::default();
    let mut taken = |ms| (0..10).filter(|_| bucket.take(Time(ms), rate)).count();
    assert_eq!(
        [taken(0), taken(999), taken(1_000), taken(1_999), taken(3_000), taken(60_000)],
        [3, 0, 1, 0, 2, 3]
    );
}

proptest! {
    /// In any window, no more is given than the burst and what has come in since; and who waits for one gets it.
    #[test]
    fn no_window_has_more_than_the_burst_and_the_rate(
        burst in 1..20_u32,
        per_minute in 1..100_000_u32,
        steps in vec(0..3_000_u64, 1..200),
    ) {
        let rate = Rate { burst, per_minute };
        let (mut now, mut bucket, mut given) = (0, Bucket::default(), Vec::<u64>::new());
        for step in steps {
            now += step;
            if bucket.take(Time(now), rate) {
                given.push(now);
                for (at, first) in given.iter().enumerate() {
                    let count = (given.len() - at) as f64;
                    let room = f64::from(burst) + (now - first) as f64 * f64::from(per_minute) / 60_000.0;
                    prop_assert!(count <= room + 1e-3, "{} in {} ms", count, now - first);
                }
            } else {
                prop_assert!(!bucket.is_full(Time(now)));
                prop_assert!(bucket.clone_and_take(now + 60_000 / u64::from(per_minute) + 1, rate));
            }
        }
        prop_assert!(bucket.is_full(Time(now + u64::from(burst) * 60_000)));
    }

    #[test]
    fn the_end_of_time_breaks_nothing(now in any::<u64>(), burst in any::<u32>(), per_minute in any::<u32>()) {
        let mut bucket = Bucket::default();
        bucket.take(Time(now), Rate { burst, per_minute });
        bucket.take(Time(u64::MAX), Rate { burst, per_minute });
        bucket.is_full(Time(0));
    }
}

trait CloneAndTake {
    fn clone_and_take(&self, now: u64, rate: Rate) -> bool;
}

impl CloneAndTake for Bucket {
    fn clone_and_take(&self, now: u64, rate: Rate) -> bool {
        let mut bucket = *self;
        bucket.take(Time(now), rate)
    }
}

// ---- Addresses -------------------------------------------------------------------------------------------------

#[test]
fn an_ipv6_address_counts_by_its_64_and_an_ipv4_one_in_whatever_form() {
    let network = |text: &str| Network::from(text.parse::<IpAddr>().expect("it is an address"));
    assert_eq!(network("2001:db8:1:2:a:b:c:d"), network("2001:db8:1:2::1"));
    assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
    assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
    assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    assert_ne!(network("::1"), network("0.0.0.1"));
}

#[test]
fn an_address_has_so_many_connections_and_gets_another_once_one_has_ended() {
    let mut door = Door::new(DoorSettings { connections_per_address_max: 2, ..wide() });
    assert_eq!(door.arrive(Time(0), Some(A)), Ok(()));
    assert_eq!(door.arrive(Time(0), Some(A)), Ok(()));
    assert_eq!(door.arrive(Time(0), Some(A)), Err(Answer::TooMany));
    assert_eq!(door.arrive(Time(0), Some(B)), Ok(()));
    assert_eq!(door.settle(Time(0), A), Err(Answer::TooMany));
    door.over();
    assert_eq!(door.arrive(Time(0), Some(A)), Err(Answer::TooMany), "it is there still, in session");
    door.leave(Some(A));
    assert_eq!(door.settle(Time(0), A), Ok(()));
}

#[test]
fn who_may_not_come_takes_nothing_from_the_others() {
    let few = Rate { burst: 4, per_minute: 1 };
    let settings =
        DoorSettings { attempts: few, connections_per_address_max: 1, handshakes_max: 3, ..wide() };
    let mut door = Door::new(settings);
    assert_eq!(door.arrive(Time(0), Some(A)), Ok(()));
    for _ in 0..100 {
        assert_eq!(door.arrive(Time(0), Some(A)), Err(Answer::TooMany));
    }
    assert_eq!((door.handshakes(), door.connections()), (1, 1));
    assert_eq!(door.arrive(Time(0), None), Ok(()));
    assert_eq!(door.arrive(Time(0), None), Ok(()));
    assert_eq!(door.arrive(Time(0), Some(B)), Err(Answer::Busy));
    assert_eq!((door.handshakes(), door.connections()), (3, 1), "who is turned away is not there");
    door.over();
    assert_eq!(door.arrive(Time(0), Some(B)), Ok(()));
    door.over();
    assert_eq!(door.arrive(Time(0), None), Err(Answer::Busy), "all attempts are taken");
}

#[test]
fn while_the_gateway_drains_no_other_reason_is_given() {
    let mut door = Door::new(DoorSettings { handshakes_max: 1, ..wide() });
    assert!(!door.drains());
    assert_eq!((door.open(), door.arrive(Time(0), Some(A))), (Ok(()), Ok(())));
    assert_eq!(door.arrive(Time(0), Some(A)), Err(Answer::Busy));
    door.drain();
    assert!(door.drains());
    assert_eq!((door.open(), door.arrive(Time(0), Some(A))), (Err(Answer::Draining), Err(Answer::Draining)));
    door.over();
    assert_eq!(door.arrive(Time(0), Some(A)), Ok(()), "what it asks is answered in its turn");
}

#[test]
fn what_an_operator_changes_holds_from_then_on_and_who_is_there_stays_counted() {
    let mut door = Door::new(wide());
    let comes = |door: &mut Door| door.attempt_of_user(Time(0), 0, "ann", Rate { burst: 1, per_minute: 1 });
    assert_eq!(comes(&mut door), Ok(()));
    door.change(DoorSettings { seed: wide().seed + 1, ..wide() });
    assert_eq!(comes(&mut door), Err(Answer::TooMany), "she is found again, whatever seed comes later");
    assert_eq!((door.arrive(Time(0), Some(A)), door.arrive(Time(0), Some(B))), (Ok(()), Ok(())));
    let change = |door: &mut Door, settings: DoorSettings| {
        door.change(settings);
        door.arrive(Time(0), Some(A))
    };
    assert_eq!(change(&mut door, DoorSettings { handshakes_max: 2, ..wide() }), Err(Answer::Busy));
    assert_eq!(
        change(&mut door, DoorSettings { connections_per_address_max: 1, ..wide() }),
        Err(Answer::TooMany)
    );
    let few = Rate { burst: 0, per_minute: 0 };
    assert_eq!(change(&mut door, DoorSettings { attempts: few, ..wide() }), Err(Answer::Busy));
    assert_eq!(change(&mut door, DoorSettings { attempts_per_address: few, ..wide() }), Err(Answer::TooMany));
    assert_eq!((door.handshakes(), door.connections()), (2, 2));
    // Those beyond the new bound are known for as long as they matter, and nobody else comes to be.
    assert_eq!(change(&mut door, DoorSettings { tracked_max: 2, ..wide() }), Ok(()));
    let stranger = Some(Network::V4(3));
    let alone = DoorSettings { tracked_max: 2, connections_per_address_max: 2, ..wide() };
    door.change(alone);
    assert_eq!(door.arrive(Time(0), Some(A)), Err(Answer::TooMany), "two are there already");
    assert_eq!(
        (door.arrive(Time(0), stranger), door.arrive(Time(0), Some(Network::V4(4)))),
        (Ok(()), Ok(()))
    );
    assert_eq!(door.arrive(Time(0), stranger), Err(Answer::TooMany), "strangers are counted as one");
}

#[test]
fn a_connection_that_asks_again_and_again_is_refused_like_many_that_ask_once() {
    let mut door =
        Door::new(DoorSettings { attempts_per_address: Rate { burst: 3, per_minute: 60 }, ..wide() });
    assert_eq!(door.arrive(Time(0), Some(A)), Ok(()));
    assert_eq!(door.attempt(Time(0), Some(A)), Ok(()));
    assert_eq!(door.attempt(Time(0), Some(A)), Ok(()));
    assert_eq!(door.attempt(Time(0), Some(A)), Err(Answer::TooMany));
    assert_eq!(door.arrive(Time(0), Some(A)), Err(Answer::TooMany));
    assert_eq!(door.attempt(Time(0), Some(B)), Ok(()));
    assert_eq!(door.attempt(Time(0), None), Ok(()));
    assert_eq!(door.attempt(Time(1_000), Some(A)), Ok(()));
    assert_eq!(door.attempt(Time(500), Some(A)), Err(Answer::TooMany), "time does not go back");
}

#[test]
fn a_users_attempts_are_its_own_on_each_endpoint() {
    let rate = Rate { burst: 2, per_minute: 60 };
    let mut door = Door::new(wide());
    let mut may = |now, endpoint, user| door.attempt_of_user(Time(now), endpoint, user, rate).is_ok();
    assert!(may(0, 0, "ann") && may(0, 0, "ann") && !may(0, 0, "ann"));
    assert!(may(0, 1, "ann") && may(0, 0, "bob") && may(0, 0, ""));
    assert!(may(1_000, 0, "ann") && !may(1_000, 0, "ann"));
}

#[test]
fn once_all_that_can_be_known_are_strangers_are_counted_as_one_until_somebody_can_be_forgotten() {
    let rate = Rate { burst: 2, per_minute: 60 };
    let mut door = Door::new(DoorSettings { attempts_per_address: rate, tracked_max: 10, ..wide() });
    let stranger = |n| Some(Network::V6(n));
    for n in 0..10 {
        assert_eq!(door.arrive(Time(0), stranger(n)), Ok(()));
    }
    assert_eq!(door.arrive(Time(10), stranger(100)), Ok(()));
    assert_eq!(door.arrive(Time(10), stranger(101)), Ok(()));
    assert_eq!(door.arrive(Time(10), stranger(102)), Err(Answer::TooMany));
    assert_eq!(door.arrive(Time(10), stranger(0)), Ok(()), "who is known has what is its own");
    assert_eq!(door.tracked().0, 10);
    // Nobody who is connected is forgotten.
    assert_eq!(door.arrive(Time(60_000), stranger(103)), Ok(()));
    assert_eq!((door.tracked().0, door.connections()), (10, 14));
    (0..10).for_each(|n| door.leave(stranger(n)));
    assert_eq!(door.arrive(Time(120_000), stranger(104)), Ok(()));
    assert_eq!((door.tracked().0, door.connections()), (2, 5));
}

#[test]
fn one_who_was_counted_among_strangers_is_so_when_it_leaves_though_it_is_known_by_then() {
    let mut door = Door::new(DoorSettings { tracked_max: 1, connections_per_address_max: 2, ..wide() });
    let [known, stranger, other] = [0, 1, 2].map(|n| Some(Network::V6(n)));
    assert_eq!(door.arrive(Time(0), known), Ok(()));
    assert_eq!(door.arrive(Time(0), stranger), Ok(()));
    door.leave(known);
    assert_eq!(door.attempt(Time(10_000), stranger), Ok(()), "the one that is known now");
    door.leave(stranger);
    assert_eq!(door.connections(), 0);
    assert_eq!([door.arrive(Time(10_000), other), door.arrive(Time(10_000), other)], [Ok(()), Ok(())]);
}

#[test]
fn those_who_can_be_forgotten_are_looked_for_once_in_a_second() {
    let few = Rate { burst: 1, per_minute: 60_000 };
    let mut door = Door::new(DoorSettings { tracked_max: 1, attempts_per_address: few, ..wide() });
    let mut may = |ms: u64, n| (door.attempt(Time(ms), Some(Network::V6(n))).is_ok(), door.tracked().0);
    assert_eq!([may(0, 1), may(0, 2), may(0, 3)], [(true, 1), (true, 1), (false, 1)], "two are one stranger");
    assert_eq!(may(0, 1), (false, 1), "the first is known");
    // It could be forgotten from here on, but nobody looks until a second is over.
    assert_eq!([may(999, 2), may(999, 3)], [(true, 1), (false, 1)], "they are one");
    assert_eq!([may(1_000, 2), may(1_000, 3)], [(true, 1), (true, 1)], "one is known, the other a stranger");
    assert_eq!(may(1_000, 4), (false, 1), "and this one too");
}

// ---- All together ----------------------------------------------------------------------------------------------

#[derive(Clone, Copy, Debug)]
enum Step {
    Wait(u64),
    Arrive(Option<u8>),
    Settle(u8),
    Attempt(Option<u8>),
    Over,
    Leave(u8),
    User(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let who = || prop::option::of(0..4_u8);
    prop_oneof![
        (0..2_000_u64).prop_map(Step::Wait),
        who().prop_map(Step::Arrive),
        who().prop_map(Step::Arrive),
        (0..4_u8).prop_map(Step::Settle),
        who().prop_map(Step::Attempt),
        Just(Step::Over),
        (0..4_u8).prop_map(Step::Leave),
        (0..3_u8).prop_map(Step::User),
    ]
}

/// A rate as it is explained: a number of attempts that fills up evenly.
#[derive(Clone, Copy)]
struct Level {
    rate: Rate,
    level: f64,
    at: u64,
}

impl Level {
    fn new(rate: Rate) -> Self {
        Level { rate, level: f64::from(rate.burst), at: 0 }
    }

    /// `None`: it is so close that rounding may decide.
    fn take(&mut self, now: u64) -> Option<bool> {
        let filled = (now - self.at) as f64 * f64::from(self.rate.per_minute) / 60_000.0;
        self.level = (self.level + filled).min(f64::from(self.rate.burst));
        self.at = now;
        if (self.level - 1.0).abs() < 1e-6 {
            // What is exact here is exact there.
            self.level = self.level.round();
        }
        let has = self.level >= 1.0;
        if has {
            self.level -= 1.0;
        }
        Some(has)
    }
}

proptest! {
    #[test]
    fn the_door_decides_as_one_that_counts_everything(steps in vec(step(), 0..300)) {
        // Rates that divide a minute evenly, so that both count in the same steps.
        let (of_address, of_all) = (Rate { burst: 5, per_minute: 120 }, Rate { burst: 9, per_minute: 240 });
        let of_user = Rate { burst: 2, per_minute: 30 };
        let settings = DoorSettings {
            handshakes_max: 4,
            attempts: of_all,
            connections_per_address_max: 3,
            attempts_per_address: of_address,
            tracked_max: 100,
            seed: 3,
        };
        let mut door = Door::new(settings);
        let (mut now, mut handshakes) = (0, 0);
        let mut all = Level::new(of_all);
        let mut addresses = [Level::new(of_address); 4];
        let mut connections = [0_u64; 4];
        let mut users = [Level::new(of_user); 3];
        let network = |who: u8| Network::V4(u32::from(who));
        for step in steps {
            match step {
                Step::Wait(ms) => now += ms,
                Step::Arrive(who) => {
                    let at = who.map(usize::from);
                    let expected = if at.is_some_and(|at| addresses[at].take(now) == Some(false) || connections[at] >= 3) {
                        Err(Answer::TooMany)
                    } else if handshakes >= 4 || all.take(now) == Some(false) {
                        Err(Answer::Busy)
                    } else {
                        handshakes += 1;
                        at.into_iter().for_each(|at| connections[at] += 1);
                        Ok(())
                    };
                    prop_assert_eq!(door.arrive(Time(now), who.map(network)), expected);
                }
                Step::Settle(who) => {
                    let at = usize::from(who);
                    let fine = addresses[at].take(now) == Some(true) && connections[at] < 3;
                    connections[at] += u64::from(fine);
                    prop_assert_eq!(door.settle(Time(now), network(who)).is_ok(), fine);
                }
                Step::Attempt(who) => {
                    let expected = if who.is_some_and(|who| addresses[usize::from(who)].take(now) == Some(false)) {
                        Err(Answer::TooMany)
                    } else if all.take(now) == Some(false) {
                        Err(Answer::Busy)
                    } else {
                        Ok(())
                    };
                    prop_assert_eq!(door.attempt(Time(now), who.map(network)), expected);
                }
                Step::Over if handshakes > 0 => {
                    handshakes -= 1;
                    door.over();
                }
                Step::Leave(who) if connections[usize::from(who)] > 0 => {
                    connections[usize::from(who)] -= 1;
                    door.leave(Some(network(who)));
                }
                Step::User(user) => {
                    let expected = users[usize::from(user)].take(now) == Some(true);
                    let name = ["ann", "bob", "cid"][usize::from(user)];
                    prop_assert_eq!(door.attempt_of_user(Time(now), 0, name, of_user).is_ok(), expected);
                }
                Step::Over | Step::Leave(_) => {}
            }
            prop_assert_eq!(door.connections(), connections.iter().sum::<u64>());
            prop_assert_eq!(door.handshakes(), handshakes);
        }
    }

    #[test]
    fn no_more_are_known_than_may_be_whatever_comes(
        steps in vec((0..2_000_u64, any::<u64>(), any::<bool>()), 0..400),
        tracked_max in 1..20_usize,
    ) {
        let mut door = Door::new(DoorSettings { tracked_max, ..wide() });
        let mut now = 0;
        for (ms, who, stays) in steps {
            now += ms;
            let who = Some(Network::V6(who % 64));
            let arrived = door.arrive(Time(now), who).is_ok();
            door.over();
            if arrived && !stays {
                door.leave(who);
            }
            let _ = door.attempt_of_user(Time(now), 0, &who.map_or(0, |_| now).to_string(), Rate { burst: 1, per_minute: 1 });
            let (addresses, users) = door.tracked();
            prop_assert!(addresses <= tracked_max && users <= tracked_max);
        }
    }
}
