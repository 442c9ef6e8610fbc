//! Origins: which pages may connect to an endpoint (RFC 6454, section 7; RFC 6455, section 10.2).
//!
//! Only browsers say where a page comes from, and they always do when it opens a WebSocket. So a request without
//! `Origin` is from no page, and passes: what it could forge, it could as well leave out.

use alloc::{borrow::ToOwned, boxed::Box, string::String};
use core::{fmt, net::Ipv6Addr};

/// Pages that may connect: those of one origin, or of all subdomains of a host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AllowedOrigin {
    /// `null`: what browsers say for a page that has no origin, such as a local file, a sandboxed frame.
    Null,
    /// `https://app.example.com`
    Exact(Origin),
    /// `https://*.example.com`: of any depth, but not the host itself, which stands in the origin.
    Subdomains(Origin),
}

/// Scheme, host and port, in lower case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    scheme: Box<str>,
    host: Box<str>,
    /// `None`: it is not written, and the scheme is not one whose default is known.
    port: Option<u16>,
}

/// Why a text is no [`AllowedOrigin`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OriginFault {
    /// It is not `scheme://host` or `scheme://host:port`.
    Form,
    /// Something follows the host or port, if only a slash.
    Path,
    /// A host is written otherwise than browsers write it.
    Host,
    /// A star stands elsewhere than in place of the first label, or stands for all there is.
    Star,
    /// The port is none.
    Port,
}

impl AllowedOrigin {
    /// Reads what an operator writes.
    pub fn parse(text: &str) -> Result<Self, OriginFault> {
        if text == "null" {
            return Ok(AllowedOrigin::Null);
        }
        let (scheme, rest) = text.split_once("://").ok_or(OriginFault::Form)?;
        if rest.contains(['/', '?', '#', '@']) {
            return Err(OriginFault::Path);
        }
        let (host, star) = match rest.strip_prefix("*.") {
            Some(host) => (host, true),
            None => (rest, false),
        };
        if host.contains('*') {
            return Err(OriginFault::Star);
        }
        let origin = Origin::read(scheme, host)?;
        if !star {
            return Ok(AllowedOrigin::Exact(origin));
        }
        // A whole top-level domain belongs to nobody; and an address has no subdomains.
        let is_name =
            origin.host.contains(|c: char| c.is_ascii_alphabetic()) && !origin.host.starts_with('[');
        if is_name && (origin.host.contains('.') || &*origin.host == "localhost") {
            Ok(AllowedOrigin::Subdomains(origin))
        } else {
            Err(OriginFault::Star)
        }
    }

    fn matches(&self, origin: &Origin) -> bool {
        match self {
            AllowedOrigin::Null => false,
            AllowedOrigin::Exact(allowed) => allowed == origin,
            AllowedOrigin::Subdomains(allowed) => {
                let below = origin.host.strip_suffix(&*allowed.host).and_then(|rest| rest.strip_suffix('.'));
                // No label of a host is empty.
                below.is_some() && (&allowed.scheme, allowed.port) == (&origin.scheme, origin.port)
            }
        }
    }
}

impl fmt::Display for AllowedOrigin {
    /// In the form in which origins are compared.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (star, origin) = match self {
            AllowedOrigin::Null => return f.write_str("null"),
            AllowedOrigin::Exact(origin) => ("", origin),
            AllowedOrigin::Subdomains(origin) => ("*.", origin),
        };
        write!(f, "{}://{star}{}", origin.scheme, origin.host)?;
        match origin.port {
            Some(port) if default_port(&origin.scheme) != Some(port) => write!(f, ":{port}"),
            _ => Ok(()),
        }
    }
}

impl Origin {
    /// Reads what a browser sends; `None` for `null` and for all that is no origin.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        Origin::read(scheme, rest).ok()
    }

    fn read(scheme: &str, authority: &str) -> Result<Self, OriginFault> {
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        if !is_scheme {
            return Err(OriginFault::Form);
        }
        let scheme = scheme.to_ascii_lowercase();
        let (host, port) = read_authority(authority)?;
        let port = port.or(default_port(&scheme));
        Ok(Origin { scheme: scheme.into(), host: host.into(), port })
    }

    /// Whether a request to `Host: host` is for the host and port that the page came from. Which scheme the request was
    /// sent by is not known behind a proxy, so the page's counts.
    fn is_of_host(&self, host: &str) -> bool {
        read_authority(host)
            .is_ok_and(|(host, port)| *host == *self.host && port.or(default_port(&self.scheme)) == self.port)
    }
}

/// Which pages may connect to an endpoint.
#[derive(Clone, Copy, Debug)]
pub enum Policy<'a> {
    /// Those of these origins.
    Listed(&'a [AllowedOrigin]),
    /// Those of the host that the request is sent to. It holds where a cookie may carry the token and nothing
    /// is listed: browsers add cookies to the requests of any page, so a foreign page could use its visitor's.
    SameHost,
    /// All.
    Any,
}

impl Policy<'_> {
    /// Whether a request may come in. `origins` and `hosts` are the values of `Origin` and `Host`, one for each line on
    /// which they came.
    pub fn allows(self, origins: &[&[u8]], hosts: &[&[u8]]) -> bool {
        let line = match (self, origins) {
            (Policy::Any, _) | (_, []) => return true,
            (_, [line]) => line.trim_ascii(),
            // Which of several is meant is anybody's guess.
            _ => return false,
        };
        let Ok(text) = str::from_utf8(line) else { return false };
        let origin = Origin::parse(text);
        match (self, origin) {
            (Policy::Listed(list), Some(origin)) => list.iter().any(|allowed| allowed.matches(&origin)),
            (Policy::Listed(list), None) => text == "null" && list.contains(&AllowedOrigin::Null),
            (_, Some(origin)) => match hosts {
                [host] => str::from_utf8(host.trim_ascii()).is_ok_and(|host| origin.is_of_host(host)),
                _ => false,
            },
            (_, None) => false,
        }
    }
}

/// Host in lower case, and port if one is written.
fn read_authority(authority: &str) -> Result<(String, Option<u16>), OriginFault> {
    let (host, port) = match authority.rsplit_once(':') {
        // The colons of an address in brackets are its own.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let port = match port {
        None => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|port| *port > 0).ok_or(OriginFault::Port)?)
        }
        Some(_) => return Err(OriginFault::Port),
    };
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let address: Ipv6Addr = address.parse().map_err(|_| OriginFault::Host)?;
        return Ok((alloc::format!("[{address}]"), port));
    }
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if !host.split('.').all(is_label) {
        return Err(OriginFault::Host);
    }
    Ok((host.to_owned().to_ascii_lowercase(), port))
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

impl fmt::Display for OriginFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OriginFault::Form => "is not an origin; write one such as \"https://app.example.com\"",
            OriginFault::Path => "has more than scheme, host and port; take out what follows them",
            OriginFault::Host => {
                "has a host that no browser sends; write a name in ASCII (Punycode, as \"xn--bcher-kva.example\") or an \
                 address"
            }
            OriginFault::Star => {
                "has a star where none may be; it stands for subdomains, as in \"https://*.example.com\""
            }
            OriginFault::Port => "has no port after its colon; write 1 to 65535 or leave the colon out",
        })
    }
}

impl core::error::Error for OriginFault {}
