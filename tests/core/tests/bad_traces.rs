//! Each law's checker is shown a trace that breaks it, one wrong word at the end of a lawful story.

use trunkline_core::{
    ActionFault, CloseCode, DrainSettings, DropCause, Duplicates, EndCause, Identity, Input, LeaveCause,
    LinkId, LinkPhase, LinkSettings, Millis, Queued, Redeliver, Refusal, SessionId, Settings, Time,
    language::{Action, BadAction, Data},
};
use trunkline_core_tests::{
    laws::{Law, Laws},
    said::{Digest, Given, Msg, Said, What},
};

const LINK: LinkId = LinkId(1);
const TAKEN_OVER: &str = "Only one connection per endpoint per token bearer is allowed";

/// A lawful story so far.
struct Story {
    laws: Laws,
    next: Option<Time>,
}

fn settings() -> Settings {
    Settings {
        reopen_gap: Millis(5),
        link: LinkSettings { confirm_delay: Millis(1_000), ..LinkSettings::default() },
        ..Settings::default()
    }
}

impl Story {
    /// A link is up, and nobody there.
    fn new(settings: &Settings) -> Self {
        let mut story = Story { laws: Laws::new(settings), next: None };
        story.goes_on(0, Input::Deadline, &[Said::Dial(LINK)]);
        let announced = [Said::Phase(LinkPhase::Announcing), Said::Phase(LinkPhase::Up)];
        story.goes_on(0, Input::LinkUp { link: LINK }, &announced);
        story
    }

    /// The same, and ann and bob are in, as sessions 0 and 1.
    fn with_ann_and_bob(settings: &Settings) -> Self {
        let mut story = Story::new(settings);
        story.goes_on(0, ask("ann", 0), &[Said::Admit(id(0)), open("ann", 0)]);
        story.goes_on(0, ask("bob", 1), &[Said::Admit(id(1)), open("bob", 1)]);
        story
    }

    /// A deadline that is handled is followed by a later one.
    fn next_after(&self, at: u64, input: &Given) -> Option<Time> {
        let handled = *input == Input::Deadline && self.next == Some(Time(at));
        if handled { Some(Time(at + 100)) } else { self.next }
    }

    fn goes_on(&mut self, at: u64, input: Given, said: &[Said]) {
        let next = self.next_after(at, &input);
        self.laws.step(Time(at), &input, said, next).expect("the story is lawful so far");
    }

    fn ends_badly(mut self, at: u64, input: Given, said: &[Said], law: Law) {
        let next = self.next_after(at, &input);
        let judged = self.laws.step(Time(at), &input, said, next);
        let violation = judged.expect_err("a checker that sees nothing wrong here");
        assert_eq!(violation.law, law, "{violation}");
    }
}

fn id(slot: u32) -> SessionId {
    SessionId { slot, generation: 0 }
}

fn who(user: &str, number: u32) -> Identity {
    Identity::new(user, [("n", number.to_string().as_str())])
}

fn ask(user: &str, number: u32) -> Given {
    Input::Ask { identity: who(user, number), expires: None }
}

fn message(session: u32, number: u64) -> Given {
    Input::Message { session: id(session), payload: msg(number) }
}

fn msg(number: u64) -> Msg {
    Msg { number, size: 10 }
}

fn left(session: u32) -> Given {
    Input::Left { session: id(session), cause: LeaveCause::Closed }
}

fn event(user: &str, session: u32, what: What) -> Said {
    Said::Event { link: LINK, session: id(session), what, who: who(user, session), bytes: 10 }
}

fn open(user: &str, session: u32) -> Said {
    event(user, session, What::Open)
}

fn ended(session: u32, cause: EndCause) -> Said {
    Said::Ended { session: id(session), cause }
}

fn close(session: u32, code: CloseCode, reason: &str) -> Said {
    Said::Close { session: id(session), code, reason: reason.to_owned(), queued: Queued::Flush }
}

