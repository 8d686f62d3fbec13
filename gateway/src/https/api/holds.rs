//! Holds: placed, captured, released, read.

use axum::response::Response;
use protocol::data::TAG_MEMO;
use protocol::{Command, CommandId, Kind, flags};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::answer;
use super::body::{self, BODY_SIZE_MAX};
use super::examples;
use super::inbound::Inbound;
use super::money::{Decimal, Shown};
use super::operation::Operation;
use super::problem::Problem;
use super::transfers::asset_or_native;
use super::values::{Id, Large, Note, Owner, Rate, Small, present};
use super::write::{self, Done, Draft};

const TAG: &str = "holds";

/// Units set aside for a creditor.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HoldRequest<'a> {
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
    /// How long it lasts, in milliseconds; 0 is the frame's default.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    timeout_ms: Option<Small>,
    /// The creditor may capture parts and keep the rest held.
    #[serde(default)]
    keep: bool,
    /// Refused above this rate, in millionths; 0 is no limit.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    max_rate: Option<Rate>,
    #[serde(borrow, default, deserialize_with = "present")]
    #[schema(nullable = false)]
    memo: Option<Note<'a>>,
    /// A number of your own, stored and returned.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    user_data: Option<Large>,
}

/// A payment out of a hold.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaptureRequest<'a> {
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    id: Option<Id>,
    /// The hold's creditor.
    credit: Owner,
    /// Everything that is left, if it is not there.
    #[serde(borrow, default, deserialize_with = "present")]
    #[schema(nullable = false)]
    amount: Option<Decimal<'a>>,
    /// The rest stays held, if the debtor has allowed it; else it is released.
    #[serde(default)]
    keep: bool,
    /// Refused above this rate, in millionths; 0 is no limit.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    max_rate: Option<Rate>,
    #[serde(borrow, default, deserialize_with = "present")]
    #[schema(nullable = false)]
    memo: Option<Note<'a>>,
    /// A number of your own, stored and returned.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    user_data: Option<Large>,
}

/// The end of a hold.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReleaseRequest<'a> {
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    id: Option<Id>,
    /// The hold's creditor.
    credit: Owner,
    #[serde(borrow, default, deserialize_with = "present")]
    #[schema(nullable = false)]
    memo: Option<Note<'a>>,
}

/// An open hold.
#[derive(Serialize, ToSchema)]
pub(crate) struct HoldAnswer {
    debit: Owner,
    asset: u32,
    hold: Id,
    credit: Owner,
    /// What was held when it was placed.
    amount: Shown,
    /// What is left of it.
    left: Shown,
    /// The rate that captures pay, in millionths.
    #[schema(maximum = 1_000_000)]
    rate: u32,
    keep: bool,
    /// Unix milliseconds.
    expires_at: u64,
    /// Sequence that placed it.
    sequence: u64,
}

/// Everything about holds.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::post("/v1/holds", place)
            .does(TAG, "Places a hold", "Sets units aside for a creditor until it expires.")
            .reads::<HoldRequest<'_>>(PLACE)
            .answers::<Done>(
                201,
                json!({"id": examples::HOLD, "status": "ok", "sequence": 42, "rate": 5_000,
                       "hold": examples::HOLD}),
            ),
        Operation::get("/v1/holds/{debit}/{asset}/{hold}", read)
            .does(TAG, "Reads a hold", "An open hold; one that has ended is not found.")
            .answers::<HoldAnswer>(
                200,
                json!({"debit": examples::DEBIT, "asset": 1, "hold": examples::HOLD,
                       "credit": "01900000-0000-7000-8000-00000000000b", "amount": "12.500000",
                       "left": "12.500000", "rate": 5_000, "keep": false,
                       "expires_at": 1_715_766_000_000_u64, "sequence": 42}),
            ),
        Operation::post("/v1/holds/{debit}/{asset}/{hold}/capture", capture)
            .does(TAG, "Captures a hold", "Pays the creditor out of a hold, wholly or in part.")
            .reads::<CaptureRequest<'_>>(CAPTURE)
            .answers::<Done>(201, examples::paid()),
        Operation::post("/v1/holds/{debit}/{asset}/{hold}/release", release)
            .does(TAG, "Releases a hold", "Gives what is left back to the debtor.")
            .reads::<ReleaseRequest<'_>>(RELEASE)
            .answers::<Done>(200, examples::done()),
    ]
}

