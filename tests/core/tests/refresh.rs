//! When published keys are fetched: a few stories, then all that can happen in nine steps, then long random lives.

use proptest::{collection::vec, prelude::*};
use trunkline_core::{
    Millis, Time,
    refresh::{Asked, Refresh, RefreshSettings},
};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

fn fresh() -> Refresh {
    Refresh::new(RefreshSettings::default(), 7, Time(0))
}

/// A fetch that began at `began` has brought keys at `now`.
fn brought(refresh: &mut Refresh, began: Time, now: Time) {
    assert!(refresh.begin(began), "a fetch is due at {began:?}: {refresh:?}");
    refresh.fetched(now);
}

fn due(refresh: &Refresh) -> Time {
    refresh.next_deadline().expect("something is due")
}

#[test]
fn the_first_fetch_is_due_at_once_and_the_next_within_the_interval() {
    let mut refresh = fresh();
    assert_eq!(due(&refresh), Time(0));
    brought(&mut refresh, Time(0), Time(40));
    let next = due(&refresh);
    assert!(Time(40 + 270 * SECOND) <= next && next <= Time(40 + 300 * SECOND), "{next:?}");
    assert!(!refresh.begin(Time(next.0 - 1)));
    assert!(refresh.begin(next));
}

#[test]
fn who_asks_when_a_fetch_is_due_anyway_waits_for_that_and_uses_up_no_early_one() {
    let settings = RefreshSettings { every: Millis(10 * SECOND), ..RefreshSettings::default() };
    let mut refresh = Refresh::new(settings, 7, Time(0));
    assert_eq!(refresh.ask(Time(0)), Asked::Wait, "the first is due");
    brought(&mut refresh, Time(0), Time(0));
    assert_eq!(refresh.ask(Time(1)), Asked::Wait, "an early one");
    brought(&mut refresh, Time(1), Time(1));
    assert_eq!(refresh.ask(Time(2)), Asked::Settled, "not another one so soon");
    let next = due(&refresh);
    assert!(next < Time(30 * SECOND), "before an early one may be asked for again");
    assert_eq!(refresh.ask(next), Asked::Wait, "it is due");
}

#[test]
fn gateways_that_start_together_do_not_fetch_together() {
    let next = |seed| {
        let mut refresh = Refresh::new(RefreshSettings::default(), seed, Time(0));
        brought(&mut refresh, Time(0), Time(0));
        due(&refresh)
    };
    let times: std::collections::BTreeSet<_> = (0..100).map(next).collect();
    assert!(times.len() > 90, "only {} of 100 differ", times.len());
}

#[test]
fn waits_grow_while_nothing_comes_and_begin_anew_once_something_has() {
    let mut refresh = fresh();
    let mut now = Time(0);
    for most in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
        assert!(refresh.begin(now));
        refresh.failed(now);
        let wait = due(&refresh) - now;
        assert!(Millis(most * SECOND / 2) <= wait && wait <= Millis(most * SECOND), "{wait:?} of {most} s");
        now = due(&refresh);
    }
    assert_eq!(refresh.failures(), 9);
    brought(&mut refresh, now, now);
    assert_eq!(refresh.failures(), 0);
    now = due(&refresh);
    assert!(refresh.begin(now));
    refresh.failed(now);
    assert!(due(&refresh) - now <= Millis(SECOND));
}

#[test]
fn whoever_asks_and_however_often_one_early_fetch_begins_in_an_interval() {
    let mut refresh = fresh();
    brought(&mut refresh, Time(0), Time(0));
    for interval in 0..5 {
        let start = interval * 30 * SECOND;
        assert_eq!(refresh.ask(Time(start)), Asked::Wait);
        assert!(refresh.begin(Time(start)));
        assert_eq!(refresh.ask(Time(start + 5)), Asked::Wait, "it is under way");
        refresh.fetched(Time(start + 10));
        for late in [10, 11, 1_000, 29_999] {
            assert_eq!(refresh.ask(Time(start + late)), Asked::Settled);
            assert!(!refresh.begin(Time(start + late)));
        }
    }
}

