//! Trust bundles, one per trust domain, and the deny list.
//!
//! Refuses to merge: an authority vouches for the identities of its own trust
//! domain and for nobody else's, so there is no root store of all authorities.
//! Invariant: every authority in a bundle is a CA with a key of full strength.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};

use crate::facts::Facts;
use crate::limits::{AUTHORITIES_MAX, CERTIFICATE_SIZE_MAX, DENIED_MAX, TRUST_DOMAINS_MAX};
use crate::principal::parse_uuid;
use crate::spiffe_id::{SpiffeId, TrustDomain};

/// The authorities of one trust domain.
#[derive(Clone)]
pub struct TrustBundle {
    trust_domain: TrustDomain,
    anchors: Vec<TrustAnchor<'static>>,
    windows_s: Vec<(u64, u64)>,
}

impl TrustBundle {
    /// Reads the authorities of `trust_domain` from certificates.
    ///
    /// # Errors
    /// No certificate, too many, or one that cannot be an authority.
    pub fn from_der(
        trust_domain: TrustDomain,
        authorities: &[CertificateDer<'_>],
    ) -> Result<Self, BundleError> {
        if authorities.is_empty() {
            return Err(BundleError::Empty { trust_domain });
        }
        if authorities.len() > AUTHORITIES_MAX {
            return Err(BundleError::TooManyAuthorities { trust_domain });
        }
        let mut bundle = Self { trust_domain, anchors: Vec::new(), windows_s: Vec::new() };
        for (index, der) in authorities.iter().enumerate() {
            let trust_domain = &bundle.trust_domain;
            let error = |problem| BundleError::Authority {
                trust_domain: trust_domain.clone(),
                index,
                problem,
            };
            let facts = check_authority(der).map_err(error)?;
            let anchor = webpki::anchor_from_trusted_cert(der)
                .map_err(|_| error(AuthorityProblem::Malformed))?
                .to_owned();
            bundle.anchors.push(anchor);
            bundle.windows_s.push((facts.not_before_s, facts.not_after_s));
        }
        Ok(bundle)
    }

    /// Reads the authorities of `trust_domain` from PEM.
    ///
    /// # Errors
    /// As [`TrustBundle::from_der`], and if the text is not PEM.
    pub fn from_pem(trust_domain: TrustDomain, pem: &[u8]) -> Result<Self, BundleError> {
        let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        match parsed {
            Ok(authorities) => Self::from_der(trust_domain, &authorities),
            Err(_) => Err(BundleError::NotPem { trust_domain }),
        }
    }

    /// Returns the trust domain that the authorities vouch for.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Returns when each of the authorities ends.
    pub fn ends(&self) -> impl Iterator<Item = UnixTime> {
        let end = |(_, to_s): &(u64, u64)| UnixTime::since_unix_epoch(Duration::from_secs(*to_s));
        self.windows_s.iter().map(end)
    }

    pub(crate) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    /// Returns the end of validity of the given anchor, if it is valid at `now`.
    pub(crate) fn valid_until_s(&self, anchor: &TrustAnchor<'_>, now: UnixTime) -> Option<u64> {
        let now_s = now.as_secs();
        let same = |other: &TrustAnchor<'_>| {
            other.subject.as_ref() == anchor.subject.as_ref()
                && other.subject_public_key_info.as_ref() == anchor.subject_public_key_info.as_ref()
        };
        let pairs = self.anchors.iter().zip(&self.windows_s);
        pairs
            .filter(|(other, (from_s, to_s))| same(other) && (*from_s..=*to_s).contains(&now_s))
            .map(|(_, (_, to_s))| *to_s)
            .max()
    }
}

fn check_authority(der: &[u8]) -> Result<Facts, AuthorityProblem> {
    if der.len() > CERTIFICATE_SIZE_MAX {
        return Err(AuthorityProblem::TooLarge);
    }
    let facts = Facts::read(der).ok_or(AuthorityProblem::Malformed)?;
    if !facts.is_ca || facts.key_usage.is_some_and(|usage| !usage.key_cert_sign) {
        return Err(AuthorityProblem::NotCa);
    }
    if !facts.key_is_strong {
        return Err(AuthorityProblem::WeakKey);
    }
    Ok(facts)
}

/// The bundles of every trust domain that this frame trusts.
#[derive(Clone, Default)]
pub struct BundleSet(BTreeMap<TrustDomain, TrustBundle>);

impl BundleSet {
    /// Creates a set that trusts nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the bundle of a trust domain that has none yet.
    ///
    /// # Errors
    /// The trust domain has a bundle already, or the set is full.
    pub fn insert(&mut self, bundle: TrustBundle) -> Result<(), BundleError> {
        let trust_domain = bundle.trust_domain.clone();
        if self.0.contains_key(&trust_domain) {
            return Err(BundleError::Duplicate { trust_domain });
        }
        if self.0.len() >= TRUST_DOMAINS_MAX {
            return Err(BundleError::TooManyDomains);
        }
        self.0.insert(trust_domain, bundle);
        Ok(())
    }

