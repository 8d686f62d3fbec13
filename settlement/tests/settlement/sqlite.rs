//! The conformance suite on SQLite, and what only a file can suffer.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rusqlite::Connection;
use settlement::{Sink, SinkError, SqliteEntries, SqliteKeys, SqliteSink};
use tempfile::TempDir;

use crate::conformance::{Place, commit, conformance};
use crate::journal::Journal;
use crate::keys::Asking;

struct Files {
    directory: TempDir,
}

impl Files {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("settlement.db")
    }

    fn copy(&self) -> PathBuf {
        self.directory.path().join("copy.db")
    }

    fn connection(&self) -> Connection {
        let connection = Connection::open(self.path()).unwrap();
        connection.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
        connection
    }
}

impl Place for Files {
    type Sink = SqliteSink;
    type Keys = SqliteKeys;
    type Entries = SqliteEntries;

    fn sink(&self) -> SqliteSink {
        SqliteSink::new(self.path())
    }

    fn keys(&self) -> SqliteKeys {
        SqliteKeys::new(self.path())
    }

    fn entries(&self) -> SqliteEntries {
        SqliteEntries::new(self.path())
    }

    fn backup(&self) {
        self.connection().execute("VACUUM INTO ?1", [self.copy().to_str().unwrap()]).unwrap();
    }

    fn restore(&self) {
        let put_aside = self.directory.path().join("old");
        fs::create_dir(&put_aside).unwrap();
        for name in ["settlement.db", "settlement.db-wal", "settlement.db-shm"] {
            let _ = fs::rename(self.directory.path().join(name), put_aside.join(name));
        }
        // A settlement that reconnects in between makes an empty file: the copy replaces it.
        fs::rename(self.copy(), self.path()).unwrap();
    }

    fn run(&self, sql: &str) {
        let sql = sql.replace("{keys}", "effects").replace("{schema}", "");
        self.connection().execute_batch(&sql).unwrap();
    }

    fn age(&self) {
        self.run(
            "DROP INDEX effects_by_key; DROP INDEX batches_without_history;
             DROP INDEX batches_by_sequence; DROP INDEX batches_by_time;
             DELETE FROM effect_events WHERE event = 80;
             DELETE FROM schema_version WHERE version > 1",
        );
    }
}

conformance!(Files::new());

#[test]
fn the_file_is_private_and_its_commits_are_synced() {
    let place = Files::new();
    let mut journal = Journal::new(1);
    let mut sink = place.sink();
    sink.connect().unwrap();
    journal.execute(1);
    commit(&mut sink, &mut journal, None).unwrap();
    for entry in fs::read_dir(place.directory.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{entry:?}");
    }
    let mode: String =
        place.connection().query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let place = Files::new();
    fs::write(place.path(), [7; 4096]).unwrap();
    let refused = place.sink().connect().unwrap_err();
    assert!(matches!(refused, SinkError::Refused(_)), "{refused}");
}

#[test]
fn a_missing_directory_is_tried_again() {
    let mut sink = SqliteSink::new("/nonexistent/settlement.db");
    let refused = sink.connect().unwrap_err();
    assert!(matches!(refused, SinkError::Retryable(_)), "{refused}");
}

#[test]
fn a_file_that_is_away_answers_no_key_until_it_is_back() {
    let place = Files::new();
    let mut journal = Journal::new(2);
    let mut sink = place.sink();
    sink.connect().unwrap();
    journal.execute(10);
    commit(&mut sink, &mut journal, None).unwrap();
    drop(sink);
    let keys = Asking::of(&place);
    assert_eq!(keys.check(10).0, 10);
    let key = Journal::key(3).unwrap().0;
    fs::rename(place.path(), place.copy()).unwrap();
    let refused = keys.refused(key);
    assert!(matches!(*refused, SinkError::Retryable(_)), "{refused}");
    assert!(!place.path().exists(), "a reader makes no file");
    fs::rename(place.copy(), place.path()).unwrap();
    assert_eq!(keys.check(10).0, 10);
}
