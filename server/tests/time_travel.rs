//! `bezant replay --to`: the state after every sequence of a journal is the one worked out by hand,
//! whatever it is replayed from.

use std::sync::Arc;

use client::{Client, Command};
use loadgen::Driver;
use protocol::command::flags;
use protocol::ids::NATIVE;
use serde_json::Value;

use crate::books;
use crate::frame::Frame;

pub(crate) const ALICE: u128 = 0x0190_0000_0000_7000_8000_0000_0000_000a;
pub(crate) const BOB: u128 = ALICE + 1;

/// Executes commands in one request, all of them ok; returns the sequence of the last one.
pub(crate) async fn all_ok(client: &Client, commands: &[Command]) -> u64 {
    let reply = client.request(commands).await.unwrap();
    assert!(reply.is_all_ok(), "{:?}", reply.outcomes());
    reply.outcomes().last().unwrap().sequence
}

pub(crate) fn pay(client: &Client, debit: u128, credit: u128, amount: u128) -> Command {
    Command::transfer(client.ids().next_id(), debit, credit, NATIVE, amount)
}

/// Alice's liquid and held units and Bob's liquid ones.
type Books = (u128, u128, u128);

/// A small past, and its books by the sequences after which they hold.
async fn a_past(frame: &Frame) -> Vec<(u64, Option<Books>)> {
    let north = frame.client("registry", "north").await;
    let mint = frame.client("mint", "treasury").await;
    let mut books = vec![(0, None)];
    let opens = [ALICE, BOB].map(|owner| Command::open(north.ids().next_id(), owner, NATIVE));
    let last = all_ok(&north, &opens).await;
    books.extend([(last - 1, None), (last, Some((0, 0, 0)))]);
    let issue = Command::issue(mint.ids().next_id(), ALICE, NATIVE, 1_000_000);
    books.push((all_ok(&mint, &[issue]).await, Some((1_000_000, 0, 0))));
    let hold = Command::hold(north.ids().next_id(), ALICE, BOB, NATIVE, 50_000, 0);
    let linked = pay(&north, ALICE, BOB, 10_000);
    let commands = [
        pay(&north, ALICE, BOB, 100_000),
        pay(&north, ALICE, BOB, 333),
        hold,
        Command { flags: linked.flags | flags::LINKED, ..linked },
        pay(&north, ALICE, BOB, 20_000),
    ];
    let last = all_ok(&north, &commands).await;
    // A fee is half a per cent, rounded up: 500, 2, and 50 and 100 in the chain.
    books.extend([
        (last - 4, Some((900_000, 0, 99_500))),
        (last - 3, Some((899_667, 0, 99_831))),
        (last - 2, Some((849_667, 50_000, 99_831))),
        // Nothing is between the two of a chain.
        (last - 1, Some((819_667, 50_000, 129_681))),
        (last, Some((819_667, 50_000, 129_681))),
    ]);
    let capture = Command::capture(north.ids().next_id(), &hold, Some(20_000));
    let last = all_ok(&north, &[capture, pay(&north, BOB, ALICE, 1_000)]).await;
    books.extend([(last - 1, Some((849_667, 0, 149_581))), (last, Some((850_662, 0, 148_581)))]);
    books
}

fn shown(frame: &Frame, to: u64) -> Value {
    let (alice, bob) = (uuid(ALICE), uuid(BOB));
    let to = to.to_string();
    let words = ["replay", "--json", "--to", &to, "--account", &alice, "--account", &bob];
    serde_json::from_str(&frame.ends_with(0, &words)).unwrap()
}

pub(crate) fn uuid(owner: u128) -> String {
    protocol::CommandId(owner).to_string()
}

/// Minor units of an asset with six digits.
pub(crate) fn minor(text: &Value) -> u128 {
    text.as_str().unwrap().replace('.', "").parse().unwrap()
}

/// What the answer says of Alice and Bob.
fn found(said: &Value) -> Option<Books> {
    let accounts = said["accounts"].as_array().unwrap();
    let [alice, bob] = &accounts[..] else {
        return None;
    };
    Some((minor(&alice["liquid"]), minor(&alice["held"]), minor(&bob["liquid"])))
}

