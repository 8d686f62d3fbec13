//! What the load does: batches of commands with the intent behind each, so that answers can be
//! booked into the model. Seeded; knows no network and no clock.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use protocol::ids::NATIVE;
use protocol::reply::Outcome;
use protocol::{Command, CommandId, OwnerId};

use crate::model::{Model, OpenHold};
use crate::random::Random;
use crate::skew::{Chooser, Skew};

/// Largest amount of a payment, in minor units: small against what each account is given.
const AMOUNT_MAX: u32 = 10_000;
/// Open holds that one planner keeps at most; beyond it captures and releases only.
const OPEN_HOLDS_MAX: usize = 20_000;
/// Lifetime of the holds that are left to expire.
pub const EXPIRING_MS: u32 = 2_000;

/// Shares of the load, in percent; what is left is plain transfers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mix {
    /// Holds with their captures and releases.
    pub holds: u8,
    /// Reads of accounts.
    pub reads: u8,
}

/// What a command was sent for, in 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Intent {
    Transfer {
        debit: u32,
        credit: u32,
        amount: u32,
    },
    /// A hold to be captured or released later, or left to expire.
    Hold {
        debit: u32,
        credit: u32,
        amount: u32,
        expires: bool,
    },
    /// Of the batch's `ended` hold at that place; all of it, or this much.
    Capture {
        hold: u32,
        amount: Option<NonZeroU32>,
    },
    Release {
        hold: u32,
    },
}

const _: () = assert!(size_of::<Intent>() == 16);

/// What each command of one request was sent for: enough to book its answer, and to make the same
/// commands again. Use it again for another request.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    seed: u64,
    /// Id of the first command; those of the others follow it.
    first_id: u128,
    intents: Vec<Intent>,
    ended: Vec<OpenHold>,
}

impl Batch {
    /// Commands in it.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.intents.len()
    }

    /// Whether it has no command.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.intents.is_empty()
    }

    /// The commands, with the ids that they were planned with.
    #[must_use]
    pub fn commands(&self) -> Vec<Command> {
        (0..self.intents.len()).map(|at| self.command(at)).collect()
    }

    fn id(&self, at: usize) -> CommandId {
        // The counter is the lower 32 bits; it may start again at 0.
        let counter = (self.first_id as u32).wrapping_add(at as u32);
        CommandId((self.first_id & !u128::from(u32::MAX)) | u128::from(counter))
    }

    fn command(&self, at: usize) -> Command {
        let id = self.id(at);
        let of = |place| owner(self.seed, place);
        match self.intents[at] {
            Intent::Transfer { debit, credit, amount } => {
                Command::transfer(id, of(debit), of(credit), NATIVE, amount.into())
            }
            Intent::Hold { debit, credit, amount, expires } => {
                let timeout_ms = if expires { EXPIRING_MS } else { 0 };
                Command::hold(id, of(debit), of(credit), NATIVE, amount.into(), timeout_ms)
            }
            Intent::Capture { hold, amount } => {
                let amount = amount.map(|amount| amount.get().into());
                Command::capture(id, &self.hold_command(hold), amount)
            }
            Intent::Release { hold } => Command::release(id, &self.hold_command(hold)),
        }
    }

    fn hold_command(&self, hold: u32) -> Command {
        let OpenHold { id, debit, credit, amount, .. } = self.ended[hold as usize];
        let (from, to) = (owner(self.seed, debit), owner(self.seed, credit));
        Command::hold(CommandId(id), from, to, NATIVE, amount.into(), 0)
    }
}

/// The owners of the load: `seed` and place give the same owner anywhere.
#[must_use]
pub fn owner(seed: u64, place: u32) -> OwnerId {
    let mut random = Random::new(seed ^ (u64::from(place) << 32));
    let high = u128::from(random.next() | 1);
    let bits = (high << 64) | u128::from(random.next());
    // Version 4, variant 10: a UUID like any other.
    (bits & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62)
}

