//! The list of a host's accounts, page by page.
//!
//! It remembers no page: a cursor is a place in the engine's own order.

use axum::response::Response;
use protocol::{Command, CommandId, Kind};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::accounts::{AccountAnswer, account_example};
use super::answer::{self, Seen};
use super::examples;
use super::inbound::{Inbound, told};
use super::operation::Operation;
use super::problem::{Own, Problem};
use super::values::{Large, Owner, Small};

pub(super) const PAGE_DEFAULT: u64 = 100;
pub(super) const PAGE_MAX: u64 = 1_000;

/// A page of accounts.
#[derive(Serialize, ToSchema)]
pub(crate) struct Page {
    #[schema(max_items = 1000)]
    accounts: Vec<AccountAnswer>,
    /// The cursor of the next page; not there on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<u64>,
}

/// The operation.
pub(crate) fn operation() -> Operation {
    Operation::get("/v1/accounts", list)
        .does("accounts", "Lists accounts", "Accounts of a host, in the order of their opening.")
        .query::<Owner>("host", "The registry; the caller by default.", json!(examples::HOST))
        .query::<Small>("asset", "Only accounts in this asset.", json!(1))
        .query::<Limit>("limit", "Accounts of a page; 100 by default.", json!(100))
        .query::<Large>("cursor", "The `next` of the page before.", json!(0))
        .answers::<Page>(200, json!({"accounts": [account_example()], "next": 4_711}))
}

/// Accounts of a page.
pub(crate) struct Limit;

impl utoipa::PartialSchema for Limit {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        let json = json!({"type": "integer", "minimum": 1, "maximum": PAGE_MAX});
        super::values::schema(json)
    }
}

impl ToSchema for Limit {
    fn name() -> std::borrow::Cow<'static, str> {
        std::borrow::Cow::Borrowed("Limit")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    host: Option<Owner>,
    asset: Option<u32>,
    limit: Option<u64>,
    cursor: Option<u64>,
}

async fn list(inbound: Inbound) -> Result<Response, Problem> {
    let Listing { host, asset, limit, cursor } = inbound.query()?;
    let limit = limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Problem::own(Own::QueryInvalid).detail("limit is 1 to 1000"));
    }
    let read = Command {
        credit: host.map_or_else(|| inbound.caller.peer().principal().id, |host| host.0),
        asset: asset.unwrap_or(0),
        amount: u128::from(limit),
        value: cursor.unwrap_or(0),
        ..Command::new(Kind::ReadAccounts, CommandId(0))
    };
    let answered = inbound.caller.read(&[read]).await?;
    let seen = Seen::of(&answered.decoded.head);
    let (trailer, rows) =
        answered.decoded.answers.split_last().expect("a list has at least its trailer");
    told(trailer).map_err(|problem| problem.seen(seen))?;
    let mut accounts = Vec::with_capacity(rows.len());
    for row in rows {
        let scale = inbound.scale(row.asset).await?;
        accounts.push(AccountAnswer::new(Owner(row.credit_used), row.asset, row, scale));
    }
    let next = (trailer.flags & 1 != 0).then_some(trailer.time);
    Ok(answer::read(&seen, &Page { accounts, next }))
}
