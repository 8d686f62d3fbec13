//! The watermark: the one row of the database that says what is settled.
//!
//! It knows no SQL and no clock. Its invariant: a database moves from one watermark to the next
//! only in a transaction that first found the expected one, so every sequence is settled once.

use protocol::Sequence;
use protocol::cut::Cut;

use crate::sink::SinkError;

/// What a database holds: the state of `frame` before `next_sequence`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// Frame.
    pub frame: u128,
    /// Epoch of the leader that wrote it: the fencing token.
    pub epoch: u64,
    /// First sequence that is not settled.
    pub next_sequence: Sequence,
    /// Hash of the journal record at the boundary.
    pub chain_hash: [u8; 32],
    /// Run digest at the boundary.
    pub run_digest: [u8; 16],
    /// Journal time of the boundary, in nanoseconds since the Unix epoch.
    pub timestamp: u64,
}

impl Watermark {
    /// The watermark a database has once `cut` is committed.
    pub const fn of(cut: &Cut) -> Self {
        Self {
            frame: cut.frame,
            epoch: cut.epoch,
            next_sequence: Sequence(cut.through.0 + 1),
            chain_hash: cut.chain_hash,
            run_digest: cut.run_digest,
            timestamp: cut.timestamp,
        }
    }

    /// Last settled sequence.
    pub const fn through(&self) -> Sequence {
        Sequence(self.next_sequence.0.saturating_sub(1))
    }

    /// Whether both stand at the same boundary of the same journal, whoever wrote them.
    pub fn same_position(&self, other: &Self) -> bool {
        self.frame == other.frame
            && self.next_sequence == other.next_sequence
            && self.chain_hash == other.chain_hash
            && self.run_digest == other.run_digest
    }
}

/// What readers look at of a watermark: frame, epoch and last settled sequence.
pub type Stored = (u128, u64, Sequence);

/// That of `watermark`.
pub(crate) const fn stored(watermark: &Watermark) -> Stored {
    (watermark.frame, watermark.epoch, watermark.through())
}

/// Through which sequence a database speaks, if it is the frame's of `ours` and not of a newer
/// epoch.
///
/// # Errors
///
/// [`SinkError::Foreign`] or [`SinkError::Fenced`].
pub(crate) fn believe(stored: Option<Stored>, ours: (u128, u64)) -> Result<Sequence, SinkError> {
    let (frame, epoch, through) = stored.unwrap_or((ours.0, ours.1, Sequence(0)));
    if frame != ours.0 {
        return Err(SinkError::Foreign { ours: ours.0, theirs: frame });
    }
    if epoch > ours.1 {
        return Err(SinkError::Fenced { ours: ours.1, theirs: epoch });
    }
    Ok(through)
}

/// Last settled sequence of a database that may have no watermark yet.
pub(crate) fn settled_through(watermark: Option<&Watermark>) -> Sequence {
    watermark.map_or(Sequence(0), Watermark::through)
}

/// Decides, inside the transaction and before anything is written, whether a batch that expects
/// `expected` and leads to `target` may be written over `stored`.
///
/// # Errors
///
/// [`SinkError::Foreign`], [`SinkError::Fenced`], [`SinkError::Ahead`], [`SinkError::Behind`] or
/// [`SinkError::Diverged`]: the transaction must be rolled back.
pub fn compare(
    expected: Option<&Watermark>,
    stored: Option<&Watermark>,
    target: &Watermark,
) -> Result<(), SinkError> {
    if let Some(stored) = stored {
        if stored.frame != target.frame {
            return Err(SinkError::Foreign { ours: target.frame, theirs: stored.frame });
        }
        if stored.epoch > target.epoch {
            return Err(SinkError::Fenced { ours: target.epoch, theirs: stored.epoch });
        }
    }
    let (ours, theirs) = (settled_through(expected), settled_through(stored));
    match (expected, stored) {
        (None, None) => Ok(()),
        (Some(expected), Some(stored)) if expected.same_position(stored) => Ok(()),
        (None, Some(_)) => Err(SinkError::Ahead { ours, theirs }),
        (Some(_), None) => Err(SinkError::Behind { ours, theirs }),
        _ if theirs > ours => Err(SinkError::Ahead { ours, theirs }),
        _ if theirs < ours => Err(SinkError::Behind { ours, theirs }),
        _ => Err(SinkError::Diverged { at: theirs }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(next: u64) -> Watermark {
        Watermark {
            frame: 7,
            epoch: 3,
            next_sequence: Sequence(next),
            chain_hash: [1; 32],
            run_digest: [2; 16],
            timestamp: 0,
        }
    }

    #[test]
    fn only_the_expected_watermark_lets_a_batch_through() {
        let target = at(20);
        let kind = |expected: Option<&Watermark>, stored: Option<&Watermark>| {
            compare(expected, stored, &target).map_err(|error| match error {
                SinkError::Foreign { .. } => "foreign",
                SinkError::Fenced { .. } => "fenced",
                SinkError::Ahead { .. } => "ahead",
                SinkError::Behind { .. } => "behind",
                SinkError::Diverged { .. } => "diverged",
                _ => "other",
            })
        };
        let (ten, five) = (at(10), at(5));
        let older_epoch = Watermark { epoch: 1, ..at(10) };
        let newer_epoch = Watermark { epoch: 4, ..at(10) };
        let foreign = Watermark { frame: 8, ..at(10) };
        let other = Watermark { chain_hash: [9; 32], ..at(10) };
        assert_eq!(kind(None, None), Ok(()));
        assert_eq!(kind(Some(&ten), Some(&ten)), Ok(()));
        assert_eq!(kind(Some(&ten), Some(&older_epoch)), Ok(()));
        assert_eq!(kind(Some(&ten), Some(&newer_epoch)), Err("fenced"));
        assert_eq!(kind(Some(&ten), Some(&foreign)), Err("foreign"));
        assert_eq!(kind(None, Some(&foreign)), Err("foreign"));
        assert_eq!(kind(Some(&ten), Some(&five)), Err("behind"));
        assert_eq!(kind(Some(&ten), None), Err("behind"));
        assert_eq!(kind(Some(&five), Some(&ten)), Err("ahead"));
        assert_eq!(kind(None, Some(&ten)), Err("ahead"));
        assert_eq!(kind(Some(&ten), Some(&other)), Err("diverged"));
    }
}
