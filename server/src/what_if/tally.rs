//! What differs between two replays of one journal: outcomes, rates, fees, accounts.
//!
//! It judges nothing. Invariant: the two sides are compared command by command of the same record.

use std::collections::BTreeMap;

use engine::Engine;
use pipeline::Step;
use protocol::cut::AccountRow;
use protocol::effect::Event;
use protocol::reply::Outcome;
use protocol::request::Commands;
use protocol::wide::Wide;
use protocol::{AssetId, Kind, OwnerId};

/// Outcomes that changed in the same way: the number of the kind, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Change {
    pub(super) kind: u16,
    pub(super) before: Word,
    pub(super) after: Word,
}

/// What a command was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Word {
    pub(super) status: u16,
    pub(super) is_repeat: bool,
}

/// How many, and the first of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) count: u64,
    pub(super) first: u64,
}

impl Group {
    const fn add(&mut self, sequence: u64) {
        if self.count == 0 {
            self.first = sequence;
        }
        self.count += 1;
    }
}

/// One command of the record at hand.
#[derive(Clone, Copy, Debug)]
struct Seen {
    kind: u16,
    sequence: u64,
    word: Word,
    rate: u16,
}

/// What differs so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    run: Vec<Seen>,
    other: Vec<Seen>,
    /// Commands executed under both.
    pub(super) commands: u64,
    /// Outcomes that differ.
    pub(super) outcomes: BTreeMap<Change, Group>,
    /// Commands with the same outcome and another rate.
    pub(super) rates: Group,
    /// Fees collected as it was, and under the other parameters.
    pub(super) fees: BTreeMap<AssetId, (Wide, Wide)>,
}

impl Tally {
    /// A request as it was.
    pub(super) fn run(&mut self, step: &Step<'_>) {
        see(step, &mut self.run);
    }

    /// The same under the other parameters.
    pub(super) fn other(&mut self, step: &Step<'_>) {
        see(step, &mut self.other);
    }

    /// The end of a record; it counts when both engines are given.
    pub(super) fn end(&mut self, engines: Option<(&Engine, &Engine)>) {
        let (run, other) = (std::mem::take(&mut self.run), std::mem::take(&mut self.other));
        if let Some(engines) = engines {
            assert_eq!(run.len(), other.len(), "both sides replay the same commands");
            for (run, other) in run.iter().zip(&other) {
                self.compare(run, other);
            }
            for (asset, amount) in collected(engines.0) {
                self.fees.entry(asset).or_default().0.add(amount);
            }
            for (asset, amount) in collected(engines.1) {
                self.fees.entry(asset).or_default().1.add(amount);
            }
        }
        // The room is kept from record to record.
        (self.run, self.other) = (run, other);
        self.run.clear();
        self.other.clear();
    }

    fn compare(&mut self, run: &Seen, other: &Seen) {
        self.commands += 1;
        if run.word != other.word {
            let change = Change { kind: run.kind, before: run.word, after: other.word };
            self.outcomes.entry(change).or_default().add(run.sequence);
        } else if run.rate != other.rate {
            self.rates.add(run.sequence);
        }
    }
}

fn see(step: &Step<'_>, seen: &mut Vec<Seen>) {
    let place = |at: usize| u64::try_from(at).expect("a request is short");
    let outcomes = step.outcomes.to_vec();
    // Of a repeat an outcome names the first command, so the place is counted here.
    let first = step.first_sequence.0;
    let commands = Commands::new(step.slots).flatten();
    seen.extend(commands.zip(&outcomes).enumerate().map(|(at, (entry, outcome))| {
        let Outcome { status, rate, repeat, .. } = *outcome;
        let word = Word { status: status.number(), is_repeat: repeat };
        Seen { kind: entry.command.kind, sequence: first + place(at), word, rate }
    }));
}

/// The fees of the last record.
fn collected(engine: &Engine) -> impl Iterator<Item = (AssetId, u128)> {
    let postings = engine.postings().expect("both sides keep their postings");
    let is_fee = Event::TransactionFeeCollected.number();
    let fees = postings.iter().filter(move |effect| effect.event == is_fee);
    fees.map(|effect| (effect.asset, effect.amount))
}

/// An account whose balances differ; `None` where it is not there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Difference {
    pub(super) owner: OwnerId,
    pub(super) asset: AssetId,
    pub(super) before: Option<Balance>,
    pub(super) after: Option<Balance>,
}

/// Liquid and held units of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Balance {
    pub(super) liquid: i128,
    pub(super) held: u128,
}

impl Balance {
    const fn of(row: &AccountRow) -> Self {
        Self { liquid: row.liquid, held: row.held }
    }

    fn total(self) -> i128 {
        self.liquid.saturating_add_unsigned(self.held)
    }
}

impl Difference {
    /// What all buckets together have more.
    pub(super) fn more(&self) -> i128 {
        let total = |balance: Option<Balance>| balance.map_or(0, Balance::total);
        total(self.after).saturating_sub(total(self.before))
    }

    /// Largest first.
    fn order(&self) -> (std::cmp::Reverse<(u128, u128)>, OwnerId, AssetId) {
        let liquid = |balance: Option<Balance>| balance.map_or(0, |balance| balance.liquid);
        let liquid = liquid(self.after).abs_diff(liquid(self.before));
        (std::cmp::Reverse((self.more().unsigned_abs(), liquid)), self.owner, self.asset)
    }
}

/// How many accounts differ, and the `top` largest differences.
pub(super) fn accounts(run: &Engine, other: &Engine, top: usize) -> (u64, Vec<Difference>) {
    let (mut count, mut found) = (0, Vec::new());
    let mut add = |difference: Difference| {
        count += 1;
        found.push(difference);
        if found.len() >= 2 * top + 1_024 {
            found.sort_unstable_by_key(Difference::order);
            found.truncate(top);
        }
    };
    for row in run.accounts() {
        let before = Some(Balance::of(&row));
        let after = other.account(row.owner, row.asset).as_ref().map(Balance::of);
        if before != after {
            add(Difference { owner: row.owner, asset: row.asset, before, after });
        }
    }
    for row in other.accounts() {
        if run.account(row.owner, row.asset).is_none() {
            let after = Some(Balance::of(&row));
            add(Difference { owner: row.owner, asset: row.asset, before: None, after });
        }
    }
    found.sort_unstable_by_key(Difference::order);
    found.truncate(top);
    (count, found)
}

/// The name of a kind.
pub(super) fn kind_name(kind: u16) -> String {
    Kind::try_from(kind).map_or_else(|_| format!("kind {kind}"), |kind| format!("{kind:?}"))
}
