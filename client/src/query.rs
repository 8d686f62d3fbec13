//! Reads: what can be asked, and the answers as types.
//!
//! A query is one command of a read request and knows how to read its answer. It decides nothing
//! about what may be read; the frame does.

use std::marker::PhantomData;

use protocol::answer::{Answer, account_flags};
use protocol::{AssetId, Command, CommandId, Kind, OwnerId, Sequence, Status};

use crate::error::Error;
pub use crate::list::accounts;

/// One read with the type of its answer.
#[derive(Clone, Copy, Debug)]
pub struct Query<V> {
    pub(crate) command: Command,
    view: PhantomData<fn() -> V>,
}

impl<V: View> Query<V> {
    fn new(kind: Kind, fill: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(kind, CommandId(0));
        fill(&mut command);
        Self { command, view: PhantomData }
    }

    /// The read as a slot of a request.
    #[must_use]
    pub const fn command(&self) -> &Command {
        &self.command
    }

    /// Reads the answer to this query.
    ///
    /// # Errors
    ///
    /// The frame's refusal, e.g. `not_found`.
    pub fn view(&self, answer: &Answer) -> Result<V, Error> {
        match Status::from_number(answer.status) {
            Some(Status::Ok) => Ok(V::from_answer(answer)),
            Some(status) => Err(Error::Read(status)),
            None => Err(Error::Read(Status::Malformed)),
        }
    }
}

/// An answer as a type.
pub trait View: Sized {
    /// Reads the fields of an answer whose status is ok.
    fn from_answer(answer: &Answer) -> Self;
}

/// One account of `owner`.
#[must_use]
pub fn account(owner: OwnerId, asset: AssetId) -> Query<AccountView> {
    Query::new(Kind::ReadAccount, |command| {
        command.debit = owner;
        command.asset = asset;
    })
}

/// What became of the command `id` in the scope of `owner`, its debtor.
#[must_use]
pub fn outcome(owner: OwnerId, id: CommandId) -> Query<OutcomeView> {
    Query::new(Kind::ReadOutcome, |command| {
        command.debit = owner;
        command.reference = id.0;
    })
}

/// The supply of an asset, from the running sums.
#[must_use]
pub fn supply(asset: AssetId) -> Query<SupplyView> {
    Query::new(Kind::ReadSupply, |command| command.asset = asset)
}

/// The supply of an asset, counted anew from every account.
#[must_use]
pub fn recount(asset: AssetId) -> Query<SupplyView> {
    Query::new(Kind::ReadRecount, |command| command.asset = asset)
}

/// What a transfer would cost now.
#[must_use]
pub fn quote(debit: OwnerId, credit: OwnerId, asset: AssetId, amount: u128) -> Query<QuoteView> {
    Query::new(Kind::Quote, |command| {
        command.debit = debit;
        command.credit = credit;
        command.asset = asset;
        command.amount = amount;
    })
}

/// The hold `id` of the debtor `owner`.
#[must_use]
pub fn hold(owner: OwnerId, asset: AssetId, id: CommandId) -> Query<HoldView> {
    Query::new(Kind::ReadHold, |command| {
        command.debit = owner;
        command.asset = asset;
        command.reference = id.0;
    })
}

/// An asset's scale and name.
#[must_use]
pub fn asset(asset: AssetId) -> Query<AssetView> {
    Query::new(Kind::ReadAsset, |command| command.asset = asset)
}

/// A parameter of the frame, or of the host `host` if it is one of a host's.
#[must_use]
pub fn parameter(code: u16, host: OwnerId) -> Query<ParameterView> {
    Query::new(Kind::ReadParameter, |command| {
        command.code = code;
        command.credit = host;
    })
}

/// One account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccountView {
    /// Spendable units; below zero when a credit limit is used.
    pub liquid: i128,
    /// Units under holds.
    pub held: u128,
    /// Units staked.
    pub staked: u128,
    /// Units bonded.
    pub bonded: u128,
    /// Liquid may not fall below this.
    pub minimum: u128,
    /// How far below zero liquid may fall.
    pub credit_limit: u128,
    /// Number of its host.
    pub host: u32,
    /// Open holds and other items that name it.
    pub open_items: u32,
    /// Sequence that changed it last.
    pub changed_at: Sequence,
    /// No new debits.
    pub is_frozen: bool,
    /// Neither debits nor credits.
    pub is_closed: bool,
    /// Its host may not debit it.
    pub is_agent_only: bool,
}

