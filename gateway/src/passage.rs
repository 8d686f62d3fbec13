//! How long requests took from stage to stage, and which commands were refused: read off replies on
//! their way back, so that no stage pays for it.
//!
//! It decides nothing. Invariant: one task alone counts into a passage, that of its reply queue.

use std::sync::atomic::{AtomicU64, Ordering};

use protocol::Status;
use ring::{Durations, Envelope};

use crate::audit::{Door, door_of};

/// The time of a journaled request, span by span: from received to sequenced, to durable, to
/// executed, to replied.
pub const SPANS: [&str; 4] = ["sequence", "commit", "execute", "reply"];
/// Every status has a number below this.
const STATUSES: usize = 1_000;

/// What is counted of the replies of one queue.
#[derive(Debug)]
pub struct Passage {
    spans: [Durations; 4],
    /// Of every door: journaled requests, then reads.
    whole: [[Durations; 2]; 2],
    /// Commands refused, by the number of the status.
    refused: Vec<AtomicU64>,
    repeated: AtomicU64,
}

impl Default for Passage {
    fn default() -> Self {
        Self {
            spans: Default::default(),
            whole: Default::default(),
            refused: (0..STATUSES).map(|_| AtomicU64::new(0)).collect(),
            repeated: AtomicU64::new(0),
        }
    }
}

impl Passage {
    /// Times of each of the [`SPANS`], of requests that were journaled.
    #[must_use]
    pub const fn spans(&self) -> &[Durations; 4] {
        &self.spans
    }

    /// Times from received to replied of requests through `door`.
    #[must_use]
    pub const fn whole(&self, door: Door, is_read: bool) -> &Durations {
        &self.whole[door as usize][is_read as usize]
    }

    /// Commands that were refused with `status`.
    #[must_use]
    pub fn refused(&self, status: Status) -> u64 {
        let counter = self.refused.get(usize::from(status.number()));
        counter.map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// Commands that were answered as an earlier one with their id.
    #[must_use]
    pub fn repeated(&self) -> u64 {
        self.repeated.load(Ordering::Relaxed)
    }

    /// Counts a reply at `now_ns` of the clock of its stamps.
    pub(crate) fn count(&self, envelope: &Envelope, now_ns: u64) {
        if let Some(status) = envelope.refused {
            self.refuse(status.number(), u64::from(envelope.commands));
            return;
        }
        let stamps = &envelope.stamps;
        let is_read = envelope.is_read();
        let whole = self.whole(door_of(envelope.mark), is_read);
        whole.add(now_ns.saturating_sub(stamps.received));
        if is_read {
            return;
        }
        let passed = [stamps.received, stamps.sequenced, stamps.durable, stamps.executed, now_ns];
        for (span, ends) in self.spans.iter().zip(passed.windows(2)) {
            span.add(ends[1].saturating_sub(ends[0]));
        }
        if envelope.outcomes.exceptions() > 0 {
            let (refusals, repeats) = envelope.outcomes.refusals();
            refusals.for_each(|number| self.refuse(number, 1));
            self.repeated.fetch_add(repeats as u64, Ordering::Relaxed);
        }
    }

    fn refuse(&self, number: u16, commands: u64) {
        if let Some(counter) = self.refused.get(usize::from(number)) {
            counter.fetch_add(commands, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::reply::Outcome;
    use ring::Stamps;

    fn count(times: &Durations) -> u64 {
        times.classes().map(|(_, count)| count).sum()
    }

    #[test]
    fn every_status_has_its_counter() {
        assert!(Status::ALL.iter().all(|status| usize::from(status.number()) < STATUSES));
    }

    #[test]
    fn a_journaled_request_is_told_leg_by_leg_and_command_by_command() {
        let passage = Passage::default();
        let mut envelope = Envelope::with_slots(3);
        envelope.commands = 3;
        envelope.stamps = Stamps { received: 100, sequenced: 110, durable: 130, executed: 160 };
        let outcome = Outcome { sequence: 1, status: Status::Ok, rate: 0, repeat: false };
        let refused = Outcome { status: Status::InsufficientFunds, ..outcome };
        for outcome in [outcome, refused, Outcome { repeat: true, ..refused }] {
            envelope.outcomes.push(outcome);
        }
        passage.count(&envelope, 200);
        let sums: Vec<u64> = passage.spans().iter().map(Durations::sum_ns).collect();
        assert_eq!(sums, [10, 20, 30, 40]);
        assert_eq!(passage.whole(Door::Quic, false).sum_ns(), 100);
        assert_eq!((passage.refused(Status::InsufficientFunds), passage.repeated()), (1, 1));
        envelope.refused = Some(Status::JournalFull);
        passage.count(&envelope, 200);
        assert_eq!(passage.refused(Status::JournalFull), 3);
        assert_eq!(count(&passage.spans()[0]), 1, "what was not journaled has no spans");
    }

    #[test]
    fn a_read_counts_as_one() {
        let passage = Passage::default();
        let mut envelope = Envelope::with_slots(1);
        envelope.head.flags = protocol::request::flags::READ;
        envelope.mark = crate::audit::HTTPS;
        passage.count(&envelope, 7);
        assert_eq!(passage.whole(Door::Https, true).sum_ns(), 7);
        assert_eq!(count(passage.whole(Door::Quic, true)), 0);
        assert_eq!(count(&passage.spans()[3]), 0);
    }
}
