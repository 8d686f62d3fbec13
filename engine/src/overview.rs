//! The largest accounts of every asset, found in bounded steps between records, and the holds that
//! end next.
//!
//! What is found lies with whoever asks, so that nothing is kept here. Invariant: it changes
//! nothing, and a step looks at no more accounts than it is allowed.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use protocol::cut::AccountRow;
use protocol::overview::{DueHolds, HoldRow, Ranked, Ranking};

use crate::engine::Engine;

/// An account by its units, the least first; of equals the older goes last.
type Place = Reverse<(i128, Reverse<u32>)>;

/// A walk over every account, as far as it is.
#[derive(Debug)]
pub struct Survey {
    accounts_max: usize,
    /// Where it began, and how many accounts there were.
    begun: Option<(u64, usize)>,
    next: usize,
    /// Of every asset the largest so far.
    largest: Vec<BinaryHeap<Place>>,
}

impl Survey {
    /// A walk that has not begun, for at most `accounts_max` accounts of every asset.
    pub const fn new(accounts_max: usize) -> Self {
        Self { accounts_max, begun: None, next: 0, largest: Vec::new() }
    }
}

/// What a step of a survey comes to.
#[derive(Debug)]
pub enum Surveyed {
    /// There are more accounts.
    More(Survey),
    /// All were seen.
    Done(Ranking),
}

impl Engine {
    /// Goes on with a survey over up to `rows_max` accounts.
    ///
    /// # Panics
    ///
    /// Inside a record, or if `rows_max` is 0: it would never be done.
    pub fn survey(&self, mut survey: Survey, rows_max: usize) -> Surveyed {
        assert!(!self.in_record, "a survey goes on between records");
        assert!(rows_max > 0, "a step looks at one account at least");
        let (since, len) = *survey.begun.get_or_insert((self.executed, self.accounts.len()));
        survey.largest.resize_with(self.assets.len(), BinaryHeap::new);
        let stop = survey.next.saturating_add(rows_max).min(len);
        for place in survey.next..stop {
            let number = u32::try_from(place).expect("tables have at most 2^30 rows");
            let hot = self.accounts.hot(number);
            let units = hot.liquid.saturating_add_unsigned(self.accounts.cold(number).held);
            let largest = &mut survey.largest[usize::from(hot.asset)];
            let is_larger = largest.peek().is_none_or(|Reverse((least, _))| units > *least);
            if units <= 0 || (largest.len() >= survey.accounts_max && !is_larger) {
                continue;
            }
            largest.push(Reverse((units, Reverse(number))));
            if largest.len() > survey.accounts_max {
                largest.pop();
            }
        }
        survey.next = stop;
        if stop < len {
            return Surveyed::More(survey);
        }
        Surveyed::Done(self.ranking(since, &survey))
    }

    /// What was found, as it is now.
    fn ranking(&self, since: u64, survey: &Survey) -> Ranking {
        let row = |Reverse((_, Reverse(number))): &Place| {
            self.row(self.accounts.hot(*number), self.accounts.cold(*number))
        };
        let ranked = |(asset, found): (&crate::supply::Asset, &BinaryHeap<Place>)| {
            let mut accounts: Vec<_> = found.iter().map(row).collect();
            accounts.sort_unstable_by_key(|row| (Reverse(units(row)), row.owner));
            Ranked { asset: asset.id, scale: asset.scale, name: asset.name.clone(), accounts }
        };
        let mut assets: Vec<_> = self.assets.iter().zip(&survey.largest).map(ranked).collect();
        assets.sort_unstable_by_key(|ranked| ranked.asset);
        Ranking { since, sequence: self.executed, timestamp_ns: self.timestamp_ns(), assets }
    }

    /// The holds that end next, at most `holds_max`.
    pub fn due_holds(&self, holds_max: usize) -> DueHolds {
        let row = |hold: &crate::holds::Hold| {
            let debtor = self.accounts.hot(hold.debtor);
            let asset = self.assets.row(debtor.asset);
            HoldRow {
                id: hold.id,
                debit: debtor.owner,
                credit: self.accounts.hot(hold.creditor).owner,
                asset: asset.id,
                scale: asset.scale,
                amount: hold.amount,
                left: hold.left,
                expiry_ns: hold.expiry_ns,
                sequence: hold.sequence,
                rate: hold.rate,
                keep: hold.keep,
            }
        };
        DueHolds {
            sequence: self.executed,
            open: self.holds.len() as u64,
            holds: self.holds.soonest(holds_max).map(row).collect(),
        }
    }
}

/// By what accounts are ranked.
const fn units(row: &AccountRow) -> i128 {
    row.liquid.saturating_add_unsigned(row.held)
}
