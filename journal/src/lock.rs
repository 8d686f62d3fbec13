//! One writer per directory: an advisory lock on a file that says who holds it.
//!
//! Refuses to break a lock. Invariant: while a [`DirLock`] lives, no other one exists for the
//! same directory on this machine; the kernel drops it with the process, whatever its end.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::storage::StorageError;

/// Name of the lock file in a journal's directory.
pub(crate) const LOCK_FILE: &str = "lock";

const HOLDER_LEN_MAX: u64 = 256;

/// The held lock; released when dropped.
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the lock of `dir` or says who has it.
    ///
    /// # Errors
    /// [`StorageError::Locked`] when somebody else holds it, or what the system refused.
    pub fn take(dir: &Path) -> Result<Self, StorageError> {
        let path = dir.join(LOCK_FILE);
        let place = path.display().to_string();
        let io = |action, source| StorageError::io(action, &place, 0, source);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|e| io("opening", e))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(held(file, place)),
            Err(e) => return Err(io("locking", e.into())),
        }
        let who = format!("process {}\nboot {}\n", std::process::id(), boot_id());
        file.set_len(0).map_err(|e| io("writing", e))?;
        file.seek(SeekFrom::Start(0)).map_err(|e| io("writing", e))?;
        file.write_all(who.as_bytes()).map_err(|e| io("writing", e))?;
        Ok(Self { _file: file })
    }
}

fn held(file: File, place: String) -> StorageError {
    let mut text = String::new();
    let _unreadable_is_empty = file.take(HOLDER_LEN_MAX).read_to_string(&mut text);
    let holder = text.trim().replace('\n', ", ");
    let holder = if holder.is_empty() { "an unnamed process".to_owned() } else { holder };
    StorageError::Locked { place, holder }
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| "unknown".to_owned(), |id| id.trim().to_owned())
}
