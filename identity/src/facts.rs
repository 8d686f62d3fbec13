//! What one certificate says, read once and without judging it.
//!
//! Refuses bytes that are not exactly one X.509 v3 certificate.
//! Invariant: every URI name of the certificate is in `uris`, readable or not,
//! so that counting them cannot be cheated with a malformed one.

use std::net::IpAddr;

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

use crate::limits::RSA_BITS_MIN;

const URI_TAG: u32 = 6;
const OID_EC: &str = "1.2.840.10045.2.1";
const OID_P256: &str = "1.2.840.10045.3.1.7";
const OID_P384: &str = "1.3.132.0.34";
const OID_ED25519: &str = "1.3.101.112";

/// The content of a certificate as far as the SVID rules ask for it.
pub(crate) struct Facts {
    /// URI names in order; `None` for one that is not text.
    pub(crate) uris: Vec<Option<String>>,
    /// DNS names and IP addresses in order; those that are not readable are left out.
    pub(crate) host_names: Vec<String>,
    pub(crate) is_ca: bool,
    pub(crate) key_usage: Option<KeyUsage>,
    pub(crate) not_before_s: u64,
    pub(crate) not_after_s: u64,
    pub(crate) key_is_strong: bool,
}

/// The key usage extension.
#[derive(Clone, Copy)]
pub(crate) struct KeyUsage {
    pub(crate) critical: bool,
    pub(crate) digital_signature: bool,
    pub(crate) key_cert_sign: bool,
    pub(crate) crl_sign: bool,
}

impl Facts {
    /// Reads a certificate; `None` if it is malformed or repeats an extension.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let (rest, cert) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let mut uris = Vec::new();
        let mut host_names = Vec::new();
        if let Some(names) = cert.subject_alternative_name().ok()? {
            for name in &names.value.general_names {
                match name {
                    GeneralName::URI(text) => uris.push(Some((*text).to_owned())),
                    GeneralName::DNSName(name) => host_names.push((*name).to_owned()),
                    GeneralName::IPAddress(bytes) => {
                        host_names.extend(address(bytes).map(|address| address.to_string()));
                    }
                    GeneralName::Invalid(tag, _) if tag.0 == URI_TAG => uris.push(None),
                    _ => {}
                }
            }
        }
        let key_usage = cert.key_usage().ok()?.map(|usage| KeyUsage {
            critical: usage.critical,
            digital_signature: usage.value.digital_signature(),
            key_cert_sign: usage.value.key_cert_sign(),
            crl_sign: usage.value.crl_sign(),
        });
        let is_ca = cert.basic_constraints().ok()?.is_some_and(|basic| basic.value.ca);
        let validity = cert.validity();
        Some(Self {
            uris,
            host_names,
            is_ca,
            key_usage,
            not_before_s: seconds(validity.not_before.timestamp()),
            not_after_s: seconds(validity.not_after.timestamp()),
            key_is_strong: key_is_strong(&cert),
        })
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let short = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    short.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// Dates before 1970 count as 1970.
fn seconds(timestamp_s: i64) -> u64 {
    u64::try_from(timestamp_s).unwrap_or(0)
}

/// Admits the keys that the signature checks know and that are long enough:
/// RSA from 2048 bits, P-256, P-384, Ed25519.
fn key_is_strong(cert: &X509Certificate<'_>) -> bool {
    let info = cert.public_key();
    match info.parsed() {
        Ok(PublicKey::RSA(rsa)) => modulus_bits(rsa.modulus) >= RSA_BITS_MIN,
        Ok(_) => match info.algorithm.algorithm.to_id_string().as_str() {
            OID_ED25519 => true,
            OID_EC => {
                let parameters = info.algorithm.parameters.as_ref();
                let curve = parameters.and_then(|any| any.as_oid().ok());
                curve.is_some_and(|oid| matches!(oid.to_id_string().as_str(), OID_P256 | OID_P384))
            }
            _ => false,
        },
        Err(_) => false,
    }
}

fn modulus_bits(modulus: &[u8]) -> usize {
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    match modulus[zeros..] {
        [first, ref rest @ ..] => {
            let first_bits = u8::BITS - first.leading_zeros();
            rest.len() * 8 + usize::try_from(first_bits).expect("at most eight")
        }
        [] => 0,
    }
}
