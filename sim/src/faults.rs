//! Faults: when they strike, what they do, and how a process is found again after them.
//!
//! Invariant: nothing here touches what the frame's own code has written but as a disk, a database
//! or a clock could.

use std::sync::atomic::Ordering;

use std::sync::Arc;

use journal::{FaultKind, Scrub};

use crate::bug::Bug;
use crate::class::Class;
use crate::judge::{Checked, broken, hold};
use crate::node::{Found, Making, Node, Refusal, SEGMENT};
use crate::sql::Fate;
use crate::world::World;

const SECOND: u64 = 1_000_000_000;

impl World {
    /// Lets strike what is due in this step.
    pub(crate) fn inject(&mut self) -> Checked {
        if self.node().is_halted && self.ends_at.is_none() {
            self.ends_at = Some(self.run.step + 10);
            self.run.strike(Class::SyncError);
        }
        if self.ends_at.is_some_and(|at| at <= self.run.step) {
            let is_power_cut = self.run.rng.chance(300);
            return self.restart(is_power_cut);
        }
        if self.run.chance(Class::PowerCut) {
            self.run.strike(Class::PowerCut);
            return self.restart(true);
        }
        if self.run.chance(Class::Kill) {
            self.run.strike(Class::Kill);
            return self.restart(false);
        }
        if self.run.chance(Class::SyncError) {
            let after = self.run.rng.below(3);
            self.disk.memory.fail_sync_in(after);
        }
        if self.run.chance(Class::FullDisk) {
            let is_full = self.run.rng.chance(500);
            let used = self.judge.index() * 4_096 + SEGMENT.segment_size;
            self.disk.memory.set_capacity(if is_full { used } else { u64::MAX });
            if is_full {
                self.run.strike(Class::FullDisk);
            }
        }
        if self.run.chance(Class::ClockFreeze) {
            self.run.is_frozen = !self.run.is_frozen;
            self.run.strike(Class::ClockFreeze);
        }
        self.inject_sql()?;
        self.take_snapshot()?;
        self.retain()?;
        if self.rival.is_none() && self.run.chance_own(Class::Rival) {
            self.begin_rival()?;
        }
        Ok(())
    }

    fn inject_sql(&mut self) -> Checked {
        if self.run.chance(Class::SqlDown) {
            let mut state = self.database.state();
            state.is_down = !state.is_down;
            if state.is_down {
                self.run.strike(Class::SqlDown);
            }
        }
        if self.run.chance(Class::LostCommit) {
            let is_applied = self.run.rng.chance(500);
            self.database.state().fate = Some(Fate::Lost(is_applied));
        }
        if self.run.chance(Class::BrokenCommit) {
            self.database.state().fate = Some(Fate::Broken);
        }
        if self.run.chance_of(Class::Late, 20) && self.database.late_arrives(self.run.bug) {
            self.run.strike(Class::Late);
            self.judge_database()?;
        }
        // A copy put back while two leaders run would have no memory of the newer one.
        let is_alone = self.rival.is_none();
        if self.run.chance(Class::Restore) && is_alone {
            self.database.back_up();
        }
        if self.run.chance_of(Class::Restore, 3) && is_alone && self.database.restore() {
            self.run.strike(Class::Restore);
            self.judge_database()?;
        }
        Ok(())
    }

    /// No more faults; whoever has halted starts anew.
    pub(crate) fn heal(&mut self) -> Checked {
        self.disk.heal();
        self.run.is_frozen = false;
        {
            let mut state = self.database.state();
            state.is_down = false;
            state.fate = None;
        }
        let breaking = [Class::Rot, Class::ReadError, Class::ClockJump, Class::Misplaced];
        for class in breaking.into_iter().chain([Class::SnapshotRot]) {
            self.run.swarm.switch_off(class);
        }
        self.mend_database()?;
        self.restart(true)
    }

    /// The first start.
    pub(crate) fn start(&mut self) -> Checked {
        self.recover()
    }

    /// The process ends where it stands and is found again; a power cut takes what the disk had
    /// not made durable.
    pub(crate) fn restart(&mut self, is_power_cut: bool) -> Checked {
        let durable = self.node().stages.marks.durable_index();
        self.judge.walk(&self.disk, durable)?;
        let run = self.node().stages.marks.boundary();
        hold(self.judge.digest(run.sequence) == Some(run.run_digest), "I9", || {
            format!("the run's digest at {} is not the replay's", run.sequence)
        })?;
        self.node = None;
        self.ends_at = None;
        let step = self.run.step;
        self.clients.hang_up(step, &mut self.run.rng);
        self.keep_older();
        if self.run.chance(Class::Late) {
            self.database.leave_behind();
        }
        if is_power_cut {
            let seed = self.run.rng.next();
            self.disk.crash(seed);
        } else {
            self.disk.memory.kill();
        }
        if self.run.chance(Class::ClockJump) {
            self.jump();
        }
        self.judge_snapshots()?;
        self.rot()?;
        self.misplace()?;
        if self.run.chance(Class::ReadError) {
            self.fail_read()?;
        }
        self.recover()
    }

