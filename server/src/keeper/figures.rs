//! What the keeper shows of its work. Invariant: written by the keeper alone, read by anybody.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use pipeline::Holder;
use snapshot::Meta;

/// Counters and last values; nothing here decides anything.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(super) taken: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) disagreed: AtomicU64,
    /// How long the one under way has been taken; 0 when none is.
    pub(super) running_ms: AtomicU64,
    pub(super) sequence: AtomicU64,
    /// Journal time of the newest snapshot; 0 when there is none.
    pub(super) at_ns: AtomicU64,
    pub(super) took_ms: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) kept: AtomicU64,
    pub(super) kept_bytes: AtomicU64,
    /// Bytes of journal behind the newest snapshot.
    pub(super) behind_bytes: AtomicU64,
    pub(super) first_record: AtomicU64,
    pub(super) segments: AtomicU64,
    pub(super) journal_bytes: AtomicU64,
    /// Place in [`Holder::ALL`] plus one; 0 when nobody holds anything back.
    pub(super) holder: AtomicUsize,
    pub(super) retired_segments: AtomicU64,
    pub(super) scrub_bytes: AtomicU64,
    pub(super) scrub_passes: AtomicU64,
    pub(super) scrub_errors: AtomicU64,
    pub(super) pass_ms: AtomicU64,
    /// Damage in the pass under way, and in the one before.
    pass_errors: AtomicU64,
    last_pass_errors: AtomicU64,
    /// The last snapshot did not agree with the run.
    is_disagreeing: AtomicBool,
    /// Snapshots fail, and much is behind the newest.
    is_starved: AtomicBool,
}

/// Stores a last value.
pub(super) fn set(figure: &AtomicU64, value: u64) {
    figure.store(value, Ordering::Relaxed);
}

/// Adds to a counter.
pub(super) fn add(figure: &AtomicU64, more: u64) {
    figure.fetch_add(more, Ordering::Relaxed);
}

/// A value as the page shows it.
pub(crate) enum Value {
    /// Only rises.
    Counter(u64),
    /// Rises and falls.
    Gauge(u64),
    /// A time in milliseconds, shown in seconds.
    Millis(u64),
}

