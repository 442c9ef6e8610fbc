//! Sockets of the simulated network. A segment carries no more than on a real one, so that a peer that does not read
//! is felt after a few of them.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};

/// What one segment carries. How many may be under way is `run`'s `SEGMENTS_MAX`.
const SEGMENT_BYTES_MAX: usize = 1024;
/// What is looked at of a connection's beginning.
const BEGINNING_BYTES: usize = 256;

use crate::handover::Socket;

/// A listener.
pub(crate) struct TcpListener(turmoil::net::TcpListener);

impl TcpListener {
    /// The next connection, and whose it is.
    pub(crate) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.0.accept().await?;
        Ok((TcpStream(stream), peer))
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A connection.
#[derive(Debug)]
pub struct TcpStream(turmoil::net::TcpStream);

impl AsyncRead for TcpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, &bytes[..bytes.len().min(SEGMENT_BYTES_MAX)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A listener on `address` of the host that asks.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    // Simulated, it is there at once.
    let listener = turmoil::net::TcpListener::bind(address).now_or_never();
    listener.unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into())).map(TcpListener)
}

/// Simulated, no listener was there before.
pub(crate) fn adopt(listener: Socket) -> io::Result<TcpListener> {
    match listener {}
}

/// Connects to a host by its name.
pub(crate) async fn connect(host: &str, port: u16, limit: Duration) -> io::Result<TcpStream> {
    let connected = timeout(limit, turmoil::net::TcpStream::connect((host, port))).await;
    connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map(TcpStream)
}

/// Simulated, small writes go at once.
pub(crate) fn tune_client(stream: &TcpStream) -> io::Result<()> {
    stream.0.set_nodelay(true)
}

/// As [`tune_client`]: simulated TCP asks no silent peer whether it is there.
pub(crate) fn tune_link(stream: &TcpStream) -> io::Result<()> {
    stream.0.set_nodelay(true)
}

/// Whether what a connection begins with is as `expected`; nothing of it is taken.
pub(crate) async fn begins(stream: &mut TcpStream, expected: impl Fn(&[u8]) -> bool) -> io::Result<bool> {
    let mut beginning = [0; BEGINNING_BYTES];
    match stream.0.peek(&mut beginning).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        bytes => Ok(expected(&beginning[..bytes])),
    }
}

/// Whether the peer has reset the connection. Who asks does not read, and looks again when it does.
pub(crate) fn is_reset(stream: &mut TcpStream) -> bool {
    let mut beginning = [0; 1];
    let mut cx = Context::from_waker(Waker::noop());
    matches!(stream.0.poll_peek(&mut cx, &mut ReadBuf::new(&mut beginning)), Poll::Ready(Err(_)))
}

/// Simulated TCP does not count what goes unanswered: only a Ping notices a peer that has vanished.
pub(crate) fn is_unanswered(_stream: &TcpStream) -> bool {
    false
}

/// A connection on its way to another thread, which is the same.
#[derive(Debug)]
pub struct Detached(TcpStream);

pub(crate) fn detach(stream: TcpStream) -> io::Result<Detached> {
    Ok(Detached(stream))
}

pub(crate) fn attach(stream: Detached) -> io::Result<TcpStream> {
    Ok(stream.0)
}
