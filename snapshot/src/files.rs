//! The directory that snapshots lie in, behind a seam: real files here, faults in tests.
//!
//! Refuses to overwrite a file with content. Invariant: what is read comes from the medium, not
//! from pages of this boot that may never have reached it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;

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

    /// Whether it pauses on purpose; then nobody reads ahead of whoever asks.
    fn is_pausing(&self) -> bool {
        false
    }
}

/// What is called behind each read, write and sync.
pub type Pause = Arc<dyn Fn() + Send + Sync>;

/// Files of a directory.
#[derive(Clone)]
pub struct DirFiles {
    dir: PathBuf,
    pause: Option<Pause>,
}

impl DirFiles {
    /// Those in `dir`, which need not exist.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), pause: None }
    }

    /// From now on `pause` is called after each read, write and sync: for whoever shall leave
    /// others their share of disk and processor.
    #[must_use]
    pub fn pausing(self, pause: Pause) -> Self {
        Self { pause: Some(pause), ..self }
    }

    fn real(&self, file: File, bytes: u64) -> Real {
        Real { file, bytes, pause: self.pause.clone() }
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
        Ok(Box::new(self.real(file, 0)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn FileRead>> {
        let file = File::open(self.dir.join(name))?;
        let bytes = file.metadata()?.len();
        // Clean pages are dropped, so that reads go to the medium; dirty ones cannot be there
        // after a sync, and a system without this advice is no reason to refuse.
        let _unsupported_is_fine = fadvise(&file, 0, None, Advice::DontNeed);
        Ok(Box::new(self.real(file, bytes)))
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

struct Real {
    file: File,
    /// Its length when it was opened.
    bytes: u64,
    pause: Option<Pause>,
}

impl Real {
    fn pause(&self) {
        if let Some(pause) = &self.pause {
            pause();
        }
    }
}

impl FileWrite for Real {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)?;
        self.pause();
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        self.pause();
        Ok(())
    }
}

impl FileRead for Real {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)?;
        self.pause();
        Ok(())
    }

    fn is_pausing(&self) -> bool {
        self.pause.is_some()
    }
}
