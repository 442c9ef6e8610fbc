//! What carries a connection: TCP, or TLS over TCP. Handshakes go over it, and what follows them.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;

use crate::net::{self, Detached, TcpStream};

/// A connection that can be read and written on the thread that it is attached to.
#[derive(Debug)]
pub enum Transport {
    /// As it is.
    Plain(Carrier),
    /// Encrypted. Boxed, for those that are not must stay small.
    Secure(Box<TlsStream<Carrier>>),
}

/// A TCP connection that can be moved from one thread's runtime to another's.
#[derive(Debug)]
pub enum Carrier {
    /// In this thread's runtime.
    Here(TcpStream),
    /// On its way to another's.
    Away(Detached),
    /// Lost on the way.
    Gone,
}

impl Transport {
    /// An unencrypted connection.
    pub fn plain(stream: TcpStream) -> Self {
        Transport::Plain(Carrier::Here(stream))
    }

    /// An encrypted connection, its TLS handshake done.
    pub fn secure(stream: impl Into<TlsStream<Carrier>>) -> Self {
        Transport::Secure(Box::new(stream.into()))
    }

    /// Takes it out of this thread's runtime.
    ///
    /// # Errors
    ///
    /// The system refuses; the connection is lost.
    pub fn detach(mut self) -> io::Result<Self> {
        let carrier = self.carrier_mut();
        let Carrier::Here(stream) = std::mem::replace(carrier, Carrier::Gone) else { return Ok(self) };
        *carrier = Carrier::Away(net::detach(stream)?);
        Ok(self)
    }

    /// Puts it into this thread's runtime.
    ///
    /// # Errors
    ///
    /// The system refuses; the connection is lost.
    pub fn attach(mut self) -> io::Result<Self> {
        let carrier = self.carrier_mut();
        let Carrier::Away(stream) = std::mem::replace(carrier, Carrier::Gone) else { return Ok(self) };
        *carrier = Carrier::Here(net::attach(stream)?);
        Ok(self)
    }

    /// Whether the peer has reset the connection, or its machine has vanished, as far as TCP has noticed.
    pub fn is_reset(&mut self) -> bool {
        match self.carrier_mut() {
            Carrier::Here(stream) => net::is_reset(stream),
            Carrier::Away(_) | Carrier::Gone => false,
        }
    }

    /// Whether the peer's machine leaves unanswered what is sent to it.
    pub fn is_unanswered(&mut self) -> bool {
        match self.carrier_mut() {
            Carrier::Here(stream) => net::is_unanswered(stream),
            Carrier::Away(_) | Carrier::Gone => false,
        }
    }

    fn carrier_mut(&mut self) -> &mut Carrier {
        match self {
            Transport::Plain(carrier) => carrier,
            Transport::Secure(stream) => match &mut **stream {
                TlsStream::Server(stream) => stream.get_mut().0,
                TlsStream::Client(stream) => stream.get_mut().0,
            },
        }
    }
}

/// Passes a call on to what carries the connection.
macro_rules! pass_on {
    ($transport:expr, $call:ident($($argument:expr),*)) => {
        match &mut *$transport {
            Transport::Plain(carrier) => Pin::new(carrier).$call($($argument),*),
            Transport::Secure(stream) => Pin::new(&mut **stream).$call($($argument),*),
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        pass_on!(self, poll_read(cx, buffer))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        pass_on!(self, poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        pass_on!(self, poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        pass_on!(self, poll_shutdown(cx))
    }
}

impl Carrier {
    fn here(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        match self {
            Carrier::Here(stream) => Ok(Pin::new(stream)),
            Carrier::Away(_) | Carrier::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl AsyncRead for Carrier {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.here()?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Carrier {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.here()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.here()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.here()?.poll_shutdown(cx)
    }
}
