//! `bezant what-if`: the same journal under other parameters, with figures worked out by hand.

use client::{Command, Status};
use protocol::ids::NATIVE;
use serde_json::Value;

use crate::books;
use crate::frame::{Frame, say};
use crate::time_travel::{ALICE, BOB, all_ok, minor, pay, uuid};

fn asked(frame: &Frame, words: &[&str]) -> Value {
    let all: Vec<_> = ["what-if", "--json"].iter().chain(words).copied().collect();
    serde_json::from_str(&frame.ends_with(0, &all)).unwrap()
}

/// Pays 1 000 000, 333 and 7 from Alice to Bob, and back all that he got of it at half a per cent;
/// returns the sequences of the first and the last payment.
async fn payments(frame: &Frame) -> (u64, u64) {
    let north = frame.client("registry", "north").await;
    let mint = frame.client("mint", "treasury").await;
    let opens = [ALICE, BOB].map(|owner| Command::open(north.ids().next_id(), owner, NATIVE));
    all_ok(&north, &opens).await;
    let issue = Command::issue(mint.ids().next_id(), ALICE, NATIVE, 2_000_000);
    all_ok(&mint, &[issue]).await;
    let there = [1_000_000, 333, 7].map(|amount| pay(&north, ALICE, BOB, amount));
    let third = all_ok(&north, &there).await;
    let back = all_ok(&north, &[pay(&north, BOB, ALICE, 995_337)]).await;
    (third - 2, back)
}

#[test]
fn doubled_fees_give_what_was_worked_out_by_hand() {
    books::run(async {
        let mut frame = Frame::new();
        frame.start();
        let (first, back) = payments(&frame).await;
        frame.stop();
        let said = asked(&frame, &["--set", "fee.base=10000"]);
        assert_eq!(said["through"], back);
        let parameter = &said["parameters"][0];
        assert_eq!((&parameter["before"], &parameter["after"]), (&"5000".into(), &"10000".into()));
        // 5 000 + 2 + 1 and 4 977 for the way back; 10 000 + 4 + 1, and nothing for a refusal.
        let fees = &said["fees"][0];
        assert_eq!((minor(&fees["before"]), minor(&fees["after"])), (9_980, 10_005));
        let outcomes = said["outcomes"].as_array().unwrap();
        assert_eq!(outcomes.len(), 1, "{said}");
        assert_eq!(
            (&outcomes[0]["count"], &outcomes[0]["first_sequence"]),
            (&1.into(), &back.into())
        );
        assert_eq!(
            (&outcomes[0]["before"], &outcomes[0]["after"]),
            (&"ok".into(), &"insufficient_funds".into())
        );
        let rates = &said["rates"];
        assert_eq!((&rates["count"], &rates["first_sequence"]), (&3.into(), &first.into()));
        assert_eq!(said["supply"]["before"], said["supply"]["after"], "fees destroy nothing");
        assert_eq!(said["accounts"]["count"], 3);
        let largest = said["accounts"]["largest"].as_array().unwrap();
        let of = |at: usize| {
            let row = &largest[at];
            let liquid = |side: &str| minor(&row[side]["liquid"]);
            (row["name"].as_str().unwrap().to_owned(), liquid("before"), liquid("after"))
        };
        assert_eq!(of(0), (uuid(ALICE), 1_990_020, 999_660));
        assert_eq!(of(1), (uuid(BOB), 0, 990_335));
        assert_eq!(of(2), ("fee_collector:1".to_owned(), 9_980, 10_005));

        // One command earlier nothing is refused, and from the last one on that alone is dearer.
        let before = back - 1;
        let said = asked(&frame, &["--set", "fee.base=10000", "--to", &before.to_string()]);
        assert_eq!(
            (&said["through"], said["outcomes"].as_array().unwrap().len()),
            (&before.into(), 0)
        );
        let back = back.to_string();
        let said = asked(&frame, &["--set", "fee.base=10000", "--from-sequence", &back]);
        let fees = &said["fees"][0];
        assert_eq!((minor(&fees["before"]), minor(&fees["after"])), (4_977, 9_954));
        let text = frame.ends_with(0, &["what-if", "--set", "fee.base=10000", "--top", "1"]);
        assert!(text.contains("ok -> insufficient_funds") && !text.contains(&uuid(BOB)), "{text}");
    });
}

#[test]
fn what_is_so_already_makes_no_difference() {
    books::run(async {
        let mut frame = Frame::new();
        frame.start();
        payments(&frame).await;
        let said = asked(&frame, &["--set", "fee.base=5000", "--set", "chain.length=64"]);
        frame.stop();
        for said in [said, asked(&frame, &["--set", "fee.base=5000"])] {
            assert!(said["outcomes"].as_array().unwrap().is_empty(), "{said}");
            assert_eq!(
                (&said["rates"]["count"], &said["accounts"]["count"]),
                (&0.into(), &0.into())
            );
            for fees in said["fees"].as_array().unwrap() {
                assert_eq!(fees["before"], fees["after"]);
            }
            assert_eq!(said["supply"]["before"], said["supply"]["after"]);
        }
    });
}

#[test]
fn a_parameter_holds_against_what_the_journal_sets_later() {
    books::run(async {
        let mut frame = Frame::new();
        frame.start();
        payments(&frame).await;
        let chief = frame.client("admin", "chief").await;
        let set = Command {
            code: protocol::parameter::Parameter::HoldDefaultMs.number(),
            amount: 5,
            ..Command::new(protocol::Kind::Configure, chief.ids().next_id())
        };
        assert_eq!(say(&chief, set).await, Status::Ok);
        let north = frame.client("registry", "north").await;
        let hold = Command::hold(north.ids().next_id(), ALICE, BOB, NATIVE, 1_000, 0);
        all_ok(&north, &[hold]).await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        all_ok(&north, &[pay(&north, ALICE, BOB, 1_000)]).await;
        frame.stop();
        let said = asked(&frame, &["--set", "holds.default_ms=86400000"]);
        assert!(said["outcomes"].as_array().unwrap().is_empty(), "{said}");
        let largest = &said["accounts"]["largest"][0];
        assert_eq!(minor(&largest["before"]["held"]), 0, "it ran out");
        assert_eq!(minor(&largest["after"]["held"]), 1_000, "it is still held");
    });
}

#[test]
fn what_cannot_be_asked_is_refused_with_the_reason() {
    books::run(async {
        let mut frame = Frame::new();
        frame.start();
        let (_, back) = payments(&frame).await;
        frame.stop();
        let beyond = (back + 10).to_string();
        for (code, words, cause) in [
            (78, &["--set", "fee.bas=7000"][..], "neither a setting nor one of"),
            (78, &["--set", "fee.base=1"], "fee.base must lie in 5000..=50000"),
            (
                78,
                &["--set", "fee.base=50000", "--set", "fee.max=40000"],
                "fit the other parameters",
            ),
            (78, &["--set", "settlement.sink=none"], "needs a parameter"),
            (78, &["--set", "pairs.capacity=8", "--from-sequence", "2"], "which is in use"),
            (66, &["--set", "fee.base=7000", "--to", &beyond], "was never executed"),
            (66, &["--set", "fee.base=7000", "--from-sequence", &beyond], "was never executed"),
            (2, &["--set", "fee.base=7000", "--from-sequence", "0"], "0"),
        ] {
            let all: Vec<_> = ["what-if"].iter().chain(words).copied().collect();
            let printed = frame.ends_with(code, &all);
            assert!(printed.contains(cause), "{words:?}: {printed}");
        }
    });
}
