//! Spans go to a collector: OTLP over HTTP, in protobuf, one request at a time.

use std::{
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1,
    header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use opentelemetry::KeyValue;
use opentelemetry_proto::{
    tonic::collector::trace::v1::ExportTraceServiceRequest,
    transform::{
        common::tonic::ResourceAttributesWithSchema, trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::{Resource, trace::SpanData};
use prost::Message;
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep, timeout},
};

use super::Counts;
use crate::{config::TracingConfig, net, tls};

/// Spans in one request.
const BATCH_MAX: usize = 512;
/// What an answer may have. Nothing in it is looked at.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// How long it is not said again that nothing goes out.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// The task that sends spans.
pub(crate) struct Exporter {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    /// How long the last requests may take.
    patience: Duration,
}

impl Exporter {
    pub(super) fn start(config: TracingConfig, spans: mpsc::Receiver<SpanData>, counts: Arc<Counts>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let patience = config.timeout;
        Exporter { stop, task: tokio::task::spawn_local(run(config, spans, counts, stopped)), patience }
    }

    /// Sends what is left, and waits until that is done, or has taken too long.
    pub(crate) async fn finish(self) {
        // It runs until it is told.
        let _ = self.stop.send(());
        let _ = timeout(self.patience, self.task).await;
    }
}

/// Sends what is in the queue, and once it is told to stop, what is left in there.
async fn run(
    config: TracingConfig,
    mut spans: mpsc::Receiver<SpanData>,
    counts: Arc<Counts>,
    mut stopped: oneshot::Receiver<()>,
) {
    let resource = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", config.service_name.clone()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ])
        .build();
    let resource = ResourceAttributesWithSchema::from(&resource);
    let mut complained: Option<Instant> = None;
    let mut batch = Vec::new();
    while next(&mut spans, &mut batch, &mut stopped).await {
        // Others may come: a request for each span would cost more than the spans.
        if batch.len() < BATCH_MAX && !spans.is_closed() {
            tokio::select! {
                _ = &mut stopped => spans.close(),
                () = sleep(config.interval) => {}
            }
            while batch.len() < BATCH_MAX
                && let Ok(span) = spans.try_recv()
            {
                batch.push(span);
            }
        }
        let count = batch.len() as u64;
        let resource_spans = group_spans_by_resource_and_scope(std::mem::take(&mut batch), &resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        let sent = timeout(config.timeout, send(&config, body)).await;
        match sent.unwrap_or_else(|_| Err(io::Error::other(format!("no answer within {:?}", config.timeout))))
        {
            Ok(()) => drop(counts.exported.fetch_add(count, Relaxed)),
            Err(error) => {
                counts.dropped.fetch_add(count, Relaxed);
                if complained.is_none_or(|at| at.elapsed() >= COMPLAINT_INTERVAL) {
                    complained = Some(Instant::now());
                    let error = error.to_string();
                    let collector = &config.endpoint;
                    tracing::warn!(target: "gateway", %collector, ?error, spans = count, "spans dropped");
                }
            }
        }
    }
}

/// Waits for spans. Whether there are any.
async fn next(
    spans: &mut mpsc::Receiver<SpanData>,
    batch: &mut Vec<SpanData>,
    stopped: &mut oneshot::Receiver<()>,
) -> bool {
    if !spans.is_closed() {
        tokio::select! {
            count = spans.recv_many(batch, BATCH_MAX) => return count > 0,
            _ = stopped => spans.close(),
        }
    }
    spans.recv_many(batch, BATCH_MAX).await > 0
}

async fn send(config: &TracingConfig, body: Vec<u8>) -> io::Result<()> {
    let url = &config.endpoint;
    let stream = net::connect(&url.host, url.port, config.timeout).await?;
    // Where the URL needs it, the configuration has made it.
    let transport = tls::connect(config.tls.as_ref().filter(|_| url.secure), &url.host, stream).await?;
    let (mut sender, connection) =
        http1::Builder::new().handshake(TokioIo::new(transport)).await.map_err(io::Error::other)?;
    // Once this is dropped, whatever has come of it, the connection is too.
    let mut driven = JoinSet::new();
    driven.spawn_local(connection);
    let request = Request::post(&url.path_and_query)
        .header(HOST, url.authority())
        .header(CONTENT_TYPE, "application/x-protobuf")
        .header(USER_AGENT, concat!("trunkline/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .body(Full::new(Bytes::from(body)))
        .map_err(io::Error::other)?;
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    let status = response.status();
    // Whoever closes before it has read may reset what the collector has not read either.
    let _ = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    if status == StatusCode::OK { Ok(()) } else { Err(io::Error::other(format!("it answered {status}"))) }
}
