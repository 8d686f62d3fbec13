//! Tests of the threads on a simulated disk: a stop loses nothing, a failed sync ends everything.

use super::*;
use crate::exit::Exit;

use engine::{Engine, Options};
use journal::{Config, Entry, Journal, Kind, MemoryStorage, Reader};
use pipeline::{Boundary, Replayer, Wiring, assemble};
use protocol::genesis::{Genesis, Mode, RULES};
use protocol::parameter::Parameters;
use protocol::reply::decode;
use protocol::{Command, CommandId, Role};
use ring::{Pool, PoolConfig, ReplyQueue};

const REQUESTS_MAX: usize = 48;

struct Rig {
    disk: MemoryStorage,
    runtime: Runtime,
    publisher: Publisher,
    pool: Arc<Pool>,
    queue: Arc<ReplyQueue>,
    fatal: Arc<Mutex<Vec<Fatal>>>,
}

/// Of the record that every journal begins with.
fn first_entry() -> Entry {
    Entry {
        kind: Kind::Genesis,
        rules: RULES,
        epoch: 1,
        first_sequence: 1,
        timestamp_ns: 1,
        ..Entry::default()
    }
}

fn rig() -> Rig {
    let genesis = Genesis {
        frame: 1,
        hash_seed: 2,
        mode: Mode::Frame,
        scale: 6,
        name: "AVT".into(),
        trust_domain: "frame.test".into(),
        parameters: Parameters::default(),
    };
    let disk = MemoryStorage::new();
    let config = Config { segment_size: 1 << 20 };
    let payload = genesis.encode();
    let storage = Arc::new(disk.clone());
    let journal =
        Journal::create(storage, config, genesis.frame, &first_entry(), &[&payload]).unwrap();
    let (appender, syncer, preparer) = journal.split();
    let boundary = Boundary::of(appender.last());
    let pool = Pool::new(PoolConfig { bytes_max: 64 << 20, requests_max: REQUESTS_MAX });
    let queue = Arc::new(ReplyQueue::new(REQUESTS_MAX));
    let stages = assemble(Wiring {
        ring: ring::build(ring::Config { size: 64, ..ring::Config::default() }),
        engine: Engine::new(&genesis, Options::default()).unwrap(),
        appender,
        syncer,
        boundary,
        epoch: 1,
        replies: vec![Arc::clone(&queue)],
        pool: Arc::clone(&pool),
    });
    let fatal = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&fatal);
    let (runtime, publisher, _) = Runtime::start(Ingredients {
        stages,
        preparer,
        clock: Arc::new(SystemClock::start(1, true).unwrap()),
        on_fatal: Arc::new(move |error| noted.lock().unwrap().push(error)),
    })
    .unwrap();
    Rig { disk, runtime, publisher, pool, queue, fatal }
}

fn send(rig: &mut Rig, request: u64, commands: u32) {
    let mut envelope = loop {
        match rig.pool.try_acquire(commands) {
            Some(envelope) => break envelope,
            None => drain(rig, 1),
        }
    };
    envelope.head.request = request;
    envelope.head.principal = 7 << 64;
    envelope.head.role = Role::Agent as u16;
    envelope.head.slots = commands;
    envelope.commands = commands;
    envelope.ticket.worker = 0;
    for n in 0..commands {
        let id = CommandId::new(1, u128::from(request) << 16 | u128::from(n));
        envelope.slots.push(Command::transfer(id, 7 << 64, 8 << 64, 1, 5));
    }
    rig.publisher.try_publish(envelope).expect("the ring has more slots than the pool requests");
}

/// Waits for so many replies and gives their envelopes back.
fn drain(rig: &Rig, count: usize) {
    let mut left = count;
    while left > 0 {
        match rig.queue.pop() {
            Some(envelope) => {
                let reply = decode(&envelope.reply).unwrap();
                assert_eq!(reply.outcomes.len(), envelope.slots.len());
                rig.pool.release(envelope);
                left -= 1;
            }
            None => std::thread::yield_now(),
        }
    }
}

#[test]
fn a_stop_answers_everything_and_leaves_a_whole_journal() {
    let mut rig = rig();
    for request in 1..=500 {
        send(&mut rig, request, 1 + request as u32 % 64);
    }
    let Rig { disk, runtime, pool, queue, fatal, .. } = rig;
    let engine = runtime.stop();
    while let Some(envelope) = queue.pop() {
        pool.release(envelope);
    }
    assert_eq!(pool.in_flight(), 0);
    let fatal = fatal.lock().unwrap();
    assert!(fatal.is_empty(), "{fatal:?}");

    let mut replayer = Replayer::new(Options::default());
    let mut requests = 0;
    let mut reader = Reader::open(Arc::new(disk), 1).unwrap();
    let mut last = None;
    while let Some((header, payload)) = reader.next().unwrap() {
        last = header.kind();
        replayer.apply(header, payload, |_| requests += 1).unwrap();
    }
    assert_eq!((requests, last), (500, Some(Kind::Blank)));
    let replayed = replayer.engine().unwrap();
    assert_eq!(replayed.run_digest(), engine.engine().run_digest());
    assert_eq!(replayed.image_digest(), engine.engine().image_digest());
}

#[test]
fn a_failed_sync_is_told_once_and_answers_nothing() {
    let mut rig = rig();
    send(&mut rig, 1, 1);
    drain(&rig, 1);
    rig.disk.fail_sync_in(0);
    send(&mut rig, 2, 1);
    while rig.fatal.lock().unwrap().is_empty() {
        std::thread::yield_now();
    }
    let Rig { runtime, queue, fatal, .. } = rig;
    runtime.stop();
    assert!(queue.pop().is_none());
    assert!(matches!(fatal.lock().unwrap()[..], [Fatal::Sync(_)]));
}

/// The journal thread can meet the poisoned journal before the sync thread has told why: the
/// process then ended with the code of a broken invariant (70) instead of a failed sync (80).
#[test]
fn a_poisoned_journal_is_a_failed_sync_whoever_meets_it() {
    let met = Fatal::of(&Halt::Append(AppendError::Poisoned));
    assert!(matches!(met, Fatal::Sync(_)), "{met}");
    let other = Fatal::of(&Halt::Append(AppendError::TooLarge { len: 2, max: 1 }));
    assert!(matches!(other, Fatal::Halt(_)), "{other}");
}

/// A record that finds every buffer waiting is written by the journal thread itself, which so can
/// be the one that meets a failing disk.
#[test]
fn a_write_that_fails_under_the_journal_thread_ends_with_the_code_of_a_failed_sync() {
    let disk = MemoryStorage::direct();
    let (config, entry) = (Config { segment_size: 1 << 20 }, first_entry());
    let journal = Journal::create(Arc::new(disk.clone()), config, 1, &entry, &[&[0; 128]]).unwrap();
    let (mut appender, _syncer, _preparer) = journal.split();
    disk.fail_sync_in(0);
    // Longer than what is copied behind the one before, so that each takes a buffer.
    let payload = vec![0; 100 * 1024];
    let error = (1..10).find_map(|sequence| {
        let entry = Entry {
            kind: Kind::Commands,
            first_sequence: sequence,
            commands: 1,
            timestamp_ns: 1 + sequence,
            ..entry
        };
        appender.append(&entry, &[&payload]).err()
    });
    let error = error.expect("more records than buffers");
    assert!(matches!(error, AppendError::Storage(_)), "{error}");
    let fatal = Fatal::of(&Halt::Append(error));
    assert_eq!(Exit::from(&fatal), Exit::SyncFailed, "{fatal}");
    assert_eq!(Exit::SyncFailed as u8, 80);
}
