//! Keys that are published are kept fresh here, while the gateway runs, on the front's thread.
//!
//! When to fetch, and for how long keys may be used, is core's to say (`refresh`); what of a set is of use, the tokens'
//! ([`KeySet`]). A [`Keeper`] fetches what one URL publishes, for all endpoints that want the same of it.

use std::{
    cell::RefCell,
    fmt,
    future::pending,
    pin::Pin,
    rc::Rc,
    sync::{Arc, Weak},
};

use hyper::body::Bytes;
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::sleep_until,
};
use trunkline_core::{
    Time,
    refresh::{Asked, Refresh},
};

use crate::{
    clock::Clock,
    config::ServerUrl,
    http::{self, Server},
    random::Random,
    token::{Algorithm, FetchSettings, KeySet, Published, SetFault, Verifier},
};

/// A set of keys has a type of its own (RFC 7517, section 8.5.1), which few issuers use.
const ACCEPT: &str = "application/jwk-set+json, application/json";

/// Why no keys have come.
#[derive(Debug)]
enum FetchFault {
    Http(http::Fault),
    Set(SetFault),
}

impl fmt::Display for FetchFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FetchFault::Http(fault) => fault.fmt(f),
            FetchFault::Set(fault) => fault.fmt(f),
        }
    }
}

/// A fetch that is under way.
type Fetching<'k> = Pin<Box<dyn Future<Output = Result<Bytes, http::Fault>> + 'k>>;

/// Fetches what one URL publishes, and puts it where it is verified with.
pub(crate) struct Keeper {
    url: ServerUrl,
    algorithms: Vec<Algorithm>,
    settings: FetchSettings,
    clock: Clock,
    refresh: RefCell<Refresh>,
    /// Where the keys go: one place for each endpoint that names the URL, for as long as its verifier lives.
    places: RefCell<Vec<Weak<Published>>>,
    /// The keys as they came last.
    set: RefCell<Option<KeySet>>,
    /// Told when somebody has asked for a fetch.
    asked: Notify,
    /// The number of fetches that have ended.
    ended: watch::Sender<u64>,
}

/// The keepers of a gateway, at work.
#[derive(Default)]
pub(crate) struct Keepers(Vec<(Rc<Keeper>, AbortHandle)>);

/// The end of the fetch that is due or under way.
pub(crate) struct Ending(watch::Receiver<u64>);

impl Keepers {
    /// The keepers of what a verifier's issuers publish, in the verifier's order. Those that fetch the same in the same
    /// way for the same algorithms are one. A new one begins to fetch: this must be called on a local runtime.
    ///
    /// What has come before from where the verifier looks is there at once.
    pub(crate) fn of(&mut self, verifier: &Verifier, settings: &FetchSettings) -> Vec<Rc<Keeper>> {
        let keeper = |published: &Arc<Published>| {
            let mut all = self.0.iter().map(|(keeper, _)| keeper);
            if let Some(set) = all.clone().filter(|keeper| keeper.knows(published)).find_map(|k| k.set()) {
                published.put(&set);
            }
            let same = all.find(|keeper| keeper.does(published, settings)).map(Rc::clone);
            let keeper = same.unwrap_or_else(|| {
                let keeper = Rc::new(Keeper::new(published, settings));
                let works = tokio::task::spawn_local(Rc::clone(&keeper).keep());
                self.0.push((Rc::clone(&keeper), works.abort_handle()));
                keeper
            });
            keeper.places.borrow_mut().push(Arc::downgrade(published));
            keeper
        };
        verifier.published().iter().map(keeper).collect()
    }

    /// Lets those go whose keys nobody verifies with any more.
    pub(crate) fn sweep(&mut self) {
        self.0.retain(|(keeper, works)| {
            keeper.places.borrow_mut().retain(|place| place.strong_count() > 0);
            let wanted = !keeper.places.borrow().is_empty();
            if !wanted {
                works.abort();
            }
            wanted
        });
    }
}

impl Keeper {
    fn new(published: &Published, settings: &FetchSettings) -> Self {
        let clock = Clock::start();
        Keeper {
            url: published.url().clone(),
            algorithms: published.algorithms().to_vec(),
            settings: settings.clone(),
            clock,
            refresh: RefCell::new(Refresh::new(settings.refresh, Random::new().number(), clock.now())),
            places: RefCell::default(),
            set: RefCell::default(),
            asked: Notify::new(),
            ended: watch::Sender::new(0),
        }
    }

