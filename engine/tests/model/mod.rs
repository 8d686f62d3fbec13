//! The naive model of the money rules: what `docs/rules.md` says, with ordered maps, plain loops
//! and a copy of the whole books for every chain. It refuses to be fast or clever, counts
//! nothing that it can recount, and knows nothing of how the engine works.
//! Invariant: a refused command or chain leaves the books as they were.

mod keys;
mod kinds;
mod reads;

use std::collections::BTreeMap;

use protocol::answer::account_flags;
use protocol::command::{Command, flags};
use protocol::cut::{AccountRow, SupplyRow};
use protocol::data;
use protocol::genesis::{Genesis, Mode};
use protocol::ids::{AssetId, CommandId, OwnerId};
use protocol::kind::Kind;
use protocol::limits::{ID_FUTURE_MS, NAME_LEN_MAX, TIMERS_PER_RECORD};
use protocol::parameter::{Parameter, Parameters};
use protocol::reply::Outcome;
use protocol::request::{Commands, Request, Role};
use protocol::shape;
use protocol::status::Status;
use protocol::system::{self, Class};
use protocol::wide::Wide;

#[derive(Clone, Debug, Default)]
struct Account {
    liquid: i128,
    held: u128,
    minimum: u128,
    credit_limit: u128,
    frozen: bool,
    closed: bool,
}

#[derive(Clone, Debug)]
struct Owner {
    host: usize,
    agent_only: bool,
    pending_host: Option<u128>,
}

#[derive(Clone, Debug)]
struct Host {
    /// `None` of the frame itself.
    principal: Option<u128>,
    debit_limit: u128,
    window: u64,
    used: u128,
}

#[derive(Clone, Debug)]
struct Hold {
    creditor: OwnerId,
    amount: u128,
    left: u128,
    rate: u16,
    keep: bool,
    expiry_ns: u64,
    sequence: u64,
}

#[derive(Clone, Debug)]
struct Asset {
    scale: u16,
    name: String,
    issued: Wide,
    destroyed: Wide,
}

#[derive(Clone, Debug)]
struct Change {
    parameter: Parameter,
    value: u128,
    effective_ms: u64,
    sequence: u64,
}

#[derive(Clone, Copy, Debug)]
struct Caller {
    principal: u128,
    role: Option<Role>,
    history_checked: u64,
}

#[derive(Clone, Debug)]
struct Leg<'a> {
    command: &'a Command,
    data: &'a [Command],
}

/// Everything a command may change but the ids.
#[derive(Clone, Debug)]
struct Books {
    mode: Mode,
    parameters: Parameters,
    now_ns: u64,
    mint_halted: bool,
    baseline_over: bool,
    assets: BTreeMap<AssetId, Asset>,
    hosts: Vec<Host>,
    owners: BTreeMap<OwnerId, Owner>,
    accounts: BTreeMap<(OwnerId, AssetId), Account>,
    /// By debtor, asset and id.
    holds: BTreeMap<(OwnerId, AssetId, u128), Hold>,
    /// Payments per ordered pair and window.
    pairs: BTreeMap<(OwnerId, OwnerId, AssetId), BTreeMap<u64, u64>>,
    changes: Vec<Change>,
}

#[derive(Clone, Debug)]
struct Remembered {
    /// Commands and data of the whole chain, or of the one command.
    bodies: Vec<Vec<Command>>,
    outcome: Outcome,
}

/// The whole model.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    books: Books,
    /// By scope and id.
    ids: BTreeMap<(OwnerId, u128), Remembered>,
    keys: keys::Keys,
    floor_ms: u64,
    sequence: u64,
}

type Ruling = Result<u16, Status>;

fn refuse_if(wrong: bool, status: Status) -> Result<(), Status> {
    if wrong { Err(status) } else { Ok(()) }
}

/// `(a div 10⁶)·r + ⌈(a mod 10⁶)·r / 10⁶⌉`.
pub(crate) fn fee(amount: u128, rate: u128) -> u128 {
    let part = (amount % 1_000_000) * rate;
    let rounded_up =
        if part.is_multiple_of(1_000_000) { part / 1_000_000 } else { part / 1_000_000 + 1 };
    (amount / 1_000_000) * rate + rounded_up
}

