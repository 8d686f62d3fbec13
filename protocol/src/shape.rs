//! The shape of single commands: which fields and bits each kind uses. What a kind does not use is
//! zero, else the command is refused `malformed`; this is the first check of the precedence.
//! Every command that a client may send may be KEYED; that its id is the hash of its key only the
//! engine can tell, which knows the principal.

use crate::command::{Command, flags};
use crate::data;
use crate::key;
use crate::kind::Kind;
use crate::status::Status;

/// Fields that a kind may set; every field not named must be zero.
#[derive(Clone, Copy)]
struct Uses(u16);

const DEBIT: u16 = 1 << 0;
const CREDIT: u16 = 1 << 1;
const AMOUNT: u16 = 1 << 2;
const REFERENCE: u16 = 1 << 3;
const VALUE: u16 = 1 << 4;
const ASSET: u16 = 1 << 5;
const TIMEOUT: u16 = 1 << 6;
const CODE: u16 = 1 << 7;
const DATA: u16 = 1 << 8;

const PAYMENT: u16 = DEBIT | CREDIT | AMOUNT | REFERENCE | VALUE | ASSET | DATA;

/// Fields and flag bits of one kind.
const fn uses(kind: Kind) -> (Uses, u16) {
    use Kind as K;
    let (fields, bits) = match kind {
        K::Open => (DEBIT | CREDIT | ASSET, flags::LINKED),
        K::Freeze | K::Unfreeze => (DEBIT | ASSET | CODE | DATA, 0),
        K::Close => (DEBIT | CREDIT | ASSET | CODE | DATA, 0),
        K::Limits => (DEBIT | AMOUNT | REFERENCE | ASSET, 0),
        K::Rehost => (DEBIT | CREDIT, 0),
        K::AgentOnly => (DEBIT | CODE, 0),
        K::Transfer => (PAYMENT, flags::LINKED),
        K::Hold => (PAYMENT | TIMEOUT, flags::LINKED | flags::KEEP),
        K::Capture => (PAYMENT, flags::LINKED | flags::KEEP | flags::ALL),
        K::Release => (DEBIT | CREDIT | REFERENCE | ASSET | DATA, flags::LINKED),
        K::SystemTransfer => (DEBIT | CREDIT | AMOUNT | ASSET | CODE | DATA, 0),
        K::Issue => (CREDIT | AMOUNT | REFERENCE | ASSET | CODE | DATA, 0),
        K::Burn => (DEBIT | AMOUNT | REFERENCE | ASSET | CODE | DATA, 0),
        K::Configure => (CREDIT | AMOUNT | VALUE | CODE | DATA, 0),
        K::Asset => (VALUE | ASSET | DATA, 0),
        K::HaltMint | K::ResumeMint => (CODE | DATA, 0),
        K::Identify => (DATA, 0),
        K::Tick => (0, 0),
        K::ReadAccount => (DEBIT | ASSET, 0),
        K::ReadOutcome => (DEBIT | REFERENCE, 0),
        K::ReadSupply | K::ReadAsset | K::ReadRecount => (ASSET, 0),
        K::Quote => (DEBIT | CREDIT | AMOUNT | ASSET, 0),
        K::ReadHold => (DEBIT | REFERENCE | ASSET, 0),
        K::ReadParameter => (CREDIT | CODE, 0),
        K::ReadAccounts => (CREDIT | AMOUNT | VALUE | ASSET, 0),
    };
    let keyed = if kind.is_read() || kind.is_internal() { 0 } else { flags::KEYED };
    (Uses(fields), bits | keyed)
}

/// Checks the shape of one command and names its kind.
///
/// # Errors
///
/// `unknown_kind`, `malformed` or `data_malformed`.
pub fn check(command: &Command, data: &[Command]) -> Result<Kind, Status> {
    let kind = Kind::try_from(command.kind).map_err(|_| Status::UnknownKind)?;
    let (Uses(used), bits) = uses(kind);
    let keyed = command.has(flags::KEYED);
    let mut set = 0;
    for (field, is_set) in [
        (DEBIT, command.debit != 0),
        (CREDIT, command.credit != 0),
        (AMOUNT, command.amount != 0),
        (REFERENCE, command.reference != 0),
        (VALUE, command.value != 0),
        (ASSET, command.asset != 0),
        (TIMEOUT, command.timeout_ms != 0),
        (CODE, command.code != 0),
        (DATA, command.data != 0 && !keyed),
    ] {
        if is_set {
            set |= field;
        }
    }
    let unused = command.peer | command.reserved[0] | command.reserved[1] | command.reserved[2];
    if set & !used != 0 || command.flags & !bits != 0 || unused != 0 {
        return Err(Status::Malformed);
    }
    if command.has(flags::ALL) && (command.amount != 0 || command.has(flags::KEEP)) {
        return Err(Status::Malformed);
    }
    if keyed && command.is_linked() {
        return Err(Status::Malformed);
    }
    let free_data = used & DATA != 0;
    if (keyed || !data.is_empty()) && !is_data_valid(data, keyed, free_data) {
        return Err(Status::DataMalformed);
    }
    Ok(kind)
}

