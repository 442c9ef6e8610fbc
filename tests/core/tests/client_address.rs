//! Whom proxies speak for, and whom the gateway believes.

use std::net::{IpAddr, Ipv6Addr};

use proptest::{collection::vec, prelude::*, sample::select};
use trunkline_core::client_address::{
    Announced, Proxies, Unreadable,
    proxy_protocol::{self, HEADER_BYTES_MAX, NoHeader, Progress, Source},
};

const PROXY: &str = "10.0.0.1";

fn proxies() -> Proxies {
    Proxies::new(["10.0.0.0/8", "2001:db8:ffff::/48"].map(|text| text.parse().expect("it is a network")))
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("it is an address")
}

fn client(announced: Announced, peer: &str, lines: &[&str]) -> Result<IpAddr, Unreadable> {
    let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
    proxies().client(announced, ip(peer), &lines)
}

// ---- Headers ---------------------------------------------------------------------------------------------------

#[test]
fn the_last_address_that_no_trusted_proxy_has_is_the_clients() {
    for (line, expected) in [
        ("192.0.2.43", "192.0.2.43"),
        ("1.1.1.1, 192.0.2.43", "192.0.2.43"),
        ("1.1.1.1, 192.0.2.43, 10.9.9.9", "192.0.2.43"),
        ("192.0.2.43:4711", "192.0.2.43"),
        ("2001:db8::17", "2001:db8::17"),
        ("[2001:db8::17]:4711,10.0.0.2", "2001:db8::17"),
        ("2001:db8::17, 2001:db8:ffff::1", "2001:db8::17"),
        ("::ffff:192.0.2.43", "192.0.2.43"),
        ("1.1.1.1, ::ffff:10.0.0.9", "1.1.1.1"),
        ("10.0.0.7, 10.0.0.8", "10.0.0.7"),
        ("unknown", PROXY),
        ("1.1.1.1, unknown, 10.0.0.8", "10.0.0.8"),
        (" ,, 192.0.2.43 , ", "192.0.2.43"),
        ("", PROXY),
        ("nonsense, 192.0.2.43", "192.0.2.43"),
    ] {
        assert_eq!(client(Announced::XForwardedFor, PROXY, &[line]), Ok(ip(expected)), "{line}");
    }
    let lines = ["1.1.1.1", "192.0.2.43", "10.0.0.8"];
    assert_eq!(client(Announced::XForwardedFor, PROXY, &lines), Ok(ip("192.0.2.43")));
}

#[test]
fn forwarded_is_read_as_rfc_7239_has_it() {
    for (line, expected) in [
        ("for=192.0.2.43", "192.0.2.43"),
        ("For=\"[2001:db8::17]:4711\"", "2001:db8::17"),
        ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
        ("proto=https ; FOR=\"192.0.2.60:80\"", "192.0.2.60"),
        ("for=1.1.1.1, for=192.0.2.43, for=\"10.0.0.2:_port\"", "192.0.2.43"),
        ("for=\"_hidden\"", PROXY),
        ("for=1.1.1.1, for=_SEVKISEK, for=10.0.0.3", "10.0.0.3"),
        ("for=1.1.1.1, proto=http", PROXY),
        ("host=\"a,b;c\\\"d\";for=192.0.2.43", "192.0.2.43"),
        (";for=192.0.2.43; ;", "192.0.2.43"),
        ("for=unknown", PROXY),
        ("for=\"[2001:db8::17]\"", "2001:db8::17"),
        // A backslash means something within quotes alone.
        ("by=a\\;for=192.0.2.43", "192.0.2.43"),
        ("", PROXY),
    ] {
        assert_eq!(client(Announced::Forwarded, PROXY, &[line]), Ok(ip(expected)), "{line}");
    }
}

#[test]
fn what_no_proxy_writes_is_unreadable_where_it_counts() {
    for line in [
        "for=nonsense",
        "for",
        "for=1.1.1.1;for=2.2.2.2",
        "for=\"x, for=192.0.2.43",
        "for=[2001:db8::17]x",
        "for=\"2001:db8::17\"",
        "for=1.1.1.1:123456",
        "for=1.1.1.1:",
        "for=1.1",
        "for=_",
        "for=_a!",
        "for=\"1.1.1.1",
    ] {
        assert_eq!(client(Announced::Forwarded, PROXY, &[line]), Err(Unreadable), "{line}");
    }
    for line in ["nonsense", "1.1.1.1, nonsense", "nonsense, 10.0.0.7", "1.1.1", "300.1.1.1", "1.1.1.1:x"] {
        assert_eq!(client(Announced::XForwardedFor, PROXY, &[line]), Err(Unreadable), "{line}");
    }
}