fn act(action: Action<'static>) -> Given {
    Input::Action { link: LINK, action: Ok(action) }
}

fn send(user: &'static str) -> Given {
    act(Action::Send { user: Some(user.into()), data: Data::Text("hello".into()) })
}

fn handed(session: u32, data: &'static str, bytes: usize) -> Said {
    Said::Message { session: id(session), data: Digest::of(&Data::Text(data.into())), bytes }
}

/// Ann's client leaves: what is lawfully said.
fn ann_ends() -> [Said; 2] {
    [ended(0, EndCause::Left(LeaveCause::Closed)), event("ann", 0, What::Close)]
}

fn ann_taken_over() -> [Said; 4] {
    [
        Said::Admit(id(2)),
        ended(0, EndCause::TakenOver),
        close(0, CloseCode::POLICY, TAKEN_OVER),
        event("ann", 0, What::Close),
    ]
}

#[test]
fn law_1_sees_a_message_before_open() {
    let said = [Said::Admit(id(0)), event("ann", 0, What::Message(msg(1)))];
    Story::new(&settings()).ends_badly(0, ask("ann", 0), &said, Law::Order1);
}

#[test]
fn law_1_sees_a_second_open() {
    Story::with_ann_and_bob(&settings()).ends_badly(0, message(1, 1), &[open("ann", 0)], Law::Order1);
}

#[test]
fn law_1_sees_the_close_of_a_live_session() {
    let said = [event("ann", 0, What::Close)];
    Story::with_ann_and_bob(&settings()).ends_badly(0, message(1, 1), &said, Law::Order1);
}

#[test]
fn law_1_sees_foreign_params() {
    let said = [Said::Admit(id(0)), event("bob", 0, What::Open)];
    Story::new(&settings()).ends_badly(0, ask("ann", 0), &said, Law::Order1);
}

#[test]
fn law_1_sees_an_open_before_the_close_that_is_owed() {
    let mut story = Story::with_ann_and_bob(&settings());
    story.next = Some(Time(250));
    story.goes_on(0, Input::LinkDown { link: LINK }, &[Said::Phase(LinkPhase::Down)]);
    story.goes_on(0, left(0), &[ended(0, EndCause::Left(LeaveCause::Closed))]);
    story.goes_on(0, ask("ann", 2), &[Said::Admit(id(2))]);
    story.goes_on(250, Input::Deadline, &[Said::Dial(LinkId(2))]);
    let link = LinkId(2);
    let said = [
        Said::Phase(LinkPhase::Settling),
        Said::Event { link, session: id(2), what: What::Open, who: who("ann", 2), bytes: 10 },
    ];
    story.ends_badly(250, Input::LinkUp { link }, &said, Law::Order1);
}

#[test]
fn law_2_sees_two_live_sessions() {
    let story = Story::with_ann_and_bob(&settings());
    story.ends_badly(0, ask("ann", 2), &[Said::Admit(id(2))], Law::OneSession2);
}

#[test]
fn law_3_sees_an_old_client_that_is_not_told() {
    let [admit, ended, _, close] = ann_taken_over();
    Story::with_ann_and_bob(&settings()).ends_badly(
        0,
        ask("ann", 2),
        &[admit, ended, close],
        Law::TakeoverAndGap3,
    );
}

#[test]
fn law_3_sees_an_open_within_the_gap() {
    let mut story = Story::with_ann_and_bob(&settings());
    story.goes_on(0, ask("ann", 2), &ann_taken_over());
    story.goes_on(1, Input::LinkSent { link: LINK, bytes: 30 }, &[]);
    story.next = Some(Time(5));
    story.goes_on(1, message(1, 1), &[event("bob", 1, What::Message(msg(1)))]);
    story.ends_badly(5, Input::Deadline, &[open("ann", 2)], Law::TakeoverAndGap3);
}

#[test]
fn law_4_sees_a_message_for_somebody_else() {
    let said = [handed(1, "hello", 5)];
    Story::with_ann_and_bob(&settings()).ends_badly(0, send("ann"), &said, Law::Isolation4);
}

