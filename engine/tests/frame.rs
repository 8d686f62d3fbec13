//! A small frame with known people in it, for tests that tell a story. It refuses random input.
//! Invariant: every record that it runs is one request, a millisecond after the last.

use engine::{Engine, Options, RecordStart};
use protocol::command::reason;
use protocol::cut::AccountRow;
use protocol::genesis::{Genesis, Mode};
use protocol::parameter::{Parameter, Parameters};
use protocol::reply::{self, Outcome, Outcomes, Reply};
use protocol::{Command, CommandId, Kind, OwnerId, Request, Role, Sequence, Status, data};

pub(crate) const START_MS: u64 = 1_700_000_000_000;
pub(crate) const ALICE: OwnerId = 0xa11ce << 64;
pub(crate) const BOB: OwnerId = 0xb0b << 64;
pub(crate) const CAROL: OwnerId = 0xca701 << 64;
pub(crate) const DAVE: OwnerId = 0xda7e << 64;
/// Host 1: Alice and Bob.
pub(crate) const NORTH: u128 = 0x101 << 64;
/// Host 2: Carol.
pub(crate) const SOUTH: u128 = 0x102 << 64;
pub(crate) const MINT: u128 = 0x103 << 64;
pub(crate) const ADMIN: u128 = 0x104 << 64;
/// What Alice, Bob and Carol are given.
pub(crate) const GIVEN: u128 = 1_000_000_000;

pub(crate) fn genesis(mode: Mode, parameters: Parameters) -> Genesis {
    Genesis {
        frame: 1,
        hash_seed: 2,
        mode,
        scale: 6,
        name: "AVT".into(),
        trust_domain: "frame.test".into(),
        parameters,
    }
}

pub(crate) struct Frame {
    pub(crate) engine: Engine,
    outcomes: Outcomes,
    pub(crate) now_ms: u64,
    /// What the next records say is settled.
    pub(crate) settled: u64,
    /// At which sequence the history was asked for the next requests.
    pub(crate) history_checked: u64,
    ids: u128,
}

impl Frame {
    /// Nobody in it yet.
    pub(crate) fn empty(mode: Mode, parameters: Parameters) -> Self {
        let options = Options { history: true, ..Options::default() };
        Self {
            engine: Engine::new(&genesis(mode, parameters), options).expect("the genesis is valid"),
            outcomes: Outcomes::default(),
            now_ms: START_MS,
            settled: 0,
            history_checked: 0,
            ids: 0,
        }
    }

    /// Alice and Bob hosted by NORTH, Carol by SOUTH, each with [`GIVEN`]; asset 2 exists.
    pub(crate) fn with(parameters: Parameters) -> Self {
        let mut frame = Self::empty(Mode::Frame, parameters);
        for (host, owner) in [(NORTH, ALICE), (NORTH, BOB), (SOUTH, CAROL)] {
            let open = Command::open(frame.id(), owner, 1);
            frame.must(Role::Registry, host, open);
            let issue = Command::issue(frame.id(), owner, 1, GIVEN);
            frame.must(Role::Mint, MINT, issue);
        }
        frame.create_asset(2);
        frame
    }

    pub(crate) fn new() -> Self {
        Self::with(Parameters::default().with(Parameter::PairsCapacity, 1 << 10))
    }

    pub(crate) fn create_asset(&mut self, asset: u32) -> Status {
        let slots = self.asset(asset, 2);
        self.send(Role::Admin, ADMIN, &slots)[0].status
    }

    pub(crate) fn asset(&mut self, asset: u32, scale: u64) -> Vec<Command> {
        let create = Command { asset, value: scale, ..Command::new(Kind::Asset, self.id()) };
        with_text(create, data::TAG_NAME, "gold")
    }

    pub(crate) fn id(&mut self) -> CommandId {
        self.ids += 1;
        CommandId::new(self.now_ms, self.ids)
    }