#[test]
fn nobody_else_is_believed_and_nothing_that_is_not_asked_for() {
    for announced in
        [Announced::XForwardedFor, Announced::Forwarded, Announced::Peer, Announced::ProxyProtocol]
    {
        let lines = ["for=192.0.2.43", "nonsense", "192.0.2.43"];
        assert_eq!(client(announced, "203.0.113.9", &lines), Ok(ip("203.0.113.9")));
    }
    assert_eq!(client(Announced::Peer, PROXY, &["192.0.2.43"]), Ok(ip(PROXY)));
    assert_eq!(client(Announced::XForwardedFor, PROXY, &[]), Ok(ip(PROXY)));
    assert_eq!(client(Announced::XForwardedFor, "::ffff:10.0.0.1", &["192.0.2.43"]), Ok(ip("192.0.2.43")));
    assert!(!Proxies::default().trusts(ip("127.0.0.1")));
}

#[test]
fn the_way_back_is_followed_over_so_many_hops_and_no_more() {
    let many = vec!["10.0.0.7"; 40].join(",");
    assert_eq!(client(Announced::XForwardedFor, PROXY, &[&format!("1.1.1.1,{many}")]), Ok(ip("10.0.0.7")));
    let elements = vec!["for=10.0.0.7"; 40].join(",");
    assert_eq!(
        client(Announced::Forwarded, PROXY, &[&format!("for=1.1.1.1,{elements}")]),
        Ok(ip("10.0.0.7"))
    );
    let lines = vec!["10.0.0.7"; 40];
    let lines = [&["1.1.1.1"], &lines[..]].concat();
    assert_eq!(client(Announced::XForwardedFor, PROXY, &lines), Ok(ip("10.0.0.7")));
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        select(vec!["10.0.0.7", "10.1.2.3", "2001:db8:ffff::5", "192.0.2.1", "2001:db8::9"]).prop_map(ip),
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from),
    ]
}

proptest! {
    /// Against going back hop by hop over addresses, whatever the client has written before.
    #[test]
    fn both_headers_say_the_same_and_what_the_client_writes_changes_nothing(
        hops in vec(address(), 1..8),
        forged in select(vec!["", "1.2.3.4, ", "10.0.0.7, ", "junk, "]),
    ) {
        let canonical: Vec<IpAddr> = hops.iter().map(IpAddr::to_canonical).collect();
        let first = canonical.iter().rposition(|hop| !proxies().trusts(*hop));
        let Some(expected) = first.map(|at| canonical[at]) else { return Ok(()) };
        let plain: Vec<_> = hops.iter().map(IpAddr::to_string).collect();
        let element = |hop: &IpAddr| match hop {
            IpAddr::V4(hop) => format!("for={hop}"),
            IpAddr::V6(hop) => format!("proto=https;for=\"[{hop}]:1\""),
        };
        let elements: Vec<_> = hops.iter().map(element).collect();
        let line = format!("{forged}{}", plain.join(", "));
        prop_assert_eq!(client(Announced::XForwardedFor, PROXY, &[&line]), Ok(expected));
        prop_assert_eq!(client(Announced::Forwarded, PROXY, &[&elements.join(", ")]), Ok(expected));
        let lines: Vec<&str> = plain.iter().map(String::as_str).collect();
        prop_assert_eq!(client(Announced::XForwardedFor, PROXY, &lines), Ok(expected));
    }

    #[test]
    fn no_header_panics(line in "[for=\"\\[\\]:;, _0-9a-f.\\\\]{0,40}", bytes in any::<Vec<u8>>()) {
        for announced in [Announced::Forwarded, Announced::XForwardedFor] {
            let _ = client(announced, PROXY, &[&line, "10.0.0.2"]);
            let _ = proxies().client(announced, ip(PROXY), &[&bytes]);
        }
    }
}

// ---- The PROXY protocol ----------------------------------------------------------------------------------------

/// Reads as the shell does, in the pieces that are asked for: what it comes to, and how much was taken.
fn read(stream: &[u8]) -> (Result<Option<Source>, NoHeader>, usize) {
    let mut taken = 0;
    loop {
        match proxy_protocol::read(&stream[..taken]) {
            Ok(Progress::Complete(source)) => return (Ok(Some(source)), taken),
            Ok(Progress::Needs(more)) => {
                assert!(more > 0, "it waits for nothing after {taken}");
                taken += more;
                assert!(taken <= HEADER_BYTES_MAX, "it asks for too much");
                if taken > stream.len() {
                    return (Ok(None), stream.len());
                }
            }
            Err(fault) => return (Err(fault), taken),
        }
    }
}

fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([command, family]);
    header.extend((rest.len() as u16).to_be_bytes());
    header.extend(rest);
    header
}

const V4: [u8; 12] = [192, 0, 2, 43, 10, 0, 0, 1, 1, 2, 3, 4];

