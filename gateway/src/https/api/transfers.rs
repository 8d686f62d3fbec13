//! Transfers: one, a refund, what one would cost, and what became of one.

use axum::response::Response;
use protocol::data::TAG_MEMO;
use protocol::ids::NATIVE;
use protocol::{Command, CommandId, Kind, Status};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::body::{self, BODY_SIZE_MAX};
use super::examples;
use super::inbound::Inbound;
use super::money::{Decimal, Shown};
use super::operation::{Operation, Sort};
use super::problem::Problem;
use super::values::{Id, Large, Note, Owner, Rate, Small, present};
use super::write::{self, Done, Draft};
use super::{answer, bulk};

const TAG: &str = "transfers";

/// A payment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transfer<'a> {
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    pub(crate) id: Option<Id>,
    debit: Owner,
    credit: Owner,
    #[serde(borrow)]
    amount: Decimal<'a>,
    /// 1, the native asset, by default.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    pub(crate) asset: Option<Small>,
    /// Refused above this rate, in millionths; 0 is no limit.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    max_rate: Option<Rate>,
    /// The id of what this payment is about.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    reference: Option<Id>,
    #[serde(borrow, default, deserialize_with = "present")]
    #[schema(nullable = false)]
    memo: Option<Note<'a>>,
    /// A number of your own, stored and returned.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    user_data: Option<Large>,
}

/// A payment back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refund<'a> {
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    id: Option<Id>,
    /// The id of the transfer that is paid back.
    original: Id,
    debit: Owner,
    credit: Owner,
    #[serde(borrow)]
    amount: Decimal<'a>,
    /// 1, the native asset, by default.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    asset: Option<Small>,
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

/// A payment that is only reckoned.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Quote<'a> {
    debit: Owner,
    credit: Owner,
    #[serde(borrow)]
    amount: Decimal<'a>,
    /// 1, the native asset, by default.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    asset: Option<Small>,
}

/// What a payment would cost now.
#[derive(Serialize, ToSchema)]
pub(crate) struct Quoted {
    /// What the debtor pays in all.
    pays: Shown,
    /// What the creditor gets.
    gets: Shown,
    /// The base fee, out of the amount.
    base_fee: Shown,
    /// The velocity fee, on top of the amount.
    velocity_fee: Shown,
    /// The rate in millionths.
    #[schema(maximum = 1_000_000)]
    rate: u32,
}

/// What became of a command that the frame remembers.
#[derive(Serialize, ToSchema)]
pub(crate) struct Remembered {
    id: Id,
    /// `ok`, or the name of the refusal.
    #[schema(min_length = 1, max_length = 40)]
    status: &'static str,
    /// The number of the status.
    number: u16,
    sequence: u64,
    /// Fee rate that it paid, in millionths.
    #[schema(maximum = 1_000_000)]
    rate: u32,
}

/// Everything about transfers.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::post("/v1/transfers", transfer)
            .does(TAG, "Pays", "One payment. It takes effect at most once.")
            .reads::<Transfer<'_>>(TRANSFER)
            .answers::<Done>(201, examples::paid()),
        bulk::operation(),
        Operation::post_bytes("/v1/batches").does(
            TAG,
            "Executes a batch",
            "Binary: the body of a request frame of the wire protocol, head and slots, answered by \
             the body of a reply frame. Up to 8 190 slots, commands or reads. Keys \
             are not taken.",
        ),
        Operation::post("/v1/transfers/quote", quote)
            .does(
                TAG,
                "Quotes a payment",
                "A dry run: what a payment would cost now. Keys are not taken.",
            )
            .sort(Sort::DryRun)
            .reads::<Quote<'_>>(QUOTE)
            .answers::<Quoted>(
                200,
                json!({"pays": "12.500000", "gets": "12.437500", "base_fee": "0.062500",
                       "velocity_fee": "0.000000", "rate": 5_000}),
            ),
        Operation::get("/v1/transfers/{id}", became)
            .does(
                TAG,
                "Tells what became of a transfer",
                "404 when the frame does not remember the id, or the caller may not ask; it does \
                 not say that the transfer was not executed.",
            )
            .query::<Owner>("debit", "Who paid; the caller by default.", json!(examples::DEBIT))
            .answers::<Remembered>(200, remembered_example()),
        Operation::post("/v1/refunds", refund)
            .does(TAG, "Pays back", "A payment that names its original. It pays its fee.")
            .reads::<Refund<'_>>(REFUND)
            .answers::<Done>(201, examples::paid()),
    ]
}

/// An example of what is remembered.
pub(crate) fn remembered_example() -> serde_json::Value {
    json!({"id": examples::ID, "status": "ok", "number": 0, "sequence": 42, "rate": 5_000})
}

