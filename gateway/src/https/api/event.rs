//! An effect as JSON, for those who follow the history.
//!
//! It knows no feed. Invariant: amounts and balances are exact, and a balance is written only for
//! an account that is in sight.

use protocol::OwnerId;
use protocol::effect::{Bucket, Event, TIMER_LEG};
use protocol::feed::Followed;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::money;
use super::values::{Id, Owner};
use crate::feeds::Sight;

pub(super) const NS_PER_MS: u64 = 1_000_000;

/// An effect to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a> {
    pub(crate) followed: &'a Followed,
    /// Digits after the point of its asset.
    pub(crate) scale: u16,
    pub(crate) sight: Sight,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Followed { effect, command, timestamp_ns, epoch } = self.followed;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("sequence", &effect.sequence)?;
        map.serialize_entry("leg", &effect.leg)?;
        map.serialize_entry("epoch", epoch)?;
        map.serialize_entry("time", &(timestamp_ns / NS_PER_MS))?;
        map.serialize_entry("event", Event::name(effect.event))?;
        if *command != 0 {
            map.serialize_entry("id", &Id(*command))?;
        }
        if effect.leg >= TIMER_LEG {
            map.serialize_entry("timer", &true)?;
        }
        if effect.asset != 0 {
            map.serialize_entry("asset", &effect.asset)?;
        }
        let sides = [
            ("debit", effect.debit, effect.debit_bucket, effect.debit_after),
            ("credit", effect.credit, effect.credit_bucket, effect.credit_after),
        ];
        for (name, owner, bucket, after) in sides {
            // Nobody stands for a supply counter.
            if owner != 0 {
                let is_seen = self.sight.covers(owner);
                map.serialize_entry(name, &Side { owner, bucket, after, is_seen, of: *self })?;
            }
        }
        if effect.amount != 0 {
            map.serialize_entry("amount", &money::Shown::amount(effect.amount, self.scale))?;
        }
        if effect.event == Event::ConfigurationChanged.number() {
            map.serialize_entry("parameter", &effect.reference)?;
        } else if effect.reference != 0 {
            map.serialize_entry("reference", &Id(effect.reference))?;
        }
        if effect.rate != 0 {
            map.serialize_entry("rate", &effect.rate)?;
        }
        if effect.user_data != 0 {
            map.serialize_entry("user_data", &effect.user_data)?;
        }
        map.end()
    }
}

/// One side of an effect.
struct Side<'a> {
    owner: OwnerId,
    bucket: u8,
    after: i128,
    is_seen: bool,
    of: Shown<'a>,
}

impl Serialize for Side<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("owner", &Owner(self.owner))?;
        if let Some(name) = bucket_name(self.bucket) {
            map.serialize_entry("bucket", name)?;
            if self.is_seen {
                map.serialize_entry("after", &money::Shown::balance(self.after, self.of.scale))?;
            }
        }
        map.end()
    }
}

/// The part of an account that moves, if one does.
pub(super) fn bucket_name(bucket: u8) -> Option<&'static str> {
    let named = [
        (Bucket::Liquid, "liquid"),
        (Bucket::Held, "held"),
        (Bucket::Staked, "staked"),
        (Bucket::Bonded, "bonded"),
    ];
    named.iter().find(|(known, _)| *known as u8 == bucket).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::effect::Effect;
    use serde_json::{Value, json};

    fn paid() -> Followed {
        let effect = Effect {
            sequence: 42,
            event: Event::TokensTransferred.number(),
            asset: 1,
            debit: 0x0190_0000_0000_7000_8000_0000_0000_000a,
            credit: protocol::system::treasury(1),
            amount: 12_500_000,
            debit_after: -1,
            credit_after: 7,
            debit_bucket: 1,
            credit_bucket: 1,
            rate: 5_000,
            user_data: 9,
            ..Effect::default()
        };
        let command = 0x018f_6f0e_8a10_7000_8000_0000_0000_0001;
        Followed { effect, command, timestamp_ns: 1_700_000_000_123_456_789, epoch: 3 }
    }

    fn written(followed: &Followed, sight: Sight) -> Value {
        serde_json::to_value(Shown { followed, scale: 6, sight }).unwrap()
    }

    #[test]
    fn a_payment_is_told_exactly_and_the_balance_of_others_is_not() {
        let followed = paid();
        let mut whole = json!({
            "sequence": 42, "leg": 0, "epoch": 3, "time": 1_700_000_000_123_u64,
            "event": "TokensTransferred", "id": "018f6f0e-8a10-7000-8000-000000000001", "asset": 1,
            "debit": {"owner": "01900000-0000-7000-8000-00000000000a", "bucket": "liquid",
                      "after": "-0.000001"},
            "credit": {"owner": "treasury:1", "bucket": "liquid", "after": "0.000007"},
            "amount": "12.500000", "rate": 5_000, "user_data": 9,
        });
        assert_eq!(written(&followed, Sight::All), whole);
        whole["credit"].as_object_mut().unwrap().remove("after");
        assert_eq!(written(&followed, Sight::Of(followed.effect.debit)), whole);
        whole["debit"].as_object_mut().unwrap().remove("after");
        assert_eq!(written(&followed, Sight::Of(5)), whole);
    }

    #[test]
    fn what_moves_nothing_has_neither_buckets_nor_amount() {
        let effect = Effect {
            sequence: 7,
            leg: TIMER_LEG,
            event: Event::AccountFrozen.number(),
            asset: 2,
            debit: protocol::system::GRANT_POOL,
            ..Effect::default()
        };
        let followed = Followed { effect, timestamp_ns: 5_000_000, epoch: 1, command: 0 };
        let told = json!({
            "sequence": 7, "leg": 32_768, "epoch": 1, "time": 5, "event": "AccountFrozen",
            "timer": true, "asset": 2, "debit": {"owner": "grant_pool"},
        });
        assert_eq!(written(&followed, Sight::All), told);
    }
}
