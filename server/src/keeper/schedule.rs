//! What the keeper has to do next: a pure decision from the time and what was seen.
//!
//! It reads no clock and touches no file. Invariant: one snapshot is taken at a time, never one of
//! a state that has one, and never one while a failed one is being waited out.

/// Shortest wait after a failed snapshot; it doubles with each further one.
pub(super) const RETRY_MIN_MS: u64 = 1_000;
/// Longest wait after a failed snapshot.
pub(super) const RETRY_MAX_MS: u64 = 60 * 60 * 1_000;
/// From one look at what may go to the next.
pub(super) const RETAIN_EVERY_MS: u64 = 60 * 1_000;
/// From the end of one pass over everything to the beginning of the next.
pub(super) const SCRUB_PAUSE_MS: u64 = 60 * 60 * 1_000;
/// Slices of a second's scrubbing.
const SCRUB_SLICES_PER_S: u64 = 4;
/// Most bytes verified at one time.
const SCRUB_SLICE_MAX: u64 = 4 << 20;
/// Scrubbing that came later than this is not made up for.
const SCRUB_LATE_MAX_MS: u64 = 1_000;
/// Least time that a snapshot may take.
const PATIENCE_MS: u64 = 60 * 60 * 1_000;
/// It may take more by the work that it has: slower than this is no work.
const WORK_BYTES_PER_S: u64 = 4 << 20;
/// After so many failures patience grows no more.
const PATIENCE_DOUBLINGS: u32 = 4;
/// Niceness of a snapshot's process.
pub(super) const NICE: u8 = 10;
/// So many times more journal than wanted is behind the last snapshot: hurry.
const HURRY: u64 = 4;
/// Wanted behind the last snapshot at the most, where nobody says how much.
const JOURNAL_BYTES: u64 = 4 << 30;

/// What the operator wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Time from one snapshot to the next.
    pub(super) interval_ms: Option<u64>,
    /// Journal from one snapshot to the next.
    pub(super) journal_bytes: Option<u64>,
    /// How much is verified again.
    pub(super) scrub_bytes_per_s: Option<u64>,
}

/// How far the frame has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Last sequence that is durable.
    pub(super) sequence: u64,
    /// Bytes of journal, from wherever they are counted.
    pub(super) journal_bytes: u64,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Take a snapshot in a process of this niceness.
    Snapshot {
        /// It.
        nice: u8,
    },
    /// Look what may go.
    Retain,
    /// Verify the next bytes.
    Scrub {
        /// About so many.
        bytes_max: u64,
    },
}

/// What was done, and what is due when.
#[derive(Debug)]
pub(super) struct Schedule {
    rules: Rules,
    /// What the newest snapshot holds.
    last: Seen,
    /// When the next one is due by age.
    due_ms: Option<u64>,
    is_taking: bool,
    /// The newest snapshot cannot be used any more.
    is_lost: bool,
    failures: u32,
    /// Not before, because of a failure.
    retry_ms: u64,
    retain_ms: u64,
    scrub_ms: u64,
}

impl Schedule {
    /// At a start, with a newest snapshot of `last`, `age_ms` old.
    pub(super) fn new(rules: Rules, now_ms: u64, last: Seen, age_ms: u64) -> Self {
        let due_ms = rules.interval_ms.map(|interval_ms| {
            // An old one is due at once.
            now_ms.saturating_add(interval_ms.saturating_sub(age_ms))
        });
        Self {
            rules,
            last,
            due_ms,
            is_taking: false,
            is_lost: false,
            failures: 0,
            retry_ms: 0,
            retain_ms: now_ms,
            scrub_ms: now_ms,
        }
    }

    /// The next thing to do now, if there is one; it is then taken to be under way.
    pub(super) fn step(&mut self, now_ms: u64, seen: Seen) -> Option<Action> {
        if let Some(nice) = self.snapshot(now_ms, seen) {
            self.is_taking = true;
            return Some(Action::Snapshot { nice });
        }
        if now_ms >= self.retain_ms {
            self.retain_ms = now_ms.saturating_add(RETAIN_EVERY_MS);
            return Some(Action::Retain);
        }
        let rate = self.rules.scrub_bytes_per_s?;
        let bytes_max = (rate / SCRUB_SLICES_PER_S).clamp(1, SCRUB_SLICE_MAX);
        (now_ms >= self.scrub_ms).then_some(Action::Scrub { bytes_max })
    }