#[test]
fn the_last_good_keys_are_kept_while_the_issuer_is_away_but_not_for_ever() {
    let keep = Some(Millis(10 * MINUTE));
    let mut refresh = Refresh::new(RefreshSettings { keep, ..RefreshSettings::default() }, 7, Time(0));
    assert!(!refresh.is_usable(Time(0)));
    brought(&mut refresh, Time(0), Time(0));
    let end = Time(10 * MINUTE);
    let mut now = due(&refresh);
    while now < end {
        assert!(!refresh.forget(now) && refresh.is_usable(now));
        if refresh.begin(now) {
            refresh.failed(now);
        }
        now = due(&refresh);
    }
    assert_eq!(now, end, "that they have become too old is noticed when it is so");
    assert!(!refresh.is_usable(end));
    assert!(refresh.forget(end) && !refresh.forget(end));

    let mut for_ever = Refresh::new(RefreshSettings { keep: None, ..RefreshSettings::default() }, 7, Time(0));
    brought(&mut for_ever, Time(0), Time(0));
    assert!(for_ever.is_usable(Time(u64::MAX)));
}

/// What can happen.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Time passes.
    Pass(u64),
    /// Time passes until something is due, or the fetch under way takes a while.
    Due,
    Fetched,
    Failed,
    Ask,
}

/// The machine, driven as the shell drives it, beside what is expected of it, which is kept in another way: as a list of
/// what has happened.
#[derive(Clone)]
struct World {
    refresh: Refresh,
    settings: RefreshSettings,
    now: Time,
    fetching: bool,
    came_at: Option<Time>,
    ended: Option<(Time, bool)>,
    /// The last fetch that somebody asked for.
    early_at: Option<Time>,
    begun: usize,
    early: usize,
}

impl World {
    fn new(settings: RefreshSettings, seed: u64) -> Self {
        let mut world = World {
            refresh: Refresh::new(settings, seed, Time(0)),
            settings,
            now: Time(0),
            fetching: false,
            came_at: None,
            ended: None,
            early_at: None,
            begun: 0,
            early: 0,
        };
        world.run();
        assert!(world.fetching, "nothing is there, so it is fetched");
        world
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Pass(span) => self.now = self.now + Millis(span),
            Step::Due => {
                self.now = self.refresh.next_deadline().unwrap_or(self.now + Millis(3)).max(self.now)
            }
            Step::Fetched => {
                self.refresh.fetched(self.now);
                if std::mem::take(&mut self.fetching) {
                    self.came_at = Some(self.now);
                    self.ended = Some((self.now, true));
                }
            }
            Step::Failed => {
                self.refresh.failed(self.now);
                if std::mem::take(&mut self.fetching) {
                    self.ended = Some((self.now, false));
                }
            }
            Step::Ask => self.ask(),
        }
        self.run();
    }

    fn ask(&mut self) {
        let early = self.settings.early_every;
        let allowed = self.early_at.is_none_or(|at| at + early <= self.now);
        let expected = if self.fetching || allowed { Asked::Wait } else { Asked::Settled };
        assert_eq!(self.refresh.ask(self.now), expected);
        if !self.fetching && allowed {
            self.early_at = Some(self.now);
            self.early += 1;
            assert!(self.refresh.next_deadline().is_some_and(|due| due <= self.now));
        }
    }

    /// What the shell does whenever it wakes.
    fn run(&mut self) {
        let keep = self.settings.keep;
        let expired = self.came_at.zip(keep).is_some_and(|(at, keep)| at + keep <= self.now);
        assert_eq!(self.refresh.forget(self.now), expired);
        if expired {
            self.came_at = None;
        }
        assert_eq!(self.refresh.is_usable(self.now), self.came_at.is_some());

        if self.refresh.begin(self.now) {
            assert!(!self.fetching, "two fetches at once");
            self.fetching = true;
            self.begun += 1;
            if let Some((ended, good)) = self.ended.filter(|_| self.early_at != Some(self.now)) {
                let least = if good { self.settings.every.0 - self.settings.every.0 / 10 } else { 1 };
                assert!(self.now - ended >= Millis(least), "{:?} after {ended:?}", self.now);
            }
        }
        let due = self.refresh.next_deadline();
        assert!(due.is_none_or(|due| due > self.now), "what is due is done: {due:?} at {:?}", self.now);
        if !self.fetching {
            let (ended, _) = self.ended.expect("the first fetch began at once");
            assert!(due.is_some_and(|due| due <= ended + Millis(self.settings.every.0.max(1))), "{due:?}");
        }
    }
}

