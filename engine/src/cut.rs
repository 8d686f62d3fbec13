//! Cuts: which accounts changed since the last one, and their copy at one record boundary, made in
//! bounded steps while the engine runs on.
//!
//! It copies no row later than the row's first change after the boundary: that is the invariant.

use alloc::vec::Vec;
use protocol::Sequence;
use protocol::cut::{AccountRow, AccountRows, Cut};
use protocol::effect::Effect;

use crate::accounts::{Cold, Hot, bits};
use crate::chunks::Chunks;
use crate::engine::Engine;
use crate::limits::COPIED_AHEAD;

/// What changed since the last cut, and the cut that is open.
#[derive(Debug)]
pub(crate) struct Changes {
    /// Accounts marked with `bit`, each once. In chunks, for millions change between two cuts, and
    /// growing would copy all of them to memory that nobody has touched.
    list: Chunks<u32>,
    /// Which mark means changed since the last cut.
    bit: u8,
    /// Sequence through which earlier cuts reach.
    after: u64,
    open: Option<Open>,
    /// An account whose flags under `mask` are `want` needs no note of a change.
    mask: u8,
    want: u8,
}

#[derive(Debug)]
struct Open {
    cut: Cut,
    /// Accounts to copy; of a complete cut, the first `limit` accounts instead.
    list: Chunks<u32>,
    limit: usize,
    next: usize,
    /// The mark of an account in `list` that is not copied yet.
    bit: u8,
}

impl Open {
    const fn is_copied(&self) -> bool {
        self.next >= self.limit
    }
}

impl Changes {
    /// Nothing has changed.
    pub(crate) fn new() -> Self {
        Self {
            list: Chunks::default(),
            bit: bits::DIRTY_EVEN,
            after: 0,
            open: None,
            mask: bits::DIRTY_EVEN,
            want: bits::DIRTY_EVEN,
        }
    }

    /// Whether a change of an account with these flags is noted already.
    #[inline]
    pub(crate) const fn is_noted(&self, flags: u8) -> bool {
        flags & self.mask == self.want
    }

    /// Where a chain begins.
    pub(crate) const fn mark(&self) -> usize {
        self.list.len()
    }

    /// Forgets the accounts noted after `mark` that a chain took back.
    pub(crate) fn forget_from(&mut self, mark: usize, rows: usize) {
        let noted: Vec<u32> = (mark..self.list.len()).filter_map(|_| self.list.pop()).collect();
        let is_there = |number: &u32| (*number as usize) < rows;
        for number in noted.into_iter().rev().filter(is_there) {
            self.list.push(number);
        }
    }

    fn watch(&mut self) {
        (self.mask, self.want) = match &self.open {
            Some(open) if !open.is_copied() && open.cut.complete => (0, 1),
            Some(open) if !open.is_copied() => (self.bit | open.bit, self.bit),
            _ => (self.bit, self.bit),
        };
    }
}

impl Engine {
    /// The row of one account as cuts and audits show it.
    pub(crate) fn row(&self, hot: &Hot, cold: &Cold) -> AccountRow {
        AccountRow {
            owner: hot.owner,
            asset: self.assets.row(hot.asset).id,
            host: u32::from(hot.host),
            liquid: hot.liquid,
            held: cold.held,
            staked: 0,
            bonded: 0,
            minimum: cold.minimum,
            credit_limit: cold.credit_limit,
            flags: u32::from(hot.flags & bits::SHOWN),
        }
    }

    fn row_of(&self, number: u32) -> AccountRow {
        self.row(self.accounts.hot(number), self.accounts.cold(number))
    }

    /// Before an account changes: copies it into an open cut that still needs it, and lists it.
    pub(crate) fn note_change(&mut self, number: u32) {
        let flags = self.accounts.hot(number).flags;
        let mut row = None;
        if let Some(open) = &self.changes.open
            && !open.is_copied()
        {
            let place = number as usize;
            let waits = if open.cut.complete {
                (open.next..open.limit).contains(&place) && flags & bits::COPIED == 0
            } else {
                flags & open.bit != 0
            };
            if waits {
                row = Some(self.row_of(number));
            }
        }
        let hot = self.accounts.hot_mut(number);
        if let (Some(row), Some(open)) = (row, &mut self.changes.open) {
            open.cut.accounts.push(&row);
            if open.cut.complete {
                hot.flags |= bits::COPIED;
            } else {
                hot.flags &= !open.bit;
            }
        }
        if hot.flags & self.changes.bit == 0 {
            hot.flags |= self.changes.bit;
            self.changes.list.push(number);
        }
    }

