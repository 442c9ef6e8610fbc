//! The floor: the least that a relay of this topology can do. Many clients, one link to a backend, one thread, one epoll;
//! it reads the headers of frames and nothing else. There are no tokens, no JSON, no limits, no queues that are bounded,
//! and it holds nobody to the protocol: it shows what the machine takes for the job, and is of no use as a gateway.
//!
//! On the link each message is a frame without a mask whose payload is the client's number, four bytes, and the text. A
//! client says its number in its handshake, as it says its user to a gateway.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr},
};

use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};

use super::{tokens, wire};

const LISTENER: Token = Token(0);
const LINK: Token = Token(1);
/// The tokens of clients are their places, and this.
const FIRST_CLIENT: usize = 2;

const EVENTS_MAX: usize = 1024;
const CLIENT_READ_BYTES: usize = 64 << 10;
const LINK_READ_BYTES: usize = 256 << 10;

/// Relays between clients and the backend at `backend` until its standard input ends.
pub(super) fn run(backend: SocketAddr) -> io::Result<()> {
    trunkline::sys::raise_descriptor_limit();
    super::end_with_input();
    let link = std::net::TcpStream::connect(backend)?;
    link.set_nodelay(true)?;
    link.set_nonblocking(true)?;
    let mut link = TcpStream::from_std(link);
    let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let poll = Poll::new()?;
    let both = Interest::READABLE | Interest::WRITABLE;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    poll.registry().register(&mut link, LINK, both)?;
    let mut relay = Relay {
        poll,
        listener,
        clients: Vec::new(),
        places: Vec::new(),
        free: Vec::new(),
        scratch: vec![0; CLIENT_READ_BYTES].into(),
        link: Link {
            stream: link,
            buffer: vec![0; LINK_READ_BYTES],
            filled: 0,
            out: Vec::new(),
            readable: false,
        },
        header: Vec::new(),
    };
    super::say(&format!("listening {}", relay.listener.local_addr()?.port()));
    let mut events = Events::with_capacity(EVENTS_MAX);
    loop {
        match relay.poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            match event.token() {
                LISTENER => relay.accept()?,
                LINK => relay.link.readable |= event.is_readable(),
                Token(token) => relay.client_ready(token - FIRST_CLIENT),
            }
        }
        while relay.link.readable {
            relay.read_link()?;
        }
        relay.link.write()?;
    }
}

struct Relay {
    poll: Poll,
    listener: TcpListener,
    /// By their places.
    clients: Vec<Option<Client>>,
    /// The place of each client, by its number.
    places: Vec<usize>,
    /// Places that nobody has.
    free: Vec<usize>,
    scratch: Box<[u8]>,
    link: Link,
    /// Of the frame that goes to a client.
    header: Vec<u8>,
}

struct Client {
    stream: TcpStream,
    /// `None` before its handshake.
    number: Option<u32>,
    /// The beginning of a frame that is not complete.
    rest: Vec<u8>,
    /// What its socket has not taken yet.
    out: Vec<u8>,
}

struct Link {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
    out: Vec<u8>,
    readable: bool,
}

