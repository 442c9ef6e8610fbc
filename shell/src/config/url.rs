//! The address of a server: a backend, or whoever publishes keys.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use toml::de::DeValue;

use super::kinds::{Kind, quote, what};

/// Where a server is reached: `ws://host:port/path?query` or `http://…`, or `wss://…` or `https://…` where it speaks TLS.
///
/// The query may hold what only the server should know, so `Debug` and `Display` leave it out.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    schemes: &'static Schemes,
    /// Whether it speaks TLS.
    pub secure: bool,
    /// A name, or an IP address; IPv6 without its brackets.
    pub host: String,
    /// The port: unless said 80, with TLS 443.
    pub port: u16,
    /// What the request's first line asks for: at least `/`, with the query if there is one.
    pub path_and_query: String,
}

/// How the URLs of one kind begin.
#[derive(PartialEq, Eq)]
struct Schemes {
    plain: &'static str,
    secure: &'static str,
    /// What is said of one that begins otherwise.
    wrong: &'static str,
}

static WEBSOCKET: Schemes = Schemes {
    plain: "ws",
    secure: "wss",
    wrong: "is not the URL of a WebSocket; write one such as \"ws://localhost:9000/path\"",
};
static HTTP: Schemes = Schemes {
    plain: "http",
    secure: "https",
    wrong: "is not the URL of keys; write one such as \"https://issuer.example/jwks.json\"",
};

impl ServerUrl {
    /// Reads the URL of a WebSocket: `ws://` or `wss://`.
    ///
    /// # Errors
    ///
    /// What is wrong and what to do, to follow the name of a key. Neither a user's name and password nor a query
    /// appear in it.
    pub fn websocket(text: &str) -> Result<ServerUrl, String> {
        Self::parse(text, &WEBSOCKET)
    }

    /// Reads the URL of what is published: `http://` or `https://`.
    ///
    /// # Errors
    ///
    /// As [`ServerUrl::websocket`].
    pub fn http(text: &str) -> Result<ServerUrl, String> {
        Self::parse(text, &HTTP)
    }

    fn parse(text: &str, schemes: &'static Schemes) -> Result<ServerUrl, String> {
        let wrong = |what: &str| Err(format!("{} {what}", shown(text)));
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let secure = scheme.eq_ignore_ascii_case(schemes.secure);
        if !secure && !scheme.eq_ignore_ascii_case(schemes.plain) {
            return wrong(schemes.wrong);
        }
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
        Ok(ServerUrl { schemes, secure, host, port, path_and_query })
    }

    /// Host and port as the `Host` header says them, IPv6 in brackets; the scheme's own port is left out.
    pub fn authority(&self) -> String {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        let own = self.port == default_port(self.secure);
        let port = if own { String::new() } else { format!(":{}", self.port) };
        format!("{open}{}{close}{port}", self.host)
    }

    /// Whether the host is this machine, which no one on the way can pose as.
    pub fn is_loopback(&self) -> bool {
        let name = self.host.strip_suffix('.').unwrap_or(&self.host);
        name.eq_ignore_ascii_case("localhost")
            || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }

    /// All of it, the query included: nothing to be shown.
    pub(super) fn whole(&self) -> String {
        let scheme = if self.secure { self.schemes.secure } else { self.schemes.plain };
        format!("{scheme}://{}{}", self.authority(), self.path_and_query)
    }
}

/// The kind of value that says where keys are published.
pub(super) struct KeysAt;

impl Kind for KeysAt {
    type Value = ServerUrl;

    fn name(&self) -> String {
        "string".to_owned()
    }

    fn range(&self) -> String {
        "`https://host:port/path` or `http://host:port/path`, port 443 or 80 unless said".to_owned()
    }

    fn read(&self, value: &DeValue<'_>) -> Result<ServerUrl, Vec<String>> {
        match value.as_str() {
            Some(text) => ServerUrl::http(text).map_err(|problem| vec![problem]),
            None => Err(vec![format!("{}; write a string: {}", what(value), self.range().replace('`', ""))]),
        }
    }

    fn show(&self, url: &ServerUrl) -> String {
        format!("\"{url}\"")
    }

    fn identify(&self, url: &ServerUrl) -> String {
        url.whole()
    }
}

/// The URL in quotes, without what may be secret in it. Where there is an `@` anywhere, a password may hold any
/// other delimiter, so nothing but the scheme is safe to show.
fn shown(text: &str) -> String {
    if !text.contains('@') {
        return quote(text.split(['?', '#']).next().unwrap_or_default());
    }
    match text.split_once("://") {
        Some((scheme @ ("ws" | "wss" | "http" | "https"), _)) => format!("\"{scheme}://…@…\""),
        _ => "\"…@…\"".to_owned(),
    }
}

/// The port of a scheme (RFC 6455, section 3; RFC 9110, section 4.2).
fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

/// Splits `host:port`; `None` if there is a port that is none.
fn split_port(authority: &str, default: u16) -> Option<(&str, u16)> {
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
fn host_of(text: &str) -> Option<String> {
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

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.whole();
        match whole.split_once('?') {
            Some((path, _)) => write!(f, "{path}?…"),
            None => f.write_str(&whole),
        }
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
