//! Two machines of the same key, which must stay alike whatever happens: one of the claims that the model checker
//! rests on.

use trunkline_core::{Endpoint, Identity, Input, LeaveCause, Settings, Time};

use crate::{
    canon::{Keyed, Names},
    drive::{Failure, Line},
    laws::{Law, Violation},
    said::{Msg, Said, tell},
    scenario::{Bytes, longest},
    world::{Memory, Move, World},
};

/// A machine and its world.
struct Twin {
    endpoint: Endpoint<Msg>,
    world: World,
}

impl Twin {
    fn new(settings: &Settings, start: Time) -> Self {
        let mut twin = Twin {
            endpoint: Endpoint::new(settings.clone(), start),
            world: World::new(settings, Memory::Both),
        };
        twin.world.now = start;
        let said = tell(&mut twin.endpoint, start, Input::Deadline);
        twin.world.hear(&said);
        twin
    }

    /// Lets clients come and go before anything of them is told to anybody.
    fn visited_by(&mut self, visitors: u64) {
        let mut came = Vec::new();
        for visitor in 0..visitors {
            let identity = Identity::new(&format!("visitor {visitor}"), []);
            let said = tell(&mut self.endpoint, self.world.now, Input::Ask { identity, expires: None });
            came.extend(said.into_iter().filter_map(|said| match said {
                Said::Admit(id) => Some(id),
                _ => None,
            }));
        }
        for session in came {
            tell(&mut self.endpoint, self.world.now, Input::Left { session, cause: LeaveCause::Closed });
        }
    }

    fn key(&self) -> (Vec<u64>, Names) {
        let (mut key, mut names) = (Vec::new(), Names::default());
        self.endpoint.key(&[longest()], &mut names, &mut key);
        (key, names)
    }

    /// Makes a move; returns what was said, by the names of before, and the key of after.
    fn make(&mut self, next: Move, log: &mut Vec<Line>) -> (Vec<u64>, Vec<u64>) {
        let (_, mut names) = self.key();
        let mut said_key = Vec::new();
        let due = std::iter::successors(self.endpoint.next_deadline(), |_| None);
        for (at, input) in
            due.filter(|due| *due <= next.at).map(|due| (due, Input::Deadline)).chain([(next.at, next.input)])
        {
            let said = tell(&mut self.endpoint, at, input.clone());
            self.world.hear(&said);
            said.iter().for_each(|said| said.key(&mut names, &mut said_key));
            log.push((at, input, said));
        }
        (said_key, self.key().0)
    }
}

/// Runs the scenario that the bytes tell on two machines. The second was made later, and clients came and went in it:
/// so its times, slots, generations and numbers are others. Its key is the same, and must stay so.
pub fn run_twins(bytes: &[u8]) -> Result<(), Box<Failure>> {
    let mut bytes = Bytes(bytes);
    let settings = bytes.settings();
    let visitors = settings.seed % 4;
    let mut one = Twin::new(&settings, Time(0));
    let mut other = Twin::new(&settings, Time(1_000 + settings.seed));
    other.visited_by(visitors);
    let mut log = Vec::new();
    let mut same = bytes.clone();
    while let Some(next) = one.world.next(&mut bytes, one.endpoint.next_deadline()) {
        let at = next.at;
        let here = one.make(next, &mut log);
        let there = other
            .world
            .next(&mut same, other.endpoint.next_deadline())
            .map(|next| other.make(next, &mut Vec::new()));
        if there.as_ref() != Some(&here) {
            let what = format!("its twin is not alike any more: {here:?}\n{there:?}");
            return Err(Box::new(Failure {
                settings,
                log,
                violation: Violation { law: Law::Determinism12, at, what },
            }));
        }
    }
    Ok(())
}
