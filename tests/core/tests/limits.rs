//! What an endpoint holds at most, where scenarios are too small to go.

use trunkline_core::{
    Endpoint, Event, Expiry, Fact, Identity, Input, LeaveCause, LinkId, Millis, Output, Refusal, Settings,
    Time,
};

/// An endpoint whose link takes everything at once, and whose Pings are answered at once.
struct Lively {
    endpoint: Endpoint<String>,
    now: Time,
}

impl Lively {
    fn new(settings: Settings) -> Self {
        let mut lively = Lively { endpoint: Endpoint::new(settings, Time(0)), now: Time(0) };
        lively.happens(Input::Deadline);
        lively.happens(Input::LinkUp { link: LinkId(1) });
        lively
    }

    /// Returns who was admitted, or why somebody was refused.
    fn happens(&mut self, input: Input<'_, String>) -> Option<Result<trunkline_core::SessionId, Refusal>> {
        let (mut answer, mut ping) = (None, None);
        self.endpoint.handle(self.now, input, &mut |output: Output<'_, String>| {
            match output {
                Output::Admit { session } => answer = Some(Ok(session)),
                Output::Refuse { reason } => answer = Some(Err(reason)),
                Output::Ping { counter, .. } => ping = Some(counter),
                _ => {}
            }
            0
        });
        if let Some(counter) = ping {
            self.happens(Input::Pong { link: LinkId(1), counter });
        }
        answer
    }

    /// A client of that user comes, and leaves if it is admitted.
    fn visits(&mut self, user: &str) -> Result<(), Refusal> {
        let identity = Identity::new(user, []);
        let answer = self.happens(Input::Ask { identity, expires: None });
        let session = answer.expect("who asks is answered")?;
        self.happens(Input::Left { session, cause: LeaveCause::Closed });
        Ok(())
    }
}

#[test]
fn a_hundred_thousand_users_are_remembered_beyond_those_who_have_sessions() {
    let mut settings = Settings { sessions_max: 2, reopen_gap: Millis(0), ..Settings::default() };
    settings.crossing_window = Millis(60_000);
    settings.link.confirm_delay = Millis(0);
    let mut lively = Lively::new(settings);

    let refused = (0..).find_map(|number| Some((number, lively.visits(&format!("user {number}")).err()?)));
    assert_eq!(refused, Some((100_002, Refusal::Full)));

    lively.now = Time(59_999);
    assert_eq!(lively.visits("one more"), Err(Refusal::Full));
    lively.now = Time(60_000);
    assert_eq!(lively.visits("one more"), Ok(()));
    lively.endpoint.check_invariants();
}

#[test]
fn an_event_that_is_on_its_way_at_once_waits_for_its_pong_too() {
    let mut lively = Lively::new(Settings { sessions_max: 1, reopen_gap: Millis(0), ..Settings::default() });
    assert_eq!(lively.visits("ann"), Ok(()));
    assert_eq!(lively.visits("bob"), Err(Refusal::Full), "the close of ann is not confirmed");
    lively.now = Time(10);
    lively.happens(Input::Deadline);
    assert_eq!(lively.visits("bob"), Ok(()));
}

#[test]
fn a_link_is_full_above_its_mark_and_not_at_it() {
    let tells_full = |high_bytes| {
        let mut settings = Settings::default();
        (settings.link.high_bytes, settings.link.low_bytes) = (high_bytes, 0);
        let mut endpoint = Endpoint::<String>::new(settings, Time(0));
        let mut full = false;
        let mut sink = |output: Output<'_, String>| match output {
            Output::Event { .. } => 10,
            Output::Ping { .. } => 8,
            Output::Fact(Fact::LinkFull) => {
                full = true;
                0
            }
            _ => 0,
        };
        endpoint.handle(Time(0), Input::Deadline, &mut sink);
        endpoint.handle(Time(0), Input::LinkUp { link: LinkId(1) }, &mut sink);
        endpoint.handle(Time(0), Input::Ask { identity: Identity::new("ann", []), expires: None }, &mut sink);
        endpoint.handle(Time(50), Input::Deadline, &mut sink);
        full
    };
    assert!(tells_full(9), "an open of 10 bytes");
    assert!(tells_full(17), "an open of 10 bytes and a Ping of 8");
    assert!(!tells_full(18), "no more than that");
}

/// Whether a link is full in the end, on which an event takes 10 bytes and a Ping none. All happens at once, and the
/// Ping that the link began with is answered.
fn ends_full(high_bytes: usize, low_bytes: usize, happens: &[Input<'_, String>]) -> bool {
    let mut settings = Settings::default();
    (settings.link.high_bytes, settings.link.low_bytes) = (high_bytes, low_bytes);
    let mut endpoint = Endpoint::<String>::new(settings, Time(0));
    let mut full = false;
    let mut sink = |output: Output<'_, String>| {
        match output {
            Output::Event { .. } => return 10,
            Output::Fact(Fact::LinkFull) => full = true,
            Output::Fact(Fact::LinkDrained) => full = false,
            _ => {}
        }
        0
    };
    let begins = [Input::Deadline, Input::LinkUp { link: LinkId(1) }, pong(1)];
    for input in begins.iter().chain(happens) {
        endpoint.handle(Time(0), input.clone(), &mut sink);
    }
    full
}

