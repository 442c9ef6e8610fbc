//! How fast a client may send: over no span of time more than the rate brings and the burst, and never held below it.

use proptest::prelude::*;
use trunkline_core::{
    Millis, Time,
    rate::{Allowed, Bucket, Meter, OnExcess, Rate, Rates},
};

/// Rates from one in a second to far beyond what a configuration may say.
fn rates() -> impl Strategy<Value = Rate> {
    let per_second = prop_oneof![1u64..20, 1u64..100_000, Just(1 << 30), Just(u64::MAX)];
    let burst = prop_oneof![Just(0u64), 1u64..5_000, Just(60_000), Just(u64::MAX)];
    (per_second, burst).prop_map(|(per_second, burst)| Rate { per_second, burst: Millis(burst) })
}

/// Attempts: after how long, and how much.
fn attempts(longest: u64, largest: u64) -> impl Strategy<Value = Vec<(u64, u64)>> {
    prop::collection::vec((prop_oneof![Just(0), Just(1), 0..longest], 1..largest), 1..60)
}

/// What a burst is, in thousandths; one whole at least.
fn depth(rate: Rate) -> u128 {
    (u128::from(rate.per_second) * u128::from(rate.burst.0)).max(1_000)
}

proptest! {
    #[test]
    fn no_span_of_time_brings_more_than_the_rate_and_the_burst(rate in rates(), attempts in attempts(3_000, 50)) {
        let (mut bucket, mut now, mut taken) = (Bucket::default(), 0, Vec::new());
        for (later, amount) in attempts {
            now += later;
            if bucket.take(rate, Time(now), amount) {
                taken.push((now, amount));
            }
        }
        for (first, &(from, _)) in taken.iter().enumerate() {
            let mut sum = 0u128;
            for &(to, amount) in &taken[first..] {
                sum += u128::from(amount) * 1_000;
                let brought = u128::from(rate.per_second) * u128::from(to - from);
                prop_assert!(sum <= brought.saturating_add(depth(rate)), "{sum} from {from} to {to}");
            }
        }
    }

    #[test]
    fn whoever_keeps_to_the_rate_is_never_held(per_second in 1u64..2_000, burst in 1_000u64..5_000, count in 1u64..500) {
        let rate = Rate { per_second, burst: Millis(burst) };
        let mut bucket = Bucket::default();
        for number in 0..count {
            // As early as the rate allows, and a burst of one second beforehand.
            let at = (number.saturating_sub(per_second - 1) * 1_000).div_ceil(per_second);
            prop_assert!(bucket.take(rate, Time(at), 1), "number {number} at {at}");
        }
    }

    #[test]
    fn there_is_room_when_it_was_said_that_there_would_be_and_not_before(
        rate in rates(), attempts in attempts(100, 50), amount in 1u64..100
    ) {
        let (mut bucket, mut now) = (Bucket::default(), 0);
        for (later, amount) in attempts {
            now += later;
            bucket.take(rate, Time(now), amount);
        }
        let amount = amount.min(u64::try_from(depth(rate) / 1_000).unwrap_or(u64::MAX));
        let fits = bucket.room(rate, Time(now)) >= amount;
        let at = bucket.room_at(rate, amount);
        prop_assert_eq!(at > Time(now), !fits);
        if !fits {
            prop_assert!(bucket.clone().room(rate, Time(at.0 - 1)) < amount);
            prop_assert!(bucket.room(rate, at) >= amount);
        }
    }

    #[test]
    fn nothing_overflows_and_what_is_allowed_is_something(
        messages in rates(), bytes in rates(), close in any::<bool>(),
        times in prop::collection::vec(any::<u64>(), 1..20), wanted in any::<usize>()
    ) {
        let on_excess = if close { OnExcess::Close } else { OnExcess::Slow };
        let rates = Rates { messages, bytes, on_excess };
        let mut meter = Meter::default();
        let mut latest = 0;
        for at in times {
            latest = latest.max(at);
            match meter.may_read(&rates, Time(at), wanted.max(1)) {
                Allowed::Now(allowed) => {
                    prop_assert!((1..=wanted.max(1)).contains(&allowed));
                    prop_assert!(meter.has_read(&rates, Time(at), allowed) || close);
                }
                Allowed::From(then) => prop_assert!(then > Time(latest) || then == Time(u64::MAX)),
            }
            if meter.may_take(&rates, Time(at)) == Allowed::Now(1) {
                prop_assert!(meter.has_taken(&rates, Time(at)) || close);
            }
            if at % 3 == 0 { meter.fall_behind() } else { meter.catch_up(&rates, Time(at)) }
        }
    }
}

#[test]
fn what_is_not_limited_is_never_held() {
    let mut bucket = Bucket::default();
    for _ in 0..10 {
        assert!(bucket.take(Rate::UNLIMITED, Time(0), u64::MAX));
    }
    assert_eq!(bucket, Bucket::default());
    assert_eq!(bucket.room_at(Rate::UNLIMITED, u64::MAX), Time(0));
}

