//! Each kind of damage to settled rows is found and named.

use super::*;

const FRAME: u128 = 7;

fn account(owner: OwnerId, liquid: i128, held: u128) -> AccountRow {
    AccountRow {
        owner,
        asset: 1,
        host: 0,
        liquid,
        held,
        staked: 0,
        bonded: 0,
        minimum: 0,
        credit_limit: 50,
        flags: 0,
    }
}

fn posting(owner: Option<u128>, bucket: Bucket, debit: u128, credit: u128) -> PostingSum {
    PostingSum {
        owner,
        asset: 1,
        bucket: bucket as u8,
        debit: Wide::from(debit),
        credit: Wide::from(credit),
    }
}

/// Issued 100 to A, who paid 120 to B on credit, who holds 30.
fn sound() -> ReadBack {
    let watermark = Watermark {
        frame: FRAME,
        epoch: 1,
        next_sequence: Sequence(11),
        chain_hash: [3; 32],
        run_digest: [4; 16],
        timestamp: 5,
    };
    ReadBack {
        watermark: Some(watermark),
        balances: vec![account(1, -20, 0), account(2, 90, 30)],
        supply: vec![SupplyRow {
            asset: 1,
            scale: 6,
            name: "AVT".to_owned(),
            issued: Wide::from(100),
            destroyed: Wide::ZERO,
            liquid: 70,
            held: 30,
            staked: 0,
            bonded: 0,
            credit_granted: 100,
            credit_used: 20,
        }],
        batches: BatchAudit {
            count: 2,
            from: Some(Sequence(1)),
            through: Some(Sequence(10)),
            chain_hash: Some([3; 32]),
            gaps: Vec::new(),
            without_history: 0,
            effects: 3,
        },
        effects: 3,
        postings: vec![
            posting(None, Bucket::Counter, 100, 0),
            posting(Some(1), Bucket::Liquid, 120, 100),
            posting(Some(2), Bucket::Liquid, 30, 120),
            posting(Some(2), Bucket::Held, 0, 30),
        ],
    }
}

fn check(sql: &ReadBack) -> Vec<Finding> {
    let truth = sound();
    let journal = truth.watermark.unwrap();
    verify(sql, &journal, truth.balances, truth.supply)
}

#[test]
fn sound_rows_have_no_findings() {
    assert_eq!(check(&sound()), []);
    assert_eq!(audit(&sound()), []);
}

#[test]
fn a_changed_balance_is_named_with_both_values() {
    let mut sql = sound();
    sql.balances[1].liquid = 91;
    let found = check(&sql);
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].to_string(),
        "account_balances 00000000-0000-0000-0000-000000000002 asset 1: liquid is 91, should be 90"
    );
    let found = audit(&sql);
    assert!(matches!(found[0], Finding::Supply { field: "liquid", .. }));
    assert!(matches!(found[1], Finding::Postings { owner: Some(2), .. }));
}

#[test]
fn missing_and_extra_rows_are_named() {
    let mut sql = sound();
    sql.balances[0].owner = 9;
    assert_eq!(
        check(&sql),
        [
            Finding::ExtraAccount { owner: 9, asset: 1 },
            Finding::MissingAccount { owner: 1, asset: 1 }
        ]
    );
    let mut sql = sound();
    sql.supply.clear();
    assert_eq!(check(&sql).len(), SUPPLY_FIELDS.len());
}

#[test]
fn a_unit_out_of_nowhere_is_found_without_the_journal() {
    let mut sql = sound();
    sql.balances[1].liquid += 1;
    sql.supply[0].liquid += 1;
    sql.postings[2].credit = Wide::from(121);
    let found = audit(&sql);
    let delta = |finding: &Finding| match finding {
        Finding::Supply { field, sql, .. } => *field == "issued - destroyed - total" && sql == "-1",
        _ => false,
    };
    assert!(found.iter().any(delta), "{found:?}");
}

#[test]
fn gaps_lost_effects_and_a_foreign_watermark_are_found() {
    let mut sql = sound();
    sql.batches.gaps.push((Sequence(4), Sequence(6)));
    sql.batches.chain_hash = Some([9; 32]);
    let gap = Finding::Gap { through: Sequence(4), from: Sequence(6) };
    assert_eq!(audit(&sql), [gap, Finding::LastBatch]);

    let mut sql = sound();
    sql.effects = 2;
    sql.postings.pop();
    let found = audit(&sql);
    assert!(matches!(found[0], Finding::EffectCount { rows: 2, batches: 3 }));
    assert!(matches!(found[1], Finding::Postings { owner: Some(2), bucket: 2, .. }));

    let mut sql = sound();
    sql.watermark.as_mut().unwrap().run_digest = [0; 16];
    assert!(matches!(check(&sql)[..], [Finding::Watermark { .. }]));
    sql.watermark = None;
    assert!(matches!(check(&sql)[..], [Finding::Watermark { sql: None, .. }]));
}
