//! The same command from many sides at once, again after a kill, and again after a restart has one
//! effect and one answer.

use std::collections::BTreeSet;

use client::{Client, Command, Status, query};
use protocol::ids::NATIVE;

use crate::books;
use crate::frame::{Frame, must};

const ALICE: u128 = 0x0190_0000_0000_7000_8000_0000_0000_000a;
const BOB: u128 = ALICE + 1;
const CONNECTIONS: usize = 8;
const TIMES: usize = 8;

/// Sends the command on every connection several times at once; returns the distinct answers.
async fn burst(clients: &[Client], command: Command) -> BTreeSet<(u64, u16, u16)> {
    let mut tasks = Vec::new();
    for client in clients {
        for _ in 0..TIMES {
            let client = client.clone();
            tasks.push(tokio::spawn(async move {
                let reply = client.request(&[command]).await.unwrap();
                let outcome = reply.outcomes()[0];
                (outcome.sequence, outcome.status.number(), outcome.rate)
            }));
        }
    }
    let mut answers = BTreeSet::new();
    for task in tasks {
        answers.insert(task.await.unwrap());
    }
    answers
}

async fn connections(frame: &Frame) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(frame.client("registry", "north").await);
    }
    clients
}

#[test]
fn one_command_sent_from_everywhere_has_one_effect_and_one_answer() {
    books::run(async {
        let mut frame = Frame::new();
        frame.start();
        let clients = connections(&frame).await;
        let (north, mint) = (&clients[0], frame.client("mint", "treasury").await);
        let mut ids = north.ids();
        must(north, Command::open(ids.next_id(), ALICE, NATIVE)).await;
        must(north, Command::open(ids.next_id(), BOB, NATIVE)).await;
        must(&mint, Command::issue(mint.ids().next_id(), ALICE, NATIVE, 1_000_000)).await;
        let pay = Command::transfer(ids.next_id(), ALICE, BOB, NATIVE, 1_000);
        let answers = burst(&clients, pay).await;
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert_eq!(answers.first().unwrap().1, Status::Ok.number());
        let refused = Command::transfer(ids.next_id(), BOB, ALICE, NATIVE, 1 << 90);
        let refusals = burst(&clients, refused).await;
        assert_eq!(refusals.len(), 1, "{refusals:?}");

        frame.take().kill();
        frame.start();
        let clients = connections(&frame).await;
        assert_eq!(burst(&clients, pay).await, answers, "after the kill");
        assert_eq!(burst(&clients, refused).await, refusals, "after the kill");
        let bob = clients[0].ask(query::account(BOB, NATIVE)).await.unwrap();
        assert_eq!(bob.liquid, 995);
        frame.stop();
        frame.is_sound();
    });
}
