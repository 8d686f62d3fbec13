//! People of every role, owners who stand in every relation to them, and commands of every kind
//! about those owners. None of the commands changes who may do what, so all of them can be sent
//! one after the other, by everybody.
//!
//! It knows who hosts whom by having arranged it, and asks no frame. Invariant: a command that is
//! allowed is refused for something harmless, or changes nothing that a later one depends on.

use engine::authority::Relation;
use protocol::command::reason;
use protocol::data::{self, TAG_NAME, TAG_REASON};
use protocol::ids::NATIVE;
use protocol::limits::SUPPLY_MAX;
use protocol::parameter::Parameter;
use protocol::system::{self, Class};
use protocol::{AssetId, Command, CommandId, Kind, OwnerId, Role};

/// Nobody creates this one.
const NO_ASSET: AssetId = 999;
/// The credit limit that Alice has.
const CREDIT_LIMIT: u128 = 7;

/// Everybody who sends commands: an agent of each sort, two hosts, and one of every other role.
pub(crate) const PEOPLE: [(&str, Role); 12] = [
    ("alice", Role::Agent),    // hosted by north
    ("bob", Role::Agent),      // hosted by north, agent_only
    ("carol", Role::Agent),    // hosted by south
    ("dave", Role::Agent),     // opened by himself, so hosted by the frame
    ("erin", Role::Agent),     // has no account
    ("north", Role::Registry), // host 1
    ("south", Role::Registry), // host 2
    ("east", Role::Registry),  // hosts nobody
    ("abroad", Role::Peer),
    ("mint", Role::Mint),
    ("chief", Role::Admin),
    ("books", Role::Auditor),
];

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Person {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    pub(crate) principal: u128,
}

/// An open hold.
#[derive(Clone, Copy, Debug)]
struct Hold {
    debtor: OwnerId,
    creditor: OwnerId,
    id: u128,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) people: Vec<Person>,
    holds: Vec<Hold>,
    unix_ms: u64,
    ids: u128,
}

impl Scene {
    /// With ids of about now.
    pub(crate) fn new(unix_ms: u64, principal: impl Fn(&str, Role) -> u128) -> Self {
        let person = |(name, role)| Person { name, role, principal: principal(name, role) };
        Self { people: PEOPLE.map(person).to_vec(), holds: Vec::new(), unix_ms, ids: 0 }
    }

    fn id(&mut self) -> CommandId {
        self.ids += 1;
        CommandId::new(self.unix_ms, self.ids)
    }

    fn of(&mut self, kind: Kind) -> Command {
        Command::new(kind, self.id())
    }

    fn principal(&self, name: &str) -> u128 {
        let found = self.people.iter().find(|person| person.name == name);
        found.expect("the scene has this person").principal
    }

    /// What makes the scene: who sends it, and a command that must be executed.
    pub(crate) fn making(&mut self) -> Vec<(&'static str, Command)> {
        let [alice, bob, carol, dave] =
            ["alice", "bob", "carol", "dave"].map(|name| self.principal(name));
        let mut steps = Vec::new();
        for (opener, owner) in [("north", alice), ("north", bob), ("south", carol), ("dave", dave)]
        {
            steps.push((opener, Command::open(self.id(), owner, NATIVE)));
            steps.push(("mint", Command::issue(self.id(), owner, NATIVE, 1_000_000)));
        }
        let only = Command { debit: bob, code: 1, ..self.of(Kind::AgentOnly) };
        steps.push(("bob", only));
        let total = Command { amount: 1_000, ..self.of(Kind::Configure) };
        steps.push(("chief", Command { code: Parameter::CreditTotal.number(), ..total }));
        let limits = self.of(Kind::Limits);
        let limits = Command { debit: alice, asset: NATIVE, reference: CREDIT_LIMIT, ..limits };
        steps.push(("chief", limits));
        for creditor in [bob, carol] {
            let hold = Command::hold(self.id(), alice, creditor, NATIVE, 1_000, 0);
            self.holds.push(Hold { debtor: alice, creditor, id: hold.id });
            steps.push(("alice", hold));
        }
        steps
    }

    /// Commands and reads of every kind about every owner, each with its data.
    pub(crate) fn commands(&mut self) -> Vec<Vec<Command>> {
        let mut all = Vec::new();
        for owner in self.owners() {
            for asset in [NATIVE, NO_ASSET] {
                self.about_account(owner, asset, &mut all);
                self.payments(owner, asset, &mut all);
                self.reads(owner, asset, &mut all);
            }
            self.about_owner(owner, &mut all);
        }
        self.about_frame(&mut all);
        all
    }

