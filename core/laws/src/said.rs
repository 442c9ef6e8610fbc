//! What the laws hear of a machine: payloads that are numbers, and outputs that own what they say.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
};

use trunkline_core::{
    ActionFault, CloseCode, DropCause, EndCause, Event, Fact, Identity, Input, LinkId, LinkPhase, Output,
    Payload, Queued, Refusal, SessionId, language::Data,
};

/// A client's message: its number tells it from others, its size is what it weighs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Msg {
    /// Unique in a run, or a hash of what the message says; where that is not known, always the same.
    pub number: u64,
    /// In bytes.
    pub size: usize,
}

impl Payload for Msg {
    fn size(&self) -> usize {
        self.size
    }
}

/// An input that borrows nothing.
pub type Given = Input<'static, Msg>;

/// An input as the laws hear it; `mark` is what stands for a payload. What is borrowed stays borrowed.
pub fn heard<'a, P>(input: &Input<'a, P>, mark: impl FnOnce(&P) -> Msg) -> Input<'a, Msg> {
    match *input {
        Input::Message { session, ref payload } => Input::Message { session, payload: mark(payload) },
        Input::Ask { ref identity, expires } => Input::Ask { identity: identity.clone(), expires },
        Input::Left { session, cause } => Input::Left { session, cause },
        Input::ClientSent { session, bytes } => Input::ClientSent { session, bytes },
        Input::LinkUp { link } => Input::LinkUp { link },
        Input::LinkDown { link } => Input::LinkDown { link },
        Input::LinkSent { link, bytes } => Input::LinkSent { link, bytes },
        Input::Pong { link, counter } => Input::Pong { link, counter },
        Input::Action { link, ref action } => Input::Action { link, action: action.clone() },
        Input::Deadline => Input::Deadline,
        Input::WallClockStepped { forward } => Input::WallClockStepped { forward },
        Input::Drain => Input::Drain,
        Input::Kick { session } => Input::Kick { session },
        Input::Settings(ref settings) => Input::Settings(settings.clone()),
        Input::Redial => Input::Redial,
    }
}

/// What a backend sent to a client, as far as it must be told from other such: its kind, bytes and hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest {
    is_text: bool,
    bytes: usize,
    hash: u64,
}

impl Digest {
    /// Of this.
    pub fn of(data: &Data<'_>) -> Self {
        let (is_text, bytes) = match data {
            Data::Text(text) => (true, text.as_bytes()),
            Data::Binary(bytes) => (false, &**bytes),
        };
        let mut hasher = DefaultHasher::new();
        hasher.write(bytes);
        Digest { is_text, bytes: bytes.len(), hash: hasher.finish() }
    }
}

/// The hash is not shown: who knows it can try what was said.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_text { "text" } else { "binary" };
        write!(f, "{kind} of {} bytes", self.bytes)
    }
}

/// An [`Output`] that owns what it says, with the bytes that the sink said it had queued.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs)] // the names are those of `Output`
pub enum Said {
    Admit(SessionId),
    Refuse(Refusal),
    Event { link: LinkId, session: SessionId, what: What, who: Identity, bytes: usize },
    Message { session: SessionId, data: Digest, bytes: usize },
    Close { session: SessionId, code: CloseCode, reason: String, queued: Queued },
    Stop(SessionId),
    Resume(SessionId),
    StopAll,
    ResumeAll,
    Dial(LinkId),
    Ping { link: LinkId, counter: u64, bytes: usize },
    Abort(LinkId),
    CloseLink(LinkId),
    Empty { unconfirmed_closes: u64 },
    Phase(LinkPhase),
    Ended { session: SessionId, cause: EndCause },
    Ignored { user: Option<String>, fault: ActionFault },
    StatusReplaced(SessionId),
    MessagesDropped { session: SessionId, messages: usize, cause: DropCause },
    QueueDropped { session: SessionId, bytes: usize },
    Unconfirmed { messages: u64 },
    PongTimeout,
    LinkFull,
    LinkDrained,
    OutageSpread { sessions: usize },
    Stale,
}

/// What an event says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // the names are those of `Event`
pub enum What {
    Open,
    Message(Msg),
    Close,
}

impl Said {
    /// An output, with the bytes that the sink has returned for it; `mark` is what stands for a payload.
    pub fn of<P>(output: &Output<'_, P>, bytes: usize, mark: impl FnOnce(&P) -> Msg) -> Said {
        match *output {
            Output::Admit { session } => Said::Admit(session),
            Output::Refuse { reason } => Said::Refuse(reason),
            Output::Event { link, session, ref event } => {
                let (what, who) = match *event {
                    Event::Open { who } => (What::Open, who),
                    Event::Message { who, payload } => (What::Message(mark(payload)), who),
                    Event::Close { who } => (What::Close, who),
                };
                Said::Event { link, session, what, who: who.clone(), bytes }
            }
            Output::Message { session, data } => Said::Message { session, data: Digest::of(data), bytes },
            Output::Close { session, code, reason, queued } => {
                Said::Close { session, code, reason: reason.to_owned(), queued }
            }
            Output::Stop { session } => Said::Stop(session),
            Output::Resume { session } => Said::Resume(session),
            Output::StopAll => Said::StopAll,
            Output::ResumeAll => Said::ResumeAll,
            Output::Dial { link } => Said::Dial(link),
            Output::Ping { link, counter } => Said::Ping { link, counter, bytes },
            Output::Abort { link } => Said::Abort(link),
            Output::CloseLink { link } => Said::CloseLink(link),
            Output::Empty { unconfirmed_closes } => Said::Empty { unconfirmed_closes },
            Output::Fact(ref fact) => Said::fact(fact),
        }
    }

    /// The bytes that the sink has returned for it, where that came later.
    pub fn set_bytes(&mut self, queued: usize) {
        if let Said::Event { bytes, .. } | Said::Message { bytes, .. } | Said::Ping { bytes, .. } = self {
            *bytes = queued;
        }
    }

    fn fact(fact: &Fact<'_>) -> Said {
        match *fact {
            Fact::Link { phase } => Said::Phase(phase),
            Fact::Ended { session, cause, .. } => Said::Ended { session, cause },
            Fact::ActionIgnored { user, fault } => Said::Ignored { user: user.map(str::to_owned), fault },
            Fact::StatusReplaced { session } => Said::StatusReplaced(session),
            Fact::MessagesDropped { session, messages, cause } => {
                Said::MessagesDropped { session, messages, cause }
            }
            Fact::QueueDropped { session, bytes } => Said::QueueDropped { session, bytes },
            Fact::Unconfirmed { messages } => Said::Unconfirmed { messages },
            Fact::PongTimeout => Said::PongTimeout,
            Fact::LinkFull => Said::LinkFull,
            Fact::LinkDrained => Said::LinkDrained,
            Fact::OutageSpread { sessions } => Said::OutageSpread { sessions },
            Fact::Stale => Said::Stale,
        }
    }
}
