//! The keeper: snapshots taken beside the run by replay of what is durable, retention, what may
//! happen to the files, and what must hold of them.
//!
//! Invariant: whatever struck, the frame starts while at most one snapshot is damaged, and nothing
//! that SQL has not settled is gone.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::Engine;
use pipeline::{Claims, Past, Taken, plan, retain};
use protocol::Sequence;
use snapshot::{Catalogue, KEPT_MIN, Meta};

use crate::bug::Bug;
use crate::class::Class;
use crate::judge::{Checked, Violation, broken, hold};
use crate::node::{FRAME, OPTIONS};
use crate::world::World;

/// What the run knows of its snapshots.
#[derive(Clone, Default)]
pub(crate) struct Known {
    /// Taken, and removed by nobody.
    named: BTreeSet<String>,
    /// Damaged by a fault, and left so.
    damaged: BTreeSet<String>,
}

fn unread(error: impl std::fmt::Display) -> Violation {
    Violation { rule: "I9", detail: format!("snapshots or journal cannot be read: {error}") }
}

impl World {
    fn catalogue(&self) -> Catalogue {
        Catalogue::new(self.disk.files.clone(), FRAME)
    }

    /// Names of the snapshots that verify, newest first.
    fn whole(&self) -> Checked<Vec<(String, Meta)>> {
        let catalogue = self.catalogue();
        let entries = catalogue.list().map_err(unread)?;
        let whole = |name: &String| catalogue.verify(name).ok().map(|verified| verified.meta);
        Ok(entries.into_iter().filter_map(|e| Some((e.name.clone(), whole(&e.name)?))).collect())
    }

    /// Takes a snapshot beside the run, if one is due.
    pub(crate) fn take_snapshot(&mut self) -> Checked {
        if !self.run.chance_own(Class::Snapshot) {
            return Ok(());
        }
        let durable = self.node().stages.marks.durable_index();
        self.judge.walk(&self.disk, durable)?;
        let asks_journal = self.run.own(Class::Snapshot).chance(300);
        let seen = journal::durable_seen(Arc::new(self.disk.clone())).map_err(unread)?;
        hold(seen <= durable, "I3", || format!("{seen} is said to be durable, {durable} is"))?;
        let through = if asks_journal { seen } else { durable };
        let may_fail = self.break_snapshot();
        let taken = self.replay_and_take(through);
        self.disk.files.heal();
        match taken {
            Ok(Some(Taken { name, meta })) => {
                self.run.strike(Class::Snapshot);
                self.node().catalogue.trust(&name);
                self.known.damaged.remove(&name);
                self.known.named.insert(name);
                self.judge.snapshot(&meta)
            }
            Ok(None) => Ok(()),
            Err(_) if may_fail => {
                self.run.faults.see("snapshots given up");
                Ok(())
            }
            Err(error) => broken("I9", format!("a snapshot is refused: {error}")),
        }
    }

    /// Sets what may go wrong with the next snapshot; says whether anything may.
    fn break_snapshot(&mut self) -> bool {
        let files = self.disk.files.clone();
        if self.run.chance_own(Class::SnapshotStop) {
            self.run.strike(Class::SnapshotStop);
            let rng = self.run.own(Class::SnapshotStop);
            if rng.chance(700) {
                files.memory.stop_after(Some(rng.below(9)));
            } else {
                files.memory.set_capacity(Some(files.memory.bytes() + rng.below(4_096)));
            }
            return true;
        }
        if self.run.chance_own(Class::SnapshotLie) {
            self.run.strike(Class::SnapshotLie);
            files.lie();
            return true;
        }
        false
    }

    /// What the process beside the frame does; `None` if there is nothing new.
    fn replay_and_take(&self, through: u64) -> Result<Option<Taken>, Box<dyn std::error::Error>> {
        let catalogue = Arc::new(self.catalogue());
        let past = Past::new(Arc::new(self.disk.clone()), Arc::clone(&catalogue));
        let held = catalogue.list()?.into_iter().filter_map(|entry| entry.meta.ok());
        let held: Vec<u64> = held.map(|meta| meta.index).collect();
        let until = held.iter().copied().fold(through, u64::max);
        let until = until + u64::from(self.run.bug == Some(Bug::SnapshotAhead));
        let mut replay = past.replay_from(Sequence(u64::MAX), OPTIONS, until)?;
        while replay.next(|_| ())?.is_some() {
            replay.engine_mut().discard_changes();
        }
        let (boundary, mut index) = (replay.boundary(), replay.index());
        if held.contains(&index) {
            return Ok(None);
        }
        let (replayer, _) = replay.into_parts();
        let mut engine = replayer.into_engine().expect("a replay begins with an engine");
        match self.run.bug {
            Some(Bug::IdsUnsaved) => engine = without_ids(&engine),
            Some(Bug::SnapshotIndex) => index -= 1,
            _ => {}
        }
        Ok(Some(pipeline::take(&catalogue, engine, boundary, index, OPTIONS)?))
    }

