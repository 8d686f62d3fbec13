//! How a collector stands, by what was lost on the way to it, and when the log is told.
//!
//! It reads no clock. Invariant: a collector that comes and goes has at most two lines a minute.

use std::time::{Duration, Instant};

/// Between two times that the log is told of a loss.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// What the log is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Spans are being lost from now on.
    Lost,
    /// Nothing is being lost any more; this much was.
    Mended {
        /// Spans.
        lost: u64,
    },
}

/// What the log was told.
#[derive(Debug, Default)]
pub(super) struct Standing {
    told_at: Option<Instant>,
    is_told: bool,
    lost: u64,
}

impl Standing {
    /// So many spans were lost since the last call, perhaps none.
    pub(super) fn note(&mut self, lost: u64, now: Instant) -> Option<Word> {
        self.lost = self.lost.saturating_add(lost);
        if lost == 0 {
            let is_mended = std::mem::replace(&mut self.is_told, false);
            return is_mended.then(|| Word::Mended { lost: std::mem::take(&mut self.lost) });
        }
        let is_fresh = self.told_at.is_some_and(|told| now.duration_since(told) < TELL_EVERY);
        if self.is_told || is_fresh {
            return None;
        }
        self.told_at = Some(now);
        self.is_told = true;
        Some(Word::Lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_told_once_and_its_end_once() {
        let mut standing = Standing::default();
        let now = Instant::now();
        assert_eq!(standing.note(0, now), None);
        assert_eq!(standing.note(7, now), Some(Word::Lost));
        let later = now + 10 * TELL_EVERY;
        assert_eq!(standing.note(5, later), None);
        assert_eq!(standing.note(0, later), Some(Word::Mended { lost: 12 }));
        assert_eq!(standing.note(0, later), None);
        assert_eq!(standing.note(1, later), Some(Word::Lost));
    }

    /// A sum that overflows ends the process.
    #[test]
    fn no_loss_is_too_large() {
        let mut standing = Standing::default();
        let now = Instant::now();
        assert_eq!(standing.note(u64::MAX, now), Some(Word::Lost));
        assert_eq!(standing.note(u64::MAX, now), None);
        assert_eq!(standing.note(0, now), Some(Word::Mended { lost: u64::MAX }));
    }

    #[test]
    fn who_comes_and_goes_is_told_of_once_a_minute() {
        let mut standing = Standing::default();
        let now = Instant::now();
        assert_eq!(standing.note(1, now), Some(Word::Lost));
        assert_eq!(standing.note(0, now), Some(Word::Mended { lost: 1 }));
        for _ in 0..100 {
            assert_eq!(standing.note(1, now), None);
            assert_eq!(standing.note(0, now), None);
        }
        assert_eq!(standing.note(2, now + TELL_EVERY), Some(Word::Lost));
        assert_eq!(standing.note(0, now + TELL_EVERY), Some(Word::Mended { lost: 102 }));
    }
}
