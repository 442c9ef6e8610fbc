//! A machine with many live sessions on a link that is up, for measuring what a relayed message costs. Its sink writes
//! events as the shell does, to the end of a batch that goes out now and then, and its backend answers every Ping.

use std::hash::{DefaultHasher, Hasher};

use trunkline_core::{
    Endpoint, Event, Identity, Input, LinkId, Millis, Output, Payload, SessionId, Settings, Sink, Time,
    language::{self, Action, Data},
};

use crate::laws::{
    self, Laws, Looks,
    said::{Msg, heard},
};

/// The batch goes out when it is as large as this.
const BATCH_BYTES: usize = 64 << 10;
/// Messages between two ticks of the clock: about as many as a busy endpoint relays in a millisecond.
const MESSAGES_PER_MS: u32 = 200;
/// What a client's frame has beyond the text.
const FRAME_BYTES: usize = 4;

/// What a client says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Said(pub &'static str);

impl Payload for Said {
    fn size(&self) -> usize {
        self.0.len()
    }
}

/// A machine, and what stands around it.
#[derive(Debug)]
pub struct Busy {
    endpoint: Endpoint<Said>,
    wire: Wire,
    now: Time,
    messages: u32,
    sessions: Vec<SessionId>,
    /// The laws, where they watch, and what they hear in a step.
    laws: Option<(Laws, Vec<laws::said::Said>)>,
}

#[derive(Debug, Default)]
struct Wire {
    link: Option<LinkId>,
    admitted: Option<SessionId>,
    batch: Vec<u8>,
    /// Messages are not written to the batch: it is taken for granted that they were, and are as long as this.
    unwritten: Option<usize>,
    /// Bytes that were taken for granted so.
    granted: usize,
    ping: Option<u64>,
    /// What was delivered to a client, and not reported as gone out.
    delivered: Option<(SessionId, usize)>,
    events: u64,
    deliveries: u64,
}

impl Busy {
    /// All sessions are announced, and their opens are confirmed.
    ///
    /// # Panics
    ///
    /// The machine does not let them in.
    pub fn new(sessions: u32) -> Busy {
        let mut settings = Settings { sessions_max: sessions, ..Settings::default() };
        // What one session may send before others get their turn, and what may be queued, is not what is measured.
        settings.link.share_bytes = usize::MAX;
        settings.client_queue_bytes_max = usize::MAX;
        settings.client_queue_bytes_total_max = usize::MAX;
        let now = Time(0);
        let mut wire = Wire { batch: Vec::with_capacity(2 * BATCH_BYTES), ..Wire::default() };
        let mut endpoint = Endpoint::new(settings, now);
        endpoint.handle(now, Input::Deadline, &mut wire);
        let link = wire.link.expect("a new machine dials");
        endpoint.handle(now, Input::LinkUp { link }, &mut wire);
        let mut busy = Busy { endpoint, wire, now, messages: 0, sessions: Vec::new(), laws: None };
        busy.turn();
        for number in 0..sessions {
            let identity = Identity::new(&user(number), [("room", "1")]);
            busy.handle(Input::Ask { identity, expires: None });
            busy.sessions.push(busy.wire.admitted.take().expect("there is room"));
            busy.turn();
        }
        busy
    }

    /// The laws watch from now on, as they do in a gateway.
    #[must_use]
    pub fn under_laws(mut self) -> Busy {
        self.laws = Some((Laws::begin(&self.endpoint, Looks::FEW, mark), Vec::new()));
        self
    }

    /// Messages are not written to the batch from now on, so that the machine is alone.
    #[must_use]
    pub fn unwritten(mut self, bytes: usize) -> Busy {
        self.wire.unwritten = Some(bytes);
        self
    }

    /// A session, by its number.
    pub fn session(&self, number: u32) -> SessionId {
        self.sessions[number as usize]
    }

    /// A client says something, and it goes to the backend. Now and then the batch goes out.
    pub fn say(&mut self, session: SessionId, text: &'static str) {
        self.handle(Input::Message { session, payload: Said(text) });
        self.tick();
    }