    /// Returns the bundle of a trust domain.
    #[must_use]
    pub fn of(&self, trust_domain: &TrustDomain) -> Option<&TrustBundle> {
        self.0.get(trust_domain)
    }

    /// Returns the bundles, in the order of their trust domains.
    pub fn iter(&self) -> impl Iterator<Item = &TrustBundle> {
        self.0.values()
    }

    /// Returns the trust domains in the set, in order.
    pub fn trust_domains(&self) -> impl Iterator<Item = &TrustDomain> {
        self.0.keys()
    }
}

/// Identities that are refused although their certificates are valid.
#[derive(Clone, Debug, Default)]
pub struct DenyList {
    ids: HashSet<SpiffeId>,
    principals: HashSet<u128>,
}

impl DenyList {
    /// Reads one SPIFFE ID or principal (as a UUID) a line; `#` begins a comment.
    ///
    /// # Errors
    /// Names the first line that is neither; a list is taken whole or not at all.
    pub fn parse(text: &str) -> Result<Self, DenyError> {
        let mut list = Self::default();
        for (index, line) in text.lines().enumerate() {
            let entry = line.split('#').next().unwrap_or_default().trim();
            if entry.is_empty() {
                continue;
            }
            if list.ids.len() + list.principals.len() >= DENIED_MAX {
                return Err(DenyError::TooMany);
            }
            if let Some(principal) = parse_uuid(entry) {
                list.principals.insert(principal);
            } else if let Ok(id) = SpiffeId::parse(entry) {
                list.ids.insert(id);
            } else {
                return Err(DenyError::Line { number: index + 1 });
            }
        }
        Ok(list)
    }

    /// Tells whether an ID, or the principal it stands for, is on the list.
    #[must_use]
    pub fn denies(&self, id: &SpiffeId, principal: Option<u128>) -> bool {
        self.ids.contains(id) || principal.is_some_and(|number| self.principals.contains(&number))
    }
}

/// Why a trust bundle is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// No certificate in it.
    #[error("the bundle of {trust_domain} holds no certificate; remove the file to end the trust")]
    Empty {
        /// Trust domain of the bundle.
        trust_domain: TrustDomain,
    },
    /// The text is not PEM.
    #[error("the bundle of {trust_domain} is not PEM; write it as PEM certificates")]
    NotPem {
        /// Trust domain of the bundle.
        trust_domain: TrustDomain,
    },
    /// More authorities than [`AUTHORITIES_MAX`].
    #[error("the bundle of {trust_domain} holds too many authorities; keep at most 32")]
    TooManyAuthorities {
        /// Trust domain of the bundle.
        trust_domain: TrustDomain,
    },
    /// More trust domains than [`TRUST_DOMAINS_MAX`].
    #[error("too many trust domains; keep at most 256")]
    TooManyDomains,
    /// A second bundle for one trust domain.
    #[error("{trust_domain} has two bundles; bundles are never merged, keep one")]
    Duplicate {
        /// Trust domain with two bundles.
        trust_domain: TrustDomain,
    },
    /// A certificate that cannot be an authority.
    #[error("certificate {index} in the bundle of {trust_domain}: {problem}")]
    Authority {
        /// Trust domain of the bundle.
        trust_domain: TrustDomain,
        /// Place in the bundle, from zero.
        index: usize,
        /// What is wrong with it.
        problem: AuthorityProblem,
    },
}

/// Why a certificate cannot be an authority.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityProblem {
    /// Not an X.509 certificate.
    #[error("it is malformed; export it again")]
    Malformed,
    /// Larger than [`CERTIFICATE_SIZE_MAX`].
    #[error("it is larger than 16 KiB; use a smaller one")]
    TooLarge,
    /// Not a CA, or it may not sign certificates.
    #[error("it is not a CA that may sign certificates; put the CA into the bundle, not an SVID")]
    NotCa,
    /// A key below the floor.
    #[error("its key is weaker than RSA 2048, P-256 or Ed25519; replace the CA")]
    WeakKey,
}

/// Why a deny list is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DenyError {
    /// A line that is neither a SPIFFE ID nor a UUID.
    #[error(
        "line {number} of the deny list is neither a SPIFFE ID nor a lower-case UUID; correct it"
    )]
    Line {
        /// Line, from one.
        number: usize,
    },
    /// More entries than [`DENIED_MAX`].
    #[error("the deny list has more than 65536 entries; remove expired ones")]
    TooMany,
}
