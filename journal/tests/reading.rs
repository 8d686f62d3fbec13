//! Readers, and what `verify` and `stat` report.
//!
//! Refuses to read behind a named end. Invariant: any start gives the same records.

use std::sync::Arc;

use journal::{Expect, Journal, Kind, MemoryStorage, Reader, Summary, stat, verify};

use crate::kit::{CONFIG, create, small};

#[test]
fn every_start_and_end_gives_the_same_records() {
    let (disk, all) = small(40);
    let count = all.len() as u64;
    for from in 1..=count + 1 {
        let until = count.min(from + 3);
        let mut reader = Reader::open_range(Arc::new(disk.clone()), from, until).unwrap();
        for index in from..=until {
            let (header, payload) = reader.next().unwrap().unwrap();
            let (hash, bytes) = &all[index as usize - 1];
            assert_eq!((header.index, &header.hash, payload), (index, hash, &bytes[..]));
        }
        assert!(reader.next().unwrap().is_none());
    }
}

#[test]
fn an_end_that_was_named_is_not_passed_and_must_exist() {
    let disk = MemoryStorage::new();
    let mut bench = create(disk.clone());
    bench.append(5_000).unwrap();
    let durable = bench.syncer.sync().unwrap();
    bench.append(5_000).unwrap();
    disk.flip(1, 3 * 4_096 + 8, 1);
    let mut reader = Reader::open_range(Arc::new(disk.clone()), 2, durable).unwrap();
    assert!(reader.next().unwrap().is_some());
    assert!(reader.next().unwrap().is_none());
    let mut reader = Reader::open_range(Arc::new(disk), 1, durable + 1).unwrap();
    assert!(reader.next().unwrap().is_some());
    assert!(reader.next().unwrap().is_some());
    assert!(reader.next().is_err());
}

#[test]
fn a_reader_goes_on_without_reading_anything_twice() {
    let disk = MemoryStorage::new();
    let mut bench = create(disk.clone());
    let mut reader = Reader::open_range(Arc::new(disk.clone()), 2, 1).unwrap();
    assert!(reader.next().unwrap().is_none());
    let mut last_segment = 0;
    for n in 0_u64..60 {
        // What was read ahead of the end is not what stands there now, and what lies before it
        // cannot be read any more.
        let (hash, payload) = bench.append(3_000).unwrap();
        bench.preparer.prepare().unwrap();
        let durable = bench.syncer.sync().unwrap();
        reader.extend(durable).unwrap();
        while let Some((header, found)) = reader.next().unwrap() {
            let end = header.offset + header.record_len();
            disk.fail_read(header.segment, 0..end);
            last_segment = header.segment;
            if header.index == durable {
                assert_eq!((header.hash, found), (hash, &payload[..]), "record {n}");
            }
        }
        // An end that was named before is none.
        reader.extend(durable - 1).unwrap();
        assert!(reader.next().unwrap().is_none());
    }
    assert!(last_segment > 2);
}

/// It once said that it showed what came behind any end.
#[test]
fn a_reader_that_has_met_the_end_of_what_there_is_stays_there() {
    let disk = MemoryStorage::new();
    let mut bench = create(disk.clone());
    bench.append(3_000).unwrap();
    let durable = bench.syncer.sync().unwrap();
    let open = |until| Reader::open_range(Arc::new(disk.clone()), durable, until).unwrap();
    let mut to_the_end = open(u64::MAX);
    let mut beyond = open(durable + 1);
    for reader in [&mut to_the_end, &mut beyond] {
        assert_eq!(reader.next().unwrap().unwrap().0.index, durable);
    }
    assert!(to_the_end.next().unwrap().is_none());
    assert!(beyond.next().is_err());
    for _ in 0..3 {
        bench.append(3_000).unwrap();
    }
    let durable = bench.syncer.sync().unwrap();
    for mut reader in [to_the_end, beyond] {
        reader.extend(durable).unwrap();
        assert!(reader.next().unwrap().is_none());
    }
}

#[test]
fn summaries_agree() {
    let (disk, all) = small(40);
    let deep = verify(Arc::new(disk.clone())).unwrap();
    let shallow = stat(Arc::new(disk)).unwrap();
    assert_eq!(deep, Summary { payloads_verified: true, ..shallow });
    assert_eq!(deep.records, all.len() as u64);
    assert_eq!(deep.records_by_kind.iter().sum::<u64>(), deep.records);
    assert_eq!((deep.records_by_kind[0], deep.records_by_kind[2]), (1, 1));
    assert_eq!(deep.records_by_kind[Kind::Seal as usize - 1], 2);
    assert_eq!((deep.commands, deep.first_sequence, deep.last_sequence), (400, 1, 400));
    assert_eq!(deep.segments, 4);
    assert_eq!(deep.torn_blocks, 0);
}

#[test]
fn recovery_shows_each_record_and_stops_at_a_refusal() {
    let (disk, all) = small(20);
    let mut seen = Vec::new();
    let (_, recovery) = Journal::recover_with(
        Arc::new(disk.clone()),
        CONFIG,
        Expect::default(),
        &mut |header, payload| {
            seen.push((header.hash, payload.to_vec()));
            Ok(())
        },
    )
    .unwrap();
    assert_eq!(seen, all);
    assert_eq!(recovery.records, all.len() as u64);
    let refused =
        Journal::recover_with(Arc::new(disk), CONFIG, Expect::default(), &mut |header, _| {
            if header.index == 5 { Err("five".into()) } else { Ok(()) }
        });
    let text = refused.err().unwrap().to_string();
    assert!(text.contains("record 5") && text.contains("five"), "{text}");
}
