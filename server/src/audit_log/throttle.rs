//! What keeps an attacker from filling the disk: events are written one by one only up to a rate,
//! and counted beyond it. The rate is low for what anybody can cause, and generous for what takes
//! a privileged role; the one does not use up the other.
//!
//! Time is an argument. Invariant: an event is either admitted or in a count that will be told.

use std::collections::HashMap;

/// How many events are written.
#[derive(Clone, Copy, Debug)]
struct Rate {
    /// At once.
    burst: u64,
    /// And then.
    per_s: u64,
}

/// Of one cause that anybody can be.
const EACH: Rate = Rate { burst: 60, per_s: 1 };
/// Of all these together: under 500 MB in a day.
const ALL: Rate = Rate { burst: 300, per_s: 10 };
/// Of one principal of a privileged role.
const EACH_TRUSTED: Rate = Rate { burst: 10_000, per_s: 50 };
/// Of all these together: under 5 GB in a day.
const ALL_TRUSTED: Rate = Rate { burst: 20_000, per_s: 100 };
/// Causes told apart; the others are counted together.
const CAUSES_MAX: usize = 4_096;

/// Whose events are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Cause {
    /// Connections refused or ended for one reason.
    Reason(&'static str),
    /// Commands of one principal.
    Principal(u128),
    /// Everybody beyond [`CAUSES_MAX`].
    Others,
}

/// How far a cause is trusted not to flood the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Anybody can cause it, agents among them.
    None,
    /// It took a privileged role.
    Role,
}

/// The rates.
#[derive(Debug)]
pub(super) struct Throttle {
    anybody: Buckets,
    trusted: Buckets,
}

/// The causes that share one rate.
#[derive(Debug)]
struct Buckets {
    causes: HashMap<Cause, Entry>,
    each: Rate,
    all: Tokens,
}

#[derive(Debug)]
struct Entry {
    tokens: Tokens,
    suppressed: u64,
}

impl Throttle {
    pub(super) fn new(now_ms: u64) -> Self {
        Self {
            anybody: Buckets::new(EACH, ALL, now_ms),
            trusted: Buckets::new(EACH_TRUSTED, ALL_TRUSTED, now_ms),
        }
    }

    /// Whether an event is written; if not it is counted.
    pub(super) fn admit(&mut self, cause: Cause, trust: Trust, now_ms: u64) -> bool {
        match trust {
            Trust::None => self.anybody.admit(cause, now_ms),
            Trust::Role => self.trusted.admit(cause, now_ms),
        }
    }

    /// What was counted since it was asked last.
    pub(super) fn counted(&mut self, now_ms: u64) -> Vec<(Cause, u64)> {
        let mut counted = self.anybody.counted(now_ms);
        counted.extend(self.trusted.counted(now_ms));
        counted
    }
}

impl Buckets {
    fn new(each: Rate, all: Rate, now_ms: u64) -> Self {
        Self { causes: HashMap::new(), each, all: Tokens::full(all, now_ms) }
    }

    fn admit(&mut self, cause: Cause, now_ms: u64) -> bool {
        let is_known = self.causes.contains_key(&cause);
        let cause = if is_known || self.causes.len() < CAUSES_MAX { cause } else { Cause::Others };
        let fresh = || Entry { tokens: Tokens::full(self.each, now_ms), suppressed: 0 };
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

    fn counted(&mut self, now_ms: u64) -> Vec<(Cause, u64)> {
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
    const fn full(rate: Rate, now_ms: u64) -> Self {
        let most = rate.burst * 1_000;
        Self { per_s: rate.per_s, most, level: most, filled_ms: now_ms }
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
            admitted += u64::from(throttle.admit(cause, Trust::None, now_ms));
            if now_ms % 1_000 == 999 {
                counted += throttle.counted(now_ms).iter().map(|(_, count)| count).sum::<u64>();
            }
        }
        assert_eq!(admitted + counted, 10_000);
        assert_eq!(admitted, EACH.burst + 9);
    }

    #[test]
    fn many_causes_share_one_rate_and_are_forgotten() {
        let mut throttle = Throttle::new(0);
        let mut admit = |id| throttle.admit(Cause::Principal(id), Trust::None, 0);
        let admitted = (0..100_000).filter(|&id| admit(id)).count();
        assert_eq!(admitted as u64, ALL.burst);
        assert!(throttle.anybody.causes.len() <= CAUSES_MAX + 1);
        let counted: u64 = throttle.counted(0).iter().map(|(_, count)| count).sum();
        assert_eq!(counted, 100_000 - ALL.burst);
        assert!(throttle.admit(Cause::Principal(7), Trust::Role, 0), "a flood drowns no privilege");
        assert!(throttle.counted(3_600_000).is_empty());
        assert!(throttle.anybody.causes.is_empty());
    }
}
