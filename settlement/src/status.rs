//! What settlement shows the outside: counters that metrics and readiness read without waiting.
//! Only the runner writes them.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use protocol::Sequence;
use ring::Durations;

use crate::sink::Class;
use crate::verdict::{Alarm, Stop};

const NO_TIME: u64 = u64::MAX;
/// Commits are told apart from 4 ms to 65 s: SQL that is in trouble takes many seconds.
const COMMITS_FROM_NS: u64 = 4_000_000;

/// Counters and the last trouble.
#[derive(Debug)]
pub struct Status {
    settled: AtomicU64,
    stored: AtomicU64,
    fresh_at_ms: AtomicU64,
    interval_ms: AtomicU64,
    batches: AtomicU64,
    rows: AtomicU64,
    commits: Durations,
    failures: AtomicU64,
    behind: AtomicU64,
    alarm: AtomicU8,
    stop: AtomicU8,
    last_class: AtomicU8,
    last_error: Mutex<Option<String>>,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            settled: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            fresh_at_ms: AtomicU64::new(NO_TIME),
            interval_ms: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            commits: Durations::with_first(COMMITS_FROM_NS),
            failures: AtomicU64::new(0),
            behind: AtomicU64::new(0),
            alarm: AtomicU8::new(0),
            stop: AtomicU8::new(0),
            last_class: AtomicU8::new(0),
            last_error: Mutex::new(None),
        }
    }
}

/// Position in `all`, from 1.
fn number<T: PartialEq>(all: &[T], value: &T) -> u8 {
    all.iter()
        .position(|known| known == value)
        .and_then(|at| u8::try_from(at + 1).ok())
        .expect("every value is in its table")
}

fn named<T: Copy>(all: &[T], number: u8) -> Option<T> {
    all.get(usize::from(number).checked_sub(1)?).copied()
}

impl Status {
    /// Last sequence known to be settled.
    pub fn settled(&self) -> Sequence {
        Sequence(self.settled.load(Ordering::Acquire))
    }

    /// Last sequence of this frame that the database held when it was last read or written: 0
    /// before that, after it was emptied, and of another frame's. It falls when an older copy is
    /// found.
    pub fn stored(&self) -> Sequence {
        Sequence(self.stored.load(Ordering::Acquire))
    }

    /// How old the settled state is at `now_ms`, by the clock the runner was given; `None` until
    /// the first cut is settled.
    pub fn lag_ms(&self, now_ms: u64) -> Option<u64> {
        let fresh_at_ms = self.fresh_at_ms.load(Ordering::Acquire);
        (fresh_at_ms != NO_TIME).then(|| now_ms.saturating_sub(fresh_at_ms))
    }

    /// Time from one cut to the next at present; 0 before the runner starts.
    pub fn interval_ms(&self) -> u64 {
        self.interval_ms.load(Ordering::Relaxed)
    }

    /// Batches committed since the start.
    pub fn batches(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }

    /// Account rows committed since the start.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// How long each of those batches took to be committed.
    pub const fn commits(&self) -> &Durations {
        &self.commits
    }

    /// Attempts that failed since the start.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// How often the database was found to be an older copy.
    pub fn behind(&self) -> u64 {
        self.behind.load(Ordering::Relaxed)
    }

    /// The alarm raised since all was settled.
    pub fn alarm(&self) -> Option<Alarm> {
        named(&Alarm::ALL, self.alarm.load(Ordering::Acquire))
    }

    /// Why settlement ended, if it has.
    pub fn stopped(&self) -> Option<Stop> {
        named(&Stop::ALL, self.stop.load(Ordering::Acquire))
    }

    /// The last error since all was settled.
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What kind of error that was.
    pub fn last_class(&self) -> Option<Class> {
        named(&Class::ALL, self.last_class.load(Ordering::Acquire))
    }

    pub(crate) fn set_settled(&self, through: Sequence) {
        self.settled.store(through.0, Ordering::Release);
        self.set_stored(through);
    }

    pub(crate) fn set_stored(&self, through: Sequence) {
        self.stored.store(through.0, Ordering::Release);
    }

    /// All that was executed until then is settled: whatever the trouble was, it is over.
    pub(crate) fn set_fresh_at(&self, fresh_at_ms: Option<u64>) {
        let fresh_at_ms = fresh_at_ms.unwrap_or(NO_TIME);
        if self.fresh_at_ms.swap(fresh_at_ms, Ordering::AcqRel) != fresh_at_ms {
            self.alarm.store(0, Ordering::Release);
            self.last_class.store(0, Ordering::Release);
            *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    pub(crate) fn set_interval(&self, interval_ms: u64) {
        self.interval_ms.store(interval_ms, Ordering::Relaxed);
    }

    pub(crate) fn committed(&self, rows: usize, took_ns: u64) {
        self.commits.add(took_ns);
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(u64::try_from(rows).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn failed(&self, class: Class, error: String) {
        self.last_class.store(number(&Class::ALL, &class), Ordering::Release);
        self.failures.fetch_add(1, Ordering::Relaxed);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    pub(crate) fn raise(&self, alarm: Alarm) {
        if alarm == Alarm::Behind {
            self.behind.fetch_add(1, Ordering::Relaxed);
        }
        self.alarm.store(number(&Alarm::ALL, &alarm), Ordering::Release);
    }

    pub(crate) fn stop(&self, stop: Stop) {
        self.stop.store(number(&Stop::ALL, &stop), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_shows_until_all_is_settled() {
        let status = Status::default();
        assert_eq!(status.lag_ms(5), None);
        status.raise(Alarm::Behind);
        status.failed(Class::Retry, "lost".to_owned());
        assert_eq!((status.alarm(), status.behind()), (Some(Alarm::Behind), 1));
        assert_eq!(status.last_error().as_deref(), Some("lost"));
        assert_eq!(status.last_class(), Some(Class::Retry));
        status.set_fresh_at(None);
        assert_eq!(status.alarm(), Some(Alarm::Behind));
        status.committed(3, 7_000_000);
        assert_eq!(status.commits().sum_ns(), 7_000_000);
        assert_eq!((status.batches(), status.rows(), status.failures()), (1, 3, 1));
        status.set_fresh_at(Some(100));
        assert_eq!((status.alarm(), status.last_error()), (None, None));
        assert_eq!(status.last_class(), None);
        assert_eq!(status.lag_ms(250), Some(150));
        status.stop(Stop::Schema);
        assert_eq!(status.stopped(), Some(Stop::Schema));
    }
}
