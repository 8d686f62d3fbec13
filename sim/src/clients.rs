//! The clients: what they want, what they have sent, and what they resend.
//!
//! They know nothing of the frame but its answers. Invariant: an intent keeps its id for ever, and
//! is sent until it has an answer that settles it.

use std::collections::BTreeMap;

use protocol::{Command, CommandId, Kind, Role, data, flags, key};

use crate::class::{Class, Swarm};
use crate::rng::Rng;

const AGENTS: u64 = 5;
pub(crate) const MINT: u128 = 0x317 << 64;
const ASSET: u32 = 1;
/// Intents that may be open at once.
const OPEN_MAX: usize = 40;

pub(crate) fn agent(n: u64) -> u128 {
    u128::from(1 + n) << 64
}

/// Something that a client wants done.
#[derive(Clone)]
pub(crate) struct Intent {
    pub(crate) principal: u128,
    pub(crate) role: Role,
    pub(crate) slots: Vec<Command>,
    pub(crate) commands: u32,
    pub(crate) is_read: bool,
    pub(crate) is_done: bool,
    /// The request that is on its way.
    pub(crate) sent: Option<u64>,
    /// Step at which it is sent (again).
    pub(crate) due: u64,
    pub(crate) tries: u32,
}

impl Intent {
    pub(crate) fn is_keyed(&self) -> bool {
        self.slots[0].has(flags::KEYED)
    }

    /// Whose id, and which, if this is one command.
    pub(crate) fn id(&self) -> Option<(u128, u128)> {
        (self.commands == 1 && !self.is_read).then(|| (self.principal, self.slots[0].id))
    }

    pub(crate) fn body(&self) -> u128 {
        key::body_digest(&self.slots[0], &self.slots[1..])
    }
}

/// A request on its way.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) intent: usize,
    /// Highest sequence that any client had been told when it was sent.
    pub(crate) floor: u64,
}

#[derive(Clone)]
pub(crate) struct Clients {
    pub(crate) intents: Vec<Intent>,
    pub(crate) sent: BTreeMap<u64, Sent>,
    pub(crate) holds: Vec<Command>,
    ids: u128,
    /// What they may want in all.
    most: usize,
}

impl Clients {
    /// Clients that want their accounts opened and filled.
    pub(crate) fn new(now_ms: u64, most: Option<u64>) -> Self {
        let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
        let mut clients =
            Self { intents: Vec::new(), sent: BTreeMap::new(), holds: Vec::new(), ids: 0, most };
        for n in 0..AGENTS {
            let open = Command::open(clients.id(now_ms), agent(n), ASSET);
            clients.want(agent(n), Role::Agent, vec![open], 0);
            let issue = Command::issue(clients.id(now_ms), agent(n), ASSET, 100_000);
            clients.want(MINT, Role::Mint, vec![issue], 40);
        }
        clients
    }

    pub(crate) fn id(&mut self, now_ms: u64) -> CommandId {
        self.ids += 1;
        CommandId::new(now_ms, self.ids)
    }

    fn want(&mut self, principal: u128, role: Role, mut slots: Vec<Command>, due: u64) {
        let commands = protocol::request::Commands::new(&slots).count();
        let is_read = slots[0].kind >= 0x100;
        let base = (self.intents.len() as u64 + 1) * 64;
        let mut at = 0;
        let mut leg = 0;
        while at < slots.len() && !is_read {
            slots[at].user_data = base + leg;
            at += 1 + usize::from(slots[at].data);
            leg += 1;
        }
        self.intents.push(Intent {
            principal,
            role,
            slots,
            commands: u32::try_from(commands).expect("few commands"),
            is_read,
            is_done: false,
            sent: None,
            due,
            tries: 0,
        });
    }

    /// An intent that may be sent now.
    pub(crate) fn due(&self, step: u64) -> Option<usize> {
        let is_due =
            |intent: &Intent| !intent.is_done && intent.sent.is_none() && intent.due <= step;
        self.intents.iter().position(is_due)
    }

    pub(crate) fn open(&self) -> usize {
        self.intents.iter().filter(|intent| !intent.is_done).count()
    }

    /// The process is gone: nobody answers what is on its way.
    pub(crate) fn hang_up(&mut self, step: u64, rng: &mut Rng) {
        self.sent.clear();
        for intent in self.intents.iter_mut().filter(|intent| intent.sent.is_some()) {
            intent.sent = None;
            intent.due = step + rng.below(120);
        }
    }

    /// Wants something more.
    pub(crate) fn think(&mut self, rng: &mut Rng, swarm: &Swarm, step: u64, now_ms: u64) {
        if self.open() >= OPEN_MAX || self.intents.len() >= self.most {
            return;
        }
        if rng.chance(swarm.rate(Class::Duplicates)) {
            let mut again = self.intents[rng.pick(self.intents.len())].clone();
            (again.is_done, again.sent, again.tries) = (false, None, 0);
            again.due = step + rng.below(200);
            self.intents.push(again);
            return;
        }
        if rng.chance(swarm.rate(Class::OtherBodies)) {
            let other = self.intents[rng.pick(self.intents.len())].clone();
            if !other.is_read && other.commands == 1 {
                let mut slots = other.slots;
                slots[0].amount = slots[0].amount.wrapping_add(1);
                self.want(other.principal, other.role, slots, step);
            }
            return;
        }
        let from = self.hot(rng);
        if rng.chance(swarm.rate(Class::Reads)) {
            let read = Command::new(Kind::ReadAccount, CommandId(0));
            let read = Command { debit: from, asset: ASSET, ..read };
            self.want(from, Role::Agent, vec![read], step);
            return;
        }
        // Clocks of clients are off by up to a second.
        let now_ms = (now_ms + rng.below(2_000)).saturating_sub(1_000);
        let to = agent(rng.below(AGENTS));
        let amount = Self::amount(rng, swarm);
        if rng.chance(swarm.rate(Class::Keys)) {
            self.want_keyed(rng, (from, to), amount, step);
            return;
        }
        self.want_money(rng, (from, to), amount, (step, now_ms));
    }

