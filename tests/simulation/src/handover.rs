//! Simulated, no gateway takes over from another.

use std::{future::pending, io, net::SocketAddr, path::Path};

/// A socket of another process, of which there is none.
pub(crate) enum Socket {}

/// Nothing.
pub(crate) struct Inherited;

impl Inherited {
    pub(crate) async fn take(_path: Option<&Path>) -> io::Result<Inherited> {
        Ok(Inherited)
    }

    pub(crate) fn socket(&mut self, _address: SocketAddr) -> Option<Socket> {
        None
    }

    pub(crate) fn unclaimed(&self) -> Option<SocketAddr> {
        None
    }

    pub(crate) async fn ready(self) {}
}

/// An offer to nobody.
pub(crate) struct Offer;

impl Offer {
    pub(crate) fn new<'s, S: 's>(
        _path: Option<&Path>,
        _sockets: impl Iterator<Item = &'s S>,
    ) -> io::Result<Offer> {
        Ok(Offer)
    }

    pub(crate) async fn taken(self) {
        pending().await
    }
}
