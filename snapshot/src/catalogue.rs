//! The snapshots of a frame: taken, listed, opened, pruned.
//!
//! Refuses to count a file that it has not verified. Invariant: pruning removes only what is older
//! than enough verified ones.

use crate::KEPT_MIN;
use crate::error::{Doing as _, SnapshotError};
use crate::files::Files;
use crate::format::{Meta, name_of, place_of};
use crate::read::{self, Reader, Verified};
use crate::write::{self, TEMPORARY};

/// See the module.
pub struct Catalogue {
    files: Box<dyn Files>,
    frame: u128,
}

/// A file that is called a snapshot.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Of what it is, by its header; nothing else of it is verified yet.
    pub meta: Result<Meta, SnapshotError>,
}

/// What pruning did.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Verified and kept, newest first.
    pub kept: Vec<String>,
    /// Removed.
    pub removed: Vec<String>,
    /// Not verified, newer than something kept, and left where they are.
    pub suspect: Vec<(String, SnapshotError)>,
}

/// Why a check refuses what was read back.
pub type CheckError = Box<dyn std::error::Error + Send + Sync>;

impl Catalogue {
    /// The snapshots of `frame` among `files`.
    pub fn new(files: impl Files + 'static, frame: u128) -> Self {
        Self { files: Box::new(files), frame }
    }

    /// Writes a snapshot: `body` hands over its bytes; then they are read back from the medium and
    /// shown to `check`, which says whether they are the state of `meta`. Returns its name.
    ///
    /// # Errors
    ///
    /// What the disk or the check refused; then there is no new snapshot, and every other one is
    /// as it was.
    ///
    /// # Panics
    ///
    /// If `meta` is of another frame.
    pub fn create(
        &self,
        meta: &Meta,
        body: impl FnOnce(&mut dyn FnMut(&[u8])),
        check: impl FnOnce(&mut Reader) -> Result<(), CheckError>,
    ) -> Result<String, SnapshotError> {
        assert!(meta.frame == self.frame, "a catalogue is of one frame");
        let files = &*self.files;
        write::temporary(files, meta, body)?;
        let verified = self.read_back(meta, check);
        verified.inspect_err(|_| write::discard(files))?;
        let name = name_of(meta);
        files.rename(TEMPORARY, &name).doing("renaming", || files.place(TEMPORARY))?;
        files.sync().doing("syncing", || files.place(""))?;
        Ok(name)
    }

    fn read_back(
        &self,
        meta: &Meta,
        check: impl FnOnce(&mut Reader) -> Result<(), CheckError>,
    ) -> Result<(), SnapshotError> {
        let mut reader = Reader::open(&*self.files, TEMPORARY)?;
        let rejected =
            |source| SnapshotError::Rejected { file: self.files.place(TEMPORARY), source };
        if reader.meta() != *meta {
            return Err(rejected("its header is another one".into()));
        }
        check(&mut reader).map_err(rejected)?;
        // What the check did not look at is verified here.
        reader.verify().map(drop)
    }

    /// Every file that is called a snapshot, newest first.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read; what is wrong with one file is said in its entry.
    pub fn list(&self) -> Result<Vec<Entry>, SnapshotError> {
        let names = self.files.list().doing("listing", || self.files.place(""))?;
        let mut names: Vec<_> =
            names.into_iter().filter_map(|name| Some((place_of(&name)?, name))).collect();
        names.sort_unstable_by(|one, other| other.cmp(one));
        let entry = |(_, name): (_, String)| Entry { meta: self.meta(&name), name };
        Ok(names.into_iter().map(entry).collect())
    }

    fn meta(&self, name: &str) -> Result<Meta, SnapshotError> {
        self.judge(name, read::header(&*self.files, name)?.meta())
    }

    fn judge(&self, name: &str, meta: Meta) -> Result<Meta, SnapshotError> {
        let file = || self.files.place(name);
        if meta.frame != self.frame {
            let (found, expected) = (meta.frame, self.frame);
            return Err(SnapshotError::WrongFrame { file: file(), found, expected });
        }
        let called = name_of(&meta);
        if called != name {
            return Err(SnapshotError::Misnamed { file: file(), called });
        }
        Ok(meta)
    }

    /// Opens a snapshot.
    ///
    /// # Errors
    ///
    /// When header or table do not verify, or it is of another frame or of another place in the
    /// journal than its name says.
    pub fn open(&self, name: &str) -> Result<Reader, SnapshotError> {
        let reader = Reader::open(&*self.files, name)?;
        self.judge(name, reader.meta())?;
        Ok(reader)
    }

    /// Reads every byte of a snapshot from the medium.
    ///
    /// # Errors
    ///
    /// The first thing that does not verify.
    pub fn verify(&self, name: &str) -> Result<Verified, SnapshotError> {
        self.open(name)?.verify()
    }

    /// Removes what is older than the newest `keep` snapshots that verify; never fewer than
    /// [`KEPT_MIN`] are kept.
    ///
    /// # Errors
    ///
    /// What the disk refused; what was not removed is still whole.
    pub fn prune(&self, keep: usize) -> Result<Pruned, SnapshotError> {
        let keep = keep.max(KEPT_MIN);
        let mut pruned = Pruned::default();
        for Entry { name, .. } in self.list()? {
            if pruned.kept.len() < keep {
                match self.verify(&name) {
                    Ok(_) => pruned.kept.push(name),
                    Err(error) => pruned.suspect.push((name, error)),
                }
                continue;
            }
            // Only now is anything removed: enough verified ones are newer.
            self.files.remove(&name).doing("removing", || self.files.place(&name))?;
            pruned.removed.push(name);
        }
        if !pruned.removed.is_empty() {
            self.files.sync().doing("syncing", || self.files.place(""))?;
        }
        Ok(pruned)
    }
}
