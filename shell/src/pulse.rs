//! Whether all threads that run endpoints still turn: for a service manager that ends a program which does not.
//!
//! Nobody looks at a clock here, and nothing happens as long as nobody asks.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::watch;

/// What a thread that has ended answers to every round.
const ENDED: u64 = u64::MAX;

/// Asks the threads, round by round. All clones are one.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Rounds>);

#[derive(Debug)]
struct Rounds {
    round: watch::Sender<u64>,
    /// For each thread, the last round that it has answered.
    answers: Mutex<Vec<Arc<AtomicU64>>>,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        Pulse(Arc::new(Rounds { round: watch::Sender::new(0), answers: Mutex::default() }))
    }

    /// What a thread is to answer with.
    pub(crate) fn follow(&self) -> Follower {
        let answered = Arc::new(AtomicU64::new(*self.0.round.borrow()));
        self.0.answers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&answered));
        Follower { round: self.0.round.subscribe(), answered }
    }

    /// Whether each thread has answered since the last time, or has ended; and asks anew.
    pub fn beat(&self) -> bool {
        let round = *self.0.round.borrow();
        let answers = self.0.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let all = answers.iter().all(|answered| answered.load(Ordering::Relaxed) >= round);
        drop(answers);
        self.0.round.send_replace(round + 1);
        all
    }
}

/// A thread's answers. Dropped, the thread counts as ended.
#[derive(Debug)]
pub(crate) struct Follower {
    round: watch::Receiver<u64>,
    answered: Arc<AtomicU64>,
}

impl Follower {
    /// Answers each round, until nobody can ask any more.
    pub(crate) async fn run(mut self) {
        while self.round.changed().await.is_ok() {
            let round = *self.round.borrow_and_update();
            self.answered.store(round, Ordering::Relaxed);
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.answered.store(ENDED, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn one_that_does_not_turn_is_noticed_until_it_does() {
        let pulse = Pulse::new();
        let (turns, stands) = (pulse.follow(), pulse.follow());
        tokio::spawn(turns.run());
        assert!(pulse.beat(), "nobody was asked before");
        yield_now().await;
        assert!(!pulse.beat(), "one has not answered");
        let stands = tokio::spawn(stands.run());
        yield_now().await;
        assert!(pulse.beat());
        stands.abort();
        yield_now().await;
        assert!(pulse.beat(), "one that has ended need not answer");
    }
}
