//! Settings that change while sessions live: what had been decided by the old ones is decided anew.

use trunkline_core::{
    Endpoint, Event, Identity, Input, LeaveCause, LinkId, Millis, Output, Payload, SessionId, Settings, Time,
    language::Action,
};

/// A message that counts as many bytes as it says.
#[derive(Clone, Debug)]
struct Weighs(&'static str, usize);

impl Payload for Weighs {
    fn size(&self) -> usize {
        self.1
    }
}

/// An endpoint on its first link, and what it has said in the last step.
struct Rig {
    endpoint: Endpoint<Weighs>,
    now: Time,
    said: Vec<String>,
    ping: u64,
    queued: usize,
    session: SessionId,
}

const LINK: LinkId = LinkId(1);

impl Rig {
    fn new(settings: &Settings) -> Self {
        let endpoint = Endpoint::new(settings.clone(), Time(0));
        let session = SessionId { slot: 0, generation: 0 };
        let mut rig = Rig { endpoint, now: Time(0), said: Vec::new(), ping: 0, queued: 0, session };
        rig.happens(Input::Deadline);
        rig.happens(Input::LinkUp { link: LINK });
        rig.settles();
        rig
    }

    fn happens(&mut self, input: Input<'_, Weighs>) -> &[String] {
        let Rig { said, ping, queued, session, .. } = self;
        said.clear();
        self.endpoint.handle(self.now, input, &mut |output: Output<'_, Weighs>| {
            let (word, bytes) = match output {
                Output::Event { event: Event::Open { who }, .. } => (format!("open {}", who.user()), 1),
                Output::Event { event: Event::Close { who }, .. } => (format!("close {}", who.user()), 1),
                Output::Event { event: Event::Message { payload, .. }, .. } => {
                    (payload.0.to_owned(), payload.1)
                }
                Output::Ping { counter, .. } => {
                    *ping = counter;
                    ("ping".to_owned(), 0)
                }
                Output::Admit { session: admitted } => {
                    *session = admitted;
                    ("admit".to_owned(), 0)
                }
                Output::Stop { .. } => ("stop".to_owned(), 0),
                Output::StopAll => ("stop all".to_owned(), 0),
                Output::Resume { .. } => ("resume".to_owned(), 0),
                Output::Close { .. } => ("close the client".to_owned(), 0),
                _ => return 0,
            };
            said.push(word);
            *queued += bytes;
            bytes
        });
        self.endpoint.check_invariants();
        &self.said
    }

    fn comes(&mut self, user: &str) -> &[String] {
        self.happens(Input::Ask { identity: Identity::new(user, []), expires: None })
    }

    fn ann_comes(&mut self) {
        self.comes("ann");
    }

    /// Whoever came last leaves, and the `close` goes out.
    fn last_one_leaves(&mut self) {
        self.happens(Input::Left { session: self.session, cause: LeaveCause::Closed });
        self.leaves();
    }

    fn backend_closes_ann(&mut self) -> &[String] {
        let close = Action::Close { user: Some("ann".into()), status: None, reason: None };
        self.happens(Input::Action { link: LINK, action: Ok(close) })
    }

    fn says(&mut self, text: &'static str, bytes: usize) -> &[String] {
        self.happens(Input::Message { session: self.session, payload: Weighs(text, bytes) })
    }

    fn changes(&mut self, settings: &Settings) -> &[String] {
        self.happens(Input::Settings(Box::new(settings.clone())))
    }

    /// All that is queued for the link has gone out.
    fn leaves(&mut self) {
        let bytes = std::mem::take(&mut self.queued);
        self.happens(Input::LinkSent { link: LINK, bytes });
    }

    fn pongs(&mut self) -> &[String] {
        self.happens(Input::Pong { link: LINK, counter: self.ping })
    }

    /// All that has gone out is confirmed.
    fn settles(&mut self) {
        self.leaves();
        self.now = self.now + Millis(20);
        self.happens(Input::Deadline);
        self.pongs();
    }
}

/// Ann is there, and a Ping is on its way that is not answered yet; what she said before it was this large.
fn with_a_ping_on_its_way(settings: &Settings, before: usize) -> Rig {
    let mut rig = Rig::new(settings);
    rig.ann_comes();
    rig.settles();
    assert_eq!(rig.says("first", before), ["first"]);
    rig.now = rig.now + Millis(20);
    assert_eq!(rig.happens(Input::Deadline), ["ping"]);
    rig
}

#[test]
fn who_may_send_more_goes_on_at_once() {
    let mut settings = Settings::default();
    settings.link.share_bytes = 10;
    let mut rig = with_a_ping_on_its_way(&settings, 1);
    assert_eq!(rig.says("second", 10), ["second"]);
    assert_eq!(rig.says("third", 10), ["stop"], "she has had her share");
    settings.link.share_bytes = 100;
    assert_eq!(rig.changes(&settings), ["third", "resume"]);
}

