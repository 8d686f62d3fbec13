//! Each identity has one number, and nobody can have another's.

use identity::{Principal, PrincipalError, Role, SpiffeId, UuidText, parse_uuid};

use crate::support::{AGENT, HOME};

fn principal(path: &str, role: Role) -> Result<Principal, PrincipalError> {
    Principal::of(&SpiffeId::parse(&format!("spiffe://{HOME}{path}")).unwrap(), role)
}

#[test]
fn an_agents_number_is_its_uuid_read_big_endian() {
    let agent = principal(AGENT, Role::Agent).unwrap();
    assert_eq!(agent.id, 0x0190_a1b2_c3d4_7e5f_8a9b_0c1d_2e3f_4a5b);
    assert_eq!(agent.role, Role::Agent);
    assert_eq!(agent.to_string(), "agent:0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b");
}

#[test]
fn reserved_uuids_are_refused() {
    let agent = |uuid: &str| principal(&format!("/agent/{uuid}"), Role::Agent).map(|_| ());
    let nil = "00000000-0000-0000-0000-000000000000";
    assert_eq!(agent(nil), Err(PrincipalError::SystemReserved));
    let system = "00000000-0000-0000-8000-000000000001";
    assert_eq!(agent(system), Err(PrincipalError::SystemReserved));
    let barely = "00000000-0000-0001-8000-000000000001";
    assert_eq!(agent(barely), Ok(()));
    let derived = "0190a1b2-c3d4-8e5f-8a9b-0c1d2e3f4a5b";
    assert_eq!(agent(derived), Err(PrincipalError::DerivedReserved));
    assert_eq!(agent("north"), Err(PrincipalError::NotUuid));
}

/// Golden: these numbers are in journals and may never change.
#[test]
fn other_numbers_are_hashes_marked_version_8() {
    let registry = principal("/registry/north", Role::Registry).unwrap();
    let hash = blake3::hash(b"bezant principal v1spiffe://frame-a.example/registry/north");
    let first = u128::from_be_bytes(hash.as_bytes()[..16].try_into().unwrap());
    let free_bits = !(0xF_u128 << 76 | 0b11 << 62);
    assert_eq!(registry.id & free_bits, first & free_bits);
    assert_eq!(registry.id >> 76 & 0xF, 8);
    assert_eq!(registry.id >> 62 & 0b11, 0b10);
    assert_eq!(UuidText(registry.id).to_string(), "4ec9db61-51cc-8386-a021-9dfdc22a0a9f");
    let south = principal("/registry/south", Role::Registry).unwrap();
    assert_ne!(south.id, registry.id);
}

#[test]
fn a_uuid_has_one_spelling() {
    let text = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";
    assert_eq!(UuidText(parse_uuid(text).unwrap()).to_string(), text);
    let upper = text.to_uppercase();
    let braced = format!("{{{text}}}");
    let moved = "0190a1b2c-3d4-7e5f-8a9b-0c1d2e3f4a5b";
    for bad in ["", &upper, &braced, &text[..35], "0190a1b2c3d47e5f8a9b0c1d2e3f4a5b", moved] {
        assert_eq!(parse_uuid(bad), None, "{bad}");
    }
}
