//! Tests of the pool's bounds.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

fn pool(bytes_max: usize, requests_max: usize) -> Arc<Pool> {
    Pool::new(PoolConfig { bytes_max, requests_max })
}

#[test]
fn a_released_buffer_is_used_again_and_comes_back_empty() {
    let pool = pool(64 << 20, 4);
    let mut envelope = pool.try_acquire(3).unwrap();
    envelope.slots.resize(16, protocol::Command::default());
    envelope.reply.extend_from_slice(&[1; 100]);
    envelope.refused = Some(protocol::Status::JournalFull);
    let buffer = envelope.slots.as_ptr();
    pool.release(envelope);
    let again = pool.try_acquire(16).unwrap();
    assert_eq!(again.slots.as_ptr(), buffer);
    assert!(again.slots.is_empty() && again.reply.is_empty() && again.refused.is_none());
    assert_eq!(buffer.addr() % 16, 0);
}

#[test]
fn requests_and_bytes_are_both_bounded() {
    let few = pool(64 << 20, 2);
    let held = [few.try_acquire(1).unwrap(), few.try_acquire(1).unwrap()];
    assert!(few.try_acquire(1).is_none());
    held.into_iter().for_each(|envelope| few.release(envelope));
    assert!(few.try_acquire(1).is_some());

    let small = pool(2 * Class::Large.cost(), 1_000);
    let held = [small.try_acquire(8_190).unwrap(), small.try_acquire(1_025).unwrap()];
    assert!(small.try_acquire(1_025).is_none() && small.try_acquire(1).is_none());
    assert_eq!(small.free_bytes(), 0);
    held.into_iter().for_each(|envelope| small.release(envelope));
    assert_eq!(small.free_bytes(), 2 * Class::Large.cost());
    assert!(small.try_acquire(8_191).is_none());
}

#[test]
fn a_longest_page_of_a_list_costs_an_eighth_of_the_longest_request() {
    let list = protocol::Command {
        amount: protocol::limits::LIST_LIMIT_MAX.into(),
        ..protocol::Command::new(protocol::Kind::ReadAccounts, protocol::CommandId(0))
    };
    let head = protocol::Request {
        slots: 1,
        flags: protocol::request::flags::READ,
        ..protocol::Request::default()
    };
    let slots = protocol::request::reply_slots(&head, &[list]);
    let pool = pool(64 << 20, 4);
    let envelope = pool.try_acquire(slots).unwrap();
    let cost = (64 << 20) - pool.free_bytes();
    assert!(cost <= Class::Large.cost() / 7, "{cost}");
    let reply_len = protocol::reply::REPLY_SIZE + slots as usize * REPLY_SLOT_LEN;
    assert!(reply_len <= envelope.class.unwrap().reply_len_max());
    pool.release(envelope);
    assert_eq!(pool.free_bytes(), 64 << 20);
}

#[test]
fn kept_buffers_of_one_size_make_way_for_another() {
    let pool = pool(Class::Large.cost(), 100_000);
    let mut held = Vec::new();
    while let Some(envelope) = pool.try_acquire(1) {
        held.push(envelope);
    }
    assert!(held.len() > 100);
    held.drain(..).for_each(|envelope| pool.release(envelope));
    let large = pool.try_acquire(8_190).unwrap();
    assert_eq!(pool.state().kept_bytes, 0);
    pool.release(large);
    assert!(pool.try_acquire(1).is_some());
}

#[test]
fn a_refusal_is_answered_by_one_callback() {
    let pool = pool(64 << 20, 1);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    pool.on_release(Box::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    }));
    let held = pool.try_acquire(1).unwrap();
    pool.release(held);
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    let held = pool.try_acquire(1).unwrap();
    assert!(pool.try_acquire(1).is_none() && pool.try_acquire(1).is_none());
    pool.release(held);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[test]
fn a_long_reply_buffer_is_not_kept() {
    let pool = pool(64 << 20, 1);
    let mut envelope = pool.try_acquire(1).unwrap();
    envelope.reply.reserve(1 << 20);
    pool.release(envelope);
    assert!(pool.try_acquire(1).unwrap().reply.capacity() < 1 << 20);
}

#[test]
fn an_envelope_from_outside_is_simply_dropped() {
    let pool = pool(64 << 20, 1);
    pool.release(Envelope::with_slots(4));
    assert_eq!(pool.in_flight(), 0);
}
