//! How far a start is, for whoever looks at a terminal or reads the log. Invariant: what cannot be
//! told is no reason to stop.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use journal::{Reader, RecordHeader, Segment, Storage};
use tracing::Span;

use crate::logging::number;

/// Between two lines of the log.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Told of every record that is replayed.
pub(super) struct Progress {
    storage: Arc<dyn Storage>,
    bar: Option<ProgressBar>,
    track: Option<Track>,
    begun: Instant,
    told: Instant,
    /// Of what is being done.
    span: Span,
}

impl Progress {
    pub(super) fn new(storage: Arc<dyn Storage>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(0));
        let now = Instant::now();
        Self { storage, bar, track: None, begun: now, told: now, span: Span::none() }
    }

    /// A snapshot is read before the first record is.
    pub(super) fn loads(&mut self, name: &str) {
        self.span = tracing::debug_span!("load_snapshot", bezant.snapshot = name);
        tracing::info!(snapshot = name, "loading the newest snapshot");
        if let Some(bar) = &self.bar {
            bar.set_style(style("{spinner} loading {msg}, {elapsed}"));
            bar.set_message(name.to_owned());
            bar.tick();
        }
    }

    pub(super) fn pass(&mut self, header: &RecordHeader) {
        let Some(track) = &self.track else {
            return self.begin(header);
        };
        if let Some(bar) = &self.bar {
            return bar.set_position(track.done(header));
        }
        if self.told.elapsed() >= TELL_EVERY {
            self.told = Instant::now();
            let pace = Pace::of(track.done(header), track.total, self.begun.elapsed());
            let Pace { percent, mib_per_s, left_s } = pace;
            tracing::info!(percent, mib_per_s, left_s, record = header.index, "replaying");
        }
    }

    pub(super) fn end(&mut self) {
        self.span = Span::none();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn begin(&mut self, header: &RecordHeader) {
        let segments = journal::segments(&*self.storage).unwrap_or_default();
        let used = segments.last().map_or(0, |last| used_of(&self.storage, last));
        let extents: Vec<_> = segments.iter().map(|one| (one.number, one.bytes)).collect();
        let track = Track::new(&extents, used, (header.segment, header.offset));
        (self.begun, self.told) = (Instant::now(), Instant::now());
        // The one before ends where it begins.
        self.span = Span::none();
        self.span = tracing::debug_span!(
            "replay",
            bezant.record = number(header.index),
            bezant.bytes = number(track.total),
        );
        tracing::info!(record = header.index, bytes = track.total, "replaying the journal");
        if let Some(bar) = &self.bar {
            bar.set_style(style(
                "replaying {bar:30} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left",
            ));
            bar.set_length(track.total);
            bar.reset();
        }
        self.track = Some(track);
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Where the records of the last segment end; only their headers are looked at.
fn used_of(storage: &Arc<dyn Storage>, last: &Segment) -> u64 {
    let mut used = 0;
    if let Ok(mut reader) = Reader::open_headers(Arc::clone(storage), last.first.index, u64::MAX) {
        while let Ok(Some((header, _))) = reader.next() {
            used = header.offset + header.record_len();
        }
    }
    used
}

/// The way through the segments.
struct Track {
    /// Number of each segment, and the bytes before it.
    before: Vec<(u64, u64)>,
    start: u64,
    total: u64,
}

impl Track {
    /// Through segments of these numbers and lengths, of the last of which `used` bytes are taken,
    /// from an offset in one of them.
    fn new(extents: &[(u64, u64)], used: u64, (segment, offset): (u64, u64)) -> Self {
        let mut before = Vec::with_capacity(extents.len());
        let mut sum = 0;
        for &(number, bytes) in extents {
            before.push((number, sum));
            sum += bytes;
        }
        let end = before.last().map_or(0, |&(_, sum)| sum + used);
        let mut track = Self { before, start: 0, total: 0 };
        track.start = track.place(segment, offset);
        track.total = end.saturating_sub(track.start);
        track
    }

    fn place(&self, segment: u64, offset: u64) -> u64 {
        let found = self.before.iter().find(|&&(number, _)| number == segment);
        found.map_or(0, |&(_, before)| before + offset)
    }

    /// Bytes through the end of this record.
    fn done(&self, header: &RecordHeader) -> u64 {
        self.through(header.segment, header.offset + header.record_len())
    }

    fn through(&self, segment: u64, end: u64) -> u64 {
        self.place(segment, end).saturating_sub(self.start)
    }
}

/// How fast it goes.
#[derive(Debug, PartialEq, Eq)]
struct Pace {
    percent: u64,
    mib_per_s: u64,
    left_s: u64,
}

impl Pace {
    fn of(done: u64, total: u64, took: Duration) -> Self {
        let took_ms = took.as_millis().max(1);
        let (done_wide, left) = (u128::from(done), u128::from(total.saturating_sub(done)));
        let narrow = |value: u128| u64::try_from(value).unwrap_or(u64::MAX);
        Self {
            percent: narrow((done_wide * 100).checked_div(u128::from(total)).unwrap_or(100)),
            mib_per_s: narrow(done_wide * 1_000 / took_ms) >> 20,
            left_s: narrow((left * took_ms / 1_000).checked_div(done_wide).unwrap_or(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_whole_way_is_what_is_used_of_the_last_segment() {
        let extents = [(7, 64 * MIB), (8, 64 * MIB), (9, 64 * MIB)];
        let track = Track::new(&extents, 2 * MIB, (7, 60 * MIB));
        assert_eq!(track.total, (4 + 64 + 2) * MIB);
        // The unused rest of a sealed segment is passed with it.
        assert_eq!(track.through(7, 61 * MIB), MIB);
        assert_eq!(track.through(8, MIB), 5 * MIB);
        assert_eq!(track.through(9, 2 * MIB), track.total);
        let inside = Track::new(&extents, 2 * MIB, (9, MIB));
        assert_eq!((inside.total, inside.through(9, 2 * MIB)), (MIB, MIB));
        let unknown = Track::new(&[], 0, (1, 0));
        assert_eq!((unknown.total, unknown.through(1, MIB)), (0, 0));
    }

    #[test]
    fn percent_rate_and_time_left_are_of_what_was_done() {
        let quarter = Pace::of(100 * MIB, 400 * MIB, Duration::from_secs(5));
        assert_eq!(quarter, Pace { percent: 25, mib_per_s: 20, left_s: 15 });
        let nothing = Pace::of(0, 0, Duration::ZERO);
        assert_eq!(nothing, Pace { percent: 100, mib_per_s: 0, left_s: 0 });
    }
}
