//! The snapshots of a frame: taken, listed, opened, pruned.
//!
//! Refuses to count a file that was not verified, or that its reader could not use. Invariant:
//! pruning leaves the newest verified ones, the base of everything that is still needed, and
//! whatever does not count.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::KEPT_MIN;
use crate::error::{Doing as _, SnapshotError};
use crate::files::Files;
use crate::format::{Meta, name_of, place_of};
use crate::read::{self, Reader, Verified};
use crate::write::{self, TEMPORARY};

const DAY_NS: u64 = 24 * 60 * 60 * 1_000_000_000;

/// See the module.
pub struct Catalogue {
    files: Box<dyn Files>,
    frame: u128,
    judged: Mutex<Judged>,
}

/// Names of what was looked at.
#[derive(Default)]
struct Judged {
    /// Every byte was verified.
    verified: BTreeSet<String>,
    /// No state came from it, whatever its hashes say.
    rejected: BTreeSet<String>,
}

/// A file that is called a snapshot.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Of what it is, by its header; nothing else of it is verified yet.
    pub meta: Result<Meta, SnapshotError>,
}

/// What pruning goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruning {
    /// The first record of the journal that is needed.
    pub floor: u64,
    /// The first record that the journal holds. A snapshot that lies before the record in front of
    /// it is no beginning: it does not count, and is left where it is.
    pub first: u64,
    /// What was not verified since the catalogue was made is read now, at full speed; else it does
    /// not count, and is left where it is.
    pub is_unknown_read: bool,
}

/// What pruning did; a file that is not named here does not count, and is where it was.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Verified and kept, newest first.
    pub kept: Vec<String>,
    /// Removed.
    pub removed: Vec<String>,
    /// Not verified, and left where they are.
    pub suspect: Vec<(String, SnapshotError)>,
}

/// Why a check refuses what was read back.
pub type CheckError = Box<dyn std::error::Error + Send + Sync>;

impl Catalogue {
    /// The snapshots of `frame` among `files`.
    pub fn new(files: impl Files + 'static, frame: u128) -> Self {
        Self { files: Box::new(files), frame, judged: Mutex::default() }
    }

    /// The frame.
    #[must_use]
    pub const fn frame(&self) -> u128 {
        self.frame
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
        self.sync()?;
        let mut judged = self.judged();
        judged.rejected.remove(&name);
        judged.verified.insert(name.clone());
        drop(judged);
        Ok(name)
    }

    /// Removes what a process left that was ended while it wrote a snapshot; says whether there
    /// was something. The caller sees to it that nobody is writing.
    ///
    /// # Errors
    ///
    /// What the disk refused.
    pub fn clear(&self) -> Result<bool, SnapshotError> {
        write::clear(&*self.files)
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
        // Whoever prunes may have been quicker.
        let is_there = |entry: &Entry| !entry.meta.as_ref().is_err_and(SnapshotError::is_gone);
        Ok(names.into_iter().map(entry).filter(is_there).collect())
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
        let verified = self.open(name).and_then(Reader::verify);
        match verified {
            Ok(_) => self.trust(name),
            Err(_) => self.distrust(name),
        }
        verified
    }

