//! Small worlds, exhausted: all that can happen in them has happened, and broke no law.
//!
//! How many states and transitions each has is pinned: that changes with any change in what the machine does, and shows
//! that a world has not become smaller than it was thought to be.

use std::{
    env,
    fmt::Write as _,
    panic::resume_unwind,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use tikv_jemallocator::Jemalloc;
use trunkline_core_tests::{
    drive::{CASES, Reached},
    model::{
        explore,
        worlds::{self, Named},
    },
};

/// A third of an exploration goes into copies of states and what becomes of them, half of that with this.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// No world is larger.
const STATES_MAX: usize = 40_000_000;

/// Exhausts them, and tells of each how large it is; also at once, since some take their time. Each core takes the next
/// that nobody has taken.
fn exhaust(worlds: &[Named]) -> (String, Reached) {
    let next = AtomicUsize::new(0);
    let explorer = || {
        let mine = std::iter::from_fn(|| worlds.get(next.fetch_add(1, Ordering::Relaxed)).map(exhaust_one));
        mine.collect::<Vec<_>>()
    };
    let mut explored: Vec<_> = thread::scope(|scope| {
        let explorers: Vec<_> = (0..thread::available_parallelism().map_or(1, usize::from))
            .map(|_| scope.spawn(explorer))
            .collect();
        let joined = explorers.into_iter().map(|one| one.join().unwrap_or_else(|panic| resume_unwind(panic)));
        joined.flatten().collect()
    });
    let place = |name: &str| worlds.iter().position(|world| world.0 == name);
    explored.sort_by_key(|(name, ..)| place(name));
    let (mut table, mut reached) = (String::new(), Reached::new());
    for (_, line, cases) in explored {
        let _ = writeln!(table, "{line}");
        for (case, count) in cases {
            *reached.entry(case).or_default() += count;
        }
    }
    (table, reached)
}

/// A world's name, its size in words, and what was reached in it.
#[allow(clippy::print_stdout)]
fn exhaust_one((name, spec): &Named) -> (&str, String, Reached) {
    let start = Instant::now();
    let explored = explore(spec, STATES_MAX).unwrap_or_else(|failure| panic!("{name}: {failure:?}"));
    let line = format!(
        "{name}: {} states, {} transitions, {} steps to the farthest, agreement within {}",
        explored.states, explored.transitions, explored.depth, explored.settles_within
    );
    println!("{line}; {} twins, {:.1?}", explored.twins, start.elapsed());
    (name, line, explored.reached)
}

macro_rules! assert_pinned {
    ($name:expr, $table:expr) => {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("../worlds");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!($name, $table));
    };
}

#[test]
fn worlds_of_each_feature_are_exhausted() {
    let (table, _) = exhaust(&worlds::singles());
    assert_pinned!("singles", table);
}

/// Which of so many parts of the pairs is asked for, from `PAIRS`, such as `2/3`.
fn part_of_pairs() -> Option<(usize, usize)> {
    let asked = env::var("PAIRS").ok()?;
    let part = asked.split_once('/').and_then(|(part, of)| Some((part.parse().ok()?, of.parse().ok()?)));
    let part = part.filter(|(part, of)| (1..=*of).contains(part));
    Some(part.unwrap_or_else(|| panic!("PAIRS={asked} is no part: write 1/3, 2/3 or 3/3")))
}

#[test]
#[ignore = "minutes: .ci/run does a third of it, PAIRS=1/3"]
fn worlds_of_each_pair_of_features_are_exhausted() {
    if let Some((part, of)) = part_of_pairs() {
        let worlds: Vec<_> = worlds::pairs().into_iter().skip(part - 1).step_by(of).collect();
        let pinned: Vec<_> =
            include_str!("../worlds/pairs.snap").lines().filter(|line| line.contains(" states, ")).collect();
        let pinned: Vec<_> = pinned.into_iter().skip(part - 1).step_by(of).collect();
        assert_eq!(exhaust(&worlds).0.lines().collect::<Vec<_>>(), pinned, "against worlds/pairs.snap");
        return;
    }
    let (table, reached) = exhaust(&worlds::pairs());
    assert_pinned!("pairs", table);
    let never: Vec<_> = CASES.iter().filter(|case| !reached.contains_key(**case)).collect();
    assert!(never.is_empty(), "never reached: {never:?}");
}

#[test]
#[ignore = "an hour"]
fn large_worlds_are_exhausted() {
    let (table, _) = exhaust(&worlds::large());
    assert_pinned!("large", table);
}
