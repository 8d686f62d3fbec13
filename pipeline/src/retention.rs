//! What of the past may go: a plan without a disk, and its execution.
//!
//! It refuses to guess: a claim that no snapshot meets keeps everything. Invariant: behind every
//! snapshot that stays lies the whole journal, at least two of them verify, and from two of them
//! everything that SQL has not settled can be rebuilt.

use journal::{ReadError, Retired, Storage};
use protocol::Sequence;
use snapshot::{Catalogue, KEPT_MIN, Meta, Pruned, Pruning, SnapshotError};

/// Who keeps the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Holder {
    /// Fewer than two snapshots can be used.
    Snapshots,
    /// SQL has not settled what newer snapshots hold.
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
    /// Snapshots that count, newest first: see [`usable`].
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
    let newest = |nth: usize, is_met: &dyn Fn(&Meta) -> bool| {
        index_of(claims.snapshots.iter().filter(|meta| is_met(meta)).nth(nth))
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
        // With one alone, a damage to it would leave postings that nothing can rebuild.
        hold(newest(KEPT_MIN - 1, &|meta| meta.sequence <= settled), Holder::Settlement);
    }
    hold(newest(0, &|meta| meta.timestamp_ns <= claims.keep_after_ns), Holder::Age);
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

/// The snapshots that count, newest first: every byte was verified, no start has refused them, and
/// the journal holds all that lies behind them. For [`Claims`].
///
/// # Errors
///
/// When the journal's beginning or the directory cannot be read.
pub fn usable(storage: &dyn Storage, catalogue: &Catalogue) -> Result<Vec<Meta>, RetainError> {
    let first = journal::first_record(storage)?.index;
    let mut usable = catalogue.verified()?;
    usable.retain(|meta| meta.is_met_by(first));
    Ok(usable)
}

/// Removes what nobody needs: snapshots first, then segments of the journal, oldest first. Before
/// anything goes, the snapshot at the floor and the newest one are read from the medium once more;
/// if one of them does not verify, all stays. What is not verified yet is read.
///
/// # Errors
///
/// What the disk refused; everything that stays is still whole.
pub fn retain(
    storage: &dyn Storage,
    catalogue: &Catalogue,
    kept: Kept,
) -> Result<Retained, RetainError> {
    let suspect = catalogue.verify_unknown()?;
    let mut retained = retain_known(storage, catalogue, kept)?;
    retained.snapshots.suspect.extend(suspect);
    Ok(retained)
}

/// The same for whoever reads snapshots at a pace of his own: one that is not verified yet counts
/// as none, and stays.
///
/// # Errors
///
/// As [`retain`].
pub fn retain_known(
    storage: &dyn Storage,
    catalogue: &Catalogue,
    kept: Kept,
) -> Result<Retained, RetainError> {
    let mut retained = Retained::default();
    let usable = usable(storage, catalogue)?;
    let base = usable.iter().position(|meta| meta.index <= kept.floor);
    // As many as that are at the base or newer.
    let base = base.filter(|at| at + 1 >= KEPT_MIN);
    let keep_from = base.map_or(0, |at| usable[at].index);
    if let Some(at) = base
        && (at + 1 < usable.len() || journal::retirable(storage, keep_from)?.segments > 0)
    {
        for name in [at, 0].map(|at| snapshot::name_of(&usable[at])) {
            if let Err(error) = catalogue.verify(&name) {
                retained.snapshots.suspect.push((name, error));
            }
        }
        if !retained.snapshots.suspect.is_empty() {
            return Ok(retained);
        }
    }
    retained.snapshots = prune(storage, catalogue, kept)?;
    if base.is_some() {
        retained.journal = journal::retire(storage, keep_from)?;
    }
    Ok(retained)
}

/// Removes the snapshots that nobody needs, by what is known of them; the journal stays.
///
/// # Errors
///
/// What the disk refused; everything that stays is still whole.
pub fn prune(
    storage: &dyn Storage,
    catalogue: &Catalogue,
    kept: Kept,
) -> Result<Pruned, RetainError> {
    let first = journal::first_record(storage)?.index;
    Ok(catalogue.prune_with(Pruning { floor: kept.floor, first, is_unknown_read: false })?)
}
