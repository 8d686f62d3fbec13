//! Totals of a part of the history: by event and asset, of everybody, of one owner, or between two,
//! and by day.
//!
//! Totals add up: a part that is too long for one answer goes on where the answer says. Invariant:
//! every sum is exact.

use std::collections::BTreeMap;

use axum::response::Response;
use protocol::effect::Event;
use protocol::feed::Followed;
use protocol::{AssetId, OwnerId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::answer;
use super::event::NS_PER_MS;
use super::events::{After, Events};
use super::examples;
use super::following::{numbers, query_invalid};
use super::inbound::Inbound;
use super::money::Shown;
use super::operation::{Operation, Sort};
use super::present::{Present, granted};
use super::problem::Problem;
use super::range::{Range, Span, Taken};
use super::values::{Large, Owner, Small};
use super::walk::Walk;
use crate::feeds::{Filter, Whose};
use crate::limits::{TOTALS_MAX, TOTALS_STEP};

const MS_PER_DAY: u64 = 86_400_000;

/// Totals of a part of the history.
#[derive(Serialize, ToSchema)]
pub(crate) struct TotalsAnswer {
    /// By day, asset and event.
    #[schema(max_items = 1000)]
    totals: Vec<TotalRow>,
    /// Everything that was asked for at or before this sequence is counted here or before.
    through: u64,
    /// The `after` with which it goes on; not there when everything is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
}

/// One sum.
#[derive(Serialize, ToSchema)]
pub(crate) struct TotalRow {
    /// With `by=day`: its begin in UTC, Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    day: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    asset: Option<AssetId>,
    event: &'static str,
    /// Entries.
    count: u64,
    /// The sum of their amounts.
    amount: Shown,
    /// With `account`: what it was debited, between its own buckets too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    debit: Option<Shown>,
    /// With `account`: what it was credited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    credit: Option<Shown>,
}

/// The operation.
pub(crate) fn operation() -> Operation {
    let row = json!({"day": 1_699_920_000_000_u64, "asset": 1, "event": "TransactionFeeCollected",
                     "count": 2, "amount": "0.125000"});
    Operation::get("/v1/totals", read)
        .does(
            "audit",
            "Adds up the history",
            "Sums by event and asset; docs/history.md describes them. An agent adds up its own \
             accounts; a registry has to name an owner that it hosts.",
        )
        .sort(Sort::History)
        .query::<Owner>("account", "Only what concerns this owner.", json!(examples::DEBIT))
        .query::<Owner>("with", "Only what is between `account` and this one.", json!("treasury:1"))
        .query::<Small>("asset", "Only in this asset.", json!(1))
        .query::<Events>("event", "Only these events, by name.", json!("TransactionFeeCollected"))
        .query::<After>(
            "after",
            "The place behind which to begin: a sequence, or the `next` of the answer before.",
            json!("42.0"),
        )
        .query::<Large>("before", "Only sequences before this one.", json!(4_711))
        .query::<Large>("from", "Only of this time, Unix milliseconds, or later.", json!(0))
        .query::<Large>("to", "Only before this time.", json!(1_800_000_000_000_u64))
        .query::<By>("by", "A sum for each day (UTC).", json!("day"))
        .answers::<TotalsAnswer>(200, json!({"totals": [row], "through": 42}))
}

/// What sums are parted by.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum By {
    /// The day of the entry's time.
    Day,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    account: Option<Owner>,
    with: Option<Owner>,
    asset: Option<AssetId>,
    event: Option<String>,
    after: Option<String>,
    before: Option<u64>,
    from: Option<u64>,
    to: Option<u64>,
    by: Option<By>,
}

async fn read(inbound: Inbound) -> Result<Response, Problem> {
    let wish: Wish = inbound.query()?;
    let Wish { before, from, to, .. } = wish;
    let events = wish.event.as_deref().map_or(Ok(u128::MAX), numbers)?;
    let account = wish.account.map(|owner| owner.0);
    let (whose, _, Present { seen, executed }) = granted(&inbound, account).await?;
    let owner = match whose {
        Whose::Owner(owner) => Some(owner),
        Whose::All => None,
    };
    let with = wish.with.map(|owner| owner.0);
    if with.is_some() && (owner.is_none() || with == owner) {
        return Err(query_invalid("`with` is another owner than `account`, which is given too"));
    }
    let span = Span { after: wish.after.as_deref(), before, from, to };
    let range = Range::of(&span, executed)?;
    let _place = inbound.caller.walk().await?;
    let filter = Filter { events, asset: wish.asset, ..Filter::of(whose) };
    let mut sums = Sums { owner, is_daily: wish.by.is_some(), rows: BTreeMap::new() };
    let take = |entry: &Followed| {
        let is_between = with.is_none_or(|with| entry.concerns(with));
        if !is_between || !filter.takes(entry) || sums.add(entry) {
            Taken::More
        } else {
            Taken::Full
        }
    };
    let walk = Walk::new(&inbound.caller, filter, &range);
    let (place, is_last) = range.walk(walk, TOTALS_STEP, take).await?;
    let mut totals = Vec::with_capacity(sums.rows.len());
    for (key, sum) in &sums.rows {
        let scale = match key.asset {
            0 => 0,
            asset => inbound.scale(asset).await?,
        };
        totals.push(sum.row(*key, owner.is_some(), scale));
    }
    let next = (!is_last).then(|| place.to_string());
    Ok(answer::read(&seen, &TotalsAnswer { totals, through: place.whole(), next }))
}

