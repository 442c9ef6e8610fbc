//! What the tests speak with a machine: payloads that are numbers, and outputs that own what they say.

use trunkline_core::{
    ActionFault, CloseCode, DropCause, EndCause, Endpoint, Event, Fact, Identity, Input, LinkId, LinkPhase,
    Output, Payload, Queued, Refusal, SessionId, Time, language::Data,
};

/// A client's message: its number tells it from all others of a run, its size is what it weighs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Msg {
    /// Unique in a run.
    pub number: u32,
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

/// An [`Output`] that owns what it says, with the bytes that the sink said it had queued.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs)] // the names are those of `Output`
pub enum Said {
    Admit(SessionId),
    Refuse(Refusal),
    Event { link: LinkId, session: SessionId, what: What, who: Identity, bytes: usize },
    Message { session: SessionId, data: Data<'static>, bytes: usize },
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
    /// Records an output; the bytes are what the sink returns for it.
    pub fn record(output: &Output<'_, Msg>) -> (Said, usize) {
        match *output {
            Output::Admit { session } => (Said::Admit(session), 0),
            Output::Refuse { reason } => (Said::Refuse(reason), 0),
            Output::Event { link, session, ref event } => {
                let (what, who, bytes) = match *event {
                    Event::Open { who } => (What::Open, who, 10),
                    Event::Message { who, payload } => (What::Message(*payload), who, 6 + payload.size),
                    Event::Close { who } => (What::Close, who, 11),
                };
                (Said::Event { link, session, what, who: who.clone(), bytes }, bytes)
            }
            Output::Message { session, data } => {
                let (data, bytes) = match data {
                    Data::Text(text) => (Data::Text(text.clone().into_owned().into()), text.len()),
                    Data::Binary(binary) => (Data::Binary(binary.clone().into_owned().into()), binary.len()),
                };
                (Said::Message { session, data, bytes }, bytes)
            }
            Output::Close { session, code, reason, queued } => {
                (Said::Close { session, code, reason: reason.to_owned(), queued }, 0)
            }
            Output::Stop { session } => (Said::Stop(session), 0),
            Output::Resume { session } => (Said::Resume(session), 0),
            Output::StopAll => (Said::StopAll, 0),
            Output::ResumeAll => (Said::ResumeAll, 0),
            Output::Dial { link } => (Said::Dial(link), 0),
            Output::Ping { link, counter } => (Said::Ping { link, counter, bytes: 9 }, 9),
            Output::Abort { link } => (Said::Abort(link), 0),
            Output::CloseLink { link } => (Said::CloseLink(link), 0),
            Output::Empty { unconfirmed_closes } => (Said::Empty { unconfirmed_closes }, 0),
            Output::Fact(ref fact) => (Said::fact(fact), 0),
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

/// Hands `input` to the machine and returns what it said.
pub fn tell(endpoint: &mut Endpoint<Msg>, now: Time, input: Given) -> Vec<Said> {
    let mut said = Vec::new();
    endpoint.handle(now, input, &mut |output: Output<'_, Msg>| {
        let (one, bytes) = Said::record(&output);
        said.push(one);
        bytes
    });
    said
}
