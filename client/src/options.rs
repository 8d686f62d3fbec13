//! Settings of a connection. Invariant: the defaults suit one user on one machine.

use std::time::Duration;

/// How a client connects and waits.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Frame id that the server must have; `None` accepts the one it names.
    pub frame: Option<u128>,
    /// How long connecting may take, up to the frame's hello.
    pub connect_timeout: Duration,
    /// How long [`crate::Client::request`] and the reads wait for a reply.
    pub request_timeout: Duration,
    /// Streams to spread requests over, 1 to 16. With one, requests are executed in the order in
    /// which they were submitted.
    pub streams: u16,
    /// Requests unanswered at once; the frame's own limit applies as well.
    pub in_flight_max: u32,
    /// How long a [`crate::Session`] goes on trying before it reports an outcome as unknown.
    pub retry_deadline: Duration,
    /// First pause between two attempts of a [`crate::Session`]; it doubles up to a second.
    pub retry_pause: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            frame: None,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            streams: 1,
            in_flight_max: 64,
            retry_deadline: Duration::from_secs(20),
            retry_pause: Duration::from_millis(20),
        }
    }
}
