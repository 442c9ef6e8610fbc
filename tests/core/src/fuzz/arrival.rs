//! What is read of a client before it is let in: headers of proxies, the PROXY protocol, origins. Each against a reading
//! that shares nothing with the core.

use std::net::IpAddr;

use trunkline_core::{
    client_address::{
        Announced, Proxies,
        proxy_protocol::{self, HEADER_BYTES_MAX, Progress, Source},
    },
    origin::{AllowedOrigin, Policy},
};

/// The bytes are a connection's beginning, a header's value, and an origin, each by itself; and where they are two lines of
/// text, the first is an allowed origin and the second a page's.
///
/// # Panics
///
/// More is taken than a header has, a client is told by somebody who is not believed, or a page is let in that should not be.
pub fn check(bytes: &[u8]) {
    reads_no_further_than_the_header(bytes);
    says_whom_the_last_untrusted_hop_is(bytes);
    let Ok(text) = str::from_utf8(bytes) else { return };
    let (allowed, page) = text.split_once('\n').unwrap_or((text, text));
    lets_in_whom_the_texts_say(allowed, page);
}

fn reads_no_further_than_the_header(bytes: &[u8]) {
    let mut taken = 0;
    let source = loop {
        match proxy_protocol::read(&bytes[..taken]) {
            Ok(Progress::Needs(more)) => {
                assert!(more > 0 && taken + more <= HEADER_BYTES_MAX, "{more} after {taken}");
                taken += more;
                if taken > bytes.len() {
                    return;
                }
            }
            Ok(Progress::Complete(source)) => break source,
            Err(_) => return,
        }
    };
    let header = &bytes[..taken];
    let told = match header.strip_prefix(b"PROXY ") {
        Some(line) => {
            assert!(taken <= 107 && header.ends_with(b"\r\n"));
            assert_eq!(header.iter().filter(|byte| **byte == b'\n').count(), 1);
            let line = String::from_utf8_lossy(line).into_owned();
            let mut words = line.split_whitespace();
            let known = words.next().is_some_and(|word| word != "UNKNOWN");
            known.then(|| words.next().and_then(|word| word.parse::<IpAddr>().ok()).expect("it is one"))
        }
        None => {
            assert_eq!(taken, 16 + usize::from(header[14]) * 256 + usize::from(header[15]));
            match (header[12] & 0xf, header[13]) {
                (1, 0x11) => Some(IpAddr::from(<[u8; 4]>::try_from(&header[16..20]).expect("it has four"))),
                (1, 0x21) => {
                    Some(IpAddr::from(<[u8; 16]>::try_from(&header[16..32]).expect("it has sixteen")))
                }
                _ => None,
            }
        }
    };
    let expected = told.map_or(Source::Peer, |address| Source::Client(address.to_canonical()));
    assert_eq!(source, expected);
}

fn says_whom_the_last_untrusted_hop_is(line: &[u8]) {
    let proxy = IpAddr::from([10, 0, 0, 1]);
    let network = "10.0.0.0/8".parse().expect("it is a network");
    let proxies = Proxies::new([network]);
    let trusts = |address: IpAddr| matches!(address.to_canonical(), IpAddr::V4(v4) if v4.octets()[0] == 10);
    for announced in [Announced::Forwarded, Announced::XForwardedFor] {
        // Whoever is not believed may say what it likes.
        let stranger = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(proxies.client(announced, stranger, &[line]), Ok(stranger));
        // What a proxy adds counts, whatever stands before; a line that cannot be read is refused as a whole.
        let added: &[u8] =
            if announced == Announced::Forwarded { b",for=198.51.100.7" } else { b",198.51.100.7" };
        let with = [line, added].concat();
        if let Ok(client) = proxies.client(announced, proxy, &[&with]) {
            assert_eq!(client, IpAddr::from([198, 51, 100, 7]), "{:?}", with.escape_ascii().to_string());
        }
        assert!(announced == Announced::Forwarded || proxies.client(announced, proxy, &[&with]).is_ok());
        let on_its_own_line = proxies.client(announced, proxy, &[line, &added[1..]]);
        assert_eq!(on_its_own_line, Ok(IpAddr::from([198, 51, 100, 7])));
    }
    // Entries that are bare addresses, from the right.
    let Ok(text) = str::from_utf8(line) else { return };
    let entries: Vec<&str> = text
        .split(',')
        .map(|entry| entry.trim_matches([' ', '\t']))
        .filter(|entry| !entry.is_empty())
        .collect();
    let hops: Option<Vec<IpAddr>> = entries.iter().map(|entry| entry.parse().ok()).collect();
    if let Some(hops) = hops.filter(|hops| hops.len() <= 32 && !text.contains(['\n', '\r', '\u{c}'])) {
        let last = hops.iter().rev().find(|hop| !trusts(**hop)).or(hops.first());
        let expected = last.map_or(proxy, |hop| hop.to_canonical());
        assert_eq!(proxies.client(Announced::XForwardedFor, proxy, &[line]), Ok(expected), "{text:?}");
    }
}

fn lets_in_whom_the_texts_say(allowed: &str, page: &str) {
    let Ok(origin) = AllowedOrigin::parse(allowed) else { return };
    let shown = origin.to_string();
    assert_eq!(AllowedOrigin::parse(&shown).as_ref(), Ok(&origin), "{shown:?}");
    let allows = |page: &str| Policy::Listed(std::slice::from_ref(&origin)).allows(&[page.as_bytes()], &[]);
    if shown.contains('*') {
        let apex = shown.replacen("*.", "", 1);
        assert!(
            !allows(&apex) && allows(&shown.replacen('*', "a", 1)) && allows(&shown.replacen('*', "b.a", 1))
        );
    } else {
        assert!(allows(&shown), "{shown:?}");
    }
    if allows(page) {
        // Whatever else is as it is, a page that is let in ends as it must.
        let page = page.trim().to_ascii_lowercase();
        let host = |text: &str| {
            let rest = text.split_once("://").map_or("", |(_, rest)| rest).to_owned();
            let end = rest.rfind(':').filter(|at| !rest[*at..].contains(']')).unwrap_or(rest.len());
            rest[..end].to_owned()
        };
        if let Some(suffix) = host(&shown).strip_prefix('*') {
            assert!(host(&page).ends_with(suffix) && host(&page) != suffix[1..], "{page:?} by {shown:?}");
        } else if !host(&shown).starts_with('[') {
            assert_eq!(host(&page), host(&shown), "{page:?} by {shown:?}");
        }
    }
}
