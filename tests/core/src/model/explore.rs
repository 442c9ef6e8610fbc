//! Breadth first through all states of a world.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    panic::resume_unwind,
    thread,
};

use siphasher::sip128::{Hasher128, SipHasher13};
use trunkline_core::Time;

use super::{Spec, State, Step, Trail};
use crate::{
    canon::{Keyed, Names},
    drive::{Failure, Reached, unsettled},
    laws::{Law, Violation},
};

/// States that are taken further at once: each worker has its share of them.
const BATCH: usize = 8_192;
/// One in so many meetings of two states with the same key is examined: they must behave alike.
const TWINS: u64 = 61;
/// One in so many states is told what must change nothing.
const PROBED: u128 = 8;

/// What an exhausted world was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explored {
    /// Different states.
    pub states: usize,
    /// Steps taken from them.
    pub transitions: u64,
    /// Steps on the shortest way to the state that is farthest.
    pub depth: usize,
    /// Steps within which every state comes to agreement, where all goes well.
    pub settles_within: usize,
    /// Pairs of states with the same key that were seen to behave alike.
    pub twins: u64,
    /// How often each law's case occurred.
    pub reached: Reached,
}

/// Keys are hashes already.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

/// What is kept of each state that was seen.
struct Node {
    parent: u32,
    step: Step,
    /// Where the world goes from here if all goes well; itself where it is settled.
    fair: u32,
}

/// What is found behind a state.
struct Successor {
    step: Step,
    key: u128,
    fair: bool,
    /// Left out where the key was known before.
    state: Option<State>,
}

struct Expanded {
    settled: bool,
    successors: Vec<Successor>,
}

/// Takes every step from every state, until there is no new one.
///
/// More states than `most` are an error, as is a broken law: then the failure holds the shortest way there.
pub fn explore(spec: &Spec, most: usize) -> Result<Explored, Box<Failure>> {
    let mut search = Search {
        spec,
        nodes: vec![Node { parent: 0, step: Step::Tick, fair: u32::MAX }],
        seen: HashMap::default(),
        reached: Reached::new(),
        transitions: 0,
        twins: 0,
    };
    let start =
        State::new(spec, &mut Trail::default()).map_err(|violation| search.failure(0, &[], violation))?;
    search.seen.insert(fingerprint(spec, &start, &mut Vec::new()).0, 0);
    let (mut level, mut depth) = (vec![(0, start)], 0);
    loop {
        level = search.further(level, most)?;
        if level.is_empty() {
            break;
        }
        depth += 1;
    }
    let settles_within = search.settles()?;
    Ok(Explored {
        states: search.nodes.len(),
        transitions: search.transitions,
        depth,
        settles_within,
        twins: search.twins,
        reached: search.reached,
    })
}

struct Search<'a> {
    spec: &'a Spec,
    nodes: Vec<Node>,
    seen: HashMap<u128, u32, BuildHasherDefault<Same>>,
    reached: Reached,
    transitions: u64,
    twins: u64,
}

type Outcome = (Trail, Result<Expanded, (Vec<Step>, Violation)>);

