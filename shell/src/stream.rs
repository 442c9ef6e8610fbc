//! A connection, as the tasks of an endpoint read and write it.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transport::Transport;

/// A connection that one thread reads and writes through a shared reference.
#[derive(Debug)]
pub(crate) struct Stream(RefCell<Transport>);

impl Stream {
    /// Takes a connection over.
    pub(crate) fn new(transport: Transport) -> Self {
        Stream(RefCell::new(transport))
    }

    /// Reads what is there: 0 bytes at the end of the stream.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut *self.0.borrow_mut()).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Writes as much as the connection takes. What it took is with the system only once it has been flushed.
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_write(cx, bytes)
    }

    /// Hands on to the system what the connection still holds.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_flush(cx)
    }

    /// Says that nothing more will be written.
    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_shutdown(cx)
    }

    /// Whether the peer has reset the connection, or its machine has vanished, as far as TCP has noticed.
    pub(crate) fn is_reset(&self) -> bool {
        self.0.borrow_mut().is_reset()
    }

    /// Whether the peer's machine leaves unanswered what is sent to it.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.0.borrow_mut().is_unanswered()
    }
}
