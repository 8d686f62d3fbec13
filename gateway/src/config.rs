//! What an operator sets, and what the server hands in. Invariant: the defaults are the limits of
//! [`crate::limits`].

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use identity::{DefaultTimeProvider, RolePatterns, TimeProvider};
use ring::{Pool, Publisher, ReplyQueue};

use crate::audit::{AuditSink, LoggedAudit};
use crate::entries::{BatchHistory, EntryHistory};
use crate::feeds::Feeds;
use crate::keys::KeyHistory;
use crate::limiter::RoleLimits;
use crate::limits;
use crate::shown::Shown;

/// When a peer must prove its address before the gateway spends anything on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retry {
    /// With every new connection: one round trip more.
    #[default]
    Always,
    /// While many handshakes are under way.
    UnderLoad,
}

/// Settings of the doors.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Address of the QUIC door.
    pub listen: SocketAddr,
    /// Address of the HTTPS door; without one there is none.
    pub https: Option<SocketAddr>,
    /// Which identities have which role.
    pub patterns: RolePatterns,
    /// The clock that judges certificates.
    pub clock: Arc<dyn TimeProvider>,
    /// Who is told what the audit log keeps.
    pub audit: Arc<dyn AuditSink>,
    /// When addresses must be proven.
    pub retry: Retry,
    /// Connections of both doors.
    pub connections_max: usize,
    /// What one identity may ask for, by its role.
    pub limits: RoleLimits,
    /// Bytes that all clients together may have sent and nobody has taken.
    pub receive_budget_size: usize,
    /// Unanswered requests of one connection.
    pub in_flight_max: u32,
    /// Longest handshake.
    pub handshake_timeout: Duration,
    /// Longest silence of a connection.
    pub idle_timeout: Duration,
    /// Longest time for one frame, or the body of an HTTP request, to arrive.
    pub frame_timeout: Duration,
    /// Longest time for the head of an HTTP request to arrive.
    pub header_timeout: Duration,
    /// Longest time for an HTTP request and its answer altogether.
    pub call_timeout: Duration,
    /// Longest time without a request on a stream, and without a stream on a QUIC connection.
    pub stream_idle_timeout: Duration,
    /// Longest time without progress of a reply.
    pub write_timeout: Duration,
    /// Longest time for a QUIC connection that ends to read what it is owed.
    pub drain_timeout: Duration,
    /// Oldest that a connection gets.
    pub connection_age_max: Duration,
    /// How often open connections are judged.
    pub check_interval: Duration,
    /// Puts the span of a request into the trace that its header `traceparent` names, which is any
    /// text; without it requests begin traces of their own.
    pub follow_trace: Option<FollowTrace>,
}

/// Gives a span that has just begun its place in the trace that a text names, if it names one.
pub type FollowTrace = fn(&tracing::Span, &str);

impl Config {
    /// The defaults, with the QUIC door on `listen` and no other.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            https: None,
            patterns: RolePatterns::default(),
            clock: Arc::new(DefaultTimeProvider),
            audit: Arc::new(LoggedAudit),
            retry: Retry::default(),
            connections_max: limits::CONNECTIONS_MAX,
            limits: RoleLimits::default(),
            receive_budget_size: limits::RECEIVE_BUDGET_SIZE,
            in_flight_max: limits::IN_FLIGHT_MAX,
            handshake_timeout: limits::HANDSHAKE_TIMEOUT,
            idle_timeout: limits::IDLE_TIMEOUT,
            frame_timeout: limits::FRAME_TIMEOUT,
            header_timeout: limits::HTTP_HEAD_TIMEOUT,
            call_timeout: limits::HTTP_CALL_TIMEOUT,
            stream_idle_timeout: limits::STREAM_IDLE_TIMEOUT,
            write_timeout: limits::WRITE_TIMEOUT,
            drain_timeout: limits::DRAIN_TIMEOUT,
            connection_age_max: limits::CONNECTION_AGE_MAX,
            check_interval: limits::CHECK_INTERVAL,
            follow_trace: None,
        }
    }
}

/// A reading of a clock or counter.
pub type Reading = Box<dyn Fn() -> u64 + Send + Sync>;

/// What the frame says of itself.
pub struct FrameInfo {
    /// Its id.
    pub frame: u128,
    /// Epoch of its leader.
    pub epoch: Reading,
    /// Journal time, nanoseconds since the Unix epoch.
    pub journal_ns: Reading,
    /// The monotonic clock of the stamps, nanoseconds.
    pub monotonic_ns: Reading,
    /// Where the HTTPS door looks up string keys; `None` without a settled history.
    pub keys: Option<Arc<dyn KeyHistory>>,
    /// Where the HTTPS door reads the settled entries of accounts; `None` without a history.
    pub entries: Option<Arc<dyn EntryHistory>>,
    /// Where it reads what was settled when; `None` without SQL.
    pub batches: Option<Arc<dyn BatchHistory>>,
    /// What the HTTPS door tells those who follow the history; `None`: it serves no feeds.
    pub feeds: Option<Arc<Feeds>>,
    /// What the HTTPS door shows of the frame to admins and auditors; `None`: nothing.
    pub shown: Option<Arc<dyn Shown>>,
}

impl fmt::Debug for FrameInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameInfo").field("frame", &self.frame).finish_non_exhaustive()
    }
}

/// The gateway's ends of the ring.
pub struct Lines {
    /// Where envelopes come from and go back to.
    pub pool: Arc<Pool>,
    /// Where requests go.
    pub publisher: Publisher,
    /// Where replies come from: one queue for each worker, at least one.
    pub replies: Vec<Arc<ReplyQueue>>,
    /// Number of the first of these workers, in the tickets.
    pub first_worker: u16,
}
