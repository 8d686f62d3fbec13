//! A frame without money: the real gateway, ring and pool, and an engine that says ok.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use client::{Client, Connector, Expected, HeldSource, Options, TrustDomain};
use gateway::{
    BatchHistory, Certificate, Config, Feeds, FrameInfo, Gateway, KeyHistory, Lines, Setting, Shown,
};
use identity::{DevCa, Role, UnixTime};
use protocol::answer::Answer;
use protocol::cut::AccountRow;
use protocol::frame::{FrameKind, HEAD_SIZE, Head};
use protocol::overview::{DueHolds, Ranked, Ranking};
use protocol::reply::{self, Outcome, Reply};
use protocol::{Command, CommandId, Request, Status};
use quinn::crypto::rustls::QuicClientConfig;
use ring::{EngineEnd, Gate, JournalEnd, Polled, Pool, PoolConfig, Publisher, ReplyQueue};
use zerocopy::IntoBytes;

pub(crate) const FRAME: u128 = 0xf0f0;
pub(crate) const JOURNAL_NS: u64 = 1_700_000_000_000_000_000;
/// How much later it is behind each read of an account.
pub(crate) const READ_NS: u64 = 1_000_000_000;
const ACCOUNT: u16 = protocol::Kind::ReadAccount.number();
pub(crate) const RATE: u16 = 5_000;
pub(crate) const AGENT: &str = "0190aaaa-0000-7000-8000-00000000000a";

/// What the engine does and has seen.
#[derive(Default)]
pub(crate) struct Switches {
    /// It takes nothing.
    pub(crate) is_held: AtomicBool,
    /// The journal refuses everything.
    pub(crate) is_full: AtomicBool,
    /// Nobody is a host of anybody.
    pub(crate) is_foreign: AtomicBool,
    /// Reads of accounts that were answered.
    pub(crate) reads: AtomicU64,
    /// Every journaled request: head, and kinds of its commands.
    pub(crate) seen: Mutex<Vec<(Request, Vec<u16>)>>,
}

pub(crate) struct Frame {
    pub(crate) gateway: Option<Gateway>,
    pub(crate) addr: SocketAddr,
    pub(crate) https: SocketAddr,
    pub(crate) ca: DevCa,
    pub(crate) source: Arc<HeldSource>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) switches: Arc<Switches>,
    /// What the next gateway asks about string keys.
    pub(crate) keys: Option<Arc<dyn KeyHistory>>,
    /// What the next gateway tells of settlement.
    pub(crate) batches: Option<Arc<dyn BatchHistory>>,
    /// What the next gateway serves as feeds.
    pub(crate) feeds: Option<Arc<Feeds>>,
    publisher: Option<Publisher>,
    queues: Vec<Arc<ReplyQueue>>,
    engine: Option<JoinHandle<()>>,
}

pub(crate) fn domain() -> TrustDomain {
    TrustDomain::parse("frame-a.example").unwrap()
}

fn ttl() -> Duration {
    Duration::from_secs(3_600)
}

impl Frame {
    pub(crate) fn start() -> Self {
        Self::with(PoolConfig::default(), |_| {})
    }

    /// With a pool and a configuration of one's own.
    pub(crate) fn with(pool: PoolConfig, configure: impl FnOnce(&mut Config)) -> Self {
        let ca = DevCa::in_memory(&domain(), UnixTime::now()).unwrap();
        let own = ca.issue(Role::Peer, "engine", ttl(), UnixTime::now()).unwrap();
        let pool = Pool::new(pool);
        let parts = ring::build(ring::Config::default());
        let switches = Arc::new(Switches::default());
        let queues: Vec<_> =
            (0..3).map(|_| Arc::new(ReplyQueue::new(pool.config().requests_max))).collect();
        let engine = Engine {
            journal: parts.journal,
            engine: parts.engine,
            gate: parts.journal_gate,
            queues: queues.clone(),
            switches: Arc::clone(&switches),
            next_sequence: 1,
            known: HashMap::new(),
        };
        let mut frame = Self {
            gateway: None,
            addr: "127.0.0.1:0".parse().unwrap(),
            https: "127.0.0.1:0".parse().unwrap(),
            ca,
            source: Arc::new(HeldSource::new(own.material().unwrap())),
            pool,
            switches,
            keys: None,
            batches: None,
            feeds: None,
            publisher: Some(parts.publisher),
            queues,
            engine: Some(std::thread::spawn(move || engine.run())),
        };
        frame.open(0, 2, configure);
        frame
    }

