//! The tail of the history in memory: what was told lately, the oldest dropped when it is full.
//!
//! It waits for nobody and knows no follower. Invariant: of what was of interest all the while,
//! everything behind the floor and through the end is here, in order; of an owner that is watched
//! its own floor, which what others do never raises.

use std::collections::{HashMap, VecDeque};

use protocol::OwnerId;
use protocol::feed::{Followed, Place};

use super::filter::{Filter, Whose};

/// Effects that one look goes over, whether they are wanted or not.
const LOOK_MAX: usize = 4_096;

/// See the module.
#[derive(Debug)]
pub(super) struct Tail {
    entries: VecDeque<Followed>,
    entries_max: usize,
    /// How many of them there is memory for.
    room: usize,
    /// Number of the first of them, counted from the start.
    first: u64,
    /// What lies at or before this sequence may be missing.
    floor: u64,
    /// Some of what lies at or before this sequence has never come.
    left_out: u64,
    /// What lies at or before this sequence has come.
    through: u64,
    /// Owners that are followed by themselves.
    of_owner: HashMap<OwnerId, Watched>,
}

/// Effects of one owner.
#[derive(Debug, Default)]
struct Watched {
    /// Their numbers.
    numbers: VecDeque<u64>,
    /// Those at or before this sequence were dropped.
    floor: u64,
}

impl Tail {
    pub(super) fn new(entries_max: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            entries_max: entries_max.max(1),
            room: 0,
            first: 0,
            floor: 0,
            left_out: 0,
            through: 0,
            of_owner: HashMap::new(),
        }
    }

    /// What lies at or before this sequence may be missing; of an owner that is watched, only what
    /// was its own.
    pub(super) fn floor_of(&self, whose: Whose) -> u64 {
        match whose {
            Whose::All => self.floor,
            Whose::Owner(owner) => {
                let watched = self.of_owner.get(&owner);
                watched.map_or(self.floor, |watched| watched.floor.max(self.left_out))
            }
        }
    }

    /// Behind this sequence there is so much that nobody loses it soon.
    pub(super) const fn middle(&self) -> u64 {
        self.floor + self.through.saturating_sub(self.floor) / 2
    }

    /// What lies at or before this sequence has come.
    pub(super) const fn through(&self) -> u64 {
        self.through
    }

    /// The effects of `owner` that come from now on will be looked for by themselves.
    pub(super) fn watch(&mut self, owner: OwnerId) {
        self.of_owner.entry(owner).or_default();
    }

    /// No longer.
    pub(super) fn unwatch(&mut self, owner: OwnerId) {
        self.of_owner.remove(&owner);
    }

    /// Adds what comes next; tells whose it is, of those that are watched.
    pub(super) fn append(&mut self, block: &[Followed], mut touched: impl FnMut(OwnerId)) {
        if self.entries.capacity() == 0 {
            self.reserve();
        }
        for followed in block {
            if self.entries.len() >= self.room {
                self.drop_first();
            }
            let number = self.first + self.entries.len() as u64;
            self.entries.push_back(*followed);
            if self.of_owner.is_empty() {
                continue;
            }
            let (debit, credit) = (followed.effect.debit, followed.effect.credit);
            for owner in [Some(debit), (credit != debit).then_some(credit)].into_iter().flatten() {
                if let Some(watched) = self.of_owner.get_mut(&owner) {
                    watched.numbers.push_back(number);
                    touched(owner);
                }
            }
        }
    }

    /// Some of what lies at or before `sequence` will not come.
    pub(super) fn leave_out(&mut self, sequence: u64) {
        if sequence > self.left_out {
            while self.entries.front().is_some_and(|one| one.effect.sequence <= sequence) {
                self.drop_first();
            }
            self.left_out = sequence;
            self.floor = self.floor.max(sequence);
        }
    }

    /// Everything through `through` has come, but for what was left out.
    pub(super) fn raise(&mut self, through: u64) {
        self.through = self.through.max(through);
    }

    /// Forgets everything, and gives its memory back.
    pub(super) fn clear(&mut self) {
        self.first += self.entries.len() as u64;
        self.entries = VecDeque::new();
        self.floor = self.floor.max(self.through);
        self.of_owner.clear();
    }

    /// Takes all its memory at once, for one that grows has half as much again for a moment; or as
    /// much as there is.
    fn reserve(&mut self) {
        self.room = self.entries_max;
        while self.entries.try_reserve_exact(self.room).is_err() && self.room > 1 {
            self.room /= 2;
        }
    }

    fn drop_first(&mut self) {
        let Some(gone) = self.entries.pop_front() else {
            return;
        };
        for owner in [gone.effect.debit, gone.effect.credit] {
            if let Some(watched) = self.of_owner.get_mut(&owner)
                && watched.numbers.front() == Some(&self.first)
            {
                watched.numbers.pop_front();
                watched.floor = watched.floor.max(gone.effect.sequence);
            }
        }
        self.first += 1;
        self.floor = self.floor.max(gone.effect.sequence);
    }

    /// Adds at most `max` wanted effects behind `place` to `out`; returns the place behind
    /// everything that was looked at.
    pub(super) fn collect(
        &self,
        filter: &Filter,
        place: Place,
        max: usize,
        out: &mut Vec<Followed>,
    ) -> Place {
        match filter.whose {
            Whose::All => {
                let from = self.entries.partition_point(|one| one.place() <= place);
                let looked = self.entries.range(from..).take(LOOK_MAX);
                choose(looked, filter, place, max, out)
            }
            Whose::Owner(owner) => {
                let Some(Watched { numbers, .. }) = self.of_owner.get(&owner) else {
                    return place;
                };
                let entry = |number: &u64| {
                    let at = usize::try_from(number - self.first).unwrap_or(usize::MAX);
                    self.entries.get(at)
                };
                let from = numbers
                    .partition_point(|number| entry(number).is_some_and(|it| it.place() <= place));
                let looked = numbers.range(from..).filter_map(entry).take(LOOK_MAX);
                choose(looked, filter, place, max, out)
            }
        }
    }
}

fn choose<'a>(
    looked: impl Iterator<Item = &'a Followed>,
    filter: &Filter,
    mut place: Place,
    max: usize,
    out: &mut Vec<Followed>,
) -> Place {
    let mut count = 0;
    for followed in looked {
        if count >= max {
            break;
        }
        if filter.takes(followed) {
            out.push(*followed);
            count += 1;
        }
        place = followed.place();
    }
    place
}

#[cfg(test)]
#[path = "tail_test.rs"]
mod tests;
