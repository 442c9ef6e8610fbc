//! A connection, as the tasks of an endpoint read and write it.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::{self, TcpStream};

/// A connection that one thread reads and writes through a shared reference.
#[derive(Debug)]
pub(crate) struct Stream(RefCell<TcpStream>);

impl Stream {
    /// Takes a connection over.
    pub(crate) fn new(stream: TcpStream) -> Self {
        Stream(RefCell::new(stream))
    }

    /// Reads what is there: 0 bytes at the end of the stream.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut *self.0.borrow_mut()).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Writes as much as the socket takes.
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_write(cx, bytes)
    }

    /// Says that nothing more will be written.
    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_shutdown(cx)
    }

    /// Whether the peer has reset the connection, or its machine has vanished, as far as TCP has noticed.
    pub(crate) fn is_reset(&self) -> bool {
        net::is_reset(&mut self.0.borrow_mut())
    }

    /// Whether the peer's machine leaves unanswered what is sent to it.
    pub(crate) fn is_unanswered(&self) -> bool {
        net::is_unanswered(&self.0.borrow())
    }
}
