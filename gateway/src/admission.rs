//! Who is let in, judged alike at both doors: by its certificate, by the connections that there
//! are, and by what is left of the receive budget.
//!
//! It speaks to no peer: a door says how one hears that it was refused. Invariant: whoever is
//! refused here is counted and audited, once.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use identity::{CertificateDer, Peer, PeerError, Source, SvidError};

use crate::audit::{Door, Event};
use crate::budget::{Budget, Share};
use crate::config::Config;
use crate::desk::Desk;
use crate::limiter::{Limiter, Seat};
use crate::metrics::{Metrics, add};

/// Somebody who has come to a door.
pub(crate) struct Applicant<'a> {
    pub(crate) door: Door,
    pub(crate) remote: SocketAddr,
    pub(crate) config: &'a Config,
    pub(crate) desk: &'a Desk,
}

impl Applicant<'_> {
    /// Who it is by its certificates, or why it is refused.
    pub(crate) fn peer(
        &self,
        chain: &[CertificateDer<'_>],
        source: &dyn Source,
    ) -> Result<Peer, Refused> {
        let now = self.config.clock.current_time();
        // Without a clock every certificate counts as expired.
        let now = now.ok_or(PeerError::Svid(SvidError::Expired));
        let peer = now
            .and_then(|now| identity::peer(chain, &source.current(), &self.config.patterns, now));
        peer.map_err(|cause| {
            self.refuse(&self.desk.metrics.refused_identity, cause.reason(), &cause)
        })
    }

    /// A place among the connections.
    pub(crate) fn seat(&self, limiter: &Arc<Limiter>, peer: &Peer) -> Result<Seat, Refused> {
        let now_ns = (self.desk.info.monotonic_ns)();
        let seat = limiter.seat(peer.principal(), now_ns);
        let seat = seat.ok_or_else(|| self.turn_away("too many connections"))?;
        let presence = self.desk.guests.enter(peer, (self.desk.info.journal_ns)());
        Ok(seat.of(presence))
    }

    /// What it may send ahead.
    pub(crate) fn window(&self, budget: &Arc<Budget>, wanted: u32) -> Result<Share, Refused> {
        let window = budget.window(wanted);
        window.ok_or_else(|| self.turn_away("the receive budget is used up"))
    }

    /// Refuses it because a limit is reached.
    pub(crate) fn turn_away(&self, cause: &str) -> Refused {
        self.refuse(&self.desk.metrics.refused_limit, "limit", &cause)
    }

    /// Refuses it because its handshake does not end.
    pub(crate) fn too_slow(&self) -> Refused {
        let cause = "the handshake took too long";
        self.refuse(&self.desk.metrics.refused_timeout, "timeout", &cause)
    }

    /// Refuses it.
    pub(crate) fn refuse(
        &self,
        counter: &AtomicU64,
        reason: &'static str,
        cause: &dyn Display,
    ) -> Refused {
        add(counter, 1);
        let (door, remote, cause) = (self.door, self.remote, cause.to_string());
        self.config.audit.note(Event::Refused { door, remote, reason, cause });
        Refused
    }
}

/// Counted and audited.
pub(crate) struct Refused;

/// One of the open connections, as the metrics count them.
pub(crate) struct Opened<'a> {
    metrics: &'a Metrics,
    door: Door,
}

impl<'a> Opened<'a> {
    pub(crate) fn count(metrics: &'a Metrics, door: Door) -> Self {
        add(&metrics.connections_accepted, 1);
        let opened = Self { metrics, door };
        opened.open().for_each(|counter| add(counter, 1));
        opened
    }

    /// What goes down again when it ends.
    fn open(&self) -> impl Iterator<Item = &AtomicU64> {
        let of_door = match self.door {
            Door::Quic => None,
            Door::Https => Some(&self.metrics.https_connections_open),
        };
        [&self.metrics.connections_open].into_iter().chain(of_door)
    }
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        for counter in self.open() {
            counter.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
