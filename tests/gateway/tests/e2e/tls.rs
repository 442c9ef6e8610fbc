//! TLS, towards clients and towards backends.

use std::sync::Arc;

use rustls::{AlertDescription, ClientConfig};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use trunkline::tls::{IdentityFiles, ServerFiles, ServerTls};
use trunkline_gateway_tests::rig::{
    Backend, Gateway, Handshake, Raw, Setup, opened,
    tls::{Authority, Identity, shake_hands, tunnel_from_tls, tunnel_to},
    within,
};

/// A record that offers TLS 1.1 and nothing newer (RFC 4346, section 7.4.1.2).
const OLD_HELLO: &[u8] = b"\x16\x03\x01\x00\x39\x01\x00\x00\x35\x03\x02\
    0123456789abcdef0123456789abcdef\x00\x00\x04\xc0\x13\x00\x2f\x01\x00\
    \x00\x08\x00\x0d\x00\x04\x00\x02\x04\x01";
/// How a fatal alert begins: `protocol_version`, in a record of any version.
const PROTOCOL_VERSION: (u8, [u8; 2]) = (0x15, [2, 70]);

fn setup(backend: &Backend, authority: &Authority, identity: &Identity) -> Setup {
    Setup::new(backend.address())
        .with("listen.tls.certificate_file", authority.write("gateway.pem", &identity.certificate))
        .with("listen.tls.key_file", authority.write("gateway.key", &identity.key))
}

/// Asks `/healthz` over TLS; an error where the handshake, or what follows it, fails.
async fn ask(gateway: &Gateway, config: Arc<ClientConfig>) -> std::io::Result<String> {
    let mut stream = shake_hands(gateway.address(), config).await?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    within("the connection ends", stream.read_to_string(&mut answer)).await?;
    Ok(answer)
}

/// The certificate that the gateway shows now.
async fn shown(gateway: &Gateway, config: &Arc<ClientConfig>) -> Vec<u8> {
    let stream = shake_hands(gateway.address(), Arc::clone(config)).await.expect("the gateway is trusted");
    stream.get_ref().1.peer_certificates().expect("it shows one")[0].to_vec()
}

#[tokio::test]
async fn a_client_comes_over_tls_and_large_messages_go_both_ways() {
    let authority = Authority::new("both-ways");
    let mut backend = Backend::echo().await;
    let setup = setup(&backend, &authority, &authority.issue("localhost"))
        .lobby("message_bytes_max", "4MiB")
        .lobby("client_queue.bytes_max", "16MiB")
        .lobby("link.message_bytes_max", "16MiB");
    let gateway = Gateway::start(&setup).await;
    let tunnel = tunnel_to(gateway.address(), authority.client(None, &["http/1.1"])).await;

    let (raw, answer) = Handshake::of("ann").ask(tunnel).await;
    assert_eq!(answer.status, 101);
    backend.expect(&opened("ann")).await;
    let mut client = raw.into_client().await;
    for text in ["hello".to_owned(), "x".repeat(4 << 20), "and once more".to_owned()] {
        client.say(&text).await;
        assert!(client.hear().await == text, "{} bytes came back otherwise", text.len());
    }
}

#[tokio::test]
async fn whoever_speaks_no_tls_where_it_is_spoken_is_told() {
    let authority = Authority::new("plain");
    let backend = Backend::echo().await;
    let gateway = Gateway::start(&setup(&backend, &authority, &authority.issue("localhost"))).await;

    let answer = Handshake::of("ann").refused(&gateway).await;
    assert_eq!((answer.status, answer.error()), (400, "tls_required".to_owned()));
}

#[tokio::test]
async fn whoever_is_turned_away_before_its_handshake_gets_an_alert() {
    let authority = Authority::new("turned-away");
    let backend = Backend::echo().await;
    let setup = setup(&backend, &authority, &authority.issue("localhost"))
        .with("limits.per_address.connections_max", 1);
    let gateway = Gateway::start(&setup).await;
    let _place = Raw::connect(gateway.address()).await;

    let refused = ask(&gateway, authority.client(None, &["http/1.1"])).await.expect_err("there is no place");
    let refused = refused.into_inner().expect("the library says why").downcast::<rustls::Error>();
    assert_eq!(
        *refused.expect("it is a matter of TLS"),
        rustls::Error::AlertReceived(AlertDescription::InternalError)
    );
    let answer = Handshake::of("ann").refused(&gateway).await;
    assert_eq!((answer.status, answer.error()), (429, "too_many_attempts".to_owned()));
}

#[tokio::test]
async fn whoever_speaks_tls_where_none_is_spoken_is_not_kept_waiting() {
    let backend = Backend::echo().await;
    let gateway = Gateway::start(&Setup::new(backend.address())).await;

    let authority = Authority::new("no-tls");
    let shaken =
        within("the gateway answers", shake_hands(gateway.address(), authority.client(None, &[]))).await;
    assert!(shaken.is_err());
}