/// Whether data is whole, has exactly one valid key and at most one id if the command is KEYED and
/// neither otherwise, and has anything else only where the kind itself uses data.
fn is_data_valid(slots: &[Command], keyed: bool, free_data: bool) -> bool {
    let (mut keys, mut ids) = (0_u32, 0_u32);
    for (tag, value) in data::entries(slots) {
        let valid = match tag {
            data::TAG_KEY => {
                keys += 1;
                key::is_valid(value)
            }
            data::TAG_ID => {
                ids += 1;
                value.len() == size_of::<u128>()
            }
            _ => free_data,
        };
        if !valid {
            return false;
        }
    }
    data::is_well_formed(slots) && keys == u32::from(keyed) && ids <= u32::from(keyed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::CommandId;

    #[test]
    fn a_bare_command_of_every_kind_has_its_shape() {
        for kind in Kind::ALL {
            let command = Command::new(kind, CommandId(1));
            assert_eq!(check(&command, &[]), Ok(kind));
            assert_eq!(check(&Command { peer: 1, ..command }, &[]), Err(Status::Malformed));
            let bits = Command { flags: 1 << 15, ..command };
            assert_eq!(check(&bits, &[]), Err(Status::Malformed));
            for place in 0..3 {
                let mut dirty = command;
                dirty.reserved[place] = 1;
                assert_eq!(check(&dirty, &[]), Err(Status::Malformed));
            }
        }
    }

    #[test]
    fn what_a_kind_does_not_use_is_refused() {
        let transfer = Command::transfer(CommandId(1), 2, 3, 1, 4);
        assert_eq!(check(&transfer, &[]), Ok(Kind::Transfer));
        for wrong in [
            Command { timeout_ms: 1, ..transfer },
            Command { code: 1, ..transfer },
            Command { flags: flags::ALL, ..transfer },
        ] {
            assert_eq!(check(&wrong, &[]), Err(Status::Malformed));
        }
        let all =
            Command { flags: flags::ALL, amount: 1, ..Command::new(Kind::Capture, CommandId(1)) };
        assert_eq!(check(&all, &[]), Err(Status::Malformed));
        let unknown = Command { kind: 999, ..transfer };
        assert_eq!(check(&unknown, &[]), Err(Status::UnknownKind));
    }

    #[test]
    fn every_client_command_may_be_keyed_and_needs_one_valid_key() {
        let own_id = 5_u128.to_le_bytes();
        let only_key = data::encode(&[(data::TAG_KEY, b"order 1")]);
        let key_and_id = data::encode(&[(data::TAG_ID, &own_id), (data::TAG_KEY, b"k")]);
        for kind in Kind::ALL {
            let bare = Command::new(kind, CommandId(1));
            let keyed = Command { flags: flags::KEYED, data: 1, ..bare };
            let wanted = if kind.is_read() || kind.is_internal() {
                Err(Status::Malformed)
            } else {
                Ok(kind)
            };
            assert_eq!(check(&keyed, &only_key), wanted, "{kind:?}");
            assert_eq!(check(&keyed, &key_and_id), wanted, "{kind:?}");
        }
        let pay = Command { data: 1, ..Command::transfer(CommandId(1), 2, 3, 1, 4) };
        assert_eq!(check(&pay, &only_key), Err(Status::DataMalformed), "a key without KEYED");
        let id_alone = data::encode(&[(data::TAG_ID, &own_id)]);
        assert_eq!(check(&pay, &id_alone), Err(Status::DataMalformed), "an id without KEYED");
        let keyed = Command { flags: flags::KEYED, ..pay };
        for entries in [
            &[][..],
            &[(data::TAG_ID, &own_id[..])],
            &[(data::TAG_KEY, b"")],
            &[(data::TAG_KEY, b"line\n")],
            &[(data::TAG_KEY, b"k"), (data::TAG_KEY, b"k")],
            &[(data::TAG_KEY, b"k"), (data::TAG_ID, &own_id[..15])],
            &[(data::TAG_KEY, b"k"), (data::TAG_ID, &own_id), (data::TAG_ID, &own_id)],
        ] {
            assert_eq!(check(&keyed, &data::encode(entries)), Err(Status::DataMalformed));
        }
        let linked = Command { flags: flags::KEYED | flags::LINKED, ..keyed };
        assert_eq!(check(&linked, &only_key), Err(Status::Malformed), "a chain has ids");
    }

    #[test]
    fn other_data_goes_beside_a_key_where_the_kind_uses_data() {
        let slots = data::encode(&[(data::TAG_KEY, b"k"), (data::TAG_REASON, b"opening")]);
        let keyed =
            |kind| Command { flags: flags::KEYED, data: 1, ..Command::new(kind, CommandId(1)) };
        assert_eq!(check(&keyed(Kind::Issue), &slots), Ok(Kind::Issue));
        assert_eq!(check(&keyed(Kind::Open), &slots), Err(Status::DataMalformed));
    }

    #[test]
    fn data_must_be_whole() {
        let issue = Command { data: 1, ..Command::new(Kind::Issue, CommandId(1)) };
        let good = data::encode(&[(data::TAG_REASON, b"opening")]);
        assert_eq!(check(&issue, &good), Ok(Kind::Issue));
        let bad = Command { id: 0xffff_ffff, ..Command::default() };
        assert_eq!(check(&issue, &[bad]), Err(Status::DataMalformed));
    }
}
