//! The snapshots of a frame as files below its data directory, and what the log says of those
//! that cannot be used. Invariant: nothing is written or removed here.

use pipeline::Refused;
use snapshot::{Catalogue, DirFiles};

use crate::config::Config;

/// The snapshots of `frame`.
pub(crate) fn catalogue(config: &Config, frame: u128) -> Catalogue {
    Catalogue::new(DirFiles::new(config.snapshot_dir()), frame)
}

/// Tells the log what cannot be used.
pub(crate) fn warn(refused: &[Refused]) {
    for Refused { name, error } in refused {
        tracing::warn!(snapshot = name, %error, "a snapshot cannot be used");
    }
}
