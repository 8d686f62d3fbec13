//! Random frames and random streams of commands, biased toward the edges of the rules. A plan is
//! nothing but seeds, so that proptest can drop records, requests and commands from it; the world
//! turns the seeds into commands while it remembers what was sent, so that ids repeat and holds
//! are captured. It refuses to make requests whose structure no frame would journal.
//! Invariant: the same plan gives the same requests.

use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use protocol::command::{Command, flags};
use protocol::genesis::{Genesis, Mode};
use protocol::ids::{AssetId, CommandId, OwnerId};
use protocol::kind::Kind;
use protocol::parameter::{Parameter, Parameters};
use protocol::reply::Outcome;
use protocol::request::{Request, Role};
use protocol::system;
use protocol::{data, key};
use zerocopy::IntoBytes;

use crate::model::Model;

const DAY_MS: u64 = 86_400_000;
const MS_NS: u64 = 1_000_000;
const SUPPLY_MAX: u128 = 1 << 120;

pub(crate) const ADMIN: u128 = 0xad << 96;
pub(crate) const MINT: u128 = 0xbb << 96;

pub(crate) const fn agent(number: u128) -> OwnerId {
    (0xa0 << 96) | number
}

pub(crate) const fn registry(number: u128) -> OwnerId {
    (0xe0 << 96) | number
}

const AGENTS: u64 = 6;
const REGISTRIES: u64 = 3;

const EDGE_AMOUNTS: [u128; 24] = [
    0,
    1,
    2,
    3,
    199,
    200,
    201,
    999_999,
    1_000_000,
    1_000_001,
    1_999_999,
    17_592_186_044_415,
    17_592_186_044_416,
    (1 << 64) - 1,
    1 << 64,
    SUPPLY_MAX - 1,
    SUPPLY_MAX,
    SUPPLY_MAX + 1,
    (1 << 127) - 2,
    (1 << 127) - 1,
    1 << 127,
    (1 << 127) + 1,
    u128::MAX - 1,
    u128::MAX,
];

/// Numbers out of a seed (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound.max(1)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn wide(&mut self) -> u128 {
        (u128::from(self.roll()) << 64) | u128::from(self.roll())
    }
}

/// Seeds of one request: its own, and one for each command.
#[derive(Clone, Debug)]
pub(crate) struct RequestPlan {
    pub(crate) seed: u64,
    pub(crate) commands: Vec<u64>,
}

/// Seeds of one journal record.
#[derive(Clone, Debug)]
pub(crate) struct RecordPlan {
    pub(crate) seed: u64,
    pub(crate) requests: Vec<RequestPlan>,
}

/// Seeds of a frame and its whole stream.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) records: Vec<RecordPlan>,
}

/// Plans of up to `records` records with requests of up to `commands` seeds.
pub(crate) fn plans(records: usize, commands: usize) -> impl Strategy<Value = Plan> {
    let seed = || any::<u64>().no_shrink();
    let request = (seed(), vec(seed(), 1..=commands));
    let request = request.prop_map(|(seed, commands)| RequestPlan { seed, commands });
    let record = (seed(), vec(request, 1..5));
    let record = record.prop_map(|(seed, requests)| RecordPlan { seed, requests });
    (seed(), vec(record, 1..=records)).prop_map(|(seed, records)| Plan { seed, records })
}

/// Whether the frame of this seed has room for everything and time goes by slowly.
const fn is_gentle(seed: u64) -> bool {
    seed.is_multiple_of(2)
}

/// A frame, mostly with small tables.
pub(crate) fn genesis(seed: u64) -> Genesis {
    let mut dice = Dice::new(seed);
    let mut parameters = Parameters::default();
    // Large enough that no pair is evicted; evictions have a test of their own.
    parameters = parameters.with(Parameter::PairsCapacity, 1 << 12);
    let choices: [(Parameter, &[u128]); 17] = [
        (Parameter::FeeBase, &[5_000, 5_000, 7_777, 50_000]),
        (Parameter::FeeMax, &[50_000, 50_000, 49_999]),
        (Parameter::VelocityWindowMs, &[60_000, 1_000, 3_600_000, 86_400_000]),
        (Parameter::VelocityFree, &[1, 2, 3, 10]),
        (Parameter::VelocityCap, &[11, 12, 20, 110]),
        (Parameter::HoldDefaultMs, &[1, 1_000, 60_000, 604_800_000]),
        (Parameter::HoldMaxMs, &[604_800_000, 2_592_000_000]),
        (Parameter::HoldsCapacity, &[1, 3, 8, 64]),
        (Parameter::HoldsPerDebtor, &[1, 2, 4, 1_024]),
        (Parameter::IdsWindowMs, &[10_000, 60_000, 120_000, 86_400_000]),
        (Parameter::IdsMinWindowMs, &[1_000, 2_500, 10_000]),
        (Parameter::IdsCapacity, &[64, 70, 100, 4_096]),
        (Parameter::AccountsCapacity, &[16, 20, 28, 40, 64, 4_096, 4_096]),
        (Parameter::ChainLength, &[2, 3, 5, 64]),
        (Parameter::CreditTotal, &[0, 1_000, 1_000_000, SUPPLY_MAX]),
        (Parameter::KeysWindowMs, &[1_000, 10_000, 60_000, 86_400_000]),
        (Parameter::KeysCapacity, &[64, 64, 70, 4_096]),
    ];
    let generous = is_gentle(seed);
    for (parameter, values) in choices {
        let small = parameter.is_capacity() || parameter == Parameter::HoldsPerDebtor;
        let value = match values.last() {
            Some(&largest) if generous && small => largest,
            _ => dice.pick(values),
        };
        parameters = parameters.with(parameter, value);
    }
    let fee_max = parameters.value(Parameter::FeeMax);
    if parameters.value(Parameter::FeeBase) > fee_max {
        parameters = parameters.with(Parameter::FeeBase, fee_max);
    }
    parameters = parameters
        .with(Parameter::HostDebitLimit, dice.pick(&[0, 0, 5_000, 50_000]))
        .with(Parameter::HostDebitWindowMs, dice.pick(&[1_000, 60_000, 86_400_000]));
    let genesis = Genesis {
        frame: dice.wide(),
        hash_seed: dice.wide(),
        mode: if dice.one_in(12) { Mode::Operator } else { Mode::Frame },
        scale: dice.pick(&[0, 2, 6, 18]),
        name: "AVT".into(),
        trust_domain: "frame.test".into(),
        parameters,
    };
    genesis.validate().expect("the choices fit one another");
    genesis
}