#[tokio::test]
async fn versions_before_1_2_are_refused() {
    let authority = Authority::new("versions");
    let backend = Backend::echo().await;
    let gateway = Gateway::start(&setup(&backend, &authority, &authority.issue("localhost"))).await;

    let mut stream = TcpStream::connect(gateway.address()).await.expect("it listens");
    stream.write_all(OLD_HELLO).await.expect("it listens");
    let mut alert = [0; 7];
    within("an alert", stream.read_exact(&mut alert)).await.expect("an alert comes");
    assert_eq!((alert[0], [alert[5], alert[6]]), PROTOCOL_VERSION);
}

#[tokio::test]
async fn only_http_1_1_is_agreed_on() {
    let authority = Authority::new("alpn");
    let backend = Backend::echo().await;
    let gateway = Gateway::start(&setup(&backend, &authority, &authority.issue("localhost"))).await;

    let agreed = async |offers: &[&str]| {
        let stream = shake_hands(gateway.address(), authority.client(None, offers)).await?;
        Ok::<_, std::io::Error>(stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec))
    };
    assert_eq!(agreed(&["h2", "http/1.1"]).await.expect("one of them will do"), Some(b"http/1.1".to_vec()));
    assert_eq!(agreed(&[]).await.expect("nothing is asked for"), None);
    assert!(agreed(&["h2"]).await.is_err());
}

#[tokio::test]
async fn where_certificates_are_asked_of_clients_only_those_who_bring_one_come_in() {
    let (authority, other) = (Authority::new("clients"), Authority::new("clients-other"));
    let backend = Backend::echo().await;
    let setup = setup(&backend, &authority, &authority.issue("localhost"))
        .with("listen.tls.client_ca_file", authority.file());
    let gateway = Gateway::start(&setup).await;

    let known = authority.issue("device-1");
    let healthy = ask(&gateway, authority.client(Some(&known), &[])).await.expect("it is known");
    assert!(healthy.starts_with("HTTP/1.1 200"), "{healthy}");
    assert!(ask(&gateway, authority.client(None, &[])).await.is_err());
    assert!(ask(&gateway, authority.client(Some(&other.issue("device-2")), &[])).await.is_err());
}

#[tokio::test]
async fn a_new_certificate_is_used_for_new_connections_and_old_ones_stay() {
    let authority = Authority::new("renewed");
    let backend = Backend::echo().await;
    let gateway = Gateway::start(&setup(&backend, &authority, &authority.issue("localhost"))).await;
    let config = authority.client(None, &[]);
    let tunnel = tunnel_to(gateway.address(), Arc::clone(&config)).await;
    let (raw, _) = Handshake::of("ann").ask(tunnel).await;
    let mut client = raw.into_client().await;
    let first = shown(&gateway, &config).await;

    let next = authority.issue("localhost");
    authority.write("gateway.pem", &next.certificate);
    authority.write("gateway.key", &next.key);
    let renewed = async { while shown(&gateway, &config).await == first {} };
    within("the new certificate is shown", renewed).await;

    client.say("still here").await;
    assert_eq!(client.hear().await, "still here");
}

#[test]
fn files_that_make_no_sense_leave_in_use_what_was_and_that_is_said_once() {
    let authority = Authority::new("senseless");
    let (first, next) = (authority.issue("localhost"), authority.issue("localhost"));
    let certificate = authority.write("gateway.pem", &first.certificate).into();
    let key = authority.write("gateway.key", &first.key).into();
    let identity = IdentityFiles { certificate, key };
    let tls = ServerTls::load(ServerFiles { identity, client_ca: None }).expect("they make sense");
    let in_use = tls.current();

    // What is no certificate, and one whose key is another.
    for wrong in ["not a certificate", &next.certificate] {
        authority.write("gateway.pem", wrong);
        assert!(tls.refresh().is_err());
        assert_eq!(tls.refresh(), Ok(false));
        assert!(Arc::ptr_eq(&tls.current(), &in_use));
    }
    authority.write("gateway.key", &next.key);
    assert_eq!(tls.refresh(), Ok(true));
    assert!(!Arc::ptr_eq(&tls.current(), &in_use));
}

#[tokio::test]
async fn a_handshake_that_is_not_finished_is_cut() {
    let authority = Authority::new("cut");
    let backend = Backend::echo().await;
    let setup =
        setup(&backend, &authority, &authority.issue("localhost")).with("limits.handshake_timeout", "200ms");
    let gateway = Gateway::start(&setup).await;

    let mut raw = Raw::connect(gateway.address()).await;
    raw.write(&OLD_HELLO[..20]).await;
    raw.ended().await;
}

