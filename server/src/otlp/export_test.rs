//! The queue and its thread, with collectors that are not there.

use std::net::TcpListener;

use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

fn exporting(address: impl std::fmt::Display) -> (Box<dyn Layer<Registry> + Send + Sync>, Export) {
    let collector = Collector::read(&format!("http://{address}"), true).unwrap().unwrap();
    start(&collector).unwrap()
}

#[test]
fn spans_of_others_and_events_stay_here() {
    let (layer, _export) = exporting("127.0.0.1:9");
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        assert!(!tracing::debug_span!("ours").is_disabled());
        assert!(!tracing::info_span!(target: "settlement::runner", "ours").is_disabled());
        assert!(tracing::trace_span!("too fine").is_disabled());
        assert!(tracing::info_span!(target: "h2::client", "theirs").is_disabled());
        assert!(tracing::info_span!(target: "bezantine", "theirs").is_disabled());
        assert!(!tracing::enabled!(Level::ERROR));
    });
}

/// More spans than the queue holds, and nobody who takes them: the end comes all the same, and
/// whoever makes spans is not held up before it.
#[test]
fn a_full_queue_holds_up_nobody() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (layer, export) = exporting(silent.local_addr().unwrap());
    let begun = Instant::now();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        for _ in 0..4 * QUEUE_LEN_MAX {
            let _span = tracing::debug_span!("one of many");
        }
    });
    drop(export);
    // Each delivery would take seconds, and there are dozens.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

/// The queue alone, so that nobody empties it.
#[test]
fn what_finds_no_room_is_counted() {
    let (sender, spans) = bounded(3);
    let lost = Arc::new(AtomicU64::new(0));
    let queue = Queue { sender, lost: Arc::clone(&lost) };
    let provider = SdkTracerProvider::builder().with_span_processor(queue).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("bezant"));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        for _ in 0..10 {
            let _span = tracing::debug_span!("one of ten");
        }
    });
    assert_eq!((spans.len(), lost.load(Ordering::Relaxed)), (3, 7));
    drop(spans);
}