#[test]
fn law_4_sees_a_message_that_nobody_sent() {
    let said = [handed(1, "hello", 5)];
    Story::with_ann_and_bob(&settings()).ends_badly(0, left(0), &said, Law::Isolation4);
}

#[test]
fn law_5_sees_another_message_than_the_first() {
    let said = [event("ann", 0, What::Message(msg(2)))];
    Story::with_ann_and_bob(&settings()).ends_badly(0, message(0, 1), &said, Law::Fifo5);
}

#[test]
fn law_5_sees_what_was_altered() {
    let said = [handed(0, "hallo", 5)];
    Story::with_ann_and_bob(&settings()).ends_badly(0, send("ann"), &said, Law::Fifo5);
}

#[test]
fn law_6_sees_words_to_a_closed_client() {
    let mut story = Story::with_ann_and_bob(&settings());
    story.goes_on(0, ask("ann", 2), &ann_taken_over());
    story.ends_badly(0, message(1, 1), &[Said::Stop(id(0))], Law::Silence6);
}

#[test]
fn law_6_sees_events_on_a_dead_link() {
    let mut story = Story::with_ann_and_bob(&settings());
    story.next = Some(Time(250));
    story.goes_on(0, Input::LinkDown { link: LINK }, &[Said::Phase(LinkPhase::Down)]);
    story.ends_badly(0, message(0, 1), &[open("ann", 0)], Law::Silence6);
}

#[test]
fn law_7_sees_bad_actions_that_are_not_counted_and_those_that_do_something() {
    let bad = || Input::Action { link: LINK, action: Err(BadAction::NotJson) };
    Story::with_ann_and_bob(&settings()).ends_badly(0, bad(), &[], Law::BadActions7);
    let said = [handed(0, "hello", 5)];
    Story::with_ann_and_bob(&settings()).ends_badly(0, send("cid"), &said, Law::BadActions7);
    let wrong = [Said::Ignored { user: Some("cid".to_owned()), fault: ActionFault::NotAnnounced }];
    Story::with_ann_and_bob(&settings()).ends_badly(0, send("cid"), &wrong, Law::BadActions7);
}

#[test]
fn law_8_sees_a_second_close_after_the_first_was_confirmed() {
    let mut story = Story::with_ann_and_bob(&settings());
    story.goes_on(0, left(0), &ann_ends());
    story.next = Some(Time(1_000));
    story.goes_on(0, message(1, 1), &[event("bob", 1, What::Message(msg(1)))]);
    story.next = None;
    story.goes_on(1_000, Input::Deadline, &[Said::Ping { link: LINK, counter: 1, bytes: 9 }]);
    story.goes_on(1_000, Input::LinkSent { link: LINK, bytes: 49 }, &[]);
    story.goes_on(1_000, Input::Pong { link: LINK, counter: 1 }, &[]);
    story.ends_badly(1_000, message(1, 2), &[event("ann", 0, What::Close)], Law::Convergence8);
}

#[test]
fn law_9_sees_an_event_beyond_the_mark() {
    let link = LinkSettings { high_bytes: 5, low_bytes: 2, ..settings().link };
    let settings = Settings { link, ..settings() };
    let mut story = Story::new(&settings);
    let ping = Said::Ping { link: LINK, counter: 1, bytes: 9 };
    story.goes_on(0, ask("ann", 0), &[Said::Admit(id(0)), open("ann", 0), Said::LinkFull, ping]);
    story.ends_badly(0, ask("bob", 1), &[Said::Admit(id(1)), open("bob", 1)], Law::Bounds9);
}

