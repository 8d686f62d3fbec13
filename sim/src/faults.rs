//! Faults: when they strike, what they do, and how a process is found again after them.
//!
//! Invariant: nothing here touches what the frame's own code has written but as a disk, a database
//! or a clock could.

use std::fmt;
use std::sync::atomic::Ordering;

use journal::FaultKind;

use crate::bug::Bug;
use crate::judge::{Checked, broken, hold};
use crate::node::{Node, SEGMENT};
use crate::sql::Fate;
use crate::world::World;

const SECOND: u64 = 1_000_000_000;

macro_rules! counts {
    ($($field:ident = $name:literal,)*) => {
        /// How often each fault struck.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Faults {
            $(pub(crate) $field: u64,)*
        }

        impl Faults {
            /// Adds those of another run.
            pub const fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)*
            }

            /// All of them together.
            #[must_use]
            pub const fn total(&self) -> u64 {
                0 $(+ self.$field)*
            }
        }

        impl fmt::Display for Faults {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(writeln!(f, "  {:<30} {:>8}", $name, self.$field)?;)*
                Ok(())
            }
        }
    };
}

counts! {
    power_cuts = "power cuts",
    kills = "kills",
    sync_errors = "failed syncs",
    full_disks = "full disks",
    rot = "rotten bytes",
    rot_refused = "  refused at the start",
    read_errors = "read errors at a start",
    sql_down = "database down",
    lost_commits = "lost COMMIT answers",
    broken_commits = "broken transactions",
    restores = "older databases",
    late = "late transactions",
    clock_jumps = "clock jumps",
    clock_freezes = "clock freezes",
}

impl World {
    /// Lets strike what is due in this step.
    pub(crate) fn inject(&mut self) -> Checked {
        let swarm = self.swarm;
        if self.node().is_halted && self.ends_at.is_none() {
            self.ends_at = Some(self.step + 10);
            self.faults.sync_errors += 1;
        }
        if self.ends_at.is_some_and(|at| at <= self.step) {
            let is_power_cut = self.rng.chance(300);
            return self.restart(is_power_cut);
        }
        if self.rng.chance(swarm.power_cut) {
            return self.restart(true);
        }
        if self.rng.chance(swarm.kill) {
            return self.restart(false);
        }
        if self.rng.chance(swarm.sync_error) {
            let after = self.rng.below(3);
            self.disk.memory.fail_sync_in(after);
        }
        if self.rng.chance(swarm.full_disk) {
            let is_full = self.rng.chance(500);
            let used = self.judge.index() * 4_096 + SEGMENT.segment_size;
            self.disk.memory.set_capacity(if is_full { used } else { u64::MAX });
            self.faults.full_disks += u64::from(is_full);
        }
        if self.rng.chance(swarm.clock_freeze) {
            self.is_frozen = !self.is_frozen;
            self.faults.clock_freezes += 1;
        }
        self.inject_sql()
    }

    fn inject_sql(&mut self) -> Checked {
        let swarm = self.swarm;
        if self.rng.chance(swarm.sql_down) {
            let mut state = self.database.state();
            state.is_down = !state.is_down;
            self.faults.sql_down += u64::from(state.is_down);
        }
        if self.rng.chance(swarm.lost_commit) {
            let is_applied = self.rng.chance(500);
            self.database.state().fate = Some(Fate::Lost(is_applied));
        }
        if self.rng.chance(swarm.broken_commit) {
            self.database.state().fate = Some(Fate::Broken);
        }
        if self.rng.chance(swarm.zombie / 20) && self.database.late_arrives(self.bug) {
            self.faults.late += 1;
            self.judge_database()?;
        }
        if self.rng.chance(swarm.restore) {
            self.database.back_up();
        }
        if self.rng.chance(swarm.restore / 3) && self.database.restore() {
            self.faults.restores += 1;
            self.judge_database()?;
        }
        Ok(())
    }

