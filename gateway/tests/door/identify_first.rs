//! Nothing of a principal is journaled before the engine knows who it is.

use std::sync::atomic::Ordering;

use identity::Role;
use protocol::{Kind, Status};

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_principal_is_identified_once_and_first() {
    let frame = Frame::start();
    for salt in 1..4 {
        let client = frame.connect().await;
        assert!(client.request(&transfers(1, salt)).await.unwrap().is_all_ok());
    }
    let mint = frame.identity(Role::Mint, "north");
    let mint = client::Client::connect(frame.addr, &mint, expected(), client::Options::default());
    let mint = mint.await.unwrap();
    assert!(mint.request(&transfers(1, 9)).await.unwrap().is_all_ok());

    let seen: Vec<_> =
        frame.seen().into_iter().map(|(head, kinds)| (head.principal, head.role, kinds)).collect();
    let agent = protocol::ids::parse_uuid(AGENT).unwrap();
    let (identify, transfer) = (Kind::Identify.number(), Kind::Transfer.number());
    let mint = mint.hello().principal;
    assert_ne!(mint, 0);
    assert_eq!(
        seen,
        [
            (agent, 1, vec![identify]),
            (agent, 1, vec![transfer]),
            (agent, 1, vec![transfer]),
            (agent, 1, vec![transfer]),
            (mint, 4, vec![identify]),
            (mint, 4, vec![transfer]),
        ]
    );
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_journal_is_full_nothing_is_published_unidentified() {
    let frame = Frame::start();
    frame.switches.is_full.store(true, Ordering::SeqCst);
    let client = frame.connect().await;
    let reply = client.request(&transfers(2, 1)).await.unwrap();
    assert_eq!(reply.refused(), Some(Status::JournalFull));
    assert!(reply.outcomes().is_empty());
    assert!(client.ask(client::query::account(1, 1)).await.is_ok(), "reads go on");
    frame.switches.is_full.store(false, Ordering::SeqCst);
    assert!(client.request(&transfers(2, 1)).await.unwrap().is_all_ok());
    frame.switches.is_full.store(true, Ordering::SeqCst);
    let reply = client.request(&transfers(2, 2)).await.unwrap();
    assert_eq!(reply.refused(), Some(Status::JournalFull));
    let kinds: Vec<_> = frame.seen().into_iter().map(|(_, kinds)| kinds[0]).collect();
    assert_eq!(kinds, [Kind::Identify.number(), Kind::Transfer.number()]);
    drop(client);
    frame.stop().await;
}
