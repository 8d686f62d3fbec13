//! Whom a connection belongs to, and whether it still may stay open.
//!
//! Refuses in the order path, leaf rules, validity, role, deny list. Takes no
//! name from anywhere but the certificate.
//! Invariant: a `Peer` was valid, admitted and not denied when it was made, and
//! `still_valid` asks the same questions again of newer material.

use std::sync::{Arc, Mutex, PoisonError};

use rustls_pki_types::{CertificateDer, UnixTime};

use crate::material::Material;
use crate::principal::{Principal, PrincipalError};
use crate::role::{RoleError, RolePatterns};
use crate::spiffe_id::SpiffeId;
use crate::svid::{Purpose, Svid, SvidError, validate};

/// An authenticated client.
#[derive(Clone, Debug)]
pub struct Peer {
    spiffe_id: SpiffeId,
    principal: Principal,
    not_after: UnixTime,
    chain: Arc<[CertificateDer<'static>]>,
    checked: Arc<Mutex<Checked>>,
}

/// The newest material that confirmed the peer, and until when it did.
#[derive(Clone, Copy, Debug)]
struct Checked {
    generation: u64,
    not_after: UnixTime,
}

impl Peer {
    /// Returns the SPIFFE ID.
    #[must_use]
    pub fn spiffe_id(&self) -> &SpiffeId {
        &self.spiffe_id
    }

    /// Returns the principal: number and role.
    #[must_use]
    pub fn principal(&self) -> Principal {
        self.principal
    }

    /// Returns when the path that admitted the peer expires.
    #[must_use]
    pub fn not_after(&self) -> UnixTime {
        self.not_after
    }
}

/// Judges the certificates that a client presented, leaf first.
///
/// The TLS configurations of this crate ask the same during the handshake; this
/// is how the code behind the handshake learns who came through.
///
/// # Errors
/// The first rule that the chain, its role or the deny list breaks.
pub fn peer(
    chain: &[CertificateDer<'_>],
    material: &Material,
    patterns: &RolePatterns,
    now: UnixTime,
) -> Result<Peer, PeerError> {
    let Svid { spiffe_id, not_after, .. } =
        validate(chain, material.bundles(), now, Purpose::Client).map_err(PeerError::Svid)?;
    let role = match patterns.role_of(&spiffe_id, material.trust_domain()) {
        Ok(role) => role,
        Err(cause) => return Err(PeerError::Role { spiffe_id, cause }),
    };
    let principal = match Principal::of(&spiffe_id, role) {
        Ok(principal) => principal,
        Err(cause) => return Err(PeerError::Principal { spiffe_id, cause }),
    };
    if material.denied().denies(&spiffe_id, Some(principal.id)) {
        return Err(PeerError::Denied { spiffe_id });
    }
    let chain = chain.iter().map(|der| der.clone().into_owned()).collect();
    let checked = Checked { generation: material.generation(), not_after };
    let checked = Arc::new(Mutex::new(checked));
    Ok(Peer { spiffe_id, principal, not_after, chain, checked })
}

/// Tells whether an open connection may stay open under the current material.
///
/// Cheap while the material is unchanged; after a change the chain is judged
/// again once, so a removed authority or a new denial cuts the peer off.
///
/// # Errors
/// The rule that the peer breaks by now; close its connection.
pub fn still_valid(peer: &Peer, material: &Material, now: UnixTime) -> Result<(), PeerError> {
    let mut checked = peer.checked.lock().unwrap_or_else(PoisonError::into_inner);
    if checked.generation == material.generation() {
        let expired = now.as_secs() > checked.not_after.as_secs();
        return if expired { Err(PeerError::Svid(SvidError::Expired)) } else { Ok(()) };
    }
    let svid =
        validate(&peer.chain, material.bundles(), now, Purpose::Client).map_err(PeerError::Svid)?;
    assert!(svid.spiffe_id == peer.spiffe_id, "the same leaf names the same identity");
    if material.denied().denies(&peer.spiffe_id, Some(peer.principal.id)) {
        return Err(PeerError::Denied { spiffe_id: peer.spiffe_id.clone() });
    }
    *checked = Checked { generation: material.generation(), not_after: svid.not_after };
    Ok(())
}

/// Why a peer is refused or cut off.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// The certificates break a rule.
    #[error(transparent)]
    Svid(SvidError),
    /// The identity has no role here.
    #[error("{spiffe_id}: {cause}")]
    Role {
        /// Whose certificate it is.
        spiffe_id: SpiffeId,
        /// Why it has no role.
        cause: RoleError,
    },
    /// The identity has no principal.
    #[error("{spiffe_id}: {cause}")]
    Principal {
        /// Whose certificate it is.
        spiffe_id: SpiffeId,
        /// Why it has no principal.
        cause: PrincipalError,
    },
    /// The identity is on the deny list.
    #[error("{spiffe_id} is on the deny list; remove the entry to admit it again")]
    Denied {
        /// Whose certificate it is.
        spiffe_id: SpiffeId,
    },
    /// The server is not the one that was asked for.
    #[error("the server is {spiffe_id}, which is not the expected one; check the address")]
    Unexpected {
        /// Whose certificate it is.
        spiffe_id: SpiffeId,
    },
}

impl PeerError {
    /// Returns the stable name of the cause, for audit records.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Svid(cause) => cause.reason(),
            Self::Role { cause, .. } => cause.reason(),
            Self::Principal { cause, .. } => cause.reason(),
            Self::Denied { .. } => "peer-denied",
            Self::Unexpected { .. } => "peer-unexpected",
        }
    }
}
