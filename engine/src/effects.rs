//! Effects as they are wanted: since the last cut, when history is on, and as a feed, of whom
//! somebody follows. Local: nothing here changes an outcome.
//!
//! The invariant: either every posting since the last cut is here in order, or none is promised;
//! and of what is followed every effect is here until it was taken.

use alloc::vec::Vec;

use protocol::cut::Effects as CutEffects;
use protocol::effect::Effect;
use protocol::feed::Interest;
use protocol::{OwnerId, system};

/// See the module.
#[derive(Debug)]
pub(crate) struct Effects {
    /// Somebody wants effects.
    on: bool,
    /// Somebody wants each of them.
    takes_all: bool,
    follows_system: bool,
    history: bool,
    max: usize,
    rows: Vec<Effect>,
    lost: bool,
    interest: Option<Interest>,
    followed: Vec<Effect>,
}

/// Where a chain begins.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark {
    rows: usize,
    followed: usize,
}

impl Effects {
    /// Kept for cuts if `history`, at most `max`.
    pub(crate) const fn new(history: bool, max: usize) -> Self {
        Self {
            on: history,
            takes_all: history,
            follows_system: false,
            history,
            max,
            rows: Vec::new(),
            lost: false,
            interest: None,
            followed: Vec::new(),
        }
    }

    /// Whether effects are wanted.
    #[inline]
    pub(crate) const fn is_on(&self) -> bool {
        self.on
    }

    /// Whether every effect is kept or told, whoever it concerns.
    #[inline]
    pub(crate) const fn takes_all(&self) -> bool {
        self.takes_all
    }

    /// Whether everybody is followed.
    pub(crate) const fn is_all_followed(&self) -> bool {
        matches!(self.interest, Some(Interest::All))
    }

    /// Whether an owner of the frame's own accounts is among those that are followed.
    #[inline]
    pub(crate) const fn follows_system(&self) -> bool {
        self.follows_system
    }

    /// Whether an owner is one of those that are followed.
    pub(crate) fn is_of_followed(&self, owner: OwnerId) -> bool {
        matches!(&self.interest, Some(Interest::Owners(owners)) if owners.holds(owner))
    }

    /// Tells what is followed from now on; returns what was before.
    pub(crate) fn follow(&mut self, interest: Option<Interest>) -> Option<Interest> {
        let before = core::mem::replace(&mut self.interest, interest);
        self.on = self.history || self.interest.is_some();
        self.takes_all = self.history || self.is_all_followed();
        // Their ids are the lowest.
        self.follows_system = match &self.interest {
            Some(Interest::Owners(owners)) => owners.iter().next().is_some_and(system::is_system),
            Some(Interest::All) | None => false,
        };
        before
    }

    /// What was followed and not taken yet.
    pub(crate) fn followed(&self) -> &[Effect] {
        &self.followed
    }

    /// It was taken.
    pub(crate) fn clear_followed(&mut self) {
        self.followed.clear();
    }

    /// Adds one to whatever wants it.
    pub(crate) fn push(&mut self, effect: Effect) {
        let is_followed = self.interest.as_ref().is_some_and(|it| it.wants_effect(&effect));
        self.push_told(effect, is_followed);
    }

    /// Adds one of which it is known whether somebody follows it.
    pub(crate) fn push_told(&mut self, effect: Effect, is_followed: bool) {
        if is_followed {
            self.followed.push(effect);
        }
        if self.history {
            self.keep(effect);
        }
    }

    fn keep(&mut self, effect: Effect) {
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
        (self.history && !self.lost).then_some(&*self.rows)
    }

    /// Where a chain begins.
    pub(crate) const fn mark(&self) -> Mark {
        Mark { rows: self.rows.len(), followed: self.followed.len() }
    }

    /// Takes back what came after `mark`.
    pub(crate) fn truncate(&mut self, mark: Mark) {
        self.rows.truncate(mark.rows);
        self.followed.truncate(mark.followed);
    }

    /// Hands over what there is and begins anew.
    pub(crate) fn take(&mut self) -> CutEffects {
        // The next cut will be about as large: it need not be copied as it grows.
        let next = Vec::with_capacity(self.rows.len());
        let rows = core::mem::replace(&mut self.rows, next);
        let lost = core::mem::replace(&mut self.lost, false);
        match (self.history, lost) {
            (false, _) => CutEffects::Off,
            (true, true) => CutEffects::Rebuild,
            (true, false) => CutEffects::All(rows),
        }
    }
}
