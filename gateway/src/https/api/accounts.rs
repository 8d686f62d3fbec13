//! Accounts and their owners: opened, read, frozen, limited, closed, moved.

use axum::response::Response;
use protocol::answer::{Answer, account_flags};
use protocol::data::TAG_REASON;
use protocol::{AssetId, Command, CommandId, Kind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::body::{self, BODY_SIZE_MAX};
use super::examples;
use super::inbound::Inbound;
use super::money::{Decimal, Shown};
use super::operation::Operation;
use super::problem::Problem;
use super::transfers::asset_or_native;
use super::values::{Code, Id, Note, Owner, Small, present};
use super::write::{self, Done, Draft};
use super::{answer, list};

const TAG: &str = "accounts";

/// An account to be opened.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenRequest {
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    id: Option<Id>,
    owner: Owner,
    /// 1, the native asset, by default.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    asset: Option<Small>,
    /// The registry that will host the owner; for admins.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    host: Option<Owner>,
}

/// Why something is frozen, or no longer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReasonRequest<'a> {
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    pub(crate) id: Option<Id>,
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    pub(crate) code: Option<Code>,
    #[serde(borrow, default, deserialize_with = "present")]
    #[schema(nullable = false)]
    pub(crate) reason: Option<Note<'a>>,
}

/// The end of an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CloseRequest<'a> {
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    id: Option<Id>,
    /// Who gets what is left.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    beneficiary: Option<Owner>,
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    code: Option<Code>,
    #[serde(borrow, default, deserialize_with = "present")]
    #[schema(nullable = false)]
    reason: Option<Note<'a>>,
}

/// The limits of an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsRequest<'a> {
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    id: Option<Id>,
    /// New debits leave at least this.
    #[serde(borrow)]
    minimum: Decimal<'a>,
    /// How far liquid may fall below zero; a registry repeats the present one.
    #[serde(borrow)]
    credit_limit: Decimal<'a>,
}

/// Another host for an owner.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RehostRequest {
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    id: Option<Id>,
    /// The registry.
    host: Owner,
}

/// Whether only the agent itself may debit its accounts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AgentOnlyRequest {
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    id: Option<Id>,
    agent_only: bool,
}

/// An account.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccountAnswer {
    owner: Owner,
    asset: AssetId,
    /// Number of its host; 0 is the frame.
    host: u32,
    /// Spendable; below zero when a credit limit is used.
    liquid: Shown,
    held: Shown,
    staked: Shown,
    bonded: Shown,
    minimum: Shown,
    credit_limit: Shown,
    frozen: bool,
    closed: bool,
    agent_only: bool,
    /// Open holds and other items that name it.
    open_items: u32,
    /// Sequence that changed it last.
    sequence: u64,
}

impl AccountAnswer {
    /// Of a read.
    pub(crate) fn new(owner: Owner, asset: AssetId, answer: &Answer, scale: u16) -> Self {
        let amount = |minor| Shown::amount(minor, scale);
        let is = |bit| answer.flags & bit != 0;
        Self {
            owner,
            asset,
            host: answer.host,
            liquid: Shown::balance(answer.liquid(), scale),
            held: amount(answer.held),
            staked: amount(answer.staked),
            bonded: amount(answer.bonded),
            minimum: amount(answer.minimum),
            credit_limit: amount(answer.credit),
            frozen: is(account_flags::FROZEN),
            closed: is(account_flags::CLOSED),
            agent_only: is(account_flags::AGENT_ONLY),
            open_items: answer.open_items,
            sequence: answer.sequence,
        }
    }
}

/// An example.
pub(crate) fn account_example() -> Value {
    json!({"owner": examples::DEBIT, "asset": 1, "host": 1, "liquid": "87.437500",
           "held": "12.500000", "staked": "0.000000", "bonded": "0.000000",
           "minimum": "0.000000", "credit_limit": "0.000000", "frozen": false, "closed": false,
           "agent_only": false, "open_items": 1, "sequence": 42})
}

