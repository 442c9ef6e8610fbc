//! Whatever the text: no panic, and no secret in what is said of it.

use proptest::{collection::vec, prelude::*};

use super::{lobby, said_of};

const FULL: &str = include_str!("../../../../docs/examples/full.toml");

/// A piece of a value or of a line.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z_.]{1,12} = [0-9\"a-z\\[\\]{}]{0,12}\n",
        Just("[defaults]\n".to_owned()),
        Just("\"ws://[::\"".to_owned()),
        Just("-99999999999999999999999".to_owned()),
        Just("\"18446744073709551615y\"".to_owned()),
        Just("\"9999999999999999999999999KiB\"".to_owned()),
        Just("{ a = [[], {}], b.c = 1979-05-27 }".to_owned()),
        Just("\"\\u0000\\n\"".to_owned()),
    ]
}

/// The full example with pieces put in place of others.
fn mutated() -> impl Strategy<Value = String> {
    vec((0..FULL.len(), 0..20_usize, piece()), 1..6).prop_map(|changes| {
        changes.into_iter().fold(FULL.to_owned(), |text, (at, cut, piece)| {
            let chars: Vec<char> = text.chars().collect();
            let (at, end) = (at.min(chars.len()), (at + cut).min(chars.len()));
            chars[..at].iter().copied().chain(piece.chars()).chain(chars[end..].iter().copied()).collect()
        })
    })
}

/// The full example with the value of one line replaced, so that it mostly is TOML still.
fn replaced() -> impl Strategy<Value = String> {
    vec((any::<prop::sample::Index>(), piece()), 1..12).prop_map(|changes| {
        let mut lines: Vec<String> = FULL.lines().map(str::to_owned).collect();
        for (line, value) in changes {
            let line = &mut lines[line.index(FULL.lines().count())];
            if let Some((key, _)) = line.split_once(" = ") {
                *line = format!("{} = {value}", key.trim_start_matches("# "));
            }
        }
        lines.join("\n")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_panics(text in prop_oneof![any::<String>(), mutated(), replaced()]) {
        let said = said_of(&text);
        prop_assert!(!said.is_empty());
    }

    #[test]
    fn every_problem_is_one_line(text in prop_oneof![mutated(), replaced()]) {
        if let Err(problems) = super::parse(&text) {
            for problem in &problems.list {
                prop_assert!(!problem.to_string().contains(char::is_control), "{problem:?}");
            }
        }
    }

    #[test]
    fn a_secret_is_never_shown(secret in "hush[a-z ]{0,20}[=@#?/:-]{0,3}hush", shape in 0..SHAPES.len()) {
        let said = said_of(&lobby(&SHAPES[shape].replace("SECRET", &secret)));
        prop_assert!(!said.contains("hush"), "{said}");
    }
}

/// Right and wrong ways to write a secret.
const SHAPES: [&str; 17] = [
    "token.secret = \"SECRET\"",
    "token.secret = [\"SECRET\"]",
    "token.secret = { value = \"SECRET\" }",
    "token.secret_base64 = \"SECRET\"",
    "token.secret_base64 = [\"SECRET\"]",
    "token.secrt = \"SECRET\"",
    "[endpoints.x]\ntoken = \"SECRET\"",
    "[defaults.token]\nsecret = [\"SECRET\"]",
    "secret = \"SECRET\"",
    "token.secret = SECRET",
    "token.secret = \"SECRET",
    "token.secret = \"SECRET\" SECRET",
    "[endpoints.x]\npath = \"/x\"\nbackend = \"ws://ann:SECRET@host:1/\"",
    "token.jwks_url = \"https://ann:SECRET@host/\"",
    "token.jwks_url = \"http://localhost/?key=SECRET\"",
    "token.jwks_url = [\"http://localhost/?key=SECRET\", \"http://localhost/?key=SECRET\"]",
    "[endpoints.x]\npath = \"/x\"\nbackend = \"ws://host:1/?key=SECRET\"\ntoken.algorithms = [\"HS256\"]",
];
