//! Entries of accounts in the settled history: what every source must answer.

use std::sync::Arc;

use protocol::batch::SettledBatch;
use protocol::effect::{Effect, Event, TIMER_LEG};
use protocol::entry::{EntryAnswer, EntryBoundary, EntryQuestion};
use protocol::feed::{Followed, Place};
use protocol::{OwnerId, Sequence};
use settlement::entries::{EntryError, desk};
use settlement::{Batch, EntryReader, Sink, SinkError, Watermark};
use tokio::runtime::{Builder, Runtime};

use crate::conformance::{Blocks, Place as Database, commit};
use crate::journal::{FRAME, Journal};
use crate::live::Settlement;

/// A desk on a thread, and a way to ask it.
struct Asking {
    reader: EntryReader,
    runtime: Runtime,
}

impl Asking {
    fn of(place: &impl Database) -> Self {
        Self::by(place, FRAME, 1)
    }

    fn by(place: &impl Database, frame: u128, epoch: u64) -> Self {
        let (reader, desk) = desk(place.entries(), frame, epoch);
        std::thread::spawn(|| desk.run());
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        Self { reader, runtime }
    }

    fn ask(&self, question: EntryQuestion) -> Result<EntryAnswer, EntryError> {
        self.runtime.block_on(self.reader.read(question))
    }

