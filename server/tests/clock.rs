//! A clock far from the journal's last time is refused until the operator accepts the step.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use journal::{Config, Entry, FileStorage, Journal, Reader};

use crate::frame::Frame;

pub(crate) const HOUR_S: i64 = 3_600;

/// A frame whose only record, the genesis, was made so many seconds from now.
pub(crate) fn made_at(seconds_from_now: i64) -> Frame {
    let frame = Frame::new();
    let dir = frame.journal_dir();
    let storage = || Arc::new(FileStorage::new(&dir));
    let mut reader = Reader::open(storage(), 1).unwrap();
    let (header, payload) = reader.next().unwrap().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seconds = i64::try_from(now.as_secs()).unwrap() + seconds_from_now;
    let entry = Entry {
        kind: journal::Kind::Genesis,
        rules: header.rules,
        epoch: header.epoch,
        first_sequence: 1,
        timestamp_ns: u64::try_from(seconds).unwrap() * 1_000_000_000,
        ..Entry::default()
    };
    std::fs::remove_dir_all(&dir).unwrap();
    let size = Config { segment_size: 8 << 20 };
    Journal::create(storage(), size, header.frame, &entry, &[payload]).unwrap();
    frame
}

#[test]
fn a_clock_behind_or_far_ahead_is_refused_until_it_is_accepted() {
    for (seconds_from_now, word) in [(HOUR_S, "behind"), (-25 * HOUR_S, "ahead")] {
        let mut frame = made_at(seconds_from_now);
        let (code, log) = frame.refuses_to_start();
        assert_eq!(code, 81, "{log}");
        assert!(log.contains(word) && log.contains("clock.accept_step"), "{log}");
        frame.set("clock.accept_step=true");
        frame.start();
        frame.stop();
        frame.ends_with(0, &["journal", "verify"]);
    }
    let mut yesterday = made_at(-23 * HOUR_S);
    yesterday.start();
    yesterday.stop();
}
