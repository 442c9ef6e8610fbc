//! The audit finds what it looks for: a machine that is sound passes it, and each kind of damage fails it.

use alloc::{borrow::ToOwned, string::String};

use super::*;
use crate::{
    Identity, Input, LinkId, Output, Redeliver, SessionId, Settings, Time,
    language::{Action, Data},
};

/// Every event takes so many bytes of the link.
const EVENT_BYTES: usize = 10;

fn happens(endpoint: &mut Endpoint<String>, input: Input<'_, String>) {
    endpoint.handle(Time(0), input, &mut |output: Output<'_, String>| match output {
        Output::Event { .. } => EVENT_BYTES,
        Output::Message { .. } => 1,
        _ => 0,
    });
}

fn comes(endpoint: &mut Endpoint<String>, user: &str) {
    let expires = Some(Time(1_000));
    happens(endpoint, Input::Ask { identity: Identity::new(user, []), expires });
}

fn says(endpoint: &mut Endpoint<String>, slot: u32) {
    let session = SessionId { slot, generation: 0 };
    happens(endpoint, Input::Message { session, payload: "hello".to_owned() });
}

fn acts(endpoint: &mut Endpoint<String>, action: Action<'_>) {
    happens(endpoint, Input::Action { link: LinkId(1), action: Ok(action) });
}

const ANN: u32 = 0;
const BOB: u32 = 1;
const CID: u32 = 2;
const DAN: u32 = 3;

/// The link takes two events and is full: ann and bob are announced, ann has something to say, cid waits for its turn.
fn with_a_full_link() -> Endpoint<String> {
    let mut settings = Settings::default();
    (settings.link.high_bytes, settings.link.low_bytes) = (2 * EVENT_BYTES - 1, 2 * EVENT_BYTES - 1);
    let mut endpoint = Endpoint::new(settings, Time(0));
    happens(&mut endpoint, Input::Deadline);
    happens(&mut endpoint, Input::LinkUp { link: LinkId(1) });
    for user in ["ann", "bob", "cid"] {
        comes(&mut endpoint, user);
    }
    says(&mut endpoint, ANN);
    endpoint
}

/// The link has broken: ann has two things in her queue and more to say, what bob said is to be sent again, cid was
/// closed and lingers, dan has left and its `close` is owed.
fn in_an_outage() -> Endpoint<String> {
    let settings = Settings { redeliver: Redeliver::Unconfirmed, ..Settings::default() };
    let mut endpoint = Endpoint::new(settings, Time(0));
    happens(&mut endpoint, Input::Deadline);
    happens(&mut endpoint, Input::LinkUp { link: LinkId(1) });
    for user in ["ann", "bob", "cid", "dan"] {
        comes(&mut endpoint, user);
    }
    says(&mut endpoint, BOB);
    // Not as much for the one as for the other, so that no sum is right by chance.
    for user in ["ann", "cid", "ann"] {
        acts(&mut endpoint, Action::Send { user: Some(user.into()), data: Data::Text("hi".into()) });
    }
    acts(&mut endpoint, Action::Close { user: Some("cid".into()), status: None, reason: None });
    happens(&mut endpoint, Input::LinkDown { link: LinkId(1) });
    says(&mut endpoint, ANN);
    let session = SessionId { slot: DAN, generation: 0 };
    happens(&mut endpoint, Input::Left { session, cause: crate::LeaveCause::Closed });
    endpoint
}

fn line(endpoint: &mut Endpoint<String>) -> &mut crate::endpoint::link::Connected<String> {
    endpoint.line.connected().expect("the link is up")
}

#[test]
fn a_sound_machine_passes() {
    with_a_full_link().check_invariants();
    in_an_outage().check_invariants();
}

/// What cid has to say again goes first, once its user's gap has passed: until then a link that is not full waits.
#[test]
fn a_machine_whose_new_messages_wait_for_those_to_be_sent_again_passes() {
    let mut endpoint = with_a_full_link();
    endpoint.settings.redeliver = Redeliver::Unconfirmed;
    endpoint.sessions[CID].held_mut().again.push_back(("hello".to_owned(), EVENT_BYTES));
    endpoint.again_bytes = EVENT_BYTES;
    line(&mut endpoint).full = false;
    line(&mut endpoint).cursor = None;
    endpoint.check_invariants();
}

/// One test for each kind of damage: what the audit says, and how the damage is done.
macro_rules! found {
    ($($name:ident: $said:literal, $machine:ident, $damage:expr;)+) => {$(
        #[test]
        #[should_panic(expected = $said)]
        fn $name() {
            let mut endpoint = $machine();
            let damage: fn(&mut Endpoint<String>) = $damage;
            damage(&mut endpoint);
            endpoint.check_invariants();
        }
    )+};
}

