//! The rules of an X.509-SVID.
//!
//! Refuses a chain for the first rule it breaks, in this order: size, the one
//! SPIFFE ID of the leaf, the RFC 5280 path against the bundle of the trust
//! domain that the leaf names, the leaf's own rules. Never reads a clock.
//! Invariant: an `Svid` exists only for a chain that passed every rule.

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use std::time::Duration;
use webpki::{EndEntityCert, VerifiedPath};

use crate::bundle::{BundleSet, TrustBundle};
use crate::facts::Facts;
use crate::limits::{CERTIFICATE_SIZE_MAX, CHAIN_LEN_MAX};
use crate::spiffe_id::{SpiffeId, SpiffeIdError};

/// Signatures that may hold a chain together: no SHA-1, no RSA below 2048 bits.
static CHAIN_ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    webpki::ring::ECDSA_P256_SHA256,
    webpki::ring::ECDSA_P256_SHA384,
    webpki::ring::ECDSA_P384_SHA256,
    webpki::ring::ECDSA_P384_SHA384,
    webpki::ring::ED25519,
    webpki::ring::RSA_PKCS1_2048_8192_SHA256,
    webpki::ring::RSA_PKCS1_2048_8192_SHA384,
    webpki::ring::RSA_PKCS1_2048_8192_SHA512,
    webpki::ring::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    webpki::ring::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    webpki::ring::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
];

/// What the holder of the certificate does in the handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// The peer is the client.
    Client,
    /// The peer is the server.
    Server,
}

/// A validated X.509-SVID.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Svid {
    /// Whose it is.
    pub spiffe_id: SpiffeId,
    /// From when on its own certificate is valid.
    pub not_before: UnixTime,
    /// When the first certificate of its path expires.
    pub not_after: UnixTime,
}