    /// Opens a cut at this record boundary: the accounts that changed since the last one, or every
    /// account.
    ///
    /// # Panics
    ///
    /// Inside a record, or while another cut is open.
    pub fn open_cut(&mut self, complete: bool) {
        assert!(!self.in_record, "cuts are opened between records");
        assert!(self.changes.open.is_none(), "one cut is open at a time");
        let list = core::mem::take(&mut self.changes.list);
        let limit = if complete { self.accounts.len() } else { list.len() };
        let cut = Cut {
            frame: self.genesis.frame,
            epoch: 0,
            after: Sequence(self.changes.after),
            through: Sequence(self.executed),
            complete,
            timestamp: self.clock.timestamp_ns,
            chain_hash: [0; 32],
            run_digest: self.run_digest(),
            accounts: AccountRows::with_capacity(limit),
            supply: self.supply(),
            effects: self.effects.take(),
        };
        self.changes.open = Some(Open { cut, list, limit, next: 0, bit: self.changes.bit });
        self.changes.after = self.executed;
        self.changes.bit ^= bits::DIRTY_EVEN | bits::DIRTY_ODD;
        self.changes.watch();
    }

    /// Copies up to `rows_max` rows of the open cut. The cut when it is complete; `None` while it
    /// is not, or when none is open.
    ///
    /// # Panics
    ///
    /// If `rows_max` is 0: the cut would never be done.
    pub fn cut_step(&mut self, rows_max: usize) -> Option<Cut> {
        assert!(rows_max > 0, "a step copies at least one row");
        let mut open = self.changes.open.take()?;
        for _ in 0..rows_max {
            if open.is_copied() {
                break;
            }
            self.copy_next(&mut open);
        }
        let cut = if open.is_copied() {
            Some(open.cut)
        } else {
            self.changes.open = Some(open);
            None
        };
        self.changes.watch();
        cut
    }

    fn copy_next(&mut self, open: &mut Open) {
        let place = open.next;
        open.next += 1;
        let complete = open.cut.complete;
        let number = if complete {
            u32::try_from(place).expect("tables have at most 2^30 rows")
        } else {
            if let Some(&ahead) = open.list.get(place + COPIED_AHEAD) {
                self.accounts.prefetch_hot(ahead);
            }
            if let Some(&nearer) = open.list.get(place + COPIED_AHEAD / 2)
                && self.accounts.hot(nearer).has(bits::COLD)
            {
                self.accounts.prefetch_links(nearer);
            }
            *open.list.get(place).expect("the limit is the length of the list")
        };
        let flags = self.accounts.hot(number).flags;
        let waits = if complete { flags & bits::COPIED == 0 } else { flags & open.bit != 0 };
        if waits {
            open.cut.accounts.push(&self.row_of(number));
        }
        let hot = self.accounts.hot_mut(number);
        hot.flags &= !(open.bit | bits::COPIED);
    }

    /// Postings since the last cut, in order; `None` without history, or when they did not fit.
    pub fn postings(&self) -> Option<&[Effect]> {
        self.effects.rows()
    }

    /// Says that everything so far is settled elsewhere already: the next cut begins here.
    ///
    /// # Panics
    ///
    /// Inside a record, or while a cut is open.
    pub fn discard_changes(&mut self) {
        assert!(!self.in_record, "changes are discarded between records");
        assert!(self.changes.open.is_none(), "an open cut needs its changes");
        for &number in core::mem::take(&mut self.changes.list).iter() {
            self.accounts.hot_mut(number).flags &= !self.changes.bit;
        }
        self.effects.take();
        self.changes.after = self.executed;
    }
}
