//! What every sink must do. Each real one runs all of it.

use std::sync::Arc;

use protocol::Sequence;
use protocol::effect::Effect;
use protocol::wide::Wide;
use settlement::history::EffectWriter;
use settlement::sink::EffectSource;
use settlement::verify::{audit, verify};
use settlement::{
    Batch, EntrySource, Finding, KeySource, ReadBack, Sink, SinkError, Stop, Watermark,
};

use crate::journal::{FRAME, Journal, Shared};
use crate::live::Settlement;

/// An empty database of one test.
pub(crate) trait Place {
    type Sink: Sink + 'static;
    type Keys: KeySource + 'static;
    type Entries: EntrySource + 'static;
    /// A sink on it, not yet connected.
    fn sink(&self) -> Self::Sink;
    /// A reader of its keys.
    fn keys(&self) -> Self::Keys;
    /// A reader of its entries.
    fn entries(&self) -> Self::Entries;
    /// Keeps a copy.
    fn backup(&self);
    /// Puts the copy back under the running sink.
    fn restore(&self);
    /// Runs a statement; `{schema}` stands for the prefix of table names, `{keys}` for the table
    /// that used keys lie in.
    fn run(&self, sql: &str);
    /// Puts every row into the tables of version 1.
    fn age(&self);
}

/// Effects in blocks, or a failure after the first.
pub(crate) struct Blocks(pub(crate) Vec<Effect>, pub(crate) bool);

impl EffectSource for Blocks {
    fn deliver(&mut self, write: &mut EffectWriter<'_>) -> Result<(), SinkError> {
        for block in self.0.chunks(11) {
            write(block)?;
            if self.1 {
                return Err(SinkError::Retryable("the journal's disk is gone".into()));
            }
        }
        Ok(())
    }
}

/// Commits what is new in `journal`.
pub(crate) fn commit(
    sink: &mut impl Sink,
    journal: &mut Journal,
    expected: Option<&Watermark>,
) -> Result<Watermark, SinkError> {
    let cut = journal.cut(false);
    let after = expected.map_or(0, |expected| expected.through().0);
    let batch = Batch { cut: &cut, after: Sequence(after), history: true };
    let mut effects = Blocks(journal.effects(after, cut.through.0), false);
    sink.commit(&batch, expected, &mut effects)?;
    Ok(batch.target())
}

fn connected<P: Place>(place: &P) -> P::Sink {
    let mut sink = place.sink();
    sink.connect().unwrap();
    sink
}

/// Everything in SQL is what `journal` says, and adds up.
pub(crate) fn assert_settled(sql: &ReadBack, journal: &Journal) {
    let (accounts, supply) = (journal.accounts(), journal.supply());
    assert_eq!(verify(sql, &journal.watermark(), accounts, supply), []);
    assert_eq!(audit(sql), []);
    assert!(sql.has_whole_history());
    let effects = journal.effects(0, journal.through()).len();
    assert_eq!(usize::try_from(sql.effects).unwrap(), effects);
}

pub(crate) fn it_reads_back_what_was_settled(place: &impl Place) {
    let mut journal = Journal::new(1);
    let mut sink = connected(place);
    assert_eq!(sink.watermark().unwrap(), None);
    assert_eq!(sink.read_back().unwrap(), ReadBack::default());
    let mut expected = None;
    for records in [1, 40, 300, 1] {
        journal.execute(records);
        expected = Some(commit(&mut sink, &mut journal, expected.as_ref()).unwrap());
        assert_eq!(sink.watermark().unwrap(), expected);
    }
    assert_settled(&sink.read_back().unwrap(), &journal);
    drop(sink);
    let mut sink = connected(place);
    assert_eq!(sink.watermark().unwrap(), expected);
    let sql = sink.read_back().unwrap();
    assert_settled(&sql, &journal);
    assert_eq!(sql.balances, journal.accounts());
    assert_eq!(sql.supply, journal.supply());
    let issued: Wide = sql.postings[0].debit;
    assert_eq!((sql.postings[0].owner, issued), (None, sql.supply[0].issued));
    assert_eq!(sql.batches.count, 4);
}

pub(crate) fn an_unexpected_watermark_leaves_everything_as_it_was(place: &impl Place) {
    let mut journal = Journal::new(2);
    let mut sink = connected(place);
    journal.execute(5);
    let first = commit(&mut sink, &mut journal, None).unwrap();
    journal.execute(5);
    let second = commit(&mut sink, &mut journal, Some(&first)).unwrap();
    let before = sink.read_back().unwrap();
    journal.execute(5);
    let later = Watermark { next_sequence: Sequence(13), ..second.clone() };
    let other = Watermark { run_digest: [0; 16], ..second.clone() };
    for expected in [None, Some(&first), Some(&later), Some(&other)] {
        let refused = commit(&mut sink, &mut journal, expected).unwrap_err();
        let right = match expected {
            Some(expected) if *expected == later => matches!(refused, SinkError::Behind { .. }),
            Some(expected) if *expected == other => matches!(refused, SinkError::Diverged { .. }),
            _ => matches!(refused, SinkError::Ahead { .. }),
        };
        assert!(right, "{expected:?}: {refused}");
        sink.connect().unwrap();
        assert_eq!(sink.read_back().unwrap(), before);
    }
}