fn comes(user: &str) -> Input<'static, String> {
    Input::Ask { identity: Identity::new(user, []), expires: None }
}

fn pong(counter: u64) -> Input<'static, String> {
    Input::Pong { link: LinkId(1), counter }
}

fn gone_out(bytes: usize) -> Input<'static, String> {
    Input::LinkSent { link: LinkId(1), bytes }
}

#[test]
fn a_link_is_full_above_its_mark_of_unconfirmed_bytes_and_not_at_it() {
    assert!(ends_full(9, 0, &[comes("ann"), gone_out(10)]));
    assert!(!ends_full(10, 0, &[comes("ann"), gone_out(10)]));
    assert!(!ends_full(10, 0, &[comes("ann")]), "as many queued and as many unconfirmed");
}

#[test]
fn a_full_link_goes_on_at_its_low_mark_and_not_above_it() {
    // The open of ann is asked after at once, that of bob by the next Ping.
    let unconfirmed = [comes("ann"), comes("bob"), gone_out(20), pong(2)];
    assert!(ends_full(15, 9, &unconfirmed));
    assert!(!ends_full(15, 10, &unconfirmed));

    let queued = [comes("ann"), comes("bob"), gone_out(10), pong(2), pong(3)];
    assert!(ends_full(15, 9, &queued));
    assert!(!ends_full(15, 10, &queued));
}

#[test]
fn a_text_that_waits_counts_its_bytes_and_sixty_four() {
    let stops = |text: &str, parked_bytes_max| {
        let settings = Settings { parked_bytes_max, ..Settings::default() };
        let mut endpoint = Endpoint::<String>::new(settings, Time(0));
        let mut stopped = false;
        let mut sink = |output: Output<'_, String>| {
            stopped |= matches!(output, Output::Stop { .. });
            assert!(
                !matches!(output, Output::Event { event: Event::Message { .. }, .. }),
                "there is no link"
            );
            0
        };
        endpoint.handle(Time(0), Input::Ask { identity: Identity::new("ann", []), expires: None }, &mut sink);
        let session = trunkline_core::SessionId { slot: 0, generation: 0 };
        endpoint.handle(Time(0), Input::Message { session, payload: text.to_owned() }, &mut sink);
        stopped
    };
    assert!(stops("café", 64 + 5), "five bytes");
    assert!(!stops("café", 64 + 6), "less than six");
}

#[test]
fn the_first_dial_comes_before_what_the_first_input_does() {
    let mut endpoint = Endpoint::new(Settings::default(), Time(7));
    let mut said = Vec::new();
    endpoint.handle(Time(7), comes("ann"), &mut |output: Output<'_, String>| {
        said.push(match output {
            Output::Dial { .. } => "dial",
            Output::Admit { .. } => "admit",
            _ => "else",
        });
        0
    });
    said.retain(|said| *said != "else");
    assert_eq!(said, ["dial", "admit"]);
}

#[test]
fn changed_settings_leave_the_seed_as_it_is() {
    let dials_again_at = |change: Option<u64>| {
        let mut lively = Lively::new(Settings { seed: 1, ..Settings::default() });
        if let Some(seed) = change {
            lively.happens(Input::Settings(Box::new(Settings { seed, ..Settings::default() })));
        }
        lively.happens(Input::LinkDown { link: LinkId(1) });
        lively.endpoint.next_deadline()
    };
    let waits = (2..20).map(|seed| dials_again_at(Some(seed)));
    assert!(waits.into_iter().all(|at| at == dials_again_at(None)), "the waits are spread by another seed");
    let other = |seed| {
        let mut lively = Lively::new(Settings { seed, ..Settings::default() });
        lively.happens(Input::LinkDown { link: LinkId(1) });
        lively.endpoint.next_deadline()
    };
    assert!((2..20).any(|seed| other(seed) != other(1)), "the seed spreads nothing");
}

#[test]
fn a_session_is_said_to_end_with_its_token_only_where_it_does() {
    for (expiry, told) in [(Expiry::Close, Some(Time(9))), (Expiry::Ignore, None)] {
        let mut lively = Lively::new(Settings { expiry, ..Settings::default() });
        let asks = Input::Ask { identity: Identity::new("ann", []), expires: Some(Time(9)) };
        let session = lively.happens(asks).expect("who asks is answered").expect("there is room");
        assert_eq!(lively.endpoint.session(session).and_then(|view| view.expires), told);
    }
}
