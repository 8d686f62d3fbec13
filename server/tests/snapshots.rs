//! Snapshots with the real binary: taken of a stopped frame, started from, damaged, and of another
//! past. Invariant: a start ends in the state of the whole journal, or in a refusal with a reason.

use std::path::PathBuf;

use loadgen::{Driver, Load};

use crate::books;
use crate::frame::{Frame, copy_dir};
use crate::medium;

const FEW: Load = Load { accounts: 100, ..books::SMALL };

/// Takes a snapshot and returns its name; its image is that of a replay from the beginning.
fn created(frame: &Frame) -> String {
    let said = frame.ends_with(0, &["snapshot", "create"]);
    let word = |text: &str, head: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(head));
        line.and_then(|line| line.split_whitespace().nth(1)).unwrap().to_owned()
    };
    let audited = frame.ends_with(0, &["audit"]);
    assert_eq!(word(&said, "image"), word(&audited, "image"));
    assert_eq!(word(&said, "run"), audited.lines().find_map(run_digest).unwrap());
    word(&said, "snapshot")
}

fn run_digest(line: &str) -> Option<String> {
    line.strip_prefix("run digest").map(|digest| digest.trim().to_owned())
}

fn path(frame: &Frame, name: &str) -> PathBuf {
    frame.home.data_dir.join("snapshots").join(name)
}

/// The line that tells of the last recovery.
fn recovery(frame: &Frame) -> String {
    let log = frame.log();
    log.lines().rfind(|line| line.contains("recovered")).unwrap().to_owned()
}

async fn load(frame: &Frame, driver: &mut Driver) {
    let progress = std::sync::Arc::clone(&driver.progress);
    books::drive_until(frame, driver, books::executed(&progress, 3_000)).await;
    books::agree(frame, driver).await;
}

#[test]
fn a_start_from_any_good_snapshot_is_the_same_frame() {
    books::run(async {
        let mut frame = Frame::with(&[], &["retention.keep_h=0"]);
        frame.start();
        assert!(recovery(&frame).contains("none"), "there is no snapshot yet");
        let mut driver = Driver::prepare(&frame.target(), FEW).await.unwrap();
        let mut names = Vec::new();
        for _ in 0..3 {
            load(&frame, &mut driver).await;
            frame.stop();
            names.push(created(&frame));
            frame.start();
            assert!(recovery(&frame).contains(names.last().unwrap()), "{}", frame.log());
        }
        load(&frame, &mut driver).await;
        frame.take().kill();
        let listed = frame.ends_with(0, &["snapshot", "list"]);
        let newest = listed.find(&names[2]).unwrap();
        assert!(newest < listed.find(&names[1]).unwrap() && !listed.contains(&names[0]));
        frame.ends_with(0, &["snapshot", "verify"]);
        // From the newest, from the older one, from the beginning: always the same accounts.
        for (damaged, from) in [(None, &*names[2]), (Some(2), &names[1]), (Some(1), "none")] {
            if let Some(damaged) = damaged {
                medium::change(&path(&frame, &names[damaged]), 700, 1, |bytes| bytes[0] ^= 4);
                let said = frame.ends_with(1, &["snapshot", "verify"]);
                assert!(said.contains("damaged at offset 256"), "{said}");
                // A command that goes round it says so.
                let sequence = names[2].split('-').nth(1).unwrap();
                let said = frame.run(&["replay", "--to", sequence]);
                assert!(said.status.success() && said.stderr.contains(&names[damaged]), "{said:?}");
            }
            frame.start();
            assert!(recovery(&frame).contains(from), "{}", frame.log());
            books::agree(&frame, &mut driver).await;
            frame.stop();
            frame.is_sound();
        }
    });
}

#[test]
fn a_journal_that_is_not_the_snapshots_is_refused() {
    books::run(async {
        let mut frame = Frame::with(&[], &["settlement.sink=none"]);
        let before = frame.beside("before");
        copy_dir(&frame.journal_dir(), &before);
        frame.start();
        let mut driver = Driver::prepare(&frame.target(), FEW).await.unwrap();
        load(&frame, &mut driver).await;
        frame.stop();
        created(&frame);
        let after = frame.beside("after");
        std::fs::rename(frame.journal_dir(), &after).unwrap();
        // An older copy of the journal: acknowledged records are missing.
        copy_dir(&before, &frame.journal_dir());
        let (code, log) = frame.refuses_to_start();
        assert_eq!(code, 65, "{log}");
        assert!(log.contains("known from outside the journal"), "{log}");
        // Another frame's journal: its snapshots are not ours.
        std::fs::remove_dir_all(frame.journal_dir()).unwrap();
        std::fs::rename(&after, frame.journal_dir()).unwrap();
        let stranger = Frame::new();
        copy_dir(&frame.home.data_dir.join("snapshots"), &stranger.home.data_dir.join("snapshots"));
        let said = stranger.ends_with(1, &["snapshot", "verify"]);
        assert!(said.contains("is of frame"), "{said}");
        frame.start();
        books::agree(&frame, &mut driver).await;
        frame.stop();
        frame.ends_with(0, &["audit"]);
    });
}
