//! The snapshots of a frame as files below its data directory, and what the log says of those
//! that cannot be used. Invariant: nothing is written or removed here.

use std::sync::Arc;

use pipeline::Refused;
use snapshot::{Catalogue, DirFiles};

use crate::config::Config;
use crate::pace::Pace;

/// The snapshots of `frame`.
pub(crate) fn catalogue(config: &Config, frame: u128) -> Catalogue {
    Catalogue::new(DirFiles::new(config.snapshot_dir()), frame)
}

/// As [`catalogue`], at the pace, if there is one, of whoever shall not be in the way of a running
/// frame.
pub(crate) fn paced(config: &Config, frame: u128, pace: Option<&Arc<Pace>>) -> Catalogue {
    let Some(pace) = pace.map(Arc::clone) else {
        return catalogue(config, frame);
    };
    let files = DirFiles::new(config.snapshot_dir()).pausing(Arc::new(move || pace.rest()));
    Catalogue::new(files, frame)
}

/// Tells the log what cannot be used.
pub(crate) fn warn(refused: &[Refused]) {
    for Refused { name, error } in refused {
        tracing::warn!(snapshot = name, %error, "a snapshot cannot be used");
    }
}
