//! Full requests of which 30 % are holds and their ends, as the load generator mixes them: half of
//! those place one, the others capture or release the oldest, and one hold in ten is left to
//! expire. Seeded.

use std::collections::VecDeque;

use protocol::Command;

use super::book::{BATCH, Bench};

/// Lifetime of the holds that are left to expire.
const EXPIRING_MS: u32 = 2_000;
const AMOUNT: u128 = 1_000_000;

/// The holds that were placed and not ended.
#[derive(Default)]
pub(crate) struct Mix {
    open: VecDeque<Command>,
}

impl Mix {
    /// A request for the next record; holds of earlier ones alone are ended.
    pub(crate) fn request(&mut self, bench: &mut Bench) -> Vec<Command> {
        let mut placed = Vec::new();
        let slots = (0..BATCH)
            .map(|_| match bench.random(100) {
                0..30 => self.hold_step(bench, &mut placed),
                _ => {
                    let (debit, credit) = bench.pair();
                    Command::transfer(bench.id(), debit, credit, 1, AMOUNT)
                }
            })
            .collect();
        self.open.extend(placed);
        slots
    }

    /// The end of the oldest hold, or a new one, which will be ended if it is not to expire.
    fn hold_step(&mut self, bench: &mut Bench, placed: &mut Vec<Command>) -> Command {
        let id = bench.id();
        let ends_one = bench.random(2) == 0;
        if let Some(hold) = self.open.pop_front_if(|_| ends_one) {
            return match bench.random(10) {
                0..3 => Command::release(id, &hold),
                3..6 => Command::capture(id, &hold, Some(AMOUNT / 2)),
                _ => Command::capture(id, &hold, None),
            };
        }
        let (debit, credit) = bench.pair();
        let expires = bench.random(10) == 0;
        let timeout_ms = if expires { EXPIRING_MS } else { 0 };
        let hold = Command::hold(id, debit, credit, 1, AMOUNT, timeout_ms);
        placed.extend((!expires).then_some(hold));
        hold
    }
}
