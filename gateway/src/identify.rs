//! Telling the engine who a principal is, before anything that it sends is journaled.
//!
//! It waits for the answer: a request published behind an identification that found the journal
//! full could itself be journaled. Invariant: a principal is remembered here only after the engine
//! has executed its identification.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use identity::Peer;
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
        lease
            .slots
            .push(Command { data: data_slots, ..Command::new(Kind::Identify, CommandId(0)) });
        lease.slots.extend_from_slice(&data);
        lease.commands = 1;
        lease.stamps.received = (desk.info.monotonic_ns)();
        let (stream, status) = desk.routes.add_once();
        lease.ticket = Ticket { worker, connection: 0, stream };
        desk.publish(publisher, lease).await;
        // Without an answer the frame is ending.
        match status.await.unwrap_or(Status::Busy) {
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
