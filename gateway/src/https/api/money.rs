//! Amounts in JSON: decimal text in major units, and the scale of each asset that it needs.
//!
//! It never guesses a scale. Invariant: an asset's scale, once learned from the engine, is kept,
//! because scales never change.

use std::borrow::Cow;
use std::sync::{PoisonError, RwLock};

use protocol::amount::{self, AmountError};
use protocol::limits::{AMOUNT_MAX, ASSETS_MAX, SCALE_MAX};
use protocol::{AssetId, Command, CommandId, Kind, Status};
use serde::de::{Deserialize, Deserializer};
use serde::{Serialize, Serializer};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::problem::{Own, Problem};
use super::values::{Borrowing, schema};
use crate::https::call::Caller;

/// Digits before the point: as many as the largest amount has.
const MAJOR_LEN_MAX: usize = 39;
/// The longest text of an amount.
const LEN_MAX: usize = MAJOR_LEN_MAX + 1 + 18;

/// An amount as it was written; what it is worth depends on the asset's scale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decimal<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Decimal<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Borrowing).map(Self)
    }
}

impl PartialSchema for Decimal<'_> {
    fn schema() -> RefOr<Schema> {
        schema(serde_json::json!({
            "type": "string", "minLength": 1, "maxLength": LEN_MAX,
            "pattern": r"^[0-9]{1,39}(\.[0-9]{1,18})?$",
            "description": "An amount in major units: digits, and after a point at most as many \
                            as the asset's scale; no sign, exponent or space.",
            "examples": ["12.500000"],
        }))
    }
}

impl ToSchema for Decimal<'_> {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Amount")
    }
}

impl Decimal<'_> {
    /// Minor units of an asset with `scale`, for the field at `pointer`. Zero and what is beyond
    /// every amount are numbers too; the engine refuses them by their names.
    pub(crate) fn minor(&self, scale: u16, pointer: &'static str) -> Result<u128, Problem> {
        let text = &*self.0;
        let major = text.split_once('.').map_or(text, |(major, _)| major);
        let parsed = amount::parse(text, scale);
        match parsed {
            Err(AmountError::Zero) if major.len() <= MAJOR_LEN_MAX => Ok(0),
            Err(AmountError::TooLarge) if is_written_well(text, scale) => Ok(AMOUNT_MAX + 1),
            // The schema cannot know the scale: whoever follows it is told apart.
            Err(AmountError::Fraction { .. }) if is_written_well(text, SCALE_MAX) => {
                Err(Problem::own(Own::ScaleExceeded).pointer(pointer).detail(format!(
                    "the amount has more than {scale} digits after the point, its asset's scale"
                )))
            }
            Err(error) => Err(Problem::field(pointer, error.to_string())),
            Ok(_) if major.len() > MAJOR_LEN_MAX => {
                Err(Problem::field(pointer, "the amount has more than 39 digits before the point"))
            }
            Ok(minor) => Ok(minor),
        }
    }
}

/// Whether the whole text has the form of an amount: the parser stops at the digit that is one too
/// many.
fn is_written_well(text: &str, scale: u16) -> bool {
    let (major, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_short = major.len() <= MAJOR_LEN_MAX
        && (!text.contains('.') || fraction.len() <= usize::from(scale));
    digits(major) && digits(fraction) && is_short
}

/// An amount or balance of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    minor: u128,
    is_negative: bool,
    scale: u16,
}

impl Shown {
    /// Of an amount.
    pub(crate) const fn amount(minor: u128, scale: u16) -> Self {
        Self { minor, is_negative: false, scale }
    }

    /// Of a balance.
    pub(crate) const fn balance(minor: i128, scale: u16) -> Self {
        Self { minor: minor.unsigned_abs(), is_negative: minor < 0, scale }
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = amount::format(self.minor, self.scale);
        if self.is_negative {
            serializer.collect_str(&format_args!("-{text}"))
        } else {
            serializer.serialize_str(&text)
        }
    }
}

impl PartialSchema for Shown {
    fn schema() -> RefOr<Schema> {
        schema(serde_json::json!({
            "type": "string", "pattern": r"^-?[0-9]{1,39}(\.[0-9]{1,18})?$",
            "description": "Major units with exactly as many digits after the point as the asset's \
                            scale.",
            "examples": ["12.500000"],
        }))
    }
}

