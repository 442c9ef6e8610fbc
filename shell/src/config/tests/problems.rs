//! Each kind of problem, with the line that an operator reads.

use std::path::Path;

use super::{super::Config, SECRET, lobby, parse, said_of};

/// Asserts what is said of lines in the table of an endpoint; they begin at line 5.
#[track_caller]
fn says(more: &str, expected: &str) {
    assert_eq!(said_of(&lobby(more)), expected);
}

/// The same for `[endpoints.lobby.token]`, from line 5 on, with files to be found and no secret but what is written.
#[track_caller]
fn says_of_token(more: &str, expected: &str) {
    let text =
        format!("[endpoints.lobby]\npath = \"/\"\nbackend = \"ws://h\"\n[endpoints.lobby.token]\n{more}\n");
    let said = Config::parse(&text, Path::new("src/config/tests/files"), |_| None);
    assert_eq!(
        said.map_or_else(|problems| problems.to_string(), |config| config.warnings.join("\n")),
        expected
    );
}

#[test]
fn a_key_that_is_not_known() {
    says("reopengap = 5", "line 5: endpoints.lobby.reopengap: is not a key; did you mean reopen_gap?");
    says("[defaults.lnik]", "line 5: defaults.lnik: is not a key; did you mean link?");
    let said =
        "line 5: endpoints.lobby.\"a b\": is not a key; take it out, or look it up in docs/configuration.md";
    says("\"a b\" = 5", said);
}

#[test]
fn a_value_of_another_type() {
    says(
        "sessions_max = \"9\"",
        "line 5: endpoints.lobby.sessions_max: \"9\" is a string; write an integer, such as 10000000",
    );
    says(
        "on_expiry = true",
        "line 5: endpoints.lobby.on_expiry: true is a boolean; write one of \"close\", \"ignore\"",
    );
    says(
        "close_timeout = []",
        "line 5: endpoints.lobby.close_timeout: a list stands here; write a duration such as \"5s\"",
    );
    says(
        "link = 5",
        "line 5: endpoints.lobby.link: it is of type integer; write a table: [endpoints.lobby.link]",
    );
    says(
        "token.sources = \"header\"",
        "line 5: endpoints.lobby.token.sources: \"header\" is a string; write a list in brackets",
    );
}

#[test]
fn a_value_that_cannot_be_read() {
    says(
        "on_expiry = \"stay\"",
        "line 5: endpoints.lobby.on_expiry: \"stay\" is not known; write one of \"close\", \"ignore\"",
    );
    says(
        "reopen_gap = \"100\"",
        "line 5: endpoints.lobby.reopen_gap: \"100\" has no unit; write one such as \"100ms\" or \"1m 30s\"",
    );
    says(
        "reopen_gap = 100",
        "line 5: endpoints.lobby.reopen_gap: 100 has no unit; write a duration such as \"5s\"",
    );
    says(
        "reopen_gap = \"soon\"",
        "line 5: endpoints.lobby.reopen_gap: \"soon\" is not a duration; write one such as \"100ms\" or \"1m 30s\"",
    );
    says(
        "reopen_gap = \"5us\"",
        "line 5: endpoints.lobby.reopen_gap: \"5us\" is finer than a millisecond; round it",
    );
    says(
        "retry_after = \"1500ms\"",
        "line 5: endpoints.lobby.retry_after: \"1500ms\" is not a whole number of seconds; round it",
    );
    says(
        "message_bytes_max = \"1 Mib\"",
        "line 5: endpoints.lobby.message_bytes_max: \"1 Mib\" is not a size; write one such as \"64KiB\" or \"1MB\", or a number of bytes",
    );
    says(
        "[listen]\naddress = [\"localhost:80\"]",
        "line 6: listen.address: \"localhost:80\" is not an IP address and a port; write one such as \"127.0.0.1:8080\" or \"[::]:8080\"",
    );
    says(
        "[log.targets]\nlink = \"loud\"",
        "line 6: log.targets.link: \"loud\" is not known; write one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\"",
    );
}

