//! Stories: what happens to an endpoint, told one step after the other, and what it says to that.
//!
//! A [`Story`] holds a real [`Endpoint`], a clock that only it moves, and a world around both that behaves well unless
//! told otherwise. It writes down what happens and what comes of it, in the words of language.md: in a transcript,
//! `→` is what the endpoint does, `·` a fact for logs and metrics. It judges nothing but the endpoint's own invariants:
//! whoever reads the transcript judges.

mod world;

use std::fmt::Write as _;

use trunkline_core::{
    Binary, CloseCode, Endpoint, Identity, Input, LeaveCause, Settings, Time,
    language::{Data, accept_binary, decode},
    recording::words,
};

use self::world::{Dials, Scribe, World};
pub use self::world::{Payload, user_of};

/// An endpoint, what surrounds it, and what has been told of both so far.
///
/// Clients have names: `ann` and `ann#2` are clients of the user `ann`. Every method that returns `&mut Self` is a
/// step: something happens, and all that follows from it at once is written down. Steps that the world takes by itself
/// (it reports bytes that have gone out, answers dials and Pings, lets closed clients leave) are written down if
/// something comes of them.
///
/// # Panics
///
/// A step panics where the story makes no sense, such as when it names a client that never came.
pub struct Story {
    settings: Settings,
    endpoint: Endpoint<Payload>,
    now: Time,
    binary: Binary,
    world: World,
    transcript: String,
}

/// Whether a step is written down.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mention {
    /// Always, also that nothing came of it.
    Always,
    /// If something came of it.
    IfItMatters,
}

impl Story {
    /// With the settings that are the default, at 0 ms, with a link that is up.
    pub fn new() -> Self {
        Self::with(|_| ())
    }

