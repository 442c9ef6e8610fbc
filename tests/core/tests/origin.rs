//! Origins: what may stand in the configuration, and which pages it lets connect.

use proptest::{prelude::*, sample::select};
use trunkline_core::origin::{AllowedOrigin, OriginFault, Policy};

fn allowed(texts: &[&str]) -> Vec<AllowedOrigin> {
    let parse = |text: &&str| AllowedOrigin::parse(text).unwrap_or_else(|fault| panic!("{text} {fault}"));
    texts.iter().map(parse).collect()
}

fn allows(list: &[&str], origin: &str) -> bool {
    Policy::Listed(&allowed(list)).allows(&[origin.as_bytes()], &[b"gateway.example"])
}

fn same_host(origin: &str, host: &str) -> bool {
    Policy::SameHost.allows(&[origin.as_bytes()], &[host.as_bytes()])
}

#[test]
fn an_origin_is_scheme_host_and_port_in_any_case_with_the_default_port_or_without() {
    let list =
        ["https://App.example.com", "http://localhost:3000", "http://[::1]:80", "capacitor://localhost"];
    let pages = [
        "https://app.example.com",
        "HTTPS://APP.EXAMPLE.COM:443",
        "http://localhost:3000",
        "http://[0:0::1]",
        "capacitor://localhost",
    ];
    pages.iter().for_each(|page| assert!(allows(&list, page), "{page}"));
    let foreign = [
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://example.com",
        "https://app.example.com.evil.example",
        "https://evil-app.example.com",
        "https://x.app.example.com",
        "https://app.example.com/",
        "https://app.example.com@evil.example",
        "https://evil.example#https://app.example.com",
        "http://localhost",
        "http://localhost:03001",
        "http://127.0.0.1:3000",
        "capacitor://localhost:80",
        "null",
        "",
        "app.example.com",
        "https://",
        "https://app.example.com https://app.example.com",
    ];
    foreign.iter().for_each(|page| assert!(!allows(&list, page), "{page}"));
}

#[test]
fn a_star_stands_for_subdomains_of_any_depth_and_not_for_the_host() {
    let list = ["https://*.example.com"];
    for page in ["https://a.example.com", "https://a.b.EXAMPLE.com:443"] {
        assert!(allows(&list, page), "{page}");
    }
    for page in [
        "https://example.com",
        "https://.example.com",
        "https://..example.com",
        "https://evilexample.com",
        "https://a.example.com.evil.example",
        "https://a.example.com:444",
        "http://a.example.com",
        "https://*.example.com",
        "https://evil.example/.example.com",
    ] {
        assert!(!allows(&list, page), "{page}");
    }
}

#[test]
fn null_is_allowed_only_where_it_is_written() {
    assert!(allows(&["null", "https://a.example"], "null"));
    assert!(!allows(&["https://a.example"], "null"));
    assert!(!allows(&["null"], "NULL"));
    assert!(!allows(&["null"], "https://a.example"));
}

#[test]
fn without_a_list_a_page_must_be_of_the_host_that_it_connects_to() {
    for (page, host) in [
        ("https://app.example.com", "app.example.com"),
        ("https://app.example.com", "APP.example.com:443"),
        ("http://app.example.com", "app.example.com:80"),
        ("https://app.example.com:8443", "app.example.com:8443"),
        ("http://[::1]:8080", "[::1]:8080"),
    ] {
        assert!(same_host(page, host), "{page} {host}");
    }
    for (page, host) in [
        ("https://evil.example", "app.example.com"),
        ("https://app.example.com:8443", "app.example.com"),
        ("https://app.example.com", "app.example.com:8443"),
        ("null", "app.example.com"),
        ("null", "null"),
        ("https://app.example.com", ""),
        ("https://example.com", "app.example.com"),
    ] {
        assert!(!same_host(page, host), "{page} {host}");
    }
}

