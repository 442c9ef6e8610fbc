//! Scenarios under the laws: see `trunkline_core_tests::drive`.

use std::cell::RefCell;

use proptest::{
    collection::vec,
    prelude::any,
    test_runner::{Config, TestCaseError, TestRunner},
};
use trunkline_core_tests::{
    begun::{Seen, run_begun, run_spoilt},
    drive::{CASES, Failure, Reached, run, run_carelessly, run_without_harmless},
    replay::{LATE_CASES, run_asking, run_immense, run_interleaved, run_late, run_restored, run_surveyed},
    twins::run_twins,
};

/// So many are a second's work or two, and reach everything.
const CASES_MANY: u32 = 20_000;

/// Scenarios until one fails; a failing one is made as small as can be. proptest's variables have the last word.
fn campaign(mut each: impl FnMut(&[u8]) -> Result<(), Box<Failure>>) {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES_MANY;
    }
    if std::env::var_os("PROPTEST_MAX_SHRINK_ITERS").is_none() {
        config.max_shrink_iters = 20_000;
    }
    let each = RefCell::new(&mut each);
    let outcome = TestRunner::new(config).run(&vec(any::<u8>(), 0..400), |bytes| {
        (each.borrow_mut())(&bytes).map_err(|failure| TestCaseError::fail(format!("{failure:?}")))
    });
    if let Err(broken) = outcome {
        panic!("{broken}");
    }
}

#[test]
fn every_scenario_keeps_every_law_and_settles() {
    let mut reached = Reached::new();
    let mut cases = 0;
    campaign(|bytes| {
        for (case, count) in run(bytes)? {
            *reached.entry(case).or_default() += count;
        }
        cases += 1;
        Ok(())
    });
    // A handful of cases cannot reach everything.
    let never: Vec<_> = CASES.iter().filter(|case| !reached.contains_key(**case)).collect();
    assert!(never.is_empty() || cases < CASES_MANY, "never reached: {never:?}\nreached: {reached:#?}");
}

#[test]
fn what_must_change_nothing_changes_nothing() {
    campaign(run_without_harmless);
}

#[test]
fn what_an_operator_is_told_is_what_was_seen() {
    campaign(run_surveyed);
}

#[test]
fn laws_that_begin_anywhere_in_a_run_are_kept_from_there_on() {
    campaign(run_begun);
}

#[test]
fn laws_that_begin_late_see_what_is_wrong_as_those_do_that_have_seen_all() {
    let mut seen = Seen::new();
    campaign(|bytes| {
        run_spoilt(bytes, &mut seen);
        Ok(())
    });
    let (all, late) = seen.values().fold((0, 0), |(all, late), of| (all + of.0, late + of.1));
    assert!(late * 20 >= all * 19, "of {all} breaches those who began late have seen {late}: {seen:#?}");
    let blind: Vec<_> = seen.iter().filter(|(_, (all, late))| *all > 20 && late * 2 < *all).collect();
    assert!(blind.is_empty(), "seldom seen by those who began late: {blind:?}");
}

#[test]
fn machines_of_the_same_key_stay_alike() {
    campaign(run_twins);
}

#[test]
fn no_order_of_inputs_and_times_panics() {
    campaign(run_carelessly);
}

#[test]
fn a_deadline_that_fires_late_says_what_it_says_in_time() {
    let mut reached = Reached::new();
    let mut cases = 0;
    campaign(|bytes| {
        for (case, count) in run_late(bytes)? {
            *reached.entry(case).or_default() += count;
        }
        cases += 1;
        Ok(())
    });
    let all = LATE_CASES.iter().all(|case| reached.contains_key(case));
    assert!(all || cases < CASES_MANY, "reached: {reached:#?}");
}

#[test]
fn two_endpoints_interleaved_behave_as_each_alone() {
    campaign(run_interleaved);
}

#[test]
fn what_is_foretold_is_what_who_asks_then_gets() {
    campaign(run_asking);
}

#[test]
fn a_machine_that_was_written_down_and_read_again_goes_on_as_if_it_was_not() {
    campaign(run_restored);
}

#[test]
fn no_sizes_that_a_sink_or_a_payload_claims_panic() {
    campaign(run_immense);
}

/// Not a test: finds all kinds of broken laws in so many cases, each with a short trace.
#[test]
#[ignore = "a hunt, for when something is broken"]
fn hunt() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2_000);
    let kind = |bytes: &[u8]| {
        let failure = run(bytes).err()?;
        let what: String = failure.violation.what.chars().filter(|c| !c.is_ascii_digit()).take(30).collect();
        Some((format!("{:?} {what}", failure.violation.law), failure))
    };
    let mut found = std::collections::BTreeMap::new();
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..cases {
        let mut byte = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 32) as u8
        };
        let length = 20 + 2 * usize::from(byte());
        let mut bytes: Vec<u8> = (0..length).map(|_| byte()).collect();
        let Some((name, mut failure)) = kind(&bytes) else { continue };
        let entry = found.entry(name.clone()).or_insert((0, None));
        entry.0 += 1;
        if entry.0 > 3 {
            continue;
        }
        for size in [64, 16, 4, 2, 1, 1, 1] {
            let mut at = 0;
            while at + size <= bytes.len() {
                let mut fewer = bytes.clone();
                if at < 21 {
                    fewer[at] = 0;
                } else {
                    fewer.drain(at..at + size);
                }
                match kind(&fewer) {
                    Some((same, smaller)) if same == name && fewer != bytes => {
                        (bytes, failure) = (fewer, smaller)
                    }
                    _ => at += 1,
                }
            }
        }
        let shorter = |known: &Option<Box<Failure>>| {
            known.as_ref().is_none_or(|known| known.log.len() > failure.log.len())
        };
        if shorter(&entry.1) {
            entry.1 = Some(failure);
        }
    }
    let report: Vec<String> =
        found.values().map(|(count, failure)| format!("{count} x {failure:?}")).collect();
    assert!(found.is_empty(), "{}", report.join("\n\n"));
}