/// Judges a presented chain, leaf first, at the time `now`.
///
/// # Errors
/// The first rule that the chain breaks.
pub fn validate(
    chain: &[CertificateDer<'_>],
    bundles: &BundleSet,
    now: UnixTime,
    purpose: Purpose,
) -> Result<Svid, SvidError> {
    let (leaf_der, intermediates) = chain.split_first().ok_or(SvidError::NoCertificate)?;
    check_sizes(chain)?;

    let leaf = Facts::read(leaf_der).ok_or(SvidError::Malformed)?;
    let spiffe_id = only_spiffe_id(&leaf)?;
    let bundle = bundles.of(spiffe_id.trust_domain()).ok_or(SvidError::UnknownTrustDomain)?;

    let not_after_s = verify_path(leaf_der, intermediates, bundle, now, purpose).map_err(
        |cause| match cause {
            // The path check knows one name for both; an audit record wants two.
            SvidError::LeafIsCa if signs_certificates(&leaf) => SvidError::SigningCertificate,
            other => other,
        },
    )?;
    check_leaf(&leaf)?;

    let not_after_s = not_after_s.min(leaf.not_after_s);
    assert!(now.as_secs() <= not_after_s, "the path check refuses expired certificates");
    let not_after = unix(not_after_s);
    Ok(Svid { spiffe_id, not_before: unix(leaf.not_before_s), not_after })
}

/// Reads the SPIFFE ID of a leaf and checks the leaf's own rules, without a path.
///
/// It proves nothing about who issued the certificate; it is for the own SVID.
///
/// # Errors
/// The first rule that the certificate breaks.
pub(crate) fn inspect_leaf(leaf_der: &CertificateDer<'_>) -> Result<Svid, SvidError> {
    check_sizes(std::slice::from_ref(leaf_der))?;
    let leaf = Facts::read(leaf_der).ok_or(SvidError::Malformed)?;
    let spiffe_id = only_spiffe_id(&leaf)?;
    check_leaf(&leaf)?;
    let (not_before, not_after) = (unix(leaf.not_before_s), unix(leaf.not_after_s));
    Ok(Svid { spiffe_id, not_before, not_after })
}

fn unix(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

fn check_sizes(chain: &[CertificateDer<'_>]) -> Result<(), SvidError> {
    if chain.len() > CHAIN_LEN_MAX {
        return Err(SvidError::ChainTooLong { len: chain.len() });
    }
    if let Some(der) = chain.iter().find(|der| der.len() > CERTIFICATE_SIZE_MAX) {
        return Err(SvidError::CertificateTooLarge { size: der.len() });
    }
    Ok(())
}

fn only_spiffe_id(leaf: &Facts) -> Result<SpiffeId, SvidError> {
    match leaf.uris.as_slice() {
        [] => Err(SvidError::NoUriName),
        [None] => Err(SvidError::SpiffeId(SpiffeIdError::NotAscii)),
        [Some(text)] => SpiffeId::parse(text).map_err(SvidError::SpiffeId),
        _ => Err(SvidError::SeveralUriNames),
    }
}

/// Returns the earliest end of validity on the path above the leaf.
fn verify_path(
    leaf_der: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    bundle: &TrustBundle,
    now: UnixTime,
    purpose: Purpose,
) -> Result<u64, SvidError> {
    let leaf = EndEntityCert::try_from(leaf_der).map_err(|error| path_error(&error))?;
    let usage = match purpose {
        Purpose::Client => webpki::KeyUsage::client_auth(),
        Purpose::Server => webpki::KeyUsage::server_auth(),
    };
    let path = leaf
        .verify_for_usage(CHAIN_ALGORITHMS, bundle.anchors(), intermediates, now, usage, None, None)
        .map_err(|error| path_error(&error))?;
    check_issuers(&path, bundle, now)
}

fn check_issuers(
    path: &VerifiedPath<'_>,
    bundle: &TrustBundle,
    now: UnixTime,
) -> Result<u64, SvidError> {
    let anchor_until_s = bundle.valid_until_s(path.anchor(), now);
    let mut not_after_s = anchor_until_s.ok_or(SvidError::AuthorityNotValid)?;
    for cert in path.intermediate_certificates() {
        let issuer = Facts::read(&cert.der()).ok_or(SvidError::Malformed)?;
        if !issuer.key_usage.is_some_and(|usage| usage.key_cert_sign) {
            return Err(SvidError::IssuerMayNotSign);
        }
        if !issuer.key_is_strong {
            return Err(SvidError::WeakKey);
        }
        not_after_s = not_after_s.min(issuer.not_after_s);
    }
    Ok(not_after_s)
}

fn check_leaf(leaf: &Facts) -> Result<(), SvidError> {
    if leaf.is_ca {
        let signs = signs_certificates(leaf);
        return Err(if signs { SvidError::SigningCertificate } else { SvidError::LeafIsCa });
    }
    let usage = leaf.key_usage.ok_or(SvidError::KeyUsageMissing)?;
    if !usage.critical {
        return Err(SvidError::KeyUsageNotCritical);
    }
    if usage.key_cert_sign {
        return Err(SvidError::KeyCertSign);
    }
    if usage.crl_sign {
        return Err(SvidError::CrlSign);
    }
    if !usage.digital_signature {
        return Err(SvidError::NoDigitalSignature);
    }
    if !leaf.key_is_strong {
        return Err(SvidError::WeakKey);
    }
    Ok(())
}

fn signs_certificates(leaf: &Facts) -> bool {
    leaf.key_usage.is_some_and(|usage| usage.key_cert_sign)
}

fn path_error(error: &webpki::Error) -> SvidError {
    use webpki::Error as E;
    match error {
        E::CertExpired { .. } => SvidError::Expired,
        E::CertNotValidYet { .. } => SvidError::NotYetValid,
        E::CaUsedAsEndEntity => SvidError::LeafIsCa,
        E::EndEntityUsedAsCa => SvidError::IssuerMayNotSign,
        E::UnknownIssuer | E::InvalidSignatureForPublicKey => SvidError::UnknownAuthority,
        E::RequiredEkuNotFoundContext(_) | E::EmptyEkuExtension => SvidError::ExtendedKeyUsage,
        E::UnsupportedSignatureAlgorithmContext(_)
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_)
        | E::SignatureAlgorithmMismatch => SvidError::WeakSignature,
        E::PathLenConstraintViolated | E::MaximumPathDepthExceeded => SvidError::PathLength,
        E::NameConstraintViolation => SvidError::NameConstraint,
        E::UnsupportedCriticalExtension => SvidError::CriticalExtension,
        _ => SvidError::Malformed,
    }
}

/// The rule of an X.509-SVID that a chain breaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SvidError {
    /// Nothing presented.
    #[error("no certificate was presented; connect with an X.509-SVID")]
    NoCertificate,
    /// More certificates than [`CHAIN_LEN_MAX`].
    #[error("the chain has {len} certificates; present at most 4")]
    ChainTooLong {
        /// Certificates found.
        len: usize,
    },
    /// A certificate larger than [`CERTIFICATE_SIZE_MAX`].
    #[error("a certificate of the chain has {size} bytes; present at most 16 KiB")]
    CertificateTooLarge {
        /// Bytes found.
        size: usize,
    },
    /// Not a certificate.
    #[error("a certificate of the chain is malformed; issue it again")]
    Malformed,
    /// No URI name in the leaf.
    #[error("the leaf has no URI name; issue it with its SPIFFE ID")]
    NoUriName,
    /// More than one URI name in the leaf.
    #[error("the leaf has several URI names; issue it with its SPIFFE ID alone")]
    SeveralUriNames,
    /// The URI name is not a SPIFFE ID.
    #[error("the URI name of the leaf is no SPIFFE ID: {0}")]
    SpiffeId(#[source] SpiffeIdError),
    /// No bundle for the trust domain.
    #[error("the trust domain of the leaf has no bundle here; federate with it first")]
    UnknownTrustDomain,
    /// No path to an authority of the leaf's own trust domain.
    #[error("no authority of the leaf's trust domain signed it; check the bundle and the issuer")]
    UnknownAuthority,
    /// The authority is outside its own validity.
    #[error("the authority that signed the leaf is outside its validity; rotate the bundle")]
    AuthorityNotValid,
    /// Past its end.
    #[error("a certificate of the chain has expired; rotate it")]
    Expired,
    /// Before its beginning.
    #[error("a certificate of the chain is not valid yet; check the clocks")]
    NotYetValid,
    /// `CA:TRUE` on the leaf.
    #[error("the leaf is marked as a CA; issue it with CA:FALSE")]
    LeafIsCa,
    /// A CA that may sign certificates, presented as a leaf.
    #[error("a signing certificate was presented as a leaf; present an SVID")]
    SigningCertificate,
    /// No key usage.
    #[error("the leaf has no key usage; issue it with digitalSignature")]
    KeyUsageMissing,
    /// Key usage not critical.
    #[error("the key usage of the leaf is not critical; issue it as critical")]
    KeyUsageNotCritical,
    /// `keyCertSign` on the leaf.
    #[error("the leaf may sign certificates; issue it without keyCertSign")]
    KeyCertSign,
    /// `cRLSign` on the leaf.
    #[error("the leaf may sign revocation lists; issue it without cRLSign")]
    CrlSign,
    /// `digitalSignature` missing.
    #[error("the leaf may not sign a handshake; issue it with digitalSignature")]
    NoDigitalSignature,
    /// Extended key usage without the purpose.
    #[error("the extended key usage of the leaf lacks this side; add clientAuth and serverAuth")]
    ExtendedKeyUsage,
    /// A key below the floor.
    #[error("a key of the chain is weaker than RSA 2048, P-256 or Ed25519; issue it with another")]
    WeakKey,
    /// A signature that is not accepted, such as SHA-1.
    #[error("a signature of the chain is of a kind not accepted, such as SHA-1; issue it again")]
    WeakSignature,
    /// An issuer on the path is no CA or may not sign.
    #[error("an intermediate of the chain may not sign certificates; present the right one")]
    IssuerMayNotSign,
    /// A path length constraint is broken.
    #[error("the chain is longer than one of its CAs allows; shorten it")]
    PathLength,
    /// A name constraint is broken.
    #[error("the leaf is outside the names that its CA may vouch for; issue it by another CA")]
    NameConstraint,
    /// A critical extension that is not understood.
    #[error("a certificate of the chain has an unknown critical extension; issue it without")]
    CriticalExtension,
}

impl SvidError {
    /// Returns the stable name of the cause, for audit records.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoCertificate => "svid-none",
            Self::ChainTooLong { .. } => "svid-chain-too-long",
            Self::CertificateTooLarge { .. } => "svid-too-large",
            Self::Malformed => "svid-malformed",
            Self::NoUriName => "svid-no-uri",
            Self::SeveralUriNames => "svid-several-uris",
            Self::SpiffeId(cause) => cause.reason(),
            Self::UnknownTrustDomain => "svid-unknown-trust-domain",
            Self::UnknownAuthority => "svid-unknown-authority",
            Self::AuthorityNotValid => "svid-authority-not-valid",
            Self::Expired => "svid-expired",
            Self::NotYetValid => "svid-not-yet-valid",
            Self::LeafIsCa => "svid-leaf-is-ca",
            Self::SigningCertificate => "svid-signing-certificate",
            Self::KeyUsageMissing => "svid-no-key-usage",
            Self::KeyUsageNotCritical => "svid-key-usage-not-critical",
            Self::KeyCertSign => "svid-key-cert-sign",
            Self::CrlSign => "svid-crl-sign",
            Self::NoDigitalSignature => "svid-no-digital-signature",
            Self::ExtendedKeyUsage => "svid-extended-key-usage",
            Self::WeakKey => "svid-weak-key",
            Self::WeakSignature => "svid-weak-signature",
            Self::IssuerMayNotSign => "svid-issuer-may-not-sign",
            Self::PathLength => "svid-path-length",
            Self::NameConstraint => "svid-name-constraint",
            Self::CriticalExtension => "svid-critical-extension",
        }
    }
}