    /// The backend sends something to a user, whose client takes nothing yet.
    pub fn deliver(&mut self, user: &str, text: &str) {
        let Some(link) = self.wire.link else { return };
        let data = Data::Text(text.into());
        self.handle(Input::Action { link, action: Ok(Action::Send { user: Some(user.into()), data }) });
    }

    /// The backend sends something to a user, and its client takes it.
    pub fn send(&mut self, user: &str, text: &str) {
        self.deliver(user, text);
        if let Some((session, bytes)) = self.wire.delivered.take() {
            self.handle(Input::ClientSent { session, bytes });
        }
        self.tick();
    }

    /// Messages that went to the backend, and to clients: so that what is measured is known to have happened.
    pub fn relayed(&self) -> (u64, u64) {
        (self.wire.events, self.wire.deliveries)
    }

    fn handle(&mut self, input: Input<'_, Said>) {
        let Some((laws, said)) = &mut self.laws else {
            return self.endpoint.handle(self.now, input, &mut self.wire);
        };
        let given = heard(&input, mark);
        said.clear();
        let wire = &mut self.wire;
        self.endpoint.handle(self.now, input, &mut |output: Output<'_, Said>| {
            let mut one = laws::said::Said::of(&output, 0, mark);
            let bytes = wire.emit(output);
            one.set_bytes(bytes);
            said.push(one);
            bytes
        });
        let judged = laws.step(self.now, &given, said, self.endpoint.next_deadline());
        assert!(judged.is_ok(), "{judged:?}");
    }

    fn tick(&mut self) {
        self.messages += 1;
        if self.messages.is_multiple_of(MESSAGES_PER_MS) {
            self.now = self.now + Millis(1);
            self.handle(Input::Deadline);
        }
        if self.wire.batch.len() + self.wire.granted >= BATCH_BYTES {
            self.turn();
        }
    }

    /// What is queued goes out, and a Ping is answered.
    fn turn(&mut self) {
        let Some(link) = self.wire.link else { return };
        let bytes = self.wire.batch.len() + std::mem::take(&mut self.wire.granted);
        self.wire.batch.clear();
        self.handle(Input::LinkSent { link, bytes });
        if let Some(counter) = self.wire.ping.take() {
            self.handle(Input::Pong { link, counter });
        }
    }
}

fn mark(payload: &Said) -> Msg {
    let mut hasher = DefaultHasher::new();
    hasher.write(payload.0.as_bytes());
    Msg { number: hasher.finish(), size: payload.0.len() }
}

impl Sink<Said> for Wire {
    fn emit(&mut self, output: Output<'_, Said>) -> usize {
        let before = self.batch.len();
        match output {
            Output::Event { event: Event::Message { who, payload }, .. } => {
                self.events += 1;
                if let Some(bytes) = self.unwritten {
                    self.granted += bytes;
                    return bytes;
                }
                language::encode_message(who, &Data::Text(payload.0.into()), &mut self.batch);
            }
            Output::Event { event: Event::Open { who }, .. } => language::encode_open(who, &mut self.batch),
            Output::Event { event: Event::Close { who }, .. } => language::encode_close(who, &mut self.batch),
            Output::Ping { counter, .. } => {
                self.ping = Some(counter);
                self.batch.extend_from_slice(&counter.to_be_bytes());
            }
            Output::Message { session, data: Data::Text(text) } => {
                self.deliveries += 1;
                self.delivered = Some((session, text.len() + FRAME_BYTES));
                return text.len() + FRAME_BYTES;
            }
            Output::Admit { session } => self.admitted = Some(session),
            Output::Dial { link } => self.link = Some(link),
            _ => {}
        }
        self.batch.len() - before
    }
}

/// The user of a session.
pub fn user(number: u32) -> String {
    format!("user{number}")
}

/// The numbers below `count`, in an order that looks random: the same each time.
pub fn shuffled(count: u32) -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..count).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for last in (1..numbers.len()).rev() {
        // xorshift
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        numbers.swap(last, (state % (last as u64 + 1)) as usize);
    }
    numbers
}
