//! Postings in PostgreSQL: where they lie, and that the view shows them as they were delivered.

use protocol::Sequence;
use protocol::effect::{Bucket, Effect, Event};
use settlement::{Batch, Sink};
use tokio_postgres::{Client, Row};

use crate::cluster::{Database, with_client};
use crate::conformance::{Blocks, Place, assert_settled, commit};
use crate::journal::Journal;

const PAYER: u128 = 7;

/// The main posting of a transfer, and the fee behind it.
fn paid(sequence: u64) -> [Effect; 2] {
    let main = Effect {
        sequence,
        event: Event::TokensTransferred.number(),
        asset: 1,
        debit: PAYER,
        credit: 8,
        amount: 100,
        debit_after: -5,
        credit_after: 100,
        rate: 1_000,
        debit_bucket: Bucket::Liquid as u8,
        credit_bucket: Bucket::Liquid as u8,
        ..Effect::default()
    };
    let fee = Effect {
        leg: 1,
        event: Event::TransactionFeeCollected.number(),
        credit: 9,
        amount: 3,
        debit_after: -8,
        credit_after: 33,
        ..main
    };
    [main, fee]
}

/// Transfers, each with something that decides where its postings lie.
fn payments() -> Vec<Effect> {
    type Change = fn(&mut [Effect; 2]);
    let changes: [Change; 27] = [
        |_| {},
        |both| both.iter_mut().for_each(|row| row.user_data = 77),
        |both| both.iter_mut().for_each(|row| row.user_data = u64::MAX),
        |both| both.iter_mut().for_each(|row| row.reference = u128::MAX),
        |both| both.iter_mut().for_each(|row| row.asset = u32::MAX),
        // A block ends between these two.
        |_| {},
        |both| both.iter_mut().for_each(|row| row.rate = u32::MAX),
        |both| both.iter_mut().for_each(|row| row.leg += 1),
        |both| both[0].amount = u128::from(u64::MAX),
        |both| both[0].amount = u128::MAX,
        |both| both[0].debit_after = i128::MIN,
        |both| {
            both[0].debit_after = i64::MIN.into();
            both[1].debit_after = i128::from(i64::MIN) - 3;
        },
        |both| both[0].credit_after = i64::MAX.into(),
        |both| both[0].credit_after = i128::from(i64::MAX) + 1,
        |both| both[0].debit_bucket = Bucket::Held as u8,
        |both| both[0].event = Event::HoldCaptured.number(),
        |both| both[1].amount = u128::MAX,
        |both| both[1].amount = 4,
        |both| both[1].debit_after += 1,
        |both| both[1].credit_after = i128::MAX,
        |both| both[1].credit_bucket = Bucket::Bonded as u8,
        |both| both[1].event = Event::TokensTransferred.number(),
        |both| both[1].debit = 8,
        |both| both[1].asset = 2,
        |both| both[1].rate = 0,
        |both| both[1].user_data = 1,
        |both| both[1].reference = 1,
    ];
    (1..)
        .zip(changes)
        .flat_map(|(sequence, change)| {
            let mut both = paid(sequence);
            change(&mut both);
            both
        })
        .collect()
}

fn number<T: std::str::FromStr>(row: &Row, at: usize) -> T {
    let text: &str = row.get(at);
    text.parse().ok().unwrap_or_else(|| panic!("column {at} holds {text}"))
}

fn id(row: &Row, at: usize) -> u128 {
    let text: Option<&str> = row.get(at);
    text.map_or(0, |text| u128::from_str_radix(&text.replace('-', ""), 16).unwrap())
}

