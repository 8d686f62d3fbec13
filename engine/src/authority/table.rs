//! The table of authority: for every kind of command and of read, which role may do it and how the
//! caller must stand to what the command names.
//!
//! It is data. The engine decides by it, `docs/reference/authority.md` is written from it, and
//! tests walk each of its cells. The invariant: what no rule allows is refused `not_found`.

use protocol::{Kind, Role};

/// How a caller can stand to what a command names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// It is the debtor, or the debtor's host that may debit it.
    ActsForDebtor,
    /// The same of the creditor.
    ActsForCreditor,
    /// It is the debtor.
    IsDebtor,
    /// It is the creditor.
    IsCreditor,
    /// It is the debtor's host.
    HostsDebtor,
    /// The debtor is none of the frame's own.
    DebtorIsOrdinary,
    /// The debtor is a treasury.
    DebtorIsTreasury,
    /// The debtor is the fee collector or the treasury of the host that the caller is.
    DebtorIsOwnCollector,
    /// It is the creditor of the hold.
    IsHoldCreditor,
    /// It is the host of the hold's creditor.
    HostsHoldCreditor,
    /// The command names no host.
    NamesNoHost,
    /// The command names a host.
    NamesHost,
    /// The command leaves the credit limit as it is.
    KeepsCreditLimit,
    /// The reason is the ordinary one.
    IsOrdinary,
    /// The reason is a correction.
    IsCorrection,
}

impl Relation {
    /// Every relation.
    pub const ALL: [Self; 15] = [
        Self::ActsForDebtor,
        Self::ActsForCreditor,
        Self::IsDebtor,
        Self::IsCreditor,
        Self::HostsDebtor,
        Self::DebtorIsOrdinary,
        Self::DebtorIsTreasury,
        Self::DebtorIsOwnCollector,
        Self::IsHoldCreditor,
        Self::HostsHoldCreditor,
        Self::NamesNoHost,
        Self::NamesHost,
        Self::KeepsCreditLimit,
        Self::IsOrdinary,
        Self::IsCorrection,
    ];

    /// Its name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ActsForDebtor => "acts for debtor",
            Self::ActsForCreditor => "acts for creditor",
            Self::IsDebtor => "is debtor",
            Self::IsCreditor => "is creditor",
            Self::HostsDebtor => "hosts debtor",
            Self::DebtorIsOrdinary => "ordinary debtor",
            Self::DebtorIsTreasury => "debtor is a treasury",
            Self::DebtorIsOwnCollector => "own collector",
            Self::IsHoldCreditor => "is hold's creditor",
            Self::HostsHoldCreditor => "hosts hold's creditor",
            Self::NamesNoHost => "names no host",
            Self::NamesHost => "names a host",
            Self::KeepsCreditLimit => "keeps credit limit",
            Self::IsOrdinary => "ordinary reason",
            Self::IsCorrection => "correction",
        }
    }

    /// What it means, in full.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::ActsForDebtor => {
                "the caller acts for the owner in `debit`: it is an agent and that owner itself, \
                 or it is the registry that hosts the owner and the owner is not `agent_only`; \
                 nobody acts for an owner of the frame's own"
            }
            Self::ActsForCreditor => "the same of the owner in `credit`",
            Self::IsDebtor => "the caller's principal is the owner in `debit`",
            Self::IsCreditor => "the caller's principal is in `credit`",
            Self::HostsDebtor => {
                "the caller is the registry that hosts the owner in `debit`, also when the owner \
                 is `agent_only`"
            }
            Self::DebtorIsOrdinary => "the owner in `debit` is none of the frame's own",
            Self::DebtorIsTreasury => "the owner in `debit` is a treasury",
            Self::DebtorIsOwnCollector => {
                "the owner in `debit` is the fee collector or the treasury of the host that the \
                 caller is"
            }
            Self::IsHoldCreditor => "the caller's principal is the creditor of the hold named",
            Self::HostsHoldCreditor => {
                "the caller is the registry that hosts the creditor of the hold named, also when \
                 that owner is `agent_only`"
            }
            Self::NamesNoHost => "`credit` is 0",
            Self::NamesHost => "`credit` is not 0",
            Self::KeepsCreditLimit => {
                "`reference` is the present credit limit; 0 of an account that is not there"
            }
            Self::IsOrdinary => "`code` is 1, the ordinary reason",
            Self::IsCorrection => "`code` is 3, a correction",
        }
    }
}

/// One way to be allowed: any of the roles, and every one of the relations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Who.
    pub roles: &'static [Role],
    /// How the caller stands; without any, always.
    pub needs: &'static [Relation],
}

/// The rules of one kind: one of them must allow.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The kind.
    pub kind: Kind,
    /// Its rules.
    pub rules: &'static [Rule],
}

