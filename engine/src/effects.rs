//! Effects since the last cut, when history is on. Local: nothing here changes an outcome.
//!
//! The invariant: either every posting since the last cut is here in order, or none is promised.

use alloc::vec::Vec;

use protocol::cut::Effects as CutEffects;
use protocol::effect::Effect;

/// See the module.
#[derive(Debug)]
pub(crate) struct Effects {
    on: bool,
    max: usize,
    rows: Vec<Effect>,
    lost: bool,
}

impl Effects {
    /// Kept if `on`, at most `max`.
    pub(crate) const fn new(on: bool, max: usize) -> Self {
        Self { on, max, rows: Vec::new(), lost: false }
    }

    /// Whether effects are wanted.
    #[inline]
    pub(crate) const fn is_on(&self) -> bool {
        self.on
    }

    /// Adds one.
    pub(crate) fn push(&mut self, effect: Effect) {
        if self.lost {
            return;
        }
        if self.rows.len() >= self.max {
            self.lost = true;
            self.rows = Vec::new();
            return;
        }
        self.rows.push(effect);
    }

    /// What there is, if everything is.
    pub(crate) fn rows(&self) -> Option<&[Effect]> {
        (self.on && !self.lost).then_some(&*self.rows)
    }

    /// Where a chain begins.
    pub(crate) const fn mark(&self) -> usize {
        self.rows.len()
    }

    /// Takes back what came after `mark`.
    pub(crate) fn truncate(&mut self, mark: usize) {
        self.rows.truncate(mark);
    }

    /// Hands over what there is and begins anew.
    pub(crate) fn take(&mut self) -> CutEffects {
        // The next cut will be about as large: it need not be copied as it grows.
        let next = Vec::with_capacity(self.rows.len());
        let rows = core::mem::replace(&mut self.rows, next);
        let lost = core::mem::replace(&mut self.lost, false);
        match (self.on, lost) {
            (false, _) => CutEffects::Off,
            (true, true) => CutEffects::Rebuild,
            (true, false) => CutEffects::All(rows),
        }
    }
}
