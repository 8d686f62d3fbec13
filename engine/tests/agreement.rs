//! Engine and naive model, side by side on random streams of records: the same outcomes, the same
//! accounts and the same supply after every record. It refuses to look inside the engine.
//! Invariant: whatever is sent, the two never differ.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Engine, Options, RecordStart};
use protocol::genesis::Genesis;
use protocol::ids::Sequence;
use protocol::kind::Kind;
use protocol::parameter::{Parameter, Parameters};
use protocol::reply::{self, Outcome, Outcomes, Reply};
use protocol::request::{Commands, Role};
use protocol::status::Status;
use protocol::{Command, CommandId};

use crate::generators::{self, Dice, MINT, Plan, Record, Sent, agent, registry};
use crate::model::Model;

/// The engine with what its caller keeps.
pub(crate) struct Bench {
    pub(crate) engine: Engine,
    outcomes: Outcomes,
}

impl Bench {
    pub(crate) fn new(genesis: &Genesis, history: bool) -> Self {
        Self::with(genesis, Options { history, effects_max: 1 << 16 })
    }

    /// With history, in a pool of `effects_max`.
    pub(crate) fn with_effects_max(genesis: &Genesis, effects_max: usize) -> Self {
        let history = true;
        Self::with(genesis, Options { history, effects_max })
    }

    fn with(genesis: &Genesis, options: Options) -> Self {
        let engine = Engine::new(genesis, options).expect("the genesis is valid");
        Self { engine, outcomes: Outcomes::default() }
    }

    /// With an engine that has a past.
    pub(crate) fn resume(engine: Engine) -> Self {
        Self { engine, outcomes: Outcomes::default() }
    }

    pub(crate) fn begin(&mut self, timestamp_ns: u64, settled: u64) {
        let executed = self.engine.executed();
        self.engine.begin_record(RecordStart {
            first_sequence: Sequence(executed.0 + 1),
            timestamp_ns,
            settled: Sequence(settled),
        });
    }

    pub(crate) fn execute(&mut self, sent: &Sent) -> Vec<Outcome> {
        self.engine.execute(&sent.request, &sent.slots, &mut self.outcomes);
        let mut bytes = Vec::new();
        self.outcomes.encode(Reply::default(), &mut bytes);
        reply::decode(&bytes).expect("a reply reads back").outcomes
    }

    /// One whole record.
    pub(crate) fn record(&mut self, record: &Record) -> Vec<Vec<Outcome>> {
        self.begin(record.timestamp_ns, record.settled);
        let outcomes = record.requests.iter().map(|sent| self.execute(sent)).collect();
        self.engine.end_record();
        outcomes
    }
}

pub(crate) fn agree_on(record: &Record, bench: &mut Bench, model: &mut Model) {
    bench.begin(record.timestamp_ns, record.settled);
    model.begin_record(record.timestamp_ns, record.settled);
    for sent in &record.requests {
        let expected = model.execute(&sent.request, &sent.slots);
        let outcomes = bench.execute(sent);
        if outcomes != expected {
            let at = (0..expected.len())
                .find(|&at| outcomes.get(at) != expected.get(at))
                .unwrap_or(expected.len());
            let command = Commands::new(&sent.slots).nth(at);
            panic!(
                "command {at} of {:#?}\n{command:#?}\nengine: {:?}\nmodel:  {:?}\nall of the \
                 engine: {outcomes:#?}\nall of the model: {expected:#?}",
                sent.request,
                outcomes.get(at),
                expected.get(at),
            );
        }
        assert_eq!(bench.engine.executed(), Sequence(model.sequence()));
    }
    bench.engine.end_record();
    let (ours, theirs) = (bench.engine.accounts(), model.accounts());
    for (one, other) in ours.iter().zip(&theirs) {
        assert_eq!(one, other, "left: engine, right: model, after {record:#?}");
    }
    assert_eq!(ours.len(), theirs.len());
    assert_eq!(bench.engine.supply(), model.supply());
    assert_eq!(bench.engine.mint_halted(), model.mint_halted());
    assert_eq!(bench.engine.keys(), model.keys());
    assert_eq!(bench.engine.keys_forgotten_through(), Sequence(model.forgotten_through()));
}

fn agree(plan: &Plan) {
    let stream = generators::stream(plan);
    let mut bench = Bench::new(&stream.genesis, false);
    let mut model = Model::new(&stream.genesis);
    for record in &stream.records {
        agree_on(record, &mut bench, &mut model);
    }
}

#[test]
fn engine_and_model_never_differ() {
    generators::check(1_500, 24, agree);
}

#[test]
fn engine_and_model_never_differ_in_long_lives() {
    generators::check(60, 400, agree);
}

#[test]
fn engine_and_model_never_differ_in_large_requests() {
    generators::check_sized(60, 12, 400, agree);
}

