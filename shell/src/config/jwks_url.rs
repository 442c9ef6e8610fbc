//! The address of a set of keys.

use std::{fmt, net::IpAddr};

use toml::de::DeValue;

use super::{
    backend::{host_of, shown, split_port},
    kinds::{Kind, what},
};

/// Where keys are published: `https://host:port/path?query`, or `http://`.
///
/// The query may hold what only the issuer should know, so `Debug` and `Display` leave it out.
#[derive(Clone, PartialEq, Eq)]
pub struct JwksUrl {
    /// Whether it is to be asked over TLS.
    pub secure: bool,
    /// A name, or an IP address; IPv6 without its brackets.
    pub host: String,
    /// The port: 443 unless said, without TLS 80.
    pub port: u16,
    /// What the request's first line asks for: at least `/`, with the query if there is one.
    pub path_and_query: String,
}

impl JwksUrl {
    /// Reads the URL of a set of keys.
    ///
    /// # Errors
    ///
    /// What is wrong and what to do, to follow the name of a key. Neither a user's name and password nor a query
    /// appear in it.
    pub fn parse(text: &str) -> Result<JwksUrl, String> {
        let wrong = |what: &str| Err(format!("{} {what}", shown(text)));
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => {
                return wrong(
                    "is not the URL of keys; write one such as \"https://issuer.example/jwks.json\"",
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
        Ok(JwksUrl { secure, host, port, path_and_query })
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
    fn whole(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority(), self.path_and_query)
    }
}

/// The kind of value that says where keys are published.
pub(super) struct KeysAt;

impl Kind for KeysAt {
    type Value = JwksUrl;

    fn name(&self) -> String {
        "string".to_owned()
    }

    fn range(&self) -> String {
        "`https://host:port/path` or `http://host:port/path`, port 443 or 80 unless said".to_owned()
    }

    fn read(&self, value: &DeValue<'_>) -> Result<JwksUrl, Vec<String>> {
        match value.as_str() {
            Some(text) => JwksUrl::parse(text).map_err(|problem| vec![problem]),
            None => Err(vec![format!("{}; write a string: {}", what(value), self.range().replace('`', ""))]),
        }
    }

    fn show(&self, url: &JwksUrl) -> String {
        format!("\"{url}\"")
    }

    fn identify(&self, url: &JwksUrl) -> String {
        url.whole()
    }
}

/// The port of a scheme (RFC 9110, section 4.2).
fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

impl fmt::Display for JwksUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.whole();
        match whole.split_once('?') {
            Some((path, _)) => write!(f, "{path}?…"),
            None => f.write_str(&whole),
        }
    }
}

impl fmt::Debug for JwksUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
