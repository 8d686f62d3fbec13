//! String keys in the settled history: what every source must answer, and refuse to answer.

use std::sync::Arc;

use protocol::Sequence;
use settlement::keys::{Key, KeyAnswer, KeyError, desk};
use settlement::{Batch, KeyReader, Sink, SinkError, Watermark};
use tokio::runtime::{Builder, Runtime};

use crate::conformance::{Blocks, Place, assert_settled, commit};
use crate::journal::{FRAME, Journal};
use crate::live::Settlement;

/// A desk on a thread, and a way to ask it.
pub(crate) struct Asking {
    reader: KeyReader,
    runtime: Runtime,
}

impl Asking {
    pub(crate) fn of(place: &impl Place) -> Self {
        Self::by(place, FRAME, 1)
    }

    fn by(place: &impl Place, frame: u128, epoch: u64) -> Self {
        let (reader, desk) = desk(place.keys(), frame, epoch);
        std::thread::spawn(|| desk.run());
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        Self { reader, runtime }
    }

    pub(crate) fn ask(&self, key: Key) -> Result<KeyAnswer, KeyError> {
        self.runtime.block_on(self.reader.find(key))
    }

    pub(crate) fn refused(&self, key: Key) -> Arc<SinkError> {
        match self.ask(key) {
            Err(KeyError::Database(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    /// Every key of the first `through` sequences is found if and only if it is settled.
    pub(crate) fn check(&self, through: u64) -> Sequence {
        let mut last = Sequence(0);
        for sequence in 1..=through {
            let Some((key, used)) = Journal::key(sequence) else {
                continue;
            };
            let answer = self.ask(key).unwrap();
            let is_settled = sequence <= answer.settled_through.0;
            assert_eq!(answer.found, is_settled.then_some(used), "{sequence}: {answer:?}");
            last = answer.settled_through;
        }
        last
    }
}

/// A key that the journal uses at sequence 3.
fn third() -> Key {
    Journal::key(3).unwrap().0
}

fn settled(place: &impl Place, journal: &mut Journal) -> Watermark {
    let mut sink = place.sink();
    sink.connect().unwrap();
    journal.execute(10);
    commit(&mut sink, journal, None).unwrap()
}

pub(crate) fn a_key_is_found_once_it_is_settled(place: &impl Place) {
    let keys = Asking::of(place);
    let absent = keys.refused(third());
    let passing = matches!(*absent, SinkError::Retryable(_) | SinkError::Refused(_));
    assert!(passing, "no tables yet: {absent}");
    let mut journal = Journal::new(30);
    let mut sink = place.sink();
    sink.connect().unwrap();
    let empty = KeyAnswer { settled_through: Sequence(0), found: None };
    assert_eq!(keys.ask(third()).unwrap(), empty);
    let mut expected = None;
    for records in [2, 40, 1] {
        journal.execute(records);
        expected = Some(commit(&mut sink, &mut journal, expected.as_ref()).unwrap());
        assert_eq!(keys.check(journal.through() + 9).0, journal.through());
    }
    let others = Key { principal: third().principal + 1, ..third() };
    assert_eq!(keys.ask(others).unwrap().found, None, "a key is its principal's own");
}

pub(crate) fn a_keys_answer_and_its_watermark_are_of_one_snapshot(place: &impl Place) {
    let journal = Journal::shared(31);
    let settlement = Settlement::start(place.sink(), &journal);
    settlement.load(1);
    let keys = Asking::of(place);
    for _ in 0..20 {
        settlement.load(1);
        let through = journal.lock().unwrap().through();
        // From the newest on, which are being settled while they are asked for.
        for sequence in (through.saturating_sub(30).max(1)..=through + 3).rev() {
            if let Some((key, used)) = Journal::key(sequence) {
                let answer = keys.ask(key).unwrap();
                let is_settled = sequence <= answer.settled_through.0;
                assert_eq!(answer.found, is_settled.then_some(used), "{sequence}: {answer:?}");
            }
        }
    }
    settlement.drain();
    let through = journal.lock().unwrap().through();
    assert_eq!(keys.check(through).0, through);
}

pub(crate) fn another_frames_keys_are_not_answered(place: &impl Place) {
    settled(place, &mut Journal::new(32));
    let foreign = Asking::by(place, FRAME + 1, 1).refused(third());
    assert!(matches!(*foreign, SinkError::Foreign { .. }), "{foreign}");
    let older = Asking::by(place, FRAME, 0).refused(third());
    assert!(matches!(*older, SinkError::Fenced { ours: 0, theirs: 1 }), "{older}");
    assert_eq!(Asking::by(place, FRAME, 2).check(10), Sequence(10));
}

pub(crate) fn an_older_copy_says_through_where_it_knows_keys(place: &impl Place) {
    let mut journal = Journal::new(33);
    let first = settled(place, &mut journal);
    place.backup();
    let keys = Asking::of(place);
    assert_eq!(keys.check(20), Sequence(10));
    let mut sink = place.sink();
    sink.connect().unwrap();
    journal.execute(10);
    commit(&mut sink, &mut journal, Some(&first)).unwrap();
    assert_eq!(keys.check(20), Sequence(20));
    drop(sink);
    place.restore();
    assert_eq!(keys.check(20), Sequence(10));
}

pub(crate) fn a_history_with_a_hole_proves_no_key_unused(place: &impl Place) {
    let mut journal = Journal::new(34);
    let first = settled(place, &mut journal);
    let keys = Asking::of(place);
    assert_eq!(keys.check(10), Sequence(10));
    journal.execute(5);
    let cut = journal.cut(false);
    let batch = Batch { cut: &cut, after: first.through(), history: false };
    let mut sink = place.sink();
    sink.connect().unwrap();
    sink.commit(&batch, Some(&first), &mut Blocks(Vec::new(), false)).unwrap();
    let refused = keys.refused(third());
    assert!(matches!(*refused, SinkError::Hole { batch: 2 }), "{refused}");
}

pub(crate) fn a_key_beyond_the_watermark_is_refused(place: &impl Place) {
    settled(place, &mut Journal::new(35));
    place.run("UPDATE {keys} SET sequence = 11 WHERE sequence = 3 AND event = 80");
    let refused = Asking::of(place).refused(third());
    assert!(matches!(*refused, SinkError::Unreadable { .. }), "{refused}");
}

pub(crate) fn the_first_use_of_a_key_is_the_one_that_counts(place: &impl Place) {
    settled(place, &mut Journal::new(36));
    place.run(
        "UPDATE {keys} SET (debit, reference) =
             (SELECT debit, reference FROM {keys} WHERE sequence = 3 AND event = 80)
         WHERE sequence = 6 AND event = 80",
    );
    let found = Asking::of(place).ask(third()).unwrap().found;
    assert_eq!(found, Journal::key(3).map(|(_, used)| used));
}

pub(crate) fn an_older_schema_is_brought_up_to_date_by_the_sink_alone(place: &impl Place) {
    let mut journal = Journal::new(37);
    let settled = settled(place, &mut journal);
    place.age();
    let keys = Asking::of(place);
    let refused = keys.refused(third());
    assert!(matches!(*refused, SinkError::Retryable(_)), "{refused}");
    let mut sink = place.sink();
    sink.connect().unwrap();
    assert_eq!(keys.check(10), Sequence(10));
    assert_settled(&sink.read_back().unwrap(), &journal);
    // What was there and what comes now make one history.
    journal.execute(30);
    commit(&mut sink, &mut journal, Some(&settled)).unwrap();
    assert_eq!(keys.check(40), Sequence(40));
    assert_settled(&sink.read_back().unwrap(), &journal);
    place.run("INSERT INTO {schema}schema_version (version) VALUES (99)");
    let refused = Asking::of(place).refused(third());
    assert!(matches!(*refused, SinkError::Schema { found: 99, .. }), "{refused}");
}