/// The generators are worth something only if they reach the rules.
#[test]
fn the_streams_reach_nearly_every_refusal_of_nearly_every_kind() {
    let mut seen: BTreeMap<u16, BTreeSet<u16>> = BTreeMap::new();
    let mut dice = Dice::new(7);
    for _ in 0..1_000 {
        let request = |dice: &mut Dice| generators::RequestPlan {
            seed: dice.roll(),
            commands: (0..6).map(|_| dice.roll()).collect(),
        };
        let record = |dice: &mut Dice| generators::RecordPlan {
            seed: dice.roll(),
            requests: (0..4).map(|_| request(dice)).collect(),
        };
        let plan =
            Plan { seed: dice.roll(), records: (0..24).map(|_| record(&mut dice)).collect() };
        let stream = generators::stream(&plan);
        let mut model = Model::new(&stream.genesis);
        for record in &stream.records {
            model.begin_record(record.timestamp_ns, record.settled);
            for sent in &record.requests {
                let outcomes = model.execute(&sent.request, &sent.slots);
                for (entry, outcome) in Commands::new(&sent.slots).zip(outcomes) {
                    let kind = entry.expect("the structure is good").command.kind;
                    seen.entry(outcome.status.number()).or_default().insert(kind);
                }
            }
        }
    }
    // Refusals of reads, and those that take thousands of hosts or assets, a full disk, lost
    // units, more timers than fire in a record, staked units; and a creditor that cannot close
    // while a hold names it.
    let beyond = [
        Status::ListShape,
        Status::HostsFull,
        Status::AssetsFull,
        Status::JournalFull,
        Status::DeltaNotZero,
        Status::HoldExpired,
        Status::BucketNotZero,
    ];
    for status in Status::ALL {
        let reached = seen.contains_key(&status.number());
        assert_eq!(reached, !beyond.contains(status), "{status}");
    }
    let ok = &seen[&0];
    for kind in Kind::ALL.iter().filter(|kind| !kind.is_read()) {
        assert!(ok.contains(&kind.number()), "{kind:?} never succeeds");
    }
}

/// A frame with a pair table of one set, and many pairs.
fn tiny_pairs(capacity: u128, window_ms: u128) -> Genesis {
    let parameters = Parameters::default()
        .with(Parameter::PairsCapacity, capacity)
        .with(Parameter::VelocityWindowMs, window_ms)
        .with(Parameter::VelocityFree, 2)
        .with(Parameter::VelocityCap, 12);
    Genesis { parameters, ..generators::genesis(3) }
}

/// Rates of random transfers by engine and model.
fn rates(genesis: &Genesis, owners: u64, seed: u64) -> Vec<(u16, u16)> {
    let mut dice = Dice::new(seed);
    let mut bench = Bench::new(genesis, false);
    let mut model = Model::new(genesis);
    let mut rates = Vec::new();
    let mut now_ns = 1_700_000_000_000_000_000;
    let id =
        |now_ns: u64, dice: &mut Dice| CommandId::new(now_ns / 1_000_000, u128::from(dice.roll()));
    for step in 0..300 {
        now_ns += 1 + dice.below(400_000_000);
        let mut requests = Vec::new();
        if step == 0 {
            for number in 0..owners {
                let owner = agent(u128::from(number));
                let open = Command::open(id(now_ns, &mut dice), owner, 1);
                let issue = Command::issue(id(now_ns, &mut dice), owner, 1, 1 << 90);
                requests.push(Sent::new(Role::Registry, registry(0), &[(open, Vec::new())]));
                requests.push(Sent::new(Role::Mint, MINT, &[(issue, Vec::new())]));
            }
        }
        for _ in 0..4 {
            let debit = dice.below(owners);
            let credit = (debit + 1 + dice.below(owners - 1)) % owners;
            let (debit, credit) = (agent(u128::from(debit)), agent(u128::from(credit)));
            let pay = Command::transfer(id(now_ns, &mut dice), debit, credit, 1, 1_000);
            requests.push(Sent::new(Role::Agent, debit, &[(pay, Vec::new())]));
        }
        let record = Record { timestamp_ns: now_ns, settled: 0, requests };
        model.begin_record(now_ns, 0);
        for (sent, outcomes) in record.requests.iter().zip(bench.record(&record)) {
            let expected = model.execute(&sent.request, &sent.slots);
            assert_eq!(outcomes[0].status, Status::Ok);
            assert_eq!(expected[0].status, Status::Ok);
            rates.push((outcomes[0].rate, expected[0].rate));
        }
    }
    rates
}

#[test]
fn an_eviction_never_raises_a_price() {
    let mut lowered = 0;
    for seed in 0..12 {
        let genesis = tiny_pairs(8 << (seed % 3), 60_000);
        for (rate, unbounded) in rates(&genesis, 8, seed) {
            assert!(rate <= unbounded, "{rate} > {unbounded}");
            lowered += u32::from(rate < unbounded);
        }
    }
    assert!(lowered > 0, "nothing was evicted");
}

#[test]
fn a_set_that_holds_every_pair_evicts_nothing() {
    for seed in 0..12 {
        let genesis = tiny_pairs(8, 20_000);
        for (rate, unbounded) in rates(&genesis, 3, seed) {
            assert_eq!(rate, unbounded);
        }
    }
}

#[test]
fn the_model_itself_balances() {
    generators::check(300, 24, |plan| {
        let stream = generators::stream(plan);
        let mut model = Model::new(&stream.genesis);
        for record in &stream.records {
            model.begin_record(record.timestamp_ns, record.settled);
            for sent in &record.requests {
                model.execute(&sent.request, &sent.slots);
            }
            for row in model.supply() {
                assert_eq!(row.delta(), Some(0), "{row:?} after {record:#?}");
            }
        }
    });
}
