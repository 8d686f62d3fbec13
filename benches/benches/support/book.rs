//! An engine with funded accounts, and full requests of transfers for it. Seeded: the same calls
//! execute the same commands. Invariant: a refusal stops the benchmark.

use std::ops::Range;

use engine::{Engine, Options, RecordStart};
use protocol::genesis::{Genesis, Mode};
use protocol::parameter::{Parameter, Parameters};
use protocol::reply::Outcomes;
use protocol::{Command, CommandId, OwnerId, Request, Role, Sequence};

pub(crate) const BATCH: u64 = 8_190;
pub(crate) const REGISTRY: u128 = 0xbeef << 64;
const MINT: u128 = 0xfeed << 64;
/// Ten seconds before a window of the velocity table ends: a frame that runs for more than one has
/// pairs of two windows in it.
const BEGIN_NS: u64 = 1_700_000_030_000_000_000;
/// 8 190 transfers at 3 million a second.
const RECORD_NS: u64 = 2_730_000;

pub(crate) struct Bench {
    pub(crate) engine: Engine,
    outcomes: Outcomes,
    now_ns: u64,
    ids: u64,
    random: u64,
    accounts: u64,
}

/// The owner of an account.
pub(crate) fn owner(number: u64) -> OwnerId {
    // As scattered as UUIDs are.
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (u128::from(mixed) << 64) | u128::from(number)
}

impl Bench {
    pub(crate) fn new(accounts: u64) -> Self {
        Self::with(accounts, Parameters::default())
    }

    /// With these parameters, but for those of ids.
    pub(crate) fn with(accounts: u64, parameters: Parameters) -> Self {
        let parameters = parameters
            .with(Parameter::IdsCapacity, 1 << 26)
            .with(Parameter::IdsWindowMs, 5_000)
            .with(Parameter::IdsMinWindowMs, 5_000);
        let genesis = Genesis {
            frame: 1,
            hash_seed: 0x0123_4567_89ab_cdef_0011_2233_4455_6677,
            mode: Mode::Frame,
            scale: 6,
            name: "AVT".into(),
            trust_domain: "frame.test".into(),
            parameters,
        };
        let mut bench = Self {
            engine: Engine::new(&genesis, Options::default()).expect("the genesis is valid"),
            outcomes: Outcomes::with_capacity(BATCH as usize),
            now_ns: BEGIN_NS,
            ids: 0,
            random: 1,
            accounts,
        };
        bench.open(0..accounts);
        bench
    }

    /// Opens and funds accounts. Transfers are between those of [`Self::new`] alone.
    pub(crate) fn open(&mut self, numbers: Range<u64>) {
        for first in numbers.clone().step_by(BATCH as usize) {
            let owners = || (first..numbers.end.min(first + BATCH)).map(owner);
            let opens: Vec<_> = owners().map(|owner| Command::open(self.id(), owner, 1)).collect();
            self.record(Role::Registry, REGISTRY, &opens);
            let issues: Vec<_> =
                owners().map(|owner| Command::issue(self.id(), owner, 1, 1 << 60)).collect();
            self.record(Role::Mint, MINT, &issues);
        }
    }

    pub(crate) fn id(&mut self) -> CommandId {
        self.ids += 1;
        CommandId::new(self.now_ns / 1_000_000, u128::from(self.ids))
    }

    pub(crate) fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    /// Two owners of accounts.
    pub(crate) fn pair(&mut self) -> (OwnerId, OwnerId) {
        let debit = self.random(self.accounts);
        let credit = (debit + 1 + self.random(self.accounts - 1)) % self.accounts;
        (owner(debit), owner(credit))
    }

    /// A request of transfers for the next record.
    pub(crate) fn transfers(&mut self) -> Vec<Command> {
        (0..BATCH)
            .map(|_| {
                let (debit, credit) = self.pair();
                let amount = 1_000_000 + u128::from(self.random(1_000_000));
                Command::transfer(self.id(), debit, credit, 1, amount)
            })
            .collect()
    }

    pub(crate) fn record(&mut self, role: Role, principal: u128, slots: &[Command]) {
        self.now_ns += RECORD_NS;
        self.engine.begin_record(RecordStart {
            first_sequence: Sequence(self.engine.executed().0 + 1),
            timestamp_ns: self.now_ns,
            settled: Sequence(0),
        });
        let request = Request {
            principal,
            role: role as u16,
            slots: u32::try_from(slots.len()).expect("a request has few slots"),
            ..Request::default()
        };
        self.engine.execute(&request, slots, &mut self.outcomes);
        self.engine.end_record();
        assert!(
            self.outcomes.encoded_len() < 64 + 4 * slots.len(),
            "the bench measures executed commands, not refusals"
        );
    }
}
