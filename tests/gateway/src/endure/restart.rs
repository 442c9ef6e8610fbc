//! A rolling restart: nobody is refused, and the backend hears the end of every session.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    backend::Backend,
    gateway::Site,
    judge, say,
    visitor::{Heard, Visitor},
};

/// Clients that come in at once, to begin with.
const AT_ONCE: usize = 64;
/// How much longer than its drain the old gateway may take.
const SLACK: Duration = Duration::from_secs(40);

#[derive(Default)]
struct Counts {
    refused: AtomicU64,
    /// Sessions that were told to go elsewhere, and those that ended otherwise.
    sent_away: AtomicU64,
    cut_off: AtomicU64,
    wrong: AtomicU64,
    back: AtomicU64,
    over: watch::Sender<bool>,
}

pub(super) async fn run(program: &Path, clients: u32, newcomers: u32, drain: Duration) -> Result<(), String> {
    let backend = Backend::start().await.map_err(|error| error.to_string())?;
    let more = format!("[drain]\ntime = \"{}s\"\n", drain.as_secs());
    let site = Site::new(&backend, &more).map_err(|error| error.to_string())?;
    let mut old = site.start(program).map_err(|error| error.to_string())?;
    site.is_ready().await;

    let counts = Arc::new(Counts::default());
    let began = Instant::now();
    stream::iter(0..clients)
        .for_each_concurrent(AT_ONCE, |number| {
            let (address, counts) = (site.address, Arc::clone(&counts));
            async move {
                let user = format!("resident-{number}");
                match Visitor::enter(address, &user, 0).await {
                    Ok(visitor) => drop(tokio::spawn(stay(visitor, address, user, counts))),
                    Err(why) => refused(&counts, &why),
                }
            }
        })
        .await;
    say(&format!("{clients} clients came in within {:.1?}", began.elapsed()));

    let began = Instant::now();
    let coming = async {
        for number in 0..newcomers {
            let (address, counts) = (site.address, Arc::clone(&counts));
            tokio::spawn(async move {
                let user = format!("newcomer-{number}");
                match Visitor::enter(address, &user, 0).await {
                    Ok(visitor) => stay(visitor, address, user, counts).await,
                    Err(why) => refused(&counts, &why),
                }
            });
            sleep((drain + Duration::from_secs(2)) / newcomers).await;
        }
    };
    let replacing = async {
        sleep(Duration::from_secs(1)).await;
        let new = site.start(program).map_err(|error| error.to_string())?;
        let well = old.ended(drain + SLACK).await?;
        if well { Ok(new) } else { Err("the old gateway ended badly".to_owned()) }
    };
    let ((), new) = tokio::join!(coming, replacing);
    let _new = new?;
    say(&format!("the old gateway was gone after {:.1?}", began.elapsed()));
    site.is_ready().await;

    // All leave, and the backend hears of it.
    counts.over.send_replace(true);
    let heard = async {
        while backend.seen().live() > 0 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    // What is missing then is what the judge says.
    let _ = timeout(SLACK, heard).await;
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (refused, cut_off, wrong) = (count(&counts.refused), count(&counts.cut_off), count(&counts.wrong));
    let (sent_away, back) = (count(&counts.sent_away), count(&counts.back));
    say(&format!(
        "{sent_away} sessions were closed with 1001, {back} of them came back at the first try; \
         {refused} refused, {cut_off} cut off, {wrong} heard what they should not"
    ));
    judge(&backend)?;
    if sent_away < u64::from(clients) {
        return Err("not everybody was told to go".to_owned());
    }
    match refused + cut_off + wrong {
        0 => Ok(()),
        _ => Err(format!("somebody was refused or cut off; the log says:\n{}", site.log())),
    }
}

/// Stays, says something now and then, and comes back at once when told to go, until all is over.
async fn stay(mut visitor: Visitor, address: std::net::SocketAddr, user: String, counts: Arc<Counts>) {
    let count = |of: &AtomicU64| {
        of.fetch_add(1, Ordering::Relaxed);
    };
    let mut over = counts.over.subscribe();
    loop {
        tokio::select! {
            () = is_over(&mut over) => return visitor.leave().await,
            () = sleep(Duration::from_secs(1)) => visitor.say().await,
            heard = visitor.hear() => match heard {
                Heard::Echo | Heard::Late => {}
                Heard::Wrong(what) => {
                    say(&what);
                    count(&counts.wrong);
                }
                Heard::Ended => return count(&counts.cut_off),
                Heard::Closed(1001) => {
                    count(&counts.sent_away);
                    drop(visitor);
                    match Visitor::enter(address, &user, 1).await {
                        Ok(again) => visitor = again,
                        Err(why) => return refused(&counts, &why),
                    }
                    count(&counts.back);
                }
                Heard::Closed(_) => return count(&counts.cut_off),
            },
        }
    }
}

fn refused(counts: &Counts, why: &str) {
    say(&format!("refused: {why}"));
    counts.refused.fetch_add(1, Ordering::Relaxed);
}

async fn is_over(over: &mut watch::Receiver<bool>) {
    // What is sent outlives whoever waits for it.
    let _ = over.wait_for(|over| *over).await;
}