    /// No more faults; whoever has halted starts anew.
    pub(crate) fn heal(&mut self) -> Checked {
        self.disk.heal();
        self.is_frozen = false;
        {
            let mut state = self.database.state();
            state.is_down = false;
            state.fate = None;
        }
        self.swarm.rot = 0;
        self.swarm.read_error = 0;
        self.swarm.clock_jump = 0;
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
        let step = self.step;
        self.clients.hang_up(step, &mut self.rng);
        if self.rng.chance(self.swarm.zombie) {
            self.database.leave_behind();
        }
        if is_power_cut {
            let seed = self.rng.next();
            self.disk.crash(seed);
            self.faults.power_cuts += 1;
        } else {
            self.disk.memory.kill();
            self.faults.kills += 1;
        }
        if self.rng.chance(self.swarm.clock_jump) {
            self.jump();
        }
        self.rot()?;
        if self.rng.chance(self.swarm.read_error) {
            self.fail_read()?;
        }
        self.recover()
    }

    /// The clock after a stop: hours later, or up to five seconds earlier.
    fn jump(&mut self) {
        self.faults.clock_jumps += 1;
        if self.rng.chance(300) {
            let back = self.rng.below(5 * SECOND);
            self.clock.fetch_sub(back, Ordering::Relaxed);
        } else {
            let most = if self.rng.chance(200) { 20 * 3_600 * SECOND } else { 30 * SECOND };
            let ahead = self.rng.below(most);
            self.clock.fetch_add(ahead, Ordering::Relaxed);
            self.simulated_ns += ahead;
        }
    }

    fn attempt(&self) -> Result<(Node, crate::node::Found), journal::RecoverError> {
        Node::recover(&self.disk, &self.database, &self.clock, self.bug)
    }

    fn recover(&mut self) -> Checked {
        let last_epoch = self.epoch;
        let (node, found) = match self.attempt() {
            Ok(recovered) => recovered,
            Err(error) => return broken("I3", format!("the journal is refused: {error}")),
        };
        self.judge.compare(&found.hashes)?;
        hold(node.epoch > last_epoch, "I10", || {
            format!("epoch {} follows {last_epoch}", node.epoch)
        })?;
        self.clock.fetch_max(found.last_ns, Ordering::Relaxed);
        let through = found.hashes.len() as u64;
        self.node = Some(node);
        self.judge.walk(&self.disk, through)?;
        hold(found.image_digest == self.judge.image_digest(), "I9", || {
            "the recovered state is not the state of the replay".to_owned()
        })?;
        self.judge.settled(&self.database.state().tables)?;
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
        if proven == 0 || !self.rng.chance(self.swarm.rot) {
            return Ok(());
        }
        let place = self.judge.proven()[self.rng.pick(proven)];
        let offset = place.offset + self.rng.below(place.len);
        let mask = 1 << self.rng.below(8);
        self.disk.memory.flip(place.segment, offset, mask);
        self.faults.rot += 1;
        match self.attempt() {
            Ok((_, found)) => self.judge.compare(&found.hashes)?,
            Err(error) => {
                self.faults.rot_refused += 1;
                if self.bug == Some(Bug::TruncateAtRot) {
                    self.disk.cut_off(place.segment, place.offset);
                    return Ok(());
                }
                let is_named = matches!(error.kind(), FaultKind::Corrupt | FaultKind::Format);
                hold(is_named, "F5", || format!("rot is refused as something else: {error}"))?;
            }
        }
        self.disk.memory.flip(place.segment, offset, mask);
        Ok(())
    }

    fn fail_read(&mut self) -> Checked {
        self.faults.read_errors += 1;
        self.disk.fail_next_read();
        match self.attempt() {
            Err(error) if error.kind() == FaultKind::Io => Ok(()),
            Err(error) => broken("F7", format!("a read error is told as {error}")),
            Ok(_) => broken("F7", "a journal that cannot be read was served with"),
        }
    }
}
