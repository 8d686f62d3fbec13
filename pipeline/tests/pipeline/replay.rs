//! A replay trusts nothing: it reproduces the run, or names the record where it does not.

use std::sync::Arc;

use engine::{Engine, Options, PinError};
use journal::{Kind, Reader, RecordHeader};
use pipeline::{ReplayError, Replayer, genesis_of};
use protocol::parameter::Parameter;
use protocol::{Command, Role, Sequence, flags, system};

use crate::rig::{Rig, SECOND, agent, genesis};

type Record = (RecordHeader, Vec<u8>);

fn records() -> Vec<Record> {
    let mut rig = Rig::new();
    rig.open_accounts();
    for n in 0..40 {
        rig.pay(n, 1 + n as usize % 5).unwrap();
        rig.now_ns += SECOND / 10;
        rig.turn();
        rig.replies();
    }
    rig.disk.kill();
    let mut reader = Reader::open(Arc::new(rig.disk), 1).unwrap();
    let mut records = Vec::new();
    while let Some((header, payload)) = reader.next().unwrap() {
        records.push((*header, payload.to_vec()));
    }
    records
}

fn replay(records: &[Record]) -> Result<Replayer, ReplayError> {
    let mut replayer = Replayer::new(Options::default());
    for (header, payload) in records {
        replayer.apply(header, payload, |_| ())?;
    }
    Ok(replayer)
}

#[test]
fn a_replay_gives_the_same_state_twice_and_from_every_reader() {
    let records = records();
    let kinds: Vec<_> = records.iter().map(|(header, _)| header.kind()).collect();
    assert!(kinds.contains(&Some(Kind::Seal)), "several segments");
    let once = replay(&records).unwrap();
    let twice = replay(&records).unwrap();
    let digests = |replayer: &Replayer| {
        let engine = replayer.engine().unwrap();
        (engine.run_digest(), engine.image_digest())
    };
    assert_eq!(digests(&once), digests(&twice));
    assert_eq!(genesis_of(&records[0].0, &records[0].1).unwrap(), genesis());
}

/// The engine as it is after a way through its bytes.
fn through_bytes(engine: &Engine) -> Engine {
    let mut bytes = Vec::new();
    engine.write_state(&mut |part| bytes.extend_from_slice(part));
    let mut rest = &*bytes;
    let read = Engine::read_state(Options::default(), &mut |part: &mut [u8]| {
        let (head, tail) = rest.split_at(part.len());
        part.copy_from_slice(head);
        rest = tail;
        true
    });
    read.unwrap()
}

#[test]
fn a_replay_goes_on_behind_any_record() {
    let records = records();
    let whole = replay(&records).unwrap();
    for end in 1..=records.len() {
        let past = replay(&records[..end]).unwrap();
        let engine = through_bytes(past.engine().unwrap());
        let (boundary, index) = (past.boundary(), past.index());
        let mut replayer = Replayer::resume(Options::default(), engine, boundary, index);
        for (header, payload) in records.iter().filter(|(header, _)| header.index > index) {
            replayer.apply(header, payload, |_| ()).unwrap();
        }
        assert_eq!((replayer.boundary(), replayer.index()), (whole.boundary(), whole.index()));
        let images = [&replayer, &whole].map(|replayer| replayer.engine().unwrap().image_digest());
        assert_eq!(images[0], images[1], "behind record {index}");
    }
    // A state that is not the one of its record is caught by the next digest.
    let strange = through_bytes(replay(&records[..1]).unwrap().engine().unwrap());
    let boundary = whole.boundary();
    let mut replayer = Replayer::resume(Options::default(), strange, boundary, 1);
    let second = records.iter().filter(|(header, _)| header.commands > 0).nth(1).unwrap();
    assert!(replayer.apply(&second.0, &second.1, |_| ()).is_err());
}

#[test]
fn a_wrong_record_is_named() {
    let good = records();
    let at = good.iter().rposition(|(header, _)| header.kind() == Some(Kind::Commands)).unwrap();
    let index = good[at].0.index;
    let broken = |change: fn(&mut Record)| {
        let mut records = good.clone();
        change(&mut records[at]);
        replay(&records).err().expect("a broken record is refused")
    };
    let error = broken(|(header, _)| header.rules += 1);
    assert!(matches!(error, ReplayError::Rules { index: i, .. } if i == index));
    let error = broken(|(header, _)| header.first_sequence += 1);
    assert!(matches!(error, ReplayError::Sequence { index: i, .. } if i == index));
    let error = broken(|(header, _)| header.timestamp_ns = 1);
    assert!(matches!(error, ReplayError::Time { index: i, .. } if i == index));
    let error = broken(|(header, _)| header.commands += 1);
    assert!(matches!(error, ReplayError::Commands { index: i, .. } if i == index));
    let error = broken(|(header, _)| header.run_digest[3] ^= 1);
    assert!(matches!(error, ReplayError::Digest { index: i, .. } if i == index));
    let error = broken(|(header, _)| header.executed_sequence += 1_000);
    assert!(matches!(error, ReplayError::DigestPlace { index: i, .. } if i == index));
    let error = broken(|(_, payload)| payload.truncate(100));
    assert!(matches!(error, ReplayError::Payload { index: i, .. } if i == index));
    let error = broken(|(header, _)| header.kind = Kind::Membership as u16);
    assert!(matches!(error, ReplayError::Kind { index: i, .. } if i == index));
    let error = broken(|(header, _)| header.kind = Kind::Genesis as u16);
    assert!(matches!(error, ReplayError::SecondGenesis { .. }));
}

