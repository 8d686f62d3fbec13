//! The largest accounts and the holds that end next, asked of the engine for those who look at the
//! console.
//!
//! A walk over all accounts is made of small steps with pauses between them, on a thread of its
//! own. Invariant: one walk at a time, and the engine is not asked more often than is looked at.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use engine::{Survey, Surveyed};
use pipeline::ControlHandle;
use protocol::overview::{DueHolds, Ranking};

use crate::clock;

/// Accounts of an asset that are shown.
const ACCOUNTS_SHOWN: usize = 20;
/// Holds that are shown.
const HOLDS_SHOWN: usize = 50;
/// After this the largest accounts are looked for anew, if somebody asks.
const RANKING_AGE_MS: u64 = 10_000;
/// After this the holds are.
const DUE_AGE_MS: u64 = 1_000;
/// Between two steps of a walk.
const PAUSE: Duration = Duration::from_millis(1);
/// Longest wait for the engine's answer.
const ENGINE_PATIENCE: Duration = Duration::from_millis(1_000);

/// See the module.
pub(super) struct Overview {
    control: ControlHandle,
    ranking: Mutex<Aged<Ranking>>,
    is_walking: AtomicBool,
    due: Mutex<Aged<DueHolds>>,
}

/// What was learned last, and when it was asked for last, by the monotonic clock.
struct Aged<T> {
    asked_ms: Option<u64>,
    known: Option<Arc<T>>,
}

impl<T> Default for Aged<T> {
    fn default() -> Self {
        Self { asked_ms: None, known: None }
    }
}

impl<T> Aged<T> {
    /// Whether it is to be asked for anew: a question that came to nothing is not repeated at once.
    fn is_due(&self, now_ms: u64, age_ms: u64) -> bool {
        self.asked_ms.is_none_or(|asked_ms| now_ms.saturating_sub(asked_ms) >= age_ms)
    }
}

impl Overview {
    pub(super) fn new(control: ControlHandle) -> Self {
        let is_walking = AtomicBool::new(false);
        Self { control, ranking: Mutex::default(), is_walking, due: Mutex::default() }
    }

    /// The last ranking, if there is one; begins to make another when that is old.
    pub(super) fn ranking(self: &Arc<Self>) -> Option<Arc<Ranking>> {
        let last = self.ranking.lock().unwrap_or_else(PoisonError::into_inner);
        let (is_due, known) =
            (last.is_due(clock::monotonic_ms(), RANKING_AGE_MS), last.known.clone());
        drop(last);
        if is_due {
            self.begin_walk();
        }
        known
    }

    fn begin_walk(self: &Arc<Self>) {
        if self.is_walking.swap(true, Ordering::AcqRel) {
            return;
        }
        let walking = Arc::clone(self);
        let begun = thread::Builder::new().name("ranking".into()).spawn(move || {
            let found = walking.walk();
            let mut last = walking.ranking.lock().unwrap_or_else(PoisonError::into_inner);
            last.asked_ms = Some(clock::monotonic_ms());
            match found {
                Some(ranking) => last.known = Some(Arc::new(ranking)),
                None => tracing::debug!("the engine did not go through all accounts"),
            }
            drop(last);
            walking.is_walking.store(false, Ordering::Release);
        });
        if let Err(error) = begun {
            tracing::warn!(%error, "no thread to look for the largest accounts");
            self.is_walking.store(false, Ordering::Release);
        }
    }

    /// Nothing when the engine does not answer: it is stopping, or very busy.
    fn walk(&self) -> Option<Ranking> {
        let mut survey = Survey::new(ACCOUNTS_SHOWN);
        loop {
            let answer = self.control.survey(survey).ok()?;
            match answer.recv_timeout(ENGINE_PATIENCE).ok()? {
                Surveyed::Done(ranking) => return Some(ranking),
                Surveyed::More(more) => survey = more,
            }
            thread::sleep(PAUSE);
        }
    }

    /// The holds that end next; nothing when the engine does not answer.
    pub(super) fn due_holds(&self) -> Option<Arc<DueHolds>> {
        // Whoever comes meanwhile waits for the same answer, or learns that there was none.
        let mut last = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_due(clock::monotonic_ms(), DUE_AGE_MS) {
            let asked = self.control.due_holds(HOLDS_SHOWN).ok();
            let due = asked.and_then(|answer| answer.recv_timeout(ENGINE_PATIENCE).ok());
            last.known = due.map(Arc::new);
            last.asked_ms = Some(clock::monotonic_ms());
        }
        last.known.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_repeated_when_its_time_has_come() {
        let mut aged = Aged::<u8>::default();
        assert!(aged.is_due(0, 10), "nothing was asked yet");
        aged.asked_ms = Some(5);
        assert!(!aged.is_due(14, 10), "also when there was no answer");
        assert!(aged.is_due(15, 10));
    }
}
