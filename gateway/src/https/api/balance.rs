//! What an account held at a past sequence or time.
//!
//! It reckons back from the engine's balances: what a bucket held before the first entry that
//! moved it later, or what it holds now. Invariant: an answer is exact, or there is none.

use axum::response::Response;
use protocol::effect::Bucket;
use protocol::feed::{Followed, Place};
use protocol::{AssetId, Command, CommandId, Kind, OwnerId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::answer::{self, Seen};
use super::examples;
use super::following::query_invalid;
use super::inbound::{Inbound, told};
use super::list::PAGE_MAX;
use super::money::Shown;
use super::operation::{Operation, Sort};
use super::problem::Problem;
use super::range::{Range, nanoseconds, stuck};
use super::values::{Large, Owner};
use super::walk::Walk;
use crate::feeds::{Filter, Whose};
use crate::limits::HISTORY_WALK_TIMEOUT;

/// The parts of an account, in the order in which they are told.
const BUCKETS: [Bucket; 4] = [Bucket::Liquid, Bucket::Held, Bucket::Staked, Bucket::Bonded];

/// What an account held.
#[derive(Serialize, ToSchema)]
pub(crate) struct BalanceAnswer {
    owner: Owner,
    asset: AssetId,
    /// The sequence that was asked for: that command and everything before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    at: Option<u64>,
    /// The time that was asked for, Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    at_time: Option<u64>,
    /// Below zero where a credit limit was used.
    liquid: Shown,
    held: Shown,
    staked: Shown,
    bonded: Shown,
}

/// The operation.
pub(crate) fn operation() -> Operation {
    let example = json!({"owner": examples::DEBIT, "asset": 1, "at": 42, "liquid": "87.437500",
                         "held": "12.500000", "staked": "0.000000", "bonded": "0.000000"});
    Operation::get("/v1/accounts/{owner}/{asset}/balance", read)
        .does(
            "accounts",
            "Reads a past balance",
            "What the account held behind a sequence, or at a time; one of the two is given.",
        )
        .sort(Sort::History)
        .query::<Large>("at", "The sequence.", json!(42))
        .query::<Large>("at_time", "The time, Unix milliseconds.", json!(1_700_000_000_123_u64))
        .answers::<BalanceAnswer>(200, example)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    at: Option<u64>,
    at_time: Option<u64>,
}

async fn read(inbound: Inbound) -> Result<Response, Problem> {
    let (owner, asset) = (inbound.path_owner("owner")?, inbound.path_asset()?);
    let wish: Wish = inbound.query()?;
    let read = Command { debit: owner.0, asset, ..Command::new(Kind::ReadAccount, CommandId(0)) };
    let until_ns = (inbound.caller.desk().info.journal_ns)();
    if wish.at_time.is_some() {
        // A record is given its time before its requests are taken from the ring, so that what
        // follows this read in one record may still be older; what follows the next read is not.
        inbound.caller.read(&[read]).await?;
    }
    // The engine says who may read it, and what it holds at the end of the walk.
    let answered = inbound.caller.read(&[read]).await?;
    let (head, now) = (&answered.decoded.head, answered.decoded.answers.first());
    let now = now.copied().unwrap_or_default();
    let seen = Seen::of(head);
    told(&now).map_err(|problem| problem.seen(seen))?;
    let executed = head.first_sequence;
    let (after, later_ns) = match (wish.at, wish.at_time) {
        (Some(at), None) if at <= executed => (Place::after(at), None),
        (Some(_), None) => {
            let detail = format!("the history ends with sequence {executed}; `at` is beyond it");
            return Err(query_invalid(detail));
        }
        (None, Some(ms)) => {
            let later_ns = nanoseconds("at_time", ms.saturating_add(1))?;
            if later_ns > until_ns {
                return Err(query_invalid("`at_time` is not past"));
            }
            (Place::after(0), Some(later_ns))
        }
        _ => return Err(query_invalid("either `at` or `at_time` is given")),
    };
    let _place = inbound.caller.walk().await?;
    let filter = Filter { asset: Some(asset), ..Filter::of(Whose::Owner(owner.0)) };
    let range = Range { after, through: executed, from_ns: later_ns, to_ns: None };
    let mut walk = Walk::new(&inbound.caller, filter, &range);
    walk.narrow(later_ns, None).await;
    let mut balances = Balances::default();
    while !walk.is_done() {
        if walk.elapsed() >= HISTORY_WALK_TIMEOUT {
            return Err(stuck(&walk));
        }
        let later = walk.next(u32::try_from(PAGE_MAX).unwrap_or(u32::MAX)).await?;
        let is_later = |entry: &&Followed| later_ns.is_none_or(|at| entry.timestamp_ns >= at);
        later.iter().filter(is_later).for_each(|entry| balances.go_back(owner.0, entry));
    }
    let signed = |minor: u128| i128::try_from(minor).unwrap_or(i128::MAX);
    let now = [now.liquid(), signed(now.held), signed(now.staked), signed(now.bonded)];
    let scale = inbound.scale(asset).await?;
    let [liquid, held, staked, bonded] =
        balances.before(now).map(|balance| Shown::balance(balance, scale));
    let Wish { at, at_time } = wish;
    let balance = BalanceAnswer { owner, asset, at, at_time, liquid, held, staked, bonded };
    Ok(answer::read(&seen, &balance))
}

/// What each bucket held before the first entry that moved it.
#[derive(Debug, Default)]
struct Balances([Option<i128>; BUCKETS.len()]);

impl Balances {
    /// Looks at the next entry of `owner`.
    fn go_back(&mut self, owner: OwnerId, entry: &Followed) {
        let effect = &entry.effect;
        let amount = i128::try_from(effect.amount).unwrap_or(i128::MAX);
        let sides = [
            (effect.debit, effect.debit_bucket, effect.debit_after.saturating_add(amount)),
            (effect.credit, effect.credit_bucket, effect.credit_after.saturating_sub(amount)),
        ];
        for (of, number, before) in sides {
            let place = BUCKETS.iter().position(|bucket| *bucket as u8 == number);
            if let Some(place) = place.filter(|_| of == owner) {
                self.0[place].get_or_insert(before);
            }
        }
    }

    /// What they held, given what they hold after all entries.
    fn before(&self, now: [i128; BUCKETS.len()]) -> [i128; BUCKETS.len()] {
        let mut then = now;
        for (then, before) in then.iter_mut().zip(self.0) {
            *then = before.unwrap_or(*then);
        }
        then
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::effect::Effect;

    #[test]
    fn a_bucket_held_what_the_first_entry_found_or_what_it_holds_now() {
        let moved = |debit, credit, amount, debit_after, credit_after, buckets: [Bucket; 2]| {
            let [debit_bucket, credit_bucket] = buckets.map(|bucket| bucket as u8);
            let effect = Effect {
                debit,
                credit,
                amount,
                debit_after,
                credit_after,
                debit_bucket,
                credit_bucket,
                ..Effect::default()
            };
            Followed { effect, ..Followed::default() }
        };
        let mut balances = Balances::default();
        assert_eq!(balances.before([10, 0, 0, 7]), [10, 0, 0, 7]);
        // 7 pays 3 and has −1 left, then puts 2 on hold, then is paid 100.
        balances.go_back(7, &moved(7, 8, 3, -1, 50, [Bucket::Liquid, Bucket::Liquid]));
        balances.go_back(7, &moved(7, 7, 2, -3, 12, [Bucket::Liquid, Bucket::Held]));
        balances.go_back(7, &moved(0, 7, 100, 0, 97, [Bucket::Counter, Bucket::Liquid]));
        // What moves nothing says nothing.
        balances.go_back(7, &moved(7, 0, 0, 0, 0, [Bucket::Counter, Bucket::Counter]));
        assert_eq!(balances.before([97, 12, 5, 0]), [2, 10, 5, 0]);
    }
}
