//! Postings: the one place where a bucket changes, together with the running sums and the effect.
//!
//! It judges nothing: rules are checked before the first posting of an entry. The invariant
//! (INV5): every posting takes from one side what it gives to the other.

use core::iter;

use protocol::effect::{Bucket, Effect, Event};
use protocol::{AssetId, OwnerId};

use crate::accounts::{Hot, NONE, bits};
use crate::engine::Engine;
use crate::supply::Shift;
use crate::undo::Step;

/// One side of a posting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side {
    account: u32,
    bucket: Bucket,
}

impl Side {
    /// The supply counters: units enter from it when debited and leave to it when credited.
    pub(crate) const COUNTER: Self = Self { account: NONE, bucket: Bucket::Counter };

    /// Liquid of an account.
    pub(crate) const fn liquid(account: u32) -> Self {
        Self { account, bucket: Bucket::Liquid }
    }

    /// Held of an account.
    pub(crate) const fn held(account: u32) -> Self {
        Self { account, bucket: Bucket::Held }
    }
}

/// What every effect of a command carries.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Note {
    /// The hold or original named.
    pub(crate) reference: u128,
    /// The client's own.
    pub(crate) user_data: u64,
    /// Rate.
    pub(crate) rate: u32,
}

/// An amount as it is added to balances.
#[inline]
fn units(amount: u128) -> i128 {
    i128::try_from(amount).expect("amounts are at most 2^127 - 1")
}

impl Engine {
    /// Notes that an account is about to change, for the open cut and the next one.
    #[inline]
    fn note_first_change(&mut self, number: u32) {
        if !self.changes.is_noted(self.accounts.hot(number).flags) {
            self.note_change(number);
        }
    }

    /// The hot line of an account about to change.
    #[inline]
    pub(crate) fn change(&mut self, number: u32) -> &mut Hot {
        if self.undo.is_recording() {
            let step =
                Step::Account(number, *self.accounts.hot(number), *self.accounts.cold(number));
            self.undo.note(|| step);
        }
        self.note_first_change(number);
        let sequence = self.sequence;
        let hot = self.accounts.hot_mut(number);
        hot.sequence = sequence;
        hot
    }

    /// Moves `amount`, more than 0, from one bucket to another of the same asset.
    pub(crate) fn post(&mut self, event: Event, debit: Side, credit: Side, amount: u128) {
        let units = units(amount);
        assert!(units > 0, "a posting moves something");
        let known = if debit.account == NONE { credit.account } else { debit.account };
        let place = self.accounts.hot(known).asset;
        if self.undo.is_recording() {
            let step = Step::Sums(place, self.assets.row(place).sums);
            self.undo.note(|| step);
        }
        self.posted = 0;
        let debit_after = self.shift(place, debit, -units);
        let credit_after = self.shift(place, credit, units);
        if self.effects.is_on() {
            if self.effects.takes_all() || self.posted & bits::FOLLOWED != 0 {
                let sides = ((debit, debit_after), (credit, credit_after));
                self.tell_posting((event, place), sides, amount);
            }
            // Effects keep their numbers whether they are told or not.
            self.leg += 1;
        }
    }

    /// Tells of a posting that was made in the asset at a place.
    fn tell_posting(
        &mut self,
        (event, place): (Event, u8),
        ((debit, debit_after), (credit, credit_after)): ((Side, i128), (Side, i128)),
        amount: u128,
    ) {
        let owner = |side: Side| match side.account {
            NONE => 0,
            number => self.accounts.hot(number).owner,
        };
        let effect = self.numbered(Effect {
            event: event.number(),
            asset: self.assets.row(place).id,
            debit: owner(debit),
            credit: owner(credit),
            amount,
            debit_after,
            credit_after,
            debit_bucket: debit.bucket as u8,
            credit_bucket: credit.bucket as u8,
            ..Effect::default()
        });
        let is_followed = self.posted & bits::FOLLOWED != 0 || self.effects.is_all_followed();
        self.effects.push_told(effect, is_followed);
    }

