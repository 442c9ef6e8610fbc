//! The judge is shown runs in which one thing is wrong, and must say which law that breaks.

use trunkline_simulation::{
    judge::judge,
    plan::Plan,
    record::{Conn, Entry, Kind, What},
    run,
};

/// So many seeds are looked at for a place where `spoil` has something to spoil.
const SEEDS: u64 = 1_000;

/// What is said of the first calm run that `spoil` has spoilt.
fn verdict_on(spoil: impl Fn(&mut Vec<Entry>) -> bool) -> String {
    for seed in (0..SEEDS).filter(|seed| Plan::of(*seed).is_calm()) {
        let mut log = run(seed).log;
        assert_eq!(
            judge(&Plan::of(seed), &log).broken,
            Vec::<String>::new(),
            "seed {seed}, before it is spoilt"
        );
        if spoil(&mut log) {
            return judge(&Plan::of(seed), &log).broken.join("\n");
        }
    }
    panic!("no run has what is to be spoilt");
}

fn assert_breaks(law: &str, spoil: impl Fn(&mut Vec<Entry>) -> bool) {
    let verdict = verdict_on(spoil);
    let says = |line: &str| line.strip_prefix(law).is_some_and(|rest| rest.starts_with([',', ':']));
    assert!(verdict.lines().any(says), "{law} is not what it says is broken:\n{verdict}");
}

fn is_event(entry: &Entry, kind: Kind) -> bool {
    matches!(&entry.what, What::Event(_, _, event) if event.kind == kind)
}

fn remove(log: &mut Vec<Entry>, place: Option<usize>) -> bool {
    place.map(|place| log.remove(place)).is_some()
}

/// The first two places where the same session is told of in this order.
fn first_two(log: &[Entry], kinds: [Kind; 2]) -> Option<(usize, usize)> {
    let whose = |entry: &Entry| match &entry.what {
        What::Event(endpoint, _, event) => Some((*endpoint, event.user.clone())),
        _ => None,
    };
    log.iter().enumerate().filter(|(_, entry)| is_event(entry, kinds[0])).find_map(|(first, entry)| {
        let mut later =
            log.iter().enumerate().skip(first + 1).filter(|(_, other)| whose(other) == whose(entry));
        let (second, other) = later.next()?;
        is_event(other, kinds[1]).then_some((first, second))
    })
}

/// A client that is in when the gateway is told to stop.
fn one_who_stays(log: &[Entry]) -> Option<Conn> {
    let told = log.iter().position(|entry| entry.what == What::ToldToStop)?;
    log[told..].iter().find_map(|entry| match entry.what {
        What::Closed(conn, 1001, _) => Some(conn),
        _ => None,
    })
}

#[test]
fn a_session_that_was_not_opened_breaks_law_1() {
    assert_breaks("law 1", |log| {
        let open = first_two(log, [Kind::Open, Kind::Message]).map(|(open, _)| open);
        remove(log, open)
    });
}

#[test]
fn a_second_open_breaks_law_1() {
    assert_breaks("law 1", |log| {
        let Some((open, _)) = first_two(log, [Kind::Open, Kind::Message]) else { return false };
        log.insert(open, log[open].clone());
        true
    });
}

#[test]
fn a_second_close_breaks_law_1() {
    assert_breaks("law 1", |log| {
        let Some((_, close)) = first_two(log, [Kind::Message, Kind::Close]) else { return false };
        log.insert(close, log[close].clone());
        true
    });
}

#[test]
fn an_open_within_the_gap_breaks_law_3() {
    assert_breaks("law 3", |log| {
        let Some((close, open)) = first_two(log, [Kind::Close, Kind::Open]) else { return false };
        let mut early = log.remove(open);
        early.at = log[close].at;
        log.insert(close + 1, early);
        true
    });
}

#[test]
fn a_message_in_another_ones_session_breaks_law_4() {
    assert_breaks("law 4", |log| {
        let message = log.iter().rposition(|entry| is_event(entry, Kind::Message));
        let Some(What::Event(endpoint, _, event)) = message.map(|place| log[place].what.clone()) else {
            return false;
        };
        let other = log[..message.unwrap_or(0)].iter().rev().find_map(|entry| match &entry.what {
            What::Event(at, _, other)
                if *at == endpoint && other.user != event.user && other.kind != Kind::Close =>
            {
                Some(other.clone())
            }
            _ => None,
        });
        let (Some(place), Some(other)) = (message, other) else { return false };
        let What::Event(_, _, spoilt) = &mut log[place].what else { return false };
        (spoilt.user, spoilt.room) = (other.user, other.room);
        true
    });
}

#[test]
fn what_another_one_was_sent_breaks_law_4() {
    assert_breaks("law 4", |log| {
        let place = log.iter().position(|entry| matches!(entry.what, What::Sends(..)));
        let Some(What::Sends(_, _, user, _)) = place.map(|place| &mut log[place].what) else { return false };
        user.push('x');
        true
    });
}

#[test]
fn a_message_that_was_altered_breaks_law_5() {
    assert_breaks("law 5", |log| {
        let place = log.iter().position(|entry| is_event(entry, Kind::Message));
        let Some(What::Event(_, _, event)) = place.map(|place| &mut log[place].what) else { return false };
        event.data.push('x');
        true
    });
}

#[test]
fn messages_in_another_order_break_law_5() {
    assert_breaks("law 5", |log| {
        let Some((one, other)) = first_two(log, [Kind::Message, Kind::Message]) else { return false };
        log.swap(one, other);
        true
    });
}