/// Everything about accounts and owners.
pub(crate) fn operations() -> Vec<Operation> {
    let account = "/v1/accounts/{owner}/{asset}";
    let path = |rest: &'static str| match rest {
        "freeze" => "/v1/accounts/{owner}/{asset}/freeze",
        "unfreeze" => "/v1/accounts/{owner}/{asset}/unfreeze",
        "close" => "/v1/accounts/{owner}/{asset}/close",
        _ => "/v1/accounts/{owner}/{asset}/limits",
    };
    vec![
        Operation::post("/v1/accounts", open)
            .does(TAG, "Opens an account", "Binds the owner to its host if it has none yet.")
            .reads::<OpenRequest>(OPEN)
            .answers::<Done>(201, examples::done()),
        list::operation(),
        Operation::get(account, read)
            .does(TAG, "Reads an account", "Balances, limits and flags.")
            .answers::<AccountAnswer>(200, account_example())
            .tagged(),
        Operation::post(path("freeze"), freeze)
            .does(TAG, "Freezes an account", "No new debits; credits go on.")
            .reads::<ReasonRequest<'_>>(FREEZE)
            .answers::<Done>(200, examples::done()),
        Operation::post(path("unfreeze"), unfreeze)
            .does(TAG, "Lifts a freeze", "Debits go on.")
            .reads::<ReasonRequest<'_>>(FREEZE)
            .answers::<Done>(200, examples::done()),
        Operation::post(path("close"), close)
            .does(TAG, "Closes an account", "For ever; what is left goes to the beneficiary.")
            .reads::<CloseRequest<'_>>(CLOSE)
            .answers::<Done>(200, examples::done()),
        Operation::put(path("limits"), limits)
            .does(TAG, "Sets the limits of an account", "Minimum balance and credit limit.")
            .reads::<LimitsRequest<'_>>(LIMITS)
            .answers::<Done>(200, examples::done()),
        Operation::post("/v1/owners/{owner}/rehost", rehost)
            .does(TAG, "Moves an owner to another host", "The agent asks, the new host accepts.")
            .reads::<RehostRequest>(REHOST)
            .answers::<Done>(200, examples::done()),
        Operation::put("/v1/owners/{owner}/agent-only", agent_only)
            .does(TAG, "Sets or clears agent-only", "Whether its host may not debit the owner.")
            .reads::<AgentOnlyRequest>(AGENT_ONLY)
            .answers::<Done>(200, examples::done()),
    ]
}

const OPEN: &str = r#"{
  "id": "018f6f0e-8a10-7000-8000-000000000001",
  "owner": "did:theprotocol:01900000-0000-7000-8000-00000000000a",
  "asset": 1
}"#;

const FREEZE: &str = r#"{
  "id": "018f6f0e-8a10-7000-8000-000000000001",
  "code": 7,
  "reason": "reported stolen"
}"#;

const CLOSE: &str = r#"{
  "id": "018f6f0e-8a10-7000-8000-000000000001",
  "beneficiary": "01900000-0000-7000-8000-00000000000b"
}"#;

const LIMITS: &str = r#"{
  "id": "018f6f0e-8a10-7000-8000-000000000001",
  "minimum": "1.000000",
  "credit_limit": "0"
}"#;

const REHOST: &str = r#"{
  "id": "018f6f0e-8a10-7000-8000-000000000001",
  "host": "01900000-0000-8000-8000-0000000000aa"
}"#;

const AGENT_ONLY: &str = r#"{
  "id": "018f6f0e-8a10-7000-8000-000000000001",
  "agent_only": true
}"#;

async fn open(mut inbound: Inbound) -> Result<Response, Problem> {
    let bytes = inbound.body(BODY_SIZE_MAX).await?;
    let body: OpenRequest = body::parse(&bytes)?;
    let draft = Draft::new(Kind::Open, body.id);
    let command = Command {
        debit: body.owner.0,
        credit: body.host.map_or(0, |host| host.0),
        asset: asset_or_native(body.asset),
        ..draft.command
    };
    write::run(&inbound, Draft { command, ..draft }, true).await
}

