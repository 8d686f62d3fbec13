//! Floods and slowness over HTTPS, all at once, beside honest load through every door: the honest
//! lose nothing, the attackers are cut, and memory stays within its bound. How much slower the
//! honest become is printed, not judged: it depends on the machine.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use client::query;
use loadgen::https::{Http1, HttpsConnector, HttpsError, head};
use loadgen::run::Progress;
use loadgen::{Door, Driver, Load, Mix, Random, plan};
use protocol::ids::NATIVE;
use protocol::request::flags;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::abuse_h2;
use crate::books;
use crate::frame::{Frame, PATIENCE};
use crate::https_client::{connector, request, status, until_cut, until_deaf};
use crate::https_door::batch;

/// Connections of each slow attack.
const SLOW: usize = 40;
/// Floods, and the connections that each opens, one after another.
const FLOODS: [(&str, Flood, usize); 5] = [
    ("header flood", Flood::Head, 4),
    ("rapid reset", Flood::Reset, 4),
    ("made to reset", Flood::MadeToReset, 4),
    ("endless head", Flood::EndlessHead, 4),
    // Nothing is wrong with these; they are cut as a connection without requests is.
    ("pings and settings", Flood::Talk, 1),
];
/// Connections that say nothing, over all attackers.
const IDLE: usize = 2_000;
/// Attackers that hold idle connections.
const IDLERS: usize = 10;
/// Connections that the door takes.
const DOOR_MAX: usize = 1_800;
/// Memory that the attacks may cost, in MiB, as `docs/security.md` adds it up: handshakes, first
/// packets, the receive budget, and what each reader of a registry may be owed and sent. Whoever
/// only waits, or is cut before it is answered, has a part in the budget alone.
const MEMORY_MIB: u64 = 80 + 4 + 256 + SLOW as u64 * 12;

/// A light load.
const LIGHT: Load =
    Load { mix: Mix { holds: 20, reads: 0 }, batch: 8, in_flight: 2, ..books::SMALL };
/// The honest, by name, each with a book and a host of its own.
const HONEST: [(&str, Load); 3] = [
    ("quic", LIGHT),
    ("batches", Load { door: Door::HttpsBinary, seed: 8, ..LIGHT }),
    ("json", Load { door: Door::HttpsJson, seed: 9, batch: 1, ..LIGHT }),
];

#[test]
fn floods_and_slowness_cost_the_honest_nothing() {
    books::run(async {
        raise_descriptors();
        let mut frame = Frame::with(&[], &[&format!("gateway.connections={DOOR_MAX}")]);
        frame.start();
        let mut loads = Vec::new();
        for (name, load) in HONEST {
            let target = frame.target_of(name);
            let driver = Driver::prepare(&target, load).await.unwrap();
            loads.push((name, target, driver));
        }
        let progress: Vec<_> = loads.iter().map(|load| Arc::clone(&load.2.progress)).collect();
        let process = frame.process().id();
        let work = async {
            latencies(&progress, 500).await;
            println!("quiet:        {}", latencies(&progress, 4_000).await);
            let before = memory_mib(process);
            let peak = Arc::new(AtomicU64::new(before));
            let watch = tokio::spawn(watch_memory(process, Arc::clone(&peak)));
            attack(&frame, &progress).await;
            watch.abort();
            let peak = peak.load(Ordering::Relaxed);
            println!("memory:       {before} MiB before, {peak} MiB at the most");
            assert!(peak - before < MEMORY_MIB, "the attacks cost {} MiB", peak - before);
            println!("afterwards:   {}", latencies(&progress, 500).await);
        };
        let [quic, batches, json] = &mut loads[..] else {
            unreachable!("three loads were prepared")
        };
        let json = books::drive_at(&json.1, &mut json.2, work);
        let batches = books::drive_at(&batches.1, &mut batches.2, json);
        books::drive_at(&quic.1, &mut quic.2, batches).await;
        for (name, target, mut driver) in loads {
            assert!(driver.errors.is_empty(), "{name}: {:?}", driver.errors);
            assert_eq!(driver.unknown(), 0, "{name}: no request was lost");
            assert!(driver.measured.refused.is_empty(), "{:?}", driver.measured.refused);
            books::agree_at(&target, &mut driver).await;
        }
        frame.stop();
        frame.is_sound();
    });
}