/// One request as the journal holds it.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) request: Request,
    pub(crate) slots: Vec<Command>,
}

impl Sent {
    pub(crate) fn new(role: Role, principal: u128, parts: &[Part]) -> Self {
        let mut slots = Vec::new();
        for (command, data) in parts {
            slots.push(*command);
            slots.extend_from_slice(data);
        }
        let request = Request {
            principal,
            role: role as u16,
            slots: slots.len() as u32,
            ..Request::default()
        };
        Self { request, slots }
    }

    /// Its first command alone.
    pub(crate) fn first(&self) -> Self {
        let slots = self.slots[..1 + usize::from(self.slots[0].data)].to_vec();
        let request = Request { slots: slots.len() as u32, ..self.request };
        Self { request, slots }
    }
}

/// A command and its data.
pub(crate) type Part = (Command, Vec<Command>);

/// What the stream has been so far.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) now_ns: u64,
    parameters: Parameters,
    gentle: bool,
    sent: Vec<(Request, Vec<Part>)>,
    holds: Vec<Command>,
    /// When something falls due, in nanoseconds.
    moments: Vec<u64>,
    tail: u128,
    /// One in so many commands has a string key.
    keyed: u64,
    /// Highest sequence whose key was forgotten.
    forgotten_through: u64,
}

impl World {
    pub(crate) fn new(seed: u64, genesis: &Genesis) -> Self {
        let mut dice = Dice::new(seed ^ 0x77);
        // Mostly long after the epoch, sometimes inside the first window.
        let start_ms = dice.pick(&[0, 1_500, 1_000_000_000, 1_700_000_000_000]);
        Self {
            now_ns: start_ms * MS_NS,
            parameters: genesis.parameters,
            gentle: is_gentle(seed),
            sent: Vec::new(),
            holds: Vec::new(),
            moments: Vec::new(),
            tail: 0,
            keyed: dice.pick(&[1, 2, 6, 20, 20]),
            forgotten_through: 0,
        }
    }

    fn now_ms(&self) -> u64 {
        self.now_ns / MS_NS
    }

    /// Moves journal time on.
    pub(crate) fn advance(&mut self, seed: u64) {
        let mut dice = Dice::new(seed);
        if dice.one_in(10)
            && let Some(moment) = self.moment(&mut dice)
        {
            self.now_ns = moment;
            return;
        }
        let sides = if self.gentle { 20 } else { 24 };
        let step_ns = match dice.below(sides) {
            0 => 1,
            1 => 999,
            2..=9 => dice.below(50 * MS_NS) + 1,
            10..=14 => dice.below(2_000 * MS_NS) + 1,
            15 => 1_000 * MS_NS,
            16 => 5_000 * MS_NS,
            17 | 18 => {
                let window = self.parameters.value(dice.pick(&[
                    Parameter::VelocityWindowMs,
                    Parameter::IdsWindowMs,
                    Parameter::HostDebitWindowMs,
                ]));
                window as u64 * MS_NS / dice.pick(&[1, 1, 2, 3])
            }
            19 => 60_000 * MS_NS,
            20 | 21 => dice.pick(&[3_600_000, 3_600_001, 7_200_000]) * MS_NS,
            22 => dice.pick(&[1, 7, 8]) * DAY_MS * MS_NS,
            _ => 31 * DAY_MS * MS_NS,
        };
        self.now_ns += step_ns;
    }

    /// A time to come at which, or just before or after which, something falls due.
    fn moment(&mut self, dice: &mut Dice) -> Option<u64> {
        self.moments.retain(|&moment| moment > self.now_ns + 1);
        let window = dice.pick(&[
            Parameter::VelocityWindowMs,
            Parameter::HostDebitWindowMs,
            Parameter::IdsWindowMs,
        ]);
        let window_ns = self.parameters.value(window) as u64 * MS_NS;
        let next_window = (self.now_ns / window_ns + 1) * window_ns;
        let due = match dice.below(3) {
            0 => next_window,
            1 => *self.moments.iter().min()?,
            _ if self.moments.is_empty() => return None,
            _ => dice.pick(&self.moments),
        };
        let moment = due + dice.pick(&[0, 0, 1, MS_NS]) - dice.pick(&[0, 0, 1]);
        (moment > self.now_ns).then_some(moment)
    }

