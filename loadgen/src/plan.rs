//! What the load does: batches of commands with the intent behind each, so that answers can be
//! booked into the model. Seeded; knows no network and no clock.

use std::collections::VecDeque;

use protocol::reply::Outcome;
use protocol::{AssetId, Command, CommandId, OwnerId};

use crate::model::{Model, OpenHold};
use crate::random::Random;
use crate::skew::{Chooser, Skew};

/// Largest amount of a payment, in minor units: small against what each account is given.
const AMOUNT_MAX: u64 = 10_000;
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

/// What a command was sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// A payment.
    Transfer {
        /// Place of the debtor.
        debit: u32,
        /// Place of the creditor.
        credit: u32,
        /// Minor units.
        amount: u128,
    },
    /// A hold to be captured or released later, or left to expire.
    Hold {
        /// The hold, its rate still unknown.
        hold: OpenHold,
        /// Whether it is left to expire.
        expires: bool,
    },
    /// A capture.
    Capture {
        /// The hold.
        hold: OpenHold,
        /// Minor units.
        amount: u128,
    },
    /// A release.
    Release {
        /// The hold.
        hold: OpenHold,
    },
}

/// Commands of one request and what each was sent for.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The commands, all with new ids.
    pub commands: Vec<Command>,
    /// One a command.
    pub intents: Vec<Intent>,
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
    asset: AssetId,
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
            asset: protocol::ids::NATIVE,
            chooser: Chooser::new(skew, accounts),
            random,
            holds_percent: u64::from(mix.holds),
            // 80 bits: salt 32, connection 16, counter 32.
            ids: (salt << 48) | (u128::from(connection) << 32),
            open: VecDeque::new(),
            expiring: Vec::new(),
        }
    }

    fn id(&mut self, now_ms: u64) -> CommandId {
        let counter = (self.ids as u32).wrapping_add(1);
        self.ids = (self.ids & !u128::from(u32::MAX)) | u128::from(counter);
        CommandId::new(now_ms, self.ids)
    }

    /// The next `count` commands, made at `now_ms` (Unix milliseconds of the frame's time).
    pub fn batch(&mut self, count: usize, now_ms: u64) -> Batch {
        let mut batch =
            Batch { commands: Vec::with_capacity(count), intents: Vec::with_capacity(count) };
        for _ in 0..count {
            let (command, intent) = if self.random.below(100) < self.holds_percent {
                self.hold_step(now_ms)
            } else {
                self.transfer(now_ms)
            };
            batch.commands.push(command);
            batch.intents.push(intent);
        }
        batch
    }

    fn transfer(&mut self, now_ms: u64) -> (Command, Intent) {
        let (debit, credit) = self.chooser.pair(&mut self.random);
        let amount = u128::from(2 + self.random.below(AMOUNT_MAX - 1));
        let id = self.id(now_ms);
        let (from, to) = (owner(self.seed, debit), owner(self.seed, credit));
        let command = Command::transfer(id, from, to, self.asset, amount);
        (command, Intent::Transfer { debit, credit, amount })
    }

    /// A new hold, or the end of an acknowledged one.
    fn hold_step(&mut self, now_ms: u64) -> (Command, Intent) {
        let end_one = self.open.len() >= OPEN_HOLDS_MAX || self.random.next() & 1 == 0;
        let ended = if end_one { self.open.pop_front() } else { None };
        let Some(hold) = ended else {
            return self.hold(now_ms);
        };
        let id = self.id(now_ms);
        let target = self.hold_command(&hold);
        match self.random.below(10) {
            0..=2 => (Command::release(id, &target), Intent::Release { hold }),
            3..=5 => {
                let amount = u128::from(2 + self.random.below(hold.amount as u64 - 1));
                (Command::capture(id, &target, Some(amount)), Intent::Capture { hold, amount })
            }
            _ => {
                let amount = hold.amount;
                (Command::capture(id, &target, None), Intent::Capture { hold, amount })
            }
        }
    }

    fn hold(&mut self, now_ms: u64) -> (Command, Intent) {
        let (debit, credit) = self.chooser.pair(&mut self.random);
        let amount = u128::from(2 + self.random.below(AMOUNT_MAX - 1));
        let expires = self.random.below(10) == 0;
        let id = self.id(now_ms);
        let hold = OpenHold { id: id.0, debit, credit, amount, rate: 0 };
        let timeout_ms = if expires { EXPIRING_MS } else { 0 };
        let command = Command { timeout_ms, ..self.hold_command(&hold) };
        (command, Intent::Hold { hold, expires })
    }

    fn hold_command(&self, hold: &OpenHold) -> Command {
        let (from, to) = (owner(self.seed, hold.debit), owner(self.seed, hold.credit));
        Command::hold(CommandId(hold.id), from, to, self.asset, hold.amount, 0)
    }

    /// Books the answers to a batch: what was executed changes `model`, and holds that were placed
    /// can be captured from now on. Call it once a batch, whichever attempt was answered.
    pub fn book(&mut self, batch: &Batch, outcomes: &[Outcome], model: &mut Model) {
        assert_eq!(batch.intents.len(), outcomes.len(), "one outcome a command");
        for (intent, outcome) in batch.intents.iter().zip(outcomes) {
            if !outcome.status.is_ok() {
                continue;
            }
            match *intent {
                Intent::Transfer { debit, credit, amount } => {
                    model.transfer(debit, credit, amount, outcome.rate);
                }
                Intent::Hold { hold, expires } => {
                    let hold = OpenHold { rate: outcome.rate, ..hold };
                    model.hold(&hold);
                    if expires {
                        self.expiring.push(hold);
                    } else {
                        self.open.push_back(hold);
                    }
                }
                Intent::Capture { hold, amount } => model.capture(&hold, amount),
                Intent::Release { hold } => model.release(&hold),
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
            asset: protocol::ids::NATIVE,
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
            planner.batch(5_000, 1_000).commands.iter().map(|command| command.id).collect();
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
