//! The life of one frame in which every kind of command is executed and refused at least once, told
//! the same way every time: for sets of files that later versions must read.
//!
//! Invariant: each step asserts what became of it, so that a story that is told is the one below.

use journal::MemoryStorage;
use protocol::command::{flags, reason};
use protocol::data::{self, TAG_KEY, TAG_MEMO, TAG_NAME, TAG_REASON, TAG_SPIFFE_ID};
use protocol::genesis::Genesis;
use protocol::parameter::{FEE_NOTICE_MS, Parameter, Parameters};
use protocol::{Command, CommandId, Kind, OwnerId, Role, Status, key, system};

use crate::rig::{Rig, SECOND, agent, genesis};

const MS: u64 = 1_000_000;
const NORTH: u128 = 0x4e << 64;
const SOUTH: u128 = 0x53 << 64;
const MINT: u128 = 0x317 << 64;
const CHIEF: u128 = 0xad << 64;
const ERIN: OwnerId = 9 << 64;
const GOLD: u32 = 2;

const OK: Status = Status::Ok;

/// A frame of small tables.
fn small() -> Genesis {
    let parameters = [
        (Parameter::PairsCapacity, 64),
        (Parameter::VelocityFree, 2),
        (Parameter::VelocityCap, 12),
        (Parameter::VelocityWindowMs, 5_000),
        (Parameter::HoldDefaultMs, 3_000),
        (Parameter::HoldsCapacity, 24),
        (Parameter::IdsWindowMs, 20_000),
        (Parameter::IdsMinWindowMs, 2_000),
        (Parameter::IdsCapacity, 2_048),
        (Parameter::AccountsCapacity, 64),
        (Parameter::KeysWindowMs, 1_000),
        (Parameter::KeysCapacity, 64),
    ];
    let defaults = Parameters::default();
    Genesis {
        parameters: parameters.into_iter().fold(defaults, |all, (one, value)| all.with(one, value)),
        ..genesis()
    }
}

pub(crate) struct Story {
    rig: Rig,
}

/// What a story leaves.
pub(crate) struct Told {
    /// The disk half-way, behind a record of commands.
    pub(crate) middle: MemoryStorage,
    /// The disk at the end, behind a stop in order.
    pub(crate) end: MemoryStorage,
}

/// The whole story.
pub(crate) fn tell() -> Told {
    let mut story = Story { rig: Rig::with(&small()) };
    story.open();
    story.issue();
    story.pay();
    story.keys_and_chains();
    story.hold();
    story.restrict();
    let middle = story.stopped();
    story.move_system_units();
    story.rule();
    story.end();
    Told { middle, end: story.stopped() }
}

/// Its beginning, with payments, a hold, a key and a restart, on few segments.
pub(crate) fn begin() -> Told {
    let mut story = Story { rig: Rig::with(&small()) };
    story.open();
    story.issue();
    let hold = story.placed(30_000, 0);
    let middle = story.stopped();
    story.idle();
    story.restart();
    let capture = Command::capture(story.rig.id(), &hold, Some(1_000));
    story.agent(agent(1), &[capture], &[OK]);
    story.keyed("order 1", 70, OK);
    story.bulk(2, 5);
    story.stop();
    Told { middle, end: story.stopped() }
}

impl Story {
    /// One request in a record of its own.
    fn act(&mut self, who: (Role, u128), slots: &[Command], expected: &[Status]) {
        self.rig.now_ns += 137 * MS;
        let request = self.rig.send(who.0, who.1, slots).expect("there is room");
        self.rig.turn();
        let reply = self.rig.replies().remove(&request).expect("it was answered");
        let found: Vec<_> = reply.outcomes.iter().map(|outcome| outcome.status).collect();
        assert_eq!(found, expected, "{who:?}: {:?}", slots[0]);
    }

    fn agent(&mut self, principal: u128, slots: &[Command], expected: &[Status]) {
        self.act((Role::Agent, principal), slots, expected);
    }

    fn mint(&mut self, slots: &[Command], expected: Status) {
        self.act((Role::Mint, MINT), slots, &[expected]);
    }

    fn chief(&mut self, slots: &[Command], expected: Status) {
        self.act((Role::Admin, CHIEF), slots, &[expected]);
    }

    fn of(&mut self, kind: Kind) -> Command {
        Command::new(kind, self.rig.id())
    }

    fn payment(&mut self, n: u128, amount: u128) -> Command {
        Command::transfer(self.rig.id(), agent(n), agent(n + 1), 1, amount)
    }

    /// Nothing comes for a while.
    fn idle(&mut self) {
        self.rig.now_ns += SECOND / 2;
        self.rig.turn();
    }