const TRANSFER: &str = r#"{
  "id": "018f6f0e-8a10-7000-8000-000000000001",
  "debit": "01900000-0000-7000-8000-00000000000a",
  "credit": "did:theprotocol:01900000-0000-7000-8000-00000000000b",
  "amount": "12.500000",
  "asset": 1,
  "max_rate": 50000,
  "memo": "invoice 17"
}"#;

const QUOTE: &str = r#"{
  "debit": "01900000-0000-7000-8000-00000000000a",
  "credit": "01900000-0000-7000-8000-00000000000b",
  "amount": "12.5"
}"#;

const REFUND: &str = r#"{
  "id": "018f6f0e-8a10-7000-8000-000000000002",
  "original": "018f6f0e-8a10-7000-8000-000000000001",
  "debit": "01900000-0000-7000-8000-00000000000b",
  "credit": "01900000-0000-7000-8000-00000000000a",
  "amount": "12.437500"
}"#;

/// The number of an asset that a body may leave out.
pub(crate) fn asset_or_native(asset: Option<Small>) -> u32 {
    asset.map_or(NATIVE, Small::narrow)
}

impl Transfer<'_> {
    /// Its command, in an asset with `scale`.
    pub(crate) fn draft(&self, scale: u16) -> Result<Draft<'_>, Problem> {
        let amount = self.amount.minor(scale, "/amount")?;
        let draft = Draft::new(Kind::Transfer, self.id);
        let command = Command {
            debit: self.debit.0,
            credit: self.credit.0,
            amount,
            asset: asset_or_native(self.asset),
            reference: self.reference.map_or(0, |reference| reference.0),
            value: self.max_rate.map_or(0, Rate::number),
            user_data: self.user_data.map_or(0, Large::number),
            ..draft.command
        };
        Ok(Draft { command, ..draft.note(TAG_MEMO, self.memo.as_ref()) })
    }
}

async fn transfer(mut inbound: Inbound) -> Result<Response, Problem> {
    let bytes = inbound.body(BODY_SIZE_MAX).await?;
    let body: Transfer<'_> = body::parse(&bytes)?;
    let scale = inbound.body_scale(asset_or_native(body.asset)).await?;
    write::run(&inbound, body.draft(scale)?, true).await
}

async fn refund(mut inbound: Inbound) -> Result<Response, Problem> {
    let bytes = inbound.body(BODY_SIZE_MAX).await?;
    let Refund { id, original, debit, credit, amount, asset, max_rate, memo, user_data } =
        body::parse(&bytes)?;
    let reference = Some(original);
    let body = Transfer { id, debit, credit, amount, asset, max_rate, reference, memo, user_data };
    let scale = inbound.body_scale(asset_or_native(asset)).await?;
    write::run(&inbound, body.draft(scale)?, true).await
}

async fn quote(mut inbound: Inbound) -> Result<Response, Problem> {
    let bytes = inbound.body(BODY_SIZE_MAX).await?;
    let body: Quote<'_> = body::parse(&bytes)?;
    inbound.no_key("a quote takes no Idempotency-Key; nothing takes effect")?;
    let asset = asset_or_native(body.asset);
    let scale = inbound.body_scale(asset).await?;
    let read = Command {
        debit: body.debit.0,
        credit: body.credit.0,
        amount: body.amount.minor(scale, "/amount")?,
        asset,
        ..Command::new(Kind::Quote, CommandId(0))
    };
    let (seen, answer) = inbound.ask(read).await?;
    let quoted = Quoted {
        pays: Shown::amount(answer.value, scale),
        gets: Shown::amount(answer.held, scale),
        base_fee: Shown::amount(answer.staked, scale),
        velocity_fee: Shown::amount(answer.bonded, scale),
        rate: answer.rate,
    };
    Ok(answer::read(&seen, &quoted))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Debit {
    debit: Option<Owner>,
}

async fn became(inbound: Inbound) -> Result<Response, Problem> {
    let id = inbound.path_id("id")?;
    let query: Debit = inbound.query()?;
    remembered(&inbound, id, query.debit).await
}

/// What became of the command `id` in the scope of `owner`, the caller by default.
pub(crate) async fn remembered(
    inbound: &Inbound,
    id: Id,
    owner: Option<Owner>,
) -> Result<Response, Problem> {
    let scope = owner.map_or_else(|| inbound.caller.peer().principal().id, |owner| owner.0);
    let read =
        Command { debit: scope, reference: id.0, ..Command::new(Kind::ReadOutcome, CommandId(0)) };
    let (seen, answer) = inbound.ask(read).await?;
    let status = u16::try_from(answer.host).ok().and_then(Status::from_number);
    let (1, Some(status)) = (answer.flags & 1, status) else {
        return Err(Problem::refused(Status::NotFound).seen(seen));
    };
    let remembered = Remembered {
        id,
        status: status.name(),
        number: status.number(),
        sequence: answer.sequence,
        rate: answer.rate,
    };
    Ok(answer::read(&seen, &remembered))
}
