//! Who may ask.
//!
//! The name in `Host` is looked at, so that a page which has its own name point to this machine (DNS rebinding) reads
//! nothing; `Origin`, so that a foreign page changes nothing; then the token.

use std::net::IpAddr;

use hyper::{
    HeaderMap, Request,
    header::{AUTHORIZATION, HOST, HeaderName, HeaderValue, ORIGIN},
};
use trunkline_core::origin::Policy;

use super::reply::Fault;
use crate::config::AdminConfig;

/// Lets a request pass that comes from where it may, or says why not.
pub(super) fn check_place<B>(config: &AdminConfig, request: &Request<B>) -> Result<(), Fault> {
    let headers = request.headers();
    let hosts = lines(headers, HOST);
    // Who writes the whole URL in the first line says there what counts (RFC 9112, section 3.2.2).
    let host = match (request.uri().authority(), hosts.as_slice()) {
        (Some(authority), _) => Some(authority.as_str()),
        (None, [host]) => str::from_utf8(host).ok(),
        (None, _) => None,
    };
    if !host.is_some_and(|host| is_own(config, host)) {
        return Err(Fault::ForeignHost);
    }
    let reads = request.method().is_safe();
    if !reads && !Policy::SameHost.allows(&lines(headers, ORIGIN), &hosts) {
        return Err(Fault::ForeignOrigin);
    }
    Ok(())
}

/// Lets a request pass that brings the token, where there is one.
pub(super) fn check_token(config: &AdminConfig, headers: &HeaderMap) -> Result<(), Fault> {
    match &config.token {
        Some(token) if !bearer(headers).is_some_and(|brought| token.is(brought)) => Err(Fault::Unauthorized),
        _ => Ok(()),
    }
}

fn lines(headers: &HeaderMap, name: HeaderName) -> Vec<&[u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
}

/// Whether that is this listener: `localhost`, a loopback address, its own address, or a name that it was given.
fn is_own(config: &AdminConfig, host: &str) -> bool {
    let name = without_port(host).to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    if name == "localhost" || config.hosts.iter().any(|own| own == name) {
        return true;
    }
    let address: Option<IpAddr> = name.trim_start_matches('[').trim_end_matches(']').parse().ok();
    address.is_some_and(|address| {
        let address = address.to_canonical();
        address.is_loopback() || address == config.address.ip().to_canonical() && !address.is_unspecified()
    })
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => {
            // An IPv6 address stands in brackets where a port follows.
            if name.contains(':') && !name.ends_with(']') { host } else { name }
        }
        _ => host,
    }
}

/// The token that was brought (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(address: &str) -> AdminConfig {
        let address = address.parse().expect("an address");
        AdminConfig { address, hosts: vec!["ops.example".to_owned()], token: None, tls: None, trial: None }
    }

    #[test]
    fn only_names_that_nobody_else_can_point_here_are_its_own() {
        let config = config("192.0.2.1:9090");
        for own in [
            "localhost",
            "LOCALHOST:9090",
            "localhost.",
            "127.0.0.1",
            "127.8.9.1:1",
            "[::1]:9090",
            "[::1]",
            "192.0.2.1:9090",
            "ops.example",
            "Ops.Example:443",
            "[::ffff:127.0.0.1]:9090",
        ] {
            assert!(is_own(&config, own), "{own}");
        }
        for foreign in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "xlocalhost",
            "192.0.2.2",
            "0.0.0.0",
            "[::]:9090",
            "ops.example.evil",
            "localhost:x",
            "evil.example:9090",
            "localhost@evil.example",
            "1.2.3.4",
            "127.0.0.1:9090:1",
        ] {
            assert!(!is_own(&config, foreign), "{foreign}");
        }
        assert!(!is_own(&self::config("0.0.0.0:9090"), "0.0.0.0"));
    }
}