    fn does(&self, published: &Published, settings: &FetchSettings) -> bool {
        self.knows(published) && self.settings.is_as(settings)
    }

    fn knows(&self, published: &Published) -> bool {
        self.url == *published.url() && self.algorithms == published.algorithms()
    }

    /// The keys, if there are any that may be used.
    fn set(&self) -> Option<KeySet> {
        self.set.borrow().clone().filter(|_| self.has_keys())
    }

    fn each_place(&self, put: impl Fn(&Published)) {
        self.places.borrow().iter().filter_map(Weak::upgrade).for_each(|place| put(&place));
    }

    /// Asks for newer keys. What is returned is worth waiting for; `None`: none will come for now.
    pub(crate) fn ask(&self) -> Option<Ending> {
        let ending = Ending(self.ended.subscribe());
        match self.refresh.borrow_mut().ask(self.clock.now()) {
            Asked::Wait => {
                self.asked.notify_one();
                Some(ending)
            }
            Asked::Settled => None,
        }
    }

    /// Whether there are keys that may be used.
    pub(crate) fn has_keys(&self) -> bool {
        self.refresh.borrow().is_usable(self.clock.now())
    }

    /// Keeps the keys fresh for as long as it is polled.
    async fn keep(self: Rc<Self>) {
        let mut fetching: Option<Fetching<'_>> = None;
        loop {
            if self.turn() {
                fetching = Some(Box::pin(self.server().get(ACCEPT, None)));
            }
            let deadline = self.refresh.borrow().next_deadline();
            let came = async {
                match &mut fetching {
                    Some(fetching) => fetching.await,
                    None => pending().await,
                }
            };
            tokio::select! {
                result = came => {
                    fetching = None;
                    self.end(result);
                }
                () = self.sleep(deadline) => {}
                () = self.asked.notified() => {}
            }
        }
    }

    fn server(&self) -> Server<'_> {
        let FetchSettings { tls, timeout, bytes_max, .. } = &self.settings;
        Server { url: &self.url, tls: tls.as_ref(), timeout: *timeout, bytes_max: *bytes_max }
    }

    /// Does what is due: forgets keys that are too old, and says whether a fetch begins.
    fn turn(&self) -> bool {
        let now = self.clock.now();
        let mut refresh = self.refresh.borrow_mut();
        if refresh.forget(now) {
            self.set.take();
            self.each_place(Published::forget);
            tracing::error!(target: "keys", url = %self.url, "the keys are too old to be used any longer");
        }
        refresh.begin(now)
    }

    fn end(&self, result: Result<Bytes, http::Fault>) {
        let read = |text: Bytes| KeySet::read(&text, &self.algorithms).map_err(FetchFault::Set);
        let set = result.map_err(FetchFault::Http).and_then(read);
        let (now, url) = (self.clock.now(), &self.url);
        let mut refresh = self.refresh.borrow_mut();
        match set {
            Ok(set) => {
                let (first, failures) = (!refresh.is_usable(now), refresh.failures());
                refresh.fetched(now);
                self.each_place(|place| place.put(&set));
                let passed_over = set.passed_over;
                self.set.replace(Some(set));
                if first || failures > 0 {
                    tracing::info!(target: "keys", %url, passed_over, failures, "the keys have come");
                } else {
                    tracing::debug!(target: "keys", %url, passed_over, "the keys have come again");
                }
            }
            Err(fault) => {
                refresh.failed(now);
                let (failures, kept) = (refresh.failures(), refresh.is_usable(now));
                tracing::warn!(target: "keys", %url, %fault, failures, kept, "the keys could not be fetched");
            }
        }
        self.ended.send_modify(|ended| *ended += 1);
    }

    async fn sleep(&self, until: Option<Time>) {
        match until {
            Some(until) => sleep_until(self.clock.instant(until)).await,
            None => pending().await,
        }
    }
}

impl Ending {
    /// Waits until the fetch has ended, for better or worse.
    pub(crate) async fn wait(mut self) {
        // A keeper that is let go fetches nothing more.
        let _ = self.0.changed().await;
    }
}
