//! What becomes of a string key is in SQL once it is settled, a refusal too, and is written there
//! again from the journal alone.

use client::{Client, Command, Status};
use protocol::command::flags;
use protocol::data::{self, TAG_KEY};
use protocol::ids::{CommandId, NATIVE};
use protocol::key;
use settlement::keys::{self, Key, KeyAnswer, KeyUse};
use settlement::{KeyReader, SqliteKeys};

use crate::books;
use crate::frame::{Frame, must};

const ALICE: u128 = 0x0190_0000_0000_7000_8000_0000_0000_000a;
const BOB: u128 = ALICE + 1;

/// A payment that has a key instead of an id.
fn keyed(client: &Client, name: &[u8], amount: u128) -> [Command; 2] {
    let slots = data::encode(&[(TAG_KEY, name)]);
    let id = CommandId(key::id(client.hello().principal, name));
    let pay = Command::transfer(id, ALICE, BOB, NATIVE, amount);
    [Command { flags: pay.flags | flags::KEYED, data: 1, ..pay }, slots[0]]
}

/// Executes it; returns what SQL must say of it.
async fn execute(client: &Client, slots: &[Command; 2]) -> (Key, KeyUse) {
    let reply = client.request(slots).await.unwrap();
    assert_eq!(reply.refused(), None);
    let outcome = reply.outcomes()[0];
    let used = KeyUse {
        sequence: protocol::Sequence(outcome.sequence),
        status: outcome.status.number(),
        rate: outcome.rate.into(),
        digest: key::body_digest(&slots[0], &slots[1..]),
    };
    (Key { principal: client.hello().principal, hash: slots[0].id }, used)
}

/// A reader of the frame's database.
fn reader(frame: &Frame, client: &Client) -> KeyReader {
    let source = SqliteKeys::new(frame.sqlite());
    let (reader, desk) = keys::desk(source, client.hello().frame, u64::MAX);
    std::thread::spawn(|| desk.run());
    reader
}

#[test]
fn a_key_and_what_became_of_it_are_settled_and_rebuilt() {
    books::run(async {
        let mut frame = Frame::with(&[], &["settlement.history=full"]);
        frame.start();
        let north = frame.client("registry", "north").await;
        let mint = frame.client("mint", "treasury").await;
        for owner in [ALICE, BOB] {
            must(&north, Command::open(north.ids().next_id(), owner, NATIVE)).await;
        }
        must(&mint, Command::issue(mint.ids().next_id(), ALICE, NATIVE, 1_000_000)).await;
        let paid = execute(&north, &keyed(&north, b"order 1", 1_000)).await;
        let refused = execute(&north, &keyed(&north, b"order 2", 1 << 90)).await;
        assert_eq!(paid.1.status, Status::Ok.number());
        assert_eq!(refused.1.status, Status::InsufficientFunds.number());
        let again = execute(&north, &keyed(&north, b"order 1", 1_000)).await;
        assert_eq!(again, paid, "a repeat changes nothing");
        for is_rebuilt in [false, true] {
            if is_rebuilt {
                for ending in ["", "-wal", "-shm"] {
                    let path = format!("{}{ending}", frame.sqlite().display());
                    let _ = std::fs::remove_file(path);
                }
                frame.start();
            }
            frame.wait_settled();
            let reader = reader(&frame, &north);
            for (key, used) in [paid, refused] {
                let answer = reader.find(key).await.unwrap();
                assert_eq!(answer.found, Some(used), "rebuilt: {is_rebuilt}");
                let others = Key { principal: key.principal + 1, ..key };
                let KeyAnswer { settled_through, found } = reader.find(others).await.unwrap();
                assert_eq!(found, None, "a key is its principal's own");
                assert!(settled_through >= used.sequence);
            }
            frame.stop();
            frame.is_sound();
        }
    });
}
