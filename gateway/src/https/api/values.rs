//! Values as JSON writes them: ids, owners, codes, numbers within bounds, texts.
//!
//! It knows no field and no operation; a value that cannot be read says what to write instead, and
//! its reader says where. Invariant: what is written reads back as the same value.

use std::borrow::Cow;
use std::fmt;

use protocol::command::reason;
use protocol::ids::parse_uuid;
use protocol::system::{self, Class};
use protocol::{CommandId, OwnerId};
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use serde::{Serialize, Serializer};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// Prefix of an agent's DID.
const DID_PREFIX: &str = "did:theprotocol:";
/// Longest text of an owner that is looked at.
const OWNER_LEN_MAX: usize = DID_PREFIX.len() + 36;
const UUID_PATTERN: &str =
    "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}";

/// Names of the codes with a meaning of their own.
pub(crate) const CODES: [(&str, u16); 6] = [
    ("ordinary", reason::ORDINARY),
    ("compensation", reason::COMPENSATION),
    ("correction", reason::CORRECTION),
    ("baseline", reason::BASELINE),
    ("payout", reason::PAYOUT),
    ("write_off", reason::WRITE_OFF),
];

/// Describes a type in the API document.
macro_rules! described {
    ($(<$lt:lifetime>)? $type:ty, $name:literal, $json:expr) => {
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                schema($json)
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }
        }
    };
}

/// A schema written as JSON.
pub(crate) fn schema(json: serde_json::Value) -> RefOr<Schema> {
    serde_json::from_value(json).expect("the schemas of values are well formed")
}

/// Reads a value from text; serde then says which field it was.
struct FromText<F>(&'static str, F);

impl<T, F: FnOnce(&str) -> Option<T>> Visitor<'_> for FromText<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        let expected = self.0;
        (self.1)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(shortened(text)), &expected))
    }
}

/// The beginning of a text that is shown in a message.
fn shortened(text: &str) -> &str {
    let end = (0..=text.len().min(64)).rev().find(|&end| text.is_char_boundary(end));
    text.get(..end.unwrap_or(0)).unwrap_or("")
}

/// A 128-bit id in the text form of a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id(pub(crate) u128);

described!(
    Id,
    "Id",
    serde_json::json!({
        "type": "string", "format": "uuid", "minLength": 36, "maxLength": 36,
        "pattern": format!("^{UUID_PATTERN}$"),
        "description": "A UUID. The id of a command carries Unix milliseconds in its first 48 bits \
                        (UUIDv7).",
        "examples": ["018f6f0e-8a10-7000-8000-000000000001"],
    })
);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a UUID, as 8-4-4-4-12 hexadecimal digits";
        deserializer.deserialize_str(FromText(expected, |text: &str| parse_uuid(text).map(Self)))
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = uuid_text(self.0);
        serializer.serialize_str(std::str::from_utf8(&text).expect("hexadecimal digits"))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        CommandId(self.0).fmt(f)
    }
}

fn uuid_text(id: u128) -> [u8; 36] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    let mut at = 0;
    for (n, byte) in id.to_be_bytes().into_iter().enumerate() {
        if matches!(n, 4 | 6 | 8 | 10) {
            at += 1;
        }
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 15)];
        at += 2;
    }
    text
}

/// An owner: a UUID, a DID, or one of the frame's own by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner(pub(crate) OwnerId);

described!(
    Owner,
    "Owner",
    serde_json::json!({
        "type": "string", "minLength": 10, "maxLength": OWNER_LEN_MAX,
        "pattern": format!(
            "^((did:theprotocol:)?{UUID_PATTERN}|(treasury|fee_collector):(0|[1-9][0-9]{{0,8}})|\
             staking_pool|grant_pool)$"
        ),
        "description": "An owner: a UUID, a DID, or a system account by name. Answers use \
                        UUIDs and names.",
        "examples": ["01900000-0000-7000-8000-00000000000a", "treasury:1"],
    })
);

impl Owner {
    const EXPECTED: &'static str = "an owner: a UUID, did:theprotocol:<uuid>, \
         treasury:<host>, fee_collector:<host>, staking_pool or grant_pool";

    /// Reads any of its forms.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() > OWNER_LEN_MAX {
            return None;
        }
        let owner = match text.split_once(':') {
            None if text == "staking_pool" => system::STAKING_POOL,
            None if text == "grant_pool" => system::GRANT_POOL,
            None => parse_uuid(text)?,
            Some(("treasury", host)) => system::treasury(host_number(host)?),
            Some(("fee_collector", host)) => system::fee_collector(host_number(host)?),
            Some(_) => parse_uuid(text.strip_prefix(DID_PREFIX)?)?,
        };
        Some(Self(owner))
    }
}

/// A number as it is written, so that no owner has two names.
fn host_number(text: &str) -> Option<u32> {
    let canonical = text.len() <= 9
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| canonical)
}

