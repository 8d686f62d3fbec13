//! Full requests of which 30 % are holds and their ends, as the load generator mixes them: half of
//! those place one, the others capture or release the oldest, and one hold in ten is left to
//! expire. Seeded.

use std::collections::VecDeque;

use protocol::Command;

use super::book::{BATCH, Bench, owner};

/// Lifetime of the holds that are left to expire.
const EXPIRING_MS: u32 = 2_000;
const AMOUNT: u128 = 1_000_000;

/// The holds that were placed.
pub(crate) struct Mix {
    accounts: u64,
    open: VecDeque<Command>,
    random: u64,
}

impl Mix {
    /// Between so many accounts.
    pub(crate) fn new(accounts: u64) -> Self {
        Self { accounts, open: VecDeque::new(), random: 1 }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    /// A request for the next record; holds of earlier ones alone are ended.
    pub(crate) fn request(&mut self, bench: &mut Bench) -> Vec<Command> {
        let mut placed = Vec::new();
        let slots = (0..BATCH)
            .map(|_| match self.random(100) {
                0..30 => self.hold_step(bench, &mut placed),
                _ => {
                    let (debit, credit) = self.pair();
                    Command::transfer(bench.id(), owner(debit), owner(credit), 1, AMOUNT)
                }
            })
            .collect();
        self.open.extend(placed);
        slots
    }

    fn pair(&mut self) -> (u64, u64) {
        let debit = self.random(self.accounts);
        (debit, (debit + 1 + self.random(self.accounts - 1)) % self.accounts)
    }

    /// The end of the oldest hold, or a new one, which will be ended if it is not to expire.
    fn hold_step(&mut self, bench: &mut Bench, placed: &mut Vec<Command>) -> Command {
        let id = bench.id();
        let ends_one = self.random(2) == 0;
        if let Some(hold) = self.open.pop_front_if(|_| ends_one) {
            return match self.random(10) {
                0..3 => Command::release(id, &hold),
                3..6 => Command::capture(id, &hold, Some(AMOUNT / 2)),
                _ => Command::capture(id, &hold, None),
            };
        }
        let (debit, credit) = self.pair();
        let expires = self.random(10) == 0;
        let timeout_ms = if expires { EXPIRING_MS } else { 0 };
        let hold = Command::hold(id, owner(debit), owner(credit), 1, AMOUNT, timeout_ms);
        placed.extend((!expires).then_some(hold));
        hold
    }
}