impl Relay {
    fn accept(&mut self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((mut stream, _)) => {
                    stream.set_nodelay(true)?;
                    let place = self.free.pop().unwrap_or(self.clients.len());
                    let token = Token(place + FIRST_CLIENT);
                    let both = Interest::READABLE | Interest::WRITABLE;
                    self.poll.registry().register(&mut stream, token, both)?;
                    let client = Client { stream, number: None, rest: Vec::new(), out: Vec::new() };
                    if place == self.clients.len() {
                        self.clients.push(Some(client));
                    } else {
                        self.clients[place] = Some(client);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn client_ready(&mut self, place: usize) {
        let Some(Some(client)) = self.clients.get_mut(place) else { return };
        let is_new = client.number.is_none();
        if client.flush().and_then(|()| client.read(&mut self.scratch, &mut self.link.out)).is_err() {
            self.clients[place] = None;
            self.free.push(place);
        } else if let Some(number) = client.number.filter(|_| is_new) {
            let number = number as usize;
            self.places.resize(self.places.len().max(number + 1), usize::MAX);
            self.places[number] = place;
        }
    }

    /// One read of the link. Each frame goes to its client with one write, from where it was read to.
    fn read_link(&mut self) -> io::Result<()> {
        let link = &mut self.link;
        if link.filled == link.buffer.len() {
            link.buffer.resize(link.filled * 2, 0);
        }
        let room = link.buffer.len() - link.filled;
        match link.stream.read(&mut link.buffer[link.filled..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => {
                link.filled += bytes;
                link.readable = bytes == room;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => link.readable = false,
            Err(error) => return Err(error),
        }
        let mut used = 0;
        while let Some(frame) = wire::read(&mut link.buffer[used..link.filled]) {
            let whole = &mut link.buffer[used..used + frame.end];
            used += frame.end;
            let Some((number, frame)) = readdress(whole, frame.start, &mut self.header) else { continue };
            let place = self.places.get(number).copied().unwrap_or(usize::MAX);
            if let Some(Some(client)) = self.clients.get_mut(place) {
                client.send(frame);
            }
        }
        link.buffer.copy_within(used..link.filled, 0);
        link.filled -= used;
        Ok(())
    }
}

/// Makes a frame of the link, whose payload begins at `start`, one for its client: the header is written anew, over the
/// client's number.
fn readdress<'a>(frame: &'a mut [u8], start: usize, header: &mut Vec<u8>) -> Option<(usize, &'a [u8])> {
    let text = start + 4;
    let number = u32::from_be_bytes(frame.get(start..text)?.try_into().ok()?) as usize;
    header.clear();
    wire::write_header(header, wire::TEXT, None, frame.len() - text);
    let begin = text.checked_sub(header.len())?;
    frame.get_mut(begin..text)?.copy_from_slice(header);
    Some((number, &frame[begin..]))
}

impl Client {
    /// Reads all that is there. An error is its end.
    fn read(&mut self, scratch: &mut [u8], link: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let bytes = match self.stream.read(scratch) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            if self.rest.is_empty() {
                let used = self.take(&mut scratch[..bytes], link)?;
                self.rest.extend_from_slice(&scratch[used..bytes]);
            } else {
                let mut whole = std::mem::take(&mut self.rest);
                whole.extend_from_slice(&scratch[..bytes]);
                let used = self.take(&mut whole, link)?;
                whole.drain(..used);
                self.rest = whole;
            }
            // Edge-triggered: a read that is not full has emptied the socket (epoll(7)).
            if bytes < scratch.len() {
                return Ok(());
            }
        }
    }

    fn take(&mut self, bytes: &mut [u8], link: &mut Vec<u8>) -> io::Result<usize> {
        let mut used = 0;
        let number = match self.number {
            Some(number) => number,
            None => {
                let Some(end) = wire::find(bytes, wire::HEAD_END) else { return Ok(0) };
                used = end + wire::HEAD_END.len();
                self.send(wire::upgrade(&bytes[..end]).as_bytes());
                let number = tokens::client_number(&bytes[..end]).ok_or(ErrorKind::InvalidData)?;
                *self.number.insert(number)
            }
        };
        while let Some(frame) = wire::read(&mut bytes[used..]) {
            let payload = &bytes[used + frame.start..used + frame.end];
            used += frame.end;
            if frame.opcode != wire::TEXT {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            wire::write_header(link, wire::BINARY, None, 4 + payload.len());
            link.extend_from_slice(&number.to_be_bytes());
            link.extend_from_slice(payload);
        }
        Ok(used)
    }

    fn send(&mut self, bytes: &[u8]) {
        let written = if self.out.is_empty() { self.stream.write(bytes).unwrap_or(0) } else { 0 };
        self.out.extend_from_slice(&bytes[written..]);
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        match self.stream.write(&self.out) {
            Ok(bytes) => drop(self.out.drain(..bytes)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if self.out.is_empty() {
            self.out = Vec::new();
        }
        Ok(())
    }
}

impl Link {
    fn write(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        match self.stream.write(&self.out) {
            Ok(bytes) if bytes == self.out.len() => self.out.clear(),
            Ok(bytes) => drop(self.out.drain(..bytes)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_the_link_becomes_one_for_its_client() {
        for len in [0, 1, 121, 122, 125, 126, 65_531, 65_535, 65_536] {
            let mut bytes = Vec::new();
            wire::write_header(&mut bytes, wire::BINARY, None, 4 + len);
            bytes.extend_from_slice(&7_u32.to_be_bytes());
            bytes.resize(bytes.len() + len, b'x');
            let frame = wire::read(&mut bytes).expect("it is whole");
            let (number, sent) =
                readdress(&mut bytes, frame.start, &mut Vec::new()).expect("it has a number");
            let mut expected = Vec::new();
            wire::write(&mut expected, wire::TEXT, None, len, |out| out.resize(out.len() + len, b'x'));
            assert_eq!((number, sent), (7, &*expected), "{len} bytes");
        }
    }
}