    /// Verifies what was not verified since this catalogue was made; returns what does not.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn verify_unknown(&self) -> Result<Vec<(String, SnapshotError)>, SnapshotError> {
        let mut suspect = Vec::new();
        for Entry { name, meta } in self.list()? {
            if meta.is_err() || self.is_judged(&name) {
                continue;
            }
            match self.verify(&name) {
                Err(error) if !error.is_gone() => suspect.push((name, error)),
                _ => {}
            }
        }
        Ok(suspect)
    }

    fn is_judged(&self, name: &str) -> bool {
        let judged = self.judged();
        judged.verified.contains(name) || judged.rejected.contains(name)
    }

    /// Notes that a snapshot does not verify, whatever was found before.
    pub fn distrust(&self, name: &str) {
        self.judged().verified.remove(name);
    }

    /// Notes that no state came from a snapshot, right hashes or not: it counts as none until
    /// [`Self::create`] gives the name anew, and neither trust nor verifying changes that.
    pub fn reject(&self, name: &str) {
        let mut judged = self.judged();
        judged.verified.remove(name);
        judged.rejected.insert(name.to_owned());
    }

    /// Notes that another process has just taken this snapshot, and read it back into a state:
    /// whatever was found under its name before is gone.
    pub fn renew(&self, name: &str) {
        let mut judged = self.judged();
        judged.rejected.remove(name);
        judged.verified.insert(name.to_owned());
    }

    /// Notes that a snapshot was verified by another process, as the one that took it did.
    pub fn trust(&self, name: &str) {
        let mut judged = self.judged();
        if !judged.rejected.contains(name) {
            judged.verified.insert(name.to_owned());
        }
    }

    /// The snapshots of which every byte was verified since this catalogue was made, and which
    /// nobody rejected, newest first; only headers are read for that.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn verified(&self) -> Result<Vec<Meta>, SnapshotError> {
        let entries = self.list()?.into_iter();
        let judged = self.judged();
        let meta = |entry: Entry| entry.meta.ok().filter(|_| judged.verified.contains(&entry.name));
        Ok(entries.filter_map(meta).collect())
    }

    /// [`Self::prune_with`] beside a journal that begins with the genesis record, or is not asked;
    /// what is unknown is read.
    ///
    /// # Errors
    ///
    /// As [`Self::prune_with`].
    pub fn prune(&self, floor: u64) -> Result<Pruned, SnapshotError> {
        self.prune_with(Pruning { floor, first: 0, is_unknown_read: true })
    }

    /// Removes the snapshots that nothing needs when the journal's records below the floor are not
    /// needed. What stays of those that count: the newest [`KEPT_MIN`]; the base, which is the
    /// newest one at or below the floor, else the oldest; the next newer one, in case the base is
    /// damaged; the next one after that, which the floor can rise by while newer ones come and go;
    /// and of those between them the first of each day. On return the names of all that stay are
    /// durable.
    ///
    /// # Errors
    ///
    /// What the disk refused; what was not removed is still whole.
    pub fn prune_with(&self, pruning: Pruning) -> Result<Pruned, SnapshotError> {
        let mut pruned = Pruned::default();
        if pruning.is_unknown_read {
            pruned.suspect = self.verify_unknown()?;
        }
        let mut good: Vec<(Meta, String)> = Vec::new();
        for Entry { name, meta } in self.list()? {
            match meta.and_then(|meta| self.counts(&name).map(|counts| counts.then_some(meta))) {
                Ok(Some(meta)) if meta.is_met_by(pruning.first) => good.push((meta, name)),
                Ok(_) => {}
                Err(error) => pruned.suspect.push((name, error)),
            }
        }
        let metas: Vec<_> = good.iter().map(|(meta, _)| *meta).collect();
        // A name may be another process's, which was ended before it could make it durable, and
        // snapshots and segments go on the word of what stays.
        if !metas.is_empty() {
            self.sync()?;
        }
        for ((_, name), stays) in good.into_iter().zip(needed(&metas, pruning.floor)) {
            if stays {
                pruned.kept.push(name);
                continue;
            }
            self.files.remove(&name).doing("removing", || self.files.place(&name))?;
            self.judged().verified.remove(&name);
            pruned.removed.push(name);
        }
        if !pruned.removed.is_empty() {
            self.sync()?;
        }
        Ok(pruned)
    }

    fn counts(&self, name: &str) -> Result<bool, SnapshotError> {
        let judged = self.judged();
        if judged.rejected.contains(name) {
            return Err(SnapshotError::Unusable { file: self.files.place(name) });
        }
        Ok(judged.verified.contains(name))
    }

    fn sync(&self) -> Result<(), SnapshotError> {
        self.files.sync().doing("syncing", || self.files.place(""))
    }

    fn judged(&self) -> MutexGuard<'_, Judged> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which of the snapshots stay; they are sorted, newest first.
fn needed(metas: &[Meta], floor: u64) -> impl Iterator<Item = bool> {
    let oldest = metas.len().saturating_sub(1);
    let base = metas.iter().position(|meta| meta.index <= floor).unwrap_or(oldest);
    metas.iter().enumerate().map(move |(at, meta)| {
        let day = |meta: &Meta| meta.timestamp_ns / DAY_NS;
        let is_first = metas.get(at + 1).is_none_or(|older| day(older) != day(meta));
        // The next newer one stands in for the base, and the one after it for that: whatever holds
        // the floor rises until it is reached, while the newest ones come and go.
        at < KEPT_MIN || (at..=at + 2).contains(&base) || (at < base && is_first)
    })
}