    /// Somebody wants what is not theirs.
    pub(crate) fn intrude(&mut self, rng: &mut Rng, step: u64, now_ms: u64) {
        if self.open() >= OPEN_MAX || self.intents.len() >= self.most {
            return;
        }
        let n = rng.below(AGENTS);
        let (from, to) = (agent(n), agent((n + 1 + rng.below(AGENTS - 1)) % AGENTS));
        let amount = u128::from(1 + rng.below(3_000));
        let id = self.id(now_ms);
        let pay = Command::transfer(id, from, to, ASSET, amount);
        let (principal, role, command) = match rng.below(7) {
            0 => (to, Role::Agent, pay),
            1 => (MINT, Role::Mint, pay),
            // It hosts nobody.
            2 => (from, Role::Registry, pay),
            3 => (to, Role::Agent, Command::hold(id, from, to, ASSET, amount, 1_000)),
            4 => (to, Role::Agent, Command::issue(id, to, ASSET, amount)),
            5 if !self.holds.is_empty() => {
                let hold = self.holds[rng.pick(self.holds.len())];
                let claimed = Command { credit: hold.debit, ..hold };
                (hold.debit, Role::Agent, Command::capture(id, &claimed, None))
            }
            _ => {
                let read = Command::new(Kind::ReadAccount, CommandId(0));
                (to, Role::Agent, Command { debit: from, asset: ASSET, ..read })
            }
        };
        self.want(principal, role, vec![command], step);
    }

    /// The first account has most of the traffic.
    fn hot(&self, rng: &mut Rng) -> u128 {
        let n = if rng.chance(600) { 0 } else { rng.below(AGENTS) };
        agent(n)
    }

    fn amount(rng: &mut Rng, swarm: &Swarm) -> u128 {
        const EDGES: [u128; 9] =
            [0, 1, 199, 200, 201, 100_000, 1 << 120, i128::MAX as u128, u128::MAX];
        if rng.chance(swarm.rate(Class::Boundaries)) {
            EDGES[rng.pick(EDGES.len())]
        } else {
            u128::from(1 + rng.below(3_000))
        }
    }

    fn want_keyed(&mut self, rng: &mut Rng, (from, to): (u128, u128), amount: u128, step: u64) {
        let text = format!("order {}", self.intents.len());
        let slots = data::encode(&[(data::TAG_KEY, text.as_bytes())]);
        let id = CommandId(key::id(from, text.as_bytes()));
        let pay = Command {
            flags: flags::KEYED,
            data: u16::try_from(slots.len()).expect("a short key"),
            ..Command::transfer(id, from, to, ASSET, amount)
        };
        let due = step + rng.below(20);
        self.want(from, Role::Agent, [vec![pay], slots].concat(), due);
    }

    fn want_money(
        &mut self,
        rng: &mut Rng,
        (from, to): (u128, u128),
        amount: u128,
        (step, now_ms): (u64, u64),
    ) {
        let id = self.id(now_ms);
        match rng.below(10) {
            0..=3 => {
                let pay = Command::transfer(id, from, to, ASSET, amount);
                self.want(from, Role::Agent, vec![pay], step);
            }
            4 => {
                let count = 2 + rng.below(5);
                let is_chain = rng.chance(500);
                let mut slots: Vec<Command> = (0..count)
                    .map(|_| {
                        let id = self.id(now_ms);
                        let mut pay = Command::transfer(id, from, to, ASSET, amount);
                        pay.flags |= if is_chain { flags::LINKED } else { 0 };
                        pay
                    })
                    .collect();
                let last = slots.len() - 1;
                slots[last].flags = 0;
                self.want(from, Role::Agent, slots, step);
            }
            5 | 6 => {
                let timeout_ms = u32::try_from(rng.below(6_000)).expect("a short time");
                let hold = Command::hold(id, from, to, ASSET, amount, timeout_ms);
                self.want(from, Role::Agent, vec![hold], step);
            }
            7 | 8 if !self.holds.is_empty() => {
                let hold = self.holds[rng.pick(self.holds.len())];
                let command = match rng.below(3) {
                    0 => Command::release(id, &hold),
                    1 => Command::capture(id, &hold, None),
                    _ => Command::capture(id, &hold, Some(1 + hold.amount / 2)),
                };
                self.want(hold.credit, Role::Agent, vec![command], step);
            }
            _ => {
                let issue = Command::issue(id, from, ASSET, amount);
                self.want(MINT, Role::Mint, vec![issue], step);
            }
        }
    }
}