    pub(crate) fn begin(&mut self) {
        self.now_ms += 1;
        self.engine.begin_record(RecordStart {
            first_sequence: Sequence(self.engine.executed().0 + 1),
            timestamp_ns: self.now_ms * 1_000_000,
            settled: Sequence(self.settled),
        });
    }

    pub(crate) fn execute(
        &mut self,
        role: Role,
        principal: u128,
        slots: &[Command],
    ) -> Vec<Outcome> {
        let history_checked = self.history_checked;
        let request = Request { history_checked, ..head(role, principal, slots) };
        self.engine.execute(&request, slots, &mut self.outcomes);
        let mut bytes = Vec::new();
        self.outcomes.encode(Reply::default(), &mut bytes);
        reply::decode(&bytes).expect("a reply reads back").outcomes
    }

    pub(crate) fn send(&mut self, role: Role, principal: u128, slots: &[Command]) -> Vec<Outcome> {
        self.begin();
        let outcomes = self.execute(role, principal, slots);
        self.engine.end_record();
        outcomes
    }

    pub(crate) fn ask(&mut self, role: Role, principal: u128, command: Command) -> Status {
        self.send(role, principal, &[command])[0].status
    }

    pub(crate) fn must(&mut self, role: Role, principal: u128, command: Command) -> Outcome {
        let outcome = self.send(role, principal, &[command])[0];
        assert_eq!(outcome.status, Status::Ok, "{command:?}");
        outcome
    }

    pub(crate) fn pay(&mut self, debit: OwnerId, credit: OwnerId, amount: u128) -> Command {
        Command::transfer(self.id(), debit, credit, 1, amount)
    }

    pub(crate) fn held(&mut self, debit: OwnerId, credit: OwnerId, amount: u128) -> Command {
        Command::hold(self.id(), debit, credit, 1, amount, 60_000)
    }

    pub(crate) fn set(&mut self, parameter: Parameter, value: u128) -> Status {
        let configure = Command {
            code: parameter.number(),
            amount: value,
            ..Command::new(Kind::Configure, self.id())
        };
        self.ask(Role::Admin, ADMIN, configure)
    }

    /// A command of `kind` about Alice's account in asset 1.
    pub(crate) fn about(&mut self, kind: Kind, owner: OwnerId) -> Command {
        Command { debit: owner, asset: 1, ..Command::new(kind, self.id()) }
    }

    pub(crate) fn by_admin(&mut self, kind: Kind, owner: OwnerId) -> Status {
        let command = self.about(kind, owner);
        self.ask(Role::Admin, ADMIN, command)
    }

    /// Closes an account whose units go to Bob.
    pub(crate) fn close(&mut self, owner: OwnerId) -> Status {
        let close = Command { credit: BOB, ..self.about(Kind::Close, owner) };
        self.ask(Role::Admin, ADMIN, close)
    }

    pub(crate) fn move_units(&mut self, debit: OwnerId, credit: OwnerId, amount: u128) -> Command {
        Command {
            debit,
            credit,
            amount,
            asset: 1,
            code: reason::PAYOUT,
            ..Command::new(Kind::SystemTransfer, self.id())
        }
    }

    pub(crate) fn row(&self, owner: OwnerId) -> AccountRow {
        self.engine.account(owner, 1).expect("the account is there")
    }

    pub(crate) fn liquid(&self, owner: OwnerId) -> i128 {
        self.row(owner).liquid
    }
}

pub(crate) fn head(role: Role, principal: u128, slots: &[Command]) -> Request {
    Request {
        principal,
        role: role as u16,
        slots: u32::try_from(slots.len()).expect("a request is short"),
        ..Request::default()
    }
}

/// `command` followed by one text.
pub(crate) fn with_text(command: Command, tag: u16, text: &str) -> Vec<Command> {
    let slots = data::encode(&[(tag, text.as_bytes())]);
    let data = u16::try_from(slots.len()).expect("a text is short");
    let mut all = vec![Command { data, ..command }];
    all.extend(slots);
    all
}
