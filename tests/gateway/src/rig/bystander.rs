//! A well-behaved client that talks all the time, so that a test can say that others did not disturb it.

use std::time::{Duration, Instant};

use tokio::{sync::watch, task::JoinHandle, time::sleep};

use super::{Client, within};

/// Between two round trips: its pace, so that it leaves the machine to those whom it watches.
const PACE: Duration = Duration::from_millis(1);

/// A client of an endpoint that echoes. It makes one round trip after the other, each within [`super::DEADLINE`].
#[derive(Debug)]
pub struct Bystander {
    trips: watch::Receiver<u64>,
    stop: watch::Sender<bool>,
    task: JoinHandle<Trips>,
}

/// What a bystander has seen.
#[derive(Clone, Debug, Default)]
pub struct Trips {
    /// How long each round trip took, in the order in which they were made.
    pub times: Vec<Duration>,
}

impl Trips {
    /// The longest of them.
    pub fn worst(&self) -> Duration {
        self.times.iter().copied().max().unwrap_or_default()
    }
}

impl Bystander {
    /// Sets `client` going. It must be the only one that is sent anything.
    pub fn of(mut client: Client) -> Bystander {
        let (made, trips) = watch::channel(0);
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut trips = Trips::default();
            while !*stopped.borrow() {
                let began = Instant::now();
                let text = format!("trip {}", trips.times.len());
                client.say(&text).await;
                assert_eq!(client.hear().await, text, "the bystander hears its own echo");
                trips.times.push(began.elapsed());
                made.send_replace(trips.times.len() as u64);
                sleep(PACE).await;
            }
            client.leave().await;
            trips
        });
        Bystander { trips, stop, task }
    }

    /// Round trips so far.
    pub fn trips(&self) -> u64 {
        *self.trips.borrow()
    }

    /// Waits for a round trip that begins now or later.
    ///
    /// # Panics
    ///
    /// The bystander is not served.
    pub async fn served(&mut self) {
        // One may be under way.
        let enough = self.trips() + 2;
        let trip = self.trips.wait_for(|trips| *trips >= enough);
        within("the bystander is served", trip).await.expect("the bystander was served until now");
    }

    /// Lets it leave, and says what it has seen.
    ///
    /// # Panics
    ///
    /// It was not served at some time.
    pub async fn leaves(self) -> Trips {
        self.stop.send_replace(true);
        within("the bystander leaves", self.task).await.expect("the bystander was served throughout")
    }
}