impl<'de> Deserialize<'de> for Owner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText(Self::EXPECTED, Self::parse))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match system::classify(self.0) {
            Some((Class::Treasury, host)) => write!(f, "treasury:{host}"),
            Some((Class::FeeCollector, host)) => write!(f, "fee_collector:{host}"),
            Some((Class::StakingPool, _)) => f.write_str("staking_pool"),
            Some((Class::GrantPool, _)) => f.write_str("grant_pool"),
            _ => Id(self.0).fmt(f),
        }
    }
}

impl Serialize for Owner {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A code: a name, or the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) u16);

described!(
    Code,
    "Code",
    serde_json::json!({
        "oneOf": [
            {"type": "string", "enum": CODES.map(|(name, _)| name)},
            {"type": "integer", "minimum": 0, "maximum": u16::MAX},
        ],
        "description": "A reason by name or number: ordinary 1, compensation 2, correction 3, \
                        baseline 4, payout 5, write_off 6; of freezes, closures and halts any \
                        number.",
        "examples": ["ordinary", 1],
    })
);

/// The schema of a code of which only some have a meaning.
pub(crate) fn codes(meant: &[u16]) -> RefOr<Schema> {
    let names = CODES.iter().filter(|(_, number)| meant.contains(number));
    let names: Vec<&str> = names.map(|(name, _)| *name).collect();
    schema(serde_json::json!({
        "oneOf": [{"type": "string", "enum": names}, {"type": "integer", "enum": meant}],
        "description": "A reason by name or number.",
    }))
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = Code;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a code: a number up to 65535, or one of")?;
                CODES.iter().try_for_each(|(name, _)| write!(f, " {name}"))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Code, E> {
                let refusal = || E::invalid_value(Unexpected::Unsigned(number), &self);
                u16::try_from(number).map(Code).map_err(|_| refusal())
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Code, E> {
                let code = CODES.iter().find(|(name, _)| *name == text);
                let refusal = || E::invalid_value(Unexpected::Str(shortened(text)), &self);
                code.map(|&(_, number)| Code(number)).ok_or_else(refusal)
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

/// A whole number as a string, because it may pass what JSON numbers hold elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whole(pub(crate) u128);

described!(
    Whole,
    "Whole",
    serde_json::json!({
        "type": "string", "pattern": "^[0-9]{1,38}$", "minLength": 1, "maxLength": 38,
        "description": "A whole number, written as a string of digits.",
        "examples": ["5000"],
    })
);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |text: &str| {
            let plain = text.len() <= 38 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| plain).map(Self)
        };
        deserializer.deserialize_str(FromText("a string of 1 to 38 digits", read))
    }
}

impl Serialize for Whole {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// An integer from 0 to `MAX`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct UpTo<const MAX: u64>(u64);

/// A number of an asset, a host, a lifetime: what fits 32 bits.
pub(crate) type Small = UpTo<{ u32::MAX as u64 }>;
/// Any unsigned integer of 64 bits.
pub(crate) type Large = UpTo<{ u64::MAX }>;
/// A rate in millionths.
pub(crate) type Rate = UpTo<1_000_000>;

impl Small {
    /// As the narrower number that it is.
    pub(crate) fn narrow(self) -> u32 {
        u32::try_from(self.0).expect("it was checked when it was read")
    }
}

impl<const MAX: u64> UpTo<MAX> {
    /// The number.
    pub(crate) const fn number(self) -> u64 {
        self.0
    }
}

impl<const MAX: u64> PartialSchema for UpTo<MAX> {
    fn schema() -> RefOr<Schema> {
        schema(serde_json::json!({"type": "integer", "minimum": 0, "maximum": MAX}))
    }
}

impl<const MAX: u64> ToSchema for UpTo<MAX> {
    fn name() -> Cow<'static, str> {
        Cow::Owned(format!("UpTo{MAX}"))
    }
}

impl<'de, const MAX: u64> Deserialize<'de> for UpTo<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        if number > MAX {
            let expected = format!("an integer from 0 to {MAX}");
            let expected: &str = &expected;
            return Err(D::Error::invalid_value(Unexpected::Unsigned(number), &expected));
        }
        Ok(Self(number))
    }
}

/// A text of 1 to `LEN_MAX` bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text<'a, const LEN_MAX: usize>(pub(crate) Cow<'a, str>);

/// A memo, or the reason of a command.
pub(crate) type Note<'a> = Text<'a, { protocol::limits::REASON_LEN_MAX }>;
/// The name of an asset.
pub(crate) type Name<'a> = Text<'a, { protocol::limits::NAME_LEN_MAX }>;

