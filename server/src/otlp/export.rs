//! From spans to deliveries: a bounded queue, and the thread `otlp` that empties it.
//!
//! Whoever ends a span never waits: a full queue loses it. Only spans of our own crates come here,
//! and no events, so that an export is never traced. Invariant: memory is bounded by the queue, and
//! the wait of a stop by [`FLUSH`], whatever the collector does.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver as Told, RecvTimeoutError, Sender as Tell, channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, KeyValue};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, Span as Begun, SpanData, SpanProcessor};
use tokio::runtime::Runtime;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::{Layer, Registry};

use super::Collector;
use super::parent::follow;
use super::post::{Undelivered, post};
use super::standing::{Standing, Word};
use crate::threads::make_way;

/// Spans that wait for their delivery, each of about one KiB.
const QUEUE_LEN_MAX: usize = 4_096;
/// Spans in one delivery.
const BATCH_LEN_MAX: usize = 512;
/// From one look at the queue to the next: a span wakes nobody.
const TURN: Duration = Duration::from_millis(200);
/// After a delivery that failed.
const RETRY: Duration = Duration::from_secs(5);
/// Longest wait for the last deliveries.
const FLUSH: Duration = Duration::from_secs(2);
/// Whose spans go out: other crates have theirs for purposes of their own.
const OURS: [&str; 7] =
    ["bezant", "gateway", "identity", "journal", "pipeline", "settlement", "snapshot"];

/// Puts the span of a request into the trace of its client.
pub(crate) const FOLLOW: Option<gateway::FollowTrace> = Some(follow);

/// The running thread; dropped, it delivers what waits, and is waited for so long.
pub(crate) struct Export {
    /// Dropped, it tells the thread to end.
    stop: Option<Tell<()>>,
    ended: Told<()>,
}

impl Drop for Export {
    fn drop(&mut self) {
        self.stop = None;
        // A collector that hangs is left behind, and the thread with it.
        let _ = self.ended.recv_timeout(FLUSH);
    }
}

/// Starts exporting what the layer is given.
///
/// # Errors
///
/// When the system refuses the thread or its runtime.
pub(crate) fn start(
    collector: &Collector,
) -> io::Result<(Box<dyn Layer<Registry> + Send + Sync>, Export)> {
    let resource = Resource::builder()
        .with_attribute(KeyValue::new("service.name", "bezant"))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let (sender, spans) = bounded(QUEUE_LEN_MAX);
    let lost = Arc::new(AtomicU64::new(0));
    let (stop, stopped) = channel();
    let (end, ended) = channel();
    let mut courier = Courier {
        runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        collector: collector.clone(),
        resource: (&resource).into(),
        spans,
        lost: Arc::clone(&lost),
        standing: Standing::default(),
    };
    Builder::new().name("otlp".into()).spawn(move || {
        make_way();
        courier.run(&stopped);
        // Nobody may be waiting any more.
        let _ = end.send(());
    })?;
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_span_processor(Queue { sender, lost })
        .build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("bezant"))
        .with_context_activation(false)
        .with_tracked_inactivity(false)
        .with_location(false)
        .with_threads(false)
        .with_filter(filter_fn(is_ours).with_max_level_hint(LevelFilter::DEBUG));
    Ok((Box::new(layer), Export { stop: Some(stop), ended }))
}

/// Whether something goes out.
fn is_ours(metadata: &Metadata<'_>) -> bool {
    let name = metadata.target().split("::").next().unwrap_or_default();
    metadata.is_span() && *metadata.level() <= Level::DEBUG && OURS.contains(&name)
}

/// Where spans end.
#[derive(Debug)]
struct Queue {
    sender: Sender<SpanData>,
    lost: Arc<AtomicU64>,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _span: &mut Begun, _parent: &Context) {}

    fn on_end(&self, span: SpanData) {
        // When the thread has ended, nobody counts any more.
        if span.span_context.is_sampled()
            && let Err(TrySendError::Full(_)) = self.sender.try_send(span)
        {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    /// The thread ends with [`Export`].
    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The thread's own.
struct Courier {
    runtime: Runtime,
    collector: Collector,
    resource: ResourceAttributesWithSchema,
    spans: Receiver<SpanData>,
    /// Of those that found the queue full.
    lost: Arc<AtomicU64>,
    standing: Standing,
}

impl Courier {
    fn run(&mut self, stopped: &Told<()>) {
        let mut wait = TURN;
        while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
            wait = if self.deliver_all() { TURN } else { RETRY };
        }
        self.deliver_all();
    }

    /// Delivers what waits; `false` when the collector did not take it.
    fn deliver_all(&mut self) -> bool {
        // Not more than can wait now: a stop has to come to its end.
        for _ in 0..QUEUE_LEN_MAX / BATCH_LEN_MAX {
            let batch: Vec<_> = self.spans.try_iter().take(BATCH_LEN_MAX).collect();
            if batch.is_empty() {
                break;
            }
            if !self.deliver(batch) {
                return false;
            }
        }
        true
    }

    fn deliver(&mut self, batch: Vec<SpanData>) -> bool {
        let sent = batch.len() as u64;
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let request = ExportTraceServiceRequest { resource_spans };
        let outcome = self.runtime.block_on(post(&self.collector, &request));
        let (refused, is_there) = match &outcome {
            Ok(()) => (0, true),
            Err(why) => (why.lost(sent), matches!(why, Undelivered::Rejected { .. })),
        };
        let crowded = self.lost.swap(0, Ordering::Relaxed);
        self.tell(refused.saturating_add(crowded), outcome.err());
        is_there
    }

    fn tell(&mut self, lost: u64, why: Option<Undelivered>) {
        let collector = &self.collector;
        match self.standing.note(lost, Instant::now()) {
            None => {}
            Some(Word::Lost) => {
                let error = why.map_or_else(
                    || "spans come faster than it takes them".to_owned(),
                    |why| why.to_string(),
                );
                tracing::warn!(%collector, error, "traces are lost; the frame goes on");
            }
            Some(Word::Mended { lost }) => {
                tracing::info!(%collector, lost, "traces are taken again");
            }
        }
    }
}

#[cfg(test)]
#[path = "export_test.rs"]
mod tests;
