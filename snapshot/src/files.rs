//! The directory that snapshots lie in, behind a seam: real files here, faults in tests.
//!
//! Refuses to overwrite a file with content. Invariant: what is read comes from the medium, not
//! from pages of this boot that may never have reached it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use rustix::fs::{Advice, fadvise};

/// A directory of files.
pub trait Files: Send + Sync {
    /// Names of the files; empty if the directory is not there yet.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// A new file that only its owner may read; the directory is made if need be.
    ///
    /// # Errors
    /// What the system says, also if it exists.
    fn create(&self, name: &str) -> io::Result<Box<dyn FileWrite>>;

    /// A file to read, nothing of it cached.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self, name: &str) -> io::Result<Box<dyn FileRead>>;

    /// Gives a file another name, replacing a file of that name.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes names durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync(&self) -> io::Result<()>;

    /// Where a file is, for messages.
    fn place(&self, name: &str) -> String;
}

/// A file being written.
pub trait FileWrite: Send {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// What the system says.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was written durable.
    ///
    /// # Errors
    /// What the system says; it is not tried again.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file being read.
pub trait FileRead: Send {
    /// Its bytes.
    fn bytes(&self) -> u64;

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// What the system says, also if the file is shorter.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// Files of a directory.
#[derive(Clone, Debug)]
pub struct DirFiles {
    dir: PathBuf,
}

impl DirFiles {
    /// Those in `dir`, which need not exist.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Makes the directory, its owner's alone, if it is not there, and its name durable: without it
    /// no file in it is.
    ///
    /// # Errors
    /// What the system says.
    pub fn make(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        match self.dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            _ => File::open(".")?.sync_all(),
        }
    }
}

impl Files for DirFiles {
    fn list(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is not UTF-8 is none of ours.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn FileWrite>> {
        self.make()?;
        let path = self.dir.join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Box::new(Real(file, 0)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn FileRead>> {
        let file = File::open(self.dir.join(name))?;
        let bytes = file.metadata()?.len();
        // Clean pages are dropped, so that reads go to the medium; dirty ones cannot be there
        // after a sync, and a system without this advice is no reason to refuse.
        let _unsupported_is_fine = fadvise(&file, 0, None, Advice::DontNeed);
        Ok(Box::new(Real(file, bytes)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn place(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }
}

/// A file and its length when it was opened.
struct Real(File, u64);

impl FileWrite for Real {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }
}

impl FileRead for Real {
    fn bytes(&self) -> u64 {
        self.1
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}
