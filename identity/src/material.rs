//! What a process needs to prove itself and to judge others, at one moment.
//!
//! Refuses halves: an SVID without its key, a key that does not fit, a bundle
//! set without the own trust domain. Never writes a key anywhere.
//! Invariant: a `Material` never changes; a rotation makes a new one, with a
//! generation that no other `Material` of the process has.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use zeroize::Zeroize;

use crate::bundle::{BundleError, BundleSet, DenyList, TrustBundle};
use crate::facts::Facts;
use crate::limits::CHAIN_LEN_MAX;
use crate::spiffe_id::{SpiffeId, TrustDomain};
use crate::svid::{Purpose, Svid, SvidError, inspect_leaf, validate};

static GENERATION: AtomicU64 = AtomicU64::new(1);

/// The own SVID and key, the trust bundles and the deny list.
pub struct Material {
    spiffe_id: SpiffeId,
    not_before: UnixTime,
    not_after: UnixTime,
    certified_key: Arc<CertifiedKey>,
    bundles: BundleSet,
    denied: DenyList,
    generation: u64,
}

impl Material {
    /// Assembles material from the PEM of the own SVID, key and bundle.
    ///
    /// The own trust domain is the one that the SVID names.
    ///
    /// # Errors
    /// The part that is malformed or does not fit the others.
    pub fn from_pem(
        svid_pem: &[u8],
        key_pem: &[u8],
        bundle_pem: &[u8],
    ) -> Result<Self, MaterialError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(svid_pem)
            .collect::<Result<_, _>>()
            .map_err(|_| MaterialError::SvidNotPem)?;
        let leaf = chain.first().ok_or(MaterialError::SvidNotPem)?;
        let svid = inspect_leaf(leaf).map_err(MaterialError::OwnSvid)?;
        if chain.len() > CHAIN_LEN_MAX {
            return Err(MaterialError::OwnSvid(SvidError::ChainTooLong { len: chain.len() }));
        }
        let certified_key = Arc::new(certify(chain, key_pem)?);
        let mut bundles = BundleSet::new();
        bundles
            .insert(TrustBundle::from_pem(svid.spiffe_id.trust_domain().clone(), bundle_pem)?)?;
        Ok(Self {
            spiffe_id: svid.spiffe_id,
            not_before: svid.not_before,
            not_after: svid.not_after,
            certified_key,
            bundles,
            denied: DenyList::default(),
            generation: GENERATION.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// Adds the bundle of a federated trust domain.
    ///
    /// # Errors
    /// The trust domain has a bundle already.
    pub fn with_federated(mut self, bundle: TrustBundle) -> Result<Self, MaterialError> {
        self.bundles.insert(bundle)?;
        Ok(self)
    }

    /// Replaces the deny list.
    #[must_use]
    pub fn with_denied(mut self, denied: DenyList) -> Self {
        self.denied = denied;
        self
    }

    /// Returns the own SPIFFE ID.
    #[must_use]
    pub fn spiffe_id(&self) -> &SpiffeId {
        &self.spiffe_id
    }

    /// Returns the own trust domain.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        self.spiffe_id.trust_domain()
    }

    /// Returns from when on the own SVID is valid.
    #[must_use]
    pub fn not_before(&self) -> UnixTime {
        self.not_before
    }

    /// Returns when the own SVID expires.
    #[must_use]
    pub fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// Returns the DNS names and IP addresses of the own SVID, which are for clients that know
    /// nothing of SPIFFE.
    #[must_use]
    pub fn host_names(&self) -> Vec<String> {
        let leaf = self.certified_key.cert.first().and_then(|leaf| Facts::read(leaf));
        leaf.map_or_else(Vec::new, |facts| facts.host_names)
    }

    /// Returns the bundles of the trusted domains.
    #[must_use]
    pub fn bundles(&self) -> &BundleSet {
        &self.bundles
    }

    /// Returns the deny list.
    #[must_use]
    pub fn denied(&self) -> &DenyList {
        &self.denied
    }

    /// Returns the number that no other material of this process has.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Judges the own SVID at `now` as a client of the own trust domain will.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn judge_own(&self, now: UnixTime) -> Result<Svid, SvidError> {
        validate(&self.certified_key.cert, &self.bundles, now, Purpose::Server)
    }

    pub(crate) fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified_key)
    }
}

impl fmt::Debug for Material {
    /// Names the identity; shows neither key nor certificates.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material")
            .field("spiffe_id", &self.spiffe_id)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

fn certify(
    chain: Vec<CertificateDer<'static>>,
    key_pem: &[u8],
) -> Result<CertifiedKey, MaterialError> {
    let mut der = PrivateKeyDer::from_pem_slice(key_pem).map_err(|_| MaterialError::KeyNotPem)?;
    let key = rustls::crypto::ring::sign::any_supported_type(&der);
    der.zeroize();
    let certified = CertifiedKey::new(chain, key.map_err(|_| MaterialError::KeyKind)?);
    // Every key of the provider can tell its public half, so an unknown answer is a mismatch too.
    certified.keys_match().map_err(|_| MaterialError::KeyMismatch)?;
    Ok(certified)
}

/// Where the current material comes from.
pub trait Source: Send + Sync {
    /// Returns the newest good material.
    fn current(&self) -> Arc<Material>;
}

/// A source whose owner sets the material, for embedding and for tests.
pub struct HeldSource(ArcSwap<Material>);

impl HeldSource {
    /// Creates a source of the given material.
    #[must_use]
    pub fn new(material: Material) -> Self {
        Self(ArcSwap::from_pointee(material))
    }

    /// Replaces the material; handshakes from now on use the new one.
    pub fn replace(&self, material: Material) {
        self.0.store(Arc::new(material));
    }
}

impl Source for HeldSource {
    fn current(&self) -> Arc<Material> {
        self.0.load_full()
    }
}

/// Why material is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MaterialError {
    /// The SVID is not PEM, or holds no certificate.
    #[error("the own SVID is not a PEM certificate chain; write it leaf first")]
    SvidNotPem,
    /// The own SVID breaks a rule.
    #[error("the own SVID breaks a rule: {0}")]
    OwnSvid(#[source] SvidError),
    /// The key is not PEM.
    #[error("the own key is not a PEM private key; write it as PKCS#8")]
    KeyNotPem,
    /// The key is of a kind that is not supported.
    #[error("the own key is of an unsupported kind; use P-256, P-384, Ed25519 or RSA 2048")]
    KeyKind,
    /// The key is not the one in the certificate.
    #[error("the own key does not belong to the own SVID; write both of one issue")]
    KeyMismatch,
    /// A bundle is refused.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}