    /// Everybody, and owners of the frame's own.
    fn owners(&self) -> Vec<OwnerId> {
        let mut owners: Vec<_> = self.people.iter().map(|person| person.principal).collect();
        owners.extend([0, 1, 2].map(system::treasury));
        owners.extend([1, 2].map(system::fee_collector));
        owners.push(system::STAKING_POOL);
        owners
    }

    fn about_account(&mut self, owner: OwnerId, asset: AssetId, all: &mut Vec<Vec<Command>>) {
        let about = |command| Command { debit: owner, asset, ..command };
        // Opened in earnest, an account would bind its owner.
        if self.has_account(owner) || asset == NO_ASSET {
            all.push(vec![about(self.of(Kind::Open))]);
            let host = self.principal("north");
            all.push(vec![Command { credit: host, ..about(self.of(Kind::Open)) }]);
        }
        for kind in [Kind::Freeze, Kind::Unfreeze, Kind::Close] {
            all.push(vec![about(self.of(kind))]);
        }
        for reference in [0, CREDIT_LIMIT] {
            let out_of_bounds = Command { amount: SUPPLY_MAX + 1, ..self.of(Kind::Limits) };
            all.push(vec![Command { reference, ..about(out_of_bounds) }]);
        }
        all.push(vec![about(Command { code: reason::ORDINARY, ..self.of(Kind::Burn) })]);
        let correction = Command { code: reason::CORRECTION, ..self.of(Kind::Burn) };
        all.push(with_text(about(correction), TAG_REASON));
        let to = Command { credit: owner, asset, code: reason::ORDINARY, ..self.of(Kind::Issue) };
        all.push(vec![to]);
        let payout = Command { code: reason::PAYOUT, ..self.of(Kind::SystemTransfer) };
        all.push(vec![about(payout)]);
    }

    /// Of no units, or of holds that are not there.
    fn payments(&mut self, owner: OwnerId, asset: AssetId, all: &mut Vec<Vec<Command>>) {
        let (alice, bob) = (self.principal("alice"), self.principal("bob"));
        let partner = if owner == bob { alice } else { bob };
        all.push(vec![Command::transfer(self.id(), owner, partner, asset, 0)]);
        all.push(vec![Command::hold(self.id(), owner, partner, asset, 0, 0)]);
        let none = Command::hold(CommandId(1), alice, owner, asset, 0, 0);
        all.push(vec![Command::capture(self.id(), &none, Some(0))]);
        all.push(vec![Command::release(self.id(), &none)]);
        if let Some(hold) = self.holds.first().copied() {
            let placed = Command::hold(CommandId(hold.id), hold.debtor, owner, asset, 0, 0);
            all.push(vec![Command::capture(self.id(), &placed, Some(0))]);
        }
        let quote = Command::new(Kind::Quote, CommandId(0));
        all.push(vec![Command { debit: owner, credit: partner, asset, ..quote }]);
    }

    fn reads(&mut self, owner: OwnerId, asset: AssetId, all: &mut Vec<Vec<Command>>) {
        let read = |kind| Command::new(kind, CommandId(0));
        all.push(vec![Command { debit: owner, asset, ..read(Kind::ReadAccount) }]);
        let holds = self.holds.iter().map(|hold| hold.id).chain([1]);
        all.extend(holds.map(|reference| {
            vec![Command { debit: owner, asset, reference, ..read(Kind::ReadHold) }]
        }));
        let list = read(Kind::ReadAccounts);
        all.push(vec![Command { credit: owner, asset, amount: 1, ..list }]);
    }

    /// Moves nobody to another host, and leaves `agent_only` as it is.
    fn about_owner(&mut self, owner: OwnerId, all: &mut Vec<Vec<Command>>) {
        let host = match self.host_of(owner) {
            0 => system::treasury(0),
            host => host,
        };
        for credit in [host, system::treasury(0)] {
            all.push(vec![Command { debit: owner, credit, ..self.of(Kind::Rehost) }]);
        }
        if !self.has_account(owner) {
            let credit = self.principal("east");
            all.push(vec![Command { debit: owner, credit, ..self.of(Kind::Rehost) }]);
        }
        let code = u16::from(self.is_agent_only(owner));
        all.push(vec![Command { debit: owner, code, ..self.of(Kind::AgentOnly) }]);
        let read = Command::new(Kind::ReadOutcome, CommandId(0));
        all.push(vec![Command { debit: owner, reference: 1, ..read }]);
    }

