//! What surrounds an endpoint in a story: clients and a backend, and the connections to them.
//!
//! It carries the endpoint's outputs out, keeps what they put into queues, and knows what is to be reported back.

use std::collections::VecDeque;

use trunkline_core::{
    Event, Fact, Input, LeaveCause, LinkId, Output, Queued, SessionId, Sink,
    language::{Data, encode_close, encode_message, encode_open},
    recording::words,
};

/// A client's message.
#[derive(Clone, Debug)]
pub struct Payload(pub Data<'static>);

impl trunkline_core::Payload for Payload {
    fn size(&self) -> usize {
        match &self.0 {
            Data::Text(text) => text.len(),
            Data::Binary(bytes) => bytes.len(),
        }
    }
}

/// The user of a client: `ann` of `ann#2`.
pub fn user_of(name: &str) -> &str {
    name.split_once('#').map_or(name, |(user, _)| user)
}

/// What becomes of a dial.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dials {
    Succeed,
    Fail,
    Hang,
}

pub(super) struct World {
    /// In the order in which they came.
    clients: Vec<Client>,
    /// Who asks to come in, until it is answered.
    knocking: Option<String>,
    pub dials: Dials,
    dialled: Option<LinkId>,
    /// The connection that is up.
    link: Option<LinkId>,
    /// The last that was.
    latest_link: LinkId,
    pub link_takes: bool,
    link_queued: usize,
    pub pongs: bool,
    /// The Ping that has not been answered.
    ping: Option<u64>,
    /// Nobody is read from.
    all_stopped: bool,
}

pub(super) struct Client {
    name: String,
    session: SessionId,
    connection: Connection,
    /// It takes what is queued for it.
    pub reads: bool,
    queued: usize,
    /// It does not leave when it is told to close.
    pub lingers: bool,
    /// It is not read from.
    stopped: bool,
    /// What it has sent and has not been read.
    unread: VecDeque<Payload>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Connection {
    Open,
    Closing,
    Gone,
}

impl World {
    pub(super) fn new() -> Self {
        World {
            clients: Vec::new(),
            knocking: None,
            dials: Dials::Succeed,
            dialled: None,
            link: None,
            latest_link: LinkId(0),
            link_takes: true,
            link_queued: 0,
            pongs: true,
            ping: None,
            all_stopped: false,
        }
    }

    pub(super) fn knock(&mut self, name: &str) {
        assert!(self.clients.iter().all(|client| client.name != name), "{name} has come before");
        self.knocking = Some(name.to_owned());
    }

    pub(super) fn client(&mut self, name: &str) -> &mut Client {
        let found = self.clients.iter_mut().find(|client| client.name == name);
        found.unwrap_or_else(|| panic!("{name} was not admitted in this story"))
    }

    pub(super) fn session(&mut self, name: &str) -> SessionId {
        self.client(name).session
    }

    fn client_of(&mut self, session: SessionId) -> &mut Client {
        let found = self.clients.iter_mut().find(|client| client.session == session);
        found.expect("the endpoint names sessions that it has admitted")
    }

    fn name_of(&self, session: SessionId) -> String {
        let found = self.clients.iter().find(|client| client.session == session);
        found.expect("the endpoint names sessions that it has admitted").name.clone()
    }

    /// Gives the message back if its client is being read from.
    pub(super) fn read_or_keep(&mut self, name: &str, payload: Payload) -> Option<Payload> {
        let all_stopped = self.all_stopped;
        let client = self.client(name);
        if client.connection == Connection::Open && (client.stopped || all_stopped) {
            client.unread.push_back(payload);
            return None;
        }
        Some(payload)
    }

    pub(super) fn goes(&mut self, name: &str) -> SessionId {
        let client = self.client(name);
        client.connection = Connection::Gone;
        client.queued = 0;
        client.session
    }

    pub(super) fn latest_link(&self) -> LinkId {
        self.latest_link
    }

    pub(super) fn link_breaks(&mut self) -> LinkId {
        self.link_queued = 0;
        self.ping = None;
        self.link.take().expect("a link that breaks was up")
    }

    /// What the world has to report next, if all behave as told.
    pub(super) fn next_report(&mut self) -> Option<(String, Input<'static, Payload>)> {
        self.link_report().or_else(|| self.clients.iter_mut().find_map(|c| c.report(self.all_stopped)))
    }