/// A lobby whose backend speaks TLS, as `identity`.
async fn secure_backend(
    backend: &Backend,
    authority: &Authority,
    identity: &Identity,
    demands: bool,
) -> Setup {
    let plain = backend.address();
    let (address, path) =
        plain.split_once('/').map_or((plain.as_str(), ""), |(address, path)| (address, path));
    let address = address.parse().expect("it is an address");
    let secure = tunnel_from_tls(address, authority.server(identity, demands)).await;
    Setup::new(plain.clone()).lobby("backend", format!("wss://localhost:{}/{path}", secure.port()))
}

async fn says_hello(gateway: &Gateway) {
    let mut client = Handshake::of("ann").enter(gateway).await;
    client.say("hello").await;
    assert_eq!(client.hear().await, "hello");
}

#[tokio::test]
async fn a_backend_is_reached_over_tls_and_both_prove_who_they_are() {
    let authority = Authority::new("link");
    let backend = Backend::echo().await;
    let me = authority.issue("gateway");
    let setup = secure_backend(&backend, &authority, &authority.issue("localhost"), true)
        .await
        .lobby("link.tls.ca_file", authority.file())
        .lobby("link.tls.certificate_file", authority.write("me.pem", &me.certificate))
        .lobby("link.tls.key_file", authority.write("me.key", &me.key));
    let gateway = Gateway::start(&setup).await;
    gateway.link_is("up").await;
    says_hello(&gateway).await;
}

#[tokio::test]
async fn a_backend_that_cannot_prove_its_name_is_not_spoken_to() {
    let (authority, other) = (Authority::new("impostor"), Authority::new("impostor-other"));
    for (signed_by, name) in [(&authority, "elsewhere.test"), (&other, "localhost")] {
        let backend = Backend::echo().await;
        let setup = secure_backend(&backend, signed_by, &signed_by.issue(name), false)
            .await
            .lobby("link.tls.ca_file", authority.file())
            .lobby("outage.grace", "100ms");
        let gateway = Gateway::start(&setup).await;
        // The grace passes without a link.
        gateway.accepts(false).await;
        assert_eq!(backend.dials(), 0);
    }
}

#[tokio::test]
async fn the_next_dial_trusts_what_the_file_says_then() {
    let (authority, other) = (Authority::new("trust"), Authority::new("trust-other"));
    let backend = Backend::echo().await;
    let setup = secure_backend(&backend, &authority, &authority.issue("localhost"), false)
        .await
        .lobby("link.tls.ca_file", other.file());
    let gateway = Gateway::start(&setup).await;
    gateway.link_is("down").await;

    let right = std::fs::read_to_string(authority.file()).expect("it was written");
    other.write("ca.pem", &right);
    gateway.link_is("up").await;
    says_hello(&gateway).await;
}

#[test]
fn what_is_wrong_with_the_files_is_said_before_anything_listens() {
    let authority = Authority::new("files");
    let (mine, other) = (authority.issue("localhost"), authority.issue("localhost"));
    let certificate = authority.write("gateway.pem", &mine.certificate);
    let key = authority.write("gateway.key", &mine.key);
    let other_key = authority.write("other.key", &other.key);
    let junk = authority.write("junk.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let problems = |keys: &[(&str, &str)]| {
        let mut text = Setup::new("127.0.0.1:9".to_owned());
        for (key, value) in keys {
            text = text.with(key, *value);
        }
        let config = trunkline::config::Config::parse(&text.text(), std::path::Path::new("."), |_| None);
        config.map_or_else(|problems| problems.to_string(), |_| String::new())
    };
    let with = |certificate: &str, key: &str| {
        problems(&[("listen.tls.certificate_file", certificate), ("listen.tls.key_file", key)])
    };

    assert_eq!(with(&certificate, &key), "");
    assert!(with(&certificate, &other_key).contains("is not the key of the certificate"));
    assert!(with(&certificate, &certificate).contains("holds no private key in PEM"));
    assert!(with(&key, &key).contains("holds no certificate in PEM"), "{}", with(&key, &key));
    assert!(with(&junk, &key).contains("holds no certificate of X.509"), "{}", with(&junk, &key));
    assert!(with("missing.pem", &key).contains("cannot be read"));
    let half = problems(&[("listen.tls.certificate_file", certificate.as_str())]);
    assert!(half.contains("belong together"), "{half}");
    let alone = problems(&[("listen.tls.client_ca_file", certificate.as_str())]);
    assert!(alone.contains("write certificate_file and key_file too"), "{alone}");
    let link = problems(&[
        ("endpoints.lobby.backend", "wss://localhost:1/"),
        ("endpoints.lobby.link.tls.ca_file", &key),
    ]);
    assert!(link.contains("endpoints.lobby.link.tls"), "{link}");
}
