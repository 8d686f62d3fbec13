//! Two leaders: a copy of the disk is started on another machine while the first leader still runs,
//! or is paused and comes back. They share the database, and nothing else.
//!
//! Whoever settles first past the copy owns the database. Invariant: from then on the other one
//! settles nothing, and stops; what it acknowledged is in its own journal alone.

use std::mem;

use settlement::Watermark;

use crate::class::Class;
use crate::judge::{Checked, hold};
use crate::world::World;

const SECOND: u64 = 1_000_000_000;
/// Rounds of a second in which a leader that no longer owns the database has stopped settling:
/// longer than its longest wait.
const STOP_ROUNDS: u64 = 20;

/// While there are two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Episode {
    ends_at: u64,
    /// The first leader does not move before.
    paused_until: u64,
}

impl World {
    /// Whether the process stands still.
    pub(crate) fn is_paused(&self) -> bool {
        self.run.episode.is_some_and(|episode| self.run.step < episode.paused_until)
    }

    /// Whether the database belongs to the other leader.
    pub(crate) fn is_foreign(&self) -> bool {
        let state = self.database.state();
        let epoch = self.node.as_ref().map_or(self.epoch, |node| node.epoch);
        let is_other = |mark: &Watermark| mark.epoch > epoch || !self.judge.stands_at(mark);
        self.rival.is_some() && state.tables.watermark.as_ref().is_some_and(is_other)
    }

    /// A second leader starts from a copy of the disk.
    pub(crate) fn begin_rival(&mut self) -> Checked {
        self.run.strike(Class::Rival);
        let durable = self.node().stages.marks.durable_index();
        self.judge.walk(&self.disk, durable)?;
        let step = self.run.step;
        let rng = self.run.own(Class::Rival);
        let ends_at = step + 20 + rng.below(150);
        let paused_until = if rng.chance(500) { step + rng.below(120) } else { 0 };
        let mut clients = self.clients.clone();
        clients.hang_up(step, rng);
        self.run.episode = Some(Episode { ends_at, paused_until });
        let rival = Self {
            run: self.run.clone(),
            disk: self.disk.copy(),
            database: self.database.clone(),
            judge: self.judge.again()?,
            clients,
            node: None,
            clock: self.clock.clone(),
            epoch: self.epoch,
            ends_at: None,
            is_fenced: false,
            rival: None,
            older: self.older.clone(),
            known: self.known.clone(),
            requests: self.requests,
            told: self.told,
            by_id: self.by_id.clone(),
            reads: self.reads.clone(),
        };
        self.rival = Some(Box::new(rival));
        self.as_rival(Self::recover)
    }

    /// Lets the other leader do something, as the one that looks at the first as its rival. It
    /// draws from a generator of its own.
    fn as_rival<T>(&mut self, act: impl FnOnce(&mut Self) -> Checked<T>) -> Checked<T> {
        let drawing = self.run.own(Class::Rival).clone();
        let own = mem::replace(&mut self.run.rng, drawing);
        self.swap_sides();
        let done = act(self);
        self.swap_sides();
        *self.run.own(Class::Rival) = mem::replace(&mut self.run.rng, own);
        done
    }

    fn swap_sides(&mut self) {
        let mut other = self.rival.take().expect("there are two leaders");
        mem::swap(&mut self.run, &mut other.run);
        mem::swap(self, &mut other);
        self.rival = Some(other);
    }

    /// What the other leader does in a step.
    pub(crate) fn move_rival(&mut self) -> Checked {
        let Some(episode) = self.run.episode else { return Ok(()) };
        if self.run.step >= episode.ends_at {
            return self.end_rival();
        }
        self.as_rival(|rival| {
            rival.act()?;
            rival.act()
        })
    }

    /// One of the two ends for good: the one that does not own the database.
    pub(crate) fn end_rival(&mut self) -> Checked {
        if self.rival.is_none() {
            return Ok(());
        }
        let is_rivals = self.is_foreign();
        if is_rivals {
            self.must_stop()?;
        } else {
            self.as_rival(Self::must_stop)?;
        }
        self.run.episode = None;
        let mut rival = self.rival.take().expect("there were two leaders");
        if is_rivals {
            mem::swap(&mut self.run, &mut rival.run);
            mem::swap(self, &mut rival);
            self.run.faults.see("second leaders that took over");
        } else {
            self.database.forget();
        }
        Ok(())
    }

    /// A leader that does not own the database finds it out by itself.
    fn must_stop(&mut self) -> Checked {
        let is_down = self.database.state().is_down;
        if !self.is_foreign() || is_down || self.run.is_frozen || self.node().is_halted {
            return Ok(());
        }
        for _ in 0..STOP_ROUNDS {
            if self.is_fenced {
                break;
            }
            self.advance(SECOND);
            self.execute()?;
            self.settle()?;
        }
        hold(self.is_fenced, "I10", || {
            format!("{STOP_ROUNDS} s after another leader settled this one has not stopped")
        })
    }
}
