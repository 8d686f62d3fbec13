//! A journal that is damaged where it was acknowledged stops the frame with the documented code, a
//! message that names the place, and not a byte changed; a torn end is cut off and told.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use loadgen::{Driver, Load};
use protocol::ids::NATIVE;
use tempfile::TempDir;

use crate::books;
use crate::frame::{BACKENDS, Frame, copy_dir, must, until};
use crate::medium;

/// Fills segments of 8 MiB quickly.
const BULKY: Load = Load {
    accounts: 2_000,
    batch: 4_000,
    connections: 1,
    in_flight: 4,
    commands_max: 200_000,
    ..books::SMALL
};

/// A stopped frame whose journal has several segments, shared by the tests that run at one time.
fn original() -> Arc<TempDir> {
    static ORIGINAL: Mutex<Weak<TempDir>> = Mutex::new(Weak::new());
    let mut original = ORIGINAL.lock().unwrap();
    if let Some(dir) = original.upgrade() {
        return dir;
    }
    let dir = tempfile::tempdir().unwrap();
    books::run(async {
        let mut frame = Frame::with(&[], &["settlement.sink=none"]);
        frame.start();
        let mut driver = Driver::prepare(&frame.target(), BULKY).await.unwrap();
        driver.drive(&frame.target()).await.unwrap();
        books::agree(&frame, &mut driver).await;
        frame.stop();
        copy_dir(&frame.home.data_dir, &dir.path().join("data"));
    });
    let dir = Arc::new(dir);
    *original = Arc::downgrade(&dir);
    dir
}

/// A frame over a copy of the original's files, and the original, to be kept for others.
fn copy() -> (Frame, Arc<TempDir>) {
    let original = original();
    let frame = Frame::unmade(&["settlement.sink=none"]);
    copy_dir(&original.path().join("data"), &frame.home.data_dir);
    std::fs::write(frame.home.data_dir.join("serve.log"), "").unwrap();
    let used = medium::records(&frame.journal_dir()).last().unwrap().segment;
    assert!(used >= 3, "the journal has {used} segments");
    (frame, original)
}