    /// Opens a gateway for the workers `first..first + count`.
    pub(crate) fn open(&mut self, first: u16, count: usize, configure: impl FnOnce(&mut Config)) {
        let mut config = Config::new(self.addr);
        config.https = Some(self.https);
        configure(&mut config);
        let lines = Lines {
            pool: Arc::clone(&self.pool),
            publisher: self.publisher.clone().unwrap(),
            replies: self.queues[usize::from(first)..][..count].to_vec(),
            first_worker: first,
        };
        let started = std::time::Instant::now();
        let monotonic_ns = move || u64::try_from(started.elapsed().as_nanos()).unwrap();
        let clock = Arc::clone(&self.switches);
        let reads = move || clock.reads.load(Ordering::SeqCst);
        let journal_ns = Box::new(move || JOURNAL_NS + reads() * READ_NS);
        let info = FrameInfo {
            frame: FRAME,
            epoch: Box::new(|| 3),
            journal_ns,
            monotonic_ns: Box::new(monotonic_ns),
            keys: self.keys.clone(),
            entries: None,
            batches: self.batches.clone(),
            feeds: self.feeds.clone(),
            shown: Some(Arc::new(Exhibit)),
        };
        let gateway = Gateway::start(config, Arc::clone(&self.source), lines, info).unwrap();
        self.addr = gateway.local_addr();
        self.https = gateway.https_addr().unwrap();
        self.gateway = Some(gateway);
    }

    /// Opens another gateway in the place of the first, on other ports.
    pub(crate) async fn reopen(&mut self, configure: impl FnOnce(&mut Config)) {
        let before = self.gateway.take().unwrap();
        assert!(before.shutdown(Duration::from_secs(20)).await);
        let any = "127.0.0.1:0".parse().unwrap();
        (self.addr, self.https) = (any, any);
        self.open(2, 1, configure);
    }

    /// A source for an identity of this frame.
    pub(crate) fn identity(&self, role: Role, name: &str) -> Arc<HeldSource> {
        let issued = self.ca.issue(role, name, ttl(), UnixTime::now()).unwrap();
        Arc::new(HeldSource::new(issued.material().unwrap()))
    }

    pub(crate) fn agent(&self) -> Arc<HeldSource> {
        self.identity(Role::Agent, AGENT)
    }

    pub(crate) async fn connect(&self) -> Client {
        self.connect_with(Options::default()).await.unwrap()
    }

    pub(crate) async fn connect_with(&self, options: Options) -> Result<Client, client::Error> {
        Client::connect(self.addr, &self.agent(), expected(), options).await
    }

    pub(crate) fn connector(&self, options: Options) -> Connector {
        Connector::new(self.addr, &self.agent(), expected(), options).unwrap()
    }

    /// A connection that speaks QUIC and nothing more.
    pub(crate) async fn raw(&self) -> (quinn::Endpoint, quinn::Connection) {
        let tls = identity::client_config(&self.agent(), expected(), &[client::ALPN]);
        let (endpoint, connection) = self.raw_with(tls).await;
        (endpoint, connection.unwrap())
    }

    pub(crate) async fn raw_with(
        &self,
        tls: rustls::ClientConfig,
    ) -> (quinn::Endpoint, Result<quinn::Connection, quinn::ConnectionError>) {
        let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let crypto = Arc::new(QuicClientConfig::try_from(tls).unwrap());
        let config = quinn::ClientConfig::new(crypto);
        let connecting = endpoint.connect_with(config, self.addr, "frame").unwrap();
        (endpoint, connecting.await)
    }

    pub(crate) fn metric(&self, name: &str) -> u64 {
        let readings = self.gateway.as_ref().unwrap().metrics().readings();
        readings.iter().find(|(found, ..)| *found == name).unwrap().2
    }

    /// Closes everything and lets the engine end with the ring.
    pub(crate) async fn stop(mut self) {
        if let Some(gateway) = self.gateway.take() {
            assert!(gateway.shutdown(Duration::from_secs(20)).await);
        }
        let pool = Arc::clone(&self.pool);
        self.ring_ends().await;
        assert_eq!(pool.in_flight(), 0, "every envelope came back");
    }

    /// Waits for the end of a ring that nobody holds any more.
    pub(crate) async fn ring_ends(mut self) {
        self.publisher = None;
        let engine = self.engine.take().unwrap();
        tokio::task::spawn_blocking(move || engine.join().unwrap()).await.unwrap();
    }

    pub(crate) fn seen(&self) -> Vec<(Request, Vec<u16>)> {
        self.switches.seen.lock().unwrap().clone()
    }
}

pub(crate) fn expected() -> Expected {
    Expected::Frame(domain())
}

/// Waits until something comes true that must come true.
pub(crate) async fn until(mut is_true: impl FnMut() -> bool) {
    let looked = async {
        while !is_true() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), looked).await.unwrap();
}

pub(crate) fn transfers(count: u64, salt: u64) -> Vec<Command> {
    (0..count)
        .map(|at| {
            let id = CommandId::new(JOURNAL_NS / 1_000_000, u128::from(salt * 100_000 + at));
            Command::transfer(id, 10, 20, 1, 5)
        })
        .collect()
}

pub(crate) fn hello_bytes() -> Vec<u8> {
    Head::new(FrameKind::Hello, 0).as_bytes().to_vec()
}

pub(crate) fn request_bytes(number: u64, flags: u16, slots: &[Command]) -> Vec<u8> {
    let head = Request { request: number, flags, ..Request::default() };
    let mut bytes = Vec::new();
    client::framing::encode_request(head, slots, &mut bytes);
    bytes
}

