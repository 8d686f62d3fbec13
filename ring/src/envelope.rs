//! The envelope: one request on its way from a gateway worker through the stages and back.
//!
//! It owns every buffer that the request needs, so that nothing is allocated while it travels. It
//! interprets nothing. Invariant: whoever holds the box is the only one that can see inside.

use protocol::reply::Outcomes;
use protocol::request::REQUEST_SIZE;
use protocol::{Command, Request, Status};

use crate::pool::Class;

/// Where a reply goes; opaque to the ring and the stages, apart from `worker`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Number of the gateway worker, and so of its reply queue.
    pub worker: u16,
    /// The worker's own number of the connection.
    pub connection: u64,
    /// The worker's own number of the stream.
    pub stream: u64,
}

impl Ticket {
    /// Nobody waits for an answer.
    pub const NOBODY: Self = Self { worker: u16::MAX, connection: 0, stream: 0 };
}

/// When a request passed each stage: nanoseconds of one monotonic clock, 0 = not yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamps {
    /// The gateway had read it whole.
    pub received: u64,
    /// The journal stage gave it its place.
    pub sequenced: u64,
    /// The engine stage saw its record durable.
    pub durable: u64,
    /// It was executed.
    pub executed: u64,
}

/// The place in the order that the journal stage gave a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Record that must be durable before the request is executed; of a read, the last one
    /// before it.
    pub index: u64,
    /// Sequence of the request's first command.
    pub first_sequence: u64,
    /// Sequence of the record's first command.
    pub record_sequence: u64,
    /// Journal time of the record.
    pub timestamp_ns: u64,
    /// Settled sequence that the record's header carries.
    pub settled_sequence: u64,
    /// Epoch of the record.
    pub epoch: u64,
    /// Hash of the record.
    pub chain_hash: [u8; 32],
    /// It is in a record: neither a read nor refused.
    pub is_journaled: bool,
    /// It is the record's first envelope.
    pub first_of_record: bool,
    /// It is the record's last envelope.
    pub last_of_record: bool,
    /// The record opens with a tick of its own; set on its first envelope only.
    pub opens_with_tick: bool,
}

/// One request on its way; boxed, pooled and reused.
#[derive(Debug)]
pub struct Envelope {
    /// Head of the request, with the gateway's additions.
    pub head: Request,
    /// Its commands and data; the capacity is reused.
    pub slots: Vec<Command>,
    /// Commands among the slots, as counted by [`protocol::request::check`].
    pub commands: u32,
    /// Where the reply goes.
    pub ticket: Ticket,
    /// The gateway's own note on the request; opaque to the ring and the stages.
    pub mark: u16,
    /// When it passed each stage.
    pub stamps: Stamps,
    /// Its place in the order; set by the journal stage.
    pub place: Place,
    /// Room for the outcomes; filled by the engine stage.
    pub outcomes: Outcomes,
    /// The encoded reply without frame head; filled by the engine stage.
    pub reply: Vec<u8>,
    /// Why nothing could be journaled; set by the journal stage.
    pub refused: Option<Status>,
    /// Size class of the pool it belongs to; `None` = made outside a pool.
    pub(crate) class: Option<Class>,
}

impl Envelope {
    /// An envelope outside any pool, with room for `slots`.
    #[must_use]
    pub fn with_slots(slots: u32) -> Box<Self> {
        let slots = slots as usize;
        Box::new(Self {
            head: Request::default(),
            slots: Vec::with_capacity(slots),
            commands: 0,
            ticket: Ticket::NOBODY,
            mark: 0,
            stamps: Stamps::default(),
            place: Place::default(),
            outcomes: Outcomes::with_capacity(slots),
            reply: Vec::new(),
            refused: None,
            class: None,
        })
    }

    /// Whether it holds reads, which skip the journal.
    #[must_use]
    pub const fn is_read(&self) -> bool {
        self.head.flags & protocol::request::flags::READ != 0
    }

    /// Whether it carries no request at all, only a record's tick.
    #[must_use]
    pub fn is_carrier(&self) -> bool {
        self.slots.is_empty()
    }

    /// Bytes of the request in the journal.
    #[must_use]
    pub fn journal_len(&self) -> usize {
        if self.is_read() || self.is_carrier() {
            return 0;
        }
        REQUEST_SIZE + size_of_val(self.slots.as_slice())
    }

    /// Forgets the request and keeps the buffers.
    pub(crate) fn clear(&mut self) {
        self.head = Request::default();
        self.slots.clear();
        self.commands = 0;
        self.ticket = Ticket::NOBODY;
        self.mark = 0;
        self.stamps = Stamps::default();
        self.place = Place::default();
        self.outcomes.clear(0);
        self.reply.clear();
        self.refused = None;
    }
}
