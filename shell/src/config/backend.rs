//! The address of a backend.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::kinds::quote;

/// Where a backend listens: `ws://host:port/path?query`, or `wss://` where it speaks TLS.
///
/// The query may hold what only the backend should know, so `Debug` and `Display` leave it out.
#[derive(Clone, PartialEq, Eq)]
pub struct BackendUrl {
    /// Whether it speaks TLS.
    pub secure: bool,
    /// A name, or an IP address; IPv6 without its brackets.
    pub host: String,
    /// The port: unless said 80, with TLS 443.
    pub port: u16,
    /// What the request's first line asks for: at least `/`, with the query if there is one.
    pub path_and_query: String,
}

impl BackendUrl {
    /// Reads the URL of a backend.
    ///
    /// # Errors
    ///
    /// What is wrong and what to do, to follow the name of a key. Neither a user's name and password nor a query
    /// appear in it.
    pub fn parse(text: &str) -> Result<BackendUrl, String> {
        let wrong = |what: &str| Err(format!("{} {what}", shown(text)));
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "ws" => false,
            "wss" => true,
            _ => {
                return wrong(
                    "is not the URL of a WebSocket; write one such as \"ws://localhost:9000/path\"",
                );
            }
        };
        if rest.contains('#') {
            return wrong("has a fragment, which is never sent; take out what follows the #");
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return wrong("has a user's name or password, which are not sent; take out what precedes the @");
        }
        let Some((host, port)) = split_port(authority, default_port(secure)) else {
            return wrong("has a bad port; it may be 1 to 65535");
        };
        let Some(host) = host_of(host) else {
            return wrong("has a bad host; write a name, an IPv4 address, or an IPv6 address in brackets");
        };
        let path_and_query = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        if text.len() > 2048 || path_and_query.parse::<hyper::Uri>().is_err() {
            return wrong("has a path that cannot be sent; percent-encode it, and stay below 2048 bytes");
        }
        Ok(BackendUrl { secure, host, port, path_and_query })
    }

    /// Host and port as the `Host` header says them, IPv6 in brackets; the scheme's own port is left out.
    pub fn authority(&self) -> String {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        let port =
            if self.port == default_port(self.secure) { String::new() } else { format!(":{}", self.port) };
        format!("{open}{}{close}{port}", self.host)
    }
}

/// The URL in quotes, without what may be secret in it. Where there is an `@` anywhere, a password may hold any
/// other delimiter, so nothing but the scheme is safe to show.
pub(super) fn shown(text: &str) -> String {
    if !text.contains('@') {
        return quote(text.split(['?', '#']).next().unwrap_or_default());
    }
    match text.split_once("://") {
        Some((scheme @ ("ws" | "wss" | "http" | "https"), _)) => format!("\"{scheme}://…@…\""),
        _ => "\"…@…\"".to_owned(),
    }
}

/// The port of a scheme (RFC 6455, section 3).
fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

/// Splits `host:port`; `None` if there is a port that is none.
pub(super) fn split_port(authority: &str, default: u16) -> Option<(&str, u16)> {
    if authority.starts_with('[') && !authority.contains(']') {
        // The colons are the host's, which is at fault.
        return Some((authority, default));
    }
    let after_brackets = authority.rfind(']').map_or(0, |at| at + 1);
    match authority[after_brackets..].split_once(':') {
        None => Some((authority, default)),
        Some((host, port)) => {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            let port = port.parse().ok().filter(|port| digits && *port != 0)?;
            Some((&authority[..after_brackets + host.len()], port))
        }
    }
}

/// The host without brackets, if it is one.
pub(super) fn host_of(text: &str) -> Option<String> {
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().ok().map(|address| address.to_string());
    }
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let labels = text.strip_suffix('.').unwrap_or(text);
    let name = text.len() <= 253 && labels.split('.').all(label);
    // What ends in a number is an IPv4 address or a mistake: no top-level domain is a number.
    let last_is_number =
        labels.rsplit('.').next().is_some_and(|part| part.bytes().all(|b| b.is_ascii_digit()));
    (name && (!last_is_number || text.parse::<Ipv4Addr>().is_ok())).then(|| text.to_owned())
}

impl fmt::Display for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, query) = match self.path_and_query.split_once('?') {
            Some((path, _)) => (path, "?…"),
            None => (self.path_and_query.as_str(), ""),
        };
        let scheme = if self.secure { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{path}{query}", self.authority())
    }
}

impl fmt::Debug for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
