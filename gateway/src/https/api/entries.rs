//! The entries of an account, page by page: what debited, credited or concerned it.
//!
//! It remembers no page: a cursor is a place in the history. Invariant: pages that are asked for
//! with the `next` of the one before hold every entry of the range once, in order.

use axum::response::Response;
use protocol::AssetId;
use protocol::effect::{Event, TIMER_LEG};
use protocol::feed::Followed;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::answer;
use super::event::{NS_PER_MS, bucket_name};
use super::events::After;
use super::following::query_invalid;
use super::inbound::Inbound;
use super::list::Limit;
use super::money::Shown;
use super::operation::{Operation, Sort};
use super::present::{Present, granted};
use super::problem::Problem;
use super::range::{Range, Span, Taken};
use super::values::{Id, Large, Owner, Small};
use super::walk::Walk;
use super::{examples, list};
use crate::feeds::{Filter, Sight};

/// A page of entries.
#[derive(Serialize, ToSchema)]
pub(crate) struct EntryPage {
    #[schema(max_items = 1000)]
    entries: Vec<Entry>,
    /// No entry that was asked for lies at or before this sequence and is not on this page or one
    /// before it.
    through: u64,
    /// The `after` of the next page; not there on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
}

/// One entry.
#[derive(Serialize, ToSchema)]
pub(crate) struct Entry {
    sequence: u64,
    /// Which entry of the sequence; timers count from 32 768 and come before its command.
    leg: u16,
    /// Unix milliseconds of journal time: of its settlement batch, or of its record as long as it
    /// is not settled.
    time: u64,
    event: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    timer: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    asset: Option<AssetId>,
    /// Not there when units enter.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    debit: Option<EntrySide>,
    /// Not there when units end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    credit: Option<EntrySide>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    amount: Option<Shown>,
    /// The hold or original that is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reference: Option<Id>,
    /// The fee rate in millionths.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rate: Option<u32>,
    /// The client's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    user_data: Option<u64>,
}

/// One side of an entry.
#[derive(Serialize, ToSchema)]
pub(crate) struct EntrySide {
    owner: Owner,
    /// `liquid`, `held`, `staked` or `bonded`, if units moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    bucket: Option<&'static str>,
    /// What that bucket held then; told of accounts that the caller may see.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    after: Option<Shown>,
}

impl Entry {
    fn new(followed: &Followed, scale: u16, sight: Sight) -> Self {
        let Followed { effect, timestamp_ns, .. } = followed;
        // Nobody stands for a supply counter.
        let side = |owner, bucket, after| {
            let bucket = bucket_name(bucket);
            let is_told = bucket.is_some() && sight.covers(owner);
            let after = is_told.then(|| Shown::balance(after, scale));
            (owner != 0).then_some(EntrySide { owner: Owner(owner), bucket, after })
        };
        Self {
            sequence: effect.sequence,
            leg: effect.leg,
            time: timestamp_ns / NS_PER_MS,
            event: Event::name(effect.event),
            timer: effect.leg >= TIMER_LEG,
            asset: (effect.asset != 0).then_some(effect.asset),
            debit: side(effect.debit, effect.debit_bucket, effect.debit_after),
            credit: side(effect.credit, effect.credit_bucket, effect.credit_after),
            amount: (effect.amount != 0).then(|| Shown::amount(effect.amount, scale)),
            reference: (effect.reference != 0).then_some(Id(effect.reference)),
            rate: (effect.rate != 0).then_some(effect.rate),
            user_data: (effect.user_data != 0).then_some(effect.user_data),
        }
    }
}

/// The operation.
pub(crate) fn operation() -> Operation {
    let entry = json!({
        "sequence": 42, "leg": 0, "time": 1_700_000_000_123_u64, "event": "TokensTransferred",
        "asset": 1, "debit": {"owner": examples::DEBIT, "bucket": "liquid", "after": "87.437500"},
        "credit": {"owner": examples::HOST, "bucket": "liquid"}, "amount": "12.500000",
        "rate": 5_000,
    });
    Operation::get("/v1/accounts/{owner}/entries", list)
        .does(
            "accounts",
            "Lists entries",
            "What debited, credited or concerned the accounts of an owner, oldest first; \
             docs/history.md describes it.",
        )
        .sort(Sort::History)
        .query::<Small>("asset", "Only entries in this asset.", json!(1))
        .query::<After>(
            "after",
            "The place behind which to begin: a sequence, or the `next` of the page before.",
            json!("42.0"),
        )
        .query::<Large>("before", "Only entries of sequences before this one.", json!(4_711))
        .query::<Large>("from", "Only entries of this time, Unix milliseconds, or later.", json!(0))
        .query::<Large>("to", "Only entries before this time.", json!(1_800_000_000_000_u64))
        .query::<Limit>("limit", "Entries of a page; 100 by default.", json!(100))
        .answers::<EntryPage>(200, json!({"entries": [entry], "through": 42, "next": "42.0"}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    asset: Option<AssetId>,
    after: Option<String>,
    before: Option<u64>,
    from: Option<u64>,
    to: Option<u64>,
    limit: Option<u64>,
}

impl Wish {
    fn span(&self) -> Span<'_> {
        let Self { before, from, to, .. } = *self;
        Span { after: self.after.as_deref(), before, from, to }
    }
}

async fn list(inbound: Inbound) -> Result<Response, Problem> {
    let owner = inbound.path_owner("owner")?.0;
    let wish: Wish = inbound.query()?;
    let (whose, sight, Present { seen, executed }) = granted(&inbound, Some(owner)).await?;
    let limit = wish.limit.unwrap_or(list::PAGE_DEFAULT);
    if !(1..=list::PAGE_MAX).contains(&limit) {
        return Err(query_invalid("limit is 1 to 1000"));
    }
    let range = Range::of(&wish.span(), executed)?;
    let _place = inbound.caller.walk().await?;
    let filter = Filter { asset: wish.asset, ..Filter::of(whose) };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    let take = |entry: &Followed| {
        found.push(*entry);
        if found.len() < limit { Taken::More } else { Taken::Last }
    };
    let step = u32::try_from(limit).unwrap_or(u32::MAX);
    let (place, is_last) =
        range.walk(Walk::new(&inbound.caller, filter, &range), step, take).await?;
    let mut entries = Vec::with_capacity(found.len());
    for followed in &found {
        let scale = match followed.effect.asset {
            0 => 0,
            asset => inbound.scale(asset).await?,
        };
        entries.push(Entry::new(followed, scale, sight));
    }
    let next = (!is_last).then(|| place.to_string());
    Ok(answer::read(&seen, &EntryPage { entries, through: place.whole(), next }))
}
