//! One connection: who it is, how long it may stay, and its streams.
//!
//! It names a peer only by its certificate. Invariant: a connection whose identity has ended is
//! closed within one check interval; one that is merely told to end answers what it has read.

use std::sync::Arc;
use std::time::Duration;

use identity::{CertificateDer, Peer, PeerError, Source, TimeProvider};
use protocol::frame::CloseCode;
use quinn::Connection;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::stream::{self, code, farewell_text};
use crate::audit::{AuditSink, Door, Event};
use crate::desk::Desk;
use crate::identify::Identified;
use crate::limiter::Seat;
use crate::metrics::add;
use crate::outbox::Allowance;

/// A connection that was let in.
pub(super) struct Served {
    pub(super) desk: Arc<Desk>,
    pub(super) identified: Arc<Identified>,
    pub(super) peer: Peer,
    pub(super) connection: Connection,
    pub(super) number: u64,
    pub(super) worker: u16,
    pub(super) audit: Arc<dyn AuditSink>,
    pub(super) seat: Seat,
    pub(super) allowance: Arc<Allowance>,
    pub(super) in_flight_max: u32,
    pub(super) phase: watch::Sender<Option<CloseCode>>,
    pub(super) frame_timeout: Duration,
    pub(super) stream_idle_timeout: Duration,
    pub(super) write_timeout: Duration,
}

/// How long a connection may stay, and who judges.
pub(super) struct Stay {
    pub(super) source: Arc<dyn Source>,
    pub(super) clock: Arc<dyn TimeProvider>,
    pub(super) check_interval: Duration,
    pub(super) age_max: Duration,
    pub(super) drain_timeout: Duration,
    /// Told when the whole door closes.
    pub(super) closing: watch::Receiver<bool>,
}

/// The certificates that the client presented.
pub(super) fn chain(connection: &Connection) -> Vec<CertificateDer<'static>> {
    connection
        .peer_identity()
        .and_then(|identity| identity.downcast().ok())
        .map(|chain: Box<Vec<CertificateDer<'static>>>| *chain)
        .unwrap_or_default()
}

/// Serves the connection until it ends, whoever ends it.
pub(super) async fn serve(served: Arc<Served>, stay: Stay) {
    let mut closing = stay.closing.clone();
    let connection = served.connection.clone();
    let mut streams = JoinSet::new();
    let mut checks = interval(stay.check_interval);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut idle_since = Instant::now();
    let end_of_stay = Instant::now() + stay.age_max;
    let reason = loop {
        tokio::select! {
            stream = connection.accept_bi() => match stream {
                Ok((send, recv)) => {
                    add(&served.desk.metrics.quic_streams, 1);
                    streams.spawn(stream::serve(Arc::clone(&served), send, recv));
                }
                Err(_) => break None,
            },
            _ = checks.tick() => {
                if let Err(cause) = stay.judge(&served.peer) {
                    cut_off(&served, &cause);
                    break None;
                }
                if Instant::now() >= end_of_stay {
                    break Some(CloseCode::IdentityEnded);
                }
                if streams.is_empty() && idle_since.elapsed() >= served.stream_idle_timeout {
                    add(&served.desk.metrics.read_timeouts, 1);
                    break Some(CloseCode::Timeout);
                }
            }
            Some(_) = streams.join_next(), if !streams.is_empty() => {
                idle_since = Instant::now();
            }
            _ = closing.wait_for(|is_closing| *is_closing) => {
                break Some(CloseCode::ShuttingDown);
            }
        }
    };
    // Streams stop reading; what was read is answered, and then they end.
    served.phase.send_replace(Some(reason.unwrap_or(CloseCode::ShuttingDown)));
    drain(&served, &stay, &mut streams, reason).await;
    if let Some(reason) = reason {
        connection.close(code(reason), farewell_text(reason).as_bytes());
    }
}

/// Waits until the streams have ended; a client that does not read in time is not waited for.
async fn drain(served: &Served, stay: &Stay, streams: &mut JoinSet<()>, reason: Option<CloseCode>) {
    let mut is_late = false;
    let mut deadline = std::pin::pin!(sleep(stay.drain_timeout));
    let mut checks = interval(stay.check_interval);
    loop {
        tokio::select! {
            ended = streams.join_next() => {
                if ended.is_none() {
                    return;
                }
            }
            _ = checks.tick() => {
                if let Err(cause) = stay.judge(&served.peer) {
                    cut_off(served, &cause);
                }
            }
            // Their writers find the connection closed, and what is in flight finds nobody.
            () = &mut deadline, if !is_late => {
                is_late = true;
                add(&served.desk.metrics.write_timeouts, 1);
                let reason = reason.unwrap_or(CloseCode::ShuttingDown);
                served.connection.close(code(reason), farewell_text(reason).as_bytes());
            }
        }
    }
}

impl Stay {
    /// Whether the peer may stay; without a clock nobody may.
    fn judge(&self, peer: &Peer) -> Result<(), PeerError> {
        let now = self.clock.current_time();
        let now = now.ok_or(PeerError::Svid(identity::SvidError::Expired))?;
        identity::still_valid(peer, &self.source.current(), now)
    }
}

fn cut_off(served: &Served, cause: &PeerError) {
    if served.connection.close_reason().is_some() {
        return;
    }
    add(&served.desk.metrics.identities_ended, 1);
    served.audit.note(Event::IdentityEnded {
        door: Door::Quic,
        remote: served.connection.remote_address(),
        spiffe_id: served.peer.spiffe_id().to_string(),
        reason: cause.reason(),
        cause: cause.to_string(),
    });
    let ended = CloseCode::IdentityEnded;
    served.connection.close(code(ended), farewell_text(ended).as_bytes());
}