#[test]
fn every_sequence_of_the_past_is_as_worked_out_by_hand() {
    books::run(async {
        let mut frame = Frame::new();
        frame.start();
        let books = a_past(&frame).await;
        let last = books.last().unwrap().0;
        // Beside the running frame, as far as it is known to be durable.
        assert_eq!(found(&shown(&frame, books[2].0)), books[2].1);
        // What it does not know to be durable may have been executed all the same.
        let beyond = (last + 1).to_string();
        for words in [&["replay"][..], &["what-if", "--set", "fee.base=7000"]] {
            let words: Vec<_> = words.iter().chain(&["--to", &beyond]).copied().collect();
            let said = frame.ends_with(75, &words);
            assert!(said.contains("ask again"), "{said}");
        }
        frame.stop();
        let at = |to: u64| books.iter().rev().find(|(sequence, _)| *sequence <= to).unwrap().1;
        let from_genesis: Vec<_> = (0..=last).map(|to| shown(&frame, to)).collect();
        for (to, said) in from_genesis.iter().enumerate() {
            assert_eq!(found(said), at(to as u64), "after {to}: {said}");
            let delta = minor(&said["supply"][0]["issued"]);
            let liquid = minor(&said["supply"][0]["liquid"]);
            assert_eq!(delta, liquid + minor(&said["supply"][0]["held"]), "after {to}");
            // A chain is shown whole.
            let is_inside = to as u64 == last - 3;
            assert_eq!(said["sequence"], to as u64 + u64::from(is_inside), "{said}");
        }
        let audited = frame.ends_with(0, &["audit"]);
        let end = from_genesis.last().unwrap();
        assert!(audited.contains(end["image_digest"].as_str().unwrap()), "{audited}");

        // From a snapshot in the middle it is the same.
        frame.ends_with(0, &["snapshot", "create"]);
        frame.start();
        let north = frame.client("registry", "north").await;
        let after = all_ok(&north, &[pay(&north, ALICE, BOB, 10_000)]).await;
        frame.stop();
        for (to, before) in from_genesis.iter().enumerate() {
            let said = shown(&frame, to as u64);
            for field in ["sequence", "record", "run_digest", "image_digest", "accounts"] {
                assert_eq!(said[field], before[field], "{field} after {to}");
            }
            let is_taken = to as u64 == last;
            assert_eq!(said["base"] == "genesis", !is_taken, "{said}");
        }
        assert_eq!(found(&shown(&frame, after)), Some((840_662, 0, 158_531)));
        let text = frame.ends_with(0, &["replay", "--to", &last.to_string(), "--accounts"]);
        assert!(text.contains("fee_collector:1") && text.contains("0.850662"), "{text}");
        let beyond = frame.ends_with(66, &["replay", "--to", &(after + 1).to_string()]);
        assert!(beyond.contains(&format!("the journal ends with {after}")), "{beyond}");
    });
}

#[test]
fn a_frame_under_load_is_asked_about_its_past() {
    books::run(async {
        let mut frame = Frame::new();
        frame.start();
        let mut driver = Driver::prepare(&frame.target(), books::SMALL).await.unwrap();
        let progress = Arc::clone(&driver.progress);
        let mut asked = Vec::new();
        books::drive_until(&frame, &mut driver, async {
            for _ in 0..3 {
                books::executed(&progress, 2_000).await;
                asked.push(shown(&frame, 1_000));
                let said = frame.ends_with(0, &["what-if", "--json", "--set", "fee.base=5000"]);
                let said: Value = serde_json::from_str(&said).unwrap();
                assert!(said["through"].as_u64() > Some(1_000), "{said}");
                assert_eq!(said["accounts"]["count"], 0, "{said}");
            }
        })
        .await;
        books::agree(&frame, &mut driver).await;
        frame.stop();
        asked.push(shown(&frame, 1_000));
        for said in &asked {
            assert_eq!(said["image_digest"], asked[0]["image_digest"]);
        }
    });
}