#[test]
fn a_value_out_of_its_range() {
    says(
        "sessions_max = 0",
        "line 5: endpoints.lobby.sessions_max: 0 is out of range; it may be 1 to 10000000",
    );
    says(
        "sessions_max = -1",
        "line 5: endpoints.lobby.sessions_max: -1 is out of range; it may be 1 to 10000000",
    );
    says(
        "close_timeout = \"0s\"",
        "line 5: endpoints.lobby.close_timeout: \"0s\" is out of range; it may be \"100ms\" to \"1m\"",
    );
    says(
        "idle_timeout = \"1ms\"",
        "line 5: endpoints.lobby.idle_timeout: \"1ms\" is out of range; it may be \"0s\" (off), \"100ms\" to \"1day\"",
    );
    says(
        "message_bytes_max = \"99999999999999999999GiB\"",
        "line 5: endpoints.lobby.message_bytes_max: \"99999999999999999999GiB\" is out of range; it may be 128 to \"64MiB\"",
    );
}

#[test]
fn a_list_that_is_empty_or_has_an_entry_twice() {
    says(
        "token.sources = []",
        "line 5: endpoints.lobby.token.sources: the list is empty; write at least one entry or leave the key out",
    );
    says(
        "token.sources = [\"header\", \"header\"]",
        "line 5: endpoints.lobby.token.sources: \"header\" is listed twice; take one out",
    );
    says(
        "token.sources = [\"body\"]",
        "line 5: endpoints.lobby.token.sources: \"body\" is not a source; write one of \"header\", \"query:NAME\", \"cookie:NAME\", \"subprotocol:NAME\"",
    );
    says(
        "token.sources = [\"query:\"]",
        "line 5: endpoints.lobby.token.sources: \"query:\" has a bad name; take 1 to 64 letters, digits, - and _",
    );
}

#[test]
fn values_that_contradict_each_other() {
    says(
        "link.queue_low = \"4MiB\"",
        "line 5: endpoints.lobby.link.queue_low: queue_low = \"4MiB\" must be below queue_high = \"4MiB\"; lower the one or raise the other",
    );
    says(
        "link.redial_min = \"11s\"",
        "line 5: endpoints.lobby.link.redial_min: redial_min = \"11s\" must be at most backoff_max = \"10s\"; lower the one or raise the other",
    );
    says(
        "link.backoff_first = \"11s\"",
        "line 5: endpoints.lobby.link.backoff_first: backoff_first = \"11s\" must be at most backoff_max = \"10s\"; lower the one or raise the other",
    );
    says(
        "parked.bytes_max = \"65MiB\"",
        "line 5: endpoints.lobby.parked.bytes_max: bytes_max = \"65MiB\" must be at most total_bytes_max = \"64MiB\"; lower the one or raise the other",
    );
    says(
        "[health]\naddress = \"127.0.0.1:8080\"",
        "line 6: health.address: is in listen.address too; leave this key out to serve both there",
    );
    says(
        "[recording]\nfiles_max = 8",
        "line 6: recording.files_max: needs a place for the files; write folder = \"/var/lib/trunkline/recordings\", or leave this key out",
    );
    says(
        "[recording]\nfolder = \"recordings\"\nbytes_max = 0\nfiles_max = 8",
        "line 7: recording.bytes_max: writes down what is recorded, and bytes_max = 0 says that nothing is; leave one of them out",
    );
}

#[test]
fn a_share_that_is_none() {
    let with = |share: &str| {
        format!("[tracing]\nendpoint = \"http://127.0.0.1:4318/v1/traces\"\nhandshakes = {share}")
    };
    says(&with("1.5"), "line 7: tracing.handshakes: 1.5 is out of range; it may be 0 to 1");
    says(&with("nan"), "line 7: tracing.handshakes: nan is out of range; it may be 0 to 1");
    says(
        &with("\"1%\""),
        "line 7: tracing.handshakes: \"1%\" is a string; write a number from 0 to 1, such as 0.01",
    );
    assert!(parse(&lobby(&with("1"))).is_ok() && parse(&lobby(&with("0.25"))).is_ok());
}