    /// Remembers when the command falls due.
    fn note_moment(&mut self, command: &Command) {
        let now_ms = self.now_ms();
        if command.kind == Kind::Configure.number() {
            let at_ms = match command.value {
                0 => now_ms + 3_600_000,
                named => named,
            };
            if at_ms < now_ms + 7_200_000 {
                self.moments.push(at_ms * MS_NS);
            }
        } else if command.kind == Kind::Hold.number() && command.timeout_ms < DAY_MS as u32 {
            let lifetime_ms = match command.timeout_ms {
                0 => self.parameters.value(Parameter::HoldDefaultMs) as u64,
                named => u64::from(named),
            };
            self.moments.push(self.now_ns + lifetime_ms * MS_NS);
        }
    }

    /// Opens and funds accounts, so that what follows is not refused for want of them.
    pub(crate) fn prelude(&mut self, seed: u64) -> Vec<Sent> {
        let mut dice = Dice::new(seed ^ 0x5151);
        if dice.one_in(16) {
            return Vec::new();
        }
        let mut all = Vec::new();
        for host in 0..2 {
            let mut parts = Vec::new();
            for number in 0..3 {
                let id = self.plain_id();
                let owner = agent(2 * number + host);
                if owner != agent(5) {
                    parts.push((Command::open(id, owner, 1), Vec::new()));
                }
            }
            all.push(self.send(Role::Registry, registry(host), parts));
        }
        let open = Command::open(self.plain_id(), agent(5), 1);
        all.push(self.send(Role::Agent, agent(5), vec![(open, Vec::new())]));
        let mut asset = Command::new(Kind::Asset, self.plain_id());
        asset.asset = 2;
        asset.value = 2;
        let name = data::encode(&[(data::TAG_NAME, b"GOLD")]);
        asset.data = 1;
        all.push(self.send(Role::Admin, ADMIN, vec![(asset, name)]));
        for number in 0..2 {
            let open = Command::open(self.plain_id(), agent(number), 2);
            all.push(self.send(Role::Agent, agent(number), vec![(open, Vec::new())]));
        }
        let mut parts = Vec::new();
        for number in 0..AGENTS {
            for asset in 1..=2 {
                let amount = dice.pick(&[1_000, 100_000, 10_000_000, 1 << 119]);
                let owner = agent(u128::from(number));
                let issue = Command::issue(self.plain_id(), owner, asset, amount);
                parts.push((issue, Vec::new()));
            }
        }
        all.push(self.send(Role::Mint, MINT, parts));
        all
    }

    /// An id of this moment that was never used.
    fn plain_id(&mut self) -> CommandId {
        self.tail += 1;
        CommandId::new(self.now_ms(), self.tail)
    }

    fn send(&mut self, role: Role, principal: u128, parts: Vec<Part>) -> Sent {
        let sent = Sent::new(role, principal, &parts);
        self.keep(sent.request, parts);
        sent
    }

    fn keep(&mut self, request: Request, parts: Vec<Part>) {
        for (command, _) in &parts {
            self.note_moment(command);
        }
        self.sent.push((request, parts));
    }

    /// Learns what became of the last request, so that captures name holds that are open; now and
    /// then one that is not.
    fn learn(&mut self, outcomes: &[Outcome]) {
        let (_, parts) = self.sent.last().expect("something was sent");
        for ((command, _), outcome) in parts.iter().zip(outcomes) {
            let placed = outcome.status.is_ok() && !outcome.repeat;
            let is_hold = command.kind == Kind::Hold.number();
            if is_hold && (placed || outcome.sequence % 16 == 0) {
                self.holds.push(*command);
            }
            let ends = command.kind == Kind::Release.number()
                || (command.kind == Kind::Capture.number() && !command.has(flags::KEEP));
            if ends && placed && outcome.sequence % 4 != 0 {
                self.holds.retain(|hold| hold.id != command.reference);
            }
        }
    }

    /// The next request of the stream.
    pub(crate) fn request(&mut self, plan: &RequestPlan) -> Sent {
        let mut dice = Dice::new(plan.seed);
        let (request, mut parts) = match dice.below(20) {
            0 | 1 if !self.sent.is_empty() => self.replay(&mut dice),
            _ => self.fresh(&mut dice, &plan.commands),
        };
        if dice.one_in(5) {
            link(&mut dice, &mut parts);
        }
        for (command, slots) in &mut parts {
            if dice.one_in(40) {
                flip(&mut dice, command, slots);
            }
        }
        let mut slots = Vec::new();
        for (command, data) in &parts {
            slots.push(*command);
            slots.extend_from_slice(data);
        }
        let request = Request { slots: slots.len() as u32, ..request };
        self.keep(request, parts);
        Sent { request, slots }
    }

