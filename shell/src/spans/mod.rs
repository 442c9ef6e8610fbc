//! Spans in OpenTelemetry's form: of handshakes, and of messages in between, as many of either as is wanted.
//!
//! A span is made by whoever has seen its beginning and its end, and put into a queue that is bounded; `export` sends what
//! is in there to a collector. Where the queue is full or the collector is away, spans are dropped and counted: nobody
//! waits. Where tracing is off there is no [`Tracer`], no queue and no task.
//!
//! No user, no token, no path but its template, and nothing that anybody said is in a span.

mod export;
mod passing;

use std::{
    borrow::Cow,
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hyper::HeaderMap;
use opentelemetry::{
    InstrumentationScope, KeyValue,
    propagation::{Extractor, TextMapPropagator},
    trace::{SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SpanData};
use tokio::sync::mpsc;
use trunkline_core::SessionId;

pub(crate) use self::{export::Exporter, passing::Passing};
use crate::{clock::unix_millis, config::TracingConfig, random::Random};

/// What all threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    to: mpsc::Sender<SpanData>,
    pub(crate) counts: Arc<Counts>,
    /// Of 2^32, how many handshakes without a parent are sampled, and how many messages.
    handshakes: u64,
    messages: u64,
    scope: InstrumentationScope,
}

/// What became of spans.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    exported: AtomicU64,
    dropped: AtomicU64,
}

impl Counts {
    /// Spans that a collector has taken, and spans that none will.
    pub(crate) fn get(&self) -> (u64, u64) {
        (self.exported.load(Relaxed), self.dropped.load(Relaxed))
    }
}

/// Begins to send spans to the collector.
pub(crate) fn start(config: TracingConfig) -> (Arc<Shared>, Exporter) {
    let (to, spans) = mpsc::channel(config.queue_max);
    let of_all = |ratio: f64| (ratio * 4_294_967_296.0) as u64;
    let shared = Shared {
        to,
        counts: Arc::default(),
        handshakes: of_all(config.handshakes),
        messages: of_all(config.messages),
        scope: InstrumentationScope::builder("trunkline").with_version(env!("CARGO_PKG_VERSION")).build(),
    };
    let exporter = Exporter::start(config, spans, Arc::clone(&shared.counts));
    (Arc::new(shared), exporter)
}

/// Makes the spans of one thread.
#[derive(Debug)]
pub(crate) struct Tracer {
    shared: Arc<Shared>,
    random: RefCell<Random>,
}

/// The span that those of a session have for their parent: its handshake's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Parent {
    trace: TraceId,
    span: SpanId,
}

/// A handshake that is being traced.
#[derive(Debug)]
pub(crate) struct Handshake {
    context: SpanContext,
    parent: Option<SpanId>,
    began: SystemTime,
}

/// What is said of a handshake once it is answered.
pub(crate) struct Answered<'a> {
    pub(crate) method: &'a str,
    pub(crate) secure: bool,
    pub(crate) status: u16,
    /// The code of an answer that refuses.
    pub(crate) refused: Option<&'static str>,
    /// The endpoint and its path template, where one was found.
    pub(crate) endpoint: Option<(&'a str, &'a str)>,
    pub(crate) session: Option<SessionId>,
}