#[test]
fn what_is_inherited_is_said_once_and_where_it_stands() {
    let two = lobby(
        "[endpoints.chat]\npath = \"/chat\"\nbackend = \"ws://h\"\ntoken.algorithms = [\"HS256\"]\n[defaults.link]\nqueue_low = \"1GiB\"\nredial_min = 5",
    );
    let said = "line 10: defaults.link.queue_low: queue_low = \"1GiB\" must be below queue_high = \"4MiB\"; lower the one or raise the other\n\
                line 11: defaults.link.redial_min: 5 has no unit; write a duration such as \"5s\"";
    assert_eq!(said_of(&two), said);
    says(
        "[defaults]\npath = \"/\"",
        "line 6: defaults.path: cannot be a default; write it in each [endpoints.NAME]",
    );
}

#[test]
fn endpoints_that_are_missing_or_incomplete() {
    assert_eq!(said_of(""), "endpoints: there is none; write [endpoints.NAME] with path and backend");
    let said = "line 1: endpoints.chat.backend: is missing; write backend = \"ws://localhost:9000/\"\n\
                line 1: endpoints.chat.path: is missing; write path = \"/lobby/{lobby_id}\"\n\
                line 1: endpoints.chat.token.algorithms: is missing; write algorithms = [\"HS256\"]";
    assert_eq!(said_of("[endpoints.chat]"), said);
    says(
        "[endpoints.Chat]\npath = \"/c\"\nbackend = \"ws://h\"\ntoken.algorithms = [\"HS256\"]",
        "line 5: endpoints.Chat: \"Chat\" cannot be a name; take 1 to 64 of a-z, 0-9, - and _",
    );
}

#[test]
fn a_variable_is_shown_as_it_can_be_set_whatever_the_endpoint_is_called() {
    let text = "[endpoints.\"a-é=\\n\"]\npath = \"/\"\nbackend = \"ws://h\"\ntoken.algorithms = [\"HS256\"]";
    let problems = Config::parse(text, Path::new("nowhere"), |_| None).map(|_| ()).expect_err("no name");
    let said = problems.to_string();
    assert!(said.ends_with("or set TRUNKLINE_ENDPOINTS_A_____TOKEN_SECRET"), "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");
}

#[test]
fn paths_that_are_wrong_or_overlap() {
    let path = |path: &str| said_of(&lobby("").replace("/lobby/{id}", path));
    assert_eq!(path("/lobby/{id"), "line 2: endpoints.lobby.path: \"/lobby/{id\" has no closing brace");
    says(
        "[endpoints.other]\npath = \"/{any}/7\"\nbackend = \"ws://h\"\ntoken.algorithms = [\"HS256\"]",
        "line 6: endpoints.other.path: \"/{any}/7\" overlaps with endpoints.lobby.path = \"/lobby/{id}\"; change one of them",
    );
}

#[test]
fn backends_that_are_none() {
    let of = |backend: &str| said_of(&lobby("").replace("ws://localhost:9000/", backend));
    let line = |rest: &str| format!("line 3: endpoints.lobby.backend: {rest}");
    assert_eq!(
        of("h:80"),
        line("\"h:80\" is not the URL of a WebSocket; write one such as \"ws://localhost:9000/path\"")
    );
    assert_eq!(of("ws://h:0/"), line("\"ws://h:0/\" has a bad port; it may be 1 to 65535"));
    assert_eq!(
        of("ws://[::1/"),
        line("\"ws://[::1/\" has a bad host; write a name, an IPv4 address, or an IPv6 address in brackets")
    );
    assert_eq!(
        of("ws://1.2.3.999/"),
        line(
            "\"ws://1.2.3.999/\" has a bad host; write a name, an IPv4 address, or an IPv6 address in brackets"
        )
    );
    assert_eq!(
        of("ws://h/#x"),
        line("\"ws://h/\" has a fragment, which is never sent; take out what follows the #")
    );
    assert_eq!(
        of("ws://h/a b"),
        line("\"ws://h/a b\" has a path that cannot be sent; percent-encode it, and stay below 2048 bytes")
    );
    assert_eq!(
        of("ws://ann:hush@h/"),
        line("\"ws://…@…\" has a user's name or password, which are not sent; take out what precedes the @")
    );
}

