//! What holds on every stream whatever its commands say: no unit is lost, doubled or invented;
//! cuts add up to the accounts at their sequence however they are interleaved; effects add up to
//! every balance; settings and splits change nothing. It refuses to know the rules themselves.
//! Invariant: each property is checked after every record, not only at the end.

use std::collections::{BTreeMap, BTreeSet};

use protocol::answer::Answer;
use protocol::cut::{AccountRow, Cut, Effects, SupplyRow};
use protocol::effect::{Bucket, Effect};
use protocol::ids::{AssetId, OwnerId, Sequence};
use protocol::kind::Kind;
use protocol::request::{Commands, Request, flags};
use protocol::{Command, system};
use zerocopy::FromBytes;

use crate::agreement::Bench;
use crate::generators::{self, Dice, Plan, Record, Stream};

type Key = (OwnerId, AssetId);

fn keyed(rows: Vec<AccountRow>) -> BTreeMap<Key, AccountRow> {
    rows.into_iter().map(|row| ((row.owner, row.asset), row)).collect()
}

/// Sums over `rows` agree with the supply vector, which balances.
fn adds_up(rows: &BTreeMap<Key, AccountRow>, supply: &[SupplyRow]) {
    for row in supply {
        assert_eq!(row.delta(), Some(0), "{row:?}");
        let of_asset = || rows.values().filter(|account| account.asset == row.asset);
        let liquid: i128 = of_asset().map(|account| account.liquid).sum();
        let held: u128 = of_asset().map(|account| account.held).sum();
        let granted: u128 = of_asset().map(|account| account.credit_limit).sum();
        let owed = of_asset().map(|account| account.liquid.min(0).unsigned_abs());
        assert_eq!(row.liquid, liquid);
        assert_eq!(row.held, held);
        assert_eq!(row.credit_granted, granted);
        assert_eq!(row.credit_used, owed.sum::<u128>());
    }
    let assets: BTreeSet<AssetId> = supply.iter().map(|row| row.asset).collect();
    assert!(rows.keys().all(|(_, asset)| assets.contains(asset)));
}

/// Accounts whose floor the record may have passed by right: new limits, a correction, a closing.
fn excused(record: &Record) -> BTreeSet<Key> {
    let mut keys = BTreeSet::new();
    for sent in &record.requests {
        for entry in Commands::new(&sent.slots) {
            let command = entry.expect("the structure is good").command;
            let kind = Kind::try_from(command.kind);
            if matches!(kind, Ok(Kind::Limits | Kind::Burn | Kind::Close)) {
                keys.insert((command.debit, command.asset));
            }
        }
    }
    keys
}

/// Nobody was debited below his floor.
fn floors_hold(
    before: &BTreeMap<Key, AccountRow>,
    after: &BTreeMap<Key, AccountRow>,
    record: &Record,
) {
    let excused = excused(record);
    for (key, row) in after {
        if excused.contains(key) {
            continue;
        }
        let floor = row.minimum as i128 - row.credit_limit as i128;
        let was = before.get(key).map_or(0, |row| row.liquid);
        assert!(row.liquid >= floor.min(was), "{row:?} had {was}");
        assert!(!system::is_system(row.owner) || row.liquid >= 0, "{row:?}");
    }
}

#[test]
fn no_unit_is_lost_doubled_or_invented() {
    generators::check(500, 24, |plan| {
        let Stream { genesis, records } = generators::stream(plan);
        let mut bench = Bench::new(&genesis, false);
        let mut before = keyed(bench.engine.accounts());
        for record in &records {
            bench.record(record);
            let supply = bench.engine.supply();
            assert_eq!(bench.engine.recount(), supply);
            let after = keyed(bench.engine.accounts());
            adds_up(&after, &supply);
            floors_hold(&before, &after, record);
            for (key, row) in &after {
                assert_eq!(bench.engine.account(key.0, key.1).as_ref(), Some(row));
            }
            assert_eq!(bench.engine.account(77, 1), None);
            before = after;
        }
    });
}

/// What a reader of cuts knows.
#[derive(Default)]
struct Follower {
    accounts: BTreeMap<Key, AccountRow>,
    balances: BTreeMap<(OwnerId, AssetId, u8), i128>,
    legs: BTreeSet<(u64, u16)>,
    through: u64,
}

/// What is true at the moment a cut is opened.
struct Boundary {
    accounts: BTreeMap<Key, AccountRow>,
    supply: Vec<SupplyRow>,
    through: u64,
    timestamp_ns: u64,
    run_digest: [u8; 16],
    complete: bool,
}

