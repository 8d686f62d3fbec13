//! Authorities and certificates made to order, good or bad.
//!
//! Refuses nothing: what it makes is meant to be refused by the crate.
//! Invariant: without an edit, a leaf passes every rule at `NOW`.

use std::sync::Arc;
use std::time::Duration;

use identity::{
    BundleSet, CertificateDer, DenyList, HeldSource, Material, TimeProvider, TrustBundle,
    TrustDomain, UnixTime,
};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};

/// January 2027, inside the validity of the fixtures.
pub(crate) const NOW_S: u64 = 1_800_000_000;
pub(crate) const HOME: &str = "frame-a.example";
pub(crate) const AGENT: &str = "/agent/0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";
pub(crate) const OTHER_AGENT: &str = "/agent/0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a50";

pub(crate) fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

pub(crate) fn now() -> UnixTime {
    at(NOW_S)
}

pub(crate) fn domain(name: &str) -> TrustDomain {
    TrustDomain::parse(name).unwrap()
}

pub(crate) fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

pub(crate) fn window(params: &mut CertificateParams, from_s: u64, to_s: u64) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(from_s);
    params.not_after = epoch + Duration::from_secs(to_s);
}

fn named(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    window(&mut params, NOW_S - 3600, NOW_S + 3600);
    params
}

/// Parameters of a leaf that passes every rule.
pub(crate) fn good_leaf(id: &str) -> CertificateParams {
    let mut params = named("leaf");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    params.subject_alt_names = vec![uri(id)];
    params
}

/// An authority of one trust domain.
pub(crate) struct Authority {
    pub(crate) trust_domain: TrustDomain,
    pub(crate) der: CertificateDer<'static>,
    pub(crate) pem: String,
    pub(crate) issuer: Issuer<'static, KeyPair>,
}

/// A leaf with its key.
pub(crate) struct Leaf {
    pub(crate) der: CertificateDer<'static>,
    pub(crate) pem: String,
    pub(crate) key_pem: String,
}

impl Authority {
    pub(crate) fn new(trust_domain: &str) -> Self {
        Self::edited(trust_domain, |_| {})
    }

    pub(crate) fn edited(trust_domain: &str, edit: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = named("authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        edit(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        Self {
            trust_domain: domain(trust_domain),
            der: cert.der().clone(),
            pem: cert.pem(),
            issuer,
        }
    }

    /// An intermediate under this authority.
    pub(crate) fn intermediate(&self, edit: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = named("intermediate");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        edit(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Self {
            trust_domain: self.trust_domain.clone(),
            der: cert.der().clone(),
            pem: cert.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A leaf on a path of the own trust domain.
    pub(crate) fn leaf(&self, path: &str, edit: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let mut params = good_leaf(&format!("spiffe://{}{path}", self.trust_domain));
        edit(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Leaf { der: cert.der().clone(), pem: cert.pem(), key_pem: key.serialize_pem() }
    }

    /// A leaf for a key that nobody holds here.
    pub(crate) fn leaf_for(&self, path: &str, key: &impl PublicKeyData) -> CertificateDer<'static> {
        let params = good_leaf(&format!("spiffe://{}{path}", self.trust_domain));
        params.signed_by(key, &self.issuer).unwrap().der().clone()
    }

    pub(crate) fn bundle(&self) -> TrustBundle {
        TrustBundle::from_der(self.trust_domain.clone(), std::slice::from_ref(&self.der)).unwrap()
    }

    /// Material of a workload under this authority.
    pub(crate) fn material(&self, path: &str) -> Material {
        let own = self.leaf(path, |_| {});
        let (svid, key) = (own.pem.as_bytes(), own.key_pem.as_bytes());
        Material::from_pem(svid, key, self.pem.as_bytes()).unwrap()
    }

    pub(crate) fn source(&self, path: &str) -> Arc<HeldSource> {
        Arc::new(HeldSource::new(self.material(path)))
    }
}

pub(crate) fn bundles(authorities: &[&Authority]) -> BundleSet {
    let mut set = BundleSet::new();
    for authority in authorities {
        set.insert(authority.bundle()).unwrap();
    }
    set
}

pub(crate) fn denying(text: &str) -> DenyList {
    DenyList::parse(text).unwrap()
}

/// A name extension whose one URI has these bytes, whatever they are.
pub(crate) fn raw_uri(bytes: &[u8]) -> CustomExtension {
    let uri = tlv(0x86, bytes);
    CustomExtension::from_oid_content(&[2, 5, 29, 17], tlv(0x30, &uri))
}

/// A key usage extension with the bits of one byte, critical or not.
pub(crate) fn raw_key_usage(bits: u8, critical: bool) -> CustomExtension {
    let content = vec![0x03, 0x02, 0x00, bits];
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 15], content);
    extension.set_criticality(critical);
    extension
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).unwrap();
    let mut der = vec![tag];
    if let Ok(short @ 0..=127) = u8::try_from(len) {
        der.push(short);
    } else {
        der.push(0x82);
        der.extend(len.to_be_bytes());
    }
    der.extend(content);
    der
}

/// A clock that stands still.
#[derive(Debug)]
pub(crate) struct Fixed(pub(crate) u64);

impl TimeProvider for Fixed {
    fn current_time(&self) -> Option<UnixTime> {
        Some(at(self.0))
    }
}
