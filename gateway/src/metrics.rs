//! Counters of the gateway. They only count; nothing is decided by them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::passage::Passage;

macro_rules! counters {
    ($(#[doc = $doc:literal] $name:ident,)*) => {
        /// Counters since the start; those of open connections go up and down.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $(#[doc = $doc] pub $name: AtomicU64,)*
            passages: Mutex<Vec<Arc<Passage>>>,
        }

        impl Metrics {
            /// Every counter: its name, its meaning, its value.
            pub fn readings(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((
                    stringify!($name),
                    $doc.trim_ascii_start(),
                    self.$name.load(Ordering::Relaxed),
                ),)*]
            }
        }
    };
}

counters! {
    /// Connections of both doors that are open now.
    connections_open,
    /// Connections that both doors accepted.
    connections_accepted,
    /// Addresses that the QUIC door told to come back with a token.
    quic_retries,
    /// Handshakes refused because the certificate broke a rule.
    refused_identity,
    /// Handshakes refused because there was no certificate.
    refused_no_certificate,
    /// Handshakes refused because the application protocol was another.
    refused_alpn,
    /// Handshakes that took too long.
    refused_timeout,
    /// Connections refused because there were too many.
    refused_limit,
    /// Handshakes that failed otherwise.
    refused_other,
    /// Connections closed because the identity ended.
    identities_ended,
    /// Principals that were identified to the engine.
    identified,
    /// Streams opened at the QUIC door.
    quic_streams,
    /// Streams of the QUIC door closed for broken framing or an unreadable request.
    quic_protocol_errors,
    /// Streams, or connections of the HTTPS door, ended because a request did not arrive in time.
    read_timeouts,
    /// Streams, or connections of the HTTPS door, ended because a reply made no progress.
    write_timeouts,
    /// Requests that both doors handed to the ring.
    requests,
    /// Commands, or reads, in the requests handed to the ring.
    commands,
    /// Replies that came back from the stages to both doors.
    replies,
    /// Requests refused as a whole.
    requests_refused,
    /// Request bytes that both doors read.
    bytes_in,
    /// Reply bytes that both doors wrote.
    bytes_out,
    /// Times that the QUIC door stopped reading because an identity had asked for all that it may.
    quic_limit_waits,
    /// Times that reading stopped because the pool was empty.
    pool_waits,
    /// Times that reading stopped because the ring was full.
    ring_waits,
    /// Connections of the HTTPS door that are open now; `connections_open` counts them too.
    https_connections_open,
    /// HTTP requests.
    http_requests,
    /// HTTP answers that refuse what the client asked.
    http_responses_4xx,
    /// HTTP answers that the frame could not give what was asked.
    http_responses_5xx,
    /// Feeds that are open now.
    feeds_open,
    /// Feeds refused at either door: too many, too far back, not now, or without the right.
    feeds_refused,
    /// Events told to feeds.
    feed_events,
}

impl Metrics {
    /// What is counted of replies, one for each reply queue.
    pub fn passages(&self) -> Vec<Arc<Passage>> {
        self.lock().clone()
    }

    /// One more, for the task that carries the replies of a queue.
    pub(crate) fn open_passage(&self) -> Arc<Passage> {
        let passage = Arc::<Passage>::default();
        self.lock().push(Arc::clone(&passage));
        passage
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Passage>>> {
        self.passages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
}
