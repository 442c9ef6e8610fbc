//! Figures, as they are scraped.

use std::collections::BTreeSet;

use serde_json::json;
use trunkline_gateway_tests::rig::{Backend, Client, Gateway, Handshake, Setup, closed, message, opened};

fn setup(backend: &Backend) -> Setup {
    Setup::new(backend.address()).with("admin.address", "127.0.0.1:0")
}

fn of_lobby(name: &str, more: &str) -> String {
    format!("{name}{{endpoint=\"lobby\"{more}}}")
}

#[tokio::test]
async fn what_went_through_is_counted_both_ways_with_how_long_it_took() {
    let mut backend = Backend::echo().await;
    let gateway = Gateway::start(&setup(&backend)).await;
    let operator = gateway.operator();
    let mut ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;
    for _ in 0..5 {
        ann.say("hello").await;
        assert_eq!(ann.hear().await, "hello");
    }
    backend.send(&json!({ "action": "send", "user": { "username": "ann" }, "data": "0123456789" }));
    ann.hear().await;

    let back = of_lobby("trunkline_link_to_client_seconds_count", "");
    let scrape = operator.until_scraped(&back, |count| count >= 6.0).await;
    let messages = |direction| {
        let label = format!(",direction=\"{direction}\"");
        let count = scrape.figure(&of_lobby("trunkline_messages_total", &label));
        (count, scrape.figure(&of_lobby("trunkline_message_bytes_total", &label)))
    };
    assert_eq!((messages("from_clients"), messages("to_clients")), ((5.0, 25.0), (6.0, 35.0)));
    for histogram in ["trunkline_client_to_link_seconds", "trunkline_link_to_client_seconds"] {
        let count = scrape.figure(&of_lobby(&format!("{histogram}_count"), ""));
        let all = scrape.figure(&of_lobby(&format!("{histogram}_bucket"), ",le=\"+Inf\""));
        let sum = scrape.figure(&of_lobby(&format!("{histogram}_sum"), ""));
        assert_eq!((count, all), if histogram.contains("client_to") { (5.0, 5.0) } else { (6.0, 6.0) });
        assert!(sum > 0.0 && sum < 60.0, "{histogram}: {sum}");
    }
    let admitted = of_lobby("trunkline_handshakes_total", ",answer=\"admitted\"");
    assert_eq!((scrape.figure(&admitted), scrape.figure("trunkline_connections")), (1.0, 1.0));
    assert_eq!(scrape.figure(&of_lobby("trunkline_sessions_opened_total", "")), 1.0);
    operator.until_scraped(&of_lobby("trunkline_sessions", ""), |live| live == 1.0).await;
}

#[tokio::test]
async fn nobodys_name_is_in_the_figures() {
    let mut backend = Backend::echo().await;
    let gateway = Gateway::start(&setup(&backend)).await;
    let mut ann = Client::enter(&gateway, "a-telling-name").await;
    backend.expect(&opened("a-telling-name")).await;
    ann.say("a telling message").await;
    ann.hear().await;
    ann.leave().await;
    backend.until("it is closed", |events| events.iter().any(|event| event.kind() == "close")).await;
    let text = gateway.operator().scrape().await.0;
    assert!(!text.contains("telling"), "{text}");
    assert!(!text.contains("127.0.0.1"), "{text}");
}

