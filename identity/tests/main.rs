//! Properties of the identity crate, one module a property.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

#[path = "suite/support.rs"]
mod support;

#[path = "suite/dev_ca_issues.rs"]
mod dev_ca_issues;
#[path = "suite/handshake.rs"]
mod handshake;
#[path = "suite/live_peers.rs"]
mod live_peers;
#[path = "suite/parsers_never_panic.rs"]
mod parsers_never_panic;
#[path = "suite/principals.rs"]
mod principals;
#[path = "suite/refused_chains.rs"]
mod refused_chains;
#[path = "suite/roles.rs"]
mod roles;
#[path = "suite/source_reload.rs"]
mod source_reload;
#[path = "suite/spiffe_ids.rs"]
mod spiffe_ids;
