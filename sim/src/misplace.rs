//! A disk that puts things where they do not belong, while the frame is down: blocks swapped,
//! doubled, lost; a segment at another one's place; an older segment put back.
//!
//! Invariant: it touches only what the journal itself says was durable, and puts everything back.

use journal::{BLOCK, FaultKind, Storage as _};

use crate::class::Class;
use crate::judge::{Checked, Place, hold};
use crate::world::World;

impl World {
    /// Remembers what the segments hold, to be put back later.
    pub(crate) fn keep_older(&mut self) {
        if self.run.swarm.rate(Class::Misplaced) == 0 {
            return;
        }
        for number in self.disk.memory.list().unwrap_or_default() {
            if let Some(bytes) = self.disk.memory.image(number) {
                self.older.entry(number).or_insert(bytes);
            }
        }
    }

    /// Something is misplaced: the start refuses or finds the same, and everything is repaired.
    pub(crate) fn misplace(&mut self) -> Checked {
        if !self.run.chance_own(Class::Misplaced) || self.judge.proven().len() < 2 {
            return Ok(());
        }
        let saved = self.disk.memory.copy();
        let Some(what) = self.misplace_one() else { return Ok(()) };
        self.run.strike(Class::Misplaced);
        match self.attempt(true) {
            Ok((_, found)) => {
                self.run.faults.see("misplaced and harmless");
                self.judge.compare(&found)?;
            }
            Err(error) => {
                self.run.faults.see("starts refused for something misplaced");
                let is_told = !matches!(error.kind, FaultKind::Io | FaultKind::Locked);
                hold(is_told, "F6", || format!("{what} is refused as something else: {error}"))?;
            }
        }
        self.disk.put_back(&saved);
        Ok(())
    }

    /// A block of a proven record.
    fn draw_block(&mut self) -> (u64, usize) {
        let proven = self.judge.proven();
        let rng = self.run.own(Class::Misplaced);
        let Place { segment, offset, len } = proven[rng.pick(proven.len())];
        let at = offset / BLOCK + rng.below(len.div_ceil(BLOCK));
        (segment, usize::try_from(at * BLOCK).expect("a segment fits into memory"))
    }

    /// Misplaces something and says what; `None` if that changed nothing.
    fn misplace_one(&mut self) -> Option<&'static str> {
        let kind = self.run.own(Class::Misplaced).below(6);
        match kind {
            0 | 1 => self.misplace_block(kind == 0),
            2 => {
                let (number, at) = self.draw_block();
                let mut bytes = self.disk.memory.image(number)?;
                let block = &mut bytes[at..at + BLOCK as usize];
                if block.iter().all(|&byte| byte == 0) {
                    return None;
                }
                block.fill(0);
                self.disk.memory.put(number, bytes);
                Some("a block that was never written")
            }
            3 | 4 => {
                let ((from, _), (to, _)) = (self.draw_block(), self.draw_block());
                if from == to {
                    return None;
                }
                let (one, other) = (self.disk.memory.image(from)?, self.disk.memory.image(to)?);
                self.disk.memory.put(to, one);
                if kind == 4 {
                    self.disk.memory.put(from, other);
                }
                Some("a segment at another one's place")
            }
            _ => {
                // The last one is as a crash could have left it: nothing in it says more.
                let last = self.judge.proven().last()?.segment;
                let (number, _) = self.draw_block();
                let older = self.older.get(&number).filter(|_| number < last)?;
                if self.disk.memory.image(number).as_ref() == Some(older) {
                    return None;
                }
                self.disk.memory.put(number, older.clone());
                Some("an older segment")
            }
        }
    }

    fn misplace_block(&mut self, is_swap: bool) -> Option<&'static str> {
        let ((from, at), (to, there)) = (self.draw_block(), self.draw_block());
        let block = BLOCK as usize;
        let one = self.disk.memory.image(from)?[at..at + block].to_vec();
        let mut bytes = self.disk.memory.image(to)?;
        let other = bytes[there..there + block].to_vec();
        if one == other {
            return None;
        }
        bytes[there..there + block].copy_from_slice(&one);
        self.disk.memory.put(to, bytes);
        if is_swap {
            let mut bytes = self.disk.memory.image(from)?;
            bytes[at..at + block].copy_from_slice(&other);
            self.disk.memory.put(from, bytes);
        }
        Some(if is_swap { "two blocks swapped" } else { "a block written twice" })
    }
}