    /// The same, with some settings changed.
    pub fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut story = Self::before_the_first_link(change);
        story.world.dials = Dials::Succeed;
        story.untold(Self::settles)
    }

    /// At 0 ms, before the first connection to the backend has been made: it has been dialled, and has not answered.
    pub fn before_the_first_link(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::default();
        change(&mut settings);
        let mut story = Story {
            transcript: words::changed_settings(&settings),
            endpoint: Endpoint::new(settings.clone(), Time(0)),
            settings,
            now: Time(0),
            binary: Binary::Text,
            world: World::new(),
        };
        story.world.dials = Dials::Hang;
        story.untold(|story| story.after(0))
    }

    /// Something happens that everybody knows, and that is left out.
    fn untold(mut self, happens: impl FnOnce(&mut Self) -> &mut Self) -> Self {
        let told = self.transcript.clone();
        happens(&mut self);
        self.transcript = told;
        self
    }

    /// What becomes of binary messages.
    pub fn binary(&mut self, binary: Binary) -> &mut Self {
        self.binary = binary;
        let name = match binary {
            Binary::Text => "text",
            Binary::Base64 => "base64",
            Binary::Reject => "reject",
        };
        self.transcript = format!("with      binary = {name}\n{}", self.transcript);
        self
    }

    /// All that has been told.
    pub fn transcript(&self) -> &str {
        &self.transcript
    }

    // --- Clients ---

    /// A client asks to come in, with a token that never expires.
    pub fn comes(&mut self, name: &str) -> &mut Self {
        self.comes_to(name, "7")
    }

    /// The same, at a path with another parameter.
    pub fn comes_to(&mut self, name: &str, lobby_id: &str) -> &mut Self {
        self.asks(name, lobby_id, None, &format!("{name} comes to lobby_id={lobby_id}"))
    }

    /// A client asks to come in, with a token that expires at a time of the story's clock.
    pub fn comes_until(&mut self, name: &str, expires: u64) -> &mut Self {
        let said = format!("{name} comes to lobby_id=7 with a token until {expires} ms");
        self.asks(name, "7", Some(Time(expires)), &said)
    }

    fn asks(&mut self, name: &str, lobby_id: &str, expires: Option<Time>, said: &str) -> &mut Self {
        let identity = Identity::new(user_of(name), [("lobby_id", lobby_id)]);
        self.world.knock(name);
        self.happens(said, Input::Ask { identity, expires })
    }

    /// A client sends a text message. If it is not being read from, the message waits in its connection.
    pub fn says(&mut self, name: &str, text: &str) -> &mut Self {
        let text = Data::Text(text.to_owned().into());
        let said = format!("{name} says: {}", words::data(&text));
        self.hears(name, &said, Payload(text))
    }

    /// A client's message had been read already when the endpoint said to read no more from it.
    pub fn was_read(&mut self, name: &str, text: &str) -> &mut Self {
        let text = Data::Text(text.to_owned().into());
        let said = format!("{name} had been read before: {}", words::data(&text));
        let session = self.world.session(name);
        self.happens(&said, Input::Message { session, payload: Payload(text) })
    }

    /// A client sends a binary message.
    pub fn says_binary(&mut self, name: &str, bytes: &[u8]) -> &mut Self {
        let said = format!("{name} says: {}", words::data(&Data::Binary(bytes.into())));
        match accept_binary(bytes, self.binary) {
            Ok(Data::Text(text)) => self.hears(name, &said, Payload(Data::Text(text.into_owned().into()))),
            Ok(Data::Binary(bytes)) => {
                self.hears(name, &said, Payload(Data::Binary(bytes.into_owned().into())))
            }
            Err(code) => self.breaks_a_rule(name, code, &said),
        }
    }

    fn hears(&mut self, name: &str, said: &str, payload: Payload) -> &mut Self {
        let Some(payload) = self.world.read_or_keep(name, payload) else {
            self.note(said);
            self.transcript.push_str("          (it is not read yet)\n");
            return self;
        };
        let session = self.world.session(name);
        self.happens(said, Input::Message { session, payload })
    }

    fn breaks_a_rule(&mut self, name: &str, code: CloseCode, said: &str) -> &mut Self {
        let said = format!("{said}; its connection is closed with {}", code.get());
        self.goes(name, &said, LeaveCause::Misbehaved(code))
    }

    /// A client begins the closing handshake.
    pub fn leaves(&mut self, name: &str) -> &mut Self {
        self.goes(name, &format!("{name} leaves"), LeaveCause::Closed)
    }

    /// A client's connection ends without a closing handshake.
    pub fn is_lost(&mut self, name: &str) -> &mut Self {
        self.goes(name, &format!("{name}'s connection is lost"), LeaveCause::Lost)
    }

    /// An operator closes a client.
    pub fn is_kicked(&mut self, name: &str) -> &mut Self {
        let session = self.world.session(name);
        self.happens(&format!("an operator closes {name}"), Input::Kick { session })
    }

    fn goes(&mut self, name: &str, said: &str, cause: LeaveCause) -> &mut Self {
        let session = self.world.goes(name);
        self.happens(said, Input::Left { session, cause })
    }

    /// From now on a client that is told to close does not hurry to.
    pub fn lingers(&mut self, name: &str) -> &mut Self {
        self.world.client(name).lingers = true;
        self
    }

    /// A client takes nothing more of what is queued for it.
    pub fn stops_reading(&mut self, name: &str) -> &mut Self {
        self.world.client(name).reads = false;
        self.note(&format!("{name} stops reading"))
    }

    /// It takes it again.
    pub fn reads_again(&mut self, name: &str) -> &mut Self {
        self.world.client(name).reads = true;
        self.note(&format!("{name} reads again")).settles()
    }

    // --- The backend and the link ---

    /// The backend sends a text frame.
    pub fn backend(&mut self, frame: &str) -> &mut Self {
        self.acts(&words::data(&Data::Text(frame.into())), frame.as_bytes())
    }

    /// The backend sends a binary frame.
    pub fn backend_binary(&mut self, frame: &[u8]) -> &mut Self {
        self.acts(&words::data(&Data::Binary(frame.into())), frame)
    }

    fn acts(&mut self, shown: &str, frame: &[u8]) -> &mut Self {
        let link = self.world.latest_link();
        let action = decode(frame, self.binary);
        self.happens(&format!("backend: {shown}"), Input::Action { link, action })
    }

    /// The link breaks, with what is queued for it. It can be made again at once.
    pub fn link_breaks(&mut self) -> &mut Self {
        let link = self.world.link_breaks();
        self.happens("the link breaks", Input::LinkDown { link })
    }

    /// From now on dials fail at once.
    pub fn backend_refuses(&mut self) -> &mut Self {
        self.world.dials = Dials::Fail;
        self.note("the backend refuses connections")
    }

    /// From now on dials neither succeed nor fail.
    pub fn backend_vanishes(&mut self) -> &mut Self {
        self.world.dials = Dials::Hang;
        self.note("the backend is away")
    }

    /// From now on dials succeed; one that hangs does now.
    pub fn link_up(&mut self) -> &mut Self {
        self.world.dials = Dials::Succeed;
        self.note("the backend is there").settles()
    }

    /// The link takes nothing more of what is queued for it.
    pub fn stalls_link(&mut self) -> &mut Self {
        self.world.link_takes = false;
        self.note("the link takes nothing more")
    }

    /// The link takes all that is queued for it, now and from now on.
    pub fn link_flows(&mut self) -> &mut Self {
        self.world.link_takes = true;
        self.note("the link takes what is queued").settles()
    }

    /// The backend answers no Ping. Pings show from now on.
    pub fn holds_pongs(&mut self) -> &mut Self {
        self.world.pongs = false;
        self.note("the backend answers no Ping")
    }

    /// The backend answers Pings again, that which is outstanding too.
    pub fn returns_pongs(&mut self) -> &mut Self {
        self.world.pongs = true;
        self.note("the backend answers Pings").settles()
    }

    // --- The rest ---

    /// Time passes, and all that is due in it is done when it is.
    pub fn after(&mut self, millis: u64) -> &mut Self {
        let until = Time(self.now.0 + millis);
        while let Some(at) = self.endpoint.next_deadline().filter(|&at| at <= until) {
            self.now = at;
            self.time_passes();
        }
        self.now = until;
        self
    }

    /// Time passes, and what is due in it is done too late: all of it at the end.
    pub fn oversleeps(&mut self, millis: u64) -> &mut Self {
        self.now = Time(self.now.0 + millis);
        self.time_passes();
        self
    }

    fn time_passes(&mut self) {
        self.step("time passes", Mention::IfItMatters, Input::Deadline);
        self.settles();
    }

    /// The wall clock is set forward, or back where `forward` is negative.
    pub fn wall_clock_steps(&mut self, forward: i64) -> &mut Self {
        let direction = if forward < 0 { "back" } else { "forward" };
        let said = format!("the wall clock is set {direction} by {} ms", forward.unsigned_abs());
        self.happens(&said, Input::WallClockStepped { forward })
    }

    /// The gateway is told to stop.
    pub fn drains(&mut self) -> &mut Self {
        self.happens("the gateway is told to stop", Input::Drain)
    }

    /// An operator changes settings.
    pub fn changes(&mut self, change: impl FnOnce(&mut Settings)) -> &mut Self {
        change(&mut self.settings);
        let input = Input::Settings(self.settings.clone().into());
        let said = words::input(&input, |_| String::new());
        self.happens(&said, input)
    }

    /// An operator moves the backend.
    pub fn moves(&mut self) -> &mut Self {
        self.happens("an operator moves the backend", Input::Redial)
    }

    // --- Telling ---

    fn happens(&mut self, said: &str, input: Input<'_, Payload>) -> &mut Self {
        self.step(said, Mention::Always, input);
        self.settles()
    }

    /// The world does what it does by itself, until there is nothing more to do.
    fn settles(&mut self) -> &mut Self {
        while let Some((said, input)) = self.world.next_report() {
            self.step(&said, Mention::IfItMatters, input);
        }
        self
    }

    fn step(&mut self, said: &str, mention: Mention, input: Input<'_, Payload>) {
        let mut scribe = Scribe::new(&mut self.world);
        self.endpoint.handle(self.now, input, &mut scribe);
        let lines = scribe.lines();
        self.endpoint.check_invariants();
        if lines.is_empty() && mention == Mention::IfItMatters {
            return;
        }
        self.note(said);
        let nothing = ["→ nothing".to_owned()];
        for line in if lines.is_empty() { &nothing[..] } else { &lines } {
            self.write(format_args!("{:10}{line}", ""));
        }
    }

    fn note(&mut self, said: &str) -> &mut Self {
        let time = format!("{} ms", self.now.0);
        self.write(format_args!("{time:<10}{said}"));
        self
    }

    fn write(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.transcript, "{line}").expect("a String takes all that is written to it");
    }
}

impl Default for Story {
    fn default() -> Self {
        Self::new()
    }
}
