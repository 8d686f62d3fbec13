//! Trust domains and SPIFFE IDs, parsed strictly.
//!
//! Refuses to normalise: an ID that is not already in its one canonical form is
//! an error, because two spellings of one name would be two keys of one account.
//! Invariant: a `SpiffeId` is ASCII, at most 2048 bytes, lower case in its trust
//! domain, and has a path without empty, `.` or `..` segments.

use std::fmt;
use std::str::FromStr;

use crate::limits::{SPIFFE_ID_LEN_MAX, TRUST_DOMAIN_LEN_MAX};

const SCHEME: &str = "spiffe://";

/// The name of a trust domain, such as `frame-a.example`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TrustDomain(Box<str>);

impl TrustDomain {
    /// Parses a bare trust domain name, without scheme or path.
    ///
    /// # Errors
    /// Names the first rule of the SPIFFE ID specification that the text breaks.
    pub fn parse(text: &str) -> Result<Self, SpiffeIdError> {
        check_trust_domain(text)?;
        Ok(Self(text.into()))
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TrustDomain {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, SpiffeIdError> {
        Self::parse(text)
    }
}

/// The SPIFFE ID of a workload: a trust domain and a path.
///
/// ```
/// use identity::SpiffeId;
/// let id: SpiffeId = "spiffe://frame-a.example/registry/north".parse()?;
/// assert_eq!(id.path(), "/registry/north");
/// assert!("spiffe://frame-a.example/registry/../mint/m".parse::<SpiffeId>().is_err());
/// # Ok::<(), identity::SpiffeIdError>(())
/// ```
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SpiffeId {
    text: Box<str>,
    trust_domain: TrustDomain,
}

impl SpiffeId {
    /// Parses a SPIFFE ID that names a workload.
    ///
    /// # Errors
    /// Names the first rule of the SPIFFE ID specification that the text breaks.
    pub fn parse(text: &str) -> Result<Self, SpiffeIdError> {
        if text.len() > SPIFFE_ID_LEN_MAX {
            return Err(SpiffeIdError::TooLong { len: text.len() });
        }
        if !text.is_ascii() {
            return Err(SpiffeIdError::NotAscii);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(SpiffeIdError::Scheme)?;
        refuse_uri_parts(rest)?;
        let (domain, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let trust_domain = TrustDomain::parse(domain)?;
        check_path(path)?;
        Ok(Self { text: text.into(), trust_domain })
    }

    /// Builds an ID from its two parts.
    ///
    /// # Errors
    /// As [`SpiffeId::parse`].
    pub fn from_parts(trust_domain: &TrustDomain, path: &str) -> Result<Self, SpiffeIdError> {
        Self::parse(&format!("{SCHEME}{trust_domain}{path}"))
    }

    /// Returns the whole ID as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the trust domain.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Returns the path with its leading slash.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.text[SCHEME.len() + self.trust_domain.as_str().len()..]
    }

    /// Returns the segments of the path, at least one.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.path()[1..].split('/')
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SpiffeId").field(&self.text).finish()
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, SpiffeIdError> {
        Self::parse(text)
    }
}

fn refuse_uri_parts(rest: &str) -> Result<(), SpiffeIdError> {
    for byte in rest.bytes() {
        match byte {
            b'%' => return Err(SpiffeIdError::PercentEncoding),
            b'?' => return Err(SpiffeIdError::Query),
            b'#' => return Err(SpiffeIdError::Fragment),
            _ => {}
        }
    }
    Ok(())
}

fn check_trust_domain(text: &str) -> Result<(), SpiffeIdError> {
    if text.is_empty() {
        return Err(SpiffeIdError::TrustDomainMissing);
    }
    if text.len() > TRUST_DOMAIN_LEN_MAX {
        return Err(SpiffeIdError::TrustDomainTooLong { len: text.len() });
    }
    if text.contains('@') {
        return Err(SpiffeIdError::UserInfo);
    }
    if text.contains(':') {
        return Err(SpiffeIdError::Port);
    }
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_' => {}
            b'A'..=b'Z' => return Err(SpiffeIdError::TrustDomainUppercase),
            _ => return Err(SpiffeIdError::TrustDomainCharacter { byte }),
        }
    }
    Ok(())
}

fn check_path(path: &str) -> Result<(), SpiffeIdError> {
    let Some(inner) = path.strip_prefix('/') else {
        return Err(SpiffeIdError::PathMissing);
    };
    if inner.is_empty() || inner.ends_with('/') {
        return Err(SpiffeIdError::TrailingSlash);
    }
    for segment in inner.split('/') {
        match segment {
            "" => return Err(SpiffeIdError::EmptySegment),
            "." | ".." => return Err(SpiffeIdError::DotSegment),
            _ => {}
        }
        if let Some(byte) = segment.bytes().find(|byte| !is_name_byte(*byte)) {
            return Err(SpiffeIdError::PathCharacter { byte });
        }
    }
    Ok(())
}

/// The characters of a path segment and of a role name: `[A-Za-z0-9._-]`.
pub(crate) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

/// The rule of the SPIFFE ID specification that a text breaks.
///
/// The messages name bytes by number and never repeat the text, which comes
/// from a stranger and ends in logs.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SpiffeIdError {
    /// More than 2048 bytes.
    #[error("the SPIFFE ID has {len} bytes; shorten it to at most 2048")]
    TooLong {
        /// Bytes found.
        len: usize,
    },
    /// A byte above 127.
    #[error("the SPIFFE ID is not ASCII; use only ASCII letters, digits and . - _")]
    NotAscii,
    /// Another scheme, or `spiffe` not in lower case.
    #[error("the SPIFFE ID does not begin with spiffe://; give the full ID")]
    Scheme,
    /// Nothing between `spiffe://` and the path.
    #[error("the trust domain of the SPIFFE ID is empty; name one")]
    TrustDomainMissing,
    /// More than 255 bytes of trust domain.
    #[error("the trust domain has {len} bytes; shorten it to at most 255")]
    TrustDomainTooLong {
        /// Bytes found.
        len: usize,
    },
    /// An upper-case letter in the trust domain.
    #[error("the trust domain has upper-case letters; write it in lower case")]
    TrustDomainUppercase,
    /// Another character that a trust domain may not hold.
    #[error("the trust domain holds byte {byte:#04x}; only a-z 0-9 . - _ are allowed")]
    TrustDomainCharacter {
        /// The offending byte.
        byte: u8,
    },
    /// `user@` before the trust domain.
    #[error("the SPIFFE ID has a user part; remove it")]
    UserInfo,
    /// `:port` after the trust domain.
    #[error("the SPIFFE ID has a port; remove it")]
    Port,
    /// A `?`.
    #[error("the SPIFFE ID has a query; remove it")]
    Query,
    /// A `#`.
    #[error("the SPIFFE ID has a fragment; remove it")]
    Fragment,
    /// A `%`.
    #[error("the SPIFFE ID has percent-encoding; a path is plain text")]
    PercentEncoding,
    /// No path, so the ID names a trust domain and not a workload.
    #[error("the SPIFFE ID has no path; it names a trust domain, not a workload")]
    PathMissing,
    /// The path ends with a slash.
    #[error("the path of the SPIFFE ID ends with a slash; remove it")]
    TrailingSlash,
    /// Two slashes in a row.
    #[error("the path of the SPIFFE ID has an empty segment; remove the double slash")]
    EmptySegment,
    /// A segment `.` or `..`.
    #[error("the path of the SPIFFE ID has a segment . or ..; write the path in full")]
    DotSegment,
    /// Another character that a path may not hold.
    #[error("the path of the SPIFFE ID holds byte {byte:#04x}; only A-Z a-z 0-9 . - _ are allowed")]
    PathCharacter {
        /// The offending byte.
        byte: u8,
    },
}

impl SpiffeIdError {
    /// Returns the stable name of the cause, for audit records.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooLong { .. } => "spiffe-id-too-long",
            Self::NotAscii => "spiffe-id-not-ascii",
            Self::Scheme => "spiffe-id-scheme",
            Self::TrustDomainMissing => "spiffe-id-no-trust-domain",
            Self::TrustDomainTooLong { .. } => "spiffe-id-trust-domain-too-long",
            Self::TrustDomainUppercase => "spiffe-id-trust-domain-uppercase",
            Self::TrustDomainCharacter { .. } => "spiffe-id-trust-domain-character",
            Self::UserInfo => "spiffe-id-user-info",
            Self::Port => "spiffe-id-port",
            Self::Query => "spiffe-id-query",
            Self::Fragment => "spiffe-id-fragment",
            Self::PercentEncoding => "spiffe-id-percent-encoding",
            Self::PathMissing => "spiffe-id-no-path",
            Self::TrailingSlash => "spiffe-id-trailing-slash",
            Self::EmptySegment => "spiffe-id-empty-segment",
            Self::DotSegment => "spiffe-id-dot-segment",
            Self::PathCharacter { .. } => "spiffe-id-path-character",
        }
    }
}
