//! The backend of the load: one link, everything in batches, no JSON beyond what can be found by looking for it. What
//! it costs is not what is measured, so it costs as little as it can.
//!
//! It is a process of its own and does what it is told on its standard input, a line each: `pause`, `resume`,
//! `pace BYTES`, which lets it read no more than that in a millisecond, `give USER BYTES`, which sends that user one
//! message of so many bytes, and `flood USER BYTES`, which sends such messages as fast as the link takes them, until it
//! hears the user's `close`. Then it says `closed USER BYTES`, with the bytes of all those messages. `fan COUNT` has each
//! message answered to so many users: its sender, and those with the numbers that follow; it says the same again when that
//! is so.
//!
//! What a user says whose name begins with `mute` is not echoed.

use std::{
    io::{self, BufRead, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use mio::{Events, Interest, Poll, Token, Waker, net::TcpListener, net::TcpStream};

use super::{tokens, wire};

const LISTENER: Token = Token(0);
const LINK: Token = Token(1);
const ORDERS: Token = Token(2);

const READ_BYTES: usize = 256 << 10;
/// Above this, it does not read on before the gateway has.
const OUT_BYTES_MAX: usize = 8 << 20;
/// How much of a flood is given to the link at once.
const FLOOD_BYTES: usize = 128 << 10;

/// What is spoken on the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tongue {
    /// That of docs/language.md.
    Events,
    /// That of [`super::floor`].
    Bare,
}

/// Runs until its standard input ends.
pub(super) fn run(tongue: Tongue) -> io::Result<()> {
    let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let orders = read_orders(Waker::new(poll.registry(), ORDERS)?);
    super::say(&format!("listening {}", listener.local_addr()?.port()));
    let (mut events, mut link, mut paused) = (Events::with_capacity(16), None::<Link>, false);
    loop {
        let busy = !paused && link.as_ref().is_some_and(Link::is_busy);
        match poll.poll(&mut events, busy.then_some(Duration::ZERO)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            match (event.token(), &mut link) {
                (LISTENER, _) => link = accept(&listener, &poll, tongue)?.or(link),
                (LINK, Some(link)) => {
                    link.readable |= event.is_readable();
                    link.writable |= event.is_writable();
                }
                _ => {}
            }
        }
        loop {
            match orders.try_recv() {
                Ok(Order::Pause) => paused = true,
                Ok(Order::Resume) => paused = false,
                Ok(Order::Pace(bytes)) => {
                    if let Some(link) = &mut link {
                        link.pace = bytes;
                    }
                }
                Ok(Order::Fan(count)) => {
                    if let Some(link) = &mut link {
                        link.fan = count;
                    }
                    super::say(&format!("fan {count}"));
                }
                Ok(Order::Give(flood)) => {
                    if let Some(link) = &mut link {
                        link.out.extend_from_slice(&flood.frame);
                    }
                }
                Ok(Order::Flood(flood)) => {
                    if let Some(link) = &mut link {
                        link.flood = Some(flood);
                    }
                }
                Err(mpsc::TryRecvError::Empty) => break,
                Err(mpsc::TryRecvError::Disconnected) => return Ok(()),
            }
        }
        if let Some(open) = &mut link
            && !paused
            && open.work().is_err()
        {
            link = None;
        }
    }
}

enum Order {
    Pause,
    Resume,
    Pace(usize),
    Fan(u32),
    Give(Flood),
    Flood(Flood),
}

struct Flood {
    user: String,
    frame: Vec<u8>,
    bytes: usize,
    sent: usize,
}

/// Reads the orders in a thread of its own. When the input ends, so does the channel.
fn read_orders(waker: Waker) -> mpsc::Receiver<Order> {
    let (orders, received) = mpsc::channel();
    let waker = Arc::new(waker);
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            let words: Vec<_> = line.split(' ').collect();
            let order = match *words {
                ["pause"] => Order::Pause,
                ["resume"] => Order::Resume,
                ["pace", bytes] => Order::Pace(bytes.parse().unwrap_or(usize::MAX)),
                ["fan", count] => Order::Fan(count.parse().unwrap_or(1)),
                ["give", user, bytes] => Order::Give(Flood::new(user, bytes.parse().unwrap_or(1024))),
                ["flood", user, bytes] => Order::Flood(Flood::new(user, bytes.parse().unwrap_or(1024))),
                _ => continue,
            };
            if orders.send(order).is_err() || waker.wake().is_err() {
                return;
            }
        }
        drop(orders);
        // It wakes only to find that the orders have ended.
        let _ = waker.wake();
    });
    received
}