pub(crate) fn a_newer_leader_fences_the_older(place: &impl Place) {
    let mut journal = Journal::new(3);
    let mut old = connected(place);
    journal.execute(5);
    let first = commit(&mut old, &mut journal, None).unwrap();
    let mut new = connected(place);
    journal.execute(5);
    journal.epoch = 2;
    let second = commit(&mut new, &mut journal, Some(&first)).unwrap();
    // The old leader wakes up with the same commands still to settle.
    journal.epoch = 1;
    let refused = commit(&mut old, &mut journal, Some(&first)).unwrap_err();
    let fenced = matches!(refused, SinkError::Fenced { ours: 1, theirs: 2 });
    assert!(fenced, "{refused}");
    assert_eq!(new.watermark().unwrap(), Some(second));
    assert_settled(&new.read_back().unwrap(), &journal);
}

pub(crate) fn another_frames_database_is_not_touched(place: &impl Place) {
    let mut journal = Journal::new(4);
    let mut sink = connected(place);
    journal.execute(5);
    commit(&mut sink, &mut journal, None).unwrap();
    let before = sink.read_back().unwrap();
    let mut cut = journal.cut(true);
    cut.frame = FRAME + 1;
    let batch = Batch { cut: &cut, after: Sequence(0), history: false };
    let refused = sink.commit(&batch, None, &mut Blocks(Vec::new(), false)).unwrap_err();
    assert!(matches!(refused, SinkError::Foreign { .. }), "{refused}");
    sink.connect().unwrap();
    assert_eq!(sink.read_back().unwrap(), before);
}

pub(crate) fn a_batch_that_fails_half_way_leaves_nothing(place: &impl Place) {
    let mut journal = Journal::new(5);
    let mut sink = connected(place);
    journal.execute(50);
    let cut = journal.cut(true);
    let batch = Batch { cut: &cut, after: Sequence(0), history: true };
    let mut effects = Blocks(journal.effects(0, 50), true);
    sink.commit(&batch, None, &mut effects).unwrap_err();
    sink.connect().unwrap();
    assert_eq!(sink.read_back().unwrap(), ReadBack::default());
    effects.1 = false;
    sink.commit(&batch, None, &mut effects).unwrap();
    assert_settled(&sink.read_back().unwrap(), &journal);
}

pub(crate) fn a_newer_schema_is_refused(place: &impl Place) {
    connected(place);
    place.run("INSERT INTO {schema}schema_version (version) VALUES (99)");
    let refused = place.sink().connect().unwrap_err();
    let newer = matches!(refused, SinkError::Schema { found: 99, known: 4 });
    assert!(newer, "{refused}");
}

pub(crate) fn a_changed_row_is_named(place: &impl Place) {
    let mut journal = Journal::new(6);
    let mut sink = connected(place);
    journal.execute(100);
    commit(&mut sink, &mut journal, None).unwrap();
    let rich = "SELECT owner FROM {schema}account_balances ORDER BY owner LIMIT 1";
    place.run(&format!(
        "UPDATE {{schema}}account_balances SET held = '123456' WHERE owner = ({rich})"
    ));
    let sql = sink.read_back().unwrap();
    let (accounts, supply) = (journal.accounts(), journal.supply());
    let first = accounts[0];
    let found = verify(&sql, &journal.watermark(), accounts, supply);
    let wanted = Finding::Account {
        owner: first.owner,
        asset: 1,
        field: "held",
        sql: "123456".to_owned(),
        journal: first.held.to_string(),
    };
    assert_eq!(found, [wanted]);
    assert_eq!(audit(&sql).len(), 2, "the sums differ, and the postings");
}

pub(crate) fn a_growing_journal_is_settled_whole(place: &impl Place) {
    let journal = Journal::shared(7);
    let settlement = Settlement::start(place.sink(), &journal);
    settlement.load(8);
    settlement.drain();
    // A second process takes over where the first stopped.
    journal.lock().unwrap().restart();
    let settlement = Settlement::start(place.sink(), &journal);
    settlement.load(3);
    settlement.drain();
    check(place, &journal);
}

pub(crate) fn an_older_copy_put_back_is_noticed_and_made_whole(place: &impl Place) {
    let journal = Journal::shared(8);
    let settlement = Settlement::start(place.sink(), &journal);
    settlement.load(3);
    settlement.drain();
    place.backup();
    let settlement = Settlement::start(place.sink(), &journal);
    settlement.load(3);
    place.restore();
    settlement.load_until(|status| status.behind() > 0);
    settlement.drain();
    check(place, &journal);
}

