//! Files that hold keys and certificates.
//!
//! Refuses to read a secret that others can read, and a file beyond its bound.
//! Invariant: a secret is written with mode 0600 from its first byte on, and a
//! file that is replaced is whole at every moment.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::limits::SOURCE_FILE_SIZE_MAX;

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The operating system refuses.
    #[error("cannot use {}: {source}; check that it exists and who owns it", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Others than the owner may touch a secret.
    #[error("others can reach {}, mode {mode:04o}; set it to {wanted:04o}", path.display())]
    Mode {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The bits it should have.
        wanted: u32,
    },
    /// More bytes than [`SOURCE_FILE_SIZE_MAX`].
    #[error("{} is larger than 8 MiB; it is not what it should be, replace it", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

impl FileError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

/// Reads a file that anybody may read.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let file = File::open(path).map_err(|source| FileError::io(path, source))?;
    read_open(&file, path)
}

/// Reads a file that only its owner may read; the buffer wipes itself.
pub(crate) fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let file = File::open(path).map_err(|source| FileError::io(path, source))?;
    // The open file is asked, not the path, so that nobody can swap it in between.
    check_owner_only(&file, path, 0o600)?;
    Ok(Zeroizing::new(read_open(&file, path)?))
}

fn read_open(file: &File, path: &Path) -> Result<Vec<u8>, FileError> {
    let len = file.metadata().map_err(|source| FileError::io(path, source))?.len();
    if len > SOURCE_FILE_SIZE_MAX {
        return Err(FileError::TooLarge { path: path.to_owned() });
    }
    // The buffer has its final size at once; growing would leave copies behind.
    let capacity = usize::try_from(len).expect("the bound fits a usize") + 1;
    let mut bytes = Vec::with_capacity(capacity);
    file.take(SOURCE_FILE_SIZE_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| FileError::io(path, source))?;
    if u64::try_from(bytes.len()).expect("a length fits 64 bits") > SOURCE_FILE_SIZE_MAX {
        return Err(FileError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

/// Refuses a file or directory that group or others may touch.
pub(crate) fn check_owner_only(file: &File, path: &Path, wanted: u32) -> Result<(), FileError> {
    let metadata = file.metadata().map_err(|source| FileError::io(path, source))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(FileError::Mode { path: path.to_owned(), mode, wanted });
        }
    }
    #[cfg(not(unix))]
    let _ = (metadata, wanted);
    Ok(())
}

/// Creates a directory of mode 0700; an existing one is left as it is.
pub(crate) fn create_private_dir(path: &Path) -> Result<(), FileError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|source| FileError::io(path, source))
}

/// Puts a whole new file in the place of `name`, by rename.
pub(crate) fn replace(dir: &Path, name: &str, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let temporary = dir.join(format!(".{name}.{}", std::process::id()));
    // A leftover of a crash may have another mode, so the file is always new.
    match std::fs::remove_file(&temporary) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(FileError::io(&temporary, source));
        }
        _ => {}
    }
    write_new(&temporary, bytes, mode)?;
    let target = dir.join(name);
    std::fs::rename(&temporary, &target).map_err(|source| FileError::io(&target, source))
}

/// Writes and syncs a file that does not exist yet.
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path).map_err(|source| FileError::io(path, source))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(|source| FileError::io(path, source))
}