/// The view, in order.
async fn shown(client: &Client) -> Vec<Effect> {
    let sql = "SELECT sequence::text, leg::text, event::text, asset::text, debit::text,
            debit_bucket::text, credit::text, credit_bucket::text, amount::text, debit_after::text,
            credit_after::text, rate::text, reference::text, user_data::text
        FROM bezant.effects AS e ORDER BY e.sequence, e.leg";
    let rows = client.query(sql, &[]).await.unwrap();
    let effect = |row: &Row| Effect {
        sequence: number(row, 0),
        leg: number(row, 1),
        event: number(row, 2),
        asset: number(row, 3),
        debit: id(row, 4),
        debit_bucket: number(row, 5),
        credit: id(row, 6),
        credit_bucket: number(row, 7),
        amount: number(row, 8),
        debit_after: number(row, 9),
        credit_after: number(row, 10),
        rate: number(row, 11),
        reference: id(row, 12),
        user_data: number(row, 13),
        reserved: 0,
    };
    rows.iter().map(effect).collect()
}

pub(crate) async fn count(client: &Client, what: &str) -> i64 {
    client.query_one(&format!("SELECT count(*) FROM {what}"), &[]).await.unwrap().get(0)
}

#[test]
fn every_posting_is_shown_as_it_was_delivered_wherever_it_lies() {
    let place = Database::new();
    let mut sink = place.sink();
    sink.connect().unwrap();
    let effects = payments();
    let mut journal = Journal::new(40);
    journal.execute(effects.last().unwrap().sequence);
    let cut = journal.cut(false);
    let batch = Batch { cut: &cut, after: Sequence(0), history: true };
    // Blocks of eleven part some transfers from their fees.
    sink.commit(&batch, None, &mut Blocks(effects.clone(), false)).unwrap();
    with_client(&place.address(), async |client| {
        assert_eq!(shown(&client).await, effects);
        assert_eq!(count(&client, "bezant.transfers").await, 17);
        assert_eq!(count(&client, "bezant.transfers WHERE fee IS NOT NULL").await, 5);
        assert_eq!(count(&client, "bezant.postings").await, 32);
    });
}

#[test]
fn a_journals_transfers_lie_apart_and_are_read_back_with_the_rest() {
    let place = Database::new();
    let mut sink = place.sink();
    sink.connect().unwrap();
    let mut journal = Journal::new(41);
    journal.execute(500);
    commit(&mut sink, &mut journal, None).unwrap();
    assert_settled(&sink.read_back().unwrap(), &journal);
    with_client(&place.address(), async |client| {
        assert_eq!(shown(&client).await, journal.effects(0, 500));
        assert!(count(&client, "bezant.transfers").await > 50);
        assert!(count(&client, "bezant.postings").await > 50);
    });
}

#[test]
fn a_range_that_is_settled_cannot_be_settled_again() {
    let place = Database::new();
    let mut sink = place.sink();
    sink.connect().unwrap();
    let mut journal = Journal::new(42);
    journal.execute(10);
    commit(&mut sink, &mut journal, None).unwrap();
    with_client(&place.address(), async |client| {
        let again = "INSERT INTO bezant.settlement_batches SELECT batch + 1, from_sequence + 9,
                through_sequence + 9, epoch, complete, accounts, effects, chain_hash, run_digest,
                timestamp_ns FROM bezant.settlement_batches";
        let refused = client.batch_execute(again).await.unwrap_err();
        let constraint = refused.as_db_error().and_then(|error| error.constraint());
        assert_eq!(constraint, Some("batches_do_not_overlap"), "{refused}");
    });
}

#[test]
fn one_sequence_is_found_through_the_view_without_reading_whole_tables() {
    let place = Database::new();
    place.sink().connect().unwrap();
    with_client(&place.address(), async |client| {
        client.batch_execute("SET enable_seqscan = off").await.unwrap();
        let sql = "EXPLAIN SELECT * FROM bezant.effects WHERE sequence = 5";
        let plan: Vec<String> =
            client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        assert!(!plan.contains("Seq Scan"), "{plan}");
        assert_eq!(plan.matches("transfers_by_sequence").count(), 2, "{plan}");
        assert_eq!(plan.matches("postings_by_sequence").count(), 1, "{plan}");
    });
}