    /// The power goes, and the frame is found again.
    fn restart(&mut self) {
        let (disk, now_ns, requests) =
            (self.rig.disk.clone(), self.rig.now_ns + SECOND, self.rig.requests);
        disk.crash(self.rig.requests);
        self.rig = Rig::recover(disk, now_ns, requests).0;
    }

    fn stop(&mut self) {
        let now = self.rig.now();
        self.rig.stages.journal.conclude(now);
        self.rig.stages.sync.step();
    }

    /// A copy of the disk as a kill would leave it.
    fn stopped(&self) -> MemoryStorage {
        self.rig.disk.copy()
    }

    fn open(&mut self) {
        let (north, south) = ((Role::Registry, NORTH), (Role::Registry, SOUTH));
        for (who, owner) in [
            (north, agent(0)),
            (north, agent(1)),
            (south, agent(2)),
            ((Role::Agent, agent(3)), agent(3)),
        ] {
            let open = Command::open(self.rig.id(), owner, 1);
            self.act(who, &[open], &[OK]);
            let again = Command::open(self.rig.id(), owner, 1);
            self.act(who, &[again], &[Status::AccountExists]);
        }
        let erin = Command { credit: SOUTH, ..Command::open(self.rig.id(), ERIN, 1) };
        self.chief(&[erin], OK);
        let named = Command { debit: 0, ..self.of(Kind::Identify) };
        self.agent(
            agent(0),
            &with(named, &[(TAG_SPIFFE_ID, b"spiffe://frame.test/agent/a")]),
            &[OK],
        );
    }

    fn issue(&mut self) {
        let baseline = |story: &mut Self| {
            let issue = Command::issue(story.rig.id(), agent(0), 1, 1_000_000);
            Command { code: reason::BASELINE, ..issue }
        };
        let first = baseline(self);
        self.mint(&[first], OK);
        for n in 1..4 {
            let issue = Command::issue(self.rig.id(), agent(n), 1, 500_000);
            self.mint(&[issue], OK);
        }
        let late = baseline(self);
        self.mint(&[late], Status::TooLate);
        let gift = Command::issue(self.rig.id(), ERIN, 1, 7_777);
        self.mint(&[Command { code: reason::COMPENSATION, ..gift }], OK);
        let correction = Command::issue(self.rig.id(), agent(3), 1, 42);
        let correction = Command { code: reason::CORRECTION, ..correction };
        self.mint(&with(correction, &[(TAG_REASON, b"counted twice")]), OK);
        let silent = Command { id: self.rig.id().0, data: 0, ..correction };
        self.mint(&[silent], Status::ReasonMissing);
        let asset = Command { asset: GOLD, value: 2, ..self.of(Kind::Asset) };
        self.chief(&with(asset, &[(TAG_NAME, b"GOLD")]), OK);
        for n in 0..2 {
            let open = Command::open(self.rig.id(), agent(n), GOLD);
            self.agent(agent(n), &[open], &[OK]);
        }
        let gold = Command::issue(self.rig.id(), agent(0), GOLD, u128::from(u64::MAX) * 1_000);
        self.mint(&[gold], OK);
    }

    fn pay(&mut self) {
        let pay = self.payment(0, 10_000);
        self.agent(agent(0), &[pay], &[OK]);
        self.agent(agent(0), &[pay], &[OK]);
        self.agent(agent(0), &[Command { amount: 9_999, ..pay }], &[Status::IdReused]);
        let across = self.payment(1, 20_000);
        self.agent(agent(1), &[across], &[OK]);
        let memo = self.payment(0, 3_000);
        self.agent(agent(0), &with(memo, &[(TAG_MEMO, &[0xa5; 200])]), &[OK]);
        let quick: Vec<_> = (0..9).map(|_| self.payment(0, 1_000)).collect();
        self.agent(agent(0), &quick, &[OK; 9]);
        let gold = Command { asset: GOLD, ..self.payment(0, 1 << 70) };
        self.agent(agent(0), &[gold], &[OK]);
        let old = CommandId::new(self.rig.now_ns / MS - 60_000, 1);
        let early = CommandId::new(self.rig.now_ns / MS + 60_000, 2);
        for (command, status) in [
            (Command { amount: 0, ..self.payment(0, 1) }, Status::AmountZero),
            (self.payment(0, 2_000_000), Status::InsufficientFunds),
            (Command { value: 1, ..self.payment(0, 1_000) }, Status::FeeAboveLimit),
            (Command { credit: 77 << 64, ..self.payment(0, 5) }, Status::CreditorNotFound),
            (Command { debit: agent(2), ..self.payment(0, 5) }, Status::NotFound),
            (Command { id: old.0, ..self.payment(0, 50) }, Status::IdTooOld),
            (Command { id: early.0, ..self.payment(0, 50) }, Status::IdInFuture),
            (Command { kind: 99, ..self.payment(0, 50) }, Status::UnknownKind),
        ] {
            self.agent(agent(0), &[command], &[status]);
        }
        self.idle();
    }