    /// Removes what nobody needs, if it is time.
    pub(crate) fn retain(&mut self) -> Checked {
        if !self.run.chance_own(Class::Retention) {
            return Ok(());
        }
        let durable = self.node().stages.marks.durable_index();
        self.judge.walk(&self.disk, durable)?;
        let before = self.whole()?;
        // One that was given up after its rename has taken a damaged one's name and place.
        self.known.damaged.retain(|name| before.iter().all(|(whole, _)| whole != name));
        let catalogue = Arc::clone(&self.node().catalogue);
        for (name, _) in &before {
            catalogue.trust(name);
        }
        let snapshots = pipeline::usable(&self.disk, &catalogue).map_err(unread)?;
        let settled = self.node().status.stored();
        let keep_after_ns = self.now_ns().saturating_sub(self.keep_ns());
        let is_asked = self.run.bug != Some(Bug::RetireUnsettled);
        let settled = is_asked.then_some(settled);
        let claims = Claims { snapshots: &snapshots, settled, keep_after_ns, followers: &[] };
        let kept = plan(&claims);
        let first = self.first_kept()?;
        self.run.strike(Class::Retention);
        self.break_retention();
        let done = match self.run.bug {
            Some(Bug::RetireNewest) => {
                let newest = snapshots.first().map_or(0, |meta| meta.index);
                journal::retire(&self.disk, newest).is_ok()
            }
            Some(Bug::PruneUnverified) => self.keep_two_names(&catalogue)?,
            _ => retain(&self.disk, &catalogue, kept).is_ok(),
        };
        self.disk.files.heal();
        self.disk.fail_removals_after(None);
        if !done {
            self.run.faults.see("retention given up");
        }
        if self.first_kept()? > first {
            self.run.faults.see("journals shortened");
            self.judge_retired(keep_after_ns)?;
        }
        self.judge_pruned(&before)
    }

    /// How long a frame keeps what is settled; a seed has one of these.
    const fn keep_ns(&self) -> u64 {
        [0, 0, 1_000_000_000, 30_000_000_000][(self.run.case.seed % 4) as usize]
    }

    fn break_retention(&mut self) {
        if self.run.chance_own(Class::RetentionStop) {
            self.run.strike(Class::RetentionStop);
            let rng = self.run.own(Class::RetentionStop);
            let after = rng.below(3);
            if rng.chance(500) {
                self.disk.files.memory.stop_after(Some(after));
            } else {
                self.disk.fail_removals_after(Some(after));
            }
        }
    }

    /// Retention with a planted bug: what is called a snapshot counts as one.
    fn keep_two_names(&self, catalogue: &Catalogue) -> Checked<bool> {
        let entries = catalogue.list().map_err(unread)?;
        for old in entries.iter().skip(KEPT_MIN) {
            self.disk.files.forget(&old.name);
        }
        let base = entries.get(KEPT_MIN - 1).and_then(|entry| entry.meta.as_ref().ok());
        Ok(base.is_some_and(|meta| journal::retire(&self.disk, meta.index).is_ok()))
    }

    /// The operator puts a newer database in place if the journal cannot make up for the older one.
    pub(crate) fn mend_database(&mut self) -> Checked {
        let mark = self.database.state().tables.watermark.clone();
        let through = mark.map_or(0, |mark| mark.through().0);
        let reaches = self.whole()?.iter().any(|(_, meta)| meta.sequence.0 <= through);
        if !reaches && self.first_kept()? > 1 && self.database.put_newest_back() {
            self.run.faults.see("older databases that the journal no longer reaches");
        }
        Ok(())
    }

    fn first_kept(&self) -> Checked<u64> {
        Ok(journal::first_record(&self.disk).map_err(unread)?.index)
    }

    /// What must hold once records are gone.
    fn judge_retired(&mut self, keep_after_ns: u64) -> Checked {
        let first = journal::first_record(&self.disk).map_err(unread)?;
        self.judge.forget_before(first.segment);
        let settled = self.node().status.stored();
        let bases = self.whole()?;
        let bases = bases.iter().map(|(_, meta)| meta);
        let bases: Vec<&Meta> = bases.filter(|meta| meta.index + 1 >= first.index).collect();
        hold(bases.len() >= KEPT_MIN, "J9", || {
            format!("the journal begins at {}, and {} snapshots reach it", first.index, bases.len())
        })?;
        let before = bases.iter().filter(|meta| meta.sequence <= settled).count();
        hold(before >= KEPT_MIN, "J9", || {
            let first = first.first_sequence;
            format!(
                "the journal begins at {first}, settled is {settled}, {before} snapshots before"
            )
        })?;
        hold(bases.iter().any(|meta| meta.timestamp_ns <= keep_after_ns), "J9", || {
            format!("the journal begins at {}, younger than what is to be kept", first.index)
        })
    }

