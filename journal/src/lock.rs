//! One writer per directory: an advisory lock on a file that says who holds it.
//!
//! Refuses to break a lock. Invariant: while a [`DirLock`] lives, no other one exists for the
//! same directory on this machine; the kernel drops it with the process, whatever its end.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::storage::StorageError;

/// Name of the lock file in a journal's directory.
pub(crate) const LOCK_FILE: &str = "lock";

const HOLDER_LEN_MAX: u64 = 256;
/// Tries before a lock counts as held: whoever only looks has it for a moment.
const TRIES_MAX: u32 = 20;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(10);

/// The held lock; released when dropped.
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the lock of `dir` or says who has it. One that was only looked at, by
    /// [`Self::is_held`], is free again within the tries made here.
    ///
    /// # Errors
    /// [`StorageError::Locked`] when somebody else holds it, or what the system refused.
    pub fn take(dir: &Path) -> Result<Self, StorageError> {
        Self::take_trying(dir, &mut || sleep(PAUSE))
    }

    /// Whether somebody holds the lock of `dir`; nothing is written.
    ///
    /// # Errors
    /// What the system refused.
    pub fn is_held(dir: &Path) -> Result<bool, StorageError> {
        let path = dir.join(LOCK_FILE);
        let io = |action, source| StorageError::io(action, &path.display().to_string(), 0, source);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(io("opening", error)),
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(io("looking at the lock", error.into())),
        }
    }

    fn take_trying(dir: &Path, pause: &mut dyn FnMut()) -> Result<Self, StorageError> {
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
        let mut tries = 1;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) if tries < TRIES_MAX => pause(),
                Err(Errno::WOULDBLOCK) => return Err(held(file, place)),
                Err(e) => return Err(io("locking", e.into())),
            }
            tries += 1;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_only_looks_keeps_nobody_out() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!DirLock::is_held(dir.path()).unwrap(), "there is no lock yet");
        drop(DirLock::take(dir.path()).unwrap());
        assert!(!DirLock::is_held(dir.path()).unwrap());
        // Somebody looks just now.
        let file = File::open(dir.path().join(LOCK_FILE)).unwrap();
        flock(&file, FlockOperation::NonBlockingLockShared).unwrap();
        let mut looking = Some(file);
        let taken = DirLock::take_trying(dir.path(), &mut || drop(looking.take())).unwrap();
        assert!(DirLock::is_held(dir.path()).unwrap());
        let mut pauses = 0;
        let refused = DirLock::take_trying(dir.path(), &mut || pauses += 1);
        assert!(matches!(refused, Err(StorageError::Locked { .. })));
        assert_eq!(pauses, TRIES_MAX - 1);
        drop(taken);
        assert!(!DirLock::is_held(dir.path()).unwrap());
    }
}