impl View for AccountView {
    fn from_answer(answer: &Answer) -> Self {
        let has = |bit| answer.flags & bit != 0;
        Self {
            liquid: answer.liquid(),
            held: answer.held,
            staked: answer.staked,
            bonded: answer.bonded,
            minimum: answer.minimum,
            credit_limit: answer.credit,
            host: answer.host,
            open_items: answer.open_items,
            changed_at: Sequence(answer.sequence),
            is_frozen: has(account_flags::FROZEN),
            is_closed: has(account_flags::CLOSED),
            is_agent_only: has(account_flags::AGENT_ONLY),
        }
    }
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutcomeView {
    /// The frame remembers it.
    Known {
        /// Sequence of the command.
        sequence: Sequence,
        /// Ok or the refusal.
        status: Status,
        /// Fee rate in millionths.
        rate: u32,
    },
    /// Not among the ids remembered: not executed, or too long ago.
    NotRemembered,
}

impl View for OutcomeView {
    fn from_answer(answer: &Answer) -> Self {
        let status = u16::try_from(answer.host).ok().and_then(Status::from_number);
        match status {
            Some(status) if answer.flags & 1 != 0 => {
                Self::Known { sequence: Sequence(answer.sequence), status, rate: answer.rate }
            }
            _ => Self::NotRemembered,
        }
    }
}

/// Supply of an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SupplyView {
    /// Executed sequence at which it holds.
    pub executed: Sequence,
    /// Units ever issued, lower 128 bits.
    pub issued: u128,
    /// Units ever destroyed, lower 128 bits.
    pub destroyed: u128,
    /// Sum of all buckets of all accounts.
    pub total: i128,
    /// Sum of what is held.
    pub held: u128,
    /// Sum of what is staked.
    pub staked: u128,
    /// Sum of what is bonded.
    pub bonded: u128,
    /// Sum of the credit limits.
    pub credit_granted: u128,
    /// Sum of the credit in use.
    pub credit_used: u128,
    /// 0, or units were lost or invented.
    pub delta: i128,
    /// Accounts.
    pub accounts: u32,
    /// Minting is halted.
    pub is_mint_halted: bool,
}

impl View for SupplyView {
    fn from_answer(answer: &Answer) -> Self {
        Self {
            executed: Sequence(answer.sequence),
            issued: answer.value,
            destroyed: answer.minimum,
            total: answer.total,
            held: answer.held,
            staked: answer.staked,
            bonded: answer.bonded,
            credit_granted: answer.credit,
            credit_used: answer.credit_used,
            delta: answer.delta,
            accounts: answer.host,
            is_mint_halted: answer.flags & 1 != 0,
        }
    }
}

/// Cost of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuoteView {
    /// What the debtor would pay.
    pub debtor_pays: u128,
    /// What the creditor would receive.
    pub creditor_gets: u128,
    /// Fee out of the amount.
    pub base_fee: u128,
    /// Fee on top of the amount.
    pub velocity_fee: u128,
    /// Rate in millionths.
    pub rate: u32,
}

impl View for QuoteView {
    fn from_answer(answer: &Answer) -> Self {
        Self {
            debtor_pays: answer.value,
            creditor_gets: answer.held,
            base_fee: answer.staked,
            velocity_fee: answer.bonded,
            rate: answer.rate,
        }
    }
}

/// An open hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HoldView {
    /// What is left of it.
    pub left: u128,
    /// What it was placed with.
    pub amount: u128,
    /// Who may capture it.
    pub creditor: OwnerId,
    /// When it ends, Unix milliseconds of journal time.
    pub expiry_ms: u64,
    /// Fee rate fixed with it, in millionths.
    pub rate: u32,
    /// Partial captures may keep the rest.
    pub may_keep: bool,
    /// Sequence that placed it.
    pub sequence: Sequence,
}

impl View for HoldView {
    fn from_answer(answer: &Answer) -> Self {
        Self {
            left: answer.value,
            amount: answer.held,
            creditor: answer.staked,
            expiry_ms: answer.time,
            rate: answer.rate,
            may_keep: answer.flags != 0,
            sequence: Sequence(answer.sequence),
        }
    }
}

/// An asset.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AssetView {
    /// Digits after the point.
    pub scale: u32,
    /// Its name.
    pub name: Box<str>,
    /// The next higher number that an asset has.
    pub next: Option<AssetId>,
}

impl View for AssetView {
    fn from_answer(answer: &Answer) -> Self {
        let next = (answer.host != 0).then_some(answer.host);
        Self { scale: answer.rate, name: answer.name().into(), next }
    }
}

/// A parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParameterView {
    /// Its present value.
    pub value: u128,
}

impl View for ParameterView {
    fn from_answer(answer: &Answer) -> Self {
        Self { value: answer.value }
    }
}