/// The next frame of a raw stream; `None` at its end.
pub(crate) async fn next_frame(recv: &mut quinn::RecvStream) -> Option<(FrameKind, Vec<u8>)> {
    let mut head = [0; HEAD_SIZE];
    recv.read_exact(&mut head).await.ok()?;
    let (kind, length) = Head::parse(&head).unwrap();
    let mut body = vec![0; length];
    recv.read_exact(&mut body).await.ok()?;
    Some((kind, body))
}

struct Engine {
    journal: JournalEnd,
    engine: EngineEnd,
    gate: Arc<Gate>,
    queues: Vec<Arc<ReplyQueue>>,
    switches: Arc<Switches>,
    next_sequence: u64,
    known: HashMap<u128, u64>,
}

impl Engine {
    fn run(mut self) {
        let mut taken = Vec::new();
        loop {
            let journaled = self.journal.poll(usize::MAX, |_| {});
            let is_held = self.switches.is_held.load(Ordering::SeqCst);
            let polled = self.engine.take_while(&mut taken, |_| !is_held);
            for mut envelope in taken.drain(..) {
                self.answer(&mut envelope);
                self.queues[usize::from(envelope.ticket.worker)].push(envelope);
            }
            self.queues.iter().for_each(|queue| queue.flush());
            match (journaled, polled) {
                (Polled::Shutdown, Polled::Shutdown) => return,
                (Polled::Taken(_), _) | (_, Polled::Taken(_)) => {}
                _ => {
                    let (gate, journal) = (&self.gate, &self.journal);
                    gate.wait(|| journal.has_available(), Duration::from_millis(1));
                }
            }
        }
    }

    fn answer(&mut self, envelope: &mut ring::Envelope) {
        let head = Reply {
            request: envelope.head.request,
            epoch: 3,
            timestamp: JOURNAL_NS,
            stamps: [1, 2, 3, 0],
            ..Reply::default()
        };
        if envelope.is_read() {
            let head = Reply {
                count: envelope.commands,
                flags: reply::flags::READ,
                first_sequence: self.next_sequence - 1,
                ..head
            };
            envelope.reply.extend_from_slice(head.as_bytes());
            let is_foreign = self.switches.is_foreign.load(Ordering::SeqCst);
            for read in &envelope.slots {
                self.switches.reads.fetch_add(u64::from(read.kind == ACCOUNT), Ordering::SeqCst);
                let answer = Answer {
                    status: if is_foreign { Status::NotFound.number() } else { 0 },
                    kind: read.kind,
                    value: read.debit,
                    asset: read.asset,
                    ..Answer::default()
                };
                envelope.reply.extend_from_slice(answer.as_bytes());
            }
            return;
        }
        if self.switches.is_full.load(Ordering::SeqCst) {
            envelope.refused = Some(Status::JournalFull);
            return;
        }
        let mut kinds = Vec::new();
        envelope.outcomes.clear(self.next_sequence);
        for entry in protocol::request::Commands::new(&envelope.slots) {
            let command = entry.unwrap().command;
            kinds.push(command.kind);
            let sequence = self.next_sequence;
            self.next_sequence += 1;
            let first = *self.known.entry(command.id).or_insert(sequence);
            let is_repeat = command.id != 0 && first != sequence;
            envelope.outcomes.push(Outcome {
                sequence: if is_repeat { first } else { sequence },
                status: Status::Ok,
                rate: RATE,
                repeat: is_repeat,
            });
        }
        assert_eq!(kinds.len(), envelope.commands as usize);
        self.switches.seen.lock().unwrap().push((envelope.head, kinds));
        envelope.outcomes.encode(head, &mut envelope.reply);
    }
}

/// What there is to look at.
struct Exhibit;

impl Shown for Exhibit {
    fn figures(&self) -> Option<String> {
        Some("bezant_ready 1\n".into())
    }

    fn settings(&self) -> &[Setting] {
        static SETTINGS: LazyLock<[Setting; 1]> = LazyLock::new(|| {
            [Setting { key: "a.b", value: "1".into(), origin: "flag".into(), meaning: "what" }]
        });
        &*SETTINGS
    }

    fn ranking(&self) -> Option<Arc<Ranking>> {
        let row = AccountRow {
            owner: protocol::system::treasury(1),
            asset: 1,
            host: 1,
            liquid: 1_500_000,
            held: 500_000,
            staked: 0,
            bonded: 0,
            minimum: 0,
            credit_limit: 0,
            flags: 0,
        };
        let accounts = vec![row];
        let ranked = Ranked { asset: 1, scale: 6, name: "AVT".into(), accounts };
        let assets = vec![ranked];
        Some(Arc::new(Ranking { since: 1, sequence: 2, timestamp_ns: 3_000_000, assets }))
    }

    /// As an engine that does not answer.
    fn due_holds(&self) -> Option<Arc<DueHolds>> {
        None
    }

    fn certificates(&self) -> Vec<Certificate> {
        let name = "frame-a.example".into();
        vec![Certificate { name, is_authority: true, not_after_s: 7 }]
    }
}