#[test]
fn algorithms_and_keys_that_do_not_fit() {
    let at = "line 5: endpoints.lobby.token.algorithms:";
    says_of_token(
        "algorithms = [\"None\"]\nsecret = \"hush\"",
        &format!("{at} \"None\" would accept tokens that nobody signed; write what your issuer signs with"),
    );
    says_of_token(
        "algorithms = [\"HS1\"]\nsecret = \"hush\"",
        &format!(
            "{at} \"HS1\" is not an algorithm that is known; write one of \"HS256\", \"HS384\", \"HS512\", \"RS256\", \"RS384\", \"RS512\", \"PS256\", \"PS384\", \"PS512\", \"ES256\", \"ES384\", \"EdDSA\""
        ),
    );
    says_of_token(
        "algorithms = [\"HS256\"]",
        "line 4: endpoints.lobby.token: has no key; write one of secret, secret_base64, secret_file, public_key_file, jwks_file, jwks_url, issuers, or set TRUNKLINE_ENDPOINTS_LOBBY_TOKEN_SECRET",
    );
    says_of_token(
        "algorithms = [\"RS256\", \"ES256\"]\npublic_key_file = \"rsa.pem\"",
        &format!("{at} no key fits ES256; add public_key_file, jwks_file or jwks_url, or do not allow ES256"),
    );
    says_of_token(
        "algorithms = [\"ES256\", \"EdDSA\"]\npublic_key_file = \"p256.pem\"\njwks_file = \"keys.json\"",
        "",
    );
    says_of_token(
        "algorithms = [\"ES256\"]\npublic_key_file = [\"p256.pem\", \"rsa.pem\"]\njwks_file = \"keys.json\"\nsecret = \"hush\"",
        "line 6: endpoints.lobby.token.public_key_file: \"src/config/tests/files/rsa.pem\": it serves RS256, RS384, RS512, PS256, PS384, PS512, and none of that is allowed; allow it, or remove the key\n\
         line 7: endpoints.lobby.token.jwks_file: \"src/config/tests/files/keys.json\": it serves EdDSA, and none of that is allowed; allow it, or remove the key\n\
         line 8: endpoints.lobby.token.secret: it serves HS256, HS384, HS512, and none of that is allowed; allow it, or remove the key",
    );
}

#[test]
fn an_inherited_key_that_does_not_fit_is_said_where_the_endpoint_names_its_algorithms() {
    let text = lobby("").replace("HS256", "ES256");
    let said = "line 4: endpoints.lobby.token.algorithms: TRUNKLINE_TOKEN_SECRET: it serves HS256, HS384, HS512, and none of that is allowed; allow it, or remove the key\n\
                line 4: endpoints.lobby.token.algorithms: no key fits ES256; add public_key_file, jwks_file or jwks_url, or do not allow ES256";
    assert_eq!(said_of(&text), said);
    let inherited = text.replace("token.algorithms", "[defaults.token]\nalgorithms");
    let said = "line 5: defaults.token.algorithms: no key fits ES256; add public_key_file, jwks_file or jwks_url, or do not allow ES256\n\
                TRUNKLINE_TOKEN_SECRET: it serves HS256, HS384, HS512, and none of that is allowed; allow it, or remove the key";
    assert_eq!(said_of(&inherited), said);
}

#[test]
fn keys_are_looked_at_where_algorithms_are_wrong_and_where_nobody_inherits_them() {
    let dir = "src/config/tests/files";
    let private = format!(
        "\"{dir}/private.pem\": it is a private key, which belongs to the issuer alone; give the public one (`openssl pkey -in FILE -pubout`)"
    );
    says_of_token(
        "public_key_file = \"private.pem\"\nsecret = \"-----BEGIN PUBLIC KEY-----\"\n[defaults.token]\npublic_key_file = \"private.pem\"",
        &format!(
            "line 4: endpoints.lobby.token.algorithms: is missing; write algorithms = [\"HS256\"]\n\
             line 5: endpoints.lobby.token.public_key_file: {private}\n\
             line 6: endpoints.lobby.token.secret: the secret is the text of a PEM file, with which anyone who has that file could sign; give a public key as a file, and use its algorithm\n\
             line 8: defaults.token.public_key_file: {private}"
        ),
    );
}