/// What is added up apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    day: Option<u64>,
    asset: AssetId,
    event: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    count: u64,
    amount: u128,
    debit: u128,
    credit: u128,
}

impl Sum {
    /// With one more entry; nothing: the sum would not fit.
    fn with(self, entry: &Followed, owner: Option<OwnerId>) -> Option<Self> {
        let effect = &entry.effect;
        let of = |side: OwnerId| if owner == Some(side) { effect.amount } else { 0 };
        Some(Self {
            count: self.count.checked_add(1)?,
            amount: self.amount.checked_add(effect.amount)?,
            debit: self.debit.checked_add(of(effect.debit))?,
            credit: self.credit.checked_add(of(effect.credit))?,
        })
    }

    fn row(&self, key: Key, is_of_one: bool, scale: u16) -> TotalRow {
        let side = |minor| is_of_one.then(|| Shown::amount(minor, scale));
        TotalRow {
            day: key.day.map(|day| day.saturating_mul(MS_PER_DAY)),
            asset: (key.asset != 0).then_some(key.asset),
            event: Event::name(key.event),
            count: self.count,
            amount: Shown::amount(self.amount, scale),
            debit: side(self.debit),
            credit: side(self.credit),
        }
    }
}

struct Sums {
    owner: Option<OwnerId>,
    is_daily: bool,
    rows: BTreeMap<Key, Sum>,
}

impl Sums {
    /// Adds an entry; says whether there was room for it.
    fn add(&mut self, entry: &Followed) -> bool {
        let day = self.is_daily.then_some(entry.timestamp_ns / NS_PER_MS / MS_PER_DAY);
        let key = Key { day, asset: entry.effect.asset, event: entry.effect.event };
        let known = self.rows.get(&key).copied();
        if known.is_none() && self.rows.len() >= TOTALS_MAX {
            return false;
        }
        let Some(sum) = known.unwrap_or_default().with(entry, self.owner) else {
            return false;
        };
        self.rows.insert(key, sum);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::effect::Effect;

    fn paid(debit: OwnerId, credit: OwnerId, amount: u128, day: u64) -> Followed {
        let event = Event::TokensTransferred.number();
        let effect = Effect { event, asset: 1, debit, credit, amount, ..Effect::default() };
        let timestamp_ns = day * MS_PER_DAY * NS_PER_MS + 5;
        Followed { effect, timestamp_ns, ..Followed::default() }
    }

    fn sums(owner: Option<OwnerId>, is_daily: bool) -> Sums {
        Sums { owner, is_daily, rows: BTreeMap::new() }
    }

    #[test]
    fn sums_part_by_day_and_side() {
        let mut sums = sums(Some(7), true);
        for entry in [paid(7, 8, 5, 1), paid(8, 7, 3, 1), paid(7, 7, 2, 1), paid(8, 7, 9, 2)] {
            assert!(sums.add(&entry));
        }
        let rows: Vec<Sum> = sums.rows.values().copied().collect();
        let first = Sum { count: 3, amount: 10, debit: 7, credit: 5 };
        assert_eq!(rows, [first, Sum { count: 1, amount: 9, debit: 0, credit: 9 }]);
    }

    #[test]
    fn what_does_not_fit_is_left_for_the_next_answer() {
        let mut sums = sums(None, true);
        assert!(sums.add(&paid(7, 8, u128::MAX, 0)));
        let before = sums.rows.clone();
        assert!(!sums.add(&paid(7, 8, 1, 0)), "a sum past 2^128");
        assert_eq!(sums.rows, before);
        for day in 1..TOTALS_MAX as u64 {
            assert!(sums.add(&paid(7, 8, 1, day)));
        }
        assert!(!sums.add(&paid(7, 8, 1, 5_000)), "a row more than an answer has");
        assert!(sums.add(&paid(7, 8, 1, 5)));
    }
}
