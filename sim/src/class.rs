//! The fault classes: their names, how often each may strike, and how often each did.
//!
//! The order of the classes and their highest rates are part of what a seed means: new classes go
//! to the end. Invariant: the rates of a seed depend on the seed and on what is switched off alone.

use std::collections::BTreeMap;
use std::fmt;

use crate::rng::Rng;

/// What a class is, for the sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Something breaks.
    Fault,
    /// Something is late.
    Delay,
    /// What clients do.
    Habit,
}

macro_rules! classes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $sort:ident, $most:literal;)*) => {
        /// A class of faults or habits, which a run can be without.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Class {
            $($(#[doc = $doc])+ $variant,)*
        }

        impl Class {
            /// Every class.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it does.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii_start(),)* }
            }

            const fn sort(self) -> Sort {
                match self { $(Self::$variant => Sort::$sort,)* }
            }

            /// Highest rate in a thousand.
            const fn most(self) -> u64 {
                match self { $(Self::$variant => $most,)* }
            }
        }
    };
}

classes! {
    /// The power fails: sectors that were not synced are kept, lost, torn or garbled.
    PowerCut = "power-cut", Fault, 12;
    /// The process is killed.
    Kill = "kill", Fault, 8;
    /// A sync fails once and then pretends.
    SyncError = "sync-error", Fault, 8;
    /// The disk is full.
    FullDisk = "full-disk", Fault, 10;
    /// A bit of the durable journal flips while the frame is down.
    Rot = "rot", Fault, 400;
    /// A start cannot read the journal.
    ReadError = "read-error", Fault, 200;
    /// A sync comes late.
    SlowSync = "slow-sync", Delay, 800;
    /// The database is gone for a while.
    SqlDown = "sql-down", Fault, 15;
    /// The database is slow.
    SqlSlow = "sql-slow", Delay, 900;
    /// The answer to a COMMIT is lost; it took effect or not.
    LostCommit = "lost-commit", Fault, 30;
    /// A transaction breaks before its end.
    BrokenCommit = "broken-commit", Fault, 30;
    /// An older copy of the database is put back.
    Restore = "restore", Fault, 10;
    /// The transaction of a dead process arrives late.
    Late = "late", Fault, 600;
    /// After a stop the clock is ahead, or behind by seconds.
    ClockJump = "clock-jump", Fault, 500;
    /// The clock stands still.
    ClockFreeze = "clock-freeze", Fault, 20;
    /// A client sends again what was answered.
    Duplicates = "duplicates", Habit, 200;
    /// A client sends another body under a known id.
    OtherBodies = "other-bodies", Habit, 100;
    /// Commands with string keys.
    Keys = "keys", Habit, 300;
    /// Reads.
    Reads = "reads", Habit, 200;
    /// Amounts at the edges of their type.
    Boundaries = "boundaries", Habit, 300;
    /// A second leader starts from a copy of the disk while the first one runs or is paused.
    Rival = "rival", Fault, 8;
    /// A block or segment of the stopped disk is at another one's place, or an older one is back.
    Misplaced = "misplaced", Fault, 400;
    /// Snapshots are taken beside the run.
    Snapshot = "snapshot", Habit, 60;
    /// Retention removes what nobody needs.
    Retention = "retention", Habit, 60;
    /// Taking a snapshot breaks off: the process dies, or the disk refuses.
    SnapshotStop = "snapshot-stop", Fault, 400;
    /// The sync of a snapshot does nothing and says that it worked.
    SnapshotLie = "snapshot-lie", Fault, 300;
    /// One snapshot is damaged, or cannot be read, while the frame is down.
    SnapshotRot = "snapshot-rot", Fault, 500;
    /// Retention breaks off.
    RetentionStop = "retention-stop", Fault, 300;
    /// A client asks for what is not its own.
    Stranger = "stranger", Habit, 100;
    /// A transaction of settlement takes long. Half of the seeds with it settle without history.
    SlowCommit = "slow-commit", Delay, 700;
}

const CLASSES: usize = Class::ALL.len();
/// Classes whose rates come from one generator, the oldest ones; each later class has its own.
const FIRST: usize = 20;
/// Stream of the generator that says which seeds settle without history.
const NETTED: u64 = 2_000;

