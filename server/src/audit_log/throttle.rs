//! What keeps an attacker from filling the disk: events that anybody can cause are written one by
//! one only up to a rate, and counted beyond it.
//!
//! Time is an argument. Invariant: an event is either admitted or in a count that will be told.

use std::collections::HashMap;

/// Events at once of one cause, and then one a second.
const BURST: u64 = 60;
/// Events at once of all causes, and then ten a second: under 500 MB in a day.
const BURST_ALL: u64 = 300;
const PER_S_ALL: u64 = 10;
/// Causes told apart; the others are counted together.
const CAUSES_MAX: usize = 4_096;

/// Whose events are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Cause {
    /// Connections refused or ended for one reason.
    Reason(&'static str),
    /// Commands of one principal that were refused.
    Principal(u128),
    /// Everybody beyond [`CAUSES_MAX`].
    Others,
}

/// The rates.
#[derive(Debug)]
pub(super) struct Throttle {
    causes: HashMap<Cause, Entry>,
    all: Tokens,
}

#[derive(Debug)]
struct Entry {
    tokens: Tokens,
    suppressed: u64,
}

impl Throttle {
    pub(super) fn new(now_ms: u64) -> Self {
        Self { causes: HashMap::new(), all: Tokens::full(PER_S_ALL, BURST_ALL, now_ms) }
    }

    /// Whether an event is written; if not it is counted.
    pub(super) fn admit(&mut self, cause: Cause, now_ms: u64) -> bool {
        let is_known = self.causes.contains_key(&cause);
        let cause = if is_known || self.causes.len() < CAUSES_MAX { cause } else { Cause::Others };
        let fresh = || Entry { tokens: Tokens::full(1, BURST, now_ms), suppressed: 0 };
        let entry = self.causes.entry(cause).or_insert_with(fresh);
        let is_admitted = entry.tokens.has(now_ms) && self.all.has(now_ms);
        if is_admitted {
            entry.tokens.take();
            self.all.take();
        } else {
            entry.suppressed += 1;
        }
        is_admitted
    }

    /// What was counted since it was asked last.
    pub(super) fn counted(&mut self, now_ms: u64) -> Vec<(Cause, u64)> {
        let mut counted = Vec::new();
        self.causes.retain(|&cause, entry| {
            let count = std::mem::take(&mut entry.suppressed);
            if count > 0 {
                counted.push((cause, count));
            }
            count > 0 || !entry.tokens.is_full(now_ms)
        });
        counted
    }
}

/// A token bucket in thousandths.
#[derive(Debug)]
struct Tokens {
    per_s: u64,
    most: u64,
    level: u64,
    filled_ms: u64,
}

impl Tokens {
    const fn full(per_s: u64, burst: u64, now_ms: u64) -> Self {
        let most = burst * 1_000;
        Self { per_s, most, level: most, filled_ms: now_ms }
    }

    fn fill(&mut self, now_ms: u64) {
        let elapsed_ms = now_ms.saturating_sub(self.filled_ms);
        self.filled_ms = self.filled_ms.max(now_ms);
        let more = elapsed_ms.saturating_mul(self.per_s);
        self.level = self.level.saturating_add(more).min(self.most);
    }

    fn has(&mut self, now_ms: u64) -> bool {
        self.fill(now_ms);
        self.level >= 1_000
    }

    const fn take(&mut self) {
        self.level -= 1_000;
    }

    fn is_full(&mut self, now_ms: u64) -> bool {
        self.fill(now_ms);
        self.level == self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_admitted_or_counted() {
        let mut throttle = Throttle::new(0);
        let cause = Cause::Reason("identity");
        let mut admitted = 0;
        let mut counted = 0;
        for now_ms in 0..10_000 {
            admitted += u64::from(throttle.admit(cause, now_ms));
            if now_ms % 1_000 == 999 {
                counted += throttle.counted(now_ms).iter().map(|(_, count)| count).sum::<u64>();
            }
        }
        assert_eq!(admitted + counted, 10_000);
        assert_eq!(admitted, BURST + 9);
    }

    #[test]
    fn many_causes_share_one_rate_and_are_forgotten() {
        let mut throttle = Throttle::new(0);
        let admitted = (0..100_000).filter(|&id| throttle.admit(Cause::Principal(id), 0)).count();
        assert_eq!(admitted as u64, BURST_ALL);
        assert!(throttle.causes.len() <= CAUSES_MAX + 1);
        let counted: u64 = throttle.counted(0).iter().map(|(_, count)| count).sum();
        assert_eq!(counted, 100_000 - BURST_ALL);
        assert!(throttle.counted(3_600_000).is_empty());
        assert!(throttle.causes.is_empty());
    }
}