    fn fresh(&mut self, dice: &mut Dice, seeds: &[u64]) -> (Request, Vec<Part>) {
        let some_agent = agent(u128::from(dice.below(AGENTS)));
        let some_registry = registry(u128::from(dice.below(REGISTRIES)));
        let (role, principal) = match dice.below(32) {
            0..=12 => (Role::Agent as u16, some_agent),
            13..=18 => (Role::Registry as u16, some_registry),
            19..=21 => (Role::Mint as u16, MINT),
            22..=25 => (Role::Admin as u16, ADMIN),
            26..=28 => match self.holds.last() {
                Some(hold) => (Role::Agent as u16, hold.credit),
                None => (Role::Agent as u16, some_agent),
            },
            29 => (Role::Registry as u16, some_agent),
            30 => (Role::Engine as u16, 1 << 90),
            _ => {
                let owner = self.owner(dice);
                (dice.pick(&[0, 1, 2, 3, 4, 5, 6, 9]), owner)
            }
        };
        let mut parts = if role == Role::Admin as u16 && dice.one_in(20) {
            (0..18).map(|_| self.announcement(dice)).collect()
        } else if role == Role::Agent as u16 && dice.one_in(5) {
            self.salvo(dice, principal, 4 * seeds.len())
        } else if role == Role::Registry as u16 && dice.one_in(4) {
            self.births(dice, principal, seeds.len())
        } else {
            seeds.iter().map(|&seed| self.part(&mut Dice::new(seed), role, principal)).collect()
        };
        let mut request = Request { principal, role, ..Request::default() };
        for part in &mut parts {
            if dice.one_in(self.keyed) {
                self.give_key(dice, principal, part);
            }
        }
        request.history_checked = self.checked(dice);
        (request, parts)
    }

    /// When the history was asked: mostly late enough.
    fn checked(&self, dice: &mut Dice) -> u64 {
        match dice.below(10) {
            0 => 0,
            1 => self.forgotten_through.saturating_sub(1),
            2 | 3 => self.forgotten_through,
            4 => self.forgotten_through + 1,
            _ => u64::MAX,
        }
    }

    /// Puts a string key, now and then a bad one, and perhaps an id in the place of the id.
    fn give_key(&mut self, dice: &mut Dice, principal: u128, (command, slots): &mut Part) {
        let text = match dice.below(24) {
            0 => dice.pick(&["", "tab\t", "ü"]).to_string(),
            1..=6 => format!("order {}", dice.below(8)),
            _ => format!("order {}", dice.roll()),
        };
        let own = match dice.below(12) {
            0 => command.id,
            1..=3 => self.id(dice).0,
            _ => 0,
        };
        let of = if dice.one_in(40) { principal ^ 1 } else { principal };
        command.id = key::id(of, text.as_bytes());
        command.flags |= flags::KEYED;
        let own_bytes = own.to_le_bytes();
        let mut all: Vec<(u16, &[u8])> = Vec::new();
        let old = std::mem::take(slots);
        all.extend(data::entries(&old));
        if own != 0 || dice.one_in(60) {
            all.push((data::TAG_ID, &own_bytes));
        }
        if !dice.one_in(60) {
            all.push((data::TAG_KEY, text.as_bytes()));
        }
        *slots = data::encode(&all);
        command.data = slots.len() as u16;
    }

    /// Something sent before: again, in part, in another order, changed, or by another.
    fn replay(&mut self, dice: &mut Dice) -> (Request, Vec<Part>) {
        let recent = self.sent.len().min(12) as u64;
        let at = self.sent.len() - 1 - dice.below(recent) as usize;
        let (mut request, mut parts) = self.sent[at].clone();
        match dice.below(8) {
            0 => parts.reverse(),
            1 => parts.truncate(1 + dice.below(parts.len() as u64) as usize),
            2 => {
                let at = dice.below(parts.len() as u64) as usize;
                parts = vec![parts[at].clone()];
                parts[0].0.flags &= !flags::LINKED;
            }
            3 => {
                let at = dice.below(parts.len() as u64) as usize;
                parts[at].0.amount ^= 1;
            }
            4 => {
                let again = parts.clone();
                parts.extend(again);
            }
            5 => {
                request.role = Role::Registry as u16;
                request.principal = registry(u128::from(dice.below(REGISTRIES)));
            }
            _ => {}
        }
        request.history_checked = self.checked(dice);
        (request, parts)
    }

    /// What a record says is settled: never more than was executed.
    fn settled(&self, seed: u64, executed: u64) -> u64 {
        let mut dice = Dice::new(seed ^ 0x5e77);
        match dice.below(4) {
            0 => 0,
            1 => executed - dice.below(executed.min(100) + 1),
            2 => executed / 2,
            _ => executed,
        }
    }

    fn owner(&self, dice: &mut Dice) -> OwnerId {
        match dice.below(80) {
            0..=38 => agent(u128::from(dice.below(3))),
            39..=73 => agent(u128::from(dice.below(AGENTS))),
            74 => agent(77),
            75 => registry(u128::from(dice.below(REGISTRIES))),
            76 => system::treasury(dice.below(4) as u32),
            77 => system::fee_collector(dice.below(4) as u32),
            78 => dice.pick(&[system::STAKING_POOL, system::GRANT_POOL]),
            _ => dice.pick(&[
                0,
                1,
                system::GRANT_POOL + 1,
                system::owner(system::Class::Bridge, 0),
                system::owner(system::Class::Transit, 1),
                u128::from(u64::MAX),
                1 << 64,
                u128::MAX,
            ]),
        }
    }

