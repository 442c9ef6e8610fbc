//! Path templates: what they match, held against a matcher that tries everything, and which of them overlap, held
//! against all small paths there are.

use std::borrow::Cow;

use proptest::{collection::vec, prelude::*, sample::select};
use trunkline_core::path::{Match, PathFault, Routes, Template, TemplateFault};
use trunkline_core_tests::fuzz::path::{decode, finds, matches, shared_path};

fn template(source: &str) -> Template {
    Template::parse(source).unwrap_or_else(|error| panic!("{error}"))
}

fn routes(sources: &[&str]) -> Routes {
    Routes::new(sources.iter().map(|source| template(source))).unwrap_or_else(|overlap| panic!("{overlap}"))
}

fn found<'a>(index: usize, params: &[(&'a str, &'a str)]) -> Result<Option<Match<'a>>, PathFault> {
    let params = params.iter().map(|&(name, value)| (name, Cow::Borrowed(value))).collect();
    Ok(Some(Match { index, params }))
}

// ---- One by one ------------------------------------------------------------------------------------------------

#[test]
fn a_path_finds_its_template_and_its_parameters() {
    let routes = routes(&[
        "/",
        "/lobby/{lobby_id}",
        "/lobby/{lobby_id}/seat/{n}",
        "/files/all/{*rest}",
        "/caf%C3%A9/a%2Fb/%7Bx%7D",
        "/{kind}/by/name",
        "/lobby/",
    ]);
    let cases = [
        ("/", found(0, &[])),
        ("/lobby/7", found(1, &[("lobby_id", "7")])),
        ("/%6cobby/a%2Fb", found(1, &[("lobby_id", "a/b")])),
        ("/lobby/%C3%A9%00+", found(1, &[("lobby_id", "é\0+")])),
        ("/lobby/..", found(1, &[("lobby_id", "..")])),
        ("/lobby/7/seat/2", found(2, &[("lobby_id", "7"), ("n", "2")])),
        ("/files/all/a", found(3, &[("rest", "a")])),
        ("/files/all/a//b%2fc/", found(3, &[("rest", "a//b/c/")])),
        ("/files/all//", found(3, &[("rest", "/")])),
        ("/caf%c3%a9/a%2fb/{x}", found(4, &[])),
        ("/café/a%2Fb/%7bx}", found(4, &[])),
        ("/user/by/name", found(5, &[("kind", "user")])),
        ("/lobby/", found(6, &[])),
        ("", Ok(None)),
        ("lobby/7", Ok(None)),
        ("*", Ok(None)),
        ("//", Ok(None)),
        ("/lobby", Ok(None)),
        ("/lobby/7/", Ok(None)),
        ("/Lobby/7", Ok(None)),
        ("/lobby//seat/2", Ok(None)),
        ("/lobby%2F7", Ok(None)),
        ("/files/all/", Ok(None)),
        ("/files/all", Ok(None)),
        ("/café/a/b/%7bx}", Ok(None)),
    ];
    for (path, expected) in cases {
        assert_eq!(routes.find(path), expected, "{path}");
    }
}

#[test]
fn a_path_that_does_not_decode_is_a_fault_even_where_nothing_stands() {
    let routes = routes(&["/lobby/{lobby_id}"]);
    for path in ["/%", "/x/y/%4", "/lobby/%zz", "/lobby/7/%+1", "%é", "/lobby/%%41"] {
        assert_eq!(routes.find(path), Err(PathFault::BadPercent), "{path}");
    }
    for path in ["/%ff", "/x/y/%C3", "/lobby/%ED%A0%80", "/lobby/%C3/%A9", "/lobby/%C0%80"] {
        assert_eq!(routes.find(path), Err(PathFault::NotUtf8), "{path}");
    }
}

#[test]
fn what_is_not_encoded_is_borrowed() {
    let routes = routes(&["/lobby/{lobby_id}", "/files/{*rest}"]);
    for path in ["/lobby/7", "/files/a"] {
        let found = routes.find(path).expect("it decodes").expect("it matches");
        assert!(matches!(found.params[..], [(_, Cow::Borrowed(_))]));
    }
}

