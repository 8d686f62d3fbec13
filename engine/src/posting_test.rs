//! Payments in which one account stands twice. The invariant: what accounts owe is counted as if
//! each posting had been made by itself.

use protocol::{Command, CommandId, Role, Status};

use crate::broken_test::{ALICE, ask, engine};
use crate::engine::Engine;
use crate::supply::debt;

const OWNERS: [u128; 3] = [ALICE, 0xb0b << 64, 0xca401 << 64];

/// Three accounts with these balances, and sums that say so.
fn with(balances: [i128; 3]) -> (Engine, [u32; 3]) {
    let mut engine = engine();
    for (tail, owner) in (10..).zip(OWNERS).skip(1) {
        let open = Command::open(CommandId::new(1_000, tail), owner, 1);
        assert_eq!(ask(&mut engine, Role::Registry, open), Status::Ok);
    }
    let accounts = OWNERS.map(|owner| engine.account_number(owner, 1).unwrap());
    for (number, liquid) in accounts.into_iter().zip(balances) {
        engine.accounts.hot_mut(number).liquid = liquid;
        let sums = &mut engine.assets.row_mut(0).sums;
        sums.liquid += liquid;
        sums.credit_used += debt(liquid);
    }
    (engine, accounts)
}

#[test]
fn what_is_owed_is_counted_when_an_account_stands_twice() {
    let balances = [-7, -5, -2, 0, 2, 5, 7];
    for (alice, bob) in balances.into_iter().flat_map(|alice| balances.map(|bob| (alice, bob))) {
        for (debtor, to, fee_to) in [(0, 1, 2), (0, 1, 0), (0, 1, 1), (0, 0, 1), (0, 0, 0)] {
            let (mut engine, accounts) = with([alice, bob, -1]);
            let before = engine.assets.row(0).sums;
            let (to, fees) = ((accounts[to], 4), [(accounts[fee_to], 3), (accounts[2], 0)]);
            assert!(!engine.effects.is_on(), "else each posting is made by itself");
            engine.pay((0, accounts[debtor], 7), to, fees, 0);
            let after = engine.assets.row(0).sums;
            let owed = accounts.map(|number| debt(engine.accounts.hot(number).liquid));
            assert_eq!(
                after.credit_used,
                owed.iter().sum(),
                "{alice} {bob}: {debtor} {to:?} {fee_to}"
            );
            assert_eq!(after.liquid, before.liquid);
        }
    }
}

#[test]
#[should_panic(expected = "INV5")]
fn a_payment_that_invents_a_unit_aborts() {
    let (mut engine, accounts) = with([10, 0, 0]);
    engine.pay((0, accounts[0], 6), (accounts[1], 4), [(accounts[2], 3)], 0);
}
