//! What random streams are too small to reach: more timers than one record fires, as many hosts
//! and assets as a frame may have. Engine and model, side by side. It refuses to be the only test
//! of a rule. Invariant: the two never differ.

use protocol::data;
use protocol::flags;
use protocol::genesis::{Genesis, Mode};
use protocol::kind::Kind;
use protocol::limits::{ASSETS_MAX, HOSTS_MAX, TIMERS_PER_RECORD};
use protocol::parameter::{Parameter, Parameters};
use protocol::request::Role;
use protocol::status::Status;
use protocol::{Command, CommandId};

use crate::agreement::{Bench, agree_on};
use crate::generators::{ADMIN, MINT, Record, Sent, agent, registry};
use crate::model::Model;

const START_MS: u64 = 1_700_000_000_000;

/// Engine and model of a frame with room for everything.
struct Pair {
    bench: Bench,
    model: Model,
    now_ms: u64,
    tail: u128,
}

impl Pair {
    fn new(parameters: Parameters) -> Self {
        let genesis = Genesis {
            frame: 1,
            hash_seed: 2,
            mode: Mode::Frame,
            scale: 6,
            name: "AVT".into(),
            trust_domain: "frame.test".into(),
            parameters,
        };
        Self {
            bench: Bench::new(&genesis, false),
            model: Model::new(&genesis),
            now_ms: START_MS,
            tail: 0,
        }
    }

    fn id(&mut self) -> CommandId {
        self.tail += 1;
        CommandId::new(self.now_ms, self.tail)
    }

    /// One record a millisecond later; the statuses of each of its requests, by the model.
    fn record(&mut self, requests: Vec<Sent>) {
        self.now_ms += 1;
        let record = Record { timestamp_ns: self.now_ms * 1_000_000, settled: 0, requests };
        agree_on(&record, &mut self.bench, &mut self.model);
    }

    /// What the engine alone answers to one more command, in a record of its own.
    fn ask(&mut self, role: Role, principal: u128, command: Command) -> Status {
        let sent = Sent::new(role, principal, &[(command, Vec::new())]);
        self.now_ms += 1;
        self.bench.begin(self.now_ms * 1_000_000, 0);
        let status = self.bench.execute(&sent)[0].status;
        self.bench.engine.end_record();
        status
    }
}

fn many(role: Role, principal: u128, commands: &[Command]) -> Sent {
    let parts: Vec<_> = commands.iter().map(|&command| (command, Vec::new())).collect();
    Sent::new(role, principal, &parts)
}

#[test]
fn more_timers_than_a_record_fires() {
    let due = TIMERS_PER_RECORD + 300;
    let parameters = Parameters::default()
        .with(Parameter::HoldsCapacity, 1 << 14)
        .with(Parameter::HoldsPerDebtor, 1 << 14)
        .with(Parameter::IdsCapacity, 1 << 15);
    let mut pair = Pair::new(parameters);
    let (debtor, creditor) = (agent(1), agent(2));
    let opens = [debtor, creditor].map(|owner| Command::open(pair.id(), owner, 1));
    let issue = Command::issue(pair.id(), debtor, 1, 1 << 40);
    pair.record(vec![many(Role::Registry, registry(0), &opens), many(Role::Mint, MINT, &[issue])]);
    let holds: Vec<Command> =
        (0..due).map(|_| Command::hold(pair.id(), debtor, creditor, 1, 1_000, 60_000)).collect();
    let half = due / 2;
    pair.record(vec![
        many(Role::Agent, debtor, &holds[..half]),
        many(Role::Agent, debtor, &holds[half..]),
    ]);
    let held = |pair: &Pair| pair.bench.engine.account(debtor, 1).map(|row| row.held);
    assert_eq!(held(&pair), Some(1_000 * due as u128));

    pair.now_ms += 70_000;
    let first = Command::capture(pair.id(), &holds[0], None);
    let last = Command::capture(pair.id(), &holds[due - 1], None);
    let release = Command::release(pair.id(), &holds[due - 1]);
    pair.record(vec![many(Role::Agent, creditor, &[first, last, release])]);
    assert_eq!(held(&pair), Some(1_000 * 300));
    let tick = Command::new(Kind::Tick, CommandId(0));
    pair.record(vec![many(Role::Engine, 0, &[tick])]);
    assert_eq!(held(&pair), Some(0));
    let late = Command::capture(pair.id(), &holds[due - 1], None);
    let status = pair.ask(Role::Agent, creditor, late);
    assert_eq!(status, Status::HoldNotFound);
}