impl Flood {
    fn new(user: &str, bytes: usize) -> Self {
        let action =
            format!(r#"{{"action":"send","user":{{"username":"{user}"}},"data":"{}"}}"#, "x".repeat(bytes));
        let mut frame = Vec::new();
        wire::write(&mut frame, wire::TEXT, None, action.len(), |out| {
            out.extend_from_slice(action.as_bytes())
        });
        Flood { user: format!("\"{user}\""), frame, bytes, sent: 0 }
    }
}

fn accept(listener: &TcpListener, poll: &Poll, tongue: Tongue) -> io::Result<Option<Link>> {
    let mut newest = None;
    loop {
        match listener.accept() {
            Ok((mut stream, _)) => {
                stream.set_nodelay(true)?;
                poll.registry().register(&mut stream, LINK, Interest::READABLE | Interest::WRITABLE)?;
                newest = Some(Link::new(stream, tongue));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(newest),
            Err(error) => return Err(error),
        }
    }
}

/// The gateway's link.
struct Link {
    stream: TcpStream,
    /// Nothing more is due before frames.
    is_open: bool,
    /// What was read: `filled` bytes, a frame's beginning at the front.
    buffer: Vec<u8>,
    filled: usize,
    out: Vec<u8>,
    written: usize,
    /// As far as epoll has said.
    readable: bool,
    writable: bool,
    flood: Option<Flood>,
    /// Bytes that it reads in a millisecond at the most.
    pace: usize,
    /// How many users each message is answered to.
    fan: u32,
}

impl Link {
    fn new(stream: TcpStream, tongue: Tongue) -> Self {
        let buffer = vec![0; READ_BYTES];
        Link {
            stream,
            is_open: tongue == Tongue::Bare,
            buffer,
            filled: 0,
            out: Vec::new(),
            written: 0,
            readable: true,
            writable: true,
            flood: None,
            pace: usize::MAX,
            fan: 1,
        }
    }

    /// Whether there is something to do without waiting.
    fn is_busy(&self) -> bool {
        self.may_read() || self.writable && (!self.out.is_empty() || self.flood.is_some())
    }

    fn may_read(&self) -> bool {
        self.readable && self.out.len() - self.written < OUT_BYTES_MAX
    }

    /// One read, one write.
    fn work(&mut self) -> io::Result<()> {
        if self.may_read() {
            self.read()?;
        }
        if let Some(flood) = &mut self.flood
            && self.out.is_empty()
        {
            while self.out.len() < FLOOD_BYTES {
                self.out.extend_from_slice(&flood.frame);
                flood.sent += flood.bytes;
            }
        }
        if self.writable && !self.out.is_empty() {
            self.write()?;
        }
        Ok(())
    }

    fn read(&mut self) -> io::Result<()> {
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.filled * 2, 0);
        }
        let end = self.filled.saturating_add(self.pace).min(self.buffer.len());
        if self.pace < usize::MAX {
            thread::sleep(Duration::from_millis(1));
        }
        match self.stream.read(&mut self.buffer[self.filled..end]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => {
                self.filled += bytes;
                self.readable = self.filled == end;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
            Err(error) => return Err(error),
        }
        let mut used = 0;
        if !self.is_open {
            let Some(end) = wire::find(&self.buffer[..self.filled], wire::HEAD_END) else { return Ok(()) };
            used = end + wire::HEAD_END.len();
            self.out.extend_from_slice(wire::upgrade(&self.buffer[..end]).as_bytes());
            self.is_open = true;
        }
        while let Some(frame) = wire::read(&mut self.buffer[used..self.filled]) {
            let payload = used + frame.start..used + frame.end;
            used += frame.end;
            match frame.opcode {
                wire::TEXT => answer(&self.buffer[payload], self.fan, &mut self.out, &mut self.flood),
                wire::BINARY => answer_bare(&self.buffer[payload], self.fan, &mut self.out),
                wire::PING => {
                    let payload = &self.buffer[payload];
                    wire::write(&mut self.out, wire::PONG, None, payload.len(), |out| {
                        out.extend_from_slice(payload);
                    });
                }
                _ => return Err(ErrorKind::UnexpectedEof.into()),
            }
        }
        self.buffer.copy_within(used..self.filled, 0);
        self.filled -= used;
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        match self.stream.write(&self.out[self.written..]) {
            Ok(bytes) => self.written += bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
            Err(error) => return Err(error),
        }
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
        }
        Ok(())
    }
}

