//! Filling a segment with direct writes: no page cache, each write durable on return.
//!
//! Refuses a short write, and a file system that cannot. Invariant: a segment open here is written
//! in whole blocks from aligned memory, and nowhere through the page cache.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::OFlags;
use rustix::io::{Errno, pwrite, pwritev};
use zerocopy::IntoBytes;

use crate::files::Backend;
use crate::format::BLOCK;
use crate::staging::{Block, Sink, StagedSync, StagedWriter, Staging, Target};
use crate::storage::{Live, StorageError};

/// Opens a segment for its one writer.
pub(crate) fn open(
    path: &Path,
    (number, name, len): (u64, String, u64),
    staging: &Arc<Staging>,
) -> io::Result<Live> {
    let file = options(OFlags::DIRECT | OFlags::DSYNC).open(path)?;
    let target = Arc::new(Target { number, name, len, sink: Box::new(file) });
    let staging = Arc::clone(staging);
    let writer = Box::new(StagedWriter::new(Arc::clone(&staging), Arc::clone(&target)));
    Ok(Live { writer, sync: Arc::new(StagedSync { staging, target }), len })
}

impl Sink for File {
    fn write(&self, offset: u64, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(pwritev(self, slices, offset)?)
    }
}

/// The file past the page cache, for block-aligned ranges only; a sync makes them durable.
pub(crate) fn open_past_cache(path: &Path) -> io::Result<File> {
    options(OFlags::DIRECT).open(path)
}

/// Tries one direct write to a new file at `path`, which is gone afterwards. Returns why a file
/// there cannot be written directly, if it cannot.
///
/// # Errors
/// When the disk refuses for another reason.
pub fn refusal(path: &Path) -> io::Result<Option<io::Error>> {
    let flags = OFlags::DIRECT | OFlags::DSYNC;
    let tried = options(flags).create(true).truncate(true).open(path).and_then(|file| {
        let written = pwrite(&file, Block::ZERO.as_bytes(), BLOCK)?;
        let cut = || io::Error::other(format!("only {written} of {BLOCK} bytes were written"));
        if written as u64 == BLOCK { Ok(()) } else { Err(cut()) }
    });
    let removed = fs::remove_file(path);
    match tried {
        Ok(()) => removed.map(|()| None),
        Err(e) if is_refusal(&e) => Ok(Some(e)),
        // A full disk says nothing about the way of writing.
        Err(e) if matches!(Errno::from_io_error(&e), Some(Errno::NOSPC | Errno::DQUOT)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether a direct write went well, said to whoever wanted one, given why it did not.
///
/// # Errors
/// When nothing else will do.
pub(crate) fn judge(
    backend: Backend,
    place: String,
    refusal: Option<io::Error>,
) -> Result<bool, StorageError> {
    match (backend, refusal) {
        (_, None) => Ok(true),
        (Backend::Mapped, Some(_)) => Ok(false),
        (Backend::Direct, Some(source)) => Err(StorageError::NoDirect { place, source }),
        (Backend::Auto, Some(error)) => {
            tracing::warn!(%place, %error,
                "the file system refuses direct writes: the journal is written through a memory \
                 map, which takes more processor time");
            Ok(false)
        }
    }
}

fn options(flags: OFlags) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600).custom_flags(flags.bits() as i32);
    options
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_order_is_refused_where_direct_writes_cannot_be_had() {
        let refusal = || Some(io::Error::from(Errno::INVAL));
        let place = || "here".to_owned();
        for backend in [Backend::Auto, Backend::Direct, Backend::Mapped] {
            assert!(judge(backend, place(), None).unwrap());
        }
        assert!(!judge(Backend::Auto, place(), refusal()).unwrap());
        assert!(!judge(Backend::Mapped, place(), refusal()).unwrap());
        let error = judge(Backend::Direct, place(), refusal()).unwrap_err().to_string();
        assert!(error.contains("here") && error.contains("journal.backend"), "{error}");
    }

    #[test]
    fn the_trial_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trial");
        // Whatever it says of this file system.
        refusal(&path).unwrap();
        assert!(!path.exists());
        assert!(refusal(&dir.path().join("nowhere/trial")).is_err());
    }
}