/// It must refuse to start with `code`, say every one of `words`, and change nothing.
fn refuses(frame: &Frame, code: i32, words: &[&str]) {
    let before = medium::content(&frame.journal_dir());
    let (found, log) = frame.refuses_to_start();
    assert_eq!(found, code, "{log}");
    for word in words {
        assert!(log.contains(word), "{word} is not in:\n{log}");
    }
    assert!(medium::content(&frame.journal_dir()) == before, "files were changed");
    frame.ends_with(code, &["journal", "verify"]);
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[test]
fn a_flipped_bit_is_found_and_named() {
    let (frame, _original) = copy();
    let records = medium::records(&frame.journal_dir());
    let victim = records[records.len() / 2];
    let segments = medium::segments(&frame.journal_dir());
    let file = &segments[usize::try_from(victim.segment).unwrap() - 1];
    medium::change(file, victim.offset + 300, 1, |bytes| bytes[0] ^= 0x10);
    let (offset, sequence) = (victim.offset.to_string(), victim.first_sequence.to_string());
    refuses(&frame, 65, &[name(file), &offset, &sequence]);
}

#[test]
fn a_missing_segment_is_named() {
    let (frame, _original) = copy();
    let segments = medium::segments(&frame.journal_dir());
    std::fs::rename(&segments[1], frame.beside("taken-away")).unwrap();
    refuses(&frame, 66, &[name(&segments[1])]);
    std::fs::rename(frame.beside("taken-away"), &segments[1]).unwrap();
    frame.ends_with(0, &["journal", "verify"]);
}

#[test]
fn swapped_segments_are_named() {
    let (frame, _original) = copy();
    let segments = medium::segments(&frame.journal_dir());
    let aside: PathBuf = frame.beside("aside");
    std::fs::rename(&segments[1], &aside).unwrap();
    std::fs::rename(&segments[2], &segments[1]).unwrap();
    std::fs::rename(&aside, &segments[2]).unwrap();
    refuses(&frame, 65, &[name(&segments[1])]);
}

#[test]
fn a_segment_of_another_frame_is_named() {
    let (frame, _original) = copy();
    let other = Frame::new();
    let foreign = &medium::segments(&other.journal_dir())[0];
    let segments = medium::segments(&frame.journal_dir());
    std::fs::copy(foreign, &segments[1]).unwrap();
    refuses(&frame, 76, &[name(&segments[1]), "frame"]);
}

#[test]
fn a_journal_of_another_frame_under_our_database_is_refused() {
    let mut frame = Frame::new();
    books::run(async {
        frame.start();
        let _client = frame.client("registry", "north").await;
        frame.wait_settled();
        frame.stop();
    });
    let other = Frame::new();
    std::fs::remove_dir_all(frame.journal_dir()).unwrap();
    copy_dir(&other.journal_dir(), &frame.journal_dir());
    let (code, log) = frame.refuses_to_start();
    assert_eq!(code, 76, "{log}");
    assert!(log.contains("belongs to frame"), "{log}");
}

#[test]
fn a_torn_end_is_cut_off_and_told() {
    let (mut frame, _original) = copy();
    let records = medium::records(&frame.journal_dir());
    // What a crash before the last sync leaves: some sectors of a record, and not its others.
    let torn = records.iter().rfind(|record| record.payload_len > 4_096).unwrap();
    let segments = medium::segments(&frame.journal_dir());
    let file = &segments[usize::try_from(torn.segment).unwrap() - 1];
    let end = std::fs::metadata(file).unwrap().len();
    let behind = torn.offset + torn.record_len();
    let wipe = usize::try_from(end - behind).unwrap();
    medium::change(file, behind, wipe, |bytes| bytes.fill(0));
    medium::change(file, torn.offset + 1_024, 512, |bytes| bytes.fill(0));
    frame.start();
    let log = frame.log().to_lowercase();
    assert!(log.contains("torn") || log.contains("cut off"), "{log}");
    books::run(async {
        let north = frame.client("registry", "north").await;
        let owner = 0x0190_0000_0000_7000_8000_0000_0000_000a;
        must(&north, client::Command::open(north.ids().next_id(), owner, NATIVE)).await;
    });
    frame.stop();
    frame.ends_with(0, &["journal", "verify"]);
    frame.ends_with(0, &["audit"]);
}

/// Nobody but the blank record that an idle frame writes knows that the last one was acknowledged.
#[test]
fn damage_to_the_last_acknowledged_record_is_no_torn_end() {
    let mut frame = Frame::with(&[], &["settlement.sink=none"]);
    frame.start();
    books::run(async {
        let north = frame.client("registry", "north").await;
        let owner = 0x0190_0000_0000_7000_8000_0000_0000_000b;
        must(&north, client::Command::open(north.ids().next_id(), owner, NATIVE)).await;
    });
    let is_attested = |frame: &Frame| {
        let records = medium::records(&frame.journal_dir());
        let kinds: Vec<_> = records.iter().rev().take(2).map(|record| record.kind()).collect();
        kinds == [Some(journal::Kind::Blank), Some(journal::Kind::Commands)]
    };
    until("an idle frame attests its last commands", || is_attested(&frame));
    frame.take().kill();
    let records = medium::records(&frame.journal_dir());
    let last = records.iter().rfind(|record| record.commands > 0).unwrap();
    let file = &medium::segments(&frame.journal_dir())[0];
    medium::change(file, last.offset + 300, 1, |bytes| bytes[0] ^= 0x10);
    let (offset, sequence) = (last.offset.to_string(), last.first_sequence.to_string());
    refuses(&frame, 65, &[name(file), &offset, &sequence]);
    medium::change(file, last.offset + 300, 1, |bytes| bytes[0] ^= 0x10);
    frame.start();
    frame.stop();
}

#[test]
fn a_second_process_on_the_directory_is_refused() {
    let mut frame = Frame::new();
    frame.start();
    let (code, log) = frame.refuses_to_start();
    assert_eq!(code, 75, "{log}");
    assert_eq!(frame.page("/readyz").0, 200, "the first one is not disturbed");
    frame.stop();
}

#[test]
fn a_failed_sync_stops_the_process_and_keeps_what_was_acknowledged() {
    for (backend, call) in BACKENDS {
        fail_syncs(backend, call);
    }
}

fn fail_syncs(backend: &str, call: &str) {
    books::run(async {
        let mut frame = Frame::new();
        frame.write_with(backend);
        frame.start();
        let mut driver = Driver::prepare(&frame.target(), books::SMALL).await.unwrap();
        frame.stop();
        // The eighth call in a thread fails, and every later one.
        frame.injure(call, "error=EIO:when=8+");
        frame.start();
        let progress = Arc::clone(&driver.progress);
        let target = frame.target();
        let work = async {
            books::executed(&progress, 1).await;
            let code = frame.wait();
            progress.disconnect();
            assert_eq!(code, Some(80), "{}", frame.log());
        };
        let (driven, ()) = tokio::join!(driver.drive(&target), work);
        driven.unwrap();
        frame.heal();
        frame.start();
        books::agree(&frame, &mut driver).await;
        frame.wait_settled();
        frame.stop();
        frame.is_sound();
    });
}

#[test]
fn init_leaves_a_directory_with_a_journal_alone() {
    let frame = Frame::new();
    let before = medium::content(&frame.journal_dir());
    let finished = frame.run(&["init"]);
    assert_ne!(finished.status.code(), Some(0));
    assert!(medium::content(&frame.journal_dir()) == before, "files were changed");
}
