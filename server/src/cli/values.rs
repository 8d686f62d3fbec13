//! Text of the command line to values and back: owners, ids, codes. Amounts are not here: they need
//! the scale of their asset, which only the frame knows.
//!
//! Invariant: what [`owner_text`] writes, [`owner`] reads back.

use client::{CommandId, Event, OwnerId, Place};
use protocol::command::reason;
use protocol::ids::parse_uuid;
use protocol::parameter::Parameter;
use protocol::system::{self, Class};

/// Before the UUID of an agent's decentralised identifier.
const DID_PREFIX: &str = "did:theprotocol:";
/// Names of [`reason`]s, as issues, burns and system transfers take them.
const REASONS: [(&str, u16); 6] = [
    ("ordinary", reason::ORDINARY),
    ("compensation", reason::COMPENSATION),
    ("correction", reason::CORRECTION),
    ("baseline", reason::BASELINE),
    ("payout", reason::PAYOUT),
    ("write_off", reason::WRITE_OFF),
];

/// An owner: a UUID, a DID, or the name of one of the frame's own accounts.
pub(crate) fn owner(text: &str) -> Result<OwnerId, String> {
    let uuid = text.strip_prefix(DID_PREFIX).unwrap_or(text);
    parse_uuid(uuid).or_else(|| system_owner(text)).ok_or_else(|| {
        "write an owner as a UUID, did:theprotocol:<uuid>, treasury:<host>, \
         fee_collector:<host>, staking_pool or grant_pool"
            .to_owned()
    })
}

fn system_owner(text: &str) -> Option<OwnerId> {
    let (class, index) = text.split_once(':').unwrap_or((text, ""));
    let host = || {
        let is_number = index.bytes().all(|byte| byte.is_ascii_digit());
        index.parse::<u32>().ok().filter(|_| is_number)
    };
    match class {
        "treasury" => host().map(system::treasury),
        "fee_collector" => host().map(system::fee_collector),
        "staking_pool" if text == class => Some(system::STAKING_POOL),
        "grant_pool" if text == class => Some(system::GRANT_POOL),
        _ => None,
    }
}

/// An owner as answers write it: a system account by its name, everybody else as a UUID.
pub(crate) fn owner_text(owner: OwnerId) -> String {
    match system::classify(owner) {
        Some((Class::Treasury, host)) => format!("treasury:{host}"),
        Some((Class::FeeCollector, host)) => format!("fee_collector:{host}"),
        Some((Class::StakingPool, _)) => "staking_pool".to_owned(),
        Some((Class::GrantPool, _)) => "grant_pool".to_owned(),
        _ => CommandId(owner).to_string(),
    }
}

/// A host: the principal of a registry, or `frame`.
pub(crate) fn host(text: &str) -> Result<OwnerId, String> {
    if text == "frame" {
        return Ok(0);
    }
    parse_uuid(text).ok_or_else(|| "write a host as the UUID of its principal, or frame".to_owned())
}

/// A place in the history.
pub(crate) fn place(text: &str) -> Result<Place, String> {
    Place::parse(text)
        .ok_or_else(|| "write a place as a sequence, or as <sequence>.<leg>".to_owned())
}

/// The number of an event, by name.
pub(crate) fn event(text: &str) -> Result<u16, String> {
    Event::followed_number(text)
        .ok_or_else(|| "no event has this name; docs/settlement.md lists them".to_owned())
}

/// The id of a command.
pub(crate) fn command_id(text: &str) -> Result<CommandId, String> {
    parse_uuid(text)
        .map(CommandId)
        .ok_or_else(|| "write an id as a UUID whose first 48 bits are Unix milliseconds".to_owned())
}

/// A reason of an issue, a burn or a system transfer, by name or number.
pub(crate) fn reason_code(text: &str) -> Result<u16, String> {
    let named = REASONS.iter().find(|(name, _)| *name == text).map(|(_, code)| *code);
    named.or_else(|| text.parse().ok()).ok_or_else(|| {
        let names = REASONS.map(|(name, _)| name).join(", ");
        format!("write a reason as one of {names}, or as its number")
    })
}

/// A parameter by name and its value, written like fee.base=7000.
pub(crate) fn assignment(text: &str) -> Result<(Parameter, u128), String> {
    let (name, value) = text.split_once('=').ok_or("write it like fee.base=7000")?;
    let parameter = Parameter::ALL
        .into_iter()
        .find(|parameter| parameter.name() == name)
        .ok_or("no parameter has this name")?;
    let value = value.parse().map_err(|_| "the value must be a whole number")?;
    Ok((parameter, value))
}

/// A parameter, by name or number.
pub(crate) fn parameter(text: &str) -> Result<Parameter, String> {
    let named = Parameter::ALL.into_iter().find(|parameter| parameter.name() == text);
    let numbered = || text.parse().ok().and_then(Parameter::from_number);
    named
        .or_else(numbered)
        .ok_or_else(|| "no parameter has this name; `parameters list` names them".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "018f6f0e-8a10-7000-8000-000000000001";

    #[test]
    fn owners_read_back_as_written() {
        for text in [UUID, "treasury:0", "treasury:7", "fee_collector:12", "staking_pool"] {
            assert_eq!(owner_text(owner(text).unwrap()), text);
        }
        assert_eq!(owner("grant_pool"), Ok(system::GRANT_POOL));
        assert_eq!(owner(&format!("did:theprotocol:{UUID}")), owner(UUID));
        let zeros = "00000000-0000-0000-0000-000000000007";
        assert_eq!(owner_text(owner(zeros).unwrap()), zeros);
    }

    #[test]
    fn what_is_no_owner_is_refused() {
        for text in [
            "",
            "alice",
            "treasury",
            "treasury:",
            "treasury:+1",
            "treasury:-1",
            "treasury:4294967296",
            "staking_pool:0",
            "staking_pool:",
            "did:theprotocol:treasury:0",
            "did:example:018f6f0e-8a10-7000-8000-000000000001",
        ] {
            assert!(owner(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn codes_go_by_name_or_number() {
        assert_eq!(reason_code("correction"), Ok(reason::CORRECTION));
        assert_eq!(reason_code("6"), Ok(reason::WRITE_OFF));
        assert!(reason_code("typo").is_err());
        assert_eq!(parameter("fee.base"), Ok(Parameter::FeeBase));
        assert_eq!(parameter("1"), Ok(Parameter::FeeBase));
        assert!(parameter("fee").is_err());
    }
}