    /// A payment under a string key.
    fn keyed(&mut self, text: &str, amount: u128, expected: Status) {
        let id = CommandId(key::id(agent(0), text.as_bytes()));
        let pay = Command::transfer(id, agent(0), agent(1), 1, amount);
        let pay = Command { flags: flags::KEYED, ..pay };
        self.agent(agent(0), &with(pay, &[(TAG_KEY, text.as_bytes())]), &[expected]);
    }

    fn keys_and_chains(&mut self) {
        self.keyed("order 1", 700, OK);
        self.keyed("order 1", 700, OK);
        self.keyed("order 1", 701, Status::IdReused);
        self.keyed("order 2", 800, OK);
        let linked = |command: Command| Command { flags: flags::LINKED, ..command };
        let hold = Command::hold(self.rig.id(), agent(0), agent(2), 1, 2_000, 0);
        let chain = [linked(self.payment(0, 500)), linked(hold), self.payment(0, 600)];
        self.agent(agent(0), &chain, &[OK; 3]);
        let chain = [linked(self.payment(0, 500)), self.payment(0, 9_000_000)];
        let expected = [Status::LinkedFailed, Status::InsufficientFunds];
        self.agent(agent(0), &chain, &expected);
        let open = linked(self.payment(0, 500));
        self.agent(agent(0), &[open], &[Status::ChainOpen]);
    }

    fn placed(&mut self, timeout_ms: u32, bits: u16) -> Command {
        let hold = Command::hold(self.rig.id(), agent(0), agent(1), 1, 5_000, timeout_ms);
        let hold = Command { flags: bits, ..hold };
        self.agent(agent(0), &[hold], &[OK]);
        hold
    }

    fn hold(&mut self) {
        let (part, kept, freed) =
            (self.placed(0, 0), self.placed(0, flags::KEEP), self.placed(0, 0));
        let capture = Command::capture(self.rig.id(), &part, Some(2_000));
        self.agent(agent(1), &[capture], &[OK]);
        let some = Command::capture(self.rig.id(), &kept, Some(1_000));
        self.agent(agent(1), &[Command { flags: flags::KEEP, ..some }], &[OK]);
        let rest = Command::capture(self.rig.id(), &kept, None);
        self.agent(agent(1), &[rest], &[OK]);
        let release = Command::release(self.rig.id(), &freed);
        self.agent(agent(1), &[release], &[OK]);
        let again = Command::release(self.rig.id(), &freed);
        self.agent(agent(1), &[again], &[Status::HoldNotFound]);
        // One expires on the idle frame, one as a request comes, two stay.
        self.placed(2_000, 0);
        self.rig.now_ns += 3 * SECOND;
        self.rig.turn();
        self.placed(2_000, 0);
        self.rig.now_ns += 3 * SECOND;
        self.placed(86_400_000, 0);
        self.placed(10 * 86_400_000, flags::KEEP);
    }

    fn restrict(&mut self) {
        let north = (Role::Registry, NORTH);
        let about = |command| Command { debit: agent(1), asset: 1, ..command };
        let freeze = Command { code: 7, ..about(self.of(Kind::Freeze)) };
        self.act(north, &[freeze], &[OK]);
        let pay = self.payment(1, 100);
        self.agent(agent(1), &[pay], &[Status::DebtorFrozen]);
        let unfreeze = about(self.of(Kind::Unfreeze));
        self.act(north, &[unfreeze], &[OK]);
        let only = Command { debit: agent(1), code: 1, ..self.of(Kind::AgentOnly) };
        self.agent(agent(1), &[only], &[OK]);
        let pay = self.payment(1, 100);
        self.act(north, &[pay], &[Status::NotFound]);
        let both = Command { debit: agent(1), code: 0, ..self.of(Kind::AgentOnly) };
        self.agent(agent(1), &[both], &[OK]);
        let total = Command { amount: 100_000, ..self.of(Kind::Configure) };
        self.chief(&[Command { code: Parameter::CreditTotal.number(), ..total }], OK);
        let lend =
            Command { reference: 50_000, debit: agent(3), asset: 1, ..self.of(Kind::Limits) };
        self.chief(&[lend], OK);
        let keep = Command { amount: 123, debit: agent(2), asset: 1, ..self.of(Kind::Limits) };
        self.chief(&[keep], OK);
        let deep = Command::transfer(self.rig.id(), agent(3), agent(0), 1, 530_000);
        self.agent(agent(3), &[deep], &[OK]);
        let limit = Command { amount: 1_000, credit: NORTH, ..self.of(Kind::Configure) };
        self.chief(&[Command { code: Parameter::HostDebitLimit.number(), ..limit }], OK);
        let (small, large) = (self.payment(1, 600), self.payment(1, 600));
        self.act(north, &[small, large], &[OK, Status::HostLimit]);
        let fee = Command { amount: 7_000, ..self.of(Kind::Configure) };
        self.chief(&[Command { code: Parameter::FeeBase.number(), ..fee }], OK);
        self.keyed("order 3", 900, OK);
    }

