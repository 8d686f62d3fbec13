//! The past is the same from wherever it is told: from the genesis record, from any snapshot, from
//! a journal whose beginning is gone; and what is gone is said to be.

use std::ops::ControlFlow;

use journal::{Kind, ReadError, retire};
use pipeline::{Met, Past, PastError};
use protocol::Sequence;
use protocol::effect::Effect;

use crate::shelf::{END, OPTIONS, Shelf, digests};

fn effects(past: &Past, after: u64, through: u64, until: u64) -> Vec<Effect> {
    let mut all = Vec::new();
    let told = past
        .effects(Sequence(after), Sequence(through), until, &mut |block| {
            all.extend_from_slice(block);
            ControlFlow::<()>::Continue(())
        })
        .unwrap();
    assert!(told.is_continue());
    all
}

/// Takes two snapshots and removes what lies before the older one.
fn shorten(shelf: &Shelf) -> u64 {
    let base = shelf.take(shelf.last() * 3 / 4).meta.index;
    shelf.take(shelf.last() - 2);
    assert!(retire(&shelf.disk, base).unwrap().segments > 0);
    base
}

#[test]
fn the_boundary_of_each_sequence_is_found_until_it_is_gone() {
    let shelf = Shelf::new();
    let find = |next| shelf.past().boundary_at(Sequence(next), shelf.last()).unwrap();
    let check = |oldest: u64| {
        let last = shelf.records.last().unwrap().0;
        let first = shelf.records[oldest as usize - 1].0.first_sequence;
        for next in 1..=last.next_sequence() + 3 {
            let is_boundary = |kind| matches!(kind, Some(Kind::Genesis | Kind::Commands));
            let record = shelf.records.iter().map(|(header, _)| header);
            let ends = record.clone().find(|header| {
                header.index >= oldest
                    && is_boundary(header.kind())
                    && header.next_sequence() == next
            });
            let expected = match ends {
                Some(header) => Met::Record(*header),
                None if next > last.next_sequence() => Met::Ahead,
                None if oldest > 1 && next <= first => Met::Gone { first: Sequence(first) },
                None => Met::Inside,
            };
            assert_eq!(find(next), expected, "{next}");
        }
    };
    check(1);
    // What is behind the record named is not looked at.
    let early = shelf.past().boundary_at(Sequence(20), 4).unwrap();
    assert_eq!(early, Met::Ahead);
    shorten(&shelf);
    let oldest = journal::first_record(&shelf.disk).unwrap().index;
    assert!(oldest > 1);
    check(oldest);
}

#[test]
fn effects_from_a_snapshot_are_those_from_the_genesis_record() {
    let shelf = Shelf::new();
    let last = shelf.records.last().unwrap().0.next_sequence() - 1;
    let from_genesis = effects(&shelf.past(), 0, last, shelf.last());
    assert!(from_genesis.len() > last as usize / 2);
    let part = |after: u64, through: u64| {
        let is_wanted = |effect: &&Effect| after < effect.sequence && effect.sequence <= through;
        from_genesis.iter().filter(is_wanted).copied().collect::<Vec<_>>()
    };
    let ranges = [(0, last), (5, 9), (last / 2, last / 2 + 3), (last - 9, last), (last, last)];
    for index in [1, shelf.last() / 4, shelf.last() / 2, shelf.last()] {
        shelf.take(index);
        for (after, through) in ranges {
            assert_eq!(
                effects(&shelf.past(), after, through, shelf.last()),
                part(after, through),
                "{after}..{through} with the snapshot of record {index}"
            );
        }
    }
    let base = shorten(&shelf);
    let after = shelf.at(base).engine().unwrap().executed().0;
    assert_eq!(effects(&shelf.past(), after, last, shelf.last()), part(after, last));
    // Whoever takes them may have enough.
    let broken = shelf.past().effects(Sequence(after), Sequence(last), shelf.last(), &mut |_| {
        ControlFlow::Break("enough")
    });
    assert_eq!(broken.unwrap(), ControlFlow::Break("enough"));
}

#[test]
fn a_replay_begins_at_or_before_what_is_wanted_and_goes_through_what_is_durable() {
    let shelf = Shelf::new();
    let metas = [2, shelf.last() / 2, shelf.last() - 4].map(|index| shelf.take(index).meta);
    let commands = |header: &journal::RecordHeader| header.kind() == Some(Kind::Commands);
    for (header, _) in shelf.records.iter().filter(|(header, _)| commands(header)) {
        let wanted = Sequence(header.next_sequence() - 1);
        let mut replay = shelf.past().replay_from(wanted, OPTIONS, header.index).unwrap();
        let expected = metas.iter().rev().find(|meta| meta.sequence <= wanted);
        assert_eq!(replay.snapshot().map(|taken| taken.meta), expected.copied());
        assert!(replay.executed() <= wanted);
        while replay.next(|_| ()).unwrap().is_some() {}
        assert_eq!((replay.executed(), replay.index()), (wanted, header.index));
        let whole = shelf.at(header.index);
        assert_eq!(digests(replay.engine()), digests(whole.engine().unwrap()));
        assert_eq!(replay.boundary(), whole.boundary());
    }
}

#[test]
fn what_no_snapshot_reaches_back_to_is_gone() {
    let shelf = Shelf::new();
    let base = shorten(&shelf);
    let at_base = shelf.at(base).engine().unwrap().executed();
    assert!(shelf.past().replay_from(at_base, OPTIONS, shelf.last()).is_ok());
    let before = Sequence(at_base.0 - 1);
    let error = shelf.past().replay_from(before, OPTIONS, shelf.last()).err().unwrap();
    assert!(matches!(&error, PastError::Gone { wanted, .. } if *wanted == before), "{error}");
    // A snapshot that cannot be read is named.
    let names = shelf.files.names();
    shelf.files.flip(&names[0], 400, 1);
    let error = shelf.past().replay_from(at_base, OPTIONS, shelf.last()).err().unwrap();
    assert!(error.to_string().contains(&names[0]), "{error}");
}

#[test]
fn a_snapshot_of_another_history_begins_nothing() {
    let shelf = Shelf::new();
    let replayer = shelf.at(shelf.last() / 2);
    let (mut boundary, index) = (replayer.boundary(), replayer.index());
    boundary.chain_hash[0] ^= 1;
    let engine = replayer.into_engine().unwrap();
    pipeline::take(&shelf.catalogue(), engine, boundary, index, OPTIONS).unwrap();
    let error = shelf.past().replay_from(END, OPTIONS, shelf.last()).err().unwrap();
    assert!(matches!(error, PastError::Read(ReadError::OtherHistory { .. })), "{error}");
}