    /// Pays `to` and fees out of liquid of one account, a posting each; fees of nothing are left
    /// out. All are of the asset at one place; `flags` are those of the debtor and of whom it pays.
    /// Returns liquid of both.
    ///
    /// # Panics
    ///
    /// If what is paid is not `loss`, what the debtor was judged to lose (INV5).
    #[inline(always)]
    pub(crate) fn pay<const N: usize>(
        &mut self,
        (asset, debtor, loss): (u8, u32, u128),
        to: (u32, u128),
        fees: [(u32, u128); N],
        flags: u8,
    ) -> (i128, i128) {
        if self.effects.is_on() || self.undo.is_recording() {
            if self.undo.is_recording() || self.is_told(flags, &fees) {
                return self.pay_singly(debtor, to, fees);
            }
            // As if they were told.
            self.leg += fees.iter().fold(1, |legs, fee| legs + u16::from(fee.1 > 0));
        }
        // Nobody asks for the single postings: the debtor pays all of them at once.
        let mut total = units(to.1);
        let got = self.shift_liquid(to.0, asset, total);
        // Below zero if one of the accounts owes, before or after.
        let mut least = got.wrapping_sub(total);
        // What it changed to, and by how much, in the order of the changes.
        let mut made = [(0, 0); N];
        for (made, (account, fee)) in made.iter_mut().zip(fees).filter(|(_, fee)| fee.1 > 0) {
            let fee = units(fee);
            *made = (self.shift_liquid(account, asset, fee), fee);
            least |= made.0.wrapping_sub(fee);
            total += fee;
        }
        assert!(total == units(loss), "INV5: units are neither lost nor invented");
        let paid = self.shift_liquid(debtor, asset, -total);
        if (least | paid) < 0 {
            let (first, last) = (iter::once((got, units(to.1))), iter::once((paid, -total)));
            self.count_debts(asset, first.chain(made).chain(last));
        }
        (paid, got)
    }

    /// Counts in the sums of an asset what its accounts owe after changes: what there was after
    /// each, and by how much it had changed. One account may be in several.
    #[cold]
    fn count_debts(&mut self, asset: u8, changes: impl Iterator<Item = (i128, i128)>) {
        let sums = &mut self.assets.row_mut(asset).sums;
        changes.for_each(|(after, units)| sums.add(Shift::new(after - units, after)));
    }

    /// As [`Self::pay`], with the effect of each posting, and what undoes it.
    #[inline(never)]
    fn pay_singly<const N: usize>(
        &mut self,
        debtor: u32,
        to: (u32, u128),
        fees: [(u32, u128); N],
    ) -> (i128, i128) {
        let from = Side::liquid(debtor);
        self.post(Event::TokensTransferred, from, Side::liquid(to.0), to.1);
        for (account, fee) in fees.into_iter().filter(|fee| fee.1 > 0) {
            self.post(Event::TransactionFeeCollected, from, Side::liquid(account), fee);
        }
        let liquid = |number| self.accounts.hot(number).liquid;
        (liquid(debtor), liquid(to.0))
    }

    /// Whether somebody wants to be told of a payment between accounts with these `flags`.
    #[inline(always)]
    fn is_told(&self, flags: u8, fees: &[(u32, u128)]) -> bool {
        let is_followed = |fee: &(u32, u128)| self.accounts.hot(fee.0).has(bits::FOLLOWED);
        self.effects.takes_all()
            || flags & bits::FOLLOWED != 0
            || self.effects.follows_system() && fees.iter().any(is_followed)
    }

    /// Changes liquid of an account; returns what is there afterwards.
    #[inline(always)]
    fn shift_liquid(&mut self, number: u32, asset: u8, units: i128) -> i128 {
        let sequence = self.sequence;
        let hot = self.accounts.hot_mut(number);
        if !self.changes.is_noted(hot.flags) {
            self.note_change(number);
            return self.shift_noted(number, asset, units);
        }
        hot.shift(asset, units, sequence)
    }