    fn asset(dice: &mut Dice) -> AssetId {
        match dice.below(24) {
            0..=19 => 1,
            20..=22 => 2,
            _ => dice.pick(&[0, 3, 99, u32::MAX]),
        }
    }

    fn amount(dice: &mut Dice) -> u128 {
        match dice.below(8) {
            0 => dice.pick(&EDGE_AMOUNTS),
            1 => u128::from(dice.below(10)),
            2 => u128::from(dice.below(5_000_000)),
            _ => u128::from(dice.below(3_000)) + 2,
        }
    }

    fn id(&mut self, dice: &mut Dice) -> CommandId {
        let now_ms = self.now_ms();
        let window = self.parameters.value(Parameter::IdsWindowMs) as u64;
        let floor = now_ms.saturating_sub(window) / 1_000 * 1_000;
        let at_ms = match dice.below(32) {
            0 => now_ms + 5_000,
            1 => now_ms + 5_001,
            2 => now_ms + dice.below(5_000),
            3 => floor,
            4 => floor.saturating_sub(1),
            5 => floor + 1,
            6 => floor + dice.below(window),
            7 => now_ms.saturating_sub(dice.below(20_000)),
            8 => dice.pick(&[0, 1, (1 << 48) - 1]),
            _ => now_ms.saturating_sub(dice.below(300)),
        };
        if dice.one_in(60) {
            return CommandId(0);
        }
        if dice.one_in(40)
            && let Some((_, parts)) = self.sent.last()
        {
            return CommandId(parts[0].0.id);
        }
        CommandId::new(at_ms, u128::from(dice.roll()) | (1 << 70))
    }

    /// One command as such a caller might send it.
    fn part(&mut self, dice: &mut Dice, role: u16, principal: u128) -> Part {
        let is_payee = self.holds.last().is_some_and(|hold| hold.credit == principal);
        let kind = match (Role::from_number(role), dice.below(100)) {
            (Some(Role::Agent), 0..=49) if is_payee => Kind::Capture,
            (_, 97..) => dice.pick(&Kind::ALL[..20]),
            (Some(Role::Agent), 0..=39) => Kind::Transfer,
            (Some(Role::Agent), 40..=57) => Kind::Hold,
            (Some(Role::Agent), 58..=75) => Kind::Capture,
            (Some(Role::Agent), 76..=80) => Kind::Release,
            (Some(Role::Agent), 81..=84) => Kind::Open,
            (Some(Role::Agent), 85..=87) => Kind::Rehost,
            (Some(Role::Agent), 88..=89) => Kind::Close,
            (Some(Role::Agent), 90..=91) => Kind::AgentOnly,
            (Some(Role::Agent), _) => Kind::Burn,
            (Some(Role::Registry), 0..=29) => Kind::Transfer,
            (Some(Role::Registry), 30..=44) => Kind::Hold,
            (Some(Role::Registry), 45..=54) => Kind::Capture,
            (Some(Role::Registry), 55..=58) => Kind::Release,
            (Some(Role::Registry), 59..=73) => Kind::Open,
            (Some(Role::Registry), 74..=81) => Kind::Rehost,
            (Some(Role::Registry), 82..=85) => Kind::Freeze,
            (Some(Role::Registry), 86..=91) => Kind::Unfreeze,
            (Some(Role::Registry), 92..=95) => Kind::Limits,
            (Some(Role::Registry), _) => Kind::Close,
            (Some(Role::Mint), 0..=59) => Kind::Issue,
            (Some(Role::Mint), 60..=84) => Kind::Burn,
            (Some(Role::Mint), 85..=87) => Kind::HaltMint,
            (Some(Role::Mint), _) => Kind::ResumeMint,
            (Some(Role::Admin), 0..=14) => Kind::Open,
            (Some(Role::Admin), 15..=17) => Kind::Freeze,
            (Some(Role::Admin), 18..=26) => Kind::Unfreeze,
            (Some(Role::Admin), 27..=39) => Kind::Limits,
            (Some(Role::Admin), 40..=46) => Kind::Rehost,
            (Some(Role::Admin), 47..=67) => Kind::SystemTransfer,
            (Some(Role::Admin), 68..=87) => Kind::Configure,
            (Some(Role::Admin), 88..=92) => Kind::Asset,
            (Some(Role::Admin), 93) => Kind::HaltMint,
            (Some(Role::Admin), 94..=95) => Kind::Freeze,
            (Some(Role::Admin), _) => Kind::Close,
            (Some(Role::Engine), _) => Kind::Tick,
            _ => dice.pick(&Kind::ALL[..20]),
        };
        let kind = match kind {
            Kind::Close if self.gentle && !dice.one_in(4) => Kind::Transfer,
            Kind::Freeze if self.gentle && !dice.one_in(3) => Kind::Unfreeze,
            other => other,
        };
        let id = self.id(dice);
        let mut command = Command::new(kind, id);
        self.fill(dice, &mut command, kind, role, principal);
        let slots = slots_for(dice, &command, kind);
        command.data = slots.len() as u16;
        (command, slots)
    }

