//! A certificate authority for laptops and tests.
//!
//! Refuses to serve a trust domain other than the one it was made for, to
//! outlive its own certificate, and to keep its key where others can read it.
//! It is not for production: its key lies in a file, and it revokes nothing.
//! Invariant: what it issues passes the SVID rules from the moment of issue.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use zeroize::Zeroizing;

use crate::facts::Facts;
use crate::files::{self, FileError};
use crate::material::{Material, MaterialError};
use crate::principal::{Principal, PrincipalError};
use crate::role::{Role, is_name};
use crate::source::{BUNDLE_FILE, KEY_FILE, SVID_FILE};
use crate::spiffe_id::{SpiffeId, SpiffeIdError, TrustDomain};

/// The certificate of the authority, in its directory.
pub const CA_FILE: &str = "ca.pem";
/// The key of the authority, in its directory, mode 0600.
pub const CA_KEY_FILE: &str = "ca.key";

/// Clocks of laptops and containers differ; what is issued now was valid a minute ago.
const BACKDATE_S: u64 = 60;
const CA_LIFETIME_S: u64 = 10 * 365 * 24 * 60 * 60;
/// The year 3000; the date type behind the certificates panics past 9999.
const NOW_MAX_S: u64 = 32_503_680_000;
const COMMON_NAME: &str = "Bezant development CA";
const COMMON_NAME_LEN_MAX: usize = 64;

/// A development authority of one trust domain.
pub struct DevCa {
    trust_domain: TrustDomain,
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    not_after_s: u64,
}

impl DevCa {
    /// Creates an authority that exists only in memory.
    ///
    /// # Errors
    /// The clock is beyond reason, or no key can be made.
    pub fn in_memory(trust_domain: &TrustDomain, now: UnixTime) -> Result<Self, DevCaError> {
        let (certificate_pem, key_pem) = create(trust_domain, now)?;
        Self::from_pem(trust_domain, certificate_pem, &key_pem, now)
    }

    /// Opens the authority of a directory, or creates it there on first use.
    ///
    /// # Errors
    /// The directory or key is open to others, or holds another or an expired authority.
    pub fn open_or_create(
        dir: &Path,
        trust_domain: &TrustDomain,
        now: UnixTime,
    ) -> Result<Self, DevCaError> {
        files::create_private_dir(dir)?;
        check_dir(dir)?;
        if !dir.join(CA_KEY_FILE).exists() && !dir.join(CA_FILE).exists() {
            let (certificate_pem, key_pem) = create(trust_domain, now)?;
            // The key is created, never replaced: of two first starts only one goes on.
            files::write_new(&dir.join(CA_KEY_FILE), key_pem.as_bytes(), 0o600)?;
            files::replace(dir, CA_FILE, certificate_pem.as_bytes(), 0o644)?;
        }
        Self::open(dir, trust_domain, now)
    }

    /// Opens the authority of a directory.
    ///
    /// # Errors
    /// There is none, its directory or key is open to others, or it is another or has expired.
    pub fn open(dir: &Path, trust_domain: &TrustDomain, now: UnixTime) -> Result<Self, DevCaError> {
        check_dir(dir)?;
        let key_pem = files::read_secret(&dir.join(CA_KEY_FILE))?;
        let key_pem = std::str::from_utf8(&key_pem).map_err(|_| DevCaError::Malformed)?;
        let certificate = files::read(&dir.join(CA_FILE))?;
        let certificate = String::from_utf8(certificate).map_err(|_| DevCaError::Malformed)?;
        Self::from_pem(trust_domain, certificate, key_pem, now)
    }

