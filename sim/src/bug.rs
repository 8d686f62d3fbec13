//! Planted bugs: mistakes made on purpose in the simulated surroundings of the frame's own code, so
//! that it is shown that the checkers can see. Invariant: without one, nothing here has an effect.

macro_rules! bugs {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal;)*) => {
        /// A planted bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Bug {
            $($(#[doc = $doc])+ $variant,)*
        }

        impl Bug {
            /// Every bug.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What is done wrong.
            #[must_use]
            pub const fn mistake(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii_start(),)* }
            }
        }
    };
}

bugs! {
    /// A sync returns before anything is on the medium.
    AckBeforeSync = "ack-before-sync";
    /// A failed sync is tried once more, and believed.
    RetrySync = "retry-sync";
    /// Recovery reads what the page cache holds after a failed sync.
    CacheRecovery = "cache-recovery";
    /// A torn tail is left where it is when the journal is found again.
    NoTailWipe = "no-tail-wipe";
    /// The directory is not synced after a segment was prepared.
    NoDirectorySync = "no-directory-sync";
    /// A journal with rot in it is cut off there.
    TruncateAtRot = "truncate-at-rot";
    /// A replay stamps records with the present time.
    ReplayClock = "replay-clock";
    /// A restart goes on under the old epoch.
    SameEpoch = "same-epoch";
    /// A commit whose answer was lost is taken for failed and sent again, unseen by the watermark.
    CommitRetried = "commit-retried";
    /// Batches are told apart by a number that starts anew with each process.
    BatchNumber = "batch-number";
    /// A transaction that breaks leaves its postings behind.
    PartialCommit = "partial-commit";
    /// A database takes the late transaction of an older leader.
    Unfenced = "unfenced";
    /// The watermark is kept in memory, not read from the database.
    CachedWatermark = "cached-watermark";
    /// A batch writes all its cut's postings, settled before or not.
    WholeCut = "whole-cut";
    /// The last balance of a long batch is lost.
    LostRow = "lost-row";
    /// A cut counts as settled before it is committed.
    SettledEarly = "settled-early";
    /// A gateway says that it asked the history for a key, and did not.
    KeyUnasked = "key-unasked";
    /// A gateway answers repeats of an id from its own memory, whatever their body.
    AnswerById = "answer-by-id";
    /// A gateway sends a request under the identity of another connection.
    IdentityMixed = "identity-mixed";
    /// A gateway takes whoever asks for the owner of the account.
    OwnerBelieved = "owner-believed";
    /// A read is answered by an older state.
    StaleRead = "stale-read";
    /// A client that was not answered sends the command again under a new id.
    NewIdOnRetry = "new-id-on-retry";
    /// Nobody looks at the epoch that a watermark carries.
    EpochIgnored = "epoch-ignored";
    /// A leader that is fenced takes the newer epoch for its own and goes on.
    EpochTaken = "epoch-taken";
    /// The remembered ids are not in a snapshot.
    IdsUnsaved = "ids-unsaved";
    /// A snapshot says that it stands one record earlier.
    SnapshotIndex = "snapshot-index";
    /// A snapshot holds what was written and not synced.
    SnapshotAhead = "snapshot-ahead";
    /// A snapshot gets its name before it was synced.
    RenameUnsynced = "rename-unsynced";
    /// The name of a new snapshot is not synced.
    NamesUnsynced = "names-unsynced";
    /// A snapshot is read back from the page cache.
    CachedVerify = "cached-verify";
    /// The two newest snapshots stay, whether they verify or not.
    PruneUnverified = "prune-unverified";
    /// The journal goes up to the newest snapshot.
    RetireNewest = "retire-newest";
    /// Retention does not ask what is settled.
    RetireUnsettled = "retire-unsettled";
    /// Nobody minds how much of the time commits take.
    Hurried = "hurried";
}