    fn fill(
        &mut self,
        dice: &mut Dice,
        command: &mut Command,
        kind: Kind,
        role: u16,
        principal: u128,
    ) {
        let is_agent = role == Role::Agent as u16;
        let own = |world: &Self, dice: &mut Dice| {
            let hosted = agent(2 * u128::from(dice.below(3)) + (principal & 1));
            if is_agent && !dice.one_in(24) {
                principal
            } else if role == Role::Registry as u16 && !dice.one_in(4) {
                hosted
            } else {
                world.owner(dice)
            }
        };
        match kind {
            Kind::Transfer | Kind::Hold => {
                command.debit = own(self, dice);
                command.credit = self.owner(dice);
                if command.credit == command.debit && !dice.one_in(12) {
                    command.credit = self.owner(dice);
                }
                command.asset = Self::asset(dice);
                command.amount = Self::amount(dice);
                command.value = max_rate(dice);
                if kind == Kind::Hold {
                    command.timeout_ms = self.timeout(dice);
                    command.flags = dice.pick(&[0, flags::KEEP]);
                }
            }
            Kind::Capture | Kind::Release => self.fill_capture(dice, command, kind, principal),
            Kind::Open | Kind::Rehost => {
                command.debit = own(self, dice);
                let to = registry(u128::from(dice.below(REGISTRIES)));
                if kind == Kind::Open {
                    command.asset = Self::asset(dice);
                    let names_host = role == Role::Admin as u16 || dice.one_in(30);
                    command.credit = if names_host { to } else { 0 };
                } else if role == Role::Registry as u16 && !dice.one_in(10) {
                    command.credit = principal;
                } else {
                    command.credit = if dice.one_in(8) { self.owner(dice) } else { to };
                }
            }
            Kind::Freeze | Kind::Unfreeze | Kind::Close => {
                command.debit = own(self, dice);
                command.asset = Self::asset(dice);
                if kind == Kind::Close && !dice.one_in(6) {
                    command.credit = self.owner(dice);
                }
            }
            Kind::Limits => {
                command.debit = self.owner(dice);
                command.asset = Self::asset(dice);
                command.amount = dice.pick(&[0, 0, 1, 500, 100_000, SUPPLY_MAX, SUPPLY_MAX + 1]);
                command.reference = dice.pick(&[0, 1, 1_000, 5_000, 5_000, 1 << 119, u128::MAX]);
            }
            Kind::AgentOnly => {
                command.debit = own(self, dice);
                command.code = dice.pick(&[0, 0, 0, 1, 2]);
            }
            _ => self.fill_frame(dice, command, kind, role, principal),
        }
    }

    /// Kinds of the frame's own roles.
    fn fill_frame(
        &mut self,
        dice: &mut Dice,
        command: &mut Command,
        kind: Kind,
        role: u16,
        principal: u128,
    ) {
        match kind {
            Kind::SystemTransfer => {
                let host = dice.below(3) as u32;
                let from = [system::fee_collector(host), system::treasury(host)];
                command.debit = match dice.below(8) {
                    0 => self.owner(dice),
                    _ => dice.pick(&from),
                };
                let to = [
                    system::treasury(host),
                    system::STAKING_POOL,
                    system::GRANT_POOL,
                    self.owner(dice),
                ];
                command.credit = dice.pick(&to);
                command.asset = Self::asset(dice);
                command.amount = dice.pick(&[1, 2, 10, 100, 0, u128::MAX]);
                command.code = dice.pick(&[5, 5, 5, 6, 6, 1]);
            }
            Kind::Issue => {
                command.credit = self.owner(dice);
                command.asset = Self::asset(dice);
                command.amount = match dice.below(4) {
                    0 => dice.pick(&EDGE_AMOUNTS),
                    _ => u128::from(dice.below(1_000_000)) + 1,
                };
                command.code = dice.pick(&[1, 1, 1, 2, 3, 4, 0, 5]);
            }
            Kind::Burn => {
                command.code = dice.pick(&[1, 1, 1, 3, 3, 2]);
                command.debit = if role == Role::Agent as u16 {
                    principal
                } else {
                    let treasury = system::treasury(dice.below(3) as u32);
                    let owner = self.owner(dice);
                    dice.pick(&[treasury, owner])
                };
                command.asset = Self::asset(dice);
                command.amount = Self::amount(dice);
            }
            Kind::Configure => self.fill_configure(dice, command),
            Kind::Asset => {
                command.asset = dice.pick(&[0, 1, 2, 3, 4, 5]);
                command.value = dice.pick(&[0, 2, 18, 19, u64::MAX, 1 << 32]);
            }
            _ => {}
        }
    }

