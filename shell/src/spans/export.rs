//! Spans go to a collector: OTLP over HTTP, in protobuf, one request at a time.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use hyper::{Request, header::CONTENT_TYPE};
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
    task::JoinHandle,
    time::{sleep, timeout},
};
use trunkline_core::Seldom;

use super::Counts;
use crate::{
    clock::Clock,
    config::TracingConfig,
    http::{Fault, Server},
};

/// Spans in one request.
const BATCH_MAX: usize = 512;
/// What an answer may have. Nothing in it is looked at.
const ANSWER_BYTES_MAX: usize = 64 << 10;

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
    let (clock, mut failures) = (Clock::start(), Seldom::default());
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
        match send(&config, body).await {
            Ok(()) => drop(counts.exported.fetch_add(count, Relaxed)),
            Err(error) => {
                counts.dropped.fetch_add(count, Relaxed);
                if let Some(requests) = failures.count(clock.now()) {
                    let (error, collector) = (error.to_string(), &config.endpoint);
                    tracing::warn!(target: "gateway", %collector, ?error, spans = count, requests, "spans dropped");
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

async fn send(config: &TracingConfig, body: Vec<u8>) -> Result<(), Fault> {
    let TracingConfig { endpoint: url, tls, timeout, .. } = config;
    let collector = Server { url, tls: tls.as_ref(), timeout: *timeout, bytes_max: ANSWER_BYTES_MAX };
    let head = Request::post(&url.path_and_query).header(CONTENT_TYPE, "application/x-protobuf");
    match collector.send(head, body.into()).await {
        // It has taken them, whatever else it says.
        Ok(_) | Err(Fault::TooLarge(_) | Fault::Broken) => Ok(()),
        Err(fault) => Err(fault),
    }
}