#[test]
fn a_token_table_without_anything_lacks_both() {
    says_of_token(
        "",
        "line 4: endpoints.lobby.token: has no key; write one of secret, secret_base64, secret_file, public_key_file, jwks_file, jwks_url, issuers, or set TRUNKLINE_ENDPOINTS_LOBBY_TOKEN_SECRET\n\
         line 4: endpoints.lobby.token.algorithms: is missing; write algorithms = [\"HS256\"]",
    );
}

#[test]
fn files_that_are_missing_or_hold_something_else() {
    let dir = "src/config/tests/files";
    says_of_token(
        "algorithms = [\"HS256\", \"ES256\"]\nsecret_file = [\"empty.secret\", \"no.secret\"]\npublic_key_file = [\"none.pem\", \"private.pem\"]\njwks_file = [\"no-keys.json\", \"none.pem\"]",
        &format!(
            "line 6: endpoints.lobby.token.secret_file: \"{dir}/empty.secret\": the secret is empty; give the one that the issuer signs with, of 32 bytes or more\n\
             line 6: endpoints.lobby.token.secret_file: \"{dir}/no.secret\" cannot be read: entity not found; check its path and its permissions\n\
             line 7: endpoints.lobby.token.public_key_file: \"{dir}/none.pem\": there is no PEM block in it; it needs a line `-----BEGIN PUBLIC KEY-----` and what follows (a key in DER becomes PEM with `openssl pkey -pubin -inform DER -in FILE`)\n\
             line 7: endpoints.lobby.token.public_key_file: \"{dir}/private.pem\": it is a private key, which belongs to the issuer alone; give the public one (`openssl pkey -in FILE -pubout`)\n\
             line 8: endpoints.lobby.token.jwks_file: \"{dir}/no-keys.json\": no key in it serves to verify signatures; give keys with `kty` RSA, EC, OKP or oct, `crv` P-256, P-384 or Ed25519, and `use` absent or `sig`\n\
             line 8: endpoints.lobby.token.jwks_file: \"{dir}/none.pem\": it is no JWK or set of JWKs at line 1, column 2; give an object with `kty`, or one with `keys`"
        ),
    );
    let said =
        Config::load(Path::new("nowhere.toml"), |_| None).expect_err("there is no such file").to_string();
    assert_eq!(
        said,
        "nowhere.toml: 1 problem\ncannot be read: entity not found; check its path and its permissions"
    );
}

#[test]
fn a_short_secret_is_a_warning_and_an_empty_one_a_problem() {
    let short = "endpoints.lobby.token.secret_file: \"src/config/tests/files/short.secret\" has 9 bytes; take at least 32 for HS256 (RFC 7518, 3.2)";
    says_of_token("algorithms = [\"HS256\"]\nsecret_file = \"short.secret\"", short);
    says_of_token(
        "algorithms = [\"HS256\"]\nsecret = \"\"",
        "line 6: endpoints.lobby.token.secret: is empty; anyone could sign with it",
    );
    says_of_token(
        "algorithms = [\"HS256\"]\nsecret_base64 = \"hush-hush\"",
        "line 6: endpoints.lobby.token.secret_base64: is not base64 (the standard alphabet, as of RFC 4648, 4)",
    );
    let empty = Config::parse(&lobby(""), Path::new("."), |name| {
        (name == "TRUNKLINE_TOKEN_SECRET").then(String::new)
    });
    assert_eq!(
        empty.expect_err("it is empty").to_string(),
        "TRUNKLINE_TOKEN_SECRET: is empty; anyone could sign with it"
    );
}

#[test]
fn what_is_no_toml_stops_at_its_place() {
    assert_eq!(said_of("[a]\nb = = 5"), "line 2: column 5: this is not TOML: extra `=`, expected nothing");
}

#[test]
fn two_endpoints_cannot_share_a_variable_that_is_set() {
    let text = "[endpoints.a-b]\npath = \"/1\"\nbackend = \"ws://h\"\n[endpoints.a_b]\npath = \"/2\"\nbackend = \"ws://h\"\n[defaults.token]\nalgorithms = [\"HS256\"]";
    let said = Config::parse(text, Path::new("."), |_| Some(SECRET.to_owned())).expect_err("they share one");
    assert_eq!(
        said.to_string(),
        "line 4: endpoints.a_b: shares TRUNKLINE_ENDPOINTS_A_B_TOKEN_SECRET with a-b; rename one of them"
    );
}