#[test]
fn law_9_sees_a_message_of_one_who_has_had_its_share() {
    let link = LinkSettings { share_bytes: 15, ..settings().link };
    let mut story = Story::with_ann_and_bob(&Settings { link, ..settings() });
    let goes = |number| [event("ann", 0, What::Message(msg(number)))];
    story.goes_on(0, message(0, 1), &goes(1));
    story.goes_on(0, message(0, 2), &goes(2));
    // The other has its own.
    story.goes_on(0, message(1, 3), &[event("bob", 1, What::Message(msg(3)))]);
    story.ends_badly(0, message(0, 4), &goes(4), Law::Bounds9);
}

#[test]
fn law_9_sees_one_session_too_many_and_a_slot_taken_twice() {
    let story = Story::with_ann_and_bob(&Settings { sessions_max: 2, ..settings() });
    story.ends_badly(0, ask("cid", 2), &[Said::Admit(id(2))], Law::Bounds9);
    let twice = [Said::Admit(SessionId { slot: 1, generation: 1 })];
    Story::with_ann_and_bob(&settings()).ends_badly(0, ask("cid", 2), &twice, Law::Bounds9);
}

#[test]
fn law_9_sees_a_queue_beyond_its_bound() {
    let settings = Settings { client_queue_bytes_max: 4, ..settings() };
    let mut story = Story::with_ann_and_bob(&settings);
    story.goes_on(0, send("ann"), &[handed(0, "hello", 5)]);
    story.ends_badly(0, send("ann"), &[handed(0, "hello", 5)], Law::Bounds9);
}

#[test]
fn law_9_sees_more_parked_than_may_be() {
    let mut story = Story::with_ann_and_bob(&Settings { parked_bytes_max: 80, ..settings() });
    story.next = Some(Time(250));
    story.goes_on(0, Input::LinkDown { link: LINK }, &[Said::Phase(LinkPhase::Down)]);
    story.goes_on(0, message(0, 1), &[]);
    story.goes_on(0, message(0, 2), &[Said::Stop(id(0))]);
    story.ends_badly(0, message(0, 3), &[], Law::Bounds9);
}

#[test]
fn law_10_sees_losses_that_are_not_counted_and_counts_that_are_wrong() {
    let with_queue = || {
        let mut story = Story::with_ann_and_bob(&settings());
        story.goes_on(0, send("ann"), &[handed(0, "hello", 5)]);
        story
    };
    with_queue().ends_badly(0, left(0), &ann_ends(), Law::NoSilentLoss10);
    let [end, close] = ann_ends();
    let wrong = Said::QueueDropped { session: id(0), bytes: 4 };
    with_queue().ends_badly(0, left(0), &[end, wrong, close], Law::NoSilentLoss10);

    let mut story = Story::with_ann_and_bob(&settings());
    story.next = Some(Time(250));
    story.goes_on(0, message(0, 1), &[event("ann", 0, What::Message(msg(1)))]);
    let uncounted = [Said::Phase(LinkPhase::Down)];
    story.ends_badly(0, Input::LinkDown { link: LINK }, &uncounted, Law::NoSilentLoss10);
}

#[test]
fn law_10_sees_parked_messages_that_vanish() {
    let mut story = Story::with_ann_and_bob(&Settings { redeliver: Redeliver::Unconfirmed, ..settings() });
    story.next = Some(Time(250));
    story.goes_on(0, message(0, 1), &[event("ann", 0, What::Message(msg(1)))]);
    story.goes_on(0, Input::LinkDown { link: LINK }, &[Said::Phase(LinkPhase::Down)]);
    story.goes_on(0, message(0, 2), &[]);
    let dropped = |cause| Said::MessagesDropped { session: id(0), messages: 1, cause };
    let one = [ended(0, EndCause::Left(LeaveCause::Closed)), dropped(DropCause::Parked)];
    story.ends_badly(0, left(0), &one, Law::NoSilentLoss10);
}

#[test]
fn law_13_sees_a_deadline_that_has_passed() {
    let mut story = Story::with_ann_and_bob(&settings());
    story.next = Some(Time(0));
    story.ends_badly(0, Input::Drain, &[], Law::Progress13);
}