#[test]
fn what_is_heard_twice_breaks_law_5() {
    assert_breaks("law 5", |log| {
        let Some(place) = log.iter().position(|entry| matches!(entry.what, What::Hears(..))) else {
            return false;
        };
        log.insert(place, log[place].clone());
        true
    });
}

#[test]
fn a_message_of_a_session_that_had_ended_breaks_law_6() {
    assert_breaks("law 6", |log| {
        let Some((message, close)) = first_two(log, [Kind::Message, Kind::Close]) else { return false };
        let mut reopened = log[close].clone();
        let What::Event(_, _, event) = &mut reopened.what else { return false };
        event.kind = Kind::Open;
        let said_again = log[message].clone();
        log.splice(close + 1..close + 1, [reopened, said_again]);
        true
    });
}

#[test]
fn a_user_whom_the_backend_does_not_believe_in_breaks_law_8() {
    assert_breaks("law 8", |log| {
        let believes = |entry: &mut Entry| match &mut entry.what {
            What::Believes(_, users) => users.pop().is_some(),
            _ => false,
        };
        log.iter_mut().any(believes)
    });
}

#[test]
fn a_message_that_is_gone_breaks_law_10() {
    assert_breaks("law 10", |log| {
        let last = log.iter().rposition(|entry| is_event(entry, Kind::Message));
        remove(log, last)
    });
}

#[test]
fn an_answer_that_never_comes_breaks_law_13() {
    assert_breaks("law 13", |log| {
        let Some(stays) = one_who_stays(log) else { return false };
        let last =
            log.iter().rposition(|entry| matches!(&entry.what, What::Hears(conn, _) if *conn == stays));
        remove(log, last)
    });
}

#[test]
fn a_token_that_is_outlived_breaks_law_14() {
    assert_breaks("law 14", |log| {
        let Some(stays) = one_who_stays(log) else { return false };
        let asked = log.iter_mut().find_map(|entry| match &mut entry.what {
            What::Asks(conn, who) if *conn == stays => Some(who),
            _ => None,
        });
        asked.map(|who| who.expires -= 3_600_000).is_some()
    });
}

#[test]
fn a_gateway_that_does_not_stop_breaks_law_15() {
    assert_breaks("law 15", |log| {
        let stopped = log.iter().position(|entry| entry.what == What::Stopped);
        remove(log, stopped)
    });
}

#[test]
fn a_client_that_is_drained_before_its_backend_hears_of_it_breaks_law_15() {
    assert_breaks("law 15", |log| {
        let Some(told) = log.iter().position(|entry| entry.what == What::ToldToStop) else { return false };
        let close = log[told..].iter().position(|entry| is_event(entry, Kind::Close));
        remove(log, close.map(|place| told + place))
    });
}

#[test]
fn two_clients_of_one_user_break_law_2() {
    assert_breaks("law 2", |log| {
        let taken_over =
            |entry: &Entry| matches!(&entry.what, What::Closed(_, 1008, why) if why.starts_with("Only"));
        let place = log.iter().rposition(taken_over);
        remove(log, place)
    });
}

#[test]
fn what_was_sent_and_is_not_heard_breaks_law_10() {
    assert_breaks("law 10", |log| {
        let welcome =
            log.iter().position(|entry| matches!(&entry.what, What::Hears(_, text) if text.contains("said")));
        remove(log, welcome)
    });
}

#[test]
fn a_client_that_is_let_in_while_the_gateway_drains_breaks_law_15() {
    assert_breaks("law 15", |log| {
        let refused = log.iter_mut().rev().find_map(|entry| match entry.what {
            What::Refused(conn, 503) => Some((conn, &mut entry.what)),
            _ => None,
        });
        refused.map(|(conn, what)| *what = What::Admitted(conn)).is_some()
    });
}

#[test]
fn a_refusal_without_cause_is_noticed() {
    assert_breaks("handshake", |log| {
        let refused = log.iter_mut().find_map(|entry| match &mut entry.what {
            What::Refused(_, status) => Some(status),
            _ => None,
        });
        refused.map(|status| *status = 404).is_some()
    });
}

#[test]
fn a_client_that_gets_no_answer_is_noticed() {
    assert_breaks("one answer", |log| {
        let refused = log.iter_mut().find_map(|entry| match entry.what {
            What::Refused(conn, status) if status != 503 => Some((conn, &mut entry.what)),
            _ => None,
        });
        refused.map(|(conn, what)| *what = What::Unanswered(conn)).is_some()
    });
}

#[test]
fn a_close_without_cause_is_noticed() {
    assert_breaks("closing", |log| {
        let closed = log.iter_mut().find_map(|entry| match &mut entry.what {
            What::Closed(_, code, _) => Some(code),
            _ => None,
        });
        closed.map(|code| *code = 4_999).is_some()
    });
}

#[test]
fn a_connection_that_ends_without_a_word_is_noticed() {
    assert_breaks("closing", |log| {
        let closed = log.iter_mut().find_map(|entry| match entry.what {
            What::Closed(conn, ..) => Some((conn, &mut entry.what)),
            _ => None,
        });
        closed.map(|(conn, what)| *what = What::Lost(conn)).is_some()
    });
}

#[test]
fn the_same_seed_gives_the_same_log() {
    let (one, other) = (run(2).log, run(2).log);
    assert!(one.len() > 100, "nothing happens in it");
    assert_eq!(one, other);
}