    fn about_frame(&mut self, all: &mut Vec<Vec<Command>>) {
        let shrink = Parameter::AccountsCapacity.number();
        all.push(vec![Command { code: shrink, amount: 1, ..self.of(Kind::Configure) }]);
        let again = Command { asset: NATIVE, ..self.of(Kind::Asset) };
        all.push(with_text(again, TAG_NAME));
        all.push(vec![self.of(Kind::HaltMint)]);
        all.push(vec![self.of(Kind::ResumeMint)]);
        let read = |kind| Command { asset: NATIVE, ..Command::new(kind, CommandId(0)) };
        for kind in [Kind::ReadSupply, Kind::ReadAsset, Kind::ReadRecount] {
            all.push(vec![read(kind)]);
        }
        let parameter = Command::new(Kind::ReadParameter, CommandId(0));
        all.push(vec![Command { code: shrink, ..parameter }]);
    }

    fn has_account(&self, owner: OwnerId) -> bool {
        let opened = ["alice", "bob", "carol", "dave"];
        system::is_system(owner) || opened.iter().any(|name| self.principal(name) == owner)
    }

    fn is_agent_only(&self, owner: OwnerId) -> bool {
        owner == self.principal("bob")
    }

    /// Principal of the host of `owner`; 0 = the frame.
    fn host_of(&self, owner: OwnerId) -> u128 {
        let hosted = [("alice", "north"), ("bob", "north"), ("carol", "south")];
        let found = hosted.iter().find(|(name, _)| self.principal(name) == owner);
        found.map_or(0, |(_, host)| self.principal(host))
    }

    fn hosts(&self, person: &Person, owner: OwnerId) -> bool {
        person.role == Role::Registry && self.host_of(owner) == person.principal
    }

    fn acts_for(&self, person: &Person, owner: OwnerId) -> bool {
        match person.role {
            Role::Agent => person.principal == owner && !system::is_system(owner),
            Role::Registry => self.hosts(person, owner) && !self.is_agent_only(owner),
            _ => false,
        }
    }

    fn creditor_of_hold(&self, command: &Command) -> Option<OwnerId> {
        let names = |hold: &&Hold| {
            (command.debit, command.asset, command.reference) == (hold.debtor, NATIVE, hold.id)
        };
        self.holds.iter().find(names).map(|hold| hold.creditor)
    }

    /// Whether `person` stands so to what `command` names.
    pub(crate) fn stands(&self, person: &Person, relation: Relation, command: &Command) -> bool {
        let Command { debit, credit, asset, reference, code, .. } = *command;
        match relation {
            Relation::ActsForDebtor => self.acts_for(person, debit),
            Relation::ActsForCreditor => self.acts_for(person, credit),
            Relation::IsDebtor => person.principal == debit,
            Relation::IsCreditor => person.principal == credit,
            Relation::HostsDebtor => self.hosts(person, debit),
            Relation::DebtorIsOrdinary => debit >> 64 != 0,
            Relation::DebtorIsTreasury => {
                matches!(system::classify(debit), Some((Class::Treasury, _)))
            }
            Relation::DebtorIsOwnCollector => {
                let own = match person.name {
                    "north" => 1,
                    "south" => 2,
                    _ => return false,
                };
                debit == system::treasury(own) || debit == system::fee_collector(own)
            }
            Relation::IsHoldCreditor => self.creditor_of_hold(command) == Some(person.principal),
            Relation::HostsHoldCreditor => {
                self.creditor_of_hold(command).is_some_and(|owner| self.hosts(person, owner))
            }
            Relation::NamesNoHost => credit == 0,
            Relation::NamesHost => credit != 0,
            Relation::KeepsCreditLimit => {
                let is_lent = debit == self.principal("alice") && asset == NATIVE;
                reference == if is_lent { CREDIT_LIMIT } else { 0 }
            }
            Relation::IsOrdinary => code == 1,
            Relation::IsCorrection => code == 3,
        }
    }

    /// Whether the table allows it.
    pub(crate) fn permits(&self, person: &Person, command: &Command) -> bool {
        let kind = Kind::try_from(command.kind).expect("the scene has known kinds only");
        engine::authority::permits(kind, person.role, |relation| {
            self.stands(person, relation, command)
        })
    }
}

/// `command` followed by a text.
pub(crate) fn with_text(command: Command, tag: u16) -> Vec<Command> {
    let slots = data::encode(&[(tag, b"text")]);
    let data = u16::try_from(slots.len()).expect("a text is short");
    let mut all = vec![Command { data, ..command }];
    all.extend(slots);
    all
}