/// Makes the batches of one connection.
#[derive(Debug)]
pub struct Planner {
    seed: u64,
    chooser: Chooser,
    random: Random,
    holds_percent: u64,
    ids: u128,
    open: VecDeque<OpenHold>,
    expiring: Vec<OpenHold>,
}

impl Planner {
    /// Of connection `connection` of the load `seed` over `accounts` accounts.
    #[must_use]
    pub fn new(seed: u64, connection: u16, accounts: u32, skew: Skew, mix: Mix) -> Self {
        let stream = seed.wrapping_mul(31).wrapping_add(u64::from(connection) + 1);
        let mut random = Random::new(stream);
        let salt = u128::from(random.next()) & 0xffff_ffff;
        Self {
            seed,
            chooser: Chooser::new(skew, accounts),
            random,
            holds_percent: u64::from(mix.holds),
            // 80 bits: salt 32, connection 16, counter 32.
            ids: (salt << 48) | (u128::from(connection) << 32),
            open: VecDeque::new(),
            expiring: Vec::new(),
        }
    }

    /// The next `count` commands, made at `now_ms` (Unix milliseconds of the frame's time).
    pub fn batch(&mut self, count: usize, now_ms: u64) -> Batch {
        let mut batch = Batch::default();
        self.plan(count, now_ms, &mut batch, |_| ());
        batch
    }

    /// As [`Self::batch`], over what `batch` held; each command is handed to `write` once.
    pub fn plan(
        &mut self,
        count: usize,
        now_ms: u64,
        batch: &mut Batch,
        mut write: impl FnMut(&Command),
    ) {
        batch.seed = self.seed;
        batch.first_id = CommandId::new(now_ms, self.ids).0;
        batch.intents.clear();
        batch.ended.clear();
        for at in 0..count {
            let is_hold = self.holds_percent > 0 && self.random.below(100) < self.holds_percent;
            let intent = if is_hold { self.hold_step(batch) } else { self.transfer() };
            batch.intents.push(intent);
            write(&batch.command(at));
        }
        let counter = (self.ids as u32).wrapping_add(count as u32);
        self.ids = (self.ids & !u128::from(u32::MAX)) | u128::from(counter);
    }

    fn amount_below(&mut self, above_max: u32) -> u32 {
        2 + self.random.below(u64::from(above_max) - 1) as u32
    }

    fn transfer(&mut self) -> Intent {
        let (debit, credit) = self.chooser.pair(&mut self.random);
        Intent::Transfer { debit, credit, amount: self.amount_below(AMOUNT_MAX) }
    }

    /// A new hold, or the end of an acknowledged one.
    fn hold_step(&mut self, batch: &mut Batch) -> Intent {
        let end_one = self.open.len() >= OPEN_HOLDS_MAX || self.random.next() & 1 == 0;
        let ended = if end_one { self.open.pop_front() } else { None };
        let Some(ended) = ended else {
            let (debit, credit) = self.chooser.pair(&mut self.random);
            let amount = self.amount_below(AMOUNT_MAX);
            return Intent::Hold { debit, credit, amount, expires: self.random.below(10) == 0 };
        };
        let hold = batch.ended.len() as u32;
        batch.ended.push(ended);
        match self.random.below(10) {
            0..=2 => Intent::Release { hold },
            3..=5 => {
                Intent::Capture { hold, amount: NonZeroU32::new(self.amount_below(ended.amount)) }
            }
            _ => Intent::Capture { hold, amount: None },
        }
    }

