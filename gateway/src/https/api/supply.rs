//! Supply: issued, burned, moved out of system accounts, halted, counted.

use axum::response::Response;
use protocol::answer::Answer;
use protocol::command::reason;
use protocol::data::TAG_REASON;
use protocol::{AssetId, Command, CommandId, Kind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use super::accounts::ReasonRequest;
use super::answer;
use super::body::{self, BODY_SIZE_MAX};
use super::examples;
use super::inbound::Inbound;
use super::money::{Decimal, Shown};
use super::operation::Operation;
use super::problem::Problem;
use super::transfers::asset_or_native;
use super::values::{self, Code, Id, Note, Owner, Small, present};
use super::write::{self, Done, Draft};

const TAG: &str = "supply";

/// New units.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IssueRequest<'a> {
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    id: Option<Id>,
    credit: Owner,
    #[serde(borrow)]
    amount: Decimal<'a>,
    /// 1, the native asset, by default.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    asset: Option<Small>,
    /// `ordinary` by default.
    #[serde(default, deserialize_with = "present")]
    #[schema(schema_with = issue_codes)]
    code: Option<Code>,
    /// A correction must have one.
    #[serde(borrow, default, deserialize_with = "present")]
    #[schema(nullable = false)]
    reason: Option<Note<'a>>,
    /// The id of what it is about.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    reference: Option<Id>,
}

/// Units that end.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BurnRequest<'a> {
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    id: Option<Id>,
    debit: Owner,
    #[serde(borrow)]
    amount: Decimal<'a>,
    /// 1, the native asset, by default.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    asset: Option<Small>,
    /// `ordinary` by default.
    #[serde(default, deserialize_with = "present")]
    #[schema(schema_with = burn_codes)]
    code: Option<Code>,
    /// A correction must have one.
    #[serde(borrow, default, deserialize_with = "present")]
    #[schema(nullable = false)]
    reason: Option<Note<'a>>,
    /// The id of what it is about.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    reference: Option<Id>,
}

/// Units out of a system account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SystemTransferRequest<'a> {
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    id: Option<Id>,
    debit: Owner,
    credit: Owner,
    #[serde(borrow)]
    amount: Decimal<'a>,
    /// 1, the native asset, by default.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    asset: Option<Small>,
    /// `payout` or `write_off`.
    #[schema(schema_with = system_codes)]
    code: Code,
    #[serde(borrow, default, deserialize_with = "present")]
    #[schema(nullable = false)]
    reason: Option<Note<'a>>,
}

fn issue_codes() -> RefOr<Schema> {
    let issues = [reason::ORDINARY, reason::COMPENSATION, reason::CORRECTION, reason::BASELINE];
    values::codes(&issues)
}

fn burn_codes() -> RefOr<Schema> {
    values::codes(&[reason::ORDINARY, reason::CORRECTION])
}

fn system_codes() -> RefOr<Schema> {
    values::codes(&[reason::PAYOUT, reason::WRITE_OFF])
}

/// The supply of an asset.
#[derive(Serialize, ToSchema)]
pub(crate) struct SupplyAnswer {
    asset: AssetId,
    issued: Shown,
    destroyed: Shown,
    /// The sum of every bucket of every account.
    native_total: Shown,
    held: Shown,
    staked: Shown,
    bonded: Shown,
    /// The sum of all credit limits.
    credit_granted: Shown,
    /// What is borrowed on them.
    credit_used: Shown,
    /// 0, or units were lost or invented.
    delta: Shown,
    accounts: u32,
    mint_halted: bool,
}

impl SupplyAnswer {
    fn new(asset: AssetId, answer: &Answer, scale: u16) -> Self {
        let amount = |minor| Shown::amount(minor, scale);
        Self {
            asset,
            issued: amount(answer.value),
            destroyed: amount(answer.minimum),
            native_total: Shown::balance(answer.total, scale),
            held: amount(answer.held),
            staked: amount(answer.staked),
            bonded: amount(answer.bonded),
            credit_granted: amount(answer.credit),
            credit_used: amount(answer.credit_used),
            delta: Shown::balance(answer.delta, scale),
            accounts: answer.host,
            mint_halted: answer.flags & 1 != 0,
        }
    }
}

fn supply_example() -> Value {
    json!({"asset": 1, "issued": "1000.000000", "destroyed": "0.000000",
           "native_total": "1000.000000", "held": "12.500000", "staked": "0.000000",
           "bonded": "0.000000", "credit_granted": "0.000000", "credit_used": "0.000000",
           "delta": "0.000000", "accounts": 6, "mint_halted": false})
}

/// Everything about supply but its audit.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::post("/v1/issues", issue)
            .does(TAG, "Issues units", "New units to an account; for the mint role.")
            .reads::<IssueRequest<'_>>(ISSUE)
            .answers::<Done>(201, examples::done()),
        Operation::post("/v1/burns", burn)
            .does(TAG, "Burns units", "Units of an account end.")
            .reads::<BurnRequest<'_>>(BURN)
            .answers::<Done>(201, examples::done()),
        Operation::post("/v1/system-transfers", system_transfer)
            .does(TAG, "Moves units of the frame", "Payouts and write-offs; for admins.")
            .reads::<SystemTransferRequest<'_>>(SYSTEM_TRANSFER)
            .answers::<Done>(201, examples::done()),
        Operation::post("/v1/mint/halt", halt)
            .does(TAG, "Halts minting", "Nothing is issued until it is resumed.")
            .reads::<ReasonRequest<'_>>(HALT)
            .answers::<Done>(200, examples::done()),
        Operation::post("/v1/mint/resume", resume)
            .does(TAG, "Resumes minting", "After a full recomputation that gives 0.")
            .reads::<ReasonRequest<'_>>(HALT)
            .answers::<Done>(200, examples::done()),
        Operation::get("/v1/supply/{asset}", running)
            .does(TAG, "Reads the supply of an asset", "From the running sums.")
            .answers::<SupplyAnswer>(200, supply_example()),
        Operation::get("/v1/supply/{asset}/recount", recount)
            .does(TAG, "Counts the supply anew", "From every account.")
            .answers::<SupplyAnswer>(200, supply_example()),
    ]
}

