//! What a chain changed, so that it can be taken back whole.
//!
//! It never judges. The invariant: restored in reverse, every money fact is as before the chain;
//! dirty marks may stay.

use alloc::vec::Vec;

use protocol::OwnerId;

use crate::accounts::{Cold, Hot, bits};
use crate::effects::Mark;
use crate::engine::Engine;
use crate::holds::Hold;
use crate::hosts::Host;
use crate::owners::Owner;
use crate::supply::Sums;
use crate::velocity::Entry;

/// One reversal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Both lines of an account as they were.
    Account(u32, Hot, Cold),
    /// Sums of an asset as they were.
    Sums(u8, Sums),
    /// The last account was added.
    AccountAdded,
    /// An owner as it was.
    Owner(u32, Owner),
    /// The last owner was added, with this id.
    OwnerAdded(OwnerId),
    /// A host as it was.
    Host(u16, Host),
    /// The last host was added.
    HostAdded,
    /// An entry of the velocity table as it was.
    Velocity(Entry),
    /// This hold was placed.
    HoldPlaced(Hold),
    /// This hold, as it was, ended.
    HoldEnded(Hold),
    /// This hold, as it was, lost some of what was left.
    HoldCaptured(Hold),
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Undo {
    recording: bool,
    steps: Vec<Step>,
    effects: Mark,
    changes: usize,
    money_moved: bool,
}

impl Undo {
    /// Whether a chain runs.
    #[inline]
    pub(crate) const fn is_recording(&self) -> bool {
        self.recording
    }

    /// Notes a reversal if a chain runs.
    #[inline]
    pub(crate) fn note(&mut self, step: impl FnOnce() -> Step) {
        if self.recording {
            self.steps.push(step());
        }
    }
}

impl Engine {
    /// A chain begins.
    pub(crate) fn begin_chain(&mut self) {
        assert!(!self.undo.recording, "one chain runs at a time");
        self.undo.recording = true;
        self.undo.steps.clear();
        self.undo.effects = self.effects.mark();
        self.undo.changes = self.changes.mark();
        self.undo.money_moved = self.money_moved;
    }

    /// The chain stands.
    pub(crate) fn keep_chain(&mut self) {
        self.undo.recording = false;
    }

    /// Nothing of the chain happened.
    pub(crate) fn undo_chain(&mut self) {
        self.undo.recording = false;
        while let Some(step) = self.undo.steps.pop() {
            self.restore(step);
        }
        let rows = self.accounts.len();
        self.changes.forget_from(self.undo.changes, rows);
        self.effects.truncate(self.undo.effects);
        self.money_moved = self.undo.money_moved;
        self.find_caller_host();
    }

    fn restore(&mut self, step: Step) {
        match step {
            Step::Account(number, hot, cold) => {
                let place = self.accounts.hot_mut(number);
                let flags = (hot.flags & !bits::LOCAL) | (place.flags & bits::LOCAL);
                *place = Hot { flags, ..hot };
                self.accounts.set_cold(number, cold);
            }
            Step::Sums(place, sums) => self.assets.row_mut(place).sums = sums,
            Step::AccountAdded => {
                let assets = &self.assets;
                let hot = self.accounts.take_back(&self.hash, |place| assets.row(place).id);
                self.assets.row_mut(hot.asset).accounts -= 1;
            }
            Step::Owner(number, owner) => *self.owners.row_mut(number) = owner,
            Step::OwnerAdded(id) => self.owners.take_back(&self.hash, &self.accounts, id),
            Step::Host(number, host) => *self.hosts.row_mut(number) = host,
            Step::HostAdded => {
                self.hosts.take_back();
                for place in self.assets.places() {
                    let asset = self.assets.row_mut(place);
                    asset.collectors.pop();
                    asset.treasuries.pop();
                }
            }
            Step::Velocity(entry) => self.velocity.restore(entry),
            Step::HoldPlaced(hold) => {
                let slot = self.find_again(&hold);
                self.holds.remove(slot);
            }
            Step::HoldEnded(hold) => self.holds.insert(&self.hash, hold),
            Step::HoldCaptured(hold) => {
                let slot = self.find_again(&hold);
                self.holds.set_left(slot, hold.left);
            }
        }
    }

    fn find_again(&self, hold: &Hold) -> u32 {
        self.holds
            .find(&self.hash, hold.debtor, hold.id)
            .expect("steps are taken back in reverse, so the hold is there")
    }
}