fn signed(amount: u128) -> i128 {
    i128::try_from(amount).expect("a posted amount was bounded before")
}

// ---- records, requests, chains, ids ----------------------------------------------------------

impl Model {
    pub(crate) fn new(genesis: &Genesis) -> Self {
        let mut books = Books {
            mode: genesis.mode,
            parameters: genesis.parameters,
            now_ns: 0,
            mint_halted: false,
            baseline_over: false,
            assets: BTreeMap::new(),
            hosts: Vec::new(),
            owners: BTreeMap::new(),
            accounts: BTreeMap::new(),
            holds: BTreeMap::new(),
            pairs: BTreeMap::new(),
            changes: Vec::new(),
        };
        books.hosts.push(Host { principal: None, debit_limit: 0, window: 0, used: 0 });
        books.add_asset(protocol::ids::NATIVE, genesis.scale, &genesis.name);
        Self { books, ids: BTreeMap::new(), keys: keys::Keys::default(), floor_ms: 0, sequence: 0 }
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(crate) fn mint_halted(&self) -> bool {
        self.books.mint_halted
    }

    pub(crate) fn begin_record(&mut self, timestamp_ns: u64, settled: u64) {
        assert!(timestamp_ns > self.books.now_ns);
        self.books.now_ns = timestamp_ns;
        self.books.apply_due_changes();
        let window = self.books.parameter(Parameter::IdsWindowMs);
        let oldest = u128::from(self.books.now_ms()).saturating_sub(window) / 1_000 * 1_000;
        let oldest = u64::try_from(oldest).expect("not more than now");
        if oldest > self.floor_ms {
            self.raise_floor(oldest);
        }
        self.begin_keys(settled);
        self.books.fire_due_timers();
    }

    fn raise_floor(&mut self, floor_ms: u64) {
        self.floor_ms = floor_ms;
        self.ids.retain(|&(_, id), _| CommandId(id).unix_ms() >= floor_ms);
    }

    pub(crate) fn execute(&mut self, request: &Request, slots: &[Command]) -> Vec<Outcome> {
        let caller = Caller {
            principal: request.principal,
            role: Role::from_number(request.role),
            history_checked: request.history_checked,
        };
        let legs: Vec<Leg<'_>> = Commands::new(slots)
            .map(|entry| entry.expect("the structure was checked"))
            .map(|entry| Leg { command: entry.command, data: entry.data })
            .collect();
        let mut outcomes = Vec::new();
        let mut at = 0;
        while at < legs.len() {
            let mut end = at;
            while end < legs.len() && legs[end].command.is_linked() {
                end += 1;
            }
            if end == legs.len() {
                outcomes.extend(self.refuse_all(&legs[at..], Status::ChainOpen));
                break;
            }
            outcomes.extend(self.execute_chain(caller, &legs[at..=end]));
            at = end + 1;
        }
        outcomes
    }

    /// Gives every leg the same refusal.
    fn refuse_all(&mut self, legs: &[Leg<'_>], status: Status) -> Vec<Outcome> {
        let first = self.sequence + 1;
        self.sequence += legs.len() as u64;
        (first..=self.sequence).map(|sequence| refused(sequence, status)).collect()
    }

    /// A chain, or one command as a chain of one.
    fn execute_chain(&mut self, caller: Caller, legs: &[Leg<'_>]) -> Vec<Outcome> {
        if legs.len() as u128 > self.books.parameter(Parameter::ChainLength) && legs.len() > 1 {
            return self.refuse_all(legs, Status::ChainTooLong);
        }
        let first = self.sequence + 1;
        let failed = |wrong: usize, status: Status| -> Vec<Outcome> {
            (0..legs.len())
                .map(|at| {
                    let own = if at == wrong { status } else { Status::LinkedFailed };
                    refused(first + at as u64, own)
                })
                .collect()
        };
        let mut keys = Vec::new();
        for (at, leg) in legs.iter().enumerate() {
            let judged = shape_of(caller, leg, legs.len() > 1)
                .and_then(|kind| self.books.authority(caller, leg.command, kind).map(|()| kind));
            match judged {
                Ok(kind) => keys.push((scope(caller, leg.command, kind), leg.command.id)),
                Err(status) => {
                    self.sequence += legs.len() as u64;
                    return failed(at, status);
                }
            }
        }
        self.sequence += legs.len() as u64;
        if Kind::try_from(legs[0].command.kind).is_ok_and(Kind::is_internal) {
            return vec![accepted(first, 0)];
        }
        if legs[0].command.has(flags::KEYED) {
            let kind = Kind::try_from(legs[0].command.kind).expect("its shape was checked");
            return vec![self.execute_keyed(caller, &legs[0], kind, first)];
        }
        if let Err((at, status)) = self.check_id_times(&keys) {
            return failed(at, status);
        }
        let bodies: Vec<Vec<Command>> = legs.iter().map(body).collect();
        if let Some(answers) = self.known(&keys, &bodies, first) {
            return answers;
        }
        if let Err((at, status)) = self.make_room(&keys) {
            return failed(at, status);
        }
        let outcomes =
            self.run_legs(caller, legs, first).unwrap_or_else(|(at, status)| failed(at, status));
        if outcomes.iter().all(|outcome| outcome.status.is_remembered()) {
            for (key, outcome) in keys.iter().zip(&outcomes) {
                let remembered = Remembered { bodies: bodies.clone(), outcome: *outcome };
                self.ids.insert(*key, remembered);
            }
        }
        outcomes
    }

    fn check_id_times(&self, keys: &[(OwnerId, u128)]) -> Result<(), (usize, Status)> {
        for (at, &(_, id)) in keys.iter().enumerate() {
            let id_ms = CommandId(id).unix_ms();
            if id_ms > self.books.now_ms() + ID_FUTURE_MS {
                return Err((at, Status::IdInFuture));
            }
            if id_ms < self.floor_ms {
                return Err((at, Status::IdTooOld));
            }
        }
        Ok(())
    }

    /// The answers of a chain that is known, wholly or in part; `None` if no leg is.
    fn known(
        &self,
        keys: &[(OwnerId, u128)],
        bodies: &[Vec<Command>],
        first: u64,
    ) -> Option<Vec<Outcome>> {
        let reused =
            || (0..keys.len()).map(|at| refused(first + at as u64, Status::IdReused)).collect();
        for (at, key) in keys.iter().enumerate() {
            if keys[..at].contains(key) {
                return Some(reused());
            }
        }
        let known: Vec<&Remembered> = keys.iter().filter_map(|key| self.ids.get(key)).collect();
        if known.is_empty() {
            return None;
        }
        if known.len() < keys.len() || known.iter().any(|one| one.bodies != bodies) {
            return Some(reused());
        }
        let repeat = |one: &&Remembered| Outcome { repeat: true, ..one.outcome };
        Some(known.iter().map(repeat).collect())
    }

    fn make_room(&mut self, keys: &[(OwnerId, u128)]) -> Result<(), (usize, Status)> {
        let capacity = self.books.parameter(Parameter::IdsCapacity);
        while (self.ids.len() + keys.len()) as u128 > capacity {
            let oldest = self
                .ids
                .keys()
                .map(|&(_, id)| CommandId(id).unix_ms())
                .min()
                .expect("a chain alone fits");
            let end = oldest / 1_000 * 1_000 + 1_000;
            let kept = self.books.parameter(Parameter::IdsMinWindowMs);
            if u128::from(end) + kept > u128::from(self.books.now_ms()) {
                return Err((0, Status::Busy));
            }
            self.raise_floor(end);
        }
        for (at, &(_, id)) in keys.iter().enumerate() {
            if CommandId(id).unix_ms() < self.floor_ms {
                return Err((at, Status::IdTooOld));
            }
        }
        Ok(())
    }

    fn run_legs(
        &mut self,
        caller: Caller,
        legs: &[Leg<'_>],
        first: u64,
    ) -> Result<Vec<Outcome>, (usize, Status)> {
        // A single command checks everything before it posts anything.
        let before = (legs.len() > 1).then(|| self.books.clone());
        let mut outcomes = Vec::new();
        for (at, leg) in legs.iter().enumerate() {
            let sequence = first + at as u64;
            match self.books.run(caller, leg, sequence) {
                Ok(rate) => outcomes.push(accepted(sequence, rate)),
                Err(status) => {
                    if let Some(before) = before {
                        self.books = before;
                    }
                    return Err((at, status));
                }
            }
        }
        Ok(outcomes)
    }

    /// Principals of the hosts in the order of their numbers; the frame's own is 0.
    pub(crate) fn hosts(&self) -> Vec<u128> {
        self.books.hosts.iter().map(|host| host.principal.unwrap_or(0)).collect()
    }

    pub(crate) fn accounts(&self) -> Vec<AccountRow> {
        let row = |(&(owner, asset), account): (&(OwnerId, AssetId), &Account)| {
            let facts = self.books.owners.get(&owner);
            let mut bits = 0;
            for (is_set, bit) in [
                (account.frozen, account_flags::FROZEN),
                (account.closed, account_flags::CLOSED),
                (facts.is_some_and(|facts| facts.agent_only), account_flags::AGENT_ONLY),
            ] {
                if is_set {
                    bits |= bit;
                }
            }
            AccountRow {
                owner,
                asset,
                host: facts.map_or(0, |facts| facts.host as u32),
                liquid: account.liquid,
                held: account.held,
                staked: 0,
                bonded: 0,
                minimum: account.minimum,
                credit_limit: account.credit_limit,
                flags: bits,
            }
        };
        self.books.accounts.iter().map(row).collect()
    }

    pub(crate) fn supply(&self) -> Vec<SupplyRow> {
        let mut rows = Vec::new();
        for (&asset, facts) in &self.books.assets {
            let mut row = SupplyRow {
                asset,
                scale: facts.scale,
                name: facts.name.clone(),
                issued: facts.issued,
                destroyed: facts.destroyed,
                liquid: 0,
                held: 0,
                staked: 0,
                bonded: 0,
                credit_granted: 0,
                credit_used: 0,
            };
            for (&(_, of), account) in &self.books.accounts {
                if of == asset {
                    row.liquid += account.liquid;
                    row.held += account.held;
                    row.credit_granted += account.credit_limit;
                    if account.liquid < 0 {
                        row.credit_used += account.liquid.unsigned_abs();
                    }
                }
            }
            rows.push(row);
        }
        rows
    }
}

fn refused(sequence: u64, status: Status) -> Outcome {
    Outcome { sequence, status, rate: 0, repeat: false }
}

fn accepted(sequence: u64, rate: u16) -> Outcome {
    Outcome { sequence, status: Status::Ok, rate, repeat: false }
}

fn body(leg: &Leg<'_>) -> Vec<Command> {
    let mut body = vec![*leg.command];
    body.extend_from_slice(leg.data);
    body
}

fn scope(caller: Caller, command: &Command, kind: Kind) -> OwnerId {
    match kind {
        Kind::Transfer | Kind::Hold => command.debit,
        Kind::Capture | Kind::Release => command.credit,
        _ => caller.principal,
    }
}

// ---- shape and authority ---------------------------------------------------------------------

fn shape_of(caller: Caller, leg: &Leg<'_>, in_chain: bool) -> Result<Kind, Status> {
    let command = leg.command;
    refuse_if(in_chain && command.has(flags::KEYED), Status::Malformed)?;
    let kind = shape::check(command, leg.data)?;
    let parameter = Parameter::from_number(command.code);
    let not_a_hosts = parameter.is_some_and(|one| one != Parameter::HostDebitLimit);
    refuse_if(kind == Kind::Configure && not_a_hosts && command.credit != 0, Status::Malformed)?;
    keys::misfit(caller, leg)?;
    let text_len = |tag| data::find_text(leg.data, tag).map_or(0, str::len);
    let text_missing = match kind {
        Kind::Issue | Kind::Burn => command.code == 3 && text_len(data::TAG_REASON) == 0,
        Kind::Asset => !(1..=NAME_LEN_MAX).contains(&text_len(data::TAG_NAME)),
        Kind::Identify => text_len(data::TAG_SPIFFE_ID) == 0,
        _ => false,
    };
    refuse_if(text_missing, Status::ReasonMissing)?;
    refuse_if(in_chain && !kind.is_linkable(), Status::ChainKind)?;
    refuse_if(!kind.is_internal() && keys::id_of(leg) == Some(0), Status::IdZero)?;
    let code_known = match kind {
        Kind::AgentOnly => command.code <= 1,
        Kind::SystemTransfer => command.code == 5 || command.code == 6,
        Kind::Issue => (1..=4).contains(&command.code),
        Kind::Burn => command.code == 1 || command.code == 3,
        Kind::Configure => parameter.is_some(),
        _ => true,
    };
    refuse_if(!code_known, Status::CodeUnknown)?;
    Ok(kind)
}

impl Books {
    fn is_host_of(&self, caller: Caller, owner: OwnerId) -> bool {
        caller.role == Some(Role::Registry)
            && self
                .owners
                .get(&owner)
                .is_some_and(|facts| self.hosts[facts.host].principal == Some(caller.principal))
    }

    fn acts_for(&self, caller: Caller, owner: OwnerId) -> bool {
        if system::is_system(owner) {
            return false;
        }
        let agent_only = self.owners.get(&owner).is_some_and(|facts| facts.agent_only);
        (caller.role == Some(Role::Agent) && caller.principal == owner)
            || (self.is_host_of(caller, owner) && !agent_only)
    }

    fn authority(&self, caller: Caller, command: &Command, kind: Kind) -> Result<(), Status> {
        let (debit, credit) = (command.debit, command.credit);
        let is = |role| caller.role == Some(role);
        let agent_self = is(Role::Agent) && caller.principal == debit;
        let admin = is(Role::Admin);
        let allowed = match kind {
            Kind::Open if credit != 0 => admin,
            Kind::Open => agent_self || is(Role::Registry),
            Kind::Freeze | Kind::Unfreeze => self.is_host_of(caller, debit) || admin,
            Kind::Close => self.acts_for(caller, debit) || admin,
            Kind::Limits => {
                let present = self.credit_limit(debit, command.asset);
                admin || (self.is_host_of(caller, debit) && command.reference == present)
            }
            Kind::Rehost => {
                agent_self || (is(Role::Registry) && caller.principal == credit) || admin
            }
            Kind::AgentOnly => agent_self,
            Kind::Transfer | Kind::Hold => self.acts_for(caller, debit),
            Kind::Capture | Kind::Release => self.acts_for(caller, credit),
            Kind::SystemTransfer | Kind::Configure | Kind::Asset => admin,
            Kind::Issue => is(Role::Mint),
            Kind::Burn => {
                let ordinary = command.code == 1;
                (is(Role::Mint) && (!ordinary || is_treasury(debit)))
                    || (ordinary && self.acts_for(caller, debit))
            }
            Kind::HaltMint => is(Role::Mint) || admin,
            Kind::ResumeMint => is(Role::Mint),
            Kind::Identify => caller.role.is_some(),
            Kind::Tick => is(Role::Engine),
            other => panic!("a read is not executed: {other:?}"),
        };
        refuse_if(!allowed, Status::NotFound)
    }
}

fn is_treasury(owner: OwnerId) -> bool {
    matches!(system::classify(owner), Some((Class::Treasury, _)))
}

// ---- small questions and postings ------------------------------------------------------------

impl Books {
    fn now_ms(&self) -> u64 {
        self.now_ns / 1_000_000
    }

    fn parameter(&self, parameter: Parameter) -> u128 {
        self.parameters.value(parameter)
    }

    fn account(&self, owner: OwnerId, asset: AssetId) -> Option<&Account> {
        self.accounts.get(&(owner, asset))
    }

    fn account_mut(&mut self, owner: OwnerId, asset: AssetId) -> &mut Account {
        self.accounts.get_mut(&(owner, asset)).expect("the account was checked")
    }

    fn is_closed(&self, owner: OwnerId, asset: AssetId) -> bool {
        self.account(owner, asset).is_some_and(|account| account.closed)
    }

    fn is_frozen(&self, owner: OwnerId, asset: AssetId) -> bool {
        self.account(owner, asset).is_some_and(|account| account.frozen)
    }

    fn liquid(&self, owner: OwnerId, asset: AssetId) -> i128 {
        self.account(owner, asset).map_or(0, |account| account.liquid)
    }

    fn credit_limit(&self, owner: OwnerId, asset: AssetId) -> u128 {
        self.account(owner, asset).map_or(0, |account| account.credit_limit)
    }

    fn host_of(&self, owner: OwnerId) -> usize {
        self.owners.get(&owner).map_or(0, |facts| facts.host)
    }

    fn take(&mut self, owner: OwnerId, asset: AssetId, amount: u128) {
        self.account_mut(owner, asset).liquid -= signed(amount);
    }

    fn give(&mut self, owner: OwnerId, asset: AssetId, amount: u128) {
        self.account_mut(owner, asset).liquid += signed(amount);
    }

    /// Whether liquid stays at or above minimum − credit limit after `amount` is gone.
    fn can_pay(&self, owner: OwnerId, asset: AssetId, amount: u128) -> bool {
        let account = self.account(owner, asset).expect("the debtor was checked");
        let spendable = account.liquid + signed(account.credit_limit) - signed(account.minimum);
        spendable >= 0 && spendable.unsigned_abs() >= amount
    }

    fn credit_granted(&self, asset: AssetId) -> u128 {
        self.accounts
            .iter()
            .filter(|((_, of), _)| *of == asset)
            .map(|(_, account)| account.credit_limit)
            .sum()
    }

    fn outstanding(&self, asset: AssetId) -> u128 {
        let facts = &self.assets[&asset];
        facts.issued.difference(facts.destroyed).expect("supply is bounded").unsigned_abs()
    }

    fn open_holds_of(&self, owner: OwnerId, asset: AssetId) -> usize {
        self.holds
            .iter()
            .filter(|((debtor, of, _), hold)| {
                *of == asset && (*debtor == owner || hold.creditor == owner)
            })
            .count()
    }

    fn add_asset(&mut self, asset: AssetId, scale: u16, name: &str) {
        let facts = Asset { scale, name: name.into(), issued: Wide::ZERO, destroyed: Wide::ZERO };
        self.assets.insert(asset, facts);
        for owner in [system::STAKING_POOL, system::GRANT_POOL] {
            self.accounts.insert((owner, asset), Account::default());
        }
        for host in 0..self.hosts.len() as u32 {
            for owner in [system::fee_collector(host), system::treasury(host)] {
                self.accounts.insert((owner, asset), Account::default());
            }
        }
    }

    fn find_host(&self, principal: u128) -> Option<usize> {
        self.hosts.iter().position(|host| host.principal == Some(principal))
    }

    /// The host with this principal, made if it is not there.
    fn host_index(&mut self, principal: u128) -> usize {
        if let Some(index) = self.find_host(principal) {
            return index;
        }
        let index = self.hosts.len();
        self.hosts.push(Host {
            principal: Some(principal),
            debit_limit: self.parameter(Parameter::HostDebitLimit),
            window: 0,
            used: 0,
        });
        let assets: Vec<AssetId> = self.assets.keys().copied().collect();
        for asset in assets {
            for owner in [system::fee_collector(index as u32), system::treasury(index as u32)] {
                self.accounts.insert((owner, asset), Account::default());
            }
        }
        index
    }

    fn fits(&self, new_accounts: usize) -> Result<(), Status> {
        let after = (self.accounts.len() + new_accounts) as u128;
        refuse_if(after > self.parameter(Parameter::AccountsCapacity), Status::AccountsFull)
    }

    fn apply_due_changes(&mut self) {
        let now_ms = self.now_ms();
        let mut due: Vec<Change> = self.changes.clone();
        due.retain(|change| change.effective_ms <= now_ms);
        self.changes.retain(|change| change.effective_ms > now_ms);
        due.sort_by_key(|change| (change.effective_ms, change.sequence));
        for change in due {
            let changed = self.parameters.with(change.parameter, change.value);
            if changed.validate().is_err() {
                continue;
            }
            let window = self.parameter(Parameter::VelocityWindowMs);
            self.parameters = changed;
            if self.parameter(Parameter::VelocityWindowMs) != window {
                self.pairs.clear();
            }
        }
    }

    fn fire_due_timers(&mut self) {
        let mut due: Vec<_> = self
            .holds
            .iter()
            .filter(|(_, hold)| hold.expiry_ns <= self.now_ns)
            .map(|(key, hold)| (hold.expiry_ns, hold.sequence, *key))
            .collect();
        due.sort_unstable();
        for (_, _, key) in due.into_iter().take(TIMERS_PER_RECORD) {
            self.end_hold(key);
        }
    }

    /// What is left of the hold goes back to its debtor.
    fn end_hold(&mut self, key: (OwnerId, AssetId, u128)) {
        let hold = self.holds.remove(&key).expect("the hold is there");
        let debtor = self.account_mut(key.0, key.1);
        debtor.held -= hold.left;
        debtor.liquid += signed(hold.left);
    }

    /// Rate of the pair's next payment.
    fn rate(&self, debit: OwnerId, credit: OwnerId, asset: AssetId) -> u16 {
        let value = |parameter| self.parameter(parameter);
        let window_ms = value(Parameter::VelocityWindowMs);
        let now_ms = u128::from(self.now_ms());
        let index = u64::try_from(now_ms / window_ms).expect("now fits");
        let elapsed = now_ms % window_ms;
        let count_in = |window: Option<u64>| -> u128 {
            let counts = self.pairs.get(&(debit, credit, asset));
            let count = counts.and_then(|counts| counts.get(&window?));
            count.map_or(0, |&count| u128::from(count))
        };
        let n = count_in(Some(index))
            + count_in(index.checked_sub(1)) * (window_ms - elapsed) / window_ms;
        let (base, max) = (value(Parameter::FeeBase), value(Parameter::FeeMax));
        let (free, cap) = (value(Parameter::VelocityFree), value(Parameter::VelocityCap));
        let rate = if n < free {
            base
        } else if n >= cap {
            max
        } else {
            base + (max - base) * (n - free) / (cap - free)
        };
        u16::try_from(rate).expect("rates are at most 50 000")
    }

    fn count_payment(&mut self, debit: OwnerId, credit: OwnerId, asset: AssetId) {
        let window_ms = self.parameter(Parameter::VelocityWindowMs);
        let index = u128::from(self.now_ms()) / window_ms;
        let index = u64::try_from(index).expect("now fits");
        let counts = self.pairs.entry((debit, credit, asset)).or_default();
        *counts.entry(index).or_default() += 1;
    }

    /// The caller as a host whose debits of the native asset are counted, and the present window.
    fn debiting_host(&self, caller: Caller, asset: AssetId) -> Option<(usize, u64)> {
        if caller.role != Some(Role::Registry) || asset != protocol::ids::NATIVE {
            return None;
        }
        let window = u128::from(self.now_ms()) / self.parameter(Parameter::HostDebitWindowMs);
        let window = u64::try_from(window).expect("now fits");
        Some((self.find_host(caller.principal)?, window))
    }

    fn host_limit(&self, caller: Caller, command: &Command) -> Result<(), Status> {
        let Some((index, window)) = self.debiting_host(caller, command.asset) else {
            return Ok(());
        };
        let host = &self.hosts[index];
        let used = if host.window == window { host.used } else { 0 };
        let within =
            used.checked_add(command.amount).is_some_and(|after| after <= host.debit_limit);
        refuse_if(host.debit_limit > 0 && !within, Status::HostLimit)
    }

    fn count_host_debit(&mut self, caller: Caller, command: &Command) {
        if let Some((index, window)) = self.debiting_host(caller, command.asset) {
            let host = &mut self.hosts[index];
            if host.window != window {
                host.window = window;
                host.used = 0;
            }
            host.used += command.amount;
        }
    }
}
