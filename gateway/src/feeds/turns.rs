//! Whose turn it is to be told from the journal: a replay has an engine of its own, so that nobody
//! may have one after the other.
//!
//! It knows no replay and reads no clock. Invariant: between two turns of an identity passes as
//! much time as the first one took, within limits; and it remembers nobody longer than that.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use protocol::OwnerId;

/// See the module.
#[derive(Debug)]
pub(super) struct Turns {
    /// Shortest and longest pause.
    pauses: (Duration, Duration),
    /// When those who had one have another.
    due: HashMap<OwnerId, Instant>,
}

impl Turns {
    pub(super) fn new(pauses: (Duration, Duration)) -> Self {
        Self { pauses, due: HashMap::new() }
    }

    /// When `principal` may be told, if not now.
    pub(super) fn due(&self, principal: OwnerId, now: Instant) -> Option<Instant> {
        self.due.get(&principal).copied().filter(|due| *due > now)
    }

    /// A turn of `principal` has ended that took so long.
    pub(super) fn end(&mut self, principal: OwnerId, took: Duration, now: Instant) {
        self.due.retain(|_, due| *due > now);
        let (least, most) = self.pauses;
        let due = now + took.max(least).min(most);
        let known = self.due.entry(principal).or_insert(due);
        *known = due.max(*known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_one_turn_after_the_other() {
        let [least, most] = [1, 30].map(Duration::from_secs);
        let mut turns = Turns::new((least, most));
        let start = Instant::now();
        assert_eq!(turns.due(7, start), None);
        let after = |took_s: u64, turns: &mut Turns| {
            turns.due.clear();
            turns.end(7, Duration::from_secs(took_s), start);
            turns.due(7, start).map(|due| due - start)
        };
        let pauses = [0, 5, 600].map(|took_s| after(took_s, &mut turns));
        assert_eq!(pauses, [1, 5, 30].map(|s| Some(Duration::from_secs(s))));
        // One that ends sooner takes nothing back, and nobody waits for others.
        turns.end(7, least, start);
        assert_eq!(turns.due(7, start), Some(start + most));
        assert_eq!(turns.due(8, start), None);
        assert_eq!(turns.due(7, start + most), None);
        turns.end(8, least, start + most);
        assert_eq!(turns.due.len(), 1, "whoever has a turn again is forgotten");
    }
}
