//! The shape of a command as the engine judges it: what `protocol::shape` checks, then keys, texts,
//! chains, ids and codes.
//!
//! It looks at nothing but the command, its data and the principal whose key it has.

use protocol::command::reason;
use protocol::limits::{NAME_LEN_MAX, REASON_LEN_MAX, SPIFFE_ID_LEN_MAX};
use protocol::parameter::Parameter;
use protocol::{Command, Kind, Status, data as entries, flags, key};

/// Whether `command` is a transfer on its own without data whose shape is right; what is not is
/// judged by [`judge`].
#[inline]
pub(crate) fn is_plain_transfer(command: &Command) -> bool {
    let small = command.timeout_ms | command.peer;
    let [a, b, c] = command.reserved;
    let short = command.flags | command.code | command.data;
    command.kind == Kind::Transfer.number()
        && command.id != 0
        && (small | a | b | c) == 0
        && short == 0
}

/// Names the kind of a command of `principal`, or the first refusal of its shape.
pub(crate) fn judge(
    principal: u128,
    command: &Command,
    data: &[Command],
    in_chain: bool,
) -> Result<Kind, Status> {
    let keyed = command.has(flags::KEYED);
    if keyed && in_chain {
        return Err(Status::Malformed);
    }
    let kind = protocol::shape::check(command, data)?;
    assert!(!kind.is_read(), "reads never reach the journal");
    let parameter = Parameter::from_number(command.code);
    if kind == Kind::Configure
        && command.credit != 0
        && parameter.is_some_and(|parameter| !is_of_host(parameter))
    {
        return Err(Status::Malformed);
    }
    if keyed && key::of(data).map(|text| key::id(principal, text)) != Some(command.id) {
        return Err(Status::DataMalformed);
    }
    if !has_text(kind, command, data) {
        return Err(Status::ReasonMissing);
    }
    if in_chain && !kind.is_linkable() {
        return Err(Status::ChainKind);
    }
    let own_id = if keyed { key::own_id(data) } else { Some(command.id) };
    if own_id == Some(0) && !kind.is_internal() {
        return Err(Status::IdZero);
    }
    if !has_meaning(kind, command.code) {
        return Err(Status::CodeUnknown);
    }
    Ok(kind)
}

/// Whether each host has its own value.
pub(crate) fn is_of_host(parameter: Parameter) -> bool {
    parameter == Parameter::HostDebitLimit
}

fn has_text(kind: Kind, command: &Command, data: &[Command]) -> bool {
    let (tag, len_max) = match kind {
        Kind::Issue | Kind::Burn if command.code == reason::CORRECTION => {
            (entries::TAG_REASON, REASON_LEN_MAX)
        }
        Kind::Asset => (entries::TAG_NAME, NAME_LEN_MAX),
        Kind::Identify => (entries::TAG_SPIFFE_ID, SPIFFE_ID_LEN_MAX),
        _ => return true,
    };
    entries::find_text(data, tag).is_some_and(|text| (1..=len_max).contains(&text.len()))
}

fn has_meaning(kind: Kind, code: u16) -> bool {
    match kind {
        Kind::AgentOnly => code <= 1,
        Kind::SystemTransfer => matches!(code, reason::PAYOUT | reason::WRITE_OFF),
        Kind::Issue => matches!(
            code,
            reason::ORDINARY | reason::COMPENSATION | reason::CORRECTION | reason::BASELINE
        ),
        Kind::Burn => matches!(code, reason::ORDINARY | reason::CORRECTION),
        Kind::Configure => Parameter::from_number(code).is_some(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::CommandId;

    #[test]
    fn a_plain_transfer_is_exactly_one_that_is_judged_right() {
        let transfer = Command::transfer(CommandId(1), 1 << 64, 2 << 64, 1, 5);
        assert!(is_plain_transfer(&transfer));
        let words: [u64; 16] = zerocopy::transmute!(transfer);
        for word in 0..16 {
            for bit in 0..64 {
                let mut other = words;
                other[word] ^= 1 << bit;
                let other: Command = zerocopy::transmute!(other);
                if is_plain_transfer(&other) {
                    assert_eq!(judge(1 << 64, &other, &[], false), Ok(Kind::Transfer));
                }
            }
        }
        let linked = Command { flags: flags::LINKED, ..transfer };
        assert!(!is_plain_transfer(&linked));
        assert!(!is_plain_transfer(&Command { id: 0, ..transfer }));
    }
}