impl Boundary {
    fn open(bench: &mut Bench, complete: bool) -> Self {
        let boundary = Self {
            accounts: keyed(bench.engine.accounts()),
            supply: bench.engine.supply(),
            through: bench.engine.executed().0,
            timestamp_ns: bench.engine.timestamp_ns(),
            run_digest: bench.engine.run_digest(),
            complete,
        };
        bench.engine.open_cut(complete);
        boundary
    }
}

impl Follower {
    /// Takes one effect into account; what it says of the balances afterwards must be true.
    fn fold(&mut self, effect: &Effect) {
        assert!(self.legs.insert((effect.sequence, effect.leg)), "{effect:?}");
        let sides = [
            (effect.debit, effect.debit_bucket, effect.debit_after, true),
            (effect.credit, effect.credit_bucket, effect.credit_after, false),
        ];
        for (owner, bucket, after, is_debit) in sides {
            if bucket == Bucket::Counter as u8 {
                continue;
            }
            let balance = self.balances.entry((owner, effect.asset, bucket)).or_default();
            let amount = i128::try_from(effect.amount).expect("amounts are bounded");
            *balance += if is_debit { -amount } else { amount };
            assert_eq!(*balance, after, "{effect:?}");
        }
    }

    fn balance(&self, row: &AccountRow, bucket: Bucket) -> i128 {
        let key = (row.owner, row.asset, bucket as u8);
        self.balances.get(&key).copied().unwrap_or(0)
    }

    fn apply(&mut self, cut: &Cut, boundary: &Boundary) {
        assert_eq!(cut.after, Sequence(self.through));
        assert_eq!(cut.through, Sequence(boundary.through));
        assert_eq!(cut.timestamp, boundary.timestamp_ns);
        assert_eq!(cut.run_digest, boundary.run_digest);
        assert_eq!(cut.complete, boundary.complete);
        assert_eq!(cut.supply, boundary.supply);
        self.through = boundary.through;
        let keys: Vec<Key> = cut.accounts.iter().map(|row| (row.owner, row.asset)).collect();
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "each account once");
        if cut.complete {
            assert_eq!(cut.accounts.len(), boundary.accounts.len());
        }
        for row in cut.accounts.iter() {
            self.accounts.insert((row.owner, row.asset), row);
        }
        assert_eq!(self.accounts, boundary.accounts);
        if let Effects::All(effects) = &cut.effects {
            for effect in effects {
                self.fold(effect);
            }
            for row in boundary.accounts.values() {
                assert_eq!(self.balance(row, Bucket::Liquid), row.liquid, "{row:?}");
                assert_eq!(self.balance(row, Bucket::Held), row.held as i128, "{row:?}");
            }
        }
    }

    /// Starts again from what is true now.
    fn restart(&mut self, bench: &Bench) {
        self.accounts = keyed(bench.engine.accounts());
        self.through = bench.engine.executed().0;
        self.balances.clear();
        for row in self.accounts.values() {
            let held = row.held as i128;
            for (bucket, balance) in [(Bucket::Liquid, row.liquid), (Bucket::Held, held)] {
                let key = (row.owner, row.asset, bucket as u8);
                self.balances.insert(key, balance);
            }
        }
    }
}

/// Opens, steps and discards at random, also between the requests of a record.
fn follow(plan: &Plan, history: bool) {
    let Stream { genesis, records } = generators::stream(plan);
    let mut dice = Dice::new(plan.seed ^ 0xc07);
    let mut bench = Bench::new(&genesis, history);
    let mut follower = Follower::default();
    let mut open: Option<Boundary> = None;
    let mut step = |bench: &mut Bench, open: &mut Option<Boundary>, rows_max: usize| {
        let boundary = open.as_ref()?;
        let cut = bench.engine.cut_step(rows_max)?;
        assert_eq!(matches!(cut.effects, Effects::Off), !history);
        follower.apply(&cut, boundary);
        *open = None;
        Some(())
    };
    for record in &records {
        bench.begin(record.timestamp_ns, record.settled);
        for sent in &record.requests {
            bench.execute(sent);
            if dice.below(2) == 0 {
                step(&mut bench, &mut open, 1 + dice.below(4) as usize);
            }
        }
        bench.engine.end_record();
        if open.is_none() && dice.below(2) == 0 {
            open = Some(Boundary::open(&mut bench, dice.below(4) == 0));
        }
        if dice.below(2) == 0 {
            step(&mut bench, &mut open, 1 + dice.below(20) as usize);
        }
    }
    // What is open ends; then one more takes the rest.
    for _ in 0..2 {
        for _ in 0..10_000 {
            if open.is_none() {
                break;
            }
            step(&mut bench, &mut open, 3);
        }
        assert!(open.is_none(), "a cut ends");
        open = Some(Boundary::open(&mut bench, false));
    }
    while open.is_some() {
        step(&mut bench, &mut open, 1_000);
    }
    assert_eq!(follower.accounts, keyed(bench.engine.accounts()));
}