found! {
    a_deadline_that_has_come: "a deadline lies in the past", in_an_outage,
        |it| it.now = it.next_deadline().expect("something is due");

    bytes_that_nobody_parked: "parked bytes", in_an_outage, |it| it.parked_bytes += 1;
    bytes_that_no_client_has: "queues of live clients", in_an_outage, |it| it.client_bytes += 1;
    bytes_that_no_closed_client_has: "queues of those that close", in_an_outage, |it| it.closing_bytes += 1;
    bytes_that_nobody_sends_again: "bytes to be sent again", in_an_outage, |it| it.again_bytes += 1;
    a_debt_that_nobody_has: "owed something", in_an_outage, |it| it.owing += 1;

    a_live_session_that_is_not_listed: "the list of live sessions", in_an_outage,
        |it| it.live.remove(&mut it.sessions, ANN);
    a_live_session_without_a_client: "who is live has a client", in_an_outage,
        |it| it.sessions[ANN].client = Client::Gone;
    an_ended_session_with_a_client: "who is not has none", in_an_outage,
        |it| it.sessions[CID].client = Client::Open;
    an_expiry_that_nothing_waits_for: "an expiry that nothing waits for", in_an_outage,
        |it| it.expiries.clear();
    an_owed_close_that_is_not_queued: "the queue of owed closes", in_an_outage, |it| it.owed.clear();
    a_drain_that_waits_for_a_live_session: "a drain waits for what is settled", in_an_outage, |it| {
        it.sessions[ANN].awaited = true;
        it.owing += 1;
    };
    a_slot_that_could_be_free: "a slot that could be free", in_an_outage,
        |it| it.sessions[CID].client = Client::Gone;
    a_list_that_has_lost_its_sessions: "the count of live sessions", in_an_outage,
        |it| it.live = crate::endpoint::List::new(crate::endpoint::Order::Age);

    a_session_that_waits_and_is_not_in_the_backlog: "the backlog", with_a_full_link,
        |it| it.backlog.remove(&mut it.sessions, ANN);
    a_client_that_is_read_from_while_it_waits: "is read from", with_a_full_link,
        |it| it.sessions[ANN].stopped = false;
    a_box_of_nothing: "an empty box", in_an_outage, |it| _ = it.sessions[DAN].held_mut();
    parked_bytes_of_the_wrong_session: "a session's parked bytes", in_an_outage, |it| {
        it.sessions[ANN].held_mut().parked_bytes += 1;
        it.parked_bytes += 1;
    };

    a_name_that_no_user_has: "names that no user has", in_an_outage, |it| {
        let ann = it.sessions[ANN].user;
        it.users.get_mut(ann).name = "nobody".into();
        it.users.forget(ann);
    };
    a_user_who_is_not_found: "a user who is not found", in_an_outage,
        |it| it.users.get_mut(it.sessions[ANN].user).name = "nobody".into();
    a_user_with_a_session_too_many: "a user's sessions", in_an_outage,
        |it| it.users.get_mut(it.sessions[ANN].user).sessions += 1;
    a_user_whose_session_is_another: "a user's live session", in_an_outage,
        |it| it.users.get_mut(it.sessions[ANN].user).live = Some(BOB);
    a_close_that_has_left_and_is_due: "closes that have not left", in_an_outage,
        |it| it.users.get_mut(it.sessions[DAN].user).closes_due = 0;
    a_user_whom_nothing_will_forget: "a user whom nothing will forget", in_an_outage,
        |it| _ = it.users.find_or_add("nobody");

    a_confirmed_ping_that_was_not_sent: "a Ping is confirmed that was not sent", with_a_full_link,
        |it| line(it).confirmed = 9;
    a_session_that_could_be_announced: "a session could be announced", with_a_full_link,
        |it| line(it).full = false;
    messages_that_could_go: "messages could go", with_a_full_link, |it| {
        line(it).full = false;
        line(it).cursor = None;
    };
    messages_that_could_go_again: "messages could go", with_a_full_link, |it| {
        it.settings.redeliver = Redeliver::Unconfirmed;
        it.sessions[ANN].held_mut().again.push_back(("hello".to_owned(), EVENT_BYTES));
        it.again_bytes = EVENT_BYTES;
        line(it).full = false;
        line(it).cursor = None;
    };
}

/// A machine that comes from elsewhere may refer to what is not there: that is found before anything is looked up.
#[test]
fn what_refers_to_nothing_is_found() {
    type Damage = fn(&mut Endpoint<String>);
    let damages: [(&str, Damage); 9] = [
        ("leads nowhere, or round", |it| _ = it.sessions.remove(ANN)),
        ("a session of nobody", |it| it.users.forget(it.sessions[ANN].user)),
        ("a live session that is not there", |it| it.users.get_mut(it.sessions[ANN].user).live = Some(9)),
        ("the expiry of a session", |it| _ = it.expiries.insert(Expires { at: Time(9), number: 9, slot: 9 })),
        ("a close owed", |it| it.owed.push_back(SessionId { slot: 9, generation: 0 })),
        ("the gap of nobody", |it| {
            let nobody = it.users.find_or_add("nobody");
            it.users.forget(nobody);
            it.gaps.push_back((Time(9), SessionId { slot: ANN, generation: 0 }, nobody));
        }),
        ("nobody is to be forgotten", |it| {
            let nobody = it.users.find_or_add("nobody");
            it.users.forget(nobody);
            it.forgets.push_back((Time(9), nobody));
        }),
        ("to be announced is not there", |it| {
            let mut other = with_a_full_link();
            line(&mut other).cursor = Some(9);
            *it = other;
        }),
        ("parked bytes", |it| it.parked_bytes += 1),
    ];
    assert_eq!(in_an_outage().examine(), Ok(()));
    for (what, damage) in damages {
        let mut endpoint = in_an_outage();
        damage(&mut endpoint);
        let found = endpoint.examine().expect_err(what);
        assert!(found.contains(what), "{found}, expected {what}");
    }
}