#[test]
fn time_that_goes_backwards_brings_nothing() {
    let rate = Rate { per_second: 10, burst: Millis(100) };
    let mut bucket = Bucket::default();
    assert!(bucket.take(rate, Time(1_000), 1));
    assert!(!bucket.take(rate, Time(0), 1));
    assert!(!bucket.take(rate, Time(1_099), 1));
    assert!(bucket.take(rate, Time(1_100), 1));
}

/// Messages alone, 10 in a second and 2 at once.
fn ten_per_second(on_excess: OnExcess) -> Rates {
    let rate = Rate { per_second: 10, burst: Millis(200) };
    Rates { messages: rate, bytes: Rate::UNLIMITED, on_excess }
}

#[test]
fn whoever_was_not_read_from_is_closed_only_for_more_than_it_may_have_sent_meanwhile() {
    let rates = ten_per_second(OnExcess::Close);
    let mut meter = Meter::default();
    meter.fall_behind();
    // 2 at once, and 10 for the second in which it was not read from.
    for number in 0..12 {
        assert_eq!(meter.may_take(&rates, Time(1_000)), Allowed::Now(1));
        assert!(meter.has_taken(&rates, Time(1_000)), "number {number}");
    }
    assert!(!meter.has_taken(&rates, Time(1_000)), "it is closed");
}

#[test]
fn whoever_has_been_read_from_to_the_end_has_a_burst_and_no_more() {
    let rates = ten_per_second(OnExcess::Close);
    let mut meter = Meter::default();
    meter.fall_behind();
    meter.catch_up(&rates, Time(1_000));
    assert!(meter.has_taken(&rates, Time(1_000)));
    assert!(meter.has_taken(&rates, Time(1_000)));
    assert!(!meter.has_taken(&rates, Time(1_000)), "it is closed");
}

#[test]
fn whoever_is_slowed_down_gains_nothing_by_waiting() {
    let rates = ten_per_second(OnExcess::Slow);
    let mut meter = Meter::default();
    meter.fall_behind();
    assert!(meter.has_taken(&rates, Time(1_000)));
    assert!(meter.has_taken(&rates, Time(1_000)));
    assert_eq!(meter.may_take(&rates, Time(1_000)), Allowed::From(Time(1_100)));
}

#[test]
fn a_slow_rate_is_not_read_in_crumbs() {
    let bytes = Rate { per_second: 100_000, burst: Millis(100) };
    let rates = Rates { messages: Rate::UNLIMITED, bytes, on_excess: OnExcess::Slow };
    let mut meter = Meter::default();
    assert_eq!(meter.may_read(&rates, Time(0), 16_384), Allowed::Now(10_000));
    assert!(meter.has_read(&rates, Time(0), 10_000));
    assert_eq!(meter.may_read(&rates, Time(0), 16_384), Allowed::From(Time(41)));
    assert_eq!(meter.may_read(&rates, Time(41), 16_384), Allowed::Now(4_100));
}

#[test]
fn where_a_burst_is_smaller_than_a_read_it_is_waited_for_as_a_whole() {
    let bytes = Rate { per_second: 1_000, burst: Millis(100) };
    let rates = Rates { messages: Rate::UNLIMITED, bytes, on_excess: OnExcess::Slow };
    let mut meter = Meter::default();
    assert_eq!(meter.may_read(&rates, Time(0), 16_384), Allowed::Now(100));
    assert!(meter.has_read(&rates, Time(0), 50));
    assert_eq!(meter.may_read(&rates, Time(0), 16_384), Allowed::From(Time(50)));
}

#[test]
fn an_excess_of_bytes_closes_or_slows_down() {
    for (on_excess, goes_on) in [(OnExcess::Close, false), (OnExcess::Slow, true)] {
        let bytes = Rate { per_second: 1_000, burst: Millis(100) };
        let rates = Rates { messages: Rate::UNLIMITED, bytes, on_excess };
        let mut meter = Meter::default();
        assert!(meter.has_read(&rates, Time(0), 100), "{on_excess:?}");
        assert_eq!(meter.has_read(&rates, Time(0), 1), goes_on, "{on_excess:?}");
    }
}

#[test]
fn whoever_is_to_be_closed_is_heard_first_and_whoever_is_slowed_down_has_its_burst() {
    for (on_excess, allowed) in
        [(OnExcess::Close, Allowed::Now(1)), (OnExcess::Slow, Allowed::From(Time(100)))]
    {
        let rates = ten_per_second(on_excess);
        let mut meter = Meter::default();
        for _ in 0..2 {
            assert_eq!(meter.may_take(&rates, Time(0)), Allowed::Now(1), "{on_excess:?}");
            assert!(meter.has_taken(&rates, Time(0)), "{on_excess:?}");
        }
        assert_eq!(meter.may_take(&rates, Time(0)), allowed, "{on_excess:?}");
    }
}

#[test]
fn a_client_is_behind_from_when_it_was_not_read_from_until_it_is_read_to_the_end() {
    let mut meter = Meter::default();
    assert!(!meter.is_behind());
    meter.fall_behind();
    assert!(meter.is_behind());
    meter.catch_up(&Rates::default(), Time(0));
    assert!(!meter.is_behind());
}