#[test]
fn law_13_sees_who_is_passed_over_when_others_are_resumed() {
    let link = LinkSettings { high_bytes: 25, low_bytes: 5, ..settings().link };
    let mut story = Story::new(&Settings { link, ..settings() });
    let ping = |counter| Said::Ping { link: LINK, counter, bytes: 9 };
    story.goes_on(0, ask("ann", 0), &[Said::Admit(id(0)), open("ann", 0), ping(1), Said::LinkFull][..3]);
    story.goes_on(0, Input::LinkSent { link: LINK, bytes: 19 }, &[]);
    story.goes_on(0, Input::Pong { link: LINK, counter: 1 }, &[]);
    story.goes_on(0, ask("bob", 1), &[Said::Admit(id(1)), open("bob", 1), ping(2)]);
    story.goes_on(0, message(0, 1), &[event("ann", 0, What::Message(msg(1))), Said::LinkFull]);
    story.goes_on(0, message(0, 2), &[Said::Stop(id(0))]);
    story.goes_on(0, message(1, 3), &[Said::Stop(id(1))]);
    story.goes_on(0, Input::LinkSent { link: LINK, bytes: 29 }, &[]);
    let drained = [
        Said::LinkDrained,
        event("ann", 0, What::Message(msg(2))),
        event("bob", 1, What::Message(msg(3))),
        Said::Resume(id(1)),
    ];
    let link = LINK;
    story.goes_on(0, Input::Pong { link, counter: 2 }, &[ping(3)]);
    story.goes_on(0, Input::LinkSent { link, bytes: 9 }, &[]);
    story.ends_badly(0, Input::Pong { link, counter: 3 }, &drained, Law::Progress13);
}

#[test]
fn law_14_sees_who_outlives_a_token_and_who_ends_too_early() {
    let with_token = |next| {
        let mut story = Story::new(&settings());
        story.next = Some(Time(next));
        let ask = Input::Ask { identity: who("ann", 0), expires: Some(Time(7)) };
        story.goes_on(0, ask, &[Said::Admit(id(0)), open("ann", 0)]);
        story.next = None;
        story
    };
    with_token(7).ends_badly(7, Input::Deadline, &[], Law::Expiry14);
    let early = [
        ended(0, EndCause::Expired),
        close(0, CloseCode::POLICY, "token expired"),
        event("ann", 0, What::Close),
    ];
    with_token(6).ends_badly(6, Input::Deadline, &early, Law::Expiry14);
}

#[test]
fn law_15_sees_every_wrong_end() {
    let draining = || {
        let drain = DrainSettings { time: Millis(10), confirm_timeout: Millis(20) };
        let mut story = Story::with_ann_and_bob(&Settings { drain, ..settings() });
        story.next = Some(Time(5));
        story.goes_on(0, Input::Drain, &[]);
        story
    };
    draining().ends_badly(0, ask("cid", 2), &[Said::Admit(id(2))], Law::Drain15);
    draining().ends_badly(0, message(1, 1), &[ended(0, EndCause::Drained)], Law::Drain15);
    draining().ends_badly(5, Input::Deadline, &[ended(1, EndCause::Drained)], Law::Drain15);
    draining().ends_badly(5, Input::Deadline, &[], Law::Drain15);
    let early = Said::Empty { unconfirmed_closes: 0 };
    draining().ends_badly(0, message(1, 1), &[early], Law::Drain15);
    draining().ends_badly(0, message(1, 1), &[Said::CloseLink(LINK)], Law::Drain15);
    let unconfirmed = [
        ended(0, EndCause::Drained),
        event("ann", 0, What::Close),
        close(0, CloseCode::GOING_AWAY, "gateway is shutting down"),
    ];
    draining().ends_badly(5, Input::Deadline, &unconfirmed, Law::Drain15);
}

