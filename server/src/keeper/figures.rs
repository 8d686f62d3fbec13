//! What the keeper shows of its work. Invariant: written by the keeper alone, read by anybody.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use pipeline::Holder;
use snapshot::Meta;

/// Counters and last values; nothing here decides anything.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(super) taken: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) sequence: AtomicU64,
    /// Journal time of the newest snapshot; 0 when there is none.
    pub(super) at_ns: AtomicU64,
    pub(super) took_ms: AtomicU64,
    pub(super) bytes: AtomicU64,
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
    /// Snapshots taken, and tries that failed.
    pub(crate) fn snapshots(&self) -> [(&'static str, u64); 2] {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [("ok", of(&self.taken)), ("failed", of(&self.failed))]
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

    pub(super) fn stand_at(&self, newest: &Meta) {
        set(&self.at_ns, newest.timestamp_ns);
        set(&self.sequence, newest.sequence.0);
    }

    /// Everything else: name without the prefix, meaning, value.
    pub(crate) fn rows(&self, wall_ns: u64) -> Vec<(&'static str, &'static str, Value)> {
        let of = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        let gauge = |figure| Value::Gauge(of(figure));
        let counter = |figure| Value::Counter(of(figure));
        let mut rows = vec![
            (
                "snapshot_seconds",
                "How long the last snapshot took.",
                Value::Millis(of(&self.took_ms)),
            ),
            ("snapshot_bytes", "Size of the last snapshot.", gauge(&self.bytes)),
            ("journal_first_record", "Oldest record kept.", gauge(&self.first_record)),
            ("journal_segments", "Segments with records.", gauge(&self.segments)),
            ("journal_size_bytes", "Bytes of these segments.", gauge(&self.journal_bytes)),
            ("retired_segments", "Segments removed.", counter(&self.retired_segments)),
            ("scrub_bytes", "Bytes verified again.", counter(&self.scrub_bytes)),
            ("scrub_passes", "Times that everything was verified.", counter(&self.scrub_passes)),
            ("scrub_errors", "Places found damaged.", counter(&self.scrub_errors)),
            (
                "scrub_last_pass_seconds",
                "How long the last whole pass took.",
                Value::Millis(of(&self.pass_ms)),
            ),
        ];
        let at_ns = of(&self.at_ns);
        if at_ns > 0 {
            let age = Value::Millis(wall_ns.saturating_sub(at_ns) / 1_000_000);
            rows.push(("snapshot_sequence", "Of the newest snapshot.", gauge(&self.sequence)));
            rows.push(("snapshot_age_seconds", "Age of the newest snapshot.", age));
        }
        rows
    }
}