    /// Books the answers to a batch: what was executed changes `model`, and holds that were placed
    /// can be captured from now on. Call it once a batch, whichever attempt was answered.
    pub fn book(&mut self, batch: &Batch, outcomes: &[Outcome], model: &mut Model) {
        assert_eq!(batch.intents.len(), outcomes.len(), "one outcome a command");
        for (at, (intent, outcome)) in batch.intents.iter().zip(outcomes).enumerate() {
            if !outcome.status.is_ok() {
                continue;
            }
            match *intent {
                Intent::Transfer { debit, credit, amount } => {
                    model.transfer(debit, credit, amount, outcome.rate);
                }
                Intent::Hold { debit, credit, amount, expires } => {
                    let (id, rate) = (batch.id(at).0, outcome.rate);
                    let hold = OpenHold { id, debit, credit, amount, rate };
                    model.hold(&hold);
                    if expires {
                        self.expiring.push(hold);
                    } else {
                        self.open.push_back(hold);
                    }
                }
                Intent::Capture { hold, amount } => {
                    let hold = &batch.ended[hold as usize];
                    model.capture(hold, amount.map_or(hold.amount, NonZeroU32::get));
                }
                Intent::Release { hold } => model.release(&batch.ended[hold as usize]),
            }
        }
    }

    /// Books the expiry of every hold that was left to expire; the caller waits until their time
    /// has passed on the frame.
    pub fn expire(&mut self, model: &mut Model) {
        for hold in self.expiring.drain(..) {
            model.release(&hold);
        }
    }

    /// Whether holds are waiting to expire.
    #[must_use]
    pub fn has_expiring(&self) -> bool {
        !self.expiring.is_empty()
    }
}

/// Reads of `count` accounts.
#[must_use]
pub fn reads(seed: u64, accounts: u32, count: usize, random: &mut Random) -> Vec<Command> {
    let place = |random: &mut Random| u32::try_from(random.below(u64::from(accounts))).unwrap_or(0);
    (0..count)
        .map(|_| Command {
            debit: owner(seed, place(random)),
            asset: NATIVE,
            ..Command::new(protocol::Kind::ReadAccount, CommandId(0))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Status;

    #[test]
    fn ids_never_repeat_and_owners_are_no_system_accounts() {
        let mut planner = Planner::new(7, 3, 100, Skew::Uniform, Mix { holds: 30, reads: 0 });
        let mut ids: Vec<u128> =
            planner.batch(5_000, 1_000).commands().iter().map(|command| command.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 5_000);
        for place in 0..1_000 {
            assert!(!protocol::system::is_system(owner(7, place)));
        }
        assert_eq!(owner(7, 5), owner(7, 5));
        assert_ne!(owner(7, 5), owner(8, 5));
    }

    #[test]
    fn a_batch_makes_the_commands_that_were_written_again() {
        let mut planner = Planner::new(7, 1, 50, Skew::Uniform, Mix { holds: 60, reads: 0 });
        let mut model = Model::new(50, 5_000);
        // The counter of ids starts again within the third batch.
        planner.ids |= u128::from(u32::MAX - 500);
        let mut batch = Batch::default();
        let mut ends = 0;
        for round in 0..6 {
            let mut written = Vec::new();
            planner.plan(200, 1_000 + round, &mut batch, |command| written.push(*command));
            assert_eq!(batch.commands(), written);
            ends += batch.ended.len();
            let ok = Outcome { sequence: 1, status: Status::Ok, rate: 5_000, repeat: false };
            planner.book(&batch, &[ok; 200], &mut model);
        }
        assert!(ends > 50, "{ends} holds were ended");
    }

    #[test]
    fn booked_answers_conserve_units() {
        let mut planner = Planner::new(7, 0, 50, Skew::Zipfian, Mix { holds: 50, reads: 0 });
        let mut model = Model::new(50, 5_000);
        for place in 0..50 {
            model.issue(place, 1_000_000);
        }
        for round in 0..20 {
            let batch = planner.batch(200, 1_000 + round);
            let outcomes: Vec<Outcome> = (0..200)
                .map(|at| Outcome {
                    sequence: at,
                    status: if at % 7 == 0 { Status::InsufficientFunds } else { Status::Ok },
                    rate: 5_000 + (at as u16 % 3) * 100,
                    repeat: false,
                })
                .collect();
            planner.book(&batch, &outcomes, &mut model);
        }
        assert!(planner.has_expiring());
        planner.expire(&mut model);
        assert_eq!(model.total(), model.issued);
    }
}