    fn fill_capture(&self, dice: &mut Dice, command: &mut Command, kind: Kind, by: u128) {
        let of_caller: Vec<&Command> = {
            let mine = |hold: &&Command| {
                let hosted =
                    hold.credit == agent(hold.credit & 7) && by == registry(hold.credit & 1);
                hold.credit == by || hosted
            };
            self.holds.iter().filter(mine).collect()
        };
        let hold = if dice.one_in(5) || of_caller.is_empty() {
            let recent = self.holds.len().min(10) as u64;
            let at = self.holds.len().checked_sub(1 + dice.below(recent) as usize);
            at.map(|at| self.holds[at])
        } else {
            let recent = of_caller.len().min(6) as u64;
            Some(*of_caller[of_caller.len() - 1 - dice.below(recent) as usize])
        };
        let hold = hold.unwrap_or_default();
        command.debit = hold.debit;
        command.credit = hold.credit;
        command.asset = hold.asset;
        command.reference = hold.id;
        match dice.below(24) {
            0 => command.debit = self.owner(dice),
            1 => command.credit = self.owner(dice),
            2 => command.asset = Self::asset(dice),
            3 => command.reference ^= 1,
            _ => {}
        }
        if kind == Kind::Release {
            return;
        }
        command.value = max_rate(dice);
        if dice.one_in(3) {
            command.flags = flags::ALL;
            return;
        }
        if dice.one_in(3) {
            command.flags = flags::KEEP;
        }
        command.amount = match dice.below(8) {
            0 => Self::amount(dice),
            1 => hold.amount,
            2 => hold.amount.saturating_add(1),
            3 => u128::from(dice.below(3)),
            4 => hold.amount / 2,
            _ => u128::from(dice.roll()) % hold.amount.max(1),
        };
    }

    fn fill_configure(&self, dice: &mut Dice, command: &mut Command) {
        let parameter = dice.pick(&Parameter::ALL);
        let bounds = parameter.bounds();
        command.code = parameter.number();
        command.amount = match dice.below(10) {
            0 => bounds.min,
            1 => bounds.max,
            2 => bounds.max + 1,
            3 => bounds.min.saturating_sub(1),
            4 => bounds.default,
            5 => self.parameters.value(parameter),
            6 => self.parameters.value(parameter).saturating_sub(u128::from(dice.one_in(2))),
            _ => self.parameters.value(parameter) + u128::from(dice.below(50)),
        };
        // Tables of the largest size belong into no test.
        if parameter.is_capacity() && command.amount > 1 << 13 && command.amount <= bounds.max {
            command.amount = 1 << 13;
        }
        let hour = self.now_ms() + 3_600_000;
        if parameter.is_fee() || dice.one_in(20) {
            command.value = match dice.below(10) {
                0 => hour - 1,
                1 => hour,
                2 => hour + 1,
                3 => self.now_ms() + 366 * DAY_MS,
                4 => self.now_ms() + 366 * DAY_MS + 1,
                5 => dice.pick(&[1, u64::MAX]),
                6 => hour + dice.below(3_600_000),
                _ => 0,
            };
        }
        if parameter == Parameter::HostDebitLimit || dice.one_in(20) {
            command.credit = match dice.below(6) {
                0 => 0,
                1 => self.owner(dice),
                _ => registry(u128::from(dice.below(REGISTRIES))),
            };
        }
        if dice.one_in(20) {
            command.code = dice.pick(&[0, 21, u16::MAX]);
        }
    }

    /// Many payments and holds of one pair, of which nothing is wrong.
    fn salvo(&mut self, dice: &mut Dice, debit: OwnerId, count: usize) -> Vec<Part> {
        let credit = agent(u128::from(dice.below(AGENTS)));
        let mut parts = Vec::new();
        for _ in 0..count {
            let id = CommandId::new(self.now_ms(), u128::from(dice.roll()));
            let amount = u128::from(dice.below(2_000)) + 3;
            let command = if dice.one_in(5) {
                Command::hold(id, debit, credit, 1, amount, 0)
            } else {
                Command::transfer(id, debit, credit, 1, amount)
            };
            parts.push((command, Vec::new()));
        }
        parts
    }

    /// New accounts that are paid in the same request, in chains that fail and in some that hold.
    fn births(&mut self, dice: &mut Dice, host: u128, count: usize) -> Vec<Part> {
        let payer = agent(2 * u128::from(dice.below(3)) + (host & 1));
        let mut parts = Vec::new();
        for _ in 0..count {
            // A few numbers, so that what one chain took back another opens.
            let owner = agent(100 + u128::from(dice.below(40)));
            let other = agent(100 + u128::from(dice.below(40)));
            let opens = dice.pick(&[owner, owner, other]);
            let asset = dice.pick(&[1, 1, 1, 2]);
            let last_amount = dice.pick(&[1_000, 1_000, 0, 1 << 126]);
            let group = [
                Command::open(self.plain_id(), opens, asset),
                Command::transfer(self.plain_id(), payer, owner, 1, 900),
                Command::hold(self.plain_id(), payer, owner, 1, 500, 0),
                Command::transfer(self.plain_id(), owner, other, 1, 400),
                Command::transfer(self.plain_id(), payer, other, 1, last_amount),
            ];
            let in_chain = dice.one_in(2);
            let len = 1 + dice.below(group.len() as u64) as usize;
            for (at, &command) in group[..len].iter().enumerate() {
                let mut command = command;
                if in_chain && at + 1 < len {
                    command.flags |= flags::LINKED;
                }
                parts.push((command, Vec::new()));
            }
        }
        parts
    }

    /// A fee change within its bounds and announced in time.
    fn announcement(&mut self, dice: &mut Dice) -> Part {
        let parameter = dice.pick(&Parameter::ALL[..5]);
        let mut command = Command::new(Kind::Configure, self.id(dice));
        command.code = parameter.number();
        command.amount = self.parameters.value(parameter);
        command.value = self.now_ms() + 3_600_000 + dice.below(3_600_000);
        (command, Vec::new())
    }

