//! The 128-bit number that stands for an identity in the journal.
//!
//! Refuses every UUID that another kind of principal could have: a zero upper
//! half belongs to system accounts, version 8 to identities named by hash.
//! Invariant: two different identities have different principals, as far as
//! BLAKE3 is collision-free in 122 bits, and no agent can choose another's.

use std::fmt;

use crate::role::Role;
use crate::spiffe_id::SpiffeId;

const DOMAIN: &[u8] = b"bezant principal v1";
const VERSION_SHIFT: u32 = 76;
const VERSION_MASK: u128 = 0xF << VERSION_SHIFT;
const VARIANT_SHIFT: u32 = 62;
const VARIANT_MASK: u128 = 0b11 << VARIANT_SHIFT;
/// Version 8 of RFC 9562: a UUID whose bits the application defines.
const VERSION_DERIVED: u128 = 8 << VERSION_SHIFT;
const VARIANT_RFC: u128 = 0b10 << VARIANT_SHIFT;

/// An identity as the engine knows it: a number and a role.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Principal {
    /// An agent's UUID read as a big-endian number, or the derived number.
    pub id: u128,
    /// What it may do.
    pub role: Role,
}

impl Principal {
    /// Derives the principal of an identity whose role is known.
    ///
    /// # Errors
    /// An agent whose path does not end in a UUID, or whose UUID is reserved.
    pub fn of(spiffe_id: &SpiffeId, role: Role) -> Result<Self, PrincipalError> {
        let id = match role {
            Role::Agent => agent_id(spiffe_id)?,
            _ => derived_id(spiffe_id),
        };
        assert!(id >> 64 != 0, "a zero upper half belongs to system accounts");
        Ok(Self { id, role })
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.role, UuidText(self.id))
    }
}

/// Writes a principal's number in the usual form of a UUID.
#[derive(Clone, Copy, Debug)]
pub struct UuidText(pub u128);

impl fmt::Display for UuidText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        let (a, b, c, d, e) = (&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
        write!(f, "{a}-{b}-{c}-{d}-{e}")
    }
}

fn agent_id(spiffe_id: &SpiffeId) -> Result<u128, PrincipalError> {
    let last = spiffe_id.segments().last().unwrap_or_default();
    let id = parse_uuid(last).ok_or(PrincipalError::NotUuid)?;
    if id >> 64 == 0 {
        return Err(PrincipalError::SystemReserved);
    }
    if id & VERSION_MASK == VERSION_DERIVED && id & VARIANT_MASK == VARIANT_RFC {
        return Err(PrincipalError::DerivedReserved);
    }
    Ok(id)
}

fn derived_id(spiffe_id: &SpiffeId) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(DOMAIN).update(spiffe_id.as_str().as_bytes());
    let mut first = [0; 16];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    let id = u128::from_be_bytes(first) & !VERSION_MASK & !VARIANT_MASK;
    id | VERSION_DERIVED | VARIANT_RFC
}

/// Reads a UUID in its one canonical form: lower-case hex in groups 8-4-4-4-12.
#[must_use]
pub fn parse_uuid(text: &str) -> Option<u128> {
    let bytes = text.as_bytes();
    if bytes.len() != 36 {
        return None;
    }
    let mut id = 0_u128;
    for (at, byte) in bytes.iter().enumerate() {
        let digit = match (at, byte) {
            (8 | 13 | 18 | 23, b'-') => continue,
            (8 | 13 | 18 | 23, _) => return None,
            (_, b'0'..=b'9') => byte - b'0',
            (_, b'a'..=b'f') => byte - b'a' + 10,
            _ => return None,
        };
        id = id << 4 | u128::from(digit);
    }
    Some(id)
}

/// Why an identity has no principal.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PrincipalError {
    /// The agent's path does not end in a canonical UUID.
    #[error("the agent's path does not end in a lower-case hyphenated UUID; issue it with one")]
    NotUuid,
    /// The upper 64 bits are zero.
    #[error("the agent's UUID has the zero upper half of system accounts; issue another")]
    SystemReserved,
    /// The UUID is of version 8.
    #[error("the agent's UUID is of version 8, kept for derived principals; issue another")]
    DerivedReserved,
}

impl PrincipalError {
    /// Returns the stable name of the cause, for audit records.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotUuid => "principal-not-uuid",
            Self::SystemReserved => "principal-system-reserved",
            Self::DerivedReserved => "principal-derived-reserved",
        }
    }
}
