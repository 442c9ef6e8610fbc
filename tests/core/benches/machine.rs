//! What a message costs in the core, one way and the other, by the number of sessions; and what the language costs.
//!
//! ```sh
//! cargo bench -p trunkline-core-tests
//! ```
//!
//! One session always speaks, or many in random order, so that no cache helps. `handle_from_client` is the machine alone, which
//! says that a message goes out; `from_client` includes writing it to the end of a batch. `handle_to_client` has the action
//! decoded already, and `to_client` includes the report that the client took it.

use divan::{Bencher, black_box, counter::BytesCount};
use trunkline_core::{Binary, Identity, SessionId, language};
use trunkline_core_tests::busy::{Busy, shuffled, user};

/// 128 bytes.
const TEXT: &str = "The quick brown fox jumps over the lazy dog, 0123456789 times. \
                    The quick brown fox jumps over the lazy dog, 0123456789 times....";
const SESSIONS: [u32; 3] = [1, 10_000, 1_000_000];
/// Of text: what is measured with the language alone.
const SIZES: [usize; 3] = [16, 128, 4096];

const _: () = assert!(TEXT.len() == 128);

fn main() {
    divan::main();
}

#[divan::bench(args = SESSIONS, sample_count = 5_000, sample_size = 200)]
fn from_client(bencher: Bencher<'_, '_>, sessions: u32) {
    let busy = all_speak(bencher, Busy::new(sessions), sessions);
    assert!(busy.relayed().0 >= 1_000_000, "all was relayed");
}

#[divan::bench(args = SESSIONS, sample_count = 5_000, sample_size = 200)]
fn handle_from_client(bencher: Bencher<'_, '_>, sessions: u32) {
    let busy = all_speak(bencher, Busy::new(sessions).unwritten(TEXT.len() + 64), sessions);
    assert!(busy.relayed().0 >= 1_000_000, "all was relayed");
}

/// One says something after the other, in no order.
fn all_speak(bencher: Bencher<'_, '_>, mut busy: Busy, sessions: u32) -> Busy {
    let speakers: Vec<SessionId> =
        shuffled(sessions).into_iter().map(|number| busy.session(number)).collect();
    let mut speakers = speakers.iter().cycle();
    bencher.bench_local(|| {
        if let Some(session) = speakers.next() {
            busy.say(*session, black_box(TEXT));
        }
    });
    busy
}

#[divan::bench(args = SESSIONS, sample_count = 5_000, sample_size = 200)]
fn to_client(bencher: Bencher<'_, '_>, sessions: u32) {
    all_hear(bencher, sessions, Busy::send);
}

#[divan::bench(args = SESSIONS, sample_count = 5_000, sample_size = 200)]
fn handle_to_client(bencher: Bencher<'_, '_>, sessions: u32) {
    all_hear(bencher, sessions, Busy::deliver);
}

/// What this machine takes, at this moment, to fetch one thing from among so many of the size of a session, each
/// of which says where the next one is: the measure for all others that have as many sessions.
#[divan::bench(args = SESSIONS, sample_count = 5_000, sample_size = 200)]
fn one_fetch(bencher: Bencher<'_, '_>, sessions: u32) {
    #[repr(align(256))]
    struct Place(u32);
    let order = shuffled(sessions);
    let mut places: Vec<Place> = order.iter().map(|_| Place(0)).collect();
    for (at, place) in order.iter().enumerate() {
        places[*place as usize].0 = order[(at + 1) % order.len()];
    }
    let mut at = 0;
    bencher.bench_local(|| at = black_box(&places)[at as usize].0);
}

/// One is sent something after the other, in no order.
fn all_hear(bencher: Bencher<'_, '_>, sessions: u32, send: fn(&mut Busy, &str, &str)) {
    let mut busy = Busy::new(sessions);
    // One after the other, as in a frame that has just been read: the names themselves are not what is far away.
    let (mut names, mut ends) = (String::new(), vec![0]);
    for number in shuffled(sessions) {
        names.push_str(&user(number));
        ends.push(names.len());
    }
    let mut users = ends.windows(2).cycle();
    bencher.bench_local(|| {
        if let Some(&[start, end]) = users.next() {
            send(&mut busy, &names[start..end], black_box(TEXT));
        }
    });
    assert!(busy.relayed().1 >= 1_000_000, "all was relayed");
}

/// As `from_client`, with the laws beside it as in a gateway; what they cost is the difference.
#[divan::bench(args = [1, 10_000, 100_000], sample_count = 2_000, sample_size = 200)]
fn from_client_under_laws(bencher: Bencher<'_, '_>, sessions: u32) {
    all_speak(bencher, Busy::new(sessions).under_laws(), sessions);
}

/// As `to_client`, likewise.
#[divan::bench(args = [1, 10_000, 100_000], sample_count = 2_000, sample_size = 200)]
fn to_client_under_laws(bencher: Bencher<'_, '_>, sessions: u32) {
    let mut busy = Busy::new(sessions).under_laws();
    let users: Vec<String> = shuffled(sessions).into_iter().map(user).collect();
    let mut users = users.iter().cycle();
    bencher.bench_local(|| {
        if let Some(user) = users.next() {
            busy.send(user, black_box(TEXT));
        }
    });
}

#[divan::bench(args = SIZES)]
fn encode_message(bencher: Bencher<'_, '_>, bytes: usize) {
    let (who, text) = (Identity::new("user4711", [("room", "1")]), text(bytes));
    let data = language::Data::Text(text.into());
    let mut out = Vec::with_capacity(8192);
    bencher.counter(BytesCount::new(bytes)).bench_local(|| {
        out.clear();
        language::encode_message(black_box(&who), black_box(&data), &mut out);
        out.len()
    });
}

/// One character in sixteen needs an escape.
#[divan::bench(args = SIZES)]
fn encode_message_with_escapes(bencher: Bencher<'_, '_>, bytes: usize) {
    let who = Identity::new("user4711", [("room", "1")]);
    let data = language::Data::Text(escaping(bytes).into());
    let mut out = Vec::with_capacity(16_384);
    bencher.counter(BytesCount::new(bytes)).bench_local(|| {
        out.clear();
        language::encode_message(black_box(&who), black_box(&data), &mut out);
        out.len()
    });
}

#[divan::bench(args = SIZES)]
fn decode_send(bencher: Bencher<'_, '_>, bytes: usize) {
    let frame = frame(&text(bytes));
    bencher
        .counter(BytesCount::new(bytes))
        .bench_local(|| language::decode(black_box(frame.as_bytes()), Binary::Text).is_ok());
}

/// One character in sixteen has an escape.
#[divan::bench(args = SIZES)]
fn decode_send_with_escapes(bencher: Bencher<'_, '_>, bytes: usize) {
    let frame = frame(&escaping(bytes).replace('\n', "\\n"));
    bencher
        .counter(BytesCount::new(bytes))
        .bench_local(|| language::decode(black_box(frame.as_bytes()), Binary::Text).is_ok());
}

fn frame(data: &str) -> String {
    format!(r#"{{"action":"send","user":{{"username":"user4711"}},"data":"{data}"}}"#)
}

fn text(bytes: usize) -> String {
    TEXT.chars().cycle().take(bytes).collect()
}

fn escaping(bytes: usize) -> String {
    let one = |(at, character)| if at % 16 == 15 { '\n' } else { character };
    text(bytes).chars().enumerate().map(one).collect()
}
