//! The pace of work beside a running frame: it rests three times as long as it has worked, so that
//! threads that wait for a core, for the disk or for memory get their turn.
//!
//! A niceness does not do that: it orders who runs next on a core that is full, while such work
//! takes the other one, the disk and the caches. Invariant: no rest is longer than
//! `REST_MAX`, so work that waited for something else does not rest for all of it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Less work than this is no reason to rest yet.
const WORK_MIN: Duration = Duration::from_millis(1);
/// Rest for each time of work.
const RESTS: u32 = 3;
/// The longest rest.
const REST_MAX: Duration = Duration::from_millis(100);

/// See the module.
pub(crate) struct Pace {
    /// Since when it works.
    since: Mutex<Instant>,
}

impl Pace {
    /// Work begins now.
    pub(crate) fn start() -> Self {
        Self { since: Mutex::new(Instant::now()) }
    }

    /// Between two pieces of work: rests if it is time to.
    pub(crate) fn rest(&self) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rest) = due(since.elapsed()) {
            std::thread::sleep(rest);
            *since = Instant::now();
        }
    }
}

/// How long to rest after so much work.
fn due(worked: Duration) -> Option<Duration> {
    (worked >= WORK_MIN).then(|| worked.saturating_mul(RESTS).min(REST_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rests_three_times_as_long_as_it_worked() {
        let ms = Duration::from_millis;
        let rests = [ms(0), ms(1), ms(30), ms(5_000)].map(due);
        assert_eq!(rests, [None, Some(ms(3)), Some(ms(90)), Some(REST_MAX)]);
    }

    #[test]
    fn a_rest_follows_work() {
        let pace = Pace::start();
        std::thread::sleep(WORK_MIN);
        let begun = Instant::now();
        pace.rest();
        assert!(begun.elapsed() >= WORK_MIN * RESTS);
    }
}
