//! Telling the engine who a principal is, before anything that it sends is journaled.
//!
//! It waits for the answer: a request published behind an identification that found the journal
//! full could itself be journaled. Invariant: a principal is remembered here only after the engine
//! has executed its identification.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use identity::{Peer, Principal};
use protocol::data::{self, TAG_SPIFFE_ID};
use protocol::{Command, CommandId, Kind, Request, Status};
use ring::{Publisher, Ticket};

use crate::desk::Desk;
use crate::limits::IDENTIFIED_MAX;
use crate::metrics::add;

/// Principals identified since the start, with their SPIFFE IDs.
#[derive(Debug, Default)]
pub(crate) struct Identified(Mutex<HashMap<u128, Arc<str>>>);

impl Identified {
    /// Makes sure that the engine knows `peer`; at once when it does.
    ///
    /// Errors with the status that refused it.
    pub(crate) async fn ensure(
        &self,
        desk: &Desk,
        publisher: &mut Publisher,
        peer: &Peer,
        worker: u16,
    ) -> Result<(), Status> {
        let principal = peer.principal();
        if self.known().contains_key(&principal.id) {
            return Ok(());
        }
        let spiffe_id = peer.spiffe_id().to_string();
        match introduce(desk, publisher, principal, &spiffe_id, worker).await {
            Status::Ok => {
                add(&desk.metrics.identified, 1);
                self.remember(principal.id, spiffe_id.into());
                Ok(())
            }
            refused => Err(refused),
        }
    }

    /// The SPIFFE ID of a principal, if it is still remembered.
    pub(crate) fn spiffe_id(&self, principal: u128) -> Option<Arc<str>> {
        self.known().get(&principal).cloned()
    }

    fn remember(&self, principal: u128, spiffe_id: Arc<str>) {
        let mut known = self.known();
        if known.len() >= IDENTIFIED_MAX {
            known.clear();
        }
        known.insert(principal, spiffe_id);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<u128, Arc<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends the identification of a principal and waits for its status.
async fn introduce(
    desk: &Desk,
    publisher: &mut Publisher,
    principal: Principal,
    spiffe_id: &str,
    worker: u16,
) -> Status {
    let data = data::encode(&[(TAG_SPIFFE_ID, spiffe_id.as_bytes())]);
    let data_slots = u16::try_from(data.len()).expect("a SPIFFE ID is at most 2 KiB");
    let slots = u32::from(data_slots) + 1;
    let mut lease = desk.envelope(slots).await;
    lease.head = Request {
        principal: principal.id,
        role: principal.role.number(),
        slots,
        ..Request::default()
    };
    lease.slots.push(Command { data: data_slots, ..Command::new(Kind::Identify, CommandId(0)) });
    lease.slots.extend_from_slice(&data);
    lease.commands = 1;
    lease.stamps.received = (desk.info.monotonic_ns)();
    let (route, status) = desk.routes.add_once();
    lease.ticket = Ticket { worker, connection: 0, stream: route.number };
    desk.publish(publisher, lease).await;
    // Without an answer the frame is ending.
    status.await.unwrap_or(Status::Busy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FrameInfo;
    use crate::metrics::Metrics;
    use identity::Role;

    #[tokio::test]
    async fn whoever_stops_waiting_leaves_no_route_behind() {
        let parts = ring::build(ring::Config::default());
        let pool = ring::Pool::new(ring::PoolConfig::default());
        let info = FrameInfo {
            frame: 1,
            epoch: Box::new(|| 1),
            journal_ns: Box::new(|| 1),
            monotonic_ns: Box::new(|| 1),
            keys: None,
            entries: None,
            batches: None,
            feeds: None,
            shown: None,
        };
        let mut publisher = parts.publisher.clone();
        let desk = Desk::new(pool, parts.publisher, Arc::new(Metrics::default()), info);
        let principal = Principal { id: 1 << 100, role: Role::Agent };
        // No engine takes it: the first look finds no answer, and then the task is dropped.
        tokio::select! {
            biased;
            _ = introduce(&desk, &mut publisher, principal, "spiffe://a/agent/b", 0) => {
                panic!("nobody answers");
            }
            () = std::future::ready(()) => {}
        }
        assert_eq!(desk.pool.in_flight(), 1, "it was published");
        assert_eq!(desk.routes.len(), 0);
    }
}