impl Figures {
    /// Snapshots tried, by how it ended.
    pub(crate) fn snapshots(&self) -> [(&'static str, u64); 3] {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [("ok", of(&self.taken)), ("failed", of(&self.failed)), ("disagrees", of(&self.disagreed))]
    }

    /// What an operator has to look at, and what to do.
    pub(crate) fn trouble(&self) -> Option<String> {
        let errors = [&self.pass_errors, &self.last_pass_errors];
        let errors: u64 = errors.iter().map(|errors| errors.load(Ordering::Relaxed)).sum();
        if self.is_disagreeing.load(Ordering::Relaxed) {
            return Some(
                "a replay for a snapshot does not agree with the run, or the journal cannot be \
                 replayed: see the log; stop, audit, and test the memory"
                    .into(),
            );
        }
        if errors > 0 {
            return Some(format!(
                "{errors} places on the disk cannot be read back: see the log; restore a damaged \
                 segment from a copy, remove a damaged snapshot once a newer one verifies"
            ));
        }
        self.is_starved.load(Ordering::Relaxed).then(|| {
            let behind = self.behind_bytes.load(Ordering::Relaxed);
            format!(
                "snapshots fail, and {behind} bytes of journal are behind the newest: see the log"
            )
        })
    }

    pub(super) fn disagree(&self, is_so: bool) {
        self.is_disagreeing.store(is_so, Ordering::Relaxed);
    }

    pub(super) fn starve(&self, is_so: bool) {
        self.is_starved.store(is_so, Ordering::Relaxed);
    }

    pub(super) fn find_damage(&self) {
        add(&self.scrub_errors, 1);
        add(&self.pass_errors, 1);
    }

    /// What was found damaged in this pass, or in the one before, was made anew.
    pub(super) fn mend(&self) {
        let less = |errors: u64| errors.checked_sub(1);
        let order = Ordering::Relaxed;
        if self.pass_errors.fetch_update(order, order, less).is_err() {
            let _none_is_left = self.last_pass_errors.fetch_update(order, order, less);
        }
    }

    /// A pass is over: its damage stands until a whole pass found none.
    pub(super) fn finish_pass(&self, took_ms: u64) {
        add(&self.scrub_passes, 1);
        set(&self.pass_ms, took_ms);
        set(&self.last_pass_errors, self.pass_errors.swap(0, Ordering::Relaxed));
    }

    /// Who holds retention back.
    pub(crate) fn holder(&self) -> Option<Holder> {
        let place = self.holder.load(Ordering::Relaxed).checked_sub(1)?;
        Holder::ALL.get(place).copied()
    }

    pub(super) fn hold(&self, holder: Option<Holder>) {
        let place = Holder::ALL.iter().position(|&one| Some(one) == holder);
        self.holder.store(place.map_or(0, |place| place + 1), Ordering::Relaxed);
    }

    pub(super) fn stand_at(&self, newest: Option<&Meta>) {
        set(&self.at_ns, newest.map_or(0, |meta| meta.timestamp_ns));
        set(&self.sequence, newest.map_or(0, |meta| meta.sequence.0));
    }

    /// Everything else: name without the prefix, meaning, value.
    pub(crate) fn rows(&self, wall_ns: u64) -> Vec<(&'static str, &'static str, Value)> {
        let of = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        let gauge = |figure| Value::Gauge(of(figure));
        let counter = |figure| Value::Counter(of(figure));
        let millis = |figure| Value::Millis(of(figure));
        let mut rows = vec![
            (
                "snapshot_running_seconds",
                "How long the snapshot under way has taken so far; 0: none is.",
                millis(&self.running_ms),
            ),
            (
                "snapshot_behind_bytes",
                "Journal behind the newest snapshot: a start replays it.",
                gauge(&self.behind_bytes),
            ),
            ("snapshots_kept", "Snapshots that are not known to be bad.", gauge(&self.kept)),
            ("snapshots_kept_bytes", "Size of the snapshots kept.", gauge(&self.kept_bytes)),
            ("journal_first_record", "Index of the oldest record kept.", gauge(&self.first_record)),
            ("journal_segments", "Segments that hold records.", gauge(&self.segments)),
            ("journal_size_bytes", "Size of the segments' files.", gauge(&self.journal_bytes)),
            (
                "retired_segments",
                "Segments removed since the start.",
                counter(&self.retired_segments),
            ),
            ("scrub_bytes", "Bytes read again and verified.", counter(&self.scrub_bytes)),
            ("scrub_passes", "Passes over everything, ended.", counter(&self.scrub_passes)),
            (
                "scrub_errors",
                "Places that could not be read back, once for each pass.",
                counter(&self.scrub_errors),
            ),
        ];
        if of(&self.scrub_passes) > 0 {
            let help = "How long the last whole pass took.";
            rows.push(("scrub_last_pass_seconds", help, millis(&self.pass_ms)));
        }
        if of(&self.taken) > 0 {
            let help = "How long the last snapshot took that was taken since the start.";
            rows.push(("snapshot_seconds", help, millis(&self.took_ms)));
        }
        let at_ns = of(&self.at_ns);
        if at_ns > 0 {
            let age = Value::Millis(wall_ns.saturating_sub(at_ns) / 1_000_000);
            let help = "Last sequence in the newest snapshot not known to be bad.";
            rows.push(("snapshot_sequence", help, gauge(&self.sequence)));
            rows.push(("snapshot_bytes", "Size of the newest snapshot.", gauge(&self.bytes)));
            let help = "Wall time since the newest snapshot's journal time.";
            rows.push(("snapshot_age_seconds", help, age));
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_told_until_a_whole_pass_finds_none() {
        let figures = Figures::default();
        assert_eq!(figures.trouble(), None);
        figures.find_damage();
        assert!(figures.trouble().unwrap().contains("1 places"));
        figures.finish_pass(5);
        assert!(figures.trouble().is_some(), "the next pass has not looked yet");
        figures.finish_pass(5);
        assert_eq!(figures.trouble(), None);
        assert_eq!(figures.scrub_errors.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_is_made_anew_is_no_damage_any_more() {
        let figures = Figures::default();
        figures.find_damage();
        figures.mend();
        assert_eq!(figures.trouble(), None);
        figures.find_damage();
        figures.finish_pass(5);
        figures.mend();
        assert_eq!(figures.trouble(), None);
        figures.mend();
        figures.find_damage();
        assert!(figures.trouble().unwrap().contains("1 places"), "nothing is mended ahead");
        assert_eq!(figures.scrub_errors.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn disagreement_and_starving_are_told_while_they_last() {
        let figures = Figures::default();
        figures.disagree(true);
        assert!(figures.trouble().unwrap().contains("agree"));
        figures.disagree(false);
        set(&figures.behind_bytes, 4_711);
        figures.starve(true);
        assert!(figures.trouble().unwrap().contains("4711 bytes"));
        figures.starve(false);
        assert_eq!(figures.trouble(), None);
    }
}