    fn from_pem(
        trust_domain: &TrustDomain,
        certificate_pem: String,
        key_pem: &str,
        now: UnixTime,
    ) -> Result<Self, DevCaError> {
        let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|_| DevCaError::Malformed)?;
        let facts = Facts::read(&der).ok_or(DevCaError::Malformed)?;
        let named = Some(format!("spiffe://{trust_domain}"));
        if facts.uris != [named] {
            return Err(DevCaError::OtherTrustDomain { trust_domain: trust_domain.clone() });
        }
        if now.as_secs() > facts.not_after_s {
            return Err(DevCaError::Expired);
        }
        let key = KeyPair::from_pem(key_pem).map_err(|_| DevCaError::Malformed)?;
        let issuer =
            Issuer::from_ca_cert_pem(&certificate_pem, key).map_err(|_| DevCaError::Malformed)?;
        let not_after_s = facts.not_after_s;
        Ok(Self { trust_domain: trust_domain.clone(), issuer, certificate_pem, not_after_s })
    }

    /// Returns the trust domain.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Returns the bundle of the trust domain: the authority's certificate as PEM.
    #[must_use]
    pub fn bundle_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Issues an SVID on the standard path of a role; an agent's name is its UUID.
    ///
    /// # Errors
    /// The name does not fit the role, or the clock is beyond reason.
    pub fn issue(
        &self,
        role: Role,
        name: &str,
        ttl: Duration,
        now: UnixTime,
    ) -> Result<IssuedSvid, DevCaError> {
        if !is_name(name) {
            return Err(DevCaError::Name);
        }
        let place = match role {
            Role::Agent => "agent",
            Role::Registry => "registry",
            Role::Peer => "frame",
            Role::Mint => "mint",
            Role::Admin => "admin",
            Role::Auditor => "auditor",
        };
        let id = SpiffeId::from_parts(&self.trust_domain, &format!("/{place}/{name}"))?;
        Principal::of(&id, role)?;
        self.issue_id(&id, &[], ttl, now)
    }

    /// Issues an SVID for an ID of the trust domain, with host names beside it: DNS names and
    /// IP addresses.
    ///
    /// Host names are for tools that know nothing of SPIFFE; the rules ignore them.
    ///
    /// # Errors
    /// The ID is of another trust domain, a host name is malformed, or the clock
    /// is beyond reason.
    pub fn issue_id(
        &self,
        id: &SpiffeId,
        host_names: &[&str],
        ttl: Duration,
        now: UnixTime,
    ) -> Result<IssuedSvid, DevCaError> {
        if *id.trust_domain() != self.trust_domain {
            return Err(DevCaError::OtherTrustDomain { trust_domain: id.trust_domain().clone() });
        }
        let now_s = checked_now(now)?;
        if now_s > self.not_after_s {
            return Err(DevCaError::Expired);
        }
        let mut params = CertificateParams::default();
        let until_s = now_s.saturating_add(ttl.as_secs()).min(self.not_after_s);
        set_window(&mut params, now_s, until_s);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.distinguished_name = common_name(id.segments().last().unwrap_or_default());
        params.subject_alt_names.push(uri(id.as_str()));
        for name in host_names {
            params.subject_alt_names.push(host_name(name)?);
        }
        let key = Zeroizing::new(KeyPair::generate().map_err(|_| DevCaError::Crypto)?);
        let certificate = params.signed_by(&*key, &self.issuer).map_err(|_| DevCaError::Crypto)?;
        Ok(IssuedSvid {
            spiffe_id: id.clone(),
            certificate_pem: certificate.pem(),
            key_pem: Zeroizing::new(key.serialize_pem()),
            bundle_pem: self.certificate_pem.clone(),
        })
    }
}

/// A certificate with its key, as the development authority hands it out.
pub struct IssuedSvid {
    spiffe_id: SpiffeId,
    certificate_pem: String,
    key_pem: Zeroizing<String>,
    bundle_pem: String,
}

impl IssuedSvid {
    /// Returns whose it is.
    #[must_use]
    pub fn spiffe_id(&self) -> &SpiffeId {
        &self.spiffe_id
    }

    /// Returns the certificate chain as PEM, leaf first.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Returns the private key as PEM; do not log it.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// Assembles material that trusts the own trust domain only.
    ///
    /// # Errors
    /// As [`Material::from_pem`].
    pub fn material(&self) -> Result<Material, MaterialError> {
        Material::from_pem(
            self.certificate_pem.as_bytes(),
            self.key_pem.as_bytes(),
            self.bundle_pem.as_bytes(),
        )
    }

    /// Writes the files that a `FileSource` reads, replacing older ones.
    ///
    /// # Errors
    /// The file that cannot be written.
    pub fn write_to(&self, dir: &Path) -> Result<(), FileError> {
        files::create_private_dir(dir)?;
        files::replace(dir, KEY_FILE, self.key_pem.as_bytes(), 0o600)?;
        files::replace(dir, BUNDLE_FILE, self.bundle_pem.as_bytes(), 0o644)?;
        files::replace(dir, SVID_FILE, self.certificate_pem.as_bytes(), 0o644)
    }

