//! The tap: what the engine stage tells of the history as it executes it, record by record.
//!
//! The engine's end never waits: what finds no room is left out, and that is told, so that whoever
//! listens asks the journal instead. Without anybody who listens nothing is made. Invariant: a
//! record is handed over whole or named as left out, before it is marked as executed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use engine::Engine;
use protocol::effect::{Effect, TIMER_LEG};
use protocol::feed::Followed;
use protocol::request::Commands;
use protocol::{Command, key};

use crate::limits::{TAP_BLOCKS_MAX, TAP_ENTRIES_MAX};

/// What both ends know.
#[derive(Debug, Default)]
struct Shared {
    /// Effects that were handed over and not taken.
    waiting: AtomicUsize,
    /// Last sequence of the latest record that was left out.
    left_out: AtomicU64,
}

/// The listener's end.
#[derive(Debug)]
pub struct Tap {
    blocks: Receiver<Vec<Followed>>,
    shared: Arc<Shared>,
}

impl Tap {
    /// The next effects, in order. What was executed before is here or was left out.
    #[must_use]
    pub fn next(&self) -> Option<Vec<Followed>> {
        let block = self.blocks.try_recv().ok()?;
        self.shared.waiting.fetch_sub(block.len(), Ordering::AcqRel);
        Some(block)
    }

    /// The last sequence of the latest record of which effects were left out; 0: none. Asked after
    /// the mark of what is executed was read, it covers every record up to there.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.shared.left_out.load(Ordering::Acquire)
    }
}

/// The engine stage's end.
#[derive(Debug)]
pub(crate) struct TapEnd {
    blocks: Sender<Vec<Followed>>,
    shared: Arc<Shared>,
    is_on: bool,
    pending: Vec<Followed>,
}

/// Both ends.
pub(crate) fn tap() -> (TapEnd, Tap) {
    let (sender, receiver) = bounded(TAP_BLOCKS_MAX);
    let shared = Arc::<Shared>::default();
    let end =
        TapEnd { blocks: sender, shared: Arc::clone(&shared), is_on: false, pending: Vec::new() };
    (end, Tap { blocks: receiver, shared })
}

impl TapEnd {
    /// Whether anybody follows anything.
    pub(crate) const fn is_on(&self) -> bool {
        self.is_on
    }

    /// From the next record on.
    pub(crate) const fn turn(&mut self, is_on: bool) {
        self.is_on = is_on;
    }

    /// Takes what the engine has of the record so far; `request` is the one that it has just
    /// executed, with the sequence of its first command.
    #[cold]
    pub(crate) fn take(
        &mut self,
        engine: &mut Engine,
        request: (u64, &[Command]),
        (timestamp_ns, epoch): (u64, u64),
    ) {
        let effects = engine.followed();
        if effects.is_empty() {
            return;
        }
        let mut ids = Ids::new(request);
        let tell = |effect: &Effect| Followed {
            effect: *effect,
            command: ids.of(effect),
            timestamp_ns,
            epoch,
        };
        self.pending.extend(effects.iter().map(tell));
        engine.clear_followed();
    }

    /// Hands over the record that ends with `sequence`.
    pub(crate) fn end(&mut self, sequence: u64) {
        if self.pending.is_empty() {
            return;
        }
        // With room for as much again, so that the next record need not grow it piece by piece.
        let next = Vec::with_capacity(self.pending.len());
        let block = std::mem::replace(&mut self.pending, next);
        let count = block.len();
        let waiting = self.shared.waiting.fetch_add(count, Ordering::AcqRel);
        let is_room = waiting == 0 || waiting + count <= TAP_ENTRIES_MAX;
        if is_room && self.blocks.try_send(block).is_ok() {
            return;
        }
        self.shared.waiting.fetch_sub(count, Ordering::AcqRel);
        self.shared.left_out.store(sequence, Ordering::Release);
    }
}

/// Finds the ids of commands by their sequences, which are asked for in rising order.
struct Ids<'a> {
    commands: Commands<'a>,
    /// Sequence of the next command.
    next: u64,
    /// Of the one before.
    last: u128,
}

impl<'a> Ids<'a> {
    const fn new((first, slots): (u64, &'a [Command])) -> Self {
        Self { commands: Commands::new(slots), next: first, last: 0 }
    }

    fn of(&mut self, effect: &Effect) -> u128 {
        if effect.leg >= TIMER_LEG {
            return 0;
        }
        while self.next <= effect.sequence {
            let Some(Ok(entry)) = self.commands.next() else {
                return 0;
            };
            self.last = id_of(entry.command, entry.data);
            self.next += 1;
        }
        self.last
    }
}

/// The id that a command goes by: its own, also beside a string key, else the one the key gives.
pub(crate) fn id_of(command: &Command, data: &[Command]) -> u128 {
    let is_keyed = command.flags & protocol::flags::KEYED != 0;
    let own = if is_keyed { key::own_id(data) } else { None };
    own.unwrap_or(command.id)
}