#[test]
fn who_says_no_origin_is_no_page_and_who_says_two_is_turned_away() {
    let list = allowed(&["https://a.example"]);
    let origin: &[u8] = b"https://a.example";
    for policy in [Policy::Listed(&list), Policy::SameHost] {
        assert!(policy.allows(&[], &[b"a.example"]));
        assert!(policy.allows(&[origin], &[b"a.example"]));
        assert!(!policy.allows(&[origin, origin], &[b"a.example"]));
        assert!(!policy.allows(&[b"\xff"], &[b"a.example"]));
    }
    assert!(!Policy::SameHost.allows(&[origin], &[]));
    assert!(!Policy::SameHost.allows(&[origin], &[b"a.example", b"a.example"]));
    assert!(Policy::Any.allows(&[b"https://evil.example", b"x"], &[]));
}

#[test]
fn what_is_no_origin_is_refused_with_what_is_wrong() {
    for (text, fault) in [
        ("*", OriginFault::Form),
        ("app.example.com", OriginFault::Form),
        ("://a.example", OriginFault::Form),
        ("https://a.example/", OriginFault::Path),
        ("https://a.example/app", OriginFault::Path),
        ("https://ann@a.example", OriginFault::Path),
        ("https://a.*.example", OriginFault::Star),
        ("https://*", OriginFault::Star),
        ("https://*.com", OriginFault::Star),
        ("https://*.192.0.2.1", OriginFault::Star),
        ("https://*.[::1]", OriginFault::Star),
        ("https://*a.example", OriginFault::Star),
        ("https://b\u{fc}cher.example", OriginFault::Host),
        ("https://a..example", OriginFault::Host),
        ("https://", OriginFault::Host),
        ("https://[::1", OriginFault::Host),
        ("https://a.example:", OriginFault::Port),
        ("https://a.example:0", OriginFault::Port),
        ("https://a.example:65536", OriginFault::Port),
        ("https://a.example:+80", OriginFault::Port),
    ] {
        assert_eq!(AllowedOrigin::parse(text), Err(fault), "{text}");
        let words = fault.to_string();
        assert!(words.starts_with("is not") || words.starts_with("has "), "{text} {words}");
    }
}

#[test]
fn an_origin_is_shown_as_it_is_compared() {
    for (text, shown) in [
        ("null", "null"),
        ("HTTPS://App.example.com:443", "https://app.example.com"),
        ("http://*.a.example:8080", "http://*.a.example:8080"),
        ("app://a.example:443", "app://a.example:443"),
        ("app://a.example", "app://a.example"),
    ] {
        assert_eq!(allowed(&[text])[0].to_string(), shown);
    }
}

proptest! {
    /// Against strings, on names that are easily taken for each other.
    #[test]
    fn a_page_is_let_in_just_if_its_host_is_the_one_or_ends_with_a_dot_and_it(
        star in any::<bool>(),
        host in select(vec!["a.example", "b.a.example", "localhost"]),
        page in "(([ab]\\.)?[ab]?\\.?){0,2}(a\\.example|example|localhost)(\\.a)?",
        port in select(vec!["", ":443", ":80", ":8443"]),
    ) {
        let pattern = if star { format!("https://*.{host}") } else { format!("https://{host}") };
        let is_name = page.split('.').all(|label| !label.is_empty());
        let is_it = if star { page.ends_with(&format!(".{host}")) } else { page == host };
        let expected = is_name && is_it && (port.is_empty() || port == ":443");
        prop_assert_eq!(allows(&[&pattern], &format!("https://{page}{port}")), expected, "{} {}", pattern, page);
    }

    #[test]
    fn what_is_shown_reads_as_the_same(text in "(https?|app)://(\\*\\.)?[a-zA-Z.:0-9\\[\\]]{1,12}") {
        if let Ok(origin) = AllowedOrigin::parse(&text) {
            prop_assert_eq!(AllowedOrigin::parse(&origin.to_string()), Ok(origin));
        }
    }

    #[test]
    fn nothing_panics(text in any::<String>(), lines in prop::collection::vec(any::<Vec<u8>>(), 0..3)) {
        let _ = AllowedOrigin::parse(&text);
        let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        let list = allowed(&["null", "https://*.a.example"]);
        for policy in [Policy::Listed(&list), Policy::SameHost, Policy::Any] {
            policy.allows(&lines, &[text.as_bytes()]);
            policy.allows(&[text.as_bytes()], &lines);
        }
    }
}
