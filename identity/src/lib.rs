//! SPIFFE identities: who is at the other end of a connection, and in what role.
//!
//! The crate judges X.509-SVIDs, gives them a role and a principal, keeps the
//! own SVID and the trust bundles fresh, and builds rustls configurations that
//! do all this in the handshake. It does not authorise requests, does not open
//! sockets, does not poll by itself, and takes an identity from no header.
//!
//! ```text
//!  directory ──► FileSource ──► Material ──┬─► server_config / client_config
//!  DevCa ──────────┘                       │        (each handshake)
//!                                          └─► peer(chain) ──► Peer ──► still_valid
//!  RolePatterns ───────────────────────────────────┘
//! ```
//!
//! ```
//! use identity::{DevCa, HeldSource, Role, RolePatterns, TrustDomain, UnixTime};
//! use std::{sync::Arc, time::Duration};
//! let (now, ttl) = (UnixTime::now(), Duration::from_secs(3600));
//! let ca = DevCa::in_memory(&TrustDomain::parse("frame-a.example")?, now)?;
//! let source = Arc::new(HeldSource::new(ca.issue(Role::Peer, "engine", ttl, now)?.material()?));
//! let config = identity::server_config(&source, RolePatterns::default(), &[b"bezant/1"]);
//! assert_eq!(config.send_tls13_tickets, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Invariants
//! - A certificate is judged only by the bundle of the trust domain it names.
//! - The rules are pure: time is an argument, and no rule reads a file.
//! - No key has a `Debug` form, and no error holds bytes of a key.
//!
//! Start at [`peer()`] for the order of the rules, at [`FileSource`] for the
//! files, at [`RolePatterns`] for the paths.

#![forbid(unsafe_code)]

mod bundle;
mod dev_ca;
mod facts;
mod files;
pub mod limits;
mod material;
mod peer;
mod principal;
mod role;
mod source;
mod spiffe_id;
mod svid;
mod tls;

pub use bundle::{AuthorityProblem, BundleError, BundleSet, DenyError, DenyList, TrustBundle};
pub use dev_ca::{CA_FILE, CA_KEY_FILE, DevCa, DevCaError, IssuedSvid};
pub use files::FileError;
pub use material::{HeldSource, Material, MaterialError, Source};
pub use peer::{Peer, PeerError, peer, still_valid};
pub use principal::{Principal, PrincipalError, UuidText, parse_uuid};
pub use role::{PatternError, Role, RoleError, RolePatterns};
pub use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
pub use rustls_pki_types::{CertificateDer, UnixTime};
pub use source::{
    BUNDLE_FILE, DENY_FILE, FEDERATED_DIR, FileSource, KEY_FILE, SVID_FILE, SourceError,
};
pub use spiffe_id::{SpiffeId, SpiffeIdError, TrustDomain};
pub use svid::{Purpose, Svid, SvidError, validate};
pub use tls::{
    Expected, client_config, client_config_at, refusal, server_config, server_config_at,
};