#[test]
fn ten_mistakes_are_said_at_once_in_the_order_of_their_lines() {
    let text = "[limits]\nheaders_max = 0\nworkers = \"all\"\n[log]\nlevel = \"loud\"\n[drain]\ntiem = \"1s\"\n\
                [endpoints.lobby]\npath = \"/lobby/{id\"\nbackend = \"h:80\"\nreopen_gap = 100\nlink.queue_low = \"1GiB\"\n\
                token.algorithms = [\"none\"]\ntoken.secret = 7\n";
    let expected = "\
line 2: limits.headers_max: 0 is out of range; it may be 8 to 1000
line 3: limits.workers: \"all\" is a string; write an integer, such as 1024
line 5: log.level: \"loud\" is not known; write one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\"
line 7: drain.tiem: is not a key; did you mean time?
line 9: endpoints.lobby.path: \"/lobby/{id\" has no closing brace
line 10: endpoints.lobby.backend: \"h:80\" is not the URL of a WebSocket; write one such as \"ws://localhost:9000/path\"
line 11: endpoints.lobby.reopen_gap: 100 has no unit; write a duration such as \"5s\"
line 12: endpoints.lobby.link.queue_low: queue_low = \"1GiB\" must be below queue_high = \"4MiB\"; lower the one or raise the other
line 13: endpoints.lobby.token.algorithms: \"none\" would accept tokens that nobody signed; write what your issuer signs with
line 14: endpoints.lobby.token.secret: is not a string; put it in quotes";
    let problems = Config::parse(text, Path::new("."), |_| None).expect_err("there are ten");
    assert_eq!(problems.to_string(), expected);
    assert_eq!(problems.list.len(), 10);
    assert!(parse(text).is_err());
}

#[test]
fn urls_of_keys_that_are_none() {
    let of = |url: &str| said_of(&lobby(&format!("token.jwks_url = \"{url}\"")).replace("HS256", "ES256"));
    let line = |rest: &str| format!("line 5: endpoints.lobby.token.jwks_url: {rest}");
    assert_eq!(
        of("ftp://h/"),
        line("\"ftp://h/\" is not the URL of keys; write one such as \"https://issuer.example/jwks.json\"")
    );
    assert_eq!(of("https://h:99999/"), line("\"https://h:99999/\" has a bad port; it may be 1 to 65535"));
    assert_eq!(
        of("https:///keys"),
        line(
            "\"https:///keys\" has a bad host; write a name, an IPv4 address, or an IPv6 address in brackets"
        )
    );
    assert_eq!(
        of("https://ann:hush@h/?key=hush"),
        line(
            "\"https://…@…\" has a user's name or password, which are not sent; take out what precedes the @"
        )
    );
    assert_eq!(
        of("https://h/?key=hush#hush"),
        line("\"https://h/\" has a fragment, which is never sent; take out what follows the #")
    );
}

#[test]
fn keys_over_a_line_that_others_can_write_to_are_a_warning() {
    let url = |url: &str| format!("algorithms = [\"ES256\"]\njwks_url = \"{url}\"");
    says_of_token(
        &url("http://issuer.example/keys?key=hush"),
        "endpoints.lobby.token.jwks_url: \"http://issuer.example/keys?…\" is asked without TLS, so whoever is on the way can put in keys; use https://",
    );
    for loopback in ["http://localhost:1/", "http://127.0.0.7/", "http://[::1]/", "http://LOCALHOST./"] {
        says_of_token(&url(loopback), "");
    }
}

#[test]
fn a_set_that_is_published_holds_no_secrets_and_comes_in_time() {
    let url = "jwks_url = \"http://localhost/\"";
    says_of_token(
        &format!("algorithms = [\"HS256\", \"ES256\"]\n{url}"),
        "line 5: endpoints.lobby.token.algorithms: no key fits HS256; add secret_file, or do not allow HS256",
    );
    says_of_token(
        &format!("algorithms = [\"ES256\"]\n{url}\njwks.keep = \"5m\""),
        "line 7: endpoints.lobby.token.jwks.keep: keep must be above refresh, or keys would be forgotten before newer ones are asked for; raise it, or write \"0s\" to keep them for ever",
    );
    says_of_token(
        &format!("algorithms = [\"ES256\"]\n{url}\njwks = {{ keep = \"0s\", refresh = \"1h\" }}"),
        "",
    );
    says_of_token(
        &format!("algorithms = [\"ES256\"]\n{url}\njwks.ca_file = \"none.pem\""),
        "line 7: endpoints.lobby.token.jwks.ca_file: \"src/config/tests/files/none.pem\" holds no certificate in PEM; its lines are between BEGIN and END CERTIFICATE",
    );
}