#[test]
fn a_stale_id_changes_nothing_and_a_fact_says_so() {
    let stale = || message(7, 1);
    Story::with_ann_and_bob(&settings()).ends_badly(0, stale(), &[], Law::StaleIds);
    let said = [event("ann", 0, What::Message(msg(1)))];
    Story::with_ann_and_bob(&settings()).ends_badly(0, stale(), &said, Law::StaleIds);
    let twice = [Said::Stale, Said::Stale];
    Story::with_ann_and_bob(&settings()).ends_badly(0, stale(), &twice, Law::StaleIds);
    Story::new(&settings()).ends_badly(0, Input::LinkUp { link: LinkId(9) }, &[], Law::StaleIds);
}

#[test]
fn each_who_asks_gets_one_answer_and_nobody_else_does() {
    Story::new(&settings()).ends_badly(0, ask("ann", 0), &[], Law::OneAnswer);
    let two = [Said::Refuse(Refusal::Full), Said::Refuse(Refusal::Full)];
    Story::new(&settings()).ends_badly(0, ask("ann", 0), &two, Law::OneAnswer);
    let refused = [Said::Refuse(Refusal::Full)];
    Story::with_ann_and_bob(&settings()).ends_badly(0, Input::Drain, &refused, Law::OneAnswer);
}

#[test]
fn a_deadline_that_is_not_due_says_nothing() {
    let said = [Said::LinkDrained];
    Story::with_ann_and_bob(&settings()).ends_badly(0, Input::Deadline, &said, Law::Quiescence);
}

#[test]
fn a_dial_comes_when_it_is_due() {
    let broken = |next| {
        let mut story = Story::new(&settings());
        story.next = next;
        story.goes_on(0, Input::LinkDown { link: LINK }, &[Said::Phase(LinkPhase::Down)]);
        story
    };
    let dial = [Said::Dial(LinkId(2))];
    broken(Some(Time(249))).ends_badly(249, Input::Deadline, &dial, Law::DialWhenDue);
    broken(Some(Time(300))).ends_badly(
        260,
        ask("ann", 0),
        &[Said::Admit(id(0)), dial[0].clone()],
        Law::DialWhenDue,
    );
    broken(Some(Time(300))).ends_badly(300, Input::Deadline, &[Said::Dial(LinkId(3))], Law::DialWhenDue);
    let mut story = Story::new(&settings());
    story.next = None;
    let down = [Said::Phase(LinkPhase::Down)];
    story.ends_badly(0, Input::LinkDown { link: LINK }, &down, Law::DialWhenDue);
}

#[test]
fn one_ping_is_outstanding_and_only_its_pong_counts() {
    let ping = |counter| Said::Ping { link: LINK, counter, bytes: 9 };
    let pinged = || {
        let mut story = Story::with_ann_and_bob(&settings());
        story.next = Some(Time(1_000));
        story.goes_on(0, message(1, 1), &[event("bob", 1, What::Message(msg(1)))]);
        story.next = Some(Time(121_000));
        story.goes_on(1_000, Input::Deadline, &[ping(3)]);
        story
    };
    pinged().ends_badly(1_000, left(0), &[ping(4)], Law::PingDiscipline);
    let unasked = Input::Pong { link: LINK, counter: 2 };
    pinged().ends_badly(1_000, unasked, &[Said::LinkDrained], Law::PingDiscipline);
    pinged().ends_badly(1_000, left(1), &[Said::PongTimeout], Law::PingDiscipline);
    pinged().ends_badly(121_000, Input::Deadline, &[], Law::PingDiscipline);
    pinged().ends_badly(1_000, left(1), &[Said::Abort(LINK)], Law::PingDiscipline);
}