    /// The clock after a stop: hours later, or up to five seconds earlier. Two leaders share it,
    /// and it never goes back for a process that runs: settlement goes by a clock that only rises.
    fn jump(&mut self) {
        self.run.strike(Class::ClockJump);
        if self.run.rng.chance(300) {
            let back = self.run.rng.below(5 * SECOND);
            if self.rival.is_none() {
                self.clock.fetch_sub(back, Ordering::Relaxed);
            }
        } else {
            let most = if self.run.rng.chance(200) { 20 * 3_600 * SECOND } else { 30 * SECOND };
            let ahead = self.run.rng.below(most);
            self.clock.fetch_add(ahead, Ordering::Relaxed);
            self.run.simulated_ns += ahead;
        }
    }

    /// A start; `true` if the database is asked before.
    pub(crate) fn attempt(&self, asks: bool) -> Result<(Node, Found), Refusal> {
        let making = Making { bug: self.run.bug, is_netted: self.run.is_netted, asks };
        Node::recover(&self.disk, &self.database, &self.clock, making)
    }

    pub(crate) fn recover(&mut self) -> Checked {
        let last_epoch = self.epoch;
        let mut attempt = self.attempt(true);
        if attempt.is_err() && self.is_foreign() {
            // The database says that more was durable: by the journal of the other leader.
            self.run.faults.see("starts refused for the other leader's settlement");
            attempt = self.attempt(false);
        }
        let (node, found) = match attempt {
            Ok(recovered) => recovered,
            Err(error) => return broken("I3", format!("the journal is refused: {error}")),
        };
        self.is_fenced = false;
        self.judge.compare(&found)?;
        hold(node.epoch > last_epoch, "I10", || {
            format!("epoch {} follows {last_epoch}", node.epoch)
        })?;
        self.clock.fetch_max(found.last_ns, Ordering::Relaxed);
        let through = found.through;
        self.node = Some(node);
        self.judge.walk(&self.disk, through)?;
        hold(found.image_digest == self.judge.image_digest(), "I9", || {
            "the recovered state is not the state of the replay".to_owned()
        })?;
        self.judge_database()?;
        let now_ns = self.now_ns();
        if self.node().open(now_ns) {
            self.epoch = self.node().epoch;
        }
        Ok(())
    }

    /// A byte of the durable journal rots; the frame refuses to start or finds the same, and the
    /// byte is then repaired from a copy.
    fn rot(&mut self) -> Checked {
        let proven = self.judge.proven().len();
        if proven == 0 || !self.run.chance(Class::Rot) {
            return Ok(());
        }
        let place = self.judge.proven()[self.run.rng.pick(proven)];
        let offset = place.offset + self.run.rng.below(place.len);
        let mask = 1 << self.run.rng.below(8);
        self.disk.memory.flip(place.segment, offset, mask);
        self.run.strike(Class::Rot);
        match self.attempt(true) {
            Ok((_, found)) => {
                self.run.faults.see("rot before the snapshot of a start");
                self.judge.compare(&found)?;
                self.scrub(place.segment)?;
            }
            Err(error) => {
                self.run.faults.see("starts refused for rot");
                if self.run.bug == Some(Bug::TruncateAtRot) {
                    self.disk.cut_off(place.segment, place.offset);
                    return Ok(());
                }
                let is_named = matches!(error.kind, FaultKind::Corrupt | FaultKind::Format);
                hold(is_named, "F5", || format!("rot is refused as something else: {error}"))?;
            }
        }
        self.disk.memory.flip(place.segment, offset, mask);
        Ok(())
    }

    /// Rot in a sealed segment is found by reading all of them, whatever starts read.
    fn scrub(&mut self, segment: u64) -> Checked {
        if segment + 1 >= self.judge.last_segment() {
            return Ok(());
        }
        let mut scrub = Scrub::new(Arc::new(self.disk.clone()));
        loop {
            match scrub.step(1 << 20) {
                Err(_) => {
                    self.run.faults.see("rot found by scrubbing");
                    return Ok(());
                }
                Ok(step) if step.has_finished_pass => {
                    return broken("F5", format!("scrubbing finds no rot in segment {segment}"));
                }
                Ok(_) => {}
            }
        }
    }

    fn fail_read(&mut self) -> Checked {
        self.run.strike(Class::ReadError);
        self.disk.fail_next_read();
        match self.attempt(true) {
            Err(error) if error.kind == FaultKind::Io => Ok(()),
            Err(error) => broken("F7", format!("a read error is told as {error}")),
            Ok(_) => broken("F7", "a journal that cannot be read was served with"),
        }
    }
}
