//! Bytes of a journal and of a snapshot are flipped, one at a time, under the real process: each
//! start serves the same state, or exits with the documented code and the place.
//!
//! It is a sample of what `pipeline/tests` does with every byte. Invariant: there is no third
//! outcome.

use std::path::{Path, PathBuf};

use loadgen::{Driver, Load, ProcessError};

use crate::books;
use crate::frame::{Frame, copy_dir};
use crate::medium;

const FEW: Load = Load { accounts: 40, ..books::SMALL };
/// Flips among bytes that are not zero, among those that are, and in the snapshot.
const RECORDS: usize = 36;
const ZEROS: usize = 8;
const SNAPSHOT: usize = 16;

/// A stopped frame with a snapshot in the middle of its journal; and the snapshot's file.
async fn stopped() -> (Frame, PathBuf) {
    let mut frame = Frame::with(&[], &["settlement.sink=none"]);
    frame.start();
    let mut driver = Driver::prepare(&frame.target(), FEW).await.unwrap();
    let progress = std::sync::Arc::clone(&driver.progress);
    books::drive_until(&frame, &mut driver, books::executed(&progress, 500)).await;
    frame.stop();
    frame.ends_with(0, &["snapshot", "create"]);
    frame.start();
    books::drive_until(&frame, &mut driver, books::executed(&progress, 300)).await;
    books::agree(&frame, &mut driver).await;
    frame.stop();
    let files = medium::content(&frame.home.data_dir.join("snapshots"));
    let is_snapshot = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "bzs");
    let snapshots: Vec<_> = files.into_keys().filter(is_snapshot).collect();
    let [snapshot] = &snapshots[..] else { panic!("one snapshot, not {snapshots:?}") };
    let snapshot = snapshot.clone();
    (frame, snapshot)
}

/// Digests of run and state by a replay of the stopped frame.
fn digests(frame: &Frame) -> Vec<String> {
    let said = frame.ends_with(0, &["audit"]);
    let is_digest = |line: &&str| line.starts_with("run digest") || line.starts_with("image");
    let digests: Vec<_> = said.lines().filter(is_digest).map(str::to_owned).collect();
    assert_eq!(digests.len(), 2, "{said}");
    digests
}

/// So many places among those of `bytes` that are `wanted`, spread over all of them.
fn places(bytes: &[u8], count: usize, wanted: impl Fn(u8) -> bool) -> Vec<u64> {
    let all: Vec<_> = (0_u64..).zip(bytes).filter(|&(_, &byte)| wanted(byte)).collect();
    (0..count).map(|n| all[(n * all.len() + all.len() / 2) / count].0).collect()
}

/// Puts the files back as they were.
fn restore(frame: &Frame, original: &Path) {
    for name in ["journal", "snapshots"] {
        let dir = frame.home.data_dir.join(name);
        std::fs::remove_dir_all(&dir).unwrap();
        copy_dir(&original.join(name), &dir);
    }
}

/// Starts the frame with one bit of `file` flipped; says whether it served.
fn starts(frame: &Frame, file: &Path, offset: u64, expected: &[String]) -> bool {
    let record = if file.starts_with(frame.journal_dir()) {
        let records = medium::records(&frame.journal_dir());
        records.into_iter().rfind(|record| record.offset <= offset)
    } else {
        None
    };
    medium::change(file, offset, 1, |bytes| bytes[0] ^= 1 << (offset % 8));
    let before = medium::content(&frame.journal_dir());
    let place = format!("byte {offset} of {}", file.display());
    match frame.home.start() {
        Ok(process) => {
            let status = process.terminate().unwrap();
            assert_eq!(status.code(), Some(0), "{place}: {}", frame.log());
            assert_eq!(digests(frame), expected, "{place}");
            true
        }
        Err(ProcessError::Ended { status, log }) => {
            assert_eq!(status, "exit status: 65", "{place}: {log}");
            let name = file.file_name().unwrap().to_str().unwrap();
            let said = log.lines().rfind(|line| line.contains(name)).unwrap_or_default();
            let record = record.expect("a snapshot is never needed");
            let (index, sequence) = (record.index, record.first_sequence);
            for word in [
                &format!("{name} at offset {}", record.offset),
                &format!("record {index} (sequence {sequence})"),
            ] {
                let is_genesis = index == 1 && said.contains("genesis record (sequence 1)");
                assert!(said.contains(word) || is_genesis, "{place}: {word} is not in: {log}");
            }
            assert!(medium::content(&frame.journal_dir()) == before, "files were changed");
            false
        }
        Err(error) => panic!("{place}: {error}"),
    }
}

#[test]
fn a_flipped_byte_is_the_same_frame_or_a_refusal() {
    books::run(async {
        let (frame, snapshot) = stopped().await;
        let expected = digests(&frame);
        let original = frame.beside("original");
        copy_dir(&frame.home.data_dir, &original);
        let segment = medium::segments(&frame.journal_dir()).remove(0);
        let journal = std::fs::read(&segment).unwrap();
        let end = medium::records(&frame.journal_dir()).last().map(|last| last.offset).unwrap();
        let used = &journal[..usize::try_from(end).unwrap() + 8_192];
        let mut flips = Vec::new();
        for (count, is_zero) in [(RECORDS, false), (ZEROS, true)] {
            let places = places(used, count, |byte| (byte == 0) == is_zero);
            flips.extend(places.into_iter().map(|offset| (&segment, offset)));
        }
        let image = std::fs::read(&snapshot).unwrap();
        flips.extend(places(&image, SNAPSHOT, |_| true).into_iter().map(|at| (&snapshot, at)));

        let mut served = 0;
        for &(file, offset) in &flips {
            served += usize::from(starts(&frame, file, offset, &expected));
            restore(&frame, &original);
        }
        // A snapshot is never needed as long as the journal is whole.
        assert!((SNAPSHOT..RECORDS).contains(&served), "{served} of {} served", flips.len());
    });
}
