//! Frames whose journal no longer begins with the genesis record: what asks about the past answers
//! from what is kept and says so, older databases are caught up within that, and refused beyond.

use std::path::{Path, PathBuf};

use client::Command;
use journal::FileStorage;
use protocol::ids::NATIVE;
use rusqlite::Connection;
use serde_json::Value;

use crate::books;
use crate::frame::{Frame, until};
use crate::time_travel::{ALICE, BOB, all_ok, pay};

/// Commands of one request, and requests that fill more than one segment of 8 MiB.
const COMMANDS: usize = 4_000;
const REQUESTS: usize = 18;
/// What the database holds, each row as one text.
const ROWS: [&str; 2] = [
    "SELECT concat_ws(' ', sequence, leg, event, asset, debit, credit, amount, debit_after, \
     credit_after, reference, user_data, rate) FROM effects ORDER BY sequence, leg",
    "SELECT concat_ws(' ', owner, asset, liquid, held) FROM account_balances ORDER BY owner, asset",
];

/// One payment a request, and a crowd of refusals, which leave no posting.
async fn fill(frame: &Frame) {
    let north = frame.client("registry", "north").await;
    for _ in 0..REQUESTS {
        let mut commands = vec![pay(&north, ALICE, BOB, 1_000)];
        commands.resize_with(COMMANDS, || pay(&north, ALICE, BOB, 0));
        let reply = north.request(&commands).await.unwrap();
        assert!(reply.outcomes()[0].status.is_ok(), "{:?}", reply.outcomes()[0]);
    }
}

/// A stopped frame with three eras behind it, a copy of its database after each of the first two,
/// and two snapshots, the older of them taken after the second era.
async fn aged() -> (Frame, [PathBuf; 2]) {
    let mut frame = Frame::with(&[], &["settlement.history=full"]);
    let copies = ["first.sqlite", "second.sqlite"].map(|name| frame.beside(name));
    frame.start();
    let north = frame.client("registry", "north").await;
    let mint = frame.client("mint", "treasury").await;
    let opens = [ALICE, BOB].map(|owner| Command::open(north.ids().next_id(), owner, NATIVE));
    all_ok(&north, &opens).await;
    all_ok(&mint, &[Command::issue(mint.ids().next_id(), ALICE, NATIVE, 1_000_000_000)]).await;
    drop((north, mint));
    for era in 0..3 {
        fill(&frame).await;
        frame.wait_settled();
        frame.stop();
        if let Some(copy) = copies.get(era) {
            std::fs::copy(frame.sqlite(), copy).unwrap();
        }
        if era > 0 {
            frame.ends_with(0, &["snapshot", "create"]);
        }
        if era < 2 {
            frame.start();
        }
    }
    (frame, copies)
}

/// Sequence and record of every snapshot, oldest first.
fn snapshots(frame: &Frame) -> Vec<(u64, u64)> {
    let dir = std::fs::read_dir(frame.home.data_dir.join("snapshots")).unwrap();
    let names = dir.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut found: Vec<_> = names
        .filter_map(|name| {
            let (sequence, record) =
                name.strip_prefix("snapshot-")?.strip_suffix(".bzs")?.split_once('-')?;
            Some((sequence.parse().unwrap(), record.parse().unwrap()))
        })
        .collect();
    found.sort_unstable();
    found
}

/// Removes the segments that lie before the older snapshot; returns its sequence.
fn shorten(frame: &Frame) -> u64 {
    let (sequence, record) = snapshots(frame)[0];
    let storage = FileStorage::new(frame.journal_dir());
    let retired = journal::retire(&storage, record).unwrap();
    assert!(retired.segments > 0, "there are whole segments before record {record}");
    sequence
}

fn rows(database: &Path) -> Vec<String> {
    let connection = Connection::open(database).unwrap();
    let of = |sql: &str| -> Vec<String> {
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    ROWS.iter().flat_map(|sql| of(sql)).collect()
}

/// Puts a copy in the database's place.
fn put_back(frame: &Frame, copy: &Path) {
    for ending in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{ending}", frame.sqlite().display()));
    }
    std::fs::copy(copy, frame.sqlite()).unwrap();
}

