//! The rig: ring, journal in memory, stages and engine, stepped by hand on a clock of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{Engine, Options};
use journal::{Config, Entry, Expect, Journal, Kind, MemoryStorage, Preparer};
use pipeline::{Boundary, Now, Recovered, Replayer, Stages, Wiring, assemble};
use protocol::genesis::{Genesis, Mode, RULES};
use protocol::parameter::Parameters;
use protocol::reply::{Decoded, Reply, decode};
use protocol::{Command, CommandId, Role};
use ring::{Pool, PoolConfig, ReplyQueue, Ticket};

pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const START: u64 = 1_700_000_000 * SECOND;
pub(crate) const SEGMENT: Config = Config { segment_size: 64 * 1024 };
const REQUESTS_MAX: usize = 48;
const AGENTS: u128 = 4;

pub(crate) fn agent(n: u128) -> u128 {
    (1 + n % AGENTS) << 64
}

pub(crate) fn genesis() -> Genesis {
    Genesis {
        frame: 0xf7a3e,
        hash_seed: 0x5eed,
        mode: Mode::Frame,
        scale: 6,
        name: "AVT".into(),
        trust_domain: "frame.test".into(),
        parameters: Parameters::default(),
    }
}

/// What a replay found: outcomes by request number, digests by sequence.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) outcomes: BTreeMap<u64, Decoded>,
    pub(crate) digests: BTreeMap<u64, [u8; 16]>,
    pub(crate) timestamps: Vec<u64>,
}

pub(crate) struct Rig {
    pub(crate) disk: MemoryStorage,
    pub(crate) stages: Stages,
    pub(crate) preparer: Preparer,
    pub(crate) pool: Arc<Pool>,
    pub(crate) queue: Arc<ReplyQueue>,
    pub(crate) now_ns: u64,
    pub(crate) requests: u64,
    /// At which sequence the history was asked for the next requests.
    pub(crate) history_checked: u64,
    ids: u128,
}

impl Rig {
    /// A new frame on a new disk.
    pub(crate) fn new() -> Self {
        Self::with(&genesis())
    }

    /// The same, born otherwise.
    pub(crate) fn with(genesis: &Genesis) -> Self {
        let disk = MemoryStorage::new();
        let entry = Entry {
            kind: Kind::Genesis,
            rules: RULES,
            epoch: 1,
            first_sequence: 1,
            timestamp_ns: START,
            ..Entry::default()
        };
        Journal::create(
            Arc::new(disk.clone()),
            SEGMENT,
            genesis.frame,
            &entry,
            &[&genesis.encode()],
        )
        .unwrap();
        disk.kill();
        Self::recover(disk, START, 0).0
    }

    /// A frame found again on `disk`, and what its replay showed.
    pub(crate) fn recover(disk: MemoryStorage, now_ns: u64, requests: u64) -> (Self, Found) {
        let mut replayer = Replayer::new(Options::default());
        let mut found = Found::default();
        let (journal, report) = Journal::recover_with(
            Arc::new(disk.clone()),
            SEGMENT,
            Expect::default(),
            &mut |header, payload| {
                found.timestamps.push(header.timestamp_ns);
                let outcomes = &mut found.outcomes;
                replayer.apply(header, payload, |step| {
                    if step.request.role != Role::Engine as u16 {
                        let mut bytes = Vec::new();
                        step.outcomes.encode(Reply::default(), &mut bytes);
                        let seen = outcomes.insert(step.request.request, decode(&bytes).unwrap());
                        assert!(seen.is_none(), "a request is journaled once");
                    }
                })?;
                let engine = replayer.engine().unwrap();
                found.digests.insert(engine.executed().0, engine.run_digest());
                Ok(())
            },
        )
        .unwrap();
        let boundary = replayer.boundary();
        let engine = replayer.into_engine().unwrap();
        let at = (report.last.epoch, boundary);
        (Self::start(disk, (journal, engine, at), now_ns, requests), found)
    }

    /// A frame found again on `disk` from the newest of its snapshots.
    pub(crate) fn resume(
        disk: MemoryStorage,
        recovered: Recovered,
        now_ns: u64,
        requests: u64,
    ) -> Self {
        let Recovered { journal, report, engine, boundary, .. } = recovered;
        let at = (report.last.epoch, boundary);
        Self::start(disk, (journal, engine, at), now_ns, requests)
    }