#[test]
fn as_many_hosts_as_a_frame_may_have() {
    let room = Parameters::default().with(Parameter::AccountsCapacity, 1 << 14);
    let mut pair = Pair::new(room);
    let mut requests = Vec::new();
    for number in 1..HOSTS_MAX as u128 {
        let open = Command::open(pair.id(), agent(number), 1);
        requests.push(many(Role::Registry, registry(number), &[open]));
    }
    pair.record(requests);
    let (new_owner, new_host) = (agent(1 << 40), registry(1 << 40));
    let open = Command::open(pair.id(), new_owner, 1);
    let named = Command { credit: new_host, ..Command::open(pair.id(), new_owner, 1) };
    let rehost =
        Command { debit: agent(1), credit: new_host, ..Command::new(Kind::Rehost, pair.id()) };
    let known = Command::open(pair.id(), new_owner, 1);
    let twice = [open, Command::open(pair.id(), new_owner, 1)]
        .map(|open| Command { flags: flags::LINKED, ..open });
    let end = Command::open(pair.id(), new_owner, 1);
    pair.record(vec![
        many(Role::Registry, new_host, &[open]),
        many(Role::Admin, ADMIN, &[named, rehost]),
        many(Role::Registry, new_host, &[twice[0], twice[1], end]),
        many(Role::Registry, registry(7), &[known]),
    ]);
    let open = Command::open(pair.id(), agent(1 << 41), 1);
    let status = pair.ask(Role::Registry, new_host, open);
    assert_eq!(status, Status::HostsFull);
}

#[test]
fn as_many_assets_as_a_frame_may_have() {
    let mut pair = Pair::new(Parameters::default());
    let name = data::encode(&[(data::TAG_NAME, b"GOLD")]);
    let asset = |pair: &mut Pair, number: usize| Command {
        asset: number as u32,
        data: 1,
        ..Command::new(Kind::Asset, pair.id())
    };
    let parts: Vec<_> =
        (2..=ASSETS_MAX + 2).map(|number| (asset(&mut pair, number), name.clone())).collect();
    pair.record(vec![Sent::new(Role::Admin, ADMIN, &parts)]);
    assert_eq!(pair.bench.engine.supply().len(), ASSETS_MAX);
    // A new host gets its accounts in every asset.
    let open = Command::open(pair.id(), agent(1), 9);
    pair.record(vec![many(Role::Registry, registry(1), &[open])]);
    assert_eq!(pair.bench.engine.accounts().len(), ASSETS_MAX * 6 + 1);
}

#[test]
fn a_chain_sent_again_by_another_principal_is_known_only_in_part() {
    let mut pair = Pair::new(Parameters::default());
    let (owner, payee) = (agent(1), agent(2));
    let opens = [owner, payee].map(|owner| Command::open(pair.id(), owner, 1));
    let issue = Command::issue(pair.id(), owner, 1, 1_000_000);
    let name = data::encode(&[(data::TAG_NAME, b"GOLD")]);
    let asset = Command { asset: 2, data: 1, ..Command::new(Kind::Asset, pair.id()) };
    pair.record(vec![
        many(Role::Registry, registry(0), &opens),
        many(Role::Mint, MINT, &[issue]),
        Sent::new(Role::Admin, ADMIN, &[(asset, name)]),
    ]);
    // The open is in the scope of who sends it, the transfer in that of the debtor.
    let chain = [
        Command { flags: flags::LINKED, ..Command::open(pair.id(), owner, 2) },
        Command::transfer(pair.id(), owner, payee, 1, 1_000),
    ];
    pair.record(vec![
        many(Role::Agent, owner, &chain),
        many(Role::Registry, registry(0), &chain),
        many(Role::Agent, owner, &chain),
    ]);
    let liquid = pair.bench.engine.account(owner, 1).map(|row| row.liquid);
    assert_eq!(liquid, Some(999_000), "the payment happened once");
}
