//! The switches of a seed: which faults happen in it, and how often. Swarm testing: each seed
//! leaves some out, so that rare ones meet. Invariant: the switches depend on the seed alone.

use std::fmt;

use crate::rng::Rng;

/// Rates in a thousand steps; 0 = off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Swarm {
    pub(crate) power_cut: u64,
    pub(crate) kill: u64,
    pub(crate) sync_error: u64,
    pub(crate) full_disk: u64,
    pub(crate) rot: u64,
    pub(crate) read_error: u64,
    pub(crate) slow_sync: u64,
    pub(crate) sql_down: u64,
    pub(crate) sql_slow: u64,
    pub(crate) lost_commit: u64,
    pub(crate) broken_commit: u64,
    pub(crate) restore: u64,
    pub(crate) zombie: u64,
    pub(crate) clock_jump: u64,
    pub(crate) clock_freeze: u64,
    pub(crate) duplicates: u64,
    pub(crate) other_bodies: u64,
    pub(crate) keys: u64,
    pub(crate) reads: u64,
    pub(crate) boundary_amounts: u64,
}

impl Swarm {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let mut rate = |max: u64| if rng.chance(600) { 1 + rng.below(max) } else { 0 };
        Self {
            power_cut: rate(12),
            kill: rate(8),
            sync_error: rate(8),
            full_disk: rate(10),
            rot: rate(400),
            read_error: rate(200),
            slow_sync: rate(800),
            sql_down: rate(15),
            sql_slow: rate(900),
            lost_commit: rate(30),
            broken_commit: rate(30),
            restore: rate(10),
            zombie: rate(600),
            clock_jump: rate(500),
            clock_freeze: rate(20),
            duplicates: rate(200),
            other_bodies: rate(100),
            keys: rate(300),
            reads: rate(200),
            boundary_amounts: rate(300),
        }
    }

    fn rows(&self) -> [(&'static str, u64); 20] {
        [
            ("power cut", self.power_cut),
            ("kill", self.kill),
            ("sync error", self.sync_error),
            ("full disk", self.full_disk),
            ("rot at a restart", self.rot),
            ("read error at a restart", self.read_error),
            ("slow sync", self.slow_sync),
            ("sql down", self.sql_down),
            ("sql slow", self.sql_slow),
            ("lost commit", self.lost_commit),
            ("broken commit", self.broken_commit),
            ("older database", self.restore),
            ("late transaction at a restart", self.zombie),
            ("clock jump at a restart", self.clock_jump),
            ("clock freeze", self.clock_freeze),
            ("duplicates", self.duplicates),
            ("other body", self.other_bodies),
            ("string keys", self.keys),
            ("reads", self.reads),
            ("boundary amounts", self.boundary_amounts),
        ]
    }
}

impl fmt::Display for Swarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, rate) in self.rows().into_iter().filter(|&(_, rate)| rate > 0) {
            writeln!(f, "  {name:<30} {rate:>4} ‰")?;
        }
        Ok(())
    }
}
