//! Counters of the gateway. They only count; nothing is decided by them.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters since the start; those of open connections go up and down.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $($(#[$doc])* pub $name: AtomicU64,)*
        }

        impl Metrics {
            /// Every counter with its name.
            pub fn readings(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.load(Ordering::Relaxed)),)*]
            }
        }
    };
}

counters! {
    /// Connections that are open now.
    connections_open,
    /// Connections that were accepted.
    connections_accepted,
    /// Addresses that were told to come back with a token.
    retries,
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
    /// Streams opened.
    streams,
    /// Streams closed for broken framing or an unreadable request.
    protocol_errors,
    /// Streams closed because a frame did not arrive in time.
    read_timeouts,
    /// Streams closed because a reply made no progress.
    write_timeouts,
    /// Requests published.
    requests,
    /// Commands in them.
    commands,
    /// Replies handed to streams.
    replies,
    /// Requests refused as a whole.
    requests_refused,
    /// Request bytes read.
    bytes_in,
    /// Reply bytes written.
    bytes_out,
    /// Times that reading stopped because an identity had asked for all that it may.
    limit_waits,
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
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
}