const ISSUE: &str = r#"{
  "id": "018f6f0e-8a10-7000-8000-000000000001",
  "credit": "treasury:0",
  "amount": "1000.000000",
  "code": "ordinary"
}"#;

const BURN: &str = r#"{
  "id": "018f6f0e-8a10-7000-8000-000000000001",
  "debit": "treasury:0",
  "amount": "10.000000",
  "code": "correction",
  "reason": "booked twice"
}"#;

const SYSTEM_TRANSFER: &str = r#"{
  "id": "018f6f0e-8a10-7000-8000-000000000001",
  "debit": "fee_collector:1",
  "credit": "treasury:1",
  "amount": "5.000000",
  "code": "payout"
}"#;

const HALT: &str = r#"{
  "id": "018f6f0e-8a10-7000-8000-000000000001",
  "reason": "key ceremony"
}"#;

async fn issue(mut inbound: Inbound) -> Result<Response, Problem> {
    let bytes = inbound.body(BODY_SIZE_MAX).await?;
    let body: IssueRequest<'_> = body::parse(&bytes)?;
    let asset = asset_or_native(body.asset);
    let scale = inbound.body_scale(asset).await?;
    let draft = Draft::new(Kind::Issue, body.id);
    let command = Command {
        credit: body.credit.0,
        amount: body.amount.minor(scale, "/amount")?,
        asset,
        reference: body.reference.map_or(0, |reference| reference.0),
        code: body.code.map_or(reason::ORDINARY, |code| code.0),
        ..draft.command
    };
    let draft = Draft { command, ..draft.note(TAG_REASON, body.reason.as_ref()) };
    write::run(&inbound, draft, true).await
}

async fn burn(mut inbound: Inbound) -> Result<Response, Problem> {
    let bytes = inbound.body(BODY_SIZE_MAX).await?;
    let body: BurnRequest<'_> = body::parse(&bytes)?;
    let asset = asset_or_native(body.asset);
    let scale = inbound.body_scale(asset).await?;
    let draft = Draft::new(Kind::Burn, body.id);
    let command = Command {
        debit: body.debit.0,
        amount: body.amount.minor(scale, "/amount")?,
        asset,
        reference: body.reference.map_or(0, |reference| reference.0),
        code: body.code.map_or(reason::ORDINARY, |code| code.0),
        ..draft.command
    };
    let draft = Draft { command, ..draft.note(TAG_REASON, body.reason.as_ref()) };
    write::run(&inbound, draft, true).await
}

async fn system_transfer(mut inbound: Inbound) -> Result<Response, Problem> {
    let bytes = inbound.body(BODY_SIZE_MAX).await?;
    let body: SystemTransferRequest<'_> = body::parse(&bytes)?;
    let asset = asset_or_native(body.asset);
    let scale = inbound.body_scale(asset).await?;
    let draft = Draft::new(Kind::SystemTransfer, body.id);
    let command = Command {
        debit: body.debit.0,
        credit: body.credit.0,
        amount: body.amount.minor(scale, "/amount")?,
        asset,
        code: body.code.0,
        ..draft.command
    };
    let draft = Draft { command, ..draft.note(TAG_REASON, body.reason.as_ref()) };
    write::run(&inbound, draft, true).await
}

async fn halt(inbound: Inbound) -> Result<Response, Problem> {
    set_halt(inbound, Kind::HaltMint).await
}

async fn resume(inbound: Inbound) -> Result<Response, Problem> {
    set_halt(inbound, Kind::ResumeMint).await
}

async fn set_halt(mut inbound: Inbound, kind: Kind) -> Result<Response, Problem> {
    let bytes = inbound.body(BODY_SIZE_MAX).await?;
    let body: ReasonRequest<'_> = body::parse(&bytes)?;
    let draft = Draft::new(kind, body.id);
    let command = Command { code: body.code.map_or(0, |code| code.0), ..draft.command };
    let draft = Draft { command, ..draft.note(TAG_REASON, body.reason.as_ref()) };
    write::run(&inbound, draft, false).await
}

async fn running(inbound: Inbound) -> Result<Response, Problem> {
    read(&inbound, Kind::ReadSupply).await
}

async fn recount(inbound: Inbound) -> Result<Response, Problem> {
    read(&inbound, Kind::ReadRecount).await
}

async fn read(inbound: &Inbound, kind: Kind) -> Result<Response, Problem> {
    inbound.no_query()?;
    let asset = inbound.path_asset()?;
    let read = Command { asset, ..Command::new(kind, CommandId(0)) };
    let (seen, answer) = inbound.ask(read).await?;
    let scale = inbound.scale(asset).await?;
    Ok(answer::read(&seen, &SupplyAnswer::new(asset, &answer, scale)))
}
