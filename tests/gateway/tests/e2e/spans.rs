//! Spans, as a collector gets them: OTLP over HTTP, in protobuf.

use std::net::SocketAddr;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value,
    trace::v1::{ResourceSpans, Span, span::SpanKind},
};
use prost::Message;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use trunkline_gateway_tests::rig::{Backend, Gateway, Handshake, Setup, opened, within};

/// Takes spans, and hands them on.
struct Collector {
    address: SocketAddr,
    spans: mpsc::UnboundedReceiver<(ResourceSpans, Span)>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
        let address = listener.local_addr().expect("it is bound");
        let (to, spans) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(take(stream, to.clone()));
            }
        });
        Collector { address, spans }
    }

    /// The next span of this name. Others come in no order, and are none of the test's.
    async fn next(&mut self, name: &str) -> (ResourceSpans, Span) {
        let found = async {
            loop {
                let (resource, span) = self.spans.recv().await.expect("the collector runs");
                if span.name == name {
                    return (resource, span);
                }
            }
        };
        within(&format!("a span {name:?} comes"), found).await
    }
}

/// Answers one request.
async fn take(mut stream: TcpStream, to: mpsc::UnboundedSender<(ResourceSpans, Span)>) {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    let (head, length) = loop {
        let read = stream.read(&mut buffer).await.expect("the gateway asks");
        request.extend_from_slice(&buffer[..read]);
        assert!(read > 0 || request.is_empty(), "half a request");
        if read == 0 {
            return;
        }
        let text = String::from_utf8_lossy(&request).to_lowercase();
        if let Some(end) = text.find("\r\n\r\n") {
            let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
            let length: usize =
                length.and_then(|length| length.parse().ok()).expect("it says how long it is");
            break (text[..end].to_owned(), end + 4 + length);
        }
    };
    assert!(head.starts_with("post /v1/traces ") && head.contains("application/x-protobuf"), "{head}");
    while request.len() < length {
        let read = stream.read(&mut buffer).await.expect("the gateway asks");
        request.extend_from_slice(&buffer[..read]);
    }
    let body = request.split_off(head.len() + 4);
    let asked = ExportTraceServiceRequest::decode(&body[..]).expect("it is what OTLP has");
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.expect("the gateway listens");
    for resource in asked.resource_spans {
        for span in resource.scope_spans.clone().into_iter().flat_map(|scope| scope.spans) {
            // The test may be over.
            let _ = to.send((resource.clone(), span));
        }
    }
}

fn setup(backend: &Backend, collector: SocketAddr, handshakes: f64, messages: f64) -> Setup {
    Setup::new(backend.address())
        .with("admin.address", "127.0.0.1:0")
        .with("tracing.endpoint", format!("http://{collector}/v1/traces"))
        .with("tracing.handshakes", handshakes)
        .with("tracing.messages", messages)
        .with("tracing.interval", "10ms")
        .with("tracing.timeout", "2s")
}

