//! Every bound of the crate, with its reason.
//!
//! Refuses to be spread out: a number that limits what a peer or a file may
//! cost stands here and nowhere else.
//! Invariant: a bound is checked before the thing it bounds is parsed.

/// Longest SPIFFE ID in bytes, from the SPIFFE ID specification.
pub const SPIFFE_ID_LEN_MAX: usize = 2048;
/// Longest trust domain name in bytes, from the SPIFFE ID specification.
pub const TRUST_DOMAIN_LEN_MAX: usize = 255;
/// Longest `<name>` of a role path in bytes; names go into logs and file names.
pub const NAME_LEN_MAX: usize = 64;
/// Most certificates a peer may present: a leaf and three intermediates.
pub const CHAIN_LEN_MAX: usize = 4;
/// Largest certificate in bytes; SVIDs are below 2 KiB.
pub const CERTIFICATE_SIZE_MAX: usize = 16 * 1024;
/// Smallest RSA modulus in bits.
pub const RSA_BITS_MIN: usize = 2048;
/// Most patterns in one `RolePatterns`.
pub const PATTERNS_MAX: usize = 64;
/// Most authorities in one trust bundle; a rotation needs two.
pub const AUTHORITIES_MAX: usize = 32;
/// Most trust domains in a bundle set.
pub const TRUST_DOMAINS_MAX: usize = 256;
/// Most entries of a deny list.
pub const DENIED_MAX: usize = 65_536;
/// Largest file a source reads, in bytes.
pub const SOURCE_FILE_SIZE_MAX: u64 = 8 * 1024 * 1024;