impl Search<'_> {
    /// All new states behind those of a level. Those that are done with are dropped on the way: they are large.
    fn further(
        &mut self,
        mut level: Vec<(u32, State)>,
        most: usize,
    ) -> Result<Vec<(u32, State)>, Box<Failure>> {
        let first = self.nodes.len() as u32;
        let mut next = Vec::new();
        while !level.is_empty() {
            let batch = level.split_off(level.len().saturating_sub(BATCH));
            for ((from, _), (trail, expanded)) in batch.iter().zip(self.expand(&batch)) {
                for (case, count) in trail.reached {
                    *self.reached.entry(case).or_default() += count;
                }
                let expanded =
                    expanded.map_err(|(steps, violation)| self.failure(*from, &steps, violation))?;
                self.merge(*from, expanded, first, &mut next)?;
            }
            if self.nodes.len() > most {
                let what = format!("more than {most} states");
                let violation = Violation { law: Law::Totality11, at: Time(0), what };
                return Err(self.failure(first, &[], violation));
            }
        }
        Ok(next)
    }

    /// All successors of a batch, in its order, whoever worked them out.
    fn expand(&self, batch: &[(u32, State)]) -> Vec<Outcome> {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let share = batch.len().div_ceil(workers).max(64);
        thread::scope(|scope| {
            let shares: Vec<_> = batch
                .chunks(share)
                .map(|share| {
                    scope.spawn(|| share.iter().map(|(_, state)| self.successors(state)).collect::<Vec<_>>())
                })
                .collect();
            let join = |share: thread::ScopedJoinHandle<'_, _>| {
                share.join().unwrap_or_else(|panic| resume_unwind(panic))
            };
            shares.into_iter().flat_map(join).collect()
        })
    }

    fn successors(&self, state: &State) -> Outcome {
        let mut trail = Trail::default();
        let mut key = Vec::with_capacity(256);
        let names = state.key(self.spec, &mut key);
        if hash(&key).is_multiple_of(PROBED)
            && let Err(violation) = state.probe(self.spec, &key, &mut trail)
        {
            return (trail, Err((Vec::new(), violation)));
        }
        let settled = unsettled(state.seen(), &state.world).is_none();
        let steps = state.steps(self.spec, &names);
        let mut successors = Vec::with_capacity(steps.len());
        for (index, step) in steps.into_iter().enumerate() {
            let mut next = state.clone();
            if let Err(violation) = next.take(self.spec, &names, step, &mut trail) {
                return (trail, Err((vec![step], violation)));
            }
            let fair = index == 0 && step.is_fair(state);
            let (print, _) = fingerprint(self.spec, &next, &mut key);
            let known = self.seen.contains_key(&print) && !print.is_multiple_of(TWINS.into());
            successors.push(Successor { step, key: print, fair, state: (!known).then_some(next) });
        }
        (trail, Ok(Expanded { settled, successors }))
    }

    fn merge(
        &mut self,
        from: u32,
        expanded: Expanded,
        first: u32,
        next: &mut Vec<(u32, State)>,
    ) -> Result<(), Box<Failure>> {
        if expanded.settled {
            self.nodes[from as usize].fair = from;
        }
        for Successor { step, key, fair, state } in expanded.successors {
            self.transitions += 1;
            let new = self.nodes.len() as u32;
            let to = *self.seen.entry(key).or_insert(new);
            if fair && !expanded.settled {
                self.nodes[from as usize].fair = to;
            }
            let Some(state) = state else { continue };
            if to == new {
                self.nodes.push(Node { parent: from, step, fair: u32::MAX });
                next.push((new, state));
            } else if to >= first && key.is_multiple_of(TWINS.into()) {
                self.twins += 1;
                let other = &next[(to - first) as usize].1;
                if let Err(what) = self.alike(&state, other) {
                    let violation = Violation { law: Law::Determinism12, at: state.world.now, what };
                    return Err(self.failure(from, &[step], violation));
                }
            }
        }
        Ok(())
    }

    /// Equal keys stay equal, and what is said is the same but for names, whatever happens next.
    fn alike(&self, one: &State, other: &State) -> Result<(), String> {
        let (mut of_one, mut of_other) = (Vec::new(), Vec::new());
        let (names_one, names_other) = (one.key(self.spec, &mut of_one), other.key(self.spec, &mut of_other));
        if of_one != of_other {
            return Err("two different keys have the same hash".to_owned());
        }
        let steps = one.steps(self.spec, &names_one);
        if steps != other.steps(self.spec, &names_other) {
            return Err("states of the same key allow different steps".to_owned());
        }
        for step in steps {
            let after = |state: &State, names: &Names| {
                let mut state = state.clone();
                let mut trail = Trail { log: Some(Vec::new()), ..Trail::default() };
                let kept = state.take(self.spec, names, step, &mut trail).is_ok();
                let (mut key, mut said_key, mut names) = (Vec::new(), Vec::new(), names.clone());
                let said = trail.log.iter().flatten().flat_map(|(_, _, said)| said);
                said.for_each(|said| said.key(&mut names, &mut said_key));
                state.key(self.spec, &mut key);
                let wait = state.due().map(|due| due - state.world.now);
                (kept, said_key, key, wait)
            };
            if after(one, &names_one) != after(other, &names_other) {
                return Err(format!("states of the same key differ after {step:?}\n{one:?}\n{other:?}"));
            }
        }
        Ok(())
    }

    /// 8 and 13: where all goes well, every state leads to agreement. Returns within how many steps.
    fn settles(&self) -> Result<usize, Box<Failure>> {
        let mut within = vec![0u32; self.nodes.len()];
        let mut most = 0;
        for start in 0..self.nodes.len() {
            let (mut at, mut path) = (start, Vec::new());
            while within[at] == 0 && self.nodes[at].fair as usize != at {
                within[at] = u32::MAX;
                path.push(at);
                at = self.nodes[at].fair as usize;
                if self.nodes.get(at).is_none_or(|_| within[at] == u32::MAX) {
                    let what = "all goes well, and it does not settle".to_owned();
                    let violation = Violation { law: Law::Convergence8, at: Time(0), what };
                    return Err(self.failure(start as u32, &[], violation));
                }
            }
            for (steps, on_path) in (within[at] + 1..).zip(path.into_iter().rev()) {
                within[on_path] = steps;
                most = most.max(steps);
            }
        }
        Ok(most as usize)
    }

    /// The steps that lead to a state.
    fn way(&self, mut to: u32) -> Vec<Step> {
        let mut steps = Vec::new();
        while to != 0 {
            let node = &self.nodes[to as usize];
            steps.push(node.step);
            to = node.parent;
        }
        steps.reverse();
        steps
    }

    /// A broken law, with the shortest way to it.
    fn failure(&self, from: u32, steps: &[Step], violation: Violation) -> Box<Failure> {
        let mut trail = Trail { log: Some(Vec::new()), ..Trail::default() };
        let _ = self.replay(from, steps, &mut trail);
        let log = trail.log.unwrap_or_default();
        Box::new(Failure { settings: self.spec.settings.clone(), log, violation })
    }

    /// Goes the whole way again. Where no steps follow, the state was probed; or it does not settle.
    fn replay(&self, from: u32, steps: &[Step], trail: &mut Trail) -> Result<(), Violation> {
        let mut state = State::new(self.spec, trail)?;
        let mut key = Vec::new();
        for step in self.way(from).iter().chain(steps) {
            let names = state.key(self.spec, &mut key);
            state.take(self.spec, &names, *step, trail)?;
        }
        if steps.is_empty() {
            state.key(self.spec, &mut key);
            state.probe(self.spec, &key, trail)?;
            for _ in 0..50 {
                let names = state.key(self.spec, &mut key);
                let next = state.steps(self.spec, &names).first().copied();
                let Some(step) = next.filter(|step| step.is_fair(&state)) else { break };
                state.take(self.spec, &names, step, trail)?;
            }
        }
        Ok(())
    }
}

/// The hash of a state's key: wide enough that two states never share it by chance.
fn fingerprint(spec: &Spec, state: &State, key: &mut Vec<u64>) -> (u128, Names) {
    let names = state.key(spec, key);
    (hash(key), names)
}

fn hash(key: &[u64]) -> u128 {
    let mut hasher = SipHasher13::new();
    key.iter().for_each(|number| hasher.write_u64(*number));
    hasher.finish128().as_u128()
}