    fn snapshot(&self, now_ms: u64, seen: Seen) -> Option<u8> {
        let is_off = self.rules.interval_ms.is_none() && self.rules.journal_bytes.is_none();
        let has_news = self.is_lost || seen.sequence > self.last.sequence;
        if is_off || self.is_taking || now_ms < self.retry_ms || !has_news {
            return None;
        }
        let is_old = self.due_ms.is_some_and(|due_ms| now_ms >= due_ms);
        let is_due = self.is_lost || is_old || self.is_over(1, seen);
        let wanted = self.rules.journal_bytes.unwrap_or(JOURNAL_BYTES);
        let is_late = self.behind(seen) >= wanted.saturating_mul(HURRY);
        is_due.then_some(if is_late { 0 } else { NICE })
    }

    /// Bytes of journal behind the newest snapshot.
    pub(super) const fn behind(&self, seen: Seen) -> u64 {
        seen.journal_bytes.saturating_sub(self.last.journal_bytes)
    }

    fn is_over(&self, times: u64, seen: Seen) -> bool {
        let bytes = self.rules.journal_bytes.map(|bytes| bytes.saturating_mul(times));
        bytes.is_some_and(|bytes| self.behind(seen) >= bytes)
    }

    /// Whether snapshots have failed for so long that a start would have much to replay.
    pub(super) fn is_starved(&self, seen: Seen) -> bool {
        self.failures > 0 && self.is_over(HURRY, seen)
    }

    /// How long a snapshot may take that replays what is behind the last one, of `last_bytes`.
    pub(super) fn patience_ms(&self, seen: Seen, last_bytes: u64) -> u64 {
        // It is read, written, and read back.
        let work = self.behind(seen).saturating_add(last_bytes.saturating_mul(3));
        let work_ms = (work / WORK_BYTES_PER_S).saturating_mul(1_000);
        let doublings = self.failures.min(PATIENCE_DOUBLINGS);
        PATIENCE_MS.saturating_add(work_ms).saturating_mul(1 << doublings)
    }

    /// The newest snapshot cannot be used: another one is due, whether anything happened or not.
    pub(super) const fn lost(&mut self) {
        self.is_lost = true;
    }

    /// The snapshot that was begun at `begun_ms` with `seen` is there.
    pub(super) fn taken(&mut self, now_ms: u64, begun_ms: u64, seen: Seen) {
        self.is_taking = false;
        self.is_lost = false;
        self.failures = 0;
        self.last = seen;
        self.due_ms = self.rules.interval_ms.map(|interval| begun_ms.saturating_add(interval));
        self.retain_ms = now_ms;
    }

    /// There is no snapshot; says how long the next try waits.
    pub(super) fn failed(&mut self, now_ms: u64) -> u64 {
        self.is_taking = false;
        let wait_ms = (RETRY_MIN_MS << self.failures).min(RETRY_MAX_MS);
        // One more doubling than to the longest wait changes nothing.
        self.failures = (self.failures + 1).min(32);
        self.retry_ms = now_ms.saturating_add(wait_ms);
        wait_ms
    }

    /// So much was verified: it is paid for with time.
    pub(super) fn scrubbed(&mut self, now_ms: u64, bytes: u64, has_finished_pass: bool) {
        let rate = self.rules.scrub_bytes_per_s.unwrap_or(u64::MAX);
        let cost_ms = bytes.saturating_mul(1_000).div_ceil(rate);
        // From when it was due, so that a late look does not slow it down.
        let due_ms = self.scrub_ms.max(now_ms.saturating_sub(SCRUB_LATE_MAX_MS));
        self.scrub_ms = due_ms.saturating_add(cost_ms);
        if has_finished_pass {
            self.scrub_ms = self.scrub_ms.max(now_ms).saturating_add(SCRUB_PAUSE_MS);
        }
    }

    /// Nothing is verified for a while.
    pub(super) fn pause_scrub(&mut self, now_ms: u64, pause_ms: u64) {
        self.scrub_ms = now_ms.saturating_add(pause_ms);
    }
}

#[cfg(test)]
#[path = "schedule_test.rs"]
mod tests;