impl ToSchema for Shown {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Balance")
    }
}

/// The scales that have been asked for; there are at most as many as assets.
#[derive(Debug, Default)]
pub(crate) struct Scales(RwLock<Vec<(AssetId, u16)>>);

impl Scales {
    /// Digits after the point of `asset`; asks the engine once.
    pub(crate) async fn of(&self, caller: &Caller, asset: AssetId) -> Result<u16, Problem> {
        if let Some(scale) = self.known(asset) {
            return Ok(scale);
        }
        let read = Command { asset, ..Command::new(Kind::ReadAsset, CommandId(0)) };
        let answered = caller.read(&[read]).await?;
        let answer = answered.decoded.answers.first().copied().unwrap_or_default();
        match Status::from_number(answer.status) {
            Some(Status::Ok) => {
                let scale = u16::try_from(answer.rate).expect("scales are at most 18");
                self.keep(asset, scale);
                Ok(scale)
            }
            // Nothing was sequenced: the engine would have to be told an amount to refuse it.
            Some(status) => Err(Problem::refused(status).forgotten(status)),
            None => Err(Problem::refused(Status::AssetNotFound).forgotten(Status::AssetNotFound)),
        }
    }

    fn known(&self, asset: AssetId) -> Option<u16> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|&&(other, _)| other == asset).map(|&(_, scale)| scale)
    }

    fn keep(&self, asset: AssetId, scale: u16) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !known.iter().any(|&(other, _)| other == asset) && known.len() < ASSETS_MAX {
            known.push((asset, scale));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minor(text: &str) -> Result<u128, String> {
        let decimal = Decimal(Cow::Borrowed(text));
        decimal.minor(6, "/amount").map_err(|problem| serde_json::to_string(&problem).unwrap())
    }

    #[test]
    fn text_becomes_minor_units_of_the_scale() {
        assert_eq!(minor("12.5"), Ok(12_500_000));
        assert_eq!(minor("0.000001"), Ok(1));
        assert_eq!(minor("007"), Ok(7_000_000));
    }

    /// The engine has names for them, and remembers them.
    #[test]
    fn zero_and_too_much_are_left_to_the_engine() {
        assert_eq!(minor("0"), Ok(0));
        assert_eq!(minor("0.000000"), Ok(0));
        assert_eq!(minor("170141183460469231731687303715884105728"), Ok(AMOUNT_MAX + 1));
        assert_eq!(minor(&"9".repeat(39)), Ok(AMOUNT_MAX + 1));
    }

    #[test]
    fn what_is_no_amount_names_its_field() {
        let nines = "9".repeat(39);
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "+1",
            "-1",
            "1e3",
            "1,5",
            " 1",
            "1.0000001",
            "NaN",
            &"0".repeat(40),
            &"9".repeat(40),
            &format!("{nines}x"),
            &format!("{nines}.0000001"),
        ] {
            let problem = minor(text).unwrap_err();
            assert!(problem.contains("\"pointer\":\"/amount\""), "{text:?}: {problem}");
        }
    }

    #[test]
    fn too_many_digits_for_the_asset_are_told_apart_from_no_amount() {
        for (text, name) in [
            ("1.0000001", "scale_exceeded"),
            ("0.000000000000000000", "scale_exceeded"),
            ("1.0000001x", "field_invalid"),
            ("1.0000000000000000000", "field_invalid"),
        ] {
            let problem = minor(text).unwrap_err();
            assert!(problem.contains(&format!("\"title\":\"{name}\"")), "{text}: {problem}");
        }
    }

    #[test]
    fn a_balance_may_be_negative() {
        let text = |shown: Shown| serde_json::to_string(&shown).unwrap();
        assert_eq!(text(Shown::balance(-1, 2)), "\"-0.01\"");
        assert_eq!(text(Shown::balance(i128::MIN, 0)), format!("\"{}\"", i128::MIN));
        assert_eq!(text(Shown::amount(12_500_000, 6)), "\"12.500000\"");
    }
}
