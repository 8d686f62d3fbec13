//! What lies on the disk below a stopped frame: its segments, its records, and damage to them.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use journal::{FileStorage, Reader, RecordHeader};

/// Segment files in order of their number.
pub(crate) fn segments(journal: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(journal).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "segment"))
        .collect();
    files.sort();
    files
}

/// The number in a segment's name.
pub(crate) fn number(segment: &Path) -> u64 {
    segment.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

/// Headers of all records that the journal still holds, in order.
pub(crate) fn records(journal: &Path) -> Vec<RecordHeader> {
    let mut reader = Reader::open_first(Arc::new(FileStorage::new(journal))).unwrap();
    let mut headers = Vec::new();
    while let Some((header, _)) = reader.next().unwrap() {
        headers.push(*header);
    }
    headers
}

/// Changes bytes of a file in place.
pub(crate) fn change(file: &Path, offset: u64, len: usize, change: impl Fn(&mut [u8])) {
    let file = OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, offset).unwrap();
    change(&mut bytes);
    file.write_all_at(&bytes, offset).unwrap();
}

/// Name and content of every file of a journal but its lock.
pub(crate) fn content(journal: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    std::fs::read_dir(journal)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.to_string_lossy().contains("lock"))
        .map(|path| {
            let bytes = std::fs::read(&path).unwrap();
            (path, bytes)
        })
        .collect()
}