    fn timeout(&self, dice: &mut Dice) -> u32 {
        let longest = self.parameters.value(Parameter::HoldMaxMs) as u32;
        match dice.below(16) {
            0 => longest,
            1 => longest.saturating_add(1),
            2 => u32::MAX,
            3 => 1,
            4..=7 => 0,
            8 => dice.below(100) as u32,
            9 | 10 => dice.below(10_000) as u32,
            11 => 3_600_000,
            _ => DAY_MS as u32,
        }
    }
}

fn max_rate(dice: &mut Dice) -> u64 {
    match dice.below(6) {
        0 => dice.pick(&[1, 4_999, 5_000, 5_001, 7_777, 20_000, 50_000, u64::MAX]),
        _ => 0,
    }
}

/// Good, missing and damaged data.
fn slots_for(dice: &mut Dice, command: &Command, kind: Kind) -> Vec<Command> {
    let tag = match kind {
        Kind::Issue | Kind::Burn if command.code == 3 => data::TAG_REASON,
        Kind::Asset => data::TAG_NAME,
        Kind::Identify => data::TAG_SPIFFE_ID,
        _ if dice.one_in(20) => data::TAG_MEMO,
        _ => return Vec::new(),
    };
    match dice.below(12) {
        0 => Vec::new(),
        1 => data::encode(&[(data::TAG_MEMO, b"not it")]),
        2 => data::encode(&[(99, b"unknown")]),
        3 => vec![Command { id: u128::MAX, ..Command::default() }],
        4 => data::encode(&[(tag, &[b'n'; 64])]),
        5 => data::encode(&[(tag, &[b'n'; 65])]),
        6 => data::encode(&[(data::TAG_MEMO, &[7; 150]), (tag, b"behind a memo")]),
        _ => data::encode(&[(tag, b"a good text")]),
    }
}

/// Links some neighbours.
fn link(dice: &mut Dice, parts: &mut [Part]) {
    let generous = dice.one_in(2);
    let last = parts.len() - 1;
    for (at, (command, _)) in parts.iter_mut().enumerate() {
        let linkable = Kind::try_from(command.kind).is_ok_and(Kind::is_linkable);
        let wanted = if at == last {
            dice.one_in(30)
        } else {
            (generous || dice.one_in(2)) && (linkable || dice.one_in(6))
        };
        if wanted {
            command.flags |= flags::LINKED;
        } else {
            command.flags &= !flags::LINKED;
        }
    }
}

/// Flips one bit of the command or its data, and mends what no frame would journal.
fn flip(dice: &mut Dice, command: &mut Command, slots: &mut [Command]) {
    let in_data = !slots.is_empty() && dice.one_in(3);
    let bytes = if in_data { slots.as_mut_bytes() } else { command.as_mut_bytes() };
    let at = dice.below(bytes.len() as u64) as usize;
    bytes[at] ^= 1 << dice.below(8);
    command.kind &= 0xff;
    command.data = slots.len() as u16;
}

/// One journal record.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) timestamp_ns: u64,
    pub(crate) settled: u64,
    pub(crate) requests: Vec<Sent>,
}

/// A frame and everything that is sent to it.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) genesis: Genesis,
    pub(crate) records: Vec<Record>,
}

/// Turns a plan into what it stands for.
pub(crate) fn stream(plan: &Plan) -> Stream {
    let genesis = genesis(plan.seed);
    let mut world = World::new(plan.seed, &genesis);
    let mut model = Model::new(&genesis);
    world.now_ns += 1;
    let requests = world.prelude(plan.seed);
    let first = Record { timestamp_ns: world.now_ns, settled: 0, requests };
    model.begin_record(world.now_ns, 0);
    for sent in &first.requests {
        model.execute(&sent.request, &sent.slots);
    }
    let mut records = vec![first];
    for record in &plan.records {
        world.advance(record.seed);
        let settled = world.settled(record.seed, model.sequence());
        model.begin_record(world.now_ns, settled);
        let mut requests = Vec::new();
        for plan in &record.requests {
            world.forgotten_through = model.forgotten_through();
            let sent = world.request(plan);
            world.learn(&model.execute(&sent.request, &sent.slots));
            requests.push(sent);
        }
        records.push(Record { timestamp_ns: world.now_ns, settled, requests });
    }
    Stream { genesis, records }
}

/// A number from the environment, to run longer or elsewhere than every build does.
#[expect(clippy::disallowed_methods, reason = "how much is tested, never what the engine does")]
fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs `test` on random plans: the same ones each time, unless `ENGINE_TEST_SEED` is set; as many
/// as `cases`, unless `ENGINE_TEST_CASES` is. A failure shows the smallest plan that fails.
pub(crate) fn check(cases: u32, records: usize, test: impl Fn(&Plan)) {
    check_sized(cases, records, 7, test);
}

/// As [`check`], with requests of up to `commands` seeds.
pub(crate) fn check_sized(cases: u32, records: usize, commands: usize, test: impl Fn(&Plan)) {
    let cases = from_environment("ENGINE_TEST_CASES").map_or(cases, |cases| cases as u32);
    let seed = from_environment("ENGINE_TEST_SEED").unwrap_or(1);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config =
        Config { cases, failure_persistence: None, max_shrink_iters: 4_096, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let result = runner.run(&plans(records, commands), |plan| {
        test(&plan);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