async fn freeze(inbound: Inbound) -> Result<Response, Problem> {
    set_freeze(inbound, Kind::Freeze).await
}

async fn unfreeze(inbound: Inbound) -> Result<Response, Problem> {
    set_freeze(inbound, Kind::Unfreeze).await
}

async fn set_freeze(mut inbound: Inbound, kind: Kind) -> Result<Response, Problem> {
    let (owner, asset) = (inbound.path_owner("owner")?, inbound.path_asset()?);
    let bytes = inbound.body(BODY_SIZE_MAX).await?;
    let body: ReasonRequest<'_> = body::parse(&bytes)?;
    let draft = Draft::new(kind, body.id);
    let code = body.code.map_or(0, |code| code.0);
    let command = Command { debit: owner.0, asset, code, ..draft.command };
    let draft = Draft { command, ..draft.note(TAG_REASON, body.reason.as_ref()) };
    write::run(&inbound, draft, false).await
}

async fn close(mut inbound: Inbound) -> Result<Response, Problem> {
    let (owner, asset) = (inbound.path_owner("owner")?, inbound.path_asset()?);
    let bytes = inbound.body(BODY_SIZE_MAX).await?;
    let body: CloseRequest<'_> = body::parse(&bytes)?;
    let draft = Draft::new(Kind::Close, body.id);
    let command = Command {
        debit: owner.0,
        credit: body.beneficiary.map_or(0, |owner| owner.0),
        asset,
        code: body.code.map_or(0, |code| code.0),
        ..draft.command
    };
    let draft = Draft { command, ..draft.note(TAG_REASON, body.reason.as_ref()) };
    write::run(&inbound, draft, false).await
}

async fn limits(mut inbound: Inbound) -> Result<Response, Problem> {
    let (owner, asset) = (inbound.path_owner("owner")?, inbound.path_asset()?);
    let bytes = inbound.body(BODY_SIZE_MAX).await?;
    let body: LimitsRequest<'_> = body::parse(&bytes)?;
    let scale = inbound.scale(asset).await?;
    let draft = Draft::new(Kind::Limits, body.id);
    let command = Command {
        debit: owner.0,
        asset,
        amount: body.minimum.minor(scale, "/minimum")?,
        reference: body.credit_limit.minor(scale, "/credit_limit")?,
        ..draft.command
    };
    write::run(&inbound, Draft { command, ..draft }, false).await
}

async fn rehost(mut inbound: Inbound) -> Result<Response, Problem> {
    let owner = inbound.path_owner("owner")?;
    let bytes = inbound.body(BODY_SIZE_MAX).await?;
    let body: RehostRequest = body::parse(&bytes)?;
    let draft = Draft::new(Kind::Rehost, body.id);
    let command = Command { debit: owner.0, credit: body.host.0, ..draft.command };
    write::run(&inbound, Draft { command, ..draft }, false).await
}

async fn agent_only(mut inbound: Inbound) -> Result<Response, Problem> {
    let owner = inbound.path_owner("owner")?;
    let bytes = inbound.body(BODY_SIZE_MAX).await?;
    let body: AgentOnlyRequest = body::parse(&bytes)?;
    let draft = Draft::new(Kind::AgentOnly, body.id);
    let code = u16::from(body.agent_only);
    let command = Command { debit: owner.0, code, ..draft.command };
    write::run(&inbound, Draft { command, ..draft }, false).await
}

async fn read(inbound: Inbound) -> Result<Response, Problem> {
    inbound.no_query()?;
    let (owner, asset) = (inbound.path_owner("owner")?, inbound.path_asset()?);
    let read = Command { debit: owner.0, asset, ..Command::new(Kind::ReadAccount, CommandId(0)) };
    let (seen, answer) = inbound.ask(read).await?;
    let scale = inbound.scale(asset).await?;
    let account = AccountAnswer::new(owner, asset, &answer, scale);
    Ok(answer::tagged(&seen, &account, inbound.headers()))
}