#[test]
fn a_shortened_past_is_answered_from_what_is_kept() {
    books::run(async {
        let (mut frame, [older, newer]) = aged().await;
        let settled = rows(&frame.sqlite());
        let ends = frame.ends_with(0, &["audit"]);
        assert!(ends.contains("from genesis"), "{ends}");
        let first = shorten(&frame);
        let base = format!("from snapshot-{first:0>20}");
        frame.is_sound();
        for command in ["audit", "verify-settlement"] {
            let said = frame.ends_with(0, &[command]);
            assert!(said.contains(&base), "{command}: {said}");
        }
        tools(&frame, first);

        // A database as old as the older snapshot: every posting since is written again.
        put_back(&frame, &newer);
        assert!(rows(&frame.sqlite()).len() < settled.len());
        frame.start();
        frame.wait_settled();
        let log = frame.log();
        let told = log.lines().rfind(|line| line.contains("rebuilding postings")).unwrap();
        assert!(told.contains("through=") && told.contains("base=\"snapshot-"), "{told}");
        frame.stop();
        frame.is_sound();
        assert!(rows(&frame.sqlite()) == settled, "postings and balances are as they were");

        // An older one: nothing is written to it, it is told why, and the frame serves.
        put_back(&frame, &older);
        let before = rows(&frame.sqlite());
        frame.start();
        let north = frame.client("registry", "north").await;
        all_ok(&north, &[pay(&north, ALICE, BOB, 1_000)]).await;
        let (_, page) = frame.page("/readyz");
        assert!(page.contains("no longer reaches back"), "{page}");
        assert!(page.contains("restore a newer database or older segments"), "{page}");
        frame.stop();
        assert!(frame.log().contains("settlement stopped"), "{}", frame.log());
        assert!(rows(&frame.sqlite()) == before);
        let refused = frame.ends_with(66, &["verify-settlement"]);
        assert!(refused.contains("needs a snapshot before it"), "{refused}");

        // An empty one wants every posting there ever was, and gets none.
        for ending in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{ending}", frame.sqlite().display()));
        }
        frame.start();
        let north = frame.client("registry", "north").await;
        all_ok(&north, &[pay(&north, ALICE, BOB, 1_000)]).await;
        until("settlement says why it stopped", || {
            frame.page("/readyz").1.contains("no longer reaches back")
        });
        frame.stop();
        assert!(rows(&frame.sqlite()).is_empty(), "no half of it is written");
    });
}

/// What the tools say of a journal that begins with sequence `first` or a little earlier.
fn tools(frame: &Frame, first: u64) {
    let verified = frame.ends_with(0, &["journal", "verify"]);
    assert!(!verified.contains("first index     1\n"), "{verified}");
    frame.ends_with(0, &["journal", "stat"]);
    let cat = frame.ends_with(0, &["journal", "cat", "--limit", "3"]);
    assert!(cat.contains("no longer kept") && cat.contains("Transfer"), "{cat}");
    let from = (first + 2).to_string();
    let cat = frame.ends_with(0, &["journal", "cat", "--from", &from, "--limit", "1"]);
    assert!(cat.contains(&from) && !cat.contains("no longer kept"), "{cat}");

    let gone = frame.ends_with(66, &["replay", "--to", "5"]);
    assert!(gone.contains("sequence 5 needs a snapshot"), "{gone}");
    let (at, after) = (first.to_string(), (first + 1).to_string());
    for to in [&at, &after] {
        let said = frame.ends_with(0, &["replay", "--json", "--to", to]);
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["sequence"].to_string(), **to);
    }
    let said = frame.ends_with(0, &["what-if", "--json", "--set", "fee.base=50000"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["from_sequence"], first + 1, "{said}");
    let (before, after) = (&said["fees"][0]["before"], &said["fees"][0]["after"]);
    assert!(before.as_str() < after.as_str(), "{said}");
    let text = frame.ends_with(0, &["what-if", "--set", "fee.base=5000"]);
    assert!(text.contains("no longer reaches back to sequence 1"), "{text}");
}