/// The rates of a seed. Swarm testing: each seed leaves some classes out, so that rare ones meet.
#[derive(Clone, Debug)]
pub(crate) struct Swarm {
    rates: [u64; CLASSES],
}

impl Swarm {
    /// Draws the rates from the run's generator, and those of later classes from the seed.
    pub(crate) fn draw(rng: &mut Rng, seed: u64) -> Self {
        let rate = |rng: &mut Rng, class: Class| {
            if rng.chance(600) { 1 + rng.below(class.most()) } else { 0 }
        };
        let mut rates = [0; CLASSES];
        for (at, &class) in Class::ALL.iter().enumerate() {
            rates[at] = if at < FIRST {
                rate(rng, class)
            } else {
                rate(&mut Rng::stream(seed, 1_000 + at as u64), class)
            };
        }
        Self { rates }
    }

    /// How often in a thousand; 0 = never.
    pub(crate) const fn rate(&self, class: Class) -> u64 {
        self.rates[class as usize]
    }

    pub(crate) const fn switch_off(&mut self, class: Class) {
        self.rates[class as usize] = 0;
    }

    /// Whether a seed settles balances alone, and stretches its pace as far as commits are slow.
    /// With history a cut is never put off.
    pub(crate) fn is_netted(&self, seed: u64) -> bool {
        self.rate(Class::SlowCommit) > 0 && Rng::stream(seed, NETTED).chance(500)
    }

    /// The classes that may strike.
    pub(crate) fn on(&self) -> impl Iterator<Item = Class> + '_ {
        Class::ALL.iter().copied().filter(|&class| self.rate(class) > 0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Struck {
    times: u64,
    first: u64,
    last: u64,
}

/// How often each class struck, and what was seen besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    struck: BTreeMap<Class, Struck>,
    seen: BTreeMap<&'static str, u64>,
}

impl Faults {
    pub(crate) fn strike(&mut self, class: Class, step: u64) {
        let struck = self.struck.entry(class).or_insert(Struck { times: 0, first: step, last: 0 });
        struck.times += 1;
        struck.last = step;
    }

    /// Counts something that is worth telling and is no fault.
    pub(crate) fn see(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        for (&class, more) in &other.struck {
            let sum = self.struck.entry(class).or_insert(Struck { times: 0, ..*more });
            sum.times += more.times;
            (sum.first, sum.last) = (sum.first.min(more.first), sum.last.max(more.last));
        }
        for (&what, more) in &other.seen {
            *self.seen.entry(what).or_default() += more;
        }
    }

    /// Faults, without delays and habits.
    #[must_use]
    pub fn total(&self) -> u64 {
        let is_fault = |class: &Class| class.sort() == Sort::Fault;
        self.struck.iter().filter(|(class, _)| is_fault(class)).map(|(_, one)| one.times).sum()
    }

    /// How often a class struck.
    #[must_use]
    pub fn times(&self, class: Class) -> u64 {
        self.struck.get(&class).map_or(0, |struck| struck.times)
    }

    /// How often something was seen.
    #[must_use]
    pub fn seen(&self, what: &str) -> u64 {
        self.seen.get(what).copied().unwrap_or(0)
    }

    /// The table of one run: class, rate, times, first and last step.
    pub(crate) fn table(&self, swarm: &Swarm) -> String {
        let mut text =
            format!("  {:<16} {:>6} {:>6} {:>6} {:>6}\n", "", "rate", "times", "first", "last");
        for class in swarm.on() {
            let rate = swarm.rate(class);
            let row = self.struck.get(&class).map_or_else(String::new, |struck| {
                format!(" {:>6} {:>6} {:>6}", struck.times, struck.first, struck.last)
            });
            text += &format!("  {:<16} {rate:>4} ‰{row}\n", class.name());
        }
        text
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (class, struck) in &self.struck {
            writeln!(f, "  {:<34} {:>9}", class.name(), struck.times)?;
        }
        if !self.seen.is_empty() {
            writeln!(f, "seen:")?;
        }
        for (what, times) in &self.seen {
            writeln!(f, "  {what:<34} {times:>9}")?;
        }
        Ok(())
    }
}
