//! The ring under threads: nothing lost, nothing doubled, each publisher's order kept, full rings
//! give the envelope back, and the pool's bound holds throughout.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use protocol::Command;
use ring::{
    Config, EngineEnd, Envelope, Gate, JournalEnd, Parts, Polled, Pool, PoolConfig, ReplyQueue,
    build,
};

const SMALL_RING: Config = Config { size: 64, patience: ring::Patience { spins: 16, yields: 4 } };

fn numbered(request: u64, slots: usize) -> Box<Envelope> {
    let mut envelope = Envelope::with_slots(1);
    envelope.head.request = request;
    envelope.slots.resize(slots, Command::default());
    envelope
}

#[test]
fn a_full_ring_gives_the_envelope_back() {
    let mut parts = build(SMALL_RING);
    for n in 0..64 {
        assert!(parts.publisher.try_publish(numbered(n, 1)).is_ok());
    }
    let refused = parts.publisher.try_publish(numbered(64, 1)).unwrap_err();
    assert_eq!(refused.head.request, 64);
    assert_eq!(parts.journal.poll(usize::MAX, |_| ()), Polled::Taken(64));
    assert!(parts.publisher.try_publish(numbered(64, 1)).is_err());
    let mut out = Vec::new();
    let taken = parts.engine.take_while(&mut out, |envelope| envelope.head.request < 10);
    assert_eq!(taken, Polled::Taken(10));
    assert!(parts.publisher.try_publish(refused).is_ok());
    let positions = &parts.positions;
    assert_eq!((positions.published(), positions.journaled(), positions.taken()), (65, 64, 10));
}

#[test]
fn a_group_is_bounded_by_bytes_but_never_empty() {
    let mut parts = build(SMALL_RING);
    for n in 0..4 {
        parts.publisher.try_publish(numbered(n, 1)).unwrap();
    }
    let mut sizes = Vec::new();
    let request = 64 + 128;
    for bytes_max in [1, 2 * request, 3 * request] {
        let polled = parts.journal.poll(bytes_max, |group| sizes.push(group.len()));
        assert_eq!(polled, Polled::Taken(*sizes.last().unwrap()));
    }
    assert_eq!(sizes, [1, 2, 1]);
    assert_eq!(parts.journal.poll(1, |_| ()), Polled::Empty);
}

#[test]
fn the_engine_stage_sees_only_what_was_journaled_and_wanted() {
    let mut parts = build(SMALL_RING);
    parts.publisher.try_publish(numbered(7, 1)).unwrap();
    let mut out = Vec::new();
    assert_eq!(parts.engine.take_while(&mut out, |_| true), Polled::Empty);
    parts.journal.poll(usize::MAX, |group| group[0].place.index = 3);
    let wait = parts.engine.take_while(&mut out, |envelope| envelope.place.index <= 2);
    assert_eq!(wait, Polled::Empty);
    let taken = parts.engine.take_while(&mut out, |envelope| envelope.place.index <= 3);
    assert_eq!(taken, Polled::Taken(1));
    assert_eq!(out[0].head.request, 7);
}

#[test]
fn the_end_is_told_after_everything_was_taken() {
    let mut parts = build(SMALL_RING);
    parts.publisher.try_publish(numbered(1, 1)).unwrap();
    drop(parts.publisher);
    let mut out = Vec::new();
    assert_eq!(parts.journal.poll(1, |_| ()), Polled::Taken(1));
    assert_eq!(parts.journal.poll(1, |_| ()), Polled::Shutdown);
    assert_eq!(parts.engine.take_while(&mut out, |_| true), Polled::Taken(1));
    assert_eq!(parts.engine.take_while(&mut out, |_| true), Polled::Shutdown);
}

const PRODUCERS: u64 = 3;
const EACH: u64 = 20_000;

fn produce(publisher: &ring::Publisher, pool: &Arc<Pool>) -> Vec<std::thread::JoinHandle<()>> {
    let spawn = |producer| {
        let (mut publisher, pool) = (publisher.clone(), Arc::clone(pool));
        std::thread::spawn(move || {
            for n in 0..EACH {
                let mut envelope = loop {
                    assert!(pool.in_flight() <= pool.config().requests_max);
                    match pool.try_acquire(1) {
                        Some(envelope) => break envelope,
                        None => std::thread::yield_now(),
                    }
                };
                envelope.head.request = n;
                envelope.ticket.connection = producer;
                envelope.slots.push(Command::default());
                while let Err(refused) = publisher.try_publish(envelope) {
                    envelope = refused;
                    std::thread::yield_now();
                }
            }
        })
    };
    (0..PRODUCERS).map(spawn).collect()
}

fn run_journal(mut journal: JournalEnd, mine: &Gate, next: &Gate) {
    let mut index = 0;
    loop {
        let polled = journal.poll(4_096, |group| {
            for envelope in group {
                index += 1;
                envelope.place.index = index;
            }
        });
        match polled {
            Polled::Taken(_) => next.notify(),
            Polled::Empty => {
                mine.wait(|| journal.has_available(), Duration::from_millis(1));
            }
            Polled::Shutdown => break,
        }
    }
}

fn run_engine(mut engine: EngineEnd, mine: &Gate, back: &ReplyQueue) {
    let mut out = Vec::new();
    loop {
        match engine.take_while(&mut out, |_| true) {
            Polled::Taken(_) => out.drain(..).for_each(|envelope| back.push(envelope)),
            Polled::Empty => {
                mine.wait(|| engine.has_available(), Duration::from_millis(1));
            }
            Polled::Shutdown => break,
        }
        back.flush();
    }
}

#[test]
fn under_threads_nothing_is_lost_doubled_or_reordered() {
    let config = PoolConfig { bytes_max: 64 << 20, requests_max: 48 };
    let pool = Pool::new(config);
    let replies = Arc::new(ReplyQueue::new(config.requests_max));
    let wakes = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&wakes);
    replies.set_waker(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let Parts { publisher, journal, engine, journal_gate, engine_gate, .. } = build(SMALL_RING);
    let mut threads = produce(&publisher, &pool);
    drop(publisher);
    let to_engine = Arc::clone(&engine_gate);
    threads.push(std::thread::spawn(move || {
        run_journal(journal, &journal_gate, &to_engine);
    }));
    let back = Arc::clone(&replies);
    threads.push(std::thread::spawn(move || {
        run_engine(engine, &engine_gate, &back);
    }));

    let mut next = [0; PRODUCERS as usize];
    let mut last_index = 0;
    while last_index < PRODUCERS * EACH {
        let Some(envelope) = replies.pop() else {
            std::thread::yield_now();
            continue;
        };
        let producer = envelope.ticket.connection as usize;
        assert_eq!(envelope.head.request, next[producer]);
        assert_eq!(envelope.place.index, last_index + 1);
        next[producer] += 1;
        last_index += 1;
        pool.release(envelope);
    }
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(replies.pop().is_none());
    assert_eq!(pool.in_flight(), 0);
    assert!(wakes.load(Ordering::Relaxed) > 0);
}