/// Every kind with its rules, in order of the kinds' numbers.
pub static TABLE: [Row; Kind::ALL.len()] = {
    let mut table = [Row { kind: Kind::Tick, rules: &[] }; Kind::ALL.len()];
    let mut at = 0;
    while at < table.len() {
        table[at] = Row { kind: Kind::ALL[at], rules: rules(Kind::ALL[at]) };
        at += 1;
    }
    table
};

const fn may(roles: &'static [Role], needs: &'static [Relation]) -> Rule {
    Rule { roles, needs }
}

const ACTS_FOR_DEBTOR: Rule = may(&[Role::Agent, Role::Registry], &[Relation::ActsForDebtor]);
const ACTS_FOR_CREDITOR: Rule = may(&[Role::Agent, Role::Registry], &[Relation::ActsForCreditor]);
const MINT: Rule = may(&[Role::Mint], &[]);
const ADMIN: Rule = may(&[Role::Admin], &[]);
const AUDITOR: Rule = may(&[Role::Auditor], &[]);
const EVERYBODY: Rule = may(&Role::ALL, &[]);

/// The rules of a kind.
pub const fn rules(kind: Kind) -> &'static [Rule] {
    use Relation::*;
    use Role::{Admin, Agent, Auditor, Engine, Mint, Registry};
    match kind {
        Kind::Open => {
            const {
                &[
                    may(&[Agent], &[IsDebtor, NamesNoHost]),
                    may(&[Registry], &[NamesNoHost]),
                    may(&[Admin], &[NamesHost]),
                ]
            }
        }
        Kind::Freeze | Kind::Unfreeze => const { &[may(&[Registry], &[HostsDebtor]), ADMIN] },
        Kind::Close => const { &[ACTS_FOR_DEBTOR, ADMIN] },
        Kind::Limits => const { &[may(&[Registry], &[HostsDebtor, KeepsCreditLimit]), ADMIN] },
        Kind::Rehost => {
            const { &[may(&[Agent], &[IsDebtor]), may(&[Registry], &[IsCreditor]), ADMIN] }
        }
        Kind::AgentOnly => const { &[may(&[Agent], &[IsDebtor])] },
        Kind::Transfer | Kind::Hold | Kind::Quote => const { &[ACTS_FOR_DEBTOR] },
        Kind::Capture | Kind::Release => const { &[ACTS_FOR_CREDITOR] },
        Kind::SystemTransfer | Kind::Configure | Kind::Asset => const { &[ADMIN] },
        Kind::Issue | Kind::ResumeMint => const { &[MINT] },
        Kind::Burn => {
            const {
                &[
                    may(&[Agent, Registry], &[ActsForDebtor, IsOrdinary]),
                    may(&[Mint], &[DebtorIsTreasury, IsOrdinary]),
                    may(&[Mint], &[IsCorrection]),
                ]
            }
        }
        Kind::HaltMint => const { &[MINT, ADMIN] },
        Kind::Identify | Kind::ReadSupply | Kind::ReadAsset | Kind::ReadParameter => {
            const { &[EVERYBODY] }
        }
        Kind::Tick => const { &[may(&[Engine], &[])] },
        Kind::ReadAccount => {
            const {
                &[
                    may(&[Agent], &[IsDebtor, DebtorIsOrdinary]),
                    may(&[Registry], &[HostsDebtor]),
                    may(&[Registry], &[DebtorIsOwnCollector]),
                    may(&[Admin, Auditor], &[]),
                ]
            }
        }
        Kind::ReadOutcome => {
            const { &[may(&Role::ALL, &[IsDebtor]), may(&[Registry], &[ActsForDebtor]), AUDITOR] }
        }
        Kind::ReadHold => {
            const {
                &[
                    ACTS_FOR_DEBTOR,
                    may(&[Agent], &[IsHoldCreditor]),
                    may(&[Registry], &[HostsHoldCreditor]),
                    AUDITOR,
                ]
            }
        }
        Kind::ReadRecount => const { &[may(&[Mint, Admin, Auditor], &[])] },
        Kind::ReadAccounts => {
            const { &[may(&[Registry], &[IsCreditor]), may(&[Admin, Auditor], &[])] }
        }
        // A kind that nobody has given rules is for nobody.
        _ => &[],
    }
}

/// Whether `role` may do `kind`, if the caller stands as `stands` says.
#[inline]
pub fn permits(kind: Kind, role: Role, stands: impl Fn(Relation) -> bool) -> bool {
    rules(kind).iter().any(|rule| {
        rule.roles.contains(&role) && rule.needs.iter().all(|&relation| stands(relation))
    })
}