    fn link_report(&mut self) -> Option<(String, Input<'static, Payload>)> {
        if let Some(link) = self.link {
            if self.link_takes && self.link_queued > 0 {
                let bytes = std::mem::take(&mut self.link_queued);
                return Some((
                    "what was queued for the link goes out".to_owned(),
                    Input::LinkSent { link, bytes },
                ));
            }
            if self.link_takes && self.pongs {
                let counter = self.ping.take()?;
                return Some(("the Pong comes".to_owned(), Input::Pong { link, counter }));
            }
            return None;
        }
        match self.dials {
            Dials::Hang => None,
            Dials::Fail => {
                let link = self.dialled.take()?;
                Some(("the dial fails".to_owned(), Input::LinkDown { link }))
            }
            Dials::Succeed => {
                let link = self.dialled.take()?;
                self.link = Some(link);
                self.latest_link = link;
                Some(("the link comes up".to_owned(), Input::LinkUp { link }))
            }
        }
    }
}

impl Client {
    fn report(&mut self, all_stopped: bool) -> Option<(String, Input<'static, Payload>)> {
        let session = self.session;
        if self.reads && self.queued > 0 {
            let bytes = std::mem::take(&mut self.queued);
            return Some((
                format!("{} takes what is queued", self.name),
                Input::ClientSent { session, bytes },
            ));
        }
        match self.connection {
            Connection::Closing if !self.lingers && self.queued == 0 => {
                self.connection = Connection::Gone;
                let cause = LeaveCause::Closed;
                Some((format!("{} is gone", self.name), Input::Left { session, cause }))
            }
            Connection::Open if !self.stopped && !all_stopped => {
                let payload = self.unread.pop_front()?;
                let said = format!("{} is read: {}", self.name, words::data(&payload.0));
                Some((said, Input::Message { session, payload }))
            }
            _ => None,
        }
    }
}

/// Carries outputs out in a [`World`], and writes them down.
pub(super) struct Scribe<'a> {
    world: &'a mut World,
    lines: Vec<String>,
}

impl<'a> Scribe<'a> {
    pub(super) fn new(world: &'a mut World) -> Self {
        Scribe { world, lines: Vec::new() }
    }

    pub(super) fn lines(self) -> Vec<String> {
        self.lines
    }

    fn does(&mut self, what: String) {
        self.lines.push(format!("→ {what}"));
    }

    fn admit(&mut self, session: SessionId) {
        let name = self.world.knocking.take().expect("who is admitted has asked");
        self.world.clients.push(Client {
            name,
            session,
            connection: Connection::Open,
            reads: true,
            queued: 0,
            lingers: false,
            stopped: false,
            unread: VecDeque::new(),
        });
    }

    fn event(&mut self, event: &Event<'_, Payload>) -> usize {
        let mut text = Vec::new();
        match event {
            Event::Open { who } => encode_open(who, &mut text),
            Event::Message { who, payload } => encode_message(who, &payload.0, &mut text),
            Event::Close { who } => encode_close(who, &mut text),
        }
        let bytes = text.len();
        self.does(format!("backend: {}", String::from_utf8(text).expect("events are UTF-8")));
        self.world.link_queued += bytes;
        bytes
    }

    fn message(&mut self, session: SessionId, data: &Data<'_>) -> usize {
        let bytes = match data {
            Data::Text(text) => text.len(),
            Data::Binary(bytes) => bytes.len(),
        };
        let name = self.world.name_of(session);
        self.does(format!("{name} gets: {}", words::data(data)));
        self.world.client_of(session).queued += bytes;
        bytes
    }

    fn ping(&mut self, counter: u64) -> usize {
        // Eight bytes of payload.
        const BYTES: usize = 8;
        if !self.world.pongs {
            self.does("backend: (Ping)".to_owned());
        }
        self.world.ping = Some(counter);
        self.world.link_queued += BYTES;
        BYTES
    }

    fn drop_link(&mut self) {
        self.world.link = None;
        self.world.dialled = None;
        self.world.link_queued = 0;
        self.world.ping = None;
    }
}

impl Sink<Payload> for Scribe<'_> {
    fn emit(&mut self, output: Output<'_, Payload>) -> usize {
        match output {
            Output::Event { event, .. } => return self.event(&event),
            Output::Message { session, data } => return self.message(session, data),
            Output::Ping { counter, .. } => return self.ping(counter),
            _ => {}
        }
        let asks = self.world.knocking.as_deref().unwrap_or_default();
        self.lines.push(words::output(&output, asks, |session| self.world.name_of(session)));
        match output {
            Output::Admit { session } => self.admit(session),
            Output::Refuse { .. } => self.world.knocking = None,
            Output::Close { session, queued, .. } => {
                let client = self.world.client_of(session);
                client.connection = Connection::Closing;
                if queued == Queued::Drop {
                    client.queued = 0;
                }
            }
            Output::Stop { session } => self.world.client_of(session).stopped = true,
            Output::Resume { session } => self.world.client_of(session).stopped = false,
            Output::StopAll => self.world.all_stopped = true,
            Output::ResumeAll => self.world.all_stopped = false,
            Output::Dial { link } => self.world.dialled = Some(link),
            Output::Abort { .. } | Output::CloseLink { .. } => self.drop_link(),
            Output::Fact(Fact::Ended { session, user, .. }) => {
                assert_eq!(user_of(&self.world.name_of(session)), user, "somebody else's session ends");
            }
            _ => {}
        }
        0
    }
}
