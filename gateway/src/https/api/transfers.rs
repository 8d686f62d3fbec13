//! Transfers: one, many, refunds, what one would cost, and what became of one.

use axum::http::StatusCode;
use axum::response::Response;
use protocol::data::TAG_MEMO;
use protocol::ids::NATIVE;
use protocol::reply::Outcome;
use protocol::{Command, CommandId, Kind, Status, flags};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::answer::{self, Seen};
use super::body::{self, BODY_SIZE_MAX, BULK_SIZE_MAX};
use super::examples;
use super::inbound::Inbound;
use super::money::{Decimal, Shown};
use super::operation::{Operation, Sort};
use super::problem::{Own, Problem};
use super::values::{Id, Large, Note, Owner, Rate, Small, present};
use super::write::{self, Done, Draft};

/// Transfers of one bulk request.
pub(crate) const BULK_MAX: usize = 1_000;
const TAG: &str = "transfers";

/// A payment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transfer<'a> {
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

/// Many payments.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bulk<'a> {
    #[serde(borrow)]
    #[schema(min_items = 1, max_items = 1000)]
    transfers: Vec<Transfer<'a>>,
    /// All or none: one chain, whose length the parameter `chain.length` bounds.
    #[serde(default)]
    atomic: bool,
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

/// One answer for each command of a bulk request, in order.
#[derive(Serialize, ToSchema)]
pub(crate) struct Results {
    #[schema(min_items = 1, max_items = 1000)]
    results: Vec<BulkResult>,
}

/// What became of one command.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum BulkResult {
    Done(Done),
    Refused(Problem),
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
        Operation::post("/v1/transfers/bulk", bulk)
            .does(
                TAG,
                "Pays many times",
                "Up to 1 000 payments, each with an id. Each has its own outcome, unless they are \
                 atomic: then all are executed or none. Keys are not taken.",
            )
            .sort(Sort::Bulk)
            .reads::<Bulk<'_>>(BULK)
            .answers::<Results>(
                200,
                json!({"results": [examples::paid(), {
                    "type": "/docs#insufficient_funds", "title": "insufficient_funds",
                    "status": 422, "number": 801,
                    "detail": "Not enough liquid above the floor.",
                    "cure": "lower the amount or fund the account", "remembered": true,
                    "retry": "new_id", "id": examples::HOLD, "sequence": 43,
                    "pointer": "/transfers/1/amount",
                }]}),
            ),
        Operation::post_bytes("/v1/batches").does(
            TAG,
            "Executes a batch",
            "Binary: the body of a request frame of the wire protocol, head and slots, answered by \
             the body of a reply frame. Up to 8 190 slots, commands or reads.",
        ),
        Operation::post("/v1/transfers/quote", quote)
            .does(TAG, "Quotes a payment", "A dry run: what a payment would cost now.")
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

const BULK: &str = r#"{
  "transfers": [
    {
      "id": "018f6f0e-8a10-7000-8000-000000000001",
      "debit": "01900000-0000-7000-8000-00000000000a",
      "credit": "01900000-0000-7000-8000-00000000000b",
      "amount": "12.500000"
    },
    {
      "id": "018f6f0e-8a10-7000-8000-000000000002",
      "debit": "01900000-0000-7000-8000-00000000000a",
      "credit": "01900000-0000-7000-8000-00000000000c",
      "amount": "1000000"
    }
  ],
  "atomic": false
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
    fn draft(&self, scale: u16) -> Result<Draft<'_>, Problem> {
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
    let scale = inbound.scale(asset_or_native(body.asset)).await?;
    write::run(&inbound, body.draft(scale)?, true).await
}

async fn refund(mut inbound: Inbound) -> Result<Response, Problem> {
    let bytes = inbound.body(BODY_SIZE_MAX).await?;
    let Refund { id, original, debit, credit, amount, asset, max_rate, memo, user_data } =
        body::parse(&bytes)?;
    let reference = Some(original);
    let body = Transfer { id, debit, credit, amount, asset, max_rate, reference, memo, user_data };
    let scale = inbound.scale(asset_or_native(asset)).await?;
    write::run(&inbound, body.draft(scale)?, true).await
}

async fn bulk(mut inbound: Inbound) -> Result<Response, Problem> {
    let bytes = inbound.body(BULK_SIZE_MAX).await?;
    let body: Bulk<'_> = body::parse(&bytes)?;
    if inbound.key()?.is_some() {
        let detail = "a bulk request takes no Idempotency-Key; give every transfer an id";
        return Err(Problem::own(Own::FieldInvalid).detail(detail));
    }
    if body.transfers.is_empty() || body.transfers.len() > BULK_MAX {
        return Err(Problem::field("/transfers", "a bulk request has 1 to 1000 transfers"));
    }
    let mut slots: Vec<Command> = Vec::with_capacity(body.transfers.len());
    let mut commands = Vec::with_capacity(body.transfers.len());
    for (at, transfer) in body.transfers.iter().enumerate() {
        let place = || format!("/transfers/{at}");
        let id = transfer
            .id
            .ok_or_else(|| Problem::own(Own::IdMissing).pointer(format!("/transfers/{at}/id")))?;
        let scale = inbound.scale(asset_or_native(transfer.asset)).await;
        let draft = scale.and_then(|scale| transfer.draft(scale));
        let draft = draft.map_err(|problem| problem.under(&place()))?;
        let is_linked = body.atomic && at + 1 < body.transfers.len();
        let command = slots.len();
        slots.extend_from_slice(&draft.slots(id)?);
        if is_linked {
            slots[command].flags |= flags::LINKED;
        }
        commands.push((id, command));
    }
    let answered = inbound.caller.execute(&slots, 0).await?;
    let seen = Seen::of(&answered.decoded.head);
    let results = results(&answered.decoded.outcomes, &slots, &commands, body.atomic);
    let mut response = answer::json(StatusCode::OK, &results);
    seen.put(response.headers_mut());
    Ok(response)
}

fn results(
    outcomes: &[Outcome],
    slots: &[Command],
    commands: &[(Id, usize)],
    atomic: bool,
) -> Results {
    // Of a chain, the leg that failed decides whether the others are remembered.
    let cause = outcomes
        .iter()
        .map(|outcome| outcome.status)
        .find(|status| !status.is_ok() && *status != Status::LinkedFailed);
    let forgotten = cause.filter(|cause| atomic && !cause.is_remembered());
    let result = |(at, (outcome, &(id, command))): (usize, (&Outcome, &(Id, usize)))| {
        let command = &slots[command];
        if outcome.status.is_ok() {
            return BulkResult::Done(write::done(id, command, outcome));
        }
        let problem = write::refusal(outcome.status, command).of(id, outcome.sequence);
        let problem = problem.under(&format!("/transfers/{at}"));
        BulkResult::Refused(match forgotten {
            Some(cause) => problem.forgotten(cause),
            None => problem,
        })
    };
    Results { results: outcomes.iter().zip(commands).enumerate().map(result).collect() }
}

async fn quote(mut inbound: Inbound) -> Result<Response, Problem> {
    let bytes = inbound.body(BODY_SIZE_MAX).await?;
    let body: Quote<'_> = body::parse(&bytes)?;
    let asset = asset_or_native(body.asset);
    let scale = inbound.scale(asset).await?;
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
