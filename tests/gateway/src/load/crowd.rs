//! All clients, in one thread: a loop over epoll that costs as little as it can, so that it leaves the processors to
//! what is measured.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token};

use super::{
    client::{Client, Hear, State, connect},
    error::{Failure, Faults},
    text::{Texts, Wrong},
    tokens,
    wire::Masks,
};

/// Handshakes under way at once.
const SHAKING_MAX: usize = 128;
const EVENTS_MAX: usize = 1024;
const SCRATCH_BYTES: usize = 64 << 10;
const PUSHES_PER_TURN: usize = 4;
/// How long all handshakes together, or all echoes that are still under way, may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the loop sleeps at most, so that deadlines are seen.
const NAP: Duration = Duration::from_millis(20);

/// The clients, and what has gone wrong with them.
pub(super) struct Crowd {
    poll: Poll,
    events: Events,
    pub(super) clients: Vec<Client>,
    scratch: Vec<u8>,
    pub(super) texts: Texts,
    pub(super) masks: Masks,
    pub(super) faults: Faults,
    began: Instant,
}

/// What the clients are there to do.
pub(super) trait Course {
    /// The echo came that was due. Whether its client says the next thing.
    fn echoed(&mut self, client: &Client, now: u64) -> bool;

    /// Whether a client says something of itself.
    fn begins(&self, _client: &Client) -> bool {
        true
    }

    /// Its socket has taken all: how many messages to give it besides, in one go.
    fn more(&mut self, _client: &Client) -> u32 {
        0
    }
}

/// Nobody says anything.
pub(super) struct Quiet;

impl Course for Quiet {
    fn echoed(&mut self, _: &Client, _: u64) -> bool {
        false
    }
}

/// How a crowd connects.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) address: SocketAddr,
    pub(super) clients: u32,
    /// See [`connect`].
    pub(super) send_buffer: Option<usize>,
}

impl Crowd {
    /// Connects everybody.
    pub(super) fn connect(arrival: Arrival, texts: Texts) -> Result<Crowd, Failure> {
        let mut crowd = Crowd {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_MAX),
            clients: Vec::with_capacity(arrival.clients as usize),
            scratch: vec![0; SCRATCH_BYTES],
            texts,
            masks: Masks::new(),
            faults: Faults::default(),
            began: Instant::now(),
        };
        let until = Instant::now() + PATIENCE;
        let (all, mut open) = (arrival.clients as usize, 0);
        while open < all {
            while crowd.clients.len() < all && crowd.clients.len() - open < SHAKING_MAX {
                crowd.admit(arrival)?;
            }
            open += crowd.turn(NAP, &mut Quiet)?;
            if Instant::now() > until || crowd.faults.any() {
                return Err(Failure::Handshakes { wanted: all, open });
            }
        }
        Ok(crowd)
    }

    fn admit(&mut self, arrival: Arrival) -> Result<(), Failure> {
        let id = self.clients.len() as u32;
        let mut stream = connect(arrival.address, arrival.send_buffer)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(id as usize), both)?;
        self.clients.push(Client::new(id, stream, &tokens::request(arrival.address, &tokens::user(id))?));
        Ok(())
    }

    /// What its times count from, in nanoseconds.
    pub(super) const fn began(&self) -> Instant {
        self.began
    }

    /// Lets `time` pass.
    pub(super) fn run(&mut self, time: Duration, course: &mut impl Course) -> io::Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.turn(NAP, course)?;
        }
        Ok(())
    }

    /// Takes what has happened, or waits at most `nap` for it. Returns how many handshakes have ended.
    pub(super) fn turn(&mut self, nap: Duration, course: &mut impl Course) -> io::Result<usize> {
        match self.poll.poll(&mut self.events, Some(nap)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(0),
            other => other?,
        }
        let mut ear = Ear { course, faults: &mut self.faults, opened: 0, began: self.began };
        for event in &self.events {
            let Some(client) = self.clients.get_mut(event.token().0) else { continue };
            if event.is_readable() {
                let said = client.sent;
                client.read(&mut self.scratch, &self.texts, &mut self.masks, &mut ear);
                if client.sent != said {
                    client.sent_at = ear.now();
                }
            }
            if !client.is_flushed() {
                client.flush();
            }
            push(client, &self.texts, &mut self.masks, ear.course);
        }
        Ok(ear.opened)
    }

    /// Lets everybody who is open begin.
    pub(super) fn begin(&mut self, course: &mut impl Course) {
        for client in self.clients.iter_mut().filter(|client| client.is_open()) {
            if !course.begins(client) {
                continue;
            }
            client.say(&self.texts, &mut self.masks);
            client.sent_at = self.began.elapsed().as_nanos() as u64;
            client.flush();
            push(client, &self.texts, &mut self.masks, course);
        }
    }

    /// Gives everybody's socket what the course wants, as nothing wakes a socket that takes more than it was given.
    pub(super) fn press(&mut self, course: &mut impl Course) {
        for client in &mut self.clients {
            push(client, &self.texts, &mut self.masks, course);
        }
    }

    /// From here on, the first of each `group` of clients speaks to all of it.
    pub(super) fn regroup(&mut self, group: u32) {
        for client in &mut self.clients {
            client.speaker = client.id - client.id % group;
            (client.sent, client.received) = (0, 0);
        }
    }

    /// Waits for the echoes that are still under way, and counts those that do not come.
    pub(super) fn settle(&mut self, course: &mut impl Course) -> io::Result<()> {
        let until = Instant::now() + PATIENCE;
        while self.outstanding() > 0 && Instant::now() < until {
            self.turn(NAP, course)?;
        }
        // One too many would come now.
        self.turn(NAP, course)?;
        self.faults.missing += self.outstanding();
        Ok(())
    }

    /// Echoes that are still to come, to clients that are still there.
    pub(super) fn outstanding(&self) -> u64 {
        let open = self.clients.iter().filter(|client| client.is_open());
        let said = |client: &Client| self.clients[client.speaker as usize].sent;
        open.map(|client| u64::from(said(client).saturating_sub(client.received))).sum()
    }

    /// Echoes that have come.
    pub(super) fn received(&self) -> u64 {
        self.clients.iter().map(|client| u64::from(client.received)).sum()
    }
}

/// Gives a client's socket as much as the course wants, and no more at once than leaves the others their turn.
fn push(client: &mut Client, texts: &Texts, masks: &mut Masks, course: &mut impl Course) {
    for _ in 0..PUSHES_PER_TURN {
        if !client.is_flushed() || client.state != State::Open {
            return;
        }
        let more = course.more(client);
        if more == 0 {
            return;
        }
        (0..more).for_each(|_| client.say(texts, masks));
        client.flush();
    }
}

/// Hears a client on behalf of its crowd.
struct Ear<'a, C> {
    course: &'a mut C,
    faults: &'a mut Faults,
    opened: usize,
    began: Instant,
}

impl<C> Ear<'_, C> {
    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }
}

impl<C: Course> Hear for Ear<'_, C> {
    fn opened(&mut self) {
        self.opened += 1;
    }

    fn echoed(&mut self, client: &Client) -> bool {
        let now = self.now();
        self.course.echoed(client, now)
    }

    fn wrong(&mut self, wrong: Wrong) {
        self.faults.count(wrong);
    }

    fn closed(&mut self, code: Option<u16>) {
        self.faults.closed.push(code);
    }
}