/// What is said when the first Ping is answered, after the link has become full with a third message waiting, and the
/// share has become as large as this.
fn goes_on_with_a_share_of(share_bytes: usize) -> Vec<String> {
    let mut settings = Settings::default();
    (settings.link.high_bytes, settings.link.low_bytes) = (1_000, 700);
    let mut rig = with_a_ping_on_its_way(&settings, 240);
    rig.leaves();
    assert_eq!(rig.says("second", 800), ["second"], "with which the link is full");
    assert_eq!(rig.says("third", 1), ["stop"]);
    settings.link.share_bytes = share_bytes;
    // Whoever waits for the link is not let go on by a change.
    assert!(rig.changes(&settings).is_empty());
    settings.link.low_bytes = 900;
    assert!(rig.changes(&settings).is_empty());
    rig.leaves();
    rig.pongs().to_vec()
}

#[test]
fn who_has_had_more_than_a_smaller_share_waits_for_the_next_ping() {
    let order = |share| {
        goes_on_with_a_share_of(share).into_iter().filter(|said| said != "resume").collect::<Vec<_>>()
    };
    assert_eq!(order(1_000), ["third", "ping"]);
    assert_eq!(order(500), ["ping", "third"]);
    // What she said second is of 800 bytes.
    assert_eq!((order(801), order(800)), (order(1_000), order(500)));
}

#[test]
fn who_has_parked_nothing_is_read_whatever_may_be_parked() {
    let mut settings = Settings::default();
    let mut rig = Rig::new(&settings);
    rig.ann_comes();
    (settings.parked_bytes_max, settings.parked_bytes_total_max) = (0, 0);
    assert!(rig.changes(&settings).is_empty());
}

/// Ann comes again, and so her first `close` leaves at 20 ms. So many later the crossing window changes from 10 ms, and then
/// her backend closes her: whether it has to hear `close`.
fn crosses(after: u64, window: u64) -> bool {
    let mut settings = Settings { reopen_gap: Millis(0), crossing_window: Millis(10), ..Settings::default() };
    let mut rig = Rig::new(&settings);
    rig.ann_comes();
    rig.ann_comes();
    rig.leaves();
    rig.now = rig.now + Millis(after);
    settings.crossing_window = Millis(window);
    rig.changes(&settings);
    rig.backend_closes_ann().iter().any(|said| said == "close ann")
}

#[test]
fn a_close_that_counted_no_longer_does_not_count_again_and_one_that_counted_goes_on_to() {
    assert!(crosses(9, 10));
    assert!(crosses(9, 1_000));
    assert!(crosses(9, 11));
    assert!(!crosses(9, 9));
    assert!(!crosses(10, 10));
    assert!(!crosses(10, 1_000), "it had stopped counting");
    assert!(!crosses(11, 1_000), "it had stopped counting");
}

#[test]
fn nobody_is_remembered_for_longer_than_the_new_window() {
    let mut settings =
        Settings { reopen_gap: Millis(0), crossing_window: Millis(60_000), ..Settings::default() };
    let mut rig = Rig::new(&settings);
    rig.ann_comes();
    rig.last_one_leaves();
    rig.settles();
    settings.crossing_window = Millis(5);
    rig.changes(&settings);
    let due = rig.endpoint.next_deadline().expect("something is always due");
    assert!(due <= rig.now + Millis(5), "she is forgotten at {due:?}");
}

/// Ann leaves, and bob so many milliseconds later, after the gap has become 10 instead of 100; both come again at once. Who is
/// opened when, in milliseconds since bob left.
fn opened_after(later: u64) -> Vec<(u64, String)> {
    let mut settings = Settings::default();
    let mut rig = Rig::new(&settings);
    rig.comes("bob");
    let bob = rig.session;
    rig.ann_comes();
    rig.settles();
    rig.last_one_leaves();
    rig.ann_comes();
    rig.now = rig.now + Millis(later);
    settings.reopen_gap = Millis(10);
    rig.changes(&settings);
    rig.session = bob;
    rig.last_one_leaves();
    rig.comes("bob");
    let (began, mut opened) = (rig.now, Vec::new());
    for since in 0..100 {
        rig.now = began + Millis(since);
        let said = rig.happens(Input::Deadline).iter().filter(|said| said.starts_with("open"));
        opened.extend(said.map(|said| (since, said.clone())));
    }
    opened
}

#[test]
fn a_gap_that_has_begun_ends_when_it_was_to_and_holds_up_no_shorter_one() {
    let opened = |who: [(u64, &str); 2]| who.map(|(at, user)| (at, format!("open {user}")));
    assert_eq!(opened_after(50), opened([(10, "bob"), (50, "ann")]));
    assert_eq!(opened_after(90), opened([(10, "ann"), (10, "bob")]), "the older one first");
    assert_eq!(opened_after(95), opened([(5, "ann"), (10, "bob")]));
}

#[test]
fn a_user_is_remembered_for_as_long_as_the_last_close_counts_and_not_the_first() {
    let settings = Settings { reopen_gap: Millis(0), crossing_window: Millis(1_000), ..Settings::default() };
    let mut rig = Rig::new(&settings);
    for _ in 0..2 {
        rig.ann_comes();
        rig.last_one_leaves();
        rig.settles();
        rig.now = rig.now + Millis(600);
    }
    rig.happens(Input::Deadline);
    rig.ann_comes();
    assert!(rig.backend_closes_ann().contains(&"close ann".to_owned()));
}
