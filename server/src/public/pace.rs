//! When the next request may be answered: so many a second, a short while saved up or owed.
//!
//! It knows no socket. Invariant: turns never come before those that were given earlier.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Requests that may be owed their time: who asks when more are is told to come back.
const OWED_MAX: Duration = Duration::from_secs(1);
/// Time that may be saved up while nobody asks.
const SAVED_MAX: Duration = Duration::from_millis(250);

/// See the module.
pub(super) struct Pace {
    requests_per_s: u32,
    next: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(requests_per_s: u32, now: Instant) -> Self {
        Self { requests_per_s, next: Mutex::new(now) }
    }

    /// Whether nothing is owed.
    pub(super) fn is_paid(&self, now: Instant) -> bool {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) <= now
    }

    /// When a request of `now` is answered; nothing: too many are before it.
    pub(super) fn turn(&self, now: Instant) -> Option<Instant> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(SAVED_MAX).unwrap_or(now);
        let turn = (*next).max(earliest);
        if turn > now + OWED_MAX {
            return None;
        }
        *next = turn + Duration::from_secs(1) / self.requests_per_s;
        Some(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUESTS_PER_S: u32 = 2_048;

    #[test]
    fn requests_are_spread_over_time_and_too_many_are_told_so() {
        let now = Instant::now();
        let pace = Pace::new(REQUESTS_PER_S, now);
        let turns: Vec<_> = std::iter::from_fn(|| pace.turn(now)).take(10_000).collect();
        assert_eq!(turns.len(), REQUESTS_PER_S as usize + 1, "a second's worth may be owed");
        assert_eq!(turns[0], now);
        assert!(turns.is_sorted());
        let later = now + OWED_MAX;
        assert!(pace.turn(later).is_some(), "time has paid for what was owed");
    }

    #[test]
    fn quiet_time_is_saved_up_but_not_for_ever() {
        let begun = Instant::now();
        let pace = Pace::new(REQUESTS_PER_S, begun);
        let now = begun + Duration::from_secs(3_600);
        let at_once = std::iter::from_fn(|| pace.turn(now)).take_while(|turn| *turn <= now);
        let saved = REQUESTS_PER_S as usize / 4;
        assert!((saved..=saved + 1).contains(&at_once.count()));
    }
}
