//! A small journal on a simulated disk, and a model of what was appended to it.
//!
//! Refuses to know the crate's insides. Invariant: `Model::records` is what a reader must find.

use std::sync::Arc;

use journal::{
    AppendError, Appender, Base, Config, Entry, Expect, Journal, Kind, MemoryStorage, Preparer,
    Reader, RecoverError, Recovery, Storage, Syncer,
};

pub(crate) const FRAME: u128 = 0xbe2a;
pub(crate) const SEGMENT: u64 = 64 * 1024;
pub(crate) const CONFIG: Config = Config { segment_size: SEGMENT };

/// A record as the model keeps it: its hash and payload.
pub(crate) type Record = ([u8; 32], Vec<u8>);

pub(crate) struct Bench {
    pub(crate) appender: Appender,
    pub(crate) syncer: Syncer,
    pub(crate) preparer: Preparer,
    /// Makes each payload differ from every other.
    pub(crate) salt: u64,
}

/// A simulated disk for each way of writing.
pub(crate) fn disks() -> [MemoryStorage; 2] {
    [MemoryStorage::new(), MemoryStorage::direct()]
}

/// Makes a test of each function for each way of writing files.
macro_rules! on_each_backend {
    ($($test:ident),+ $(,)?) => {
        mod direct {
            $(#[test] fn $test() { super::$test(journal::Backend::Direct); })+
        }
        mod mapped {
            $(#[test] fn $test() { super::$test(journal::Backend::Mapped); })+
        }
    };
}
pub(crate) use on_each_backend;

pub(crate) fn genesis() -> Entry {
    Entry { kind: Kind::Genesis, first_sequence: 1, timestamp_ns: 1, ..Entry::default() }
}

pub(crate) fn create(storage: impl Storage + 'static) -> Bench {
    let payload = [0x67; 64];
    let made = Journal::create(Arc::new(storage), CONFIG, FRAME, &genesis(), &[&payload]);
    Bench::new(made.unwrap())
}

pub(crate) fn recover(
    storage: impl Storage + 'static,
    expect: Expect,
) -> Result<(Bench, Recovery), RecoverError> {
    let (journal, recovery) = Journal::recover(Arc::new(storage), CONFIG, expect)?;
    Ok((Bench::new(journal), recovery))
}

pub(crate) fn refused(storage: impl Storage + 'static, expect: Expect) -> RecoverError {
    match recover(storage, expect) {
        Ok((_, recovery)) => panic!("recovered up to {}", recovery.last.index),
        Err(error) => error,
    }
}

/// Every record that a reader finds.
pub(crate) fn records(storage: impl Storage + 'static) -> Vec<Record> {
    let mut reader = Reader::open(Arc::new(storage), 1).unwrap();
    let mut found = Vec::new();
    while let Some((header, payload)) = reader.next().unwrap() {
        found.push((header.hash, payload.to_vec()));
    }
    found
}

/// A journal of `count` one-block records that are durable, and a blank that says so.
pub(crate) fn small(count: usize) -> (MemoryStorage, Vec<Record>) {
    let disk = MemoryStorage::new();
    let mut bench = create(disk.clone());
    for _ in 0..count {
        bench.append(160).unwrap();
        bench.preparer.prepare().unwrap();
        bench.syncer.sync().unwrap();
    }
    bench.blank();
    bench.syncer.sync().unwrap();
    let found = records(disk.clone());
    (disk, found)
}

impl Bench {
    pub(crate) fn new(journal: Journal) -> Self {
        let salt = journal.watermarks().appended() << 32;
        let (appender, syncer, preparer) = journal.split();
        Self { appender, syncer, preparer, salt }
    }

    /// Appends a record with about `len` bytes; returns its model.
    pub(crate) fn append(&mut self, len: usize) -> Result<Record, AppendError> {
        self.salt += 1;
        let len = len.next_multiple_of(16).max(16);
        let mut payload = vec![0; len];
        for (byte, at) in payload.iter_mut().zip(0_u64..) {
            *byte = (self.salt.wrapping_mul(0x9e37_79b9).wrapping_add(at * 7) >> 3) as u8;
        }
        payload[..8].copy_from_slice(&self.salt.to_le_bytes());
        let entry = Entry {
            first_sequence: self.appender.next_sequence(),
            commands: (len / 16) as u32,
            timestamp_ns: self.appender.last().timestamp_ns + 1,
            ..Entry::default()
        };
        let (head, tail) = payload.split_at(len / 32 * 16);
        let appended = self.appender.append(&entry, &[head, &[], tail])?;
        Ok((appended.hash, payload))
    }

    pub(crate) fn blank(&mut self) {
        let entry = Entry {
            kind: Kind::Blank,
            first_sequence: self.appender.next_sequence(),
            timestamp_ns: self.appender.last().timestamp_ns,
            ..Entry::default()
        };
        self.appender.append(&entry, &[]).unwrap();
    }
}

/// What recovery shows, and what it says.
pub(crate) fn replayed(
    storage: impl Storage + 'static,
    expect: Expect,
) -> Result<(Vec<Record>, Recovery), RecoverError> {
    let mut seen = Vec::new();
    let (_, recovery) =
        Journal::recover_with(Arc::new(storage), CONFIG, expect, &mut |header, payload| {
            seen.push((header.hash, payload.to_vec()));
            Ok(())
        })?;
    Ok((seen, recovery))
}

/// A state behind record `index` of these.
pub(crate) fn base(all: &[Record], index: u64) -> Base {
    Base { index, hash: all[index as usize - 1].0 }
}

/// What a start from that state knows.
pub(crate) fn behind(base: Base) -> Expect {
    Expect { base: Some(base), ..Expect::default() }
}