/// Answers a message of the floor.
fn answer_bare(message: &[u8], fan: u32, out: &mut Vec<u8>) {
    let Some((number, text)) = message.split_first_chunk() else { return };
    for number in (u32::from_be_bytes(*number)..).take(fan as usize) {
        wire::write_header(out, wire::BINARY, None, message.len());
        out.extend_from_slice(&number.to_be_bytes());
        out.extend_from_slice(text);
    }
}

/// Answers an event (docs/language.md): its fields come in a fixed order, with no space between, and what was escaped in
/// `data` may stay so.
fn answer(event: &[u8], fan: u32, out: &mut Vec<u8>, flood: &mut Option<Flood>) {
    const MESSAGE: &[u8] = br#"{"event":"message","user":{"username":"#;
    const CLOSE: &[u8] = br#"{"event":"close","user":{"username":"#;
    const USER_END: &[u8] = br#"},"params":{"#;
    const DATA: &[u8] = br#"},"data":"#;

    if let Some(rest) = event.strip_prefix(CLOSE) {
        if let Some(over) = flood.take_if(|flood| rest.starts_with(flood.user.as_bytes())) {
            super::say(&format!("closed {} {}", over.user.trim_matches('"'), over.sent));
        }
        return;
    }
    let Some(rest) = event.strip_prefix(MESSAGE) else { return };
    if rest.starts_with(br#""mute"#) {
        return;
    }
    // Neither the tool's users nor its parameters have anything that looks like these.
    let Some(user_end) = wire::find(rest, USER_END) else { return };
    let Some(data) = wire::find(&rest[user_end..], DATA) else { return };
    let (user, data) = (&rest[..user_end], &rest[user_end + data + DATA.len()..rest.len() - 1]);
    if fan == 1 {
        return send(user, data, out);
    }
    let number = str::from_utf8(user).ok().and_then(tokens::number);
    for number in (number.unwrap_or(0)..).take(fan as usize) {
        send(format!("\"{}\"", tokens::user(number)).as_bytes(), data, out);
    }
}

/// Appends a `send`; `user` and `data` are strings of JSON.
fn send(user: &[u8], data: &[u8], out: &mut Vec<u8>) {
    const ACTION: [&[u8]; 3] = [br#"{"action":"send","user":{"username":"#, br#"},"data":"#, b"}"];

    let len = ACTION.iter().map(|part| part.len()).sum::<usize>() + user.len() + data.len();
    wire::write(out, wire::TEXT, None, len, |out| {
        for part in [ACTION[0], user, ACTION[1], data, ACTION[2]] {
            out.extend_from_slice(part);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_back_to_its_sender_as_it_was_escaped() {
        let event =
            br#"{"event":"message","user":{"username":"ann"},"params":{"x":"1"},"data":"a\"},\"data\":\n"}"#;
        let mut out = Vec::new();
        answer(event, 1, &mut out, &mut None);
        let frame = wire::read(&mut out).expect("a whole frame");
        let action = str::from_utf8(&out[frame.start..frame.end]).expect("text");
        assert_eq!(action, r#"{"action":"send","user":{"username":"ann"},"data":"a\"},\"data\":\n"}"#);
    }

    #[test]
    fn a_message_is_answered_to_as_many_users_as_are_wanted() {
        let event = br#"{"event":"message","user":{"username":"user40"},"params":{"room":"1"},"data":"x"}"#;
        let mut out = Vec::new();
        answer(event, 3, &mut out, &mut None);
        for number in 40..43 {
            let frame = wire::read(&mut out).expect("a whole frame");
            let action = String::from_utf8_lossy(&out[frame.start..frame.end]).into_owned();
            let user = tokens::user(number);
            assert_eq!(action, format!(r#"{{"action":"send","user":{{"username":"{user}"}},"data":"x"}}"#));
            out.drain(..frame.end);
        }
        assert!(out.is_empty());
    }
}