    /// What must hold once snapshots are gone.
    fn judge_pruned(&mut self, before: &[(String, Meta)]) -> Checked {
        let names: BTreeSet<String> = self.disk.files.memory.names().into_iter().collect();
        let left = before.iter().filter(|(name, _)| names.contains(name)).count();
        hold(left >= before.len().min(KEPT_MIN), "J9", || {
            format!("of {} snapshots that verify {left} are left", before.len())
        })?;
        let lost = self.known.damaged.iter().find(|&name| !names.contains(name));
        hold(lost.is_none(), "J9", || format!("{lost:?} does not verify and was removed"))?;
        self.known.named.retain(|name| names.contains(name));
        Ok(())
    }

    /// After a stop: every snapshot that was taken is there and whole, and any one of them with the
    /// records behind it is the state of the whole journal. Then one may be damaged.
    pub(crate) fn judge_snapshots(&mut self) -> Checked {
        let whole = self.whole()?;
        let mut due = self.known.named.difference(&self.known.damaged);
        let lost = due.find(|&name| !whole.iter().any(|(there, _)| there == name));
        hold(lost.is_none(), "I9", || format!("{lost:?} was taken and is lost or damaged"))?;
        if whole.is_empty() {
            return Ok(());
        }
        let (name, _) = &whole[self.run.own(Class::SnapshotRot).pick(whole.len())];
        let read = self.catalogue().open(name).map_err(unread)?;
        self.judge.goes_on(read)?;
        self.damage(&whole)
    }

    fn damage(&mut self, whole: &[(String, Meta)]) -> Checked {
        // One more damage than there are snapshots to spare would be another promise.
        let settled = self.database.state().tables.watermark.as_ref().map_or(0, |m| m.through().0);
        let settled = whole.iter().filter(|(_, meta)| meta.sequence.0 <= settled).count();
        let is_spare = settled >= KEPT_MIN || self.first_kept()? == 1;
        if !is_spare || !self.run.chance_own(Class::SnapshotRot) {
            return Ok(());
        }
        self.run.strike(Class::SnapshotRot);
        let files = self.disk.files.clone();
        let rng = self.run.own(Class::SnapshotRot);
        // The newest one is what a start wants.
        let at = if rng.chance(600) { 0 } else { rng.pick(whole.len()) };
        let name = &whole[at].0;
        let bytes = files.memory.image(name).unwrap_or_default();
        let kind = rng.below(4);
        let place = rng.below(bytes.len() as u64);
        match kind {
            0 => files.memory.flip(name, place, 1 << rng.below(8)),
            1 => files.memory.put(name, bytes[..place as usize].to_vec()),
            2 => files.forget(name),
            _ => files.memory.fail_read(Some((name.clone(), 0..u64::MAX))),
        }
        let is_left = kind != 3 && rng.chance(500);
        match self.attempt(true) {
            Ok((_, found)) => self.judge.compare(&found)?,
            // What else is wrong is told by the start without this damage.
            Err(_) if self.is_foreign() => {}
            Err(error) => {
                return broken("I3", format!("one damaged snapshot, and no start: {error}"));
            }
        }
        files.memory.fail_read(None);
        if !is_left {
            files.memory.put(name, bytes);
        } else if kind == 2 {
            self.known.named.remove(name);
        } else {
            self.known.damaged.insert(name.clone());
        }
        Ok(())
    }
}

/// The same engine, which remembers no id.
fn without_ids(engine: &Engine) -> Engine {
    /// Place of the count of ids, and of the count of keys behind it.
    const COUNTS: usize = 72;
    const ID_BYTES: usize = 40;
    const KEY_BYTES: usize = 72;
    const END_BYTES: usize = 8;
    let mut bytes = Vec::new();
    engine.write_state(&mut |block| bytes.extend_from_slice(block));
    let count = |at: usize| {
        let count = u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        usize::try_from(count).expect("few rows")
    };
    let (ids, keys) = (count(COUNTS), count(COUNTS + 8));
    let end = bytes.len() - END_BYTES - keys * KEY_BYTES;
    bytes.drain(end - ids * ID_BYTES..end);
    bytes[COUNTS..COUNTS + 8].fill(0);
    let mut at = 0;
    let read = Engine::read_state(OPTIONS, &mut |into: &mut [u8]| {
        let there = bytes.get(at..at + into.len());
        at += into.len();
        there.is_some_and(|there| {
            into.copy_from_slice(there);
            true
        })
    });
    read.expect("a state without ids is one")
}