#[test]
fn issuers_whose_tables_are_wrong() {
    let at = |more: &str| format!("algorithms = [\"ES256\"]\n{more}");
    let table = "endpoints.lobby.token.issuers";
    says_of_token(
        &at("[endpoints.lobby.token.issuers.a]\njwks_url = \"http://localhost/\"\nsecret = \"hush\""),
        &format!(
            "line 6: {table}.a.issuer: is missing; write issuer = \"https://issuer.example\"\n\
             line 8: {table}.a.secret: is not a key; take it out, or look it up in docs/configuration.md"
        ),
    );
    says_of_token(
        &at("issuers.a.issuer = \"a\""),
        &format!(
            "line 6: {table}.a: has no key; write one of secret_file, public_key_file, jwks_file, jwks_url"
        ),
    );
    let url = "jwks_url = \"http://localhost/\"";
    says_of_token(
        &at(&format!(
            "issuers.a = {{ issuer = [\"a\", \"b\"], {url} }}\nissuers.c = {{ issuer = \"b\", {url} }}"
        )),
        &format!("line 7: {table}.c: \"b\" is the issuer of {table}.a too; write its keys into one table"),
    );
    says_of_token(
        &at(&format!(
            "issuers.a = {{ issuer = \"a\", {url} }}\npublic_key_file = \"p256.pem\"\nissuer = \"b\""
        )),
        &format!(
            "line 6: {table}: endpoints.lobby.token.public_key_file stands beside it and would vouch for all of them; put it into the table of its issuer\n\
             line 8: endpoints.lobby.token.issuer: issuer stands beside issuers, which say by themselves whom they are for; leave it out"
        ),
    );
    says_of_token(
        &at(&format!("issuers.A = {{ issuer = \"a\", {url} }}")),
        &format!("line 6: {table}.A: \"A\" cannot be a name; take 1 to 64 of a-z, 0-9, - and _"),
    );
    says_of_token(
        &at("issuers.a = { issuer = \"a\", public_key_file = \"rsa.pem\" }"),
        &format!(
            "line 5: endpoints.lobby.token.algorithms: no key fits ES256; add public_key_file, jwks_file or jwks_url, or do not allow ES256\n\
             line 6: {table}.a.public_key_file: \"src/config/tests/files/rsa.pem\": it serves RS256, RS384, RS512, PS256, PS384, PS512, and none of that is allowed; allow it, or remove the key"
        ),
    );
}

#[test]
fn an_origin_or_a_subprotocol_that_is_none() {
    let origin = |value: &str, what: &str| {
        says(
            &format!("origins = \"{value}\""),
            &format!("line 5: endpoints.lobby.origins: \"{value}\" {what}"),
        );
    };
    let form = "is not an origin; write one such as \"https://app.example.com\"";
    origin("app.example.com", form);
    origin("*", form);
    origin("https://app.example.com/", "has more than scheme, host and port; take out what follows them");
    let star = "has a star where none may be; it stands for subdomains, as in \"https://*.example.com\"";
    origin("https://*.com", star);
    says(
        "origins = [\"https://a.example\", \"HTTPS://A.example:443\"]",
        "line 5: endpoints.lobby.origins: \"https://a.example\" is listed twice; take one out",
    );
    says(
        "subprotocols = [\"chat v1\"]",
        "line 5: endpoints.lobby.subprotocols: \"chat v1\" cannot be a subprotocol; take 1 to 64 letters, digits, -, _ and .",
    );
}