    /// As [`Self::shift_liquid`], once the change is noted.
    #[inline(never)]
    fn shift_noted(&mut self, number: u32, asset: u8, units: i128) -> i128 {
        self.accounts.hot_mut(number).shift(asset, units, self.sequence)
    }

    /// Changes one bucket and its sum; returns what is in it afterwards.
    #[inline]
    fn shift(&mut self, place: u8, side: Side, units: i128) -> i128 {
        match side.bucket {
            Bucket::Liquid => {
                let hot = self.change(side.account);
                assert!(hot.asset == place, "both sides are of one asset");
                let flags = hot.flags;
                let before = hot.liquid;
                let after = before + units;
                hot.liquid = after;
                self.posted |= flags;
                self.assets.row_mut(place).sums.add(Shift::new(before, after));
                after
            }
            Bucket::Held => {
                let hot = self.change(side.account);
                assert!(hot.asset == place, "both sides are of one asset");
                self.posted |= hot.flags;
                let held = &mut self.accounts.cold_mut(side.account).held;
                *held =
                    held.checked_add_signed(units).expect("a hold releases no more than it holds");
                let after = i128::try_from(*held).expect("supply is at most 2^120");
                let sums = &mut self.assets.row_mut(place).sums;
                sums.held =
                    sums.held.checked_add_signed(units).expect("the sum is at least each part");
                after
            }
            _ => {
                let sums = &mut self.assets.row_mut(place).sums;
                let counter = if units < 0 { &mut sums.issued } else { &mut sums.destroyed };
                counter.add(units.unsigned_abs());
                0
            }
        }
    }

    /// Tells of something that moved no units.
    pub(crate) fn tell(&mut self, event: Event, asset: AssetId, debit: OwnerId, credit: OwnerId) {
        if self.effects.is_on() {
            self.push_effect(Effect {
                event: event.number(),
                asset,
                debit,
                credit,
                ..Effect::default()
            });
        }
    }

    /// As [`Self::tell`], of something between two accounts that were just changed: their lines say
    /// whether somebody follows an owner.
    pub(crate) fn tell_between(&mut self, event: Event, debtor: u32, creditor: u32) {
        if !self.effects.is_on() {
            return;
        }
        let (debit, credit) = (self.accounts.hot(debtor), self.accounts.hot(creditor));
        let is_marked = (debit.flags | credit.flags) & bits::FOLLOWED != 0;
        let is_followed = is_marked || self.effects.is_all_followed();
        if is_followed || self.effects.takes_all() {
            let effect = self.numbered(Effect {
                event: event.number(),
                asset: self.assets.row(debit.asset).id,
                debit: debit.owner,
                credit: credit.owner,
                ..Effect::default()
            });
            self.effects.push_told(effect, is_followed);
        }
        // Effects keep their numbers whether they are told or not.
        self.leg += 1;
    }

    /// Adds an effect of the command that runs, with its note.
    pub(crate) fn push_effect(&mut self, effect: Effect) {
        self.effects.push(self.numbered(effect));
        self.leg += 1;
    }

    /// An effect of the command that runs, with its note.
    fn numbered(&self, effect: Effect) -> Effect {
        let Note { reference, user_data, rate } = self.note;
        Effect { sequence: self.sequence, leg: self.leg, reference, user_data, rate, ..effect }
    }

    /// What the digest says of the two accounts of a command.
    #[inline]
    pub(crate) fn balances(&mut self, debtor: Option<u32>, creditor: Option<u32>) {
        let liquid =
            |number: Option<u32>| number.map_or(0, |number| self.accounts.hot(number).liquid);
        self.after = (liquid(debtor), liquid(creditor));
    }
}
