//! The client's address, where proxies stand before the gateway: what they say of it, and whom to believe.
//!
//! Only an address in [`Proxies`] is believed, so whoever connects past the proxies speaks for nobody but itself.

mod forwarded;
pub mod proxy_protocol;

use alloc::vec::Vec;
use core::net::IpAddr;

use ipnet::IpNet;

/// Hops that are followed back at most.
const HOPS_MAX: usize = 32;

/// How proxies say whom they speak for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Announced {
    /// They do not: whoever connects is the client.
    Peer,
    /// `Forwarded: for=192.0.2.43, for="[2001:db8::17]:4711"` (RFC 7239).
    Forwarded,
    /// `X-Forwarded-For: 192.0.2.43, 198.51.100.17`
    XForwardedFor,
    /// A header before everything else on the connection: see [`proxy_protocol`].
    ProxyProtocol,
}

/// The proxies that are believed: by their addresses, or by networks that nobody else has an address in.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Proxies(Vec<IpNet>);

/// A header that proxies write has something else in it than they write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unreadable;

/// What is said of one hop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Node {
    Known(IpAddr),
    /// `unknown`, or a name that the proxy made up (RFC 7239, sections 6.2 and 6.3).
    Hidden,
    /// Something else, which is a fault only where the hop counts: the client may write what it likes before it.
    Junk,
}

impl Proxies {
    /// The proxies of these networks; none: nobody is believed.
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        Proxies(networks.into_iter().collect())
    }

    /// Whether an address is that of a proxy that is believed.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client's address in a request that came from `peer`: the last that no believed proxy has, going back from hop
    /// to hop. `lines` are the values of the header, one for each line on which it came. Where the way back
    /// ends at a proxy, because the header is missing or hides what was before, that proxy's address stands for its client.
    pub fn client(&self, announced: Announced, peer: IpAddr, lines: &[&[u8]]) -> Result<IpAddr, Unreadable> {
        let peer = peer.to_canonical();
        let read: fn(&[u8]) -> Result<Vec<Node>, Unreadable> = match announced {
            Announced::Peer | Announced::ProxyProtocol => return Ok(peer),
            Announced::Forwarded => forwarded::read_forwarded,
            Announced::XForwardedFor => forwarded::read_x_forwarded_for,
        };
        let (mut nearest, mut hops) = (peer, 0_usize);
        for line in lines.iter().rev() {
            if !self.trusts(nearest) {
                break;
            }
            for node in read(line)?.into_iter().rev() {
                if !self.trusts(nearest) || hops == HOPS_MAX {
                    return Ok(nearest);
                }
                hops = hops.saturating_add(1);
                match node {
                    Node::Known(address) => nearest = address,
                    Node::Hidden => return Ok(nearest),
                    Node::Junk => return Err(Unreadable),
                }
            }
        }
        Ok(nearest)
    }
}

impl From<IpAddr> for Node {
    fn from(address: IpAddr) -> Self {
        Node::Known(address.to_canonical())
    }
}