    fn move_system_units(&mut self) {
        let of = |story: &mut Self, debit, credit, amount| Command {
            debit,
            credit,
            amount,
            asset: 1,
            code: reason::PAYOUT,
            ..story.of(Kind::SystemTransfer)
        };
        let gather = of(self, system::fee_collector(1), system::treasury(1), 100);
        self.chief(&[gather], OK);
        let fund = of(self, system::treasury(1), system::GRANT_POOL, 30);
        self.chief(&[fund], OK);
        let off = of(self, system::treasury(1), agent(2), 20);
        self.chief(&[Command { code: reason::WRITE_OFF, ..off }], OK);
        let wrong = of(self, system::GRANT_POOL, agent(2), 1);
        self.chief(&[wrong], Status::Route);
        let of = |story: &mut Self, owner, code| Command {
            debit: owner,
            amount: 250,
            asset: 1,
            code,
            ..story.of(Kind::Burn)
        };
        let burn = of(self, agent(2), reason::ORDINARY);
        self.agent(agent(2), &[burn], &[OK]);
        let correction = of(self, agent(0), reason::CORRECTION);
        self.mint(&with(correction, &[(TAG_REASON, b"paid out by hand")]), OK);
        let close = Command { debit: ERIN, credit: agent(2), asset: 1, ..self.of(Kind::Close) };
        self.agent(ERIN, &[close], &[OK]);
        let late = Command::issue(self.rig.id(), ERIN, 1, 1);
        self.mint(&[late], Status::CreditorClosed);
    }

    fn rule(&mut self) {
        let halt = self.of(Kind::HaltMint);
        self.mint(&[halt], OK);
        let issue = Command::issue(self.rig.id(), agent(0), 1, 1);
        self.mint(&[issue], Status::MintHalted);
        let resume = self.of(Kind::ResumeMint);
        self.mint(&[resume], OK);
        let moving = Command { debit: agent(2), credit: NORTH, ..self.of(Kind::Rehost) };
        self.agent(agent(2), &[moving], &[OK]);
        let accepted = Command { debit: agent(2), credit: NORTH, ..self.of(Kind::Rehost) };
        self.act((Role::Registry, NORTH), &[accepted], &[OK]);
        let refused = Command { debit: agent(3), credit: NORTH, ..self.of(Kind::Rehost) };
        self.act((Role::Registry, NORTH), &[refused], &[Status::HostRefuses]);
        self.restart();
        // The announced fee holds, and what is settled may be forgotten.
        self.rig.now_ns += (FEE_NOTICE_MS + 1) * MS;
        let executed = self.rig.stages.marks.watermarks().executed;
        self.rig.stages.marks.settle(executed - 3);
        let pay = self.payment(3, 60_000);
        self.agent(agent(3), &[pay], &[Status::InsufficientFunds]);
        let pay = Command { value: 6_999, ..self.payment(2, 1_000) };
        self.agent(agent(2), &[pay], &[Status::FeeAboveLimit]);
        self.keyed("order 1", 700, Status::KeyUnchecked);
        self.rig.history_checked = executed - 3;
        self.keyed("order 4", 1_000, OK);
        self.idle();
    }

    /// Records of several payments each.
    fn bulk(&mut self, records: u128, count: usize) {
        for n in 0..records {
            let pays: Vec<_> = (0..count).map(|at| self.payment(n % 2, 10 + at as u128)).collect();
            let expected = vec![OK; count];
            self.agent(agent(n % 2), &pays, &expected);
        }
    }

    fn end(&mut self) {
        self.bulk(8, 40);
        self.idle();
        self.bulk(3, 1);
        self.stop();
    }
}

/// `command` with data.
fn with(command: Command, entries: &[(u16, &[u8])]) -> Vec<Command> {
    let slots = data::encode(entries);
    let data = u16::try_from(slots.len()).expect("data are short");
    [vec![Command { data, ..command }], slots].concat()
}
