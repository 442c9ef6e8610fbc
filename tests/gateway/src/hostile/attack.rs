//! One hostile connection: what it sends, how it ends, and what the gateway made of it.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::{frames, heads, tally::Outcome};
use crate::rig::Handshake;

/// How long the gateway may take to end a connection that has nothing more to say: longer than all of its timeouts in
/// [`super::campaign`].
const END_LIMIT: Duration = Duration::from_secs(20);
/// What is kept of an answer.
const ANSWER_BYTES_MAX: usize = 256 << 10;
/// Users of those that come in: few, so that they take each other's sessions over.
const USERS: u64 = 64;

/// What a hostile connection does.
#[derive(Clone, Debug)]
pub(super) struct Attack {
    /// What kind of hostility it is.
    pub(super) name: &'static str,
    /// A right handshake, whose answer is waited for before anything else is sent.
    pub(super) greeting: Option<String>,
    /// What is sent, piece by piece.
    pub(super) pieces: Vec<Vec<u8>>,
    pub(super) ending: Ending,
}

/// What follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    /// It says that it will send no more, and reads until the gateway ends the connection.
    Fin,
    /// It says nothing more, and reads until the gateway ends the connection. Only where the gateway must.
    Wait,
    /// It resets the connection, and reads nothing.
    Reset,
}

impl Attack {
    /// The attack of this number.
    pub(super) fn of(seed: u64, number: u64) -> Attack {
        let mut dice = StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number);
        let user = format!("hostile-{}", dice.random_range(0..USERS));
        if dice.random_bool(0.5) {
            heads::attack(&mut dice, &user)
        } else {
            let attack = frames::attack(&mut dice);
            Attack { greeting: Some(Handshake::of(&user).text()), ..attack }
        }
    }

    /// Carries it out.
    pub(super) async fn carry_out(&self, gateway: SocketAddr, number: u64) -> Outcome {
        match timeout(END_LIMIT, self.converse(gateway, number)).await {
            Ok(Ok(answer)) if self.ending == Ending::Reset => {
                if answer.is_empty() {
                    Outcome::Reset
                } else {
                    Outcome::of(&answer)
                }
            }
            Ok(Ok(answer)) => Outcome::of(&answer),
            Ok(Err(error)) => Outcome::Unreachable(error.to_string()),
            Err(_) => Outcome::NotEnded,
        }
    }

    async fn converse(&self, gateway: SocketAddr, number: u64) -> io::Result<Vec<u8>> {
        let mut stream = connect(gateway, number).await?;
        let mut answer = Vec::new();
        if let Some(greeting) = &self.greeting {
            // Whatever goes wrong from here on is the end of the connection, which is read below.
            let _ = stream.write_all(greeting.as_bytes()).await;
            while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
                if !matches!(stream.read_buf(&mut answer).await, Ok(1..)) {
                    return Ok(answer);
                }
            }
        }
        // The gateway may stop reading and end the connection, and must not be waited for: so reading goes on.
        let (mut reading, mut writing) = stream.split();
        let sending = async {
            for piece in &self.pieces {
                if writing.write_all(piece).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
            if self.ending == Ending::Fin {
                let _ = writing.shutdown().await;
            }
        };
        if self.ending == Ending::Reset {
            // A piece that the gateway does not take any more is not worth waiting for.
            let _ = timeout(Duration::from_millis(200), sending).await;
            stream.set_zero_linger()?;
            return Ok(answer);
        }
        tokio::join!(sending, read_to_end(&mut reading, &mut answer));
        Ok(answer)
    }
}

async fn read_to_end(stream: &mut (impl AsyncReadExt + Unpin), answer: &mut Vec<u8>) {
    // A reset is an end, too.
    while let Ok(1..) = stream.read_buf(answer).await {
        answer.truncate(ANSWER_BYTES_MAX);
    }
}

/// Connects from one of 250 addresses of the loopback network, as the number says: one alone has not enough ports for
/// so many, and of far more than that the gateway would remember each for a while.
async fn connect(gateway: SocketAddr, number: u64) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 1, 0, (number % 250) as u8 + 1), 0)))?;
    let stream = socket.connect(gateway).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Cuts `bytes` into up to three pieces.
pub(super) fn cut(dice: &mut StdRng, bytes: Vec<u8>) -> Vec<Vec<u8>> {
    let mut pieces = vec![bytes];
    for _ in 0..dice.random_range(0..3) {
        let last = pieces.last_mut().map(|last| last.split_off(dice.random_range(0..=last.len())));
        pieces.extend(last);
    }
    pieces
}

/// Any bytes.
pub(super) fn noise(dice: &mut StdRng, sizes: std::ops::Range<usize>) -> Vec<u8> {
    let size = dice.random_range(sizes);
    (0..size).map(|_| dice.random()).collect()
}

/// Changes `bytes` in one to eight places.
pub(super) fn mutate(dice: &mut StdRng, bytes: &mut Vec<u8>) {
    for _ in 0..dice.random_range(1..=8) {
        let at = dice.random_range(0..=bytes.len());
        match dice.random_range(0..5) {
            0 => bytes.insert(at, dice.random()),
            1 => bytes.truncate(at.max(1)),
            2 => {
                let end = dice.random_range(at..=bytes.len());
                let part = bytes[at..end].to_vec();
                bytes.extend(part);
            }
            3 => drop(bytes.drain(at..(at + 4).min(bytes.len()))),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << dice.random_range(0..8);
                }
            }
        }
    }
}
