//! What of the past may go: a plan without a disk, and its execution.
//!
//! It refuses to guess: a claim that no snapshot meets keeps everything. Invariant: behind every
//! snapshot that stays lies the whole journal, at least two of them verify, and from one of them
//! everything that SQL has not settled can be rebuilt.

use journal::{ReadError, Retired, Storage};
use protocol::Sequence;
use snapshot::{Catalogue, KEPT_MIN, Meta, Pruned, SnapshotError};

/// Who keeps the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Holder {
    /// Fewer than two snapshots can be used.
    Snapshots,
    /// SQL has not settled what a newer snapshot holds.
    Settlement,
    /// It is younger than the operator wants to keep.
    Age,
    /// A follower has not acknowledged it.
    Follower,
}

impl Holder {
    /// Every holder, for metrics.
    pub const ALL: [Self; 4] = [Self::Snapshots, Self::Settlement, Self::Age, Self::Follower];

    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Snapshots => "snapshots",
            Self::Settlement => "settlement",
            Self::Age => "age",
            Self::Follower => "follower",
        }
    }
}

/// What keeps the past.
#[derive(Clone, Copy, Debug)]
pub struct Claims<'a> {
    /// Snapshots that verify, newest first.
    pub snapshots: &'a [Meta],
    /// Last sequence that SQL has settled; `None` when nothing settles.
    pub settled: Option<Sequence>,
    /// Journal time: what is younger stays; `u64::MAX` when age does not count.
    pub keep_after_ns: u64,
    /// Record that each follower has acknowledged.
    pub followers: &'a [u64],
}

/// What has to stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The first record that stays; 0: everything does.
    pub floor: u64,
    /// Who keeps more than two snapshots need, if anybody does.
    pub holder: Option<Holder>,
}

/// What has to stay, by the claims.
#[must_use]
pub fn plan(claims: &Claims<'_>) -> Kept {
    let index_of = |meta: Option<&Meta>| meta.map_or(0, |meta| meta.index);
    let newest = |is_met: &dyn Fn(&Meta) -> bool| {
        index_of(claims.snapshots.iter().find(|meta| is_met(meta)))
    };
    let covered = index_of(claims.snapshots.get(KEPT_MIN - 1));
    let holder = Some(Holder::Snapshots).filter(|_| covered == 0);
    let mut kept = Kept { floor: covered, holder };
    let mut hold = |floor, holder| {
        if floor < kept.floor {
            kept = Kept { floor, holder: Some(holder) };
        }
    };
    if let Some(settled) = claims.settled {
        hold(newest(&|meta| meta.sequence <= settled), Holder::Settlement);
    }
    hold(newest(&|meta| meta.timestamp_ns <= claims.keep_after_ns), Holder::Age);
    if let Some(&slowest) = claims.followers.iter().min() {
        hold(slowest, Holder::Follower);
    }
    kept
}

/// What retention did.
#[derive(Debug, Default)]
pub struct Retained {
    /// Of the snapshots.
    pub snapshots: Pruned,
    /// Of the journal.
    pub journal: Retired,
}

/// Why retention stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetainError {
    /// The snapshots.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] ReadError),
}

/// Removes what nobody needs: snapshots first, then segments of the journal, oldest first. Nothing
/// of the journal goes unless the snapshot at the floor and a newer one are known to verify.
///
/// # Errors
///
/// What the disk refused; everything that stays is still whole.
pub fn retain(
    storage: &dyn Storage,
    catalogue: &Catalogue,
    kept: Kept,
) -> Result<Retained, RetainError> {
    let snapshots = catalogue.prune(kept.floor)?;
    let verified = catalogue.verified()?;
    let base = verified.iter().position(|meta| meta.index <= kept.floor);
    let journal = match base {
        // As many as that are at the base or newer.
        Some(at) if at + 1 >= KEPT_MIN => journal::retire(storage, verified[at].index)?,
        _ => Retired::default(),
    };
    Ok(Retained { snapshots, journal })
}
