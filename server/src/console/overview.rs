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
/// Between two steps of a walk, each of which takes the engine some ten microseconds.
const PAUSE: Duration = Duration::from_millis(2);
/// Longest wait for the engine's answer.
const ENGINE_PATIENCE: Duration = Duration::from_millis(1_000);

/// See the module.
pub(super) struct Overview {
    control: ControlHandle,
    ranking: Mutex<Aged<Ranking>>,
    is_walking: AtomicBool,
    due: Mutex<Aged<DueHolds>>,
}

/// When something was learned, by the monotonic clock, and what.
type Aged<T> = Option<(u64, Arc<T>)>;

impl Overview {
    pub(super) fn new(control: ControlHandle) -> Self {
        let is_walking = AtomicBool::new(false);
        Self { control, ranking: Mutex::default(), is_walking, due: Mutex::default() }
    }

    /// The last ranking, if there is one; begins to make another when that is old.
    pub(super) fn ranking(self: &Arc<Self>) -> Option<Arc<Ranking>> {
        let last = self.ranking.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !is_fresh(last.as_ref(), RANKING_AGE_MS) {
            self.begin_walk();
        }
        last.map(|(_, ranking)| ranking)
    }

    fn begin_walk(self: &Arc<Self>) {
        if self.is_walking.swap(true, Ordering::AcqRel) {
            return;
        }
        let walking = Arc::clone(self);
        let begun = thread::Builder::new().name("ranking".into()).spawn(move || {
            if let Some(ranking) = walking.walk() {
                let found = Some((clock::monotonic_ms(), Arc::new(ranking)));
                *walking.ranking.lock().unwrap_or_else(PoisonError::into_inner) = found;
            }
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
        // Whoever comes meanwhile waits for the same answer.
        let mut last = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_fresh(last.as_ref(), DUE_AGE_MS) {
            let answer = self.control.due_holds(HOLDS_SHOWN).ok()?;
            let due = answer.recv_timeout(ENGINE_PATIENCE).ok()?;
            *last = Some((clock::monotonic_ms(), Arc::new(due)));
        }
        last.as_ref().map(|(_, due)| Arc::clone(due))
    }
}

fn is_fresh<T>(aged: Option<&(u64, T)>, age_ms: u64) -> bool {
    aged.is_some_and(|(at_ms, _)| clock::monotonic_ms().saturating_sub(*at_ms) < age_ms)
}