    fn refused(&self) -> Arc<SinkError> {
        match self.ask(from_the_first(1)) {
            Err(EntryError::Database(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    fn boundary(&self, time_ns: u64) -> EntryBoundary {
        self.runtime.block_on(self.reader.boundary(time_ns)).unwrap()
    }

    /// Every entry, by pages of up to `entries_max`, and how far they reach.
    fn all(&self, mut question: EntryQuestion) -> (Vec<Followed>, Place) {
        let mut all = Vec::new();
        loop {
            let answer = self.ask(question).unwrap();
            assert!(answer.entries.len() <= question.entries_max as usize);
            all.extend(answer.entries);
            if answer.reached == question.after {
                return (all, answer.reached);
            }
            question.after = answer.reached;
        }
    }
}

fn from_the_first(owner: OwnerId) -> EntryQuestion {
    let after = Place::after(0);
    let owner = Some(owner);
    EntryQuestion { owner, asset: None, after, through: u64::MAX, entries_max: 100 }
}

fn effects(entries: &[Followed]) -> Vec<Effect> {
    entries.iter().map(|entry| entry.effect).collect()
}

/// What the journal has of `owner` through a sequence.
fn told(journal: &Journal, owner: OwnerId, through: u64) -> Vec<Effect> {
    let is_theirs = |effect: &Effect| {
        effect.event != Event::KeyUsed.number() && [effect.debit, effect.credit].contains(&owner)
    };
    journal.effects(0, through).into_iter().filter(is_theirs).collect()
}

fn settled(place: &impl Database, journal: &mut Journal) -> Watermark {
    let mut sink = place.sink();
    sink.connect().unwrap();
    journal.execute(10);
    commit(&mut sink, journal, None).unwrap()
}

pub(crate) fn pages_joined_are_the_journals_entries(place: &impl Database) {
    let mut journal = Journal::new(60);
    let mut sink = place.sink();
    sink.connect().unwrap();
    let asking = Asking::of(place);
    assert_eq!(asking.all(from_the_first(1)), (Vec::new(), Place::after(0)), "nothing settled");
    let mut expected = None;
    for (records, entries_max) in [(300, 1), (2, 7), (500, 1_000)] {
        journal.execute(records);
        expected = Some(commit(&mut sink, &mut journal, expected.as_ref()).unwrap());
        let through = journal.through();
        let mut every = journal.effects(0, through);
        every.retain(|effect| effect.event != Event::KeyUsed.number());
        let everybody = EntryQuestion { owner: None, entries_max, ..from_the_first(1) };
        assert_eq!(effects(&asking.all(everybody).0), every);
        for account in journal.accounts() {
            let question = EntryQuestion { entries_max, ..from_the_first(account.owner) };
            let (all, reached) = asking.all(question);
            assert_eq!(effects(&all), told(&journal, account.owner, through));
            assert_eq!(reached, Place::after(through));
            let none = EntryQuestion { asset: Some(2), ..question };
            assert_eq!(asking.all(none), (Vec::new(), Place::after(through)));
            let part = EntryQuestion { through: 100, asset: Some(1), ..question };
            assert_eq!(effects(&asking.all(part).0), told(&journal, account.owner, 100));
        }
    }
}

pub(crate) fn entries_and_how_far_they_reach_are_of_one_snapshot(place: &impl Database) {
    let journal = Journal::shared(61);
    let settlement = Settlement::start(place.sink(), &journal);
    settlement.load(1);
    let asking = Asking::of(place);
    let owner = journal.lock().unwrap().accounts()[0].owner;
    let mut question = EntryQuestion { entries_max: 5, ..from_the_first(owner) };
    let mut all = Vec::new();
    for _ in 0..60 {
        settlement.load(1);
        let answer = asking.ask(question).unwrap();
        all.extend(answer.entries);
        question.after = answer.reached;
        let reached = question.after;
        let mut should = told(&journal.lock().unwrap(), owner, reached.sequence());
        should.retain(|effect| Place::of(effect.sequence, effect.leg) <= reached);
        assert_eq!(effects(&all), should, "through {reached}");
    }
    settlement.drain();
}

pub(crate) fn timers_come_before_the_commands_of_their_sequence(place: &impl Database) {
    let mut journal = Journal::new(62);
    journal.execute(5);
    let at = |sequence, leg| Effect {
        sequence,
        leg,
        event: Event::HoldExpired.number(),
        asset: 1,
        debit: 7,
        credit: 7,
        ..Effect::default()
    };
    let rows = vec![at(4, 0), at(5, 0), at(5, 1), at(5, TIMER_LEG), at(5, TIMER_LEG + 1)];
    let cut = journal.cut(false);
    let batch = Batch { cut: &cut, after: Sequence(0), history: true };
    let mut sink = place.sink();
    sink.connect().unwrap();
    sink.commit(&batch, None, &mut Blocks(rows, false)).unwrap();
    let asking = Asking::of(place);
    for entries_max in [1, 2, 3, 100] {
        let (all, _) = asking.all(EntryQuestion { entries_max, ..from_the_first(7) });
        let places: Vec<_> = all.iter().map(|entry| entry.place().to_string()).collect();
        assert_eq!(places, ["4.0", "5.32768", "5.32769", "5.0", "5.1"], "{entries_max} a page");
    }
}

pub(crate) fn an_entry_has_the_time_of_its_batch_which_parts_ranges(place: &impl Database) {
    let mut journal = Journal::new(63);
    let mut sink = place.sink();
    sink.connect().unwrap();
    let asking = Asking::of(place);
    let empty = EntryBoundary { before: 0, is_passed: false };
    assert_eq!(asking.boundary(u64::MAX), empty);
    let mut expected = None;
    let mut batches = Vec::new();
    for records in [40, 1, 60] {
        journal.execute(records);
        let mark = commit(&mut sink, &mut journal, expected.as_ref()).unwrap();
        batches.push((mark.through().0, mark.timestamp));
        expected = Some(mark);
    }
    for account in journal.accounts() {
        for entry in asking.all(from_the_first(account.owner)).0 {
            let batch = batches.iter().find(|(through, _)| entry.effect.sequence <= *through);
            assert_eq!(Some(entry.timestamp_ns), batch.map(|(_, time)| *time));
        }
    }
    assert_eq!(asking.boundary(0), EntryBoundary { before: 0, is_passed: true });
    let mut before = 0;
    for (through, time) in batches {
        assert_eq!(asking.boundary(time), EntryBoundary { before, is_passed: true });
        before = through;
    }
    assert_eq!(asking.boundary(u64::MAX), EntryBoundary { before, is_passed: false });
}

pub(crate) fn what_lies_before_a_hole_is_named_and_not_left_out(place: &impl Database) {
    let mut journal = Journal::new(64);
    let first = settled(place, &mut journal);
    let asking = Asking::of(place);
    journal.execute(5);
    let cut = journal.cut(false);
    let batch = Batch { cut: &cut, after: first.through(), history: false };
    let mut sink = place.sink();
    sink.connect().unwrap();
    sink.commit(&batch, Some(&first), &mut Blocks(Vec::new(), false)).unwrap();
    let second = batch.target();
    journal.execute(50);
    commit(&mut sink, &mut journal, Some(&second)).unwrap();
    for account in journal.accounts() {
        let question = from_the_first(account.owner);
        let answer = asking.ask(question).unwrap();
        assert_eq!((answer.whole_behind, answer.entries), (15, Vec::new()));
        let (all, _) = asking.all(EntryQuestion { after: Place::after(15), ..question });
        let mut should = told(&journal, account.owner, journal.through());
        should.retain(|effect| effect.sequence > 15);
        assert_eq!(effects(&all), should);
    }
    // What was archived is a hole as well.
    place.run("DELETE FROM {schema}settlement_batches WHERE batch < 3");
    assert_eq!(asking.ask(from_the_first(1)).unwrap().whole_behind, 15);
}

pub(crate) fn batches_are_told_in_order_as_they_were_written(place: &impl Database) {
    let mut journal = Journal::new(66);
    let mut sink = place.sink();
    sink.connect().unwrap();
    let asking = Asking::of(place);
    let batches = |after, max| asking.runtime.block_on(asking.reader.batches(after, max)).unwrap();
    assert_eq!(batches(0, 10), []);
    let mut expected: Option<Watermark> = None;
    let mut all = Vec::new();
    for (number, records) in (1..).zip([40, 1, 60]) {
        journal.execute(records);
        let from = expected.as_ref().map_or(1, |mark| mark.next_sequence.0);
        let mark = commit(&mut sink, &mut journal, expected.as_ref()).unwrap();
        let through = mark.through().0;
        let effects = u64::try_from(journal.effects(from - 1, through).len()).unwrap();
        all.push((number, from, through, Some(effects), mark.chain_hash, mark.run_digest));
        expected = Some(mark);
    }
    let told = |batch: &SettledBatch| {
        let SettledBatch { batch, from, through, effects, chain_hash, run_digest, .. } = *batch;
        (batch, from, through, effects, chain_hash, run_digest)
    };
    let found = batches(0, 10);
    assert_eq!(found.iter().map(told).collect::<Vec<_>>(), all);
    assert!(found.iter().all(|batch| batch.epoch == 1 && batch.accounts > 0));
    assert_eq!(batches(0, 2), found[..2]);
    assert_eq!(batches(40, 10), found[1..]);
    assert_eq!(batches(39, 1), found[..1]);
    assert_eq!(batches(u64::MAX, 10), []);
}

pub(crate) fn another_frames_entries_are_not_answered(place: &impl Database) {
    let absent = Asking::of(place).refused();
    let passing = matches!(*absent, SinkError::Retryable(_) | SinkError::Refused(_));
    assert!(passing, "no tables yet: {absent}");
    settled(place, &mut Journal::new(65));
    let foreign = Asking::by(place, FRAME + 1, 1).refused();
    assert!(matches!(*foreign, SinkError::Foreign { .. }), "{foreign}");
    let older = Asking::by(place, FRAME, 0).refused();
    assert!(matches!(*older, SinkError::Fenced { ours: 0, theirs: 1 }), "{older}");
    assert!(Asking::by(place, FRAME, 2).ask(from_the_first(1)).is_ok());
}