/// Each connection takes a descriptor here and one in the frame, which inherits the limit.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    // With fewer the attackers are fewer.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Waits until every load has executed `count` more commands; returns the latencies since the last
/// call, and of how many requests they are.
async fn latencies(progress: &[Arc<Progress>], count: u64) -> String {
    for progress in progress {
        books::executed(progress, count).await;
    }
    let mut told = Vec::new();
    for (progress, (name, _)) in progress.iter().zip(HONEST) {
        let recent = progress.take_recent();
        let [p50, p99] = [0.5, 0.99].map(|at| recent.quantile(at).as_secs_f64() * 1e3);
        told.push(format!("{name} p50 {p50:.1} ms p99 {p99:.1} ms ({})", recent.requests));
    }
    told.join("; ")
}

async fn watch_memory(process: u32, peak: Arc<AtomicU64>) {
    loop {
        peak.fetch_max(memory_mib(process), Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Resident memory of a process.
fn memory_mib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() / 1_024
}

/// Everything at once, and the idle ones on top; returns when each attacker has been cut.
async fn attack(frame: &Frame, progress: &[Arc<Progress>]) {
    let addr = frame.https();
    let slow = connector(frame, "registry", "slow");
    let flood = connector(frame, "registry", "flood");
    let mut attacks = JoinSet::new();
    for _ in 0..SLOW {
        attacks.spawn(timed("silence", silent(addr)));
        attacks.spawn(timed("slow heads", slow_head(Arc::clone(&slow))));
        attacks.spawn(timed("slow bodies", slow_body(Arc::clone(&slow))));
        attacks.spawn(timed("slow readers", slow_reader(Arc::clone(&slow))));
    }
    for (name, kind, times) in FLOODS {
        let flood = Arc::clone(&flood);
        attacks.spawn(timed(name, async move {
            kind.run(name, &flood).await.expect("the door has room for the first attackers");
            for _ in 1..times {
                // The idle ones may have taken the room by then.
                if let Err(error) = kind.run(name, &flood).await {
                    println!("{name}: not let in: {error}");
                }
            }
        }));
    }
    let idle = idle(frame).await;
    println!("under attack: {}", latencies(progress, 1).await);
    let open = open_now(frame);
    println!("idle:         {} of {IDLE} connections made, {open} open", idle.len());
    assert!(open <= DOOR_MAX, "{open} connections are open");
    let files = getrlimit(Resource::Nofile).current;
    assert!(idle.len() >= IDLE / 2, "the attackers are too few: `ulimit -n` is {files:?}");
    let mut longest = BTreeMap::new();
    while let Some(ended) = attacks.join_next().await {
        let (name, seconds) = ended.unwrap();
        longest.entry(name).and_modify(|most| *most = seconds.max(*most)).or_insert(seconds);
    }
    println!("cut after:    {longest:.1?} s at the latest");
    println!("until then:   {}", latencies(progress, 1).await);
    drop(idle);
    // The door hears of it by and by.
    let patience = Instant::now();
    while open_now(frame) > DOOR_MAX / 2 {
        assert!(patience.elapsed() < PATIENCE, "the idle connections are gone and not forgotten");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    newcomer(frame).await;
}

async fn timed(name: &'static str, attack: impl Future<Output = ()>) -> (&'static str, f64) {
    let started = Instant::now();
    attack.await;
    (name, started.elapsed().as_secs_f64())
}

/// Connections of the HTTPS door.
fn open_now(frame: &Frame) -> usize {
    let (_, page) = frame.page("/metrics");
    let line = page.lines().find(|line| line.starts_with("bezant_gateway_https_connections_open"));
    line.and_then(|line| line.rsplit(' ').next()).unwrap().parse().unwrap()
}

/// An attacker's connection: the attack is none without it.
async fn let_in<S>(connecting: impl Future<Output = Result<S, HttpsError>>) -> S {
    connecting.await.expect("the door has room for the first attackers")
}

/// TCP without a handshake.
async fn silent(addr: SocketAddr) {
    let stream = TcpStream::connect(addr).await.unwrap();
    until_cut(stream, Vec::new, Duration::from_secs(1)).await;
}

/// A head that comes byte by byte and never ends.
async fn slow_head(connector: Arc<HttpsConnector>) {
    let stream = let_in(connector.connect()).await;
    let mut head = b"GET /v1/me HTTP/1.1\r\nHost: frame\r\nX: ".iter();
    let next = || vec![*head.next().unwrap_or(&b'x')];
    let heard = until_cut(stream, next, Duration::from_millis(100)).await;
    assert!([0, 408].contains(&status(&heard)), "{}", status(&heard));
}

/// A body that comes byte by byte.
async fn slow_body(connector: Arc<HttpsConnector>) {
    let stream = let_in(connector.connect()).await;
    let mut pieces = Vec::new();
    head("POST", "/v1/batches", "application/octet-stream", 64_064, &mut pieces);
    let next = || match std::mem::take(&mut pieces) {
        rest if rest.is_empty() => b" ".to_vec(),
        whole => whole,
    };
    let heard = until_cut(stream, next, Duration::from_millis(100)).await;
    assert!([0, 408].contains(&status(&heard)), "{}", status(&heard));
}

/// Asks for the longest replies and reads none.
async fn slow_reader(connector: Arc<HttpsConnector>) {
    let stream = let_in(connector.connect()).await;
    let reads = plan::reads(1, 1_000, 8_190, &mut Random::new(1));
    let whole = batch(&reads, flags::READ);
    until_deaf(stream, || whole.clone()).await;
}

#[derive(Clone, Copy)]
enum Flood {
    /// Fields without end over HTTP/1.1.
    Head,
    Reset,
    MadeToReset,
    EndlessHead,
    Talk,
}

impl Flood {
    async fn run(self, name: &str, connector: &HttpsConnector) -> Result<(), HttpsError> {
        if matches!(self, Self::Head) {
            let stream = connector.connect().await?;
            let mut first = true;
            let next = || {
                let begin = if std::mem::take(&mut first) { "GET / HTTP/1.1\r\n" } else { "" };
                [begin.as_bytes(), &b"x-flood: 0123456789\r\n".repeat(200)].concat()
            };
            let heard = until_cut(stream, next, Duration::ZERO).await;
            let status = status(&heard);
            assert!([0, 400, 431].contains(&status), "{status}");
            return Ok(());
        }
        let stream = connector.connect_http2().await?;
        let mut next: Box<dyn FnMut() -> Vec<u8> + Send> = match self {
            Self::Reset => Box::new(abuse_h2::rapid_reset()),
            Self::MadeToReset => Box::new(abuse_h2::made_to_reset()),
            Self::EndlessHead => Box::new(abuse_h2::endless_head()),
            _ => Box::new(abuse_h2::small_talk()),
        };
        let heard = until_cut(stream, &mut *next, Duration::from_millis(1)).await;
        println!("{name}: the frame said goodbye with {:?}", abuse_h2::farewell(&heard));
        Ok(())
    }
}

/// Opens as many connections as the frame takes and says nothing on them.
async fn idle(frame: &Frame) -> Vec<impl Send> {
    let at_once = Arc::new(Semaphore::new(32));
    let mut tasks = JoinSet::new();
    for attacker in 0..IDLERS {
        let connector = connector(frame, "registry", &format!("idle-{attacker}"));
        for _ in 0..IDLE / IDLERS {
            let (connector, at_once) = (Arc::clone(&connector), Arc::clone(&at_once));
            tasks.spawn(async move {
                let _permit = at_once.acquire().await.unwrap();
                connector.connect().await.ok()
            });
        }
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

/// Somebody who was not there before gets in and is answered through both doors.
async fn newcomer(frame: &Frame) {
    let auditor = frame.client("auditor", "newcomer").await;
    assert_eq!(auditor.ask(query::supply(NATIVE)).await.unwrap().delta, 0);
    let mut line = Http1::new(connector(frame, "auditor", "newcomer"));
    let answer = line.exchange(&request("GET", "/v1/batches", b"")).await.unwrap();
    assert_eq!(answer.status, 405);
}
