//! A build that exports no traces. Invariant: no setting that wants them gets as far as here.

use std::io;

use tracing_subscriber::{Layer, Registry};

use super::{Collector, Unusable};

/// There is no client's trace to follow.
pub(crate) const FOLLOW: Option<gateway::FollowTrace> = None;

/// There is none.
pub(crate) enum Export {}

/// Refuses.
///
/// # Errors
///
/// Always.
pub(crate) fn start(
    _collector: &Collector,
) -> io::Result<(Box<dyn Layer<Registry> + Send + Sync>, Export)> {
    Err(io::Error::new(io::ErrorKind::Unsupported, Unusable::NotBuiltIn))
}