#[tokio::test]
async fn ends_and_refusals_are_counted_by_cause() {
    let mut backend = Backend::echo().await;
    let gateway = Gateway::start(&setup(&backend)).await;
    let operator = gateway.operator();
    let mut ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;
    let mut second = Client::enter(&gateway, "ann").await;
    assert_eq!(ann.closed().await.0, 1008);
    backend.expect(&closed("ann")).await;
    backend.expect(&opened("ann")).await;
    for bad in
        ["no JSON", r#"{"action":"send","user":{"username":"nobody"},"data":""}"#, r#"{"action":"dance"}"#]
    {
        backend.send_text(bad);
    }
    backend.send(&json!({ "action": "close", "user": { "username": "ann" }, "status": 4000 }));
    assert_eq!(second.closed().await.0, 4000);
    let _ = Handshake::to("/lobby/7").refused(&gateway).await;
    let _ = Handshake::of("bob").line("GET /nowhere HTTP/1.1").refused(&gateway).await;

    let scrape = operator.scrape().await;
    let count = |name, label: &str| scrape.figure(&of_lobby(name, label));
    for (cause, expected) in
        [("taken_over", 1.0), ("backend", 1.0), ("client_closed", 0.0), ("operator", 0.0)]
    {
        assert_eq!(
            count("trunkline_sessions_closed_total", &format!(",cause=\"{cause}\"")),
            expected,
            "{cause}"
        );
    }
    for (cause, expected) in
        [("not_json", 1.0), ("no_session", 1.0), ("unknown_action", 1.0), ("not_utf8", 0.0)]
    {
        assert_eq!(
            count("trunkline_actions_ignored_total", &format!(",cause=\"{cause}\"")),
            expected,
            "{cause}"
        );
    }
    assert_eq!(count("trunkline_handshakes_total", ",answer=\"token_missing\""), 1.0);
    assert_eq!(scrape.figure("trunkline_handshakes_total{endpoint=\"\",answer=\"not_found\"}"), 1.0);
}

#[tokio::test]
async fn an_outage_is_seen_with_what_it_costs() {
    let backend = Backend::echo().await;
    let setup = setup(&backend).lobby("parked.bytes_max", "1KiB");
    let gateway = Gateway::start(&setup).await;
    let operator = gateway.operator();
    let state = |state: &str| of_lobby("trunkline_link_state", &format!(",state=\"{state}\""));
    operator.until_scraped(&state("up"), |up| up == 1.0).await;
    let mut ann = Client::enter(&gateway, "ann").await;
    ann.say("before").await;
    assert_eq!(ann.hear().await, "before");
    let mut backend = backend;
    backend.expect(&opened("ann")).await;
    backend.expect(&message("ann", "before")).await;
    backend.stop_listening().await;
    backend.cut();
    let scrape = operator.until_scraped(&state("down"), |down| down == 1.0).await;
    assert_eq!(scrape.figure(&state("up")), 0.0);
    ann.say(&"x".repeat(2_000)).await;
    operator.until_scraped(&of_lobby("trunkline_clients_stopped", ""), |stopped| stopped == 1.0).await;
    let parked =
        operator.until_scraped(&of_lobby("trunkline_parked_bytes", ""), |bytes| bytes > 2_000.0).await;
    assert_eq!(parked.figure(&of_lobby("trunkline_client_stops_total", "")), 1.0);
    let outage = of_lobby("trunkline_link_outage_seconds_total", "");
    let before = parked.figure(&outage);
    operator.until_scraped(&outage, |seconds| seconds > before).await;

    backend.listen();
    let scrape = operator.until_scraped(&state("up"), |up| up == 1.0).await;
    assert_eq!(scrape.figure(&of_lobby("trunkline_link_connects_total", "")), 2.0);
    assert!(scrape.figure(&of_lobby("trunkline_link_dials_total", "")) >= 2.0);
    assert_eq!(ann.hear().await.len(), 2_000);
    let late =
        operator.until_scraped(&of_lobby("trunkline_clients_stopped", ""), |stopped| stopped == 0.0).await;
    // It has waited for the link, and that counts.
    assert!(late.figure(&of_lobby("trunkline_client_to_link_seconds_sum", "")) > 0.001);
    let after = late.figure(&outage);
    assert_eq!(operator.scrape().await.figure(&outage), after, "the outage is over");
}

#[tokio::test]
async fn a_link_that_takes_no_more_is_seen_to_be_full() {
    let backend = Backend::start().await.with_receive_buffer(4096);
    let setup = setup(&backend)
        .lobby("link.queue_high", "64KiB")
        .lobby("link.queue_low", "32KiB")
        .lobby("link.client_share", "1MiB");
    let gateway = Gateway::start(&setup).await;
    let operator = gateway.operator();
    let mut ann = Client::enter(&gateway, "ann").await;
    gateway.link_is("up").await;
    backend.reads(false);
    let flood = async {
        loop {
            ann.say(&"x".repeat(10_000)).await;
        }
    };
    let figure = of_lobby("trunkline_link_full", "");
    let full = operator.until_scraped(&figure, |full| full == 1.0);
    let scrape = tokio::select! {
        scrape = full => scrape,
        () = flood => unreachable!("it sends for ever"),
    };
    assert!(scrape.figure(&of_lobby("trunkline_link_stalls_total", "")) >= 1.0);
    assert_eq!(scrape.figure(&of_lobby("trunkline_link_queue_limit_bytes", "")), 65_536.0);
    let waiting = ["trunkline_link_queue_bytes", "trunkline_link_unconfirmed_bytes"];
    assert!(waiting.map(|name| scrape.figure(&of_lobby(name, ""))).into_iter().any(|bytes| bytes > 65_536.0));
}

#[tokio::test]
async fn each_figure_has_its_help_its_type_and_a_name_of_its_kind() {
    let backend = Backend::echo().await;
    let gateway = Gateway::start(&setup(&backend)).await;
    let operator = gateway.operator();
    let answer = operator.ask("/metrics").await;
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4"));
    let text = answer.body;
    let mut families = 0;
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("a type has a name");
        families += 1;
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
        assert!(name.starts_with("trunkline_") || name.starts_with("process_"), "{name}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
    }
    assert!(families > 40, "{families}");
    let scrape = operator.scrape().await;
    assert_eq!(
        scrape.figure(&format!("trunkline_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))),
        1.0
    );
    assert!(scrape.figure("process_resident_memory_bytes") > 1e6);
    assert!(scrape.figure("process_open_fds") > 3.0);
}

#[tokio::test]
async fn the_dashboard_and_the_alerts_ask_for_figures_that_there_are_and_the_dashboard_for_all() {
    let backend = Backend::echo().await;
    let gateway = Gateway::start(&setup(&backend)).await;
    let text = gateway.operator().scrape().await.0;
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let families: BTreeSet<&str> = types.collect();
    let dashboard = names(include_str!("../../../../docs/operation/dashboard.json"));
    let alerts = names(include_str!("../../../../docs/operation/alerts.yml"));
    let unknown: Vec<_> = dashboard.union(&alerts).filter(|name| !families.contains(**name)).collect();
    assert!(unknown.is_empty(), "there are none of these: {unknown:?}");
    let unseen: Vec<_> = families.difference(&dashboard).collect();
    assert!(unseen.is_empty(), "the dashboard does not show these: {unseen:?}");
}

/// The figures that a text names.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let figures = words.filter(|word| word.starts_with("trunkline_") || word.starts_with("process_"));
    figures.map(|name| name.strip_suffix("_bucket").unwrap_or(name)).collect()
}
