//! What operators are shown: the largest accounts of every asset, whatever the steps of the walk,
//! and the holds that end next.

use protocol::cut::AccountRow;
use protocol::overview::Ranking;
use protocol::{Command, Role};

use engine::{Survey, Surveyed};

use crate::frame::{ALICE, BOB, CAROL, Frame, GIVEN, MINT};

fn walk(frame: &Frame, accounts_max: usize, rows_max: usize) -> Ranking {
    let mut survey = Survey::new(accounts_max);
    loop {
        match frame.engine.survey(survey, rows_max) {
            Surveyed::More(more) => survey = more,
            Surveyed::Done(ranking) => return ranking,
        }
    }
}

fn units(row: &AccountRow) -> i128 {
    row.liquid.saturating_add_unsigned(row.held)
}

/// Alice holds something for Bob, so that her liquid balance alone is not the largest any more.
fn unequal() -> Frame {
    let mut frame = Frame::new();
    let issue = Command::issue(frame.id(), ALICE, 1, 50);
    frame.must(Role::Mint, MINT, issue);
    let hold = Command::hold(frame.id(), ALICE, BOB, 1, 1_000, 60_000);
    frame.must(Role::Agent, ALICE, hold);
    frame
}

#[test]
fn the_largest_accounts_are_found_in_steps_of_any_length() {
    let frame = unequal();
    let mut all = frame.engine.accounts();
    all.retain(|row| row.asset == 1 && units(row) > 0);
    all.sort_by_key(|row| (-units(row), row.owner));
    assert_eq!((all[0].owner, units(&all[0])), (ALICE, i128::try_from(GIVEN + 50).unwrap()));
    for rows_max in [1, 2, 3, 4_096] {
        for accounts_max in [1, 2, 9] {
            let ranking = walk(&frame, accounts_max, rows_max);
            assert_eq!(ranking.assets.len(), 2);
            let [native, gold] = &ranking.assets[..] else { unreachable!("there are two") };
            assert_eq!((native.asset, native.scale, &*native.name), (1, 6, "AVT"));
            assert_eq!(native.accounts, all[..all.len().min(accounts_max)]);
            assert_eq!((gold.asset, &*gold.name, gold.accounts.len()), (2, "gold", 0));
            assert_eq!(ranking.since, ranking.sequence);
        }
    }
}

#[test]
fn a_ranking_is_of_the_moment_of_its_end() {
    let mut frame = unequal();
    let Surveyed::More(survey) = frame.engine.survey(Survey::new(1), 1) else {
        panic!("there is more than one account");
    };
    let since = frame.engine.executed().0;
    let issue = Command::issue(frame.id(), CAROL, 1, 7);
    frame.must(Role::Mint, MINT, issue);
    let Surveyed::Done(ranking) = frame.engine.survey(survey, 4_096) else {
        panic!("it has seen all");
    };
    assert_eq!((ranking.since, ranking.sequence), (since, frame.engine.executed().0));
    let shown = &ranking.assets[0].accounts[0];
    assert_eq!(Some(*shown), frame.engine.account(shown.owner, 1));
}

#[test]
fn the_holds_that_end_next_come_first() {
    let mut frame = Frame::new();
    assert_eq!(frame.engine.due_holds(9).holds, []);
    for timeout_ms in [50_000, 20_000, 40_000, 30_000] {
        let hold = Command::hold(frame.id(), ALICE, CAROL, 1, u128::from(timeout_ms), timeout_ms);
        frame.must(Role::Agent, ALICE, hold);
    }
    let due = frame.engine.due_holds(3);
    assert_eq!((due.open, due.sequence), (4, frame.engine.executed().0));
    let amounts: Vec<_> = due.holds.iter().map(|hold| (hold.amount, hold.left)).collect();
    assert_eq!(amounts, [20_000, 30_000, 40_000].map(|amount| (amount, amount)));
    let first = due.holds[0];
    assert_eq!((first.debit, first.credit, first.asset, first.scale), (ALICE, CAROL, 1, 6));
    assert_eq!(Some(first.expiry_ns), frame.engine.next_deadline_ns());
}