    fn start(
        disk: MemoryStorage,
        (journal, engine, (epoch, boundary)): (Journal, Engine, (u64, Boundary)),
        now_ns: u64,
        requests: u64,
    ) -> Self {
        let (appender, syncer, mut preparer) = journal.split();
        let pool = Pool::new(PoolConfig { bytes_max: 64 << 20, requests_max: REQUESTS_MAX });
        let queue = Arc::new(ReplyQueue::new(REQUESTS_MAX));
        let mut stages = assemble(Wiring {
            ring: ring::build(ring::Config { size: 64, ..ring::Config::default() }),
            engine,
            appender,
            syncer,
            boundary,
            epoch: epoch + 1,
            replies: vec![Arc::clone(&queue)],
            pool: Arc::clone(&pool),
        });
        stages.open(&mut preparer, Now { journal_ns: now_ns, monotonic_ns: now_ns });
        let ids = u128::from(requests) << 16;
        let history_checked = 0;
        Self { disk, stages, preparer, pool, queue, now_ns, requests, history_checked, ids }
    }

    /// Power cut: everything in memory is gone and the disk keeps what it likes.
    pub(crate) fn crash(self, seed: u64) -> (Self, Found) {
        let Self { disk, now_ns, requests, .. } = self;
        disk.crash(seed);
        Self::recover(disk, now_ns, requests)
    }

    pub(crate) fn id(&mut self) -> CommandId {
        self.ids += 1;
        CommandId::new(self.now_ns / 1_000_000, self.ids)
    }

    /// Publishes a request; `None` when pool or ring are full.
    pub(crate) fn send(&mut self, role: Role, principal: u128, slots: &[Command]) -> Option<u64> {
        let mut envelope = self.pool.try_acquire(slots.len() as u32)?;
        self.requests += 1;
        envelope.head.request = self.requests;
        envelope.head.principal = principal;
        envelope.head.history_checked = self.history_checked;
        envelope.head.role = role as u16;
        envelope.head.slots = slots.len() as u32;
        if slots[0].kind >= 0x100 {
            envelope.head.flags = protocol::request::flags::READ;
        }
        envelope.slots.extend_from_slice(slots);
        envelope.commands = protocol::request::Commands::new(slots).count() as u32;
        envelope.ticket = Ticket { worker: 0, connection: 1, stream: 2 };
        envelope.stamps.received = self.now_ns;
        match self.stages.publisher.try_publish(envelope) {
            Ok(()) => Some(self.requests),
            Err(envelope) => {
                self.pool.release(envelope);
                None
            }
        }
    }

    /// Opens every agent's account and gives each a million units.
    pub(crate) fn open_accounts(&mut self) {
        for n in 0..AGENTS {
            let open = Command::open(self.id(), agent(n), 1);
            self.send(Role::Agent, agent(n), &[open]).unwrap();
            let issue = Command::issue(self.id(), agent(n), 1, 1_000_000);
            self.send(Role::Mint, 0x317 << 64, &[issue]).unwrap();
        }
        self.turn();
        let replies = self.replies();
        assert_eq!(replies.len(), 2 * AGENTS as usize);
        for reply in replies.values() {
            assert!(reply.outcomes[0].status.is_ok(), "{reply:?}");
        }
    }

    /// `count` payments in one request.
    pub(crate) fn pay(&mut self, n: u128, count: usize) -> Option<u64> {
        let slots: Vec<_> = (0..count)
            .map(|_| {
                let id = self.id();
                Command::transfer(id, agent(n), agent(n + 1), 1, 10 + n % 7)
            })
            .collect();
        self.send(Role::Agent, agent(n), &slots)
    }

    pub(crate) fn now(&self) -> Now {
        Now { journal_ns: self.now_ns, monotonic_ns: self.now_ns }
    }

    pub(crate) fn step_engine(&mut self) -> pipeline::Progress {
        let now_ns = self.now_ns;
        let progress = self.stages.engine.step(|| now_ns);
        self.stages.marks.watermarks().validate().unwrap();
        progress
    }

    /// Every stage until nothing moves.
    pub(crate) fn turn(&mut self) {
        use pipeline::Progress::{Idle, Worked};
        loop {
            let _ = self.preparer.prepare();
            let now = self.now();
            let steps =
                [self.stages.journal.step(now), self.stages.sync.step(), self.step_engine()];
            assert!(steps.iter().all(|step| matches!(step, Idle | Worked)));
            if steps == [Idle; 3] {
                break;
            }
        }
    }

    /// The replies that have come, by request number; their envelopes go back to the pool.
    pub(crate) fn replies(&mut self) -> BTreeMap<u64, Decoded> {
        let mut replies = BTreeMap::new();
        while let Some(envelope) = self.queue.pop() {
            let decoded = decode(&envelope.reply).unwrap();
            assert_eq!(decoded.head.request, envelope.head.request);
            let seen = replies.insert(envelope.head.request, decoded);
            assert!(seen.is_none(), "a request is answered once");
            self.pool.release(envelope);
        }
        replies
    }
}