#[test]
fn the_reference_sees_what_is_missing_and_what_is_wrong() {
    let wrong = |story: Story, at, input, said: &[Said]| story.ends_badly(at, input, said, Law::Reference);
    let reject = Settings { duplicates: Duplicates::Reject, ..settings() };
    let both = || Story::with_ann_and_bob(&settings());

    wrong(Story::new(&settings()), 0, ask("ann", 0), &[Said::Refuse(Refusal::Full)]);
    wrong(Story::with_ann_and_bob(&reject), 0, ask("ann", 2), &[Said::Refuse(Refusal::Full)]);
    wrong(Story::new(&settings()), 0, ask("ann", 0), &[Said::Admit(id(0))]);
    wrong(both(), 0, message(0, 1), &[]);
    wrong(both(), 0, left(0), &[]);
    wrong(both(), 0, left(0), &ann_ends()[..1]);
    wrong(both(), 0, send("ann"), &[]);
    wrong(
        both(),
        0,
        send("ann"),
        &[Said::Ignored { user: Some("ann".to_owned()), fault: ActionFault::NoSession }],
    );
    wrong(both(), 0, message(0, 1), &[event("ann", 0, What::Message(msg(1))), Said::Stop(id(0))]);
    wrong(both(), 0, message(0, 1), &[event("ann", 0, What::Message(msg(1))), Said::LinkFull]);
    wrong(both(), 0, message(0, 1), &[event("ann", 0, What::Message(msg(1))), Said::StopAll]);
    wrong(both(), 0, message(0, 1), &[event("ann", 0, What::Message(msg(1))), Said::Phase(LinkPhase::Down)]);
    let closed = || act(Action::Close { user: Some("ann".into()), status: None, reason: None });
    let end = ended(0, EndCause::Backend);
    wrong(both(), 0, closed(), &[end.clone(), close(0, CloseCode::INTERNAL, "Initiated by backend")]);
    wrong(both(), 0, closed(), &[end, close(0, CloseCode::NORMAL, "Something went wrong on the backend")]);
    let late = [ended(0, EndCause::TooSlow)];
    wrong(both(), 0, message(1, 1), &late);
    let mut story = both();
    story.next = Some(Time(250));
    story.goes_on(0, Input::LinkDown { link: LINK }, &[Said::Phase(LinkPhase::Down)]);
    wrong(story, 0, message(0, 1), &[Said::OutageSpread { sessions: 2 }]);
}

// ---- Settings that change, a backend that moves -----------------------------------------------------------------

#[test]
fn a_link_that_is_left_may_not_stay_once_all_is_confirmed() {
    let story = Story::new(&settings());
    story.ends_badly(1, Input::Redial, &[Said::LinkFull], Law::Progress13);
}

#[test]
fn a_link_may_not_be_closed_that_is_not_left() {
    let story = Story::new(&settings());
    let said = [Said::CloseLink(LINK), Said::Phase(LinkPhase::Down)];
    story.ends_badly(1, ask("ann", 0), &said, Law::Drain15);
}

#[test]
fn a_link_that_is_left_may_not_be_dropped_before_its_time() {
    let mut story = Story::new(&settings());
    story.goes_on(1, ask("ann", 0), &[Said::Admit(id(0)), open("ann", 0)]);
    let said = [Said::Abort(LINK), Said::Phase(LinkPhase::Down)];
    story.ends_badly(2, Input::Redial, &said, Law::PingDiscipline);
}

#[test]
fn law_10_what_was_kept_when_it_went_may_not_be_lost_by_a_change() {
    let again = Settings { redeliver: Redeliver::Unconfirmed, ..settings() };
    let mut story = Story::with_ann_and_bob(&again);
    story.goes_on(1, message(0, 1), &[event("ann", 0, What::Message(msg(1)))]);
    story.goes_on(2, Input::Settings(settings().into()), &[]);
    let said = [Said::Phase(LinkPhase::Down), Said::Unconfirmed { messages: 1 }];
    story.ends_badly(3, Input::LinkDown { link: LINK }, &said, Law::NoSilentLoss10);
}

#[test]
fn law_15_settings_do_not_change_what_drains() {
    let mut story = Story::with_ann_and_bob(&settings());
    story.goes_on(1, Input::Drain, &[]);
    story.ends_badly(2, Input::Settings(settings().into()), &[Said::StopAll], Law::Drain15);
}