#[test]
fn a_line_of_version_one_says_whose_the_connection_is() {
    for (line, source) in [
        ("PROXY TCP4 192.0.2.43 10.0.0.1 4711 443\r\n", Source::Client(ip("192.0.2.43"))),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 1\r\n", Source::Client(ip("1.1.1.1"))),
        ("PROXY TCP6 2001:db8::17 ::1 0 65535\r\n", Source::Client(ip("2001:db8::17"))),
        ("PROXY TCP6 ::ffff:192.0.2.43 ::1 1 2\r\n", Source::Client(ip("192.0.2.43"))),
        ("PROXY UNKNOWN\r\n", Source::Peer),
        ("PROXY UNKNOWN ffff:f...f:ffff whatever 1 2\r\n", Source::Peer),
    ] {
        let stream = format!("{line}GET / HTTP/1.1\r\n");
        assert_eq!(read(stream.as_bytes()), (Ok(Some(source)), line.len()), "{line}");
    }
    // The longest that the specification allows, and one byte more.
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(107 - 16));
    assert_eq!(read(longest.as_bytes()).0, Ok(Some(Source::Peer)));
    assert_eq!(read(longest.replacen('x', "xx", 1).as_bytes()).0, Err(NoHeader));
}

#[test]
fn version_two_says_whose_the_connection_is_and_what_else_it_says_is_passed_over() {
    let mut long = V4.to_vec();
    long.extend([3, 0, 1, 9]);
    let mut v6 = Ipv6Addr::LOCALHOST.octets().to_vec();
    v6.extend([0; 20]);
    for (header, source) in [
        (binary(0x21, 0x11, &V4), Source::Client(ip("192.0.2.43"))),
        (binary(0x21, 0x11, &long), Source::Client(ip("192.0.2.43"))),
        (binary(0x21, 0x21, &v6), Source::Client(ip("::1"))),
        (binary(0x20, 0x00, &[]), Source::Peer),
        (binary(0x20, 0x11, &V4), Source::Peer),
        (binary(0x21, 0x00, &[1, 2]), Source::Peer),
        (binary(0x21, 0x31, &[0; 216]), Source::Peer),
        (binary(0x21, 0x12, &V4), Source::Peer),
        (binary(0x21, 0x00, &[0; HEADER_BYTES_MAX - 16]), Source::Peer),
    ] {
        let stream = [&header[..], b"GET"].concat();
        assert_eq!(read(&stream), (Ok(Some(source)), header.len()), "{header:?}");
    }
}

#[test]
fn what_is_no_header_is_noticed_as_soon_as_it_shows() {
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaaaaaaa",
        b"PROXY TCP5 1.1.1.1 2.2.2.2 1 1\r\n",
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1 1 1\r\n",
        b"PROXY TCP4 1.1.1.1 2.2.2.2 01 1\r\n",
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n",
        b"PROXY TCP4 ::1 ::1 1 1\r\n\r\n\r\n",
        b"PROXY TCP4  1.1.1.1 2.2.2.2 1 1\r\n",
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1 1\n    \r\n",
        b"proxy TCP4 1.1.1.1 2.2.2.2 1 1\r\n",
        &binary(0x11, 0x11, &V4),
        &binary(0x22, 0x11, &V4),
        &binary(0x21, 0x41, &V4),
        &binary(0x21, 0x13, &V4),
        &binary(0x21, 0x11, &V4[..11]),
        &binary(0x21, 0x21, &V4),
        &binary(0x21, 0x11, &[0; HEADER_BYTES_MAX - 15]),
    ] {
        assert_eq!(read(bytes).0, Err(NoHeader), "{:?}", bytes.escape_ascii().to_string());
    }
    assert_eq!(proxy_protocol::read(b"G"), Err(NoHeader));
    assert_eq!(proxy_protocol::read(b"PROXY TCP4 1.1.1.1\n"), Err(NoHeader));
    assert_eq!(proxy_protocol::read(b"\r\n\r\n\0\r\nQ"), Ok(Progress::Needs(7)));
    let one_more = [binary(0x21, 0x11, &V4), b"G".to_vec()].concat();
    assert_eq!(proxy_protocol::read(&one_more), Err(NoHeader), "nothing after it is asked for");
}

proptest! {
    #[test]
    fn never_more_is_taken_than_the_header(
        address in any::<[u8; 4]>(),
        ports in any::<(u16, u16)>(),
        more in vec(any::<u8>(), 0..64),
        behind in any::<Vec<u8>>(),
    ) {
        let [a, b, c, d] = address;
        let line = format!("PROXY TCP4 {a}.{b}.{c}.{d} 10.0.0.1 {} {}\r\n", ports.0, ports.1).into_bytes();
        let mut body = V4.to_vec();
        body[..4].copy_from_slice(&address);
        body.extend(more);
        for header in [line, binary(0x21, 0x11, &body)] {
            let stream = [&header[..], &behind].concat();
            prop_assert_eq!(read(&stream), (Ok(Some(Source::Client(IpAddr::from(address)))), header.len()));
        }
    }

    #[test]
    fn no_bytes_panic_or_are_waited_for_without_end(
        version in 0..3_u8,
        mut bytes in vec(any::<u8>(), 0..300),
        words in "PROXY (TCP4|TCP6|UNKNOWN)?[ 0-9.:\r\n]{0,100}",
    ) {
        match version {
            1 => bytes = words.into_bytes(),
            2 => bytes = [b"\r\n\r\n\0\r\nQUIT\n\x21", &bytes[..]].concat(),
            _ => {}
        }
        let _ = read(&bytes);
        let _ = proxy_protocol::read(&bytes);
    }
}
