//! The one module of a running gateway that opens sockets, and asks what becomes of them, so that a simulator can take its
//! place. The demo and `connect` have their own.

use std::{io, net::SocketAddr, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{net::lookup_host, time::timeout};

use crate::sys;

/// What the gateway listens and talks with; nothing else in it names the library's sockets.
pub use tokio::net::{TcpListener, TcpStream};

/// Connections that wait to be accepted, at most: what comes between two turns of the front, in a storm. The system may
/// allow fewer (`net.core.somaxconn`); whom it has no room for it leaves to try again, a second later and more.
const BACKLOG: i32 = 4096;
/// Addresses of a name that are tried at most.
const ADDRESSES_MAX: usize = 8;
/// What is looked at of a connection's beginning.
const BEGINNING_BYTES: usize = 256;

/// A listener on `address`; port 0 takes a free one.
///
/// # Errors
///
/// The address is in use, or may not be bound.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // A restart need not wait for the connections of the last run to be forgotten.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// A listener that was there before this process.
///
/// # Errors
///
/// The system refuses.
pub fn adopt(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Connects to the first address of `host` that answers; each has its share of `limit`.
///
/// # Errors
///
/// The name has no address, or none answers.
pub async fn connect(host: &str, port: u16, limit: Duration) -> io::Result<TcpStream> {
    let addresses: Vec<_> = lookup_host((host, port)).await?.take(ADDRESSES_MAX).collect();
    let share = limit / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in addresses {
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

/// Small writes go at once: both sides of the gateway batch by themselves.
pub fn tune_client(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)
}

/// As [`tune_client`]; besides, an idle link whose peer's machine has vanished ends within about eleven seconds.
/// One with data under way is seen to by [`crate::sys::is_unanswered`].
pub fn tune_link(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(5))
        .with_interval(Duration::from_secs(2))
        .with_retries(3);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Whether what a connection begins with is as `expected`; nothing of it is taken.
///
/// # Errors
///
/// The connection has ended or failed before it said anything.
pub async fn begins(stream: &mut TcpStream, expected: impl Fn(&[u8]) -> bool) -> io::Result<bool> {
    let mut beginning = [0; BEGINNING_BYTES];
    match stream.peek(&mut beginning).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        bytes => Ok(expected(&beginning[..bytes])),
    }
}

/// Whether the peer has reset the connection, or its machine has vanished, as far as TCP has noticed.
pub fn is_reset(stream: &mut TcpStream) -> bool {
    sys::is_closed(stream)
}

/// Whether the peer's machine leaves unanswered what is sent to it.
pub fn is_unanswered(stream: &TcpStream) -> bool {
    sys::is_unanswered(stream)
}

/// A connection on its way to another thread's runtime.
#[derive(Debug)]
pub struct Detached(std::net::TcpStream);

/// Takes a connection out of this thread's runtime.
///
/// # Errors
///
/// The system refuses.
pub fn detach(stream: TcpStream) -> io::Result<Detached> {
    stream.into_std().map(Detached)
}

/// Puts a connection into this thread's runtime.
///
/// # Errors
///
/// The system refuses.
pub fn attach(stream: Detached) -> io::Result<TcpStream> {
    TcpStream::from_std(stream.0)
}