/// What a span says of that.
fn said(span: &Span, key: &str) -> Option<String> {
    let value = span.attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value?;
    Some(match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_handshake_and_its_messages_go_on_with_the_trace_of_whoever_came() {
    let (mut backend, mut collector) = (Backend::echo().await, Collector::start().await);
    // Chance traces nobody; who is traced already is.
    let gateway = Gateway::start(&setup(&backend, collector.address, 0.0, 1.0)).await;
    let traced = Handshake::of("a-telling-name").with("traceparent", &format!("00-{TRACE}-{CALLER}-01"));
    let mut ann = traced.enter(&gateway).await;
    backend.expect(&opened("a-telling-name")).await;

    let (resource, handshake) = collector.next("GET /lobby/{lobby_id}").await;
    assert_eq!((hex(&handshake.trace_id), hex(&handshake.parent_span_id)), (TRACE.into(), CALLER.into()));
    assert_eq!(handshake.kind, SpanKind::Server as i32);
    let expected = [
        ("http.request.method", "GET"),
        ("http.route", "/lobby/{lobby_id}"),
        ("http.response.status_code", "101"),
        ("trunkline.endpoint", "lobby"),
        ("session.id", "0.0"),
    ];
    for (key, value) in expected {
        assert_eq!(said(&handshake, key).as_deref(), Some(value), "{key}");
    }
    let service = &resource.resource.as_ref().expect("it says who sends it").attributes;
    assert!(service.iter().any(|attribute| attribute.key == "service.name"), "{service:?}");
    assert!(!format!("{resource:?}").contains("telling"), "{resource:?}");

    ann.say("a telling message").await;
    assert_eq!(ann.hear().await, "a telling message");
    for name in ["client to link", "link to client"] {
        let (resource, span) = collector.next(name).await;
        assert_eq!((hex(&span.trace_id), &span.parent_span_id), (TRACE.into(), &handshake.span_id), "{name}");
        assert_eq!(said(&span, "session.id").as_deref(), Some("0.0"));
        assert_eq!(said(&span, "messaging.message.body.size").as_deref(), Some("17"));
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
        assert!(!format!("{resource:?}").contains("telling"), "{resource:?}");
    }
}

#[tokio::test]
async fn who_is_refused_has_a_span_that_says_so() {
    let (backend, mut collector) = (Backend::start().await, Collector::start().await);
    let gateway = Gateway::start(&setup(&backend, collector.address, 1.0, 0.0)).await;
    let refused = Handshake::of("ann").without("Authorization").refused(&gateway).await;
    assert_eq!(refused.status, 401);
    let (_, span) = collector.next("GET /lobby/{lobby_id}").await;
    assert_eq!(said(&span, "http.response.status_code").as_deref(), Some("401"));
    assert_eq!(said(&span, "error.type").as_deref(), Some(refused.error().as_str()));
    assert!(span.parent_span_id.is_empty() && span.trace_id.iter().any(|byte| *byte != 0), "{span:?}");
    // A client's mistake is no error of the gateway.
    assert_eq!(span.status.map_or(0, |status| status.code), 0);
    // Nobody's path but the template is told, and none where there is none.
    assert_eq!(Handshake::get("/secret/path").refused(&gateway).await.status, 404);
    let (resource, _) = collector.next("GET").await;
    assert!(!format!("{resource:?}").contains("secret"), "{resource:?}");
}

#[tokio::test]
async fn who_is_not_to_be_traced_is_not() {
    let (mut backend, mut collector) = (Backend::echo().await, Collector::start().await);
    let mut gateway = Gateway::start(&setup(&backend, collector.address, 1.0, 1.0)).await;
    let untraced = Handshake::of("ann").with("traceparent", &format!("00-{TRACE}-{CALLER}-00"));
    let mut ann = untraced.enter(&gateway).await;
    backend.expect(&opened("ann")).await;
    ann.say("hello").await;
    assert_eq!(ann.hear().await, "hello");
    let _bob = Handshake::of("bob").enter(&gateway).await;
    gateway.drain();
    gateway.stopped().await;
    // All that it had to say has come: bob's handshake, and nothing of ann's trace.
    let mut traces = Vec::new();
    while let Ok((_, span)) = collector.spans.try_recv() {
        traces.push(hex(&span.trace_id));
    }
    assert!(!traces.is_empty() && !traces.contains(&TRACE.to_owned()), "{traces:?}");
}

#[tokio::test]
async fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    let mut backend = Backend::echo().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
    let away = nobody.local_addr().expect("it is bound");
    drop(nobody);
    let setup = setup(&backend, away, 1.0, 1.0).with("tracing.queue_max", 16);
    let gateway = Gateway::start(&setup).await;
    let mut ann = Handshake::of("ann").enter(&gateway).await;
    backend.expect(&opened("ann")).await;
    for _ in 0..50 {
        ann.say("hello").await;
        assert_eq!(ann.hear().await, "hello");
    }
    let operator = gateway.operator();
    let scrape = operator.until_scraped("trunkline_spans_dropped_total", |dropped| dropped >= 101.0).await;
    assert_eq!(scrape.figure("trunkline_spans_exported_total"), 0.0);
    backend.send(&json!({ "action": "send", "user": { "username": "ann" }, "data": "still here" }));
    assert_eq!(ann.hear().await, "still here");
}

#[tokio::test]
async fn where_tracing_is_off_a_traceparent_is_nothing() {
    let mut backend = Backend::echo().await;
    let setup = Setup::new(backend.address()).with("admin.address", "127.0.0.1:0");
    let gateway = Gateway::start(&setup).await;
    let traced = Handshake::of("ann").with("traceparent", &format!("00-{TRACE}-{CALLER}-01"));
    let mut ann = traced.enter(&gateway).await;
    backend.expect(&opened("ann")).await;
    ann.say("hello").await;
    assert_eq!(ann.hear().await, "hello");
    let scrape = gateway.operator().scrape().await;
    for figure in ["trunkline_spans_exported_total", "trunkline_spans_dropped_total"] {
        assert_eq!(scrape.figure(figure), 0.0, "{figure}");
    }
}