pub(crate) fn an_older_copy_that_the_journal_cannot_reach_stops_settlement(place: &impl Place) {
    let journal = Journal::shared(9);
    let settlement = Settlement::start(place.sink(), &journal);
    settlement.load(2);
    settlement.drain();
    place.backup();
    let kept = connected(place).watermark().unwrap();
    let settlement = Settlement::start(place.sink(), &journal);
    settlement.load(2);
    {
        let mut journal = journal.lock().unwrap();
        journal.execute(1);
        journal.first = journal.through();
    }
    let status = Arc::clone(&settlement.status);
    assert!(status.stored() > kept.as_ref().unwrap().through());
    place.restore();
    assert_eq!(settlement.end(), Stop::JournalTooShort);
    assert_eq!(status.stored(), kept.as_ref().unwrap().through(), "what is there, not what was");
    assert_eq!(connected(place).watermark().unwrap(), kept);
}

pub(crate) fn an_emptied_database_is_known_to_hold_nothing(place: &impl Place) {
    let journal = Journal::shared(12);
    drop(connected(place));
    place.backup();
    let settlement = Settlement::start(place.sink(), &journal);
    settlement.load(2);
    let status = Arc::clone(&settlement.status);
    assert!(status.stored() > Sequence(0));
    {
        let mut journal = journal.lock().unwrap();
        journal.execute(1);
        journal.first = journal.through();
    }
    place.restore();
    assert_eq!(settlement.end(), Stop::JournalTooShort);
    assert_eq!(status.stored(), Sequence(0));
    assert_eq!(connected(place).watermark().unwrap(), None);
}

pub(crate) fn a_database_ahead_or_with_another_past_stops_settlement(place: &impl Place) {
    let mut truth = Journal::new(10);
    let mut sink = connected(place);
    truth.execute(50);
    commit(&mut sink, &mut truth, None).unwrap();
    let before = sink.read_back().unwrap();
    let shorter = Journal::shared(10);
    shorter.lock().unwrap().execute(20);
    let ended = Settlement::start(place.sink(), &shorter).end();
    assert_eq!(ended, Stop::Ahead);
    let other = Journal::shared(11);
    other.lock().unwrap().execute(50);
    let ended = Settlement::start(place.sink(), &other).end();
    assert_eq!(ended, Stop::Diverged);
    assert_eq!(sink.read_back().unwrap(), before);
}

/// Reads `place` back with a new sink and compares it with the journal.
pub(crate) fn check(place: &impl Place, journal: &Shared) {
    let sql = connected(place).read_back().unwrap();
    assert_settled(&sql, &journal.lock().unwrap());
}

/// Makes each property a test of the place that `$place` builds.
macro_rules! conformance {
    ($place:expr) => {
        $crate::conformance::conformance! { $place; conformance:
            it_reads_back_what_was_settled,
            an_unexpected_watermark_leaves_everything_as_it_was,
            a_newer_leader_fences_the_older,
            another_frames_database_is_not_touched,
            a_batch_that_fails_half_way_leaves_nothing,
            a_newer_schema_is_refused,
            a_changed_row_is_named,
            a_growing_journal_is_settled_whole,
            an_older_copy_put_back_is_noticed_and_made_whole,
            an_older_copy_that_the_journal_cannot_reach_stops_settlement,
            an_emptied_database_is_known_to_hold_nothing,
            a_database_ahead_or_with_another_past_stops_settlement,
        }
        $crate::conformance::conformance! { $place; keys:
            a_key_is_found_once_it_is_settled,
            a_keys_answer_and_its_watermark_are_of_one_snapshot,
            another_frames_keys_are_not_answered,
            an_older_copy_says_through_where_it_knows_keys,
            a_history_with_a_hole_proves_no_key_unused,
            a_key_beyond_the_watermark_is_refused,
            the_first_use_of_a_key_is_the_one_that_counts,
            an_older_schema_is_brought_up_to_date_by_the_sink_alone,
        }
        $crate::conformance::conformance! { $place; entries:
            pages_joined_are_the_journals_entries,
            entries_and_how_far_they_reach_are_of_one_snapshot,
            timers_come_before_the_commands_of_their_sequence,
            an_entry_has_the_time_of_its_batch_which_parts_ranges,
            what_lies_before_a_hole_is_named_and_not_left_out,
            batches_are_told_in_order_as_they_were_written,
            another_frames_entries_are_not_answered,
        }
    };
    ($place:expr; $module:ident: $($property:ident,)*) => {
        $(
            #[test]
            fn $property() {
                $crate::$module::$property(&$place);
            }
        )*
    };
}
pub(crate) use conformance;
