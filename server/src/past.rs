//! The past of a frame for commands that ask about it: where a replay may begin, and how far the
//! journal may be read.
//!
//! It refuses to look behind what a running frame has made durable, and takes no lock. Invariant:
//! nothing is written, so that any of it works beside a running frame.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use engine::Options;
use journal::{MappedStorage, Reader};
use pipeline::Replayer;
use protocol::Sequence;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use snapshot::Catalogue;

use crate::config::Config;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::{images, recover};

/// Name of the file in the journal's directory that whoever writes has locked.
const LOCK_FILE: &str = "lock";

/// Journal and snapshots of one frame.
pub(crate) struct Past {
    storage: Arc<MappedStorage>,
    catalogue: Catalogue,
    until: u64,
}

/// Where a replay begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// With the genesis record.
    Genesis,
    /// With a snapshot.
    Snapshot {
        /// Its file's name.
        name: String,
        /// Last sequence in it.
        sequence: Sequence,
    },
}

impl Base {
    /// Last sequence executed there.
    pub(crate) const fn sequence(&self) -> Sequence {
        match self {
            Self::Genesis => Sequence(0),
            Self::Snapshot { sequence, .. } => *sequence,
        }
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Genesis => f.write_str("genesis"),
            Self::Snapshot { name, .. } => f.write_str(name),
        }
    }
}

/// A replay that stands at its base, and the records behind it.
pub(crate) struct Track {
    pub(crate) replayer: Replayer,
    pub(crate) reader: Reader,
    pub(crate) base: Base,
}

impl Past {
    /// The past of the frame of `config`, which may be running.
    pub(crate) fn open(config: &Config) -> Result<Self, Failure> {
        let dir = config.journal_dir();
        let storage = Arc::new(MappedStorage::new(&dir));
        let first = journal::first_record(&*storage).map_err(|error| recover::failure(&error))?;
        let until = if is_running(&dir)? {
            journal::durable_seen(Arc::clone(&storage) as _)
                .map_err(|error| recover::failure(&error))?
        } else {
            u64::MAX
        };
        let catalogue = images::catalogue(config, first.frame);
        Ok(Self { storage, catalogue, until })
    }

    /// A replay that begins at or before `sequence`: with the newest snapshot that can be used,
    /// else with the genesis record.
    pub(crate) fn track(&self, sequence: Sequence, options: Options) -> Result<Track, Failure> {
        let choice = pipeline::choose(&self.catalogue, options, |meta| meta.sequence <= sequence);
        let choice = choice.or_exit(Exit::Io, "the snapshots")?;
        images::warn(&choice.refused);
        let (replayer, base, from) = match choice.image {
            None => (Replayer::new(options), Base::Genesis, 1),
            Some(image) => {
                let boundary = image.boundary();
                let (name, meta) = (image.name, image.meta);
                let replayer = Replayer::resume(options, image.engine, boundary, meta.index);
                (replayer, Base::Snapshot { name, sequence: meta.sequence }, meta.index + 1)
            }
        };
        let storage = Arc::clone(&self.storage) as _;
        let reader = Reader::open_range(storage, from, self.until)
            .map_err(|error| recover::failure(&error))?;
        Ok(Track { replayer, reader, base })
    }

    /// The same, or where the past that is kept begins when that is later.
    pub(crate) fn track_or_oldest(
        &self,
        sequence: Sequence,
        options: Options,
    ) -> Result<Track, Failure> {
        let first = journal::first_record(&*self.storage);
        let first = first.map_err(|error| recover::failure(&error))?;
        if first.index == 1 {
            return self.track(sequence, options);
        }
        let entries = self.catalogue.list().or_exit(Exit::Io, "the snapshots")?;
        let usable = entries.into_iter().filter_map(|entry| entry.meta.ok());
        let oldest =
            usable.filter(|meta| meta.index + 1 >= first.index).map(|meta| meta.sequence).min();
        self.track(oldest.map_or(sequence, |oldest| oldest.max(sequence)), options)
    }
}

/// Whether a process holds the journal in `dir`.
fn is_running(dir: &Path) -> Result<bool, Failure> {
    let path = dir.join(LOCK_FILE);
    let Ok(file) = std::fs::File::open(&path) else {
        return Ok(false);
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(Failure::new(Exit::Io, format!("{}: {error}", path.display()))),
    }
}
