//! The front doors: bytes to commands and back, over QUIC and over HTTPS.
//!
//! ```text
//!  UDP ─► handshake ─► identity ─► stream ─► framing ─► envelope ─► ring
//!         (quic)       (SPIFFE)             (sans-I/O)  (pool)
//!  UDP ◄─ writer ◄─ outbox ◄─ routes ◄─────────────────────── reply queues
//!                               │
//!  TCP ─► handshake ─► identity ─► HTTP ─► route ─► call ─► envelope ─► ring
//!         (https)      (SPIFFE)   (hyper)  (axum)
//! ```
//!
//! A gateway holds no balances and knows no money rules: it says who a client is, checks that a
//! request can be read, and carries bytes. When anything behind it is full, the QUIC door stops
//! reading, and flow control stops the client; the HTTPS door waits a little and then says so.
//! The wire is in `docs/wire-protocol.md`, the HTTP API in `docs/http-api.md`.
//!
//! # Invariants
//!
//! * Nothing of a client is read before its certificate was judged, and who it is comes from the
//!   certificate alone.
//! * Every request that was published is answered, or its connection has ended.
//! * What one client can make the gateway keep is bounded by [`limits`]; a client that does not
//!   read holds no envelope.
#![forbid(unsafe_code)]

mod admission;
mod audit;
mod budget;
mod config;
mod desk;
mod entries;
mod feeds;
pub mod framing;
mod gateway;
mod guests;
mod https;
mod identify;
mod keys;
mod limiter;
pub mod limits;
mod metrics;
mod outbox;
mod passage;
mod pieces;
mod quic;
mod routes;
mod shelf;
mod shown;

pub use audit::{AuditSink, Audited, Door, Event, LoggedAudit};
pub use config::{Config, FollowTrace, FrameInfo, Lines, Reading, Retry};
pub use entries::{BatchHistory, EntryAnswering, EntryHistory, EntryHistoryError};
pub use feeds::{FeedError, FeedLimits, Feeds, Filter, Present, Round, Whose};
pub use gateway::{Gateway, StartError};
pub use https::BASE_STYLE;
pub use keys::{KeyAnswer, KeyAnswering, KeyHistory, KeyHistoryError, KeyRow};
pub use limiter::{Allotment, RoleLimits};
pub use metrics::Metrics;
pub use passage::{Passage, SPANS};
pub use quic::ALPN;
pub use shelf::Shelf;
pub use shown::{Certificate, Setting, Shown};

#[cfg(test)]
mod tests {
    /// A role's number goes from the certificate into the journal: the two crates that name roles
    /// depend on neither, and this one on both.
    #[test]
    fn a_certificate_and_the_engine_mean_the_same_role() {
        for role in identity::Role::ALL {
            let known = protocol::Role::from_number(role.number());
            let name = known.map(|known| format!("{known:?}"));
            assert_eq!(name, Some(format!("{role:?}")));
        }
    }
}
