//! Whose address it is: the part of it that one customer of a provider has.

use core::net::IpAddr;

/// What the limits on an address count together: an IPv4 address, or the /64 of an IPv6 address, of which whoever has
/// one has all (RFC 6177). An IPv4 address written as an IPv6 one is the IPv4 address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Network {
    /// All 32 bits.
    V4(u32),
    /// The first 64 bits.
    V6(u64),
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Network::V4(address.to_bits()),
            IpAddr::V6(address) => Network::V6((address.to_bits() >> 64) as u64),
        }
    }
}