#[test]
fn proxies_that_are_none_or_are_missing() {
    says(
        "[listen]\ntrusted_proxies = \"lb.example\"",
        "line 6: listen.trusted_proxies: \"lb.example\" is not an IP address or network; write one such as \"192.0.2.7\" or \"10.0.0.0/8\"",
    );
    says(
        "[listen]\ntrusted_proxies = \"10.0.0.1/8\"",
        "line 6: listen.trusted_proxies: \"10.0.0.1/8\" has bits beyond its prefix; write 10.0.0.0/8",
    );
    says(
        "[listen]\ntrusted_proxies = \"::ffff:10.0.0.1\"",
        "line 6: listen.trusted_proxies: \"::ffff:10.0.0.1\" is an IPv4 address; write it as one",
    );
    says(
        "[listen]\nclient_address = \"forwarded\"",
        "line 6: listen.client_address: believes nobody without listen.trusted_proxies; write trusted_proxies = \"10.0.0.0/8\", or leave this key out",
    );
}

/// What is said of lines in `[admin]`, from line 2 on, with files to be found.
#[track_caller]
fn says_of_admin(lines: &str, expected: &str) {
    let text = format!(
        "[admin]\n{lines}\n[endpoints.lobby]\npath = \"/\"\nbackend = \"ws://h\"\n\
         token = {{ algorithms = [\"HS256\"], secret = \"{SECRET}\" }}\n"
    );
    let said = Config::parse(&text, Path::new("src/config/tests/files"), |_| None);
    let said = said.map_or_else(|problems| problems.to_string(), |config| config.warnings.join("\n"));
    assert_eq!(said, expected);
}

#[test]
fn an_admin_listener_that_is_open_to_anybody() {
    says_of_admin("address = \"127.0.0.1:9090\"", "");
    says_of_admin("address = \"[::1]:0\"", "");
    let open = "is open to other machines, and anybody there could close users; write admin.token_file, or admin.tls with \
                client_ca_file, or listen on 127.0.0.1";
    for address in ["0.0.0.0:9090", "[::]:9090", "192.0.2.1:9090"] {
        says_of_admin(&format!("address = \"{address}\""), &format!("line 2: admin.address: {open}"));
    }
    says_of_admin(
        "address = \"0.0.0.0:9090\"\ntoken_file = \"admin.token\"",
        "admin.address: the admin token goes over the network as it is; write admin.tls to encrypt it",
    );
    says_of_admin(
        "address = \"0.0.0.0:9090\"\ntoken_file = \"short.secret\"",
        "line 3: admin.token_file: \"src/config/tests/files/short.secret\" holds 9 bytes; it may be 16 to 1024: write \
         what openssl rand -hex 32 gives",
    );
    says_of_admin(
        "address = \"127.0.0.1:1\"\ntoken_file = \"rsa.pem\"",
        "line 3: admin.token_file: \"src/config/tests/files/rsa.pem\" holds what cannot stand in a header; write what \
         openssl rand -hex 32 gives",
    );
    says_of_admin(
        "token_file = \"admin.token\"",
        "line 2: admin.token_file: is of no use without admin.address; write that too, or take this out",
    );
    says_of_admin(
        "address = \"127.0.0.1:8080\"",
        "line 2: admin.address: is listened at for clients or health too; take another port",
    );
    says_of_admin(
        "address = \"127.0.0.1:1\"\nhosts = \"ops.example.com:80\"",
        "line 3: admin.hosts: \"ops.example.com:80\" is no host name; write one such as \"ops.example.com\"",
    );
}

#[test]
fn an_admin_token_is_shown_to_nobody_and_compared_as_a_whole() {
    let text =
        format!("admin = {{ address = \"127.0.0.1:1\", token_file = \"admin.token\" }}\n{}", lobby(""));
    let dir = Path::new("src/config/tests/files");
    let config = Config::parse(&text, dir, |_| Some(SECRET.to_owned())).expect("it is right");
    let token = config.admin.as_ref().and_then(|admin| admin.token.clone()).expect("it has a token");
    assert!(token.is(b"0123456789abcdef"));
    for wrong in [&b""[..], b"0123456789abcde", b"0123456789abcdef\n", b"0123456789abcdeF"] {
        assert!(!token.is(wrong));
    }
    assert!(!format!("{config:?}").contains("0123456789abcdef"));
}
