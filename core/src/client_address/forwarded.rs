//! The headers by which HTTP proxies say whom they speak for.
//!
//! A proxy adds to what the client sent, so what stands on the left is the client's to write. A line of `Forwarded` is read
//! whole, or not at all: whoever leaves a quote open in front of what the proxy adds hides it from nobody.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{HOPS_MAX, Node, Unreadable};

/// `192.0.2.43, 2001:db8::17, [2001:db8::17]:4711, unknown`, the nearest hop last: of the last [`HOPS_MAX`] entries.
pub(super) fn read_x_forwarded_for(line: &[u8]) -> Result<Vec<Node>, Unreadable> {
    let entries = line.rsplit(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let read = |entry: &[u8]| {
        let text = str::from_utf8(entry).map_err(|_| Unreadable)?;
        // Unlike in Forwarded, an IPv6 address comes without brackets too.
        text.parse::<Ipv6Addr>().map(|address| IpAddr::V6(address).into()).or_else(|_| node(text))
    };
    let entries = entries.filter(|entry| !entry.is_empty()).take(HOPS_MAX);
    let mut nodes: Vec<Node> = entries.map(|entry| read(entry).unwrap_or(Node::Junk)).collect();
    nodes.reverse();
    Ok(nodes)
}

/// `for=192.0.2.43;proto=https, for="[2001:db8::17]:4711"` (RFC 7239, section 4), the nearest hop last: of the last
/// [`HOPS_MAX`] elements. An element without `for` hides its hop.
pub(super) fn read_forwarded(line: &[u8]) -> Result<Vec<Node>, Unreadable> {
    let text = str::from_utf8(line).map_err(|_| Unreadable)?;
    let mut nodes = Vec::new();
    for element in split_outside_quotes(text, ',')? {
        if element.trim_matches(WHITE).is_empty() {
            continue;
        }
        let mut found = None;
        for pair in split_outside_quotes(element, ';')? {
            let pair = pair.trim_matches(WHITE);
            if pair.is_empty() {
                continue;
            }
            let (name, value) = pair.split_once('=').ok_or(Unreadable)?;
            if !name.eq_ignore_ascii_case("for") {
                continue;
            }
            // A parameter comes once (section 4).
            if found.replace(node(unquoted(value)?)?).is_some() {
                return Err(Unreadable);
            }
        }
        nodes.push(found.unwrap_or(Node::Hidden));
    }
    let beyond = nodes.len().saturating_sub(HOPS_MAX);
    nodes.drain(..beyond);
    Ok(nodes)
}

const WHITE: [char; 2] = [' ', '\t'];

/// The parts between the separators that stand in no quoted string. A quote that is not closed is a fault.
fn split_outside_quotes(text: &str, separator: char) -> Result<Vec<&str>, Unreadable> {
    let (mut parts, mut rest) = (Vec::new(), text);
    let (mut quoted, mut escaped) = (false, false);
    let mut begin = 0;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if c == separator && !quoted => {
                parts.push(text.get(begin..at).unwrap_or_default());
                begin = at.saturating_add(c.len_utf8());
                rest = text.get(begin..).unwrap_or_default();
            }
            _ => {}
        }
    }
    if quoted {
        return Err(Unreadable);
    }
    parts.push(rest);
    Ok(parts)
}

/// A token as it stands, a quoted string without its quotes. No node needs a backslash.
fn unquoted(value: &str) -> Result<&str, Unreadable> {
    let inner = match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').ok_or(Unreadable)?,
        None => value,
    };
    if inner.contains(['"', '\\']) { Err(Unreadable) } else { Ok(inner) }
}

/// `node = nodename [ ":" node-port ]` (RFC 7239, section 6).
fn node(text: &str) -> Result<Node, Unreadable> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']').ok_or(Unreadable)?;
            let address: Ipv6Addr = address.parse().map_err(|_| Unreadable)?;
            let port = match after {
                "" => None,
                _ => Some(after.strip_prefix(':').ok_or(Unreadable)?),
            };
            (Node::from(IpAddr::V6(address)), port)
        }
        None => {
            let (name, port) = match text.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (text, None),
            };
            let hidden = name.eq_ignore_ascii_case("unknown") || is_obfuscated(name);
            let address = || name.parse::<Ipv4Addr>().map(|address| IpAddr::V4(address).into());
            (if hidden { Node::Hidden } else { address().map_err(|_| Unreadable)? }, port)
        }
    };
    let is_port = |port: &str| {
        is_obfuscated(port)
            || ((1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit()))
    };
    if port.is_none_or(is_port) { Ok(name) } else { Err(Unreadable) }
}

fn is_obfuscated(text: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    text.strip_prefix('_').is_some_and(|name| !name.is_empty() && name.bytes().all(is_of_name))
}