#[test]
fn what_is_wrong_with_a_template_is_said_with_the_remedy() {
    let cases = [
        ("lobby", r#""lobby" does not begin with a slash"#),
        ("", r#""" does not begin with a slash"#),
        ("/lobby/{id", r#""/lobby/{id" has no closing brace"#),
        ("/{a/b}", r#""/{a/b}" has no closing brace"#),
        ("/a}", r#""/a}" closes a brace that it has not opened: write %7D for a brace of the path"#),
        (
            "/lobby-{id}",
            r#""/lobby-{id}" has a brace within a segment: a parameter is a whole segment, as in "/lobby/{lobby_id}"; write %7B for a brace of the path"#,
        ),
        (
            "/{}",
            r#""/{}" names a parameter "": a name is made of A-Z, a-z, 0-9 and _, and does not begin with a digit"#,
        ),
        ("/{a}/{a}", r#""/{a}/{a}" has two parameters "a": give each a name of its own"#),
        ("/{*a}/b", r#""/{*a}/b" goes on after its wildcard: only the last segment can be one"#),
        ("/a?b", r#""/a?b" contains '?', which ends a path: leave out what follows, or write %3F"#),
        ("/a#b", r##""/a#b" contains '#', which ends a path: leave out what follows, or write %23"##),
        ("/100%", r#""/100%" has a % without two hexadecimal digits: write %25 for a percent sign"#),
        ("/%FF", r#""/%FF" has percent-encoded bytes that are not UTF-8: write %C3%A9 for é, and not %E9"#),
    ];
    for (source, expected) in cases {
        let error = Template::parse(source).expect_err(source);
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.template, source);
    }
}

#[test]
fn names_are_identifiers() {
    for name in ["a", "_", "lobby_id", "A9", "__proto__"] {
        assert!(Template::parse(&format!("/{{{name}}}/{{*{name}_}}")).is_ok(), "{name}");
    }
    for name in ["", "9", "a-b", "a b", "é", "a.b", "**", "a*", "%61"] {
        for source in [format!("/{{{name}}}"), format!("/{{*{name}}}")] {
            let fault = Template::parse(&source).expect_err(&source).fault;
            assert!(matches!(fault, TemplateFault::BadName(_)), "{source}: {fault:?}");
        }
    }
    for source in ["/{a}b", "/{{a}}", "/{a}{b}", "/{a}{", "/x{*a}"] {
        assert_eq!(
            Template::parse(source).expect_err(source).fault,
            TemplateFault::PartOfSegment,
            "{source}"
        );
    }
    for source in ["/{*a}/{*b}", "/{*a}/"] {
        assert_eq!(
            Template::parse(source).expect_err(source).fault,
            TemplateFault::WildcardNotLast,
            "{source}"
        );
    }
}

#[test]
fn all_pairs_that_overlap_are_named() {
    let sources = ["/a/{x}", "/b/{x}", "/{y}/b", "/a/b", "/a%2Fb", "/b"];
    let overlap = Routes::new(sources.map(template)).expect_err("they overlap");
    assert_eq!(overlap.pairs, [(0, 2), (1, 2), (0, 3), (2, 3)]);
    assert_eq!(
        overlap.to_string(),
        r#""/a/{x}" and "/{y}/b" match the same path: make them differ in a literal segment; so do 3 other pairs"#
    );
}

#[test]
fn a_pair_that_overlaps_is_named() {
    let overlap = Routes::new(["/a/{x}", "/{y}/b"].map(template)).expect_err("they overlap");
    assert_eq!(
        overlap.to_string(),
        r#""/a/{x}" and "/{y}/b" match the same path: make them differ in a literal segment"#
    );
}

// ---- Against brute force ---------------------------------------------------------------------------------------

/// Templates of up to four segments over very few literals, so that they meet often.
fn source() -> impl Strategy<Value = String> {
    let segment = select(vec!["a", "b", "", "{}", "{}", "a%2Fb"]);
    (vec(segment, 1..4), any::<bool>()).prop_map(|(mut segments, wildcard)| {
        if wildcard {
            segments.push("{*}");
        }
        let segments =
            segments.iter().enumerate().map(|(at, segment)| segment.replace('}', &format!("p{at}}}")));
        segments.map(|segment| format!("/{segment}")).collect()
    })
}

/// All paths of up to five segments out of these, raw.
fn small_paths() -> Vec<String> {
    let mut paths = vec![String::new()];
    let mut longest = paths.clone();
    for _ in 0..5 {
        longest =
            longest.iter().flat_map(|path| ["", "a", "b", "a%2Fb"].map(|s| format!("{path}/{s}"))).collect();
        paths.extend_from_slice(&longest);
    }
    paths
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn two_templates_overlap_just_if_some_small_path_matches_both(one in source(), another in source()) {
        let both = |path: &String| matches(&one, path).is_some() && matches(&another, path).is_some();
        let shared = small_paths().into_iter().find(both);
        let routes = Routes::new([template(&one), template(&another)]);
        prop_assert_eq!(routes.is_err(), shared.is_some(), "{} and {} share {:?}", one, another, shared);
        prop_assert_eq!(shared_path(&one, &another).is_some(), shared.is_some());
    }

    #[test]
    fn every_small_path_finds_the_one_template_that_matches_it(sources in vec(source(), 1..8)) {
        // Those that overlap an earlier one are left out.
        let mut kept: Vec<&str> = Vec::new();
        for source in &sources {
            if Routes::new(kept.iter().chain([&&**source]).map(|source| template(source))).is_ok() {
                kept.push(source);
            }
        }
        for path in small_paths() {
            finds(&kept, &path);
        }
    }

    #[test]
    fn any_text_comes_back_as_a_parameter(value in "\\PC{1,20}", encode in vec(any::<bool>(), 80)) {
        let raw: String = value.bytes().enumerate().map(|(at, byte)| match byte {
            b'a'..=b'z' if !encode[at % 80] => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        }).collect();
        let routes = routes(&["/lobby/{lobby_id}"]);
        let path = format!("/lobby/{raw}");
        prop_assert_eq!(routes.find(&path), found(0, &[("lobby_id", &value)]));
    }

    #[test]
    fn any_template_and_any_path_are_answered(source in "[/{}*a%?é]{0,8}", path in "[/%0aCé9]{0,10}") {
        let _answered = Template::parse(&source).map(|template| Routes::new([template]).map(|_| ()));
        let is_fault = routes(&["/{*rest}"]).find(&path).is_err();
        prop_assert_eq!(is_fault, decode(&path).is_none());
    }
}