    /// Replaces certificate and key in a directory, whose bundle stays and must vouch for them.
    ///
    /// # Errors
    /// Peers that trust the bundle would refuse the certificate, or a file cannot be read or
    /// written. Nothing is replaced then, or the key alone.
    pub fn renew_in(&self, dir: &Path, now: UnixTime) -> Result<(), DevCaError> {
        let bundle_pem = files::read(&dir.join(BUNDLE_FILE))?;
        let (certificate_pem, key_pem) = (self.certificate_pem.as_bytes(), self.key_pem.as_bytes());
        let vouched = Material::from_pem(certificate_pem, key_pem, &bundle_pem)
            .is_ok_and(|material| material.judge_own(now).is_ok());
        if !vouched {
            return Err(DevCaError::Stranger);
        }
        files::replace(dir, KEY_FILE, key_pem, 0o600)?;
        Ok(files::replace(dir, SVID_FILE, certificate_pem, 0o644)?)
    }
}

fn check_dir(dir: &Path) -> Result<(), FileError> {
    let opened = std::fs::File::open(dir).map_err(|source| FileError::io(dir, source))?;
    files::check_owner_only(&opened, dir, 0o700)
}

fn create(
    trust_domain: &TrustDomain,
    now: UnixTime,
) -> Result<(String, Zeroizing<String>), DevCaError> {
    let now_s = checked_now(now)?;
    let mut params = CertificateParams::default();
    set_window(&mut params, now_s, now_s + CA_LIFETIME_S);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Subject and issuer of an SVID must differ, or OpenSSL takes it for self-signed.
    params.distinguished_name = common_name(COMMON_NAME);
    params.subject_alt_names.push(uri(&format!("spiffe://{trust_domain}")));
    let key = Zeroizing::new(KeyPair::generate().map_err(|_| DevCaError::Crypto)?);
    let certificate = params.self_signed(&*key).map_err(|_| DevCaError::Crypto)?;
    Ok((certificate.pem(), Zeroizing::new(key.serialize_pem())))
}

fn checked_now(now: UnixTime) -> Result<u64, DevCaError> {
    let now_s = now.as_secs();
    if now_s > NOW_MAX_S { Err(DevCaError::Clock) } else { Ok(now_s) }
}

fn set_window(params: &mut CertificateParams, now_s: u64, until_s: u64) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(now_s.saturating_sub(BACKDATE_S));
    params.not_after = epoch + Duration::from_secs(until_s);
}

fn common_name(name: &str) -> DistinguishedName {
    let end = name.len().min(COMMON_NAME_LEN_MAX);
    let mut distinguished_name = DistinguishedName::new();
    distinguished_name.push(DnType::CommonName, &name[..end]);
    distinguished_name
}

fn host_name(name: &str) -> Result<SanType, DevCaError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    if !name.split('.').all(is_name) {
        return Err(DevCaError::Name);
    }
    Ok(SanType::DnsName(name.try_into().map_err(|_| DevCaError::Name)?))
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().expect("a SPIFFE ID is ASCII"))
}

/// Why the development authority refuses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevCaError {
    /// A file or the directory is missing, unsafe or cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The certificate or key of the authority cannot be read.
    #[error(
        "the development CA is malformed or incomplete; remove its directory to make a new one"
    )]
    Malformed,
    /// The authority or the ID belongs to another trust domain.
    #[error(
        "the development CA is not of {trust_domain}; give each trust domain its own directory"
    )]
    OtherTrustDomain {
        /// The trust domain that was asked for.
        trust_domain: TrustDomain,
    },
    /// The authority has expired.
    #[error("the development CA has expired; remove its directory to make a new one")]
    Expired,
    /// The name has characters that a path or a DNS name may not have.
    #[error("the name is not 1 to 64 of A-Z a-z 0-9 . - _; choose another")]
    Name,
    /// The path is no SPIFFE ID.
    #[error(transparent)]
    SpiffeId(#[from] SpiffeIdError),
    /// The name does not fit the role.
    #[error(transparent)]
    Principal(#[from] PrincipalError),
    /// The bundle beside the certificate does not vouch for what this authority issues.
    #[error(
        "the bundle in use does not vouch for this CA, so peers would refuse the certificate; \
         have whoever issued the one in use renew it, or put this CA into the bundle first"
    )]
    Stranger,
    /// The clock is past the year 3000.
    #[error("the clock is past the year 3000; set it")]
    Clock,
    /// Making a key or a signature failed.
    #[error("the cryptographic library made no key or signature; try again")]
    Crypto,
}
