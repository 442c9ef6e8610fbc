//! The PROXY protocol, versions 1 and 2: what a proxy that knows no HTTP puts in front of the bytes that it passes on
//! (<https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>).
//!
//! What comes after the header is not ours to take, so it is read as one would feel one's way: [`read`] says how many bytes
//! can be read without passing its end.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The bytes of a header at most; one of version 1 has at most 107. What a proxy adds to version 2 (TLS, its own ids) is passed over.
pub const HEADER_BYTES_MAX: usize = 2_048;
/// The bytes of a line of version 1, its end included (section 2.1).
const LINE_BYTES_MAX: usize = 107;
/// The shortest header there is: `PROXY UNKNOWN\r\n`.
const SHORTEST: usize = 15;
/// How version 2 begins (section 2.2), and how long the part is that every header has.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const FIXED: usize = 16;

/// How far a header has been read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// It has at least so many more bytes.
    Needs(usize),
    /// It ends here.
    Complete(Source),
}

/// Whom the proxy speaks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// The client of this address.
    Client(IpAddr),
    /// Itself, as when it looks whether the gateway is there; or it does not know. The peer's address counts.
    Peer,
}

/// It is no header of the protocol, or one that is too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoHeader;

/// Reads what has come so far of a header, all of which belongs to it.
pub fn read(bytes: &[u8]) -> Result<Progress, NoHeader> {
    if let Some(missing) = SHORTEST.checked_sub(bytes.len()).filter(|missing| *missing > 0) {
        let begins = |whole: &[u8]| whole.iter().zip(bytes).all(|(one, other)| one == other);
        return if begins(SIGNATURE) || begins(b"PROXY ") {
            Ok(Progress::Needs(missing))
        } else {
            Err(NoHeader)
        };
    }
    if bytes.starts_with(SIGNATURE) { read_binary(bytes) } else { read_line(bytes) }
}

/// Version 1: `PROXY TCP4 192.0.2.43 198.51.100.1 56324 443\r\n`.
fn read_line(bytes: &[u8]) -> Result<Progress, NoHeader> {
    if !bytes.starts_with(b"PROXY ") {
        return Err(NoHeader);
    }
    let Some(line) = bytes.strip_suffix(b"\r\n") else {
        // A return can only be followed by the newline.
        let missing = if bytes.ends_with(b"\r") { 1 } else { 2 };
        let fits = bytes.len().saturating_add(missing) <= LINE_BYTES_MAX;
        let is_over = bytes.contains(&b'\n') || !fits;
        return if is_over { Err(NoHeader) } else { Ok(Progress::Needs(missing)) };
    };
    let line = str::from_utf8(line).map_err(|_| NoHeader)?;
    if line.contains(['\r', '\n']) {
        return Err(NoHeader);
    }
    let mut words = line.strip_prefix("PROXY ").ok_or(NoHeader)?.split(' ');
    let source: IpAddr = match words.next() {
        // What follows is to be ignored.
        Some("UNKNOWN") => return Ok(Progress::Complete(Source::Peer)),
        Some("TCP4") => {
            let (source, _) = (address::<Ipv4Addr>(words.next())?, address::<Ipv4Addr>(words.next())?);
            source.into()
        }
        Some("TCP6") => {
            let (source, _) = (address::<Ipv6Addr>(words.next())?, address::<Ipv6Addr>(words.next())?);
            source.into()
        }
        _ => return Err(NoHeader),
    };
    let ports = [words.next(), words.next()].into_iter().all(|port| port.is_some_and(is_port));
    if !ports || words.next().is_some() {
        return Err(NoHeader);
    }
    Ok(Progress::Complete(Source::Client(source.to_canonical())))
}

fn address<A: core::str::FromStr>(word: Option<&str>) -> Result<A, NoHeader> {
    word.and_then(|word| word.parse().ok()).ok_or(NoHeader)
}

/// Decimal, without leading zeros.
fn is_port(word: &str) -> bool {
    word.parse::<u16>().is_ok_and(|port| word == alloc::format!("{port}"))
}

/// Version 2: signature, version and command, family and transport, length, addresses, whatever else.
fn read_binary(bytes: &[u8]) -> Result<Progress, NoHeader> {
    let Some((&[command, family, high, low], rest)) =
        bytes.get(SIGNATURE.len()..).and_then(<[u8]>::split_first_chunk::<4>)
    else {
        return Ok(Progress::Needs(FIXED.saturating_sub(bytes.len()).max(1)));
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if command >> 4 != 2 || FIXED.saturating_add(length) > HEADER_BYTES_MAX {
        return Err(NoHeader);
    }
    // Unspecified, or TCP, UDP and Unix sockets; what is not known is no header.
    let (of, over) = (family >> 4, family & 0xf);
    if of > 3 || over > 2 {
        return Err(NoHeader);
    }
    match length.checked_sub(rest.len()) {
        Some(0) => {}
        Some(missing) => return Ok(Progress::Needs(missing)),
        // More has been read than was asked for.
        None => return Err(NoHeader),
    }
    match command & 0xf {
        0 => Ok(Progress::Complete(Source::Peer)),
        1 => {
            let (addresses_v4, addresses_v6) = (rest.first_chunk::<12>(), rest.first_chunk::<36>());
            let client = match (family, addresses_v4, addresses_v6) {
                (0x11, Some(&[a, b, c, d, ..]), _) => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
                (0x21, _, Some(addresses)) => {
                    let octets: [u8; 16] = addresses.first_chunk().copied().ok_or(NoHeader)?;
                    IpAddr::V6(Ipv6Addr::from_octets(octets))
                }
                (0x11 | 0x21, ..) => return Err(NoHeader),
                // What the gateway cannot have been connected to by: it tells nothing.
                _ => return Ok(Progress::Complete(Source::Peer)),
            };
            Ok(Progress::Complete(Source::Client(client.to_canonical())))
        }
        _ => Err(NoHeader),
    }
}
