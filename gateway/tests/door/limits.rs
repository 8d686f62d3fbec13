//! What one identity may ask for, and what all may send ahead: nothing is dropped, nobody else
//! waits, and what is over is told so.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use client::{CloseCode, Error, Options};
use gateway::{Allotment, AuditSink, Door, Event};
use identity::Role;
use protocol::{Command, CommandId, Kind};
use ring::PoolConfig;

use crate::support::*;

fn allotted(change: impl Fn(&mut Allotment)) -> Frame {
    Frame::with(PoolConfig::default(), |config| {
        let mut agent = config.limits.of(Role::Agent);
        change(&mut agent);
        config.limits.set(Role::Agent, agent);
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_requests_wait_and_are_answered() {
    let frame = allotted(|agent| agent.requests_per_s = 100);
    let client = frame.connect().await;
    let mut pending = Vec::new();
    for salt in 1..=120 {
        pending.push(client.submit(&transfers(1, salt)).await.unwrap());
    }
    for reply in pending {
        assert!(reply.await.unwrap().is_all_ok());
    }
    assert!(frame.metric("quic_limit_waits") > 0);
    drop(client);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_overdraws_the_bytes_and_the_next_one_waits() {
    let frame = allotted(|agent| agent.bytes_per_s = 1 << 20);
    let client = frame.connect().await;
    for salt in 1..=3 {
        assert!(client.request(&transfers(5_000, salt)).await.unwrap().is_all_ok());
    }
    assert!(frame.metric("quic_limit_waits") > 0);
    drop(client);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_of_one_identity_share_its_places_in_flight() {
    let frame = allotted(|agent| agent.in_flight = 5);
    let (first, second) = (frame.connect().await, frame.connect().await);
    let mint = frame.identity(Role::Mint, "north");
    let mint = client::Client::connect(frame.addr, &mint, expected(), Options::default());
    let mint = mint.await.unwrap();
    for client in [&first, &second, &mint] {
        assert!(client.request(&transfers(1, 1)).await.unwrap().first_refusal().is_none());
    }
    frame.switches.is_held.store(true, Ordering::SeqCst);
    let mut pending = Vec::new();
    for salt in 2..=20 {
        for client in [&first, &second] {
            pending.push(client.submit(&transfers(1, salt)).await.unwrap());
        }
    }
    until(|| frame.metric("quic_limit_waits") == 2).await;
    assert_eq!(frame.pool.in_flight(), 5);
    // Another identity is not held up by it.
    pending.push(mint.submit(&transfers(1, 2)).await.unwrap());
    until(|| frame.pool.in_flight() == 6).await;
    frame.switches.is_held.store(false, Ordering::SeqCst);
    for reply in pending {
        assert!(reply.await.unwrap().first_refusal().is_none());
    }
    drop((first, second, mint));
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_without_room_for_its_window_is_told_so() {
    let frame = Frame::with(PoolConfig::default(), |config| {
        config.receive_budget_size = 4 * (64 << 10);
    });
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(frame.connect().await);
    }
    let error = frame.connect_with(Options::default()).await.unwrap_err();
    let Error::Refused { end } = &error else {
        panic!("{error}");
    };
    assert_eq!(end.code(), Some(CloseCode::Limit));
    // A request far larger than the smallest window passes all the same.
    assert!(clients[0].request(&transfers(8_000, 1)).await.unwrap().is_all_ok());
    clients.pop().unwrap().close();
    until(|| frame.metric("connections_open") == 2).await;
    clients.push(frame.connect().await);
    drop(clients);
    frame.stop().await;
}

#[derive(Debug, Default)]
struct Kept(Mutex<Vec<Event>>);

impl AuditSink for Kept {
    fn note(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn privileged_commands_are_told_with_who_gave_them() {
    let kept = Arc::new(Kept::default());
    let sink = Arc::clone(&kept);
    let frame = Frame::with(PoolConfig::default(), move |config| config.audit = sink);
    let mint = frame.identity(Role::Mint, "north");
    let client = client::Client::connect(frame.addr, &mint, expected(), Options::default());
    let client = client.await.unwrap();
    let id = CommandId::new(JOURNAL_NS / 1_000_000, 1);
    let halt = Command::new(Kind::HaltMint, id);
    let commands = [transfers(2, 1), vec![halt]].concat();
    assert!(client.request(&commands).await.unwrap().is_all_ok());
    let events = kept.0.lock().unwrap().clone();
    let [Event::Command(told)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(
        (told.kind, told.id, told.role, told.door),
        (Kind::HaltMint, id.0, "mint", Door::Quic)
    );
    assert_eq!(told.spiffe_id.as_deref(), Some("spiffe://frame-a.example/mint/north"));
    drop(client);
    frame.stop().await;
}