/// Small enough for all of it to come up within a few steps.
const SMALL: RefreshSettings =
    RefreshSettings { every: Millis(10), early_every: Millis(4), keep: Some(Millis(15)) };

#[test]
fn all_that_can_happen_in_nine_steps() {
    fn explore(world: &World, steps: usize, seen: &mut [usize; 3]) {
        seen[0] += 1;
        seen[1] = seen[1].max(world.early);
        seen[2] += usize::from(world.came_at.is_none() && world.ended.is_some_and(|(_, good)| good));
        if steps == 0 {
            return;
        }
        for step in [Step::Pass(1), Step::Due, Step::Fetched, Step::Failed, Step::Ask] {
            let mut next = world.clone();
            next.step(step);
            explore(&next, steps - 1, seen);
        }
    }
    let mut seen = [0; 3];
    explore(&World::new(SMALL, 3), 9, &mut seen);
    let [worlds, early, forgotten] = seen;
    assert_eq!(worlds, (0..=9).map(|steps| 5_usize.pow(steps)).sum::<usize>());
    assert!(early >= 2 && forgotten > 1_000, "too little came up: {early}, {forgotten}");
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..40_000_u64).prop_map(Step::Pass),
        Just(Step::Due),
        Just(Step::Fetched),
        Just(Step::Failed),
        Just(Step::Ask),
        Just(Step::Ask),
    ]
}

fn any_settings() -> impl Strategy<Value = RefreshSettings> {
    let keep = prop_oneof![Just(None), (0..600_000_u64).prop_map(|keep| Some(Millis(keep)))];
    (0..400_000_u64, 0..100_000_u64, keep).prop_map(|(every, early_every, keep)| RefreshSettings {
        every: Millis(every),
        early_every: Millis(early_every),
        keep,
    })
}

proptest! {
    #[test]
    fn whatever_happens_no_law_is_broken(
        settings in any_settings(),
        seed in any::<u64>(),
        steps in vec(any_step(), 0..200),
    ) {
        let mut world = World::new(settings, seed);
        steps.into_iter().for_each(|step| world.step(step));
    }

    #[test]
    fn a_flood_costs_the_issuer_no_more_than_an_interval_allows(
        early_every in 1_000..60_000_u64,
        asks in vec(0..50_u64, 1..2_000),
    ) {
        let settings = RefreshSettings { early_every: Millis(early_every), ..RefreshSettings::default() };
        let mut world = World::new(settings, 1);
        world.step(Step::Fetched);
        let began = world.now;
        for pause in asks {
            world.step(Step::Pass(pause));
            world.step(Step::Ask);
            world.step(Step::Fetched);
        }
        let intervals = (world.now - began).0 / early_every + 1;
        prop_assert!(world.early as u64 <= intervals, "{} in {intervals} intervals", world.early);
    }

    #[test]
    fn no_time_is_too_large(times in vec(any::<u64>(), 1..40), every in any::<u64>(), keep in any::<Option<u64>>()) {
        let settings = RefreshSettings { every: Millis(every), early_every: Millis(every), keep: keep.map(Millis) };
        let mut refresh = Refresh::new(settings, every, Time(0));
        for (at, time) in times.into_iter().enumerate() {
            let now = Time(time);
            refresh.ask(now);
            refresh.begin(now);
            if at % 2 == 0 { refresh.fetched(now) } else { refresh.failed(now) }
            refresh.forget(now);
            refresh.is_usable(now);
            refresh.next_deadline();
        }
    }
}
