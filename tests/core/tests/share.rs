//! One client that sends all that it can, and others that send now and then: what of the one goes out before the others.

use std::{cell::RefCell, rc::Rc};

use trunkline_core::{
    Endpoint, Event, Identity, Input, LinkId, LinkPhase, LinkSettings, Output, Payload, SessionId, Settings,
    Time,
};

const LINK: LinkId = LinkId(1);
const SHARE: usize = 1_000;
/// What a message of either takes on the link.
const EVENT: usize = 90;

/// A message: so many bytes as an event.
#[derive(Clone, PartialEq, Debug)]
struct Sized(usize);

impl Payload for Sized {
    fn size(&self) -> usize {
        self.0
    }
}

/// What went out over the link.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Went {
    Message(SessionId, usize),
    Ping(u64),
}

struct Bench {
    endpoint: Endpoint<Sized>,
    now: Time,
    went: Rc<RefCell<Vec<Went>>>,
    stopped: Vec<SessionId>,
    /// The Ping that is not answered yet.
    ping: Option<u64>,
    up: bool,
}

impl Bench {
    fn new(link: LinkSettings) -> Bench {
        let settings = Settings { link, ..Settings::default() };
        let mut bench = Bench {
            endpoint: Endpoint::new(settings, Time(0)),
            now: Time(0),
            went: Rc::default(),
            stopped: Vec::new(),
            ping: None,
            up: false,
        };
        bench.happens(Input::Deadline);
        bench.happens(Input::LinkUp { link: LINK });
        bench.answer();
        assert!(bench.up, "there is nobody to announce");
        bench
    }

    fn happens(&mut self, input: Input<'_, Sized>) -> Option<SessionId> {
        let (mut admitted, mut sent) = (None, 0);
        self.endpoint.handle(self.now, input, &mut |output: Output<'_, Sized>| match output {
            Output::Admit { session } => {
                admitted = Some(session);
                0
            }
            Output::Event { session, event: Event::Message { payload, .. }, .. } => {
                self.went.borrow_mut().push(Went::Message(session, payload.0));
                sent += payload.0;
                payload.0
            }
            Output::Ping { counter, .. } => {
                self.went.borrow_mut().push(Went::Ping(counter));
                self.ping = Some(counter);
                0
            }
            Output::Stop { session } => {
                self.stopped.push(session);
                0
            }
            Output::Resume { session } => {
                self.stopped.retain(|other| *other != session);
                0
            }
            Output::Fact(trunkline_core::Fact::Link { phase }) => {
                self.up = phase == LinkPhase::Up;
                0
            }
            _ => 0,
        });
        self.endpoint.check_invariants();
        if sent > 0 {
            self.happens(Input::LinkSent { link: LINK, bytes: sent });
        }
        admitted
    }

    fn enters(&mut self, user: &str) -> SessionId {
        let identity = Identity::new(user, []);
        self.happens(Input::Ask { identity, expires: None }).expect("there is room")
    }

    fn says(&mut self, session: SessionId, bytes: usize) {
        self.happens(Input::Message { session, payload: Sized(bytes) });
    }

    /// The backend has received all that went out.
    fn answer(&mut self) {
        if let Some(counter) = self.ping.take() {
            self.happens(Input::Pong { link: LINK, counter });
        }
    }

    /// Everything that its socket holds, as long as it is read from.
    fn pours(&mut self, session: SessionId) -> usize {
        let mut poured = 0;
        while !self.stopped.contains(&session) {
            self.says(session, EVENT);
            poured += 1;
            assert!(poured < 10_000, "nothing stops it");
        }
        poured
    }
}

fn share(share_bytes: usize) -> LinkSettings {
    LinkSettings { share_bytes, ..LinkSettings::default() }
}

/// The most of one session that went between two messages of the others, and between two Pings.
fn runs(went: &[Went], of: SessionId) -> (usize, usize) {
    let (mut between, mut most_between, mut pinged, mut most_pinged) = (0, 0, 0, 0);
    for one in went {
        match *one {
            Went::Message(session, bytes) if session == of => {
                between += bytes;
                pinged += bytes;
            }
            Went::Message(..) => between = 0,
            Went::Ping(_) => pinged = 0,
        }
        (most_between, most_pinged) = (most_between.max(between), most_pinged.max(pinged));
    }
    (most_between, most_pinged)
}

#[test]
fn of_one_who_sends_all_it_can_no_more_than_its_share_goes_between_the_messages_of_others() {
    let mut bench = Bench::new(share(SHARE));
    let greedy = bench.enters("greedy");
    let others: Vec<_> = (0..20).map(|number| bench.enters(&format!("user-{number}"))).collect();
    bench.answer();
    bench.went.borrow_mut().clear();
    for _ in 0..5 {
        for other in &others {
            bench.pours(greedy);
            let before = bench.went.borrow().len();
            bench.says(*other, EVENT);
            // It goes at once, whatever of the other waits.
            assert_eq!(bench.went.borrow()[before], Went::Message(*other, EVENT));
            bench.answer();
        }
    }
    let (between, pinged) = runs(&bench.went.borrow(), greedy);
    assert!(pinged < SHARE + EVENT, "{pinged} bytes between two Pings");
    // Some goes before the Ping, and some right after it.
    assert!(between < 2 * (SHARE + EVENT), "{between} bytes between two messages of others");
}

#[test]
fn whoever_has_had_its_share_goes_on_after_the_next_ping_which_does_not_wait() {
    let mut bench = Bench::new(share(SHARE));
    let greedy = bench.enters("greedy");
    bench.happens(Input::Deadline);
    bench.pours(greedy);
    assert!(bench.ping.is_some(), "a Ping went at once");
    bench.pours(greedy);
    assert!(bench.stopped.contains(&greedy), "the Ping is not answered");
    bench.answer();
    assert!(!bench.stopped.contains(&greedy), "it is read from again");
}

#[test]
fn without_a_share_of_its_own_only_the_link_stops_a_client() {
    let mut bench = Bench::new(LinkSettings { high_bytes: 50_000, low_bytes: 25_000, ..share(usize::MAX) });
    let greedy = bench.enters("greedy");
    let poured = bench.pours(greedy);
    assert!(poured * EVENT > 50_000, "{poured} messages");
}

#[test]
fn many_who_send_all_they_can_take_turns() {
    let mut bench = Bench::new(share(SHARE));
    let all: Vec<_> = (0..5).map(|number| bench.enters(&format!("greedy-{number}"))).collect();
    bench.went.borrow_mut().clear();
    for _ in 0..40 {
        for one in &all {
            bench.pours(*one);
        }
        bench.answer();
    }
    let went = bench.went.borrow();
    let sent = |of| -> usize {
        let each = went.iter().map(|one| match one {
            Went::Message(session, bytes) if *session == of => *bytes,
            _ => 0,
        });
        each.sum()
    };
    let sums: Vec<_> = all.iter().map(|one| sent(*one)).collect();
    let (least, most) = (sums.iter().min(), sums.iter().max());
    let (least, most) = (least.expect("there are five"), most.expect("there are five"));
    assert!(most - least <= 2 * (SHARE + EVENT), "{sums:?}");
}