impl<const LEN_MAX: usize> PartialSchema for Text<'_, LEN_MAX> {
    fn schema() -> RefOr<Schema> {
        schema(serde_json::json!({
            "type": "string", "minLength": 1, "maxLength": LEN_MAX,
            "description": format!("1 to {LEN_MAX} bytes of UTF-8."),
        }))
    }
}

impl<const LEN_MAX: usize> ToSchema for Text<'_, LEN_MAX> {
    fn name() -> Cow<'static, str> {
        Cow::Owned(format!("Text{LEN_MAX}"))
    }
}

impl<'de: 'a, 'a, const LEN_MAX: usize> Deserialize<'de> for Text<'a, LEN_MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = deserializer.deserialize_str(Borrowing)?;
        if text.is_empty() || text.len() > LEN_MAX {
            let expected = format!("a text of 1 to {LEN_MAX} bytes");
            let expected: &str = &expected;
            return Err(D::Error::invalid_length(text.len(), &expected));
        }
        Ok(Self(text))
    }
}

/// Takes a string as it lies in the body, if no escape is in it.
pub(crate) struct Borrowing;

impl<'de> Visitor<'de> for Borrowing {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text))
    }
}

/// Reads a field that may be left out, but is no `null` when it is there.
pub(crate) fn present<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "01900000-0000-7000-8000-00000000000a";
    const ID: u128 = 0x0190_0000_0000_7000_8000_0000_0000_000a;

    fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    fn written(value: &impl Serialize) -> String {
        serde_json::to_string(value).unwrap()
    }

    #[test]
    fn ids_and_owners_read_back_as_written() {
        assert_eq!(read(&format!("{TEXT:?}")), Ok(Id(ID)));
        assert_eq!(written(&Id(ID)), format!("{TEXT:?}"));
        assert_eq!(Owner::parse(&format!("did:theprotocol:{TEXT}")), Some(Owner(ID)));
        for (text, owner) in [
            (TEXT, ID),
            ("treasury:0", system::treasury(0)),
            ("treasury:12", system::treasury(12)),
            ("fee_collector:3", system::fee_collector(3)),
            ("staking_pool", system::STAKING_POOL),
            ("grant_pool", system::GRANT_POOL),
        ] {
            assert_eq!(Owner::parse(text), Some(Owner(owner)), "{text}");
            assert_eq!(Owner(owner).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_owner_is_refused() {
        for text in [
            "",
            "treasury",
            "treasury:",
            "treasury:01",
            "treasury:+1",
            "treasury:4294967296",
            "did:other:01900000-0000-7000-8000-00000000000a",
            "did:theprotocol:treasury:1",
            "staking_pool:0",
            "01900000-0000-7000-8000-00000000000",
            " 01900000-0000-7000-8000-00000000000a",
            "01900000\u{2d}0000-7000-8000-00000000000\u{e4}",
        ] {
            assert_eq!(Owner::parse(text), None, "{text:?}");
        }
        let error = read::<Owner>("\"nobody\"").unwrap_err();
        assert!(error.contains("\"nobody\"") && error.contains("treasury:<host>"), "{error}");
        assert!(read::<Owner>("5").is_err());
    }

    #[test]
    fn codes_are_names_or_numbers() {
        assert_eq!(read("\"correction\""), Ok(Code(3)));
        assert_eq!(read("5"), Ok(Code(5)));
        for json in ["\"theft\"", "65536", "-1", "1.0", "null", "true"] {
            let error = read::<Code>(json).unwrap_err();
            assert!(error.contains("write_off"), "{error}");
        }
    }

    #[test]
    fn numbers_and_texts_keep_their_bounds() {
        assert_eq!(read::<Rate>("1000000").map(Rate::number), Ok(1_000_000));
        assert!(read::<Rate>("1000001").unwrap_err().contains("from 0 to 1000000"));
        assert_eq!(read::<Large>("18446744073709551615").map(Large::number), Ok(u64::MAX));
        for json in ["4294967296", "-1", "1.0", "\"1\"", "1e3"] {
            assert!(read::<Small>(json).is_err(), "{json}");
        }
        assert_eq!(read("\"5000\""), Ok(Whole(5_000)));
        for json in ["5000", "\"\"", "\"+1\"", "\"1.0\"", "\"-1\""] {
            assert!(read::<Whole>(json).is_err(), "{json}");
        }
        assert!(matches!(read::<Name<'_>>("\"AVT\"").unwrap().0, Cow::Borrowed("AVT")));
        assert_eq!(read::<Name<'_>>("\"A\\u0056T\"").unwrap().0, "AVT");
        assert!(read::<Name<'_>>("\"\"").is_err());
        assert!(read::<Name<'_>>(&format!("\"{}\"", "x".repeat(65))).is_err());
    }

    #[test]
    fn a_long_text_is_shown_shortened_in_a_message() {
        let long = format!("\"{}\"", "ä".repeat(500));
        assert!(read::<Id>(&long).unwrap_err().len() < 300);
    }
}