impl Tracer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Tracer { shared, random: RefCell::new(Random::new()) }
    }

    /// Spans that the collector has taken, and spans that none will.
    pub(crate) fn counts(&self) -> (u64, u64) {
        self.shared.counts.get()
    }

    /// A handshake begins, if it is to be traced: whoever sent `traceparent` decides (W3C Trace Context), else chance.
    pub(crate) fn handshake(&self, headers: &HeaderMap) -> Option<Handshake> {
        let context = TraceContextPropagator::new().extract(&Headers(headers));
        let remote = context.span().span_context().clone();
        let parent = remote.is_valid().then_some(remote);
        let sampled = match &parent {
            Some(parent) => parent.is_sampled(),
            None => self.chance(self.shared.handshakes),
        };
        if !sampled {
            return None;
        }
        let trace = parent.as_ref().map_or_else(|| TraceId::from_bytes(self.bytes()), SpanContext::trace_id);
        let state = parent.as_ref().map_or(TraceState::NONE, |parent| parent.trace_state().clone());
        let context = SpanContext::new(trace, self.span_id(), TraceFlags::SAMPLED, false, state);
        let parent = parent.map(|parent| parent.span_id());
        Some(Handshake { context, parent, began: now() })
    }

    /// It is answered.
    pub(crate) fn answered(&self, handshake: Handshake, answer: &Answered<'_>) {
        let Handshake { context, parent, began } = handshake;
        let method = known_method(answer.method);
        let mut attributes = vec![
            KeyValue::new("http.request.method", method),
            KeyValue::new("url.scheme", if answer.secure { "https" } else { "http" }),
            KeyValue::new("http.response.status_code", i64::from(answer.status)),
        ];
        let mut name = Cow::Borrowed(if method == "_OTHER" { "HTTP" } else { method });
        if let Some((endpoint, route)) = answer.endpoint {
            name = format!("{name} {route}").into();
            attributes.push(KeyValue::new("http.route", route.to_owned()));
            attributes.push(KeyValue::new("trunkline.endpoint", endpoint.to_owned()));
        }
        attributes.extend(answer.session.map(session));
        attributes.extend(answer.refused.map(|code| KeyValue::new("error.type", code)));
        // A request that was wrong is no error of the server (semantic conventions for HTTP).
        let status = if answer.status >= 500 { Status::error("") } else { Status::Unset };
        self.emit(SpanData {
            span_context: context,
            parent_span_id: parent.unwrap_or(SpanId::INVALID),
            parent_span_is_remote: parent.is_some(),
            span_kind: SpanKind::Server,
            name,
            start_time: began,
            end_time: now(),
            attributes,
            dropped_attributes_count: 0,
            events: Default::default(),
            links: Default::default(),
            status,
            instrumentation_scope: self.shared.scope.clone(),
        });
    }

    /// Whether a message of a session that is traced is to have a span.
    pub(crate) fn wants_message(&self) -> bool {
        self.chance(self.shared.messages)
    }

    /// A message has passed through, in so many microseconds until now.
    fn message(&self, message: &Message, took_micros: u64) {
        let end_time = now();
        let Message { parent, session: id, bytes, way, lost } = *message;
        let (span_kind, name) = match way {
            Way::ToLink => (SpanKind::Producer, "client to link"),
            Way::ToClient => (SpanKind::Consumer, "link to client"),
        };
        self.emit(SpanData {
            span_context: SpanContext::new(
                parent.trace,
                self.span_id(),
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: parent.span,
            parent_span_is_remote: false,
            span_kind,
            name: name.into(),
            start_time: end_time - Duration::from_micros(took_micros),
            end_time,
            attributes: vec![
                session(id),
                KeyValue::new("messaging.message.body.size", i64::try_from(bytes).unwrap_or(i64::MAX)),
            ],
            dropped_attributes_count: 0,
            events: Default::default(),
            links: Default::default(),
            status: if lost { Status::error("the link broke") } else { Status::Unset },
            instrumentation_scope: self.shared.scope.clone(),
        });
    }

    fn emit(&self, span: SpanData) {
        if self.shared.to.try_send(span).is_err() {
            self.shared.counts.dropped.fetch_add(1, Relaxed);
        }
    }

    fn chance(&self, of_all: u64) -> bool {
        of_all > 0 && u64::from(u32::from_ne_bytes(self.bytes())) < of_all
    }

    fn span_id(&self) -> SpanId {
        SpanId::from_bytes(self.bytes())
    }

    fn bytes<const N: usize>(&self) -> [u8; N] {
        self.random.borrow_mut().bytes()
    }
}

impl Handshake {
    /// What the spans of its session have for their parent.
    pub(crate) fn parent(&self) -> Parent {
        Parent { trace: self.context.trace_id(), span: self.context.span_id() }
    }
}

/// A message of a session that is traced, on its way.
#[derive(Clone, Copy, Debug)]
struct Message {
    parent: Parent,
    session: SessionId,
    bytes: usize,
    way: Way,
    /// It was queued for a link that has broken.
    lost: bool,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    ToLink,
    ToClient,
}

fn session(SessionId { slot, generation }: SessionId) -> KeyValue {
    KeyValue::new("session.id", format!("{slot}.{generation}"))
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(unix_millis())
}

/// Methods that are none are all alike, or spans would have as many names as somebody likes.
fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("_OTHER")
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(hyper::header::HeaderName::as_str).collect()
    }
}