#[test]
fn an_altered_payment_is_caught_by_the_next_digest() {
    let mut records = records();
    let at =
        records.iter().position(|(header, _)| header.kind() == Some(Kind::Commands)).unwrap() + 2;
    // The amount of the record's first command, a payment.
    records[at].1[64 + 48] ^= 1;
    let error = replay(&records).err().expect("an altered payment is refused");
    assert!(matches!(error, ReplayError::Digest { .. }), "{error}");
}

#[test]
fn a_replay_begins_with_the_genesis_record() {
    let records = records();
    let error = replay(&records[1..]).err().unwrap();
    assert!(matches!(error, ReplayError::NoGenesis { index: 2 }));
}

/// A last record of one request with a chain in its middle, and what comes before it.
fn with_a_chain() -> (Vec<Record>, Record) {
    let mut rig = Rig::new();
    rig.open_accounts();
    let mut slots: Vec<_> =
        (0..6).map(|_| Command::transfer(rig.id(), agent(0), agent(1), 1, 1_000)).collect();
    for leg in &mut slots[2..4] {
        leg.flags |= flags::LINKED;
    }
    rig.now_ns += SECOND / 10;
    rig.send(Role::Agent, agent(0), &slots).unwrap();
    rig.turn();
    rig.disk.kill();
    let mut reader = Reader::open(Arc::new(rig.disk), 1).unwrap();
    let mut records = Vec::new();
    while let Some((header, payload)) = reader.next().unwrap() {
        records.push((*header, payload.to_vec()));
    }
    let is_commands = |(header, _): &Record| header.kind() == Some(Kind::Commands);
    let at = records.iter().rposition(is_commands).unwrap();
    let last = records[at].clone();
    records.truncate(at);
    (records, last)
}

#[test]
fn a_record_is_replayed_through_any_of_its_commands() {
    let (before, (header, payload)) = with_a_chain();
    assert_eq!(header.commands, 6);
    let begin = replay(&before).unwrap().engine().unwrap().account(agent(1), 1).unwrap().liquid;
    let executed = header.first_sequence - 1;
    for (asked, done) in [(1, 1), (2, 2), (3, 5), (4, 5), (5, 5), (6, 6), (9, 6)] {
        let mut replayer = replay(&before).unwrap();
        let through = Sequence(executed + asked);
        replayer.apply_through(&header, &payload, through, |_| ()).unwrap();
        let engine = replayer.engine().unwrap();
        assert_eq!(engine.executed().0, executed + done, "asked for {asked}");
        let paid = engine.account(agent(1), 1).unwrap().liquid - begin;
        assert_eq!(paid, 995 * i128::from(done));
        assert_eq!(engine.supply(), engine.recount());
        let again = replayer.apply(&header, &payload, |_| ());
        assert!(again.is_err(), "a record is applied once");
    }
}

#[test]
fn an_altered_replay_goes_its_own_way() {
    let records = records();
    let replayed = |values: &[(Parameter, u128)]| {
        let mut replayer = replay(&records[..1]).unwrap();
        replayer.alter(values).unwrap();
        for (header, payload) in &records[1..] {
            replayer.apply(header, payload, |_| ()).unwrap();
        }
        replayer.into_engine().unwrap()
    };
    let run = replay(&records).unwrap().into_engine().unwrap();
    let same = replayed(&[(Parameter::FeeBase, 5_000)]);
    assert_eq!(same.image_digest(), run.image_digest());
    let other = replayed(&[(Parameter::FeeBase, 50_000)]);
    assert_eq!(other.executed(), run.executed());
    assert_ne!(other.run_digest(), run.run_digest());
    let collected = |engine: &Engine| engine.account(system::fee_collector(0), 1).unwrap().liquid;
    assert!(collected(&other) >= collected(&run));
    let mut replayer = replay(&records[..1]).unwrap();
    let refused = replayer.alter(&[(Parameter::FeeBase, 50_001)]);
    assert_eq!(refused, Err(PinError::Bounds(Parameter::FeeBase)));
    // A digest that is wrong is nothing to such a replay; a gap still is.
    let gap = &records[records.len() - 1];
    assert!(replayer.apply(&gap.0, &gap.1, |_| ()).is_err());
}