#[test]
fn cuts_add_up_to_the_accounts() {
    generators::check(400, 24, |plan| follow(plan, false));
}

#[test]
fn effects_add_up_to_every_balance() {
    generators::check(400, 24, |plan| follow(plan, true));
}

#[test]
fn discarded_changes_are_in_no_later_cut() {
    generators::check(200, 12, |plan| {
        let Stream { genesis, records } = generators::stream(plan);
        let mut dice = Dice::new(plan.seed);
        let mut bench = Bench::new(&genesis, true);
        let mut follower = Follower::default();
        for record in &records {
            bench.record(record);
            match dice.below(3) {
                0 => {
                    bench.engine.discard_changes();
                    follower.restart(&bench);
                    let boundary = Boundary::open(&mut bench, false);
                    let cut = bench.engine.cut_step(usize::MAX).expect("a step takes all");
                    assert!(cut.accounts.is_empty());
                    assert_eq!(cut.effects, Effects::All(Vec::new()));
                    follower.apply(&cut, &boundary);
                }
                1 => {
                    let boundary = Boundary::open(&mut bench, false);
                    let cut = bench.engine.cut_step(usize::MAX).expect("a step takes all");
                    follower.apply(&cut, &boundary);
                }
                _ => {}
            }
        }
    });
}

/// Every cut of the stream, one a record.
fn cuts_of(bench: &mut Bench, records: &[Record]) -> Vec<Cut> {
    let cut_after = |record| {
        bench.record(record);
        bench.engine.open_cut(false);
        bench.engine.cut_step(usize::MAX).expect("a step takes all")
    };
    records.iter().map(cut_after).collect()
}

#[test]
fn local_settings_change_no_outcome() {
    generators::check(150, 12, |plan| {
        let Stream { genesis, records } = generators::stream(plan);
        let mut roomy = Bench::new(&genesis, true);
        let mut cramped = Bench::with_effects_max(&genesis, 5);
        let mut plain = Bench::new(&genesis, false);
        let pairs = cuts_of(&mut roomy, &records).into_iter().zip(cuts_of(&mut cramped, &records));
        for (all, few) in pairs {
            assert_eq!(all.accounts, few.accounts);
            if few.effects != Effects::Rebuild {
                assert_eq!(all.effects, few.effects);
            }
        }
        for record in &records {
            plain.record(record);
        }
        for other in [&cramped, &plain] {
            assert_eq!(other.engine.run_digest(), roomy.engine.run_digest());
            assert_eq!(other.engine.image_digest(), roomy.engine.image_digest());
        }
    });
}

/// The quote that the caller of a transfer would get.
fn quote(bench: &Bench, request: &Request, command: &Command) -> Answer {
    let quote = Command {
        kind: Kind::Quote.number(),
        debit: command.debit,
        credit: command.credit,
        amount: command.amount,
        asset: command.asset,
        ..Command::default()
    };
    let request = Request { slots: 1, flags: flags::READ, ..*request };
    let mut bytes = Vec::new();
    bench.engine.read(&request, &[quote], &mut bytes);
    Answer::read_from_bytes(&bytes).expect("one answer")
}

#[test]
fn a_quote_is_what_the_transfer_then_pays() {
    let mut compared = std::cell::Cell::new(0);
    generators::check(200, 24, |plan| {
        let Stream { genesis, records } = generators::stream(plan);
        let mut bench = Bench::new(&genesis, false);
        for record in &records {
            bench.begin(record.timestamp_ns, record.settled);
            for sent in &record.requests {
                let command = sent.slots[0];
                if command.kind != Kind::Transfer.number() || command.is_linked() {
                    bench.execute(sent);
                    continue;
                }
                let quote = quote(&bench, &sent.request, &command);
                let (payer, asset) = (command.debit, command.asset);
                let before = bench.engine.account(payer, asset);
                let outcome = bench.execute(&sent.first())[0];
                if !outcome.status.is_ok() || outcome.repeat {
                    continue;
                }
                let after = bench.engine.account(payer, asset).expect("it paid");
                let paid = before.expect("it paid").liquid - after.liquid;
                assert_eq!(quote.status, 0);
                assert_eq!(quote.rate, u32::from(outcome.rate));
                assert_eq!(quote.value as i128, paid);
                compared.set(compared.get() + 1);
            }
            bench.engine.end_record();
        }
    });
    assert!(*compared.get_mut() > 100, "nothing was compared");
}