const PLACE: &str = r#"{
  "id": "018f6f0e-8a10-7000-8000-000000000002",
  "debit": "01900000-0000-7000-8000-00000000000a",
  "credit": "01900000-0000-7000-8000-00000000000b",
  "amount": "12.500000",
  "timeout_ms": 600000,
  "keep": true
}"#;

const CAPTURE: &str = r#"{
  "id": "018f6f0e-8a10-7000-8000-000000000003",
  "credit": "01900000-0000-7000-8000-00000000000b",
  "amount": "10.000000",
  "keep": true
}"#;

const RELEASE: &str = r#"{
  "id": "018f6f0e-8a10-7000-8000-000000000004",
  "credit": "01900000-0000-7000-8000-00000000000b"
}"#;

async fn place(mut inbound: Inbound) -> Result<Response, Problem> {
    let bytes = inbound.body(BODY_SIZE_MAX).await?;
    let body: HoldRequest<'_> = body::parse(&bytes)?;
    let asset = asset_or_native(body.asset);
    let scale = inbound.body_scale(asset).await?;
    let draft = Draft::new(Kind::Hold, body.id);
    let command = Command {
        debit: body.debit.0,
        credit: body.credit.0,
        amount: body.amount.minor(scale, "/amount")?,
        asset,
        timeout_ms: body.timeout_ms.map_or(0, Small::narrow),
        flags: if body.keep { flags::KEEP } else { 0 },
        value: body.max_rate.map_or(0, Rate::number),
        user_data: body.user_data.map_or(0, Large::number),
        ..draft.command
    };
    let draft = Draft { command, ..draft.note(TAG_MEMO, body.memo.as_ref()) };
    write::run(&inbound, draft, true).await
}

/// Which hold the path names.
struct Place {
    debit: Owner,
    asset: u32,
    hold: Id,
}

fn hold_of(inbound: &Inbound) -> Result<Place, Problem> {
    Ok(Place {
        debit: inbound.path_owner("debit")?,
        asset: inbound.path_asset()?,
        hold: inbound.path_id("hold")?,
    })
}

async fn capture(mut inbound: Inbound) -> Result<Response, Problem> {
    let Place { debit, asset, hold } = hold_of(&inbound)?;
    let bytes = inbound.body(BODY_SIZE_MAX).await?;
    let body: CaptureRequest<'_> = body::parse(&bytes)?;
    let (amount, all) = match &body.amount {
        Some(amount) => (amount.minor(inbound.scale(asset).await?, "/amount")?, 0),
        None => (0, flags::ALL),
    };
    let keep = if body.keep { flags::KEEP } else { 0 };
    let draft = Draft::new(Kind::Capture, body.id);
    let command = Command {
        debit: debit.0,
        credit: body.credit.0,
        amount,
        asset,
        reference: hold.0,
        flags: all | keep,
        value: body.max_rate.map_or(0, Rate::number),
        user_data: body.user_data.map_or(0, Large::number),
        ..draft.command
    };
    let draft = Draft { command, ..draft.note(TAG_MEMO, body.memo.as_ref()) };
    write::run(&inbound, draft, true).await
}

async fn release(mut inbound: Inbound) -> Result<Response, Problem> {
    let Place { debit, asset, hold } = hold_of(&inbound)?;
    let bytes = inbound.body(BODY_SIZE_MAX).await?;
    let body: ReleaseRequest<'_> = body::parse(&bytes)?;
    let draft = Draft::new(Kind::Release, body.id);
    let command = Command {
        debit: debit.0,
        credit: body.credit.0,
        asset,
        reference: hold.0,
        ..draft.command
    };
    let draft = Draft { command, ..draft.note(TAG_MEMO, body.memo.as_ref()) };
    write::run(&inbound, draft, false).await
}

async fn read(inbound: Inbound) -> Result<Response, Problem> {
    inbound.no_query()?;
    let Place { debit, asset, hold } = hold_of(&inbound)?;
    let read = Command {
        debit: debit.0,
        asset,
        reference: hold.0,
        ..Command::new(Kind::ReadHold, CommandId(0))
    };
    let (seen, answer) = inbound.ask(read).await?;
    let scale = inbound.scale(asset).await?;
    let shown = HoldAnswer {
        debit,
        asset,
        hold,
        credit: Owner(answer.staked),
        amount: Shown::amount(answer.held, scale),
        left: Shown::amount(answer.value, scale),
        rate: answer.rate,
        keep: answer.flags != 0,
        expires_at: answer.time,
        sequence: answer.sequence,
    };
    Ok(answer::read(&seen, &shown))
}
