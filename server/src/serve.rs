//! `bezant serve`: one numbered function that wires the frame, and its graceful end.
//!
//! ```text
//! 1 SQL's watermark ─► 2 recovery ─► 3 clock ─► 4 stages ─► 5 threads ─► 6 settler
//!       7 keeper ─► 8 feeds ─► 9 gateway ─► 10 admin door, public page ─► 11 signals ◄┘
//! ```

pub(crate) mod found;
mod signals;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use identity::FileSource;
use pipeline::{Recovered, Wiring};
use ring::{Pool, PoolConfig, ReplyQueue};
use settlement::{Pace, Settings, Stop, Watermark};
use tracing::{Instrument as _, Span};

use crate::admin;
use crate::audit_log::AuditLog;
use crate::clock::{self, SystemClock};
use crate::config::Config;
use crate::console::Console;
use crate::entries;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::feeds;
use crate::harden;
use crate::history::JournalHistory;
use crate::keeper::{self, Keeper};
use crate::keys;
use crate::notify::{self, Manager};
use crate::observe::{Facts, Frame};
use crate::otlp;
use crate::public::{self, Board};
use crate::recover;
use crate::settle::{self, Settling};
use crate::sinks::AnySink;
use crate::threads::{Fatal, Health, Ingredients, Runtime};

/// Requests in flight at once, whatever their size.
const REQUESTS_MAX: usize = 4_096;
/// Longest time for requests that were taken before a stop.
const DRAIN_GATEWAY: Duration = Duration::from_secs(5);
/// Longest time for the last settlement batch.
const DRAIN_SETTLEMENT: Duration = Duration::from_secs(10);
/// Longest time for the keeper: one that the disk holds up keeps nothing that is needed.
const DRAIN_KEEPER: Duration = Duration::from_secs(10);
/// How often certificates are looked at and the supply is read for the admin door.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// Runs the frame until a signal ends it.
pub(crate) fn run(config: &Config) -> Result<(), Failure> {
    // 0 nothing of it may be read by others
    crate::memory::keep_freed();
    harden::no_dumps()?;
    harden::private_files();
    harden::check_dirs(config)?;
    let identity = open_identity(config)?;
    // 1 what SQL has settled, if it answers at once
    let (sink, stored) = found::ask_sql(config)?;
    // 2 the newest snapshot and the journal behind it, replayed
    let (recovered, confirmed) = found::recovered(config, stored.as_ref())?;
    // The recovered journal holds the directory's lock, so that the log has one writer; and nothing
    // runs yet that a log which cannot be opened would leave half stopped.
    let audit_log = AuditLog::start(&config.data_dir)?;
    let running = start(config, (recovered, confirmed), sink)?;
    let Running { threads, settling, keeper, doors } = running;
    audit_log.started(doors.frame, doors.epoch);
    let served = open_doors(config, identity, doors, &audit_log);
    let stopping = served.as_ref().map_or_else(|_| Span::none(), Clone::clone);
    let _inside = stopping.enter();
    // A snapshot that is under way would only delay the end.
    tracing::debug_span!("stop_keeper").in_scope(|| end(keeper));
    // What was taken is executed by now: one last cut, then the stages end in their order.
    let ended = tracing::debug_span!("drain_settlement").in_scope(|| settling.map(drain));
    tracing::debug_span!("stop_stages").in_scope(|| threads.stop());
    audit_log.stop();
    served?;
    tracing::info!(settlement = ?ended, "stopped");
    Ok(())
}

/// The frame behind its doors.
struct Running {
    threads: Runtime,
    settling: Option<Settling>,
    keeper: Keeper,
    doors: Doors,
}

/// What the doors need of the frame.
struct Doors {
    frame: u128,
    epoch: u64,
    clock: Arc<SystemClock>,
    lines: gateway::Lines,
    marks: Arc<pipeline::Marks>,
    metrics: Arc<pipeline::Metrics>,
    control: pipeline::ControlHandle,
    settlement: Option<Arc<settlement::Status>>,
    feeds: Option<Arc<gateway::Feeds>>,
    upkeep: Arc<keeper::Figures>,
    health: Health,
}

/// The memory in which requests travel, all of it made at the start.
struct Basin {
    ring: ring::Config,
    pool: Arc<Pool>,
    replies: Vec<Arc<ReplyQueue>>,
}

impl Basin {
    fn new(config: &Config) -> Self {
        let requests_max = REQUESTS_MAX.min(config.ring_requests);
        let queue = |_| Arc::new(ReplyQueue::new(requests_max));
        Self {
            ring: ring::Config { size: config.ring_requests, ..ring::Config::default() },
            pool: Pool::new(PoolConfig { bytes_max: config.pool_bytes, requests_max }),
            replies: (0..config.gateway_workers).map(queue).collect(),
        }
    }
}

/// Starts everything behind the doors.
fn start(
    config: &Config,
    (recovered, confirmed): (Recovered, Option<Watermark>),
    sink: Option<AnySink>,
) -> Result<Running, Failure> {
    let Recovered { journal, report, mut engine, boundary, snapshot, refused, .. } = recovered;
    engine.touch(config.memory_reserve);
    let frame = engine.genesis().frame;
    // 3 time goes on from the journal's
    let clock = SystemClock::start(report.last.timestamp_ns, config.accept_clock_step)
        .or_exit(Exit::Clock, "the clock does not fit the journal")?;
    let clock = Arc::new(clock);
    // 4 the ring and its stages; each start is a new epoch, so that a forgotten twin is fenced
    let epoch = report.last.epoch + 1;
    let past = recover::past(config, frame);
    let history = JournalHistory::new(past, journal.watermarks(), confirmed);
    let (appender, syncer, preparer) = journal.split();
    let basin = Basin::new(config);
    let stages = pipeline::assemble(Wiring {
        ring: ring::build(basin.ring),
        engine,
        appender,
        syncer,
        boundary,
        epoch,
        replies: basin.replies.clone(),
        pool: Arc::clone(&basin.pool),
    });
    let (marks, metrics) = (Arc::clone(&stages.marks), Arc::clone(&stages.metrics));
    let control = stages.control.clone();
    // 5 their threads
    let ingredients =
        Ingredients { stages, preparer, clock: Arc::clone(&clock), on_fatal: Arc::new(die) };
    let (threads, publisher, tap) =
        Runtime::start(ingredients).or_exit(Exit::Io, "cannot start")?;
    // 6 settlement
    let seen = protocol::Sequence(report.last.settled_sequence);
    let settings = settle_settings(config, Settings::new(frame, epoch, config.history, seen));
    let (asked, settled) = (control.clone(), Arc::clone(&marks));
    let settle = |sink| {
        settle::start(settle::Parts { settings, sink, history, control: asked, marks: settled })
    };
    let settling = sink.map(settle).transpose()?;
    let settlement = settling.as_ref().map(|settling| Arc::clone(&settling.status));
    // 7 snapshots, retention, and reading again what is on the disk
    let keeper = Keeper::start(keeper::Parts {
        config: config.clone(),
        past: recover::past(config, frame),
        clock: Arc::clone(&clock),
        marks: Arc::clone(&marks),
        metrics: Arc::clone(&metrics),
        settlement: settlement.clone(),
        refused,
        last_ns: report.last.timestamp_ns,
        base: snapshot.map(|taken| taken.meta),
        replayed_bytes: report.bytes,
    })?;
    // 8 what is followed
    let past = recover::past(config, frame);
    let followed = feeds::Parts { tap, control: control.clone(), marks: Arc::clone(&marks), past };
    let feeds = follow(config, followed)?;
    let (upkeep, health) = (keeper.figures(), threads.health());
    let Basin { pool, replies, .. } = basin;
    let lines = gateway::Lines { pool, publisher, replies, first_worker: 0 };
    let doors = Doors {
        frame,
        epoch,
        clock,
        lines,
        marks,
        metrics,
        control,
        settlement,
        feeds,
        upkeep,
        health,
    };
    Ok(Running { threads, settling, keeper, doors })
}

fn follow(config: &Config, parts: feeds::Parts) -> Result<Option<Arc<gateway::Feeds>>, Failure> {
    let feeding = config.feeds.map(|limits| feeds::start(limits, parts));
    feeding.transpose().or_exit(Exit::Io, "cannot start the threads of the feeds")
}

fn settle_settings(config: &Config, defaults: Settings) -> Settings {
    let pace = Pace {
        interval_ms: config.settlement_interval_ms,
        share_max_percent: config.settlement_share_percent,
        ..defaults.pace
    };
    Settings { pace, ..defaults }
}

/// Opens the doors and closes them when a signal comes; returns the span of the stop.
fn open_doors(
    config: &Config,
    identity: Arc<FileSource>,
    doors: Doors,
    audit_log: &Arc<AuditLog>,
) -> Result<Span, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.gateway_workers)
        .thread_name("gateway")
        .enable_all()
        .build()
        .or_exit(Exit::Io, "cannot start the gateway's threads")?;
    let served = runtime.block_on(serve_doors(config, identity, doors, audit_log));
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

async fn serve_doors(
    config: &Config,
    identity: Arc<FileSource>,
    doors: Doors,
    audit_log: &Arc<AuditLog>,
) -> Result<Span, Failure> {
    let Doors { lines, marks, metrics, control, settlement, feeds, upkeep, health, .. } = doors;
    let (pool, replies) = (Arc::clone(&lines.pool), lines.replies.clone());
    // 9 the doors of the clients
    let of = (doors.frame, doors.epoch);
    let console = Console::new(config.shown.clone(), Arc::clone(&identity), control.clone());
    let console = Arc::new(console);
    let served = Served {
        keys: keys::open(config, of, settlement.as_ref())?,
        settled: entries::open(config, of, settlement.as_ref())?,
        feeds,
        console: Arc::clone(&console),
    };
    let settings = gateway_settings(config, audit_log);
    let gateway = start_gateway(settings, &identity, lines, of, &doors.clock, served)?;
    // 10 the admin door, and the page for everybody
    let board = config.public.map(|_| Arc::new(Board::new(of.0, &identity)));
    let frame = Arc::new(Frame {
        marks,
        stages: metrics,
        pool,
        gateway: gateway.metrics(),
        settlement,
        upkeep,
        control,
        health,
        identity: Arc::clone(&identity),
        audit_log: Arc::clone(audit_log),
        replies,
        board: board.clone(),
        facts: Facts {
            frame: of.0,
            epoch: of.1,
            started_ms: clock::monotonic_ms(),
            ring_requests: config.ring_requests,
            journal_dir: config.journal_dir(),
        },
        engine: Mutex::default(),
        answered_ms: AtomicU64::new(clock::monotonic_ms()),
        reload_failures: AtomicU64::new(0),
    });
    console.open(Arc::clone(&frame) as Arc<_>);
    let https = gateway.https_addr().unwrap_or(config.https);
    let admin = admin::start(config.admin, Arc::clone(&frame) as Arc<_>).await?;
    let public = config.public.zip(board).map(|(address, board)| public::start(address, board));
    let public = public.transpose()?.map_or_else(String::new, |at| format!(" public={at}"));
    let manager = Arc::new(Manager::from_environment());
    tokio::spawn(keep_house(identity, frame, Arc::clone(&manager)));
    // 11 until a signal
    let signal = signals::listen()?;
    // Whoever does not want to know may close the pipe.
    let quic = gateway.local_addr();
    let _ = say!("listening quic={quic} https={https} admin={admin}{public}");
    manager.tell(notify::READY);
    crate::memory::touch_ahead(config.memory_reserve);
    // The thread that listens ends with the process only.
    let _ = signal.await;
    manager.tell(notify::STOPPING);
    tracing::info!("stopping: no new requests, finishing what was taken");
    let stopping = tracing::debug_span!("stop");
    let closing = tracing::debug_span!(parent: &stopping, "close_doors");
    if !gateway.shutdown(DRAIN_GATEWAY).instrument(closing).await {
        tracing::warn!("some connections did not end in time; their answers may be lost");
    }
    Ok(stopping)
}

/// Ends the keeper, but waits for it only so long.
fn end(keeper: Keeper) {
    let (tell, told) = std::sync::mpsc::channel();
    let ending = move || {
        keeper.stop();
        // Nobody may be waiting any more.
        let _ = tell.send(());
    };
    let ends = std::thread::Builder::new().name("keeper-end".into()).spawn(ending);
    if ends.is_err() || told.recv_timeout(DRAIN_KEEPER).is_err() {
        tracing::warn!("the keeper does not end, as if the disk held it up; leaving without it");
    }
}

fn drain(settling: Settling) -> Option<Stop> {
    settling.drain(DRAIN_SETTLEMENT)
}

fn open_identity(config: &Config) -> Result<Arc<FileSource>, Failure> {
    let dir = config.identity_dir.display().to_string();
    let hint = format!("{dir}: run `bezant init`, or set identity.dir");
    FileSource::open(&config.identity_dir).map(Arc::new).or_exit(Exit::Identity, &hint)
}

/// What the operator lets the doors do.
fn gateway_settings(config: &Config, audit_log: &Arc<AuditLog>) -> gateway::Config {
    let mut settings = gateway::Config::new(config.quic);
    settings.https = Some(config.https);
    settings.connections_max = config.connections_max;
    settings.limits = config.limits;
    settings.audit = Arc::clone(audit_log) as Arc<_>;
    settings.receive_budget_size = config.receive_budget_size;
    settings.follow_trace = otlp::FOLLOW.filter(|_| config.otlp.is_some());
    settings
}

/// What the HTTPS door serves besides commands and reads.
struct Served {
    keys: Option<Arc<dyn gateway::KeyHistory>>,
    settled: entries::Settled,
    feeds: Option<Arc<gateway::Feeds>>,
    console: Arc<Console>,
}

fn start_gateway(
    settings: gateway::Config,
    identity: &Arc<FileSource>,
    lines: gateway::Lines,
    (frame, epoch): (u128, u64),
    clock: &Arc<SystemClock>,
    served: Served,
) -> Result<gateway::Gateway, Failure> {
    let (journal_clock, stamp_clock) = (Arc::clone(clock), Arc::clone(clock));
    let info = gateway::FrameInfo {
        frame,
        epoch: Box::new(move || epoch),
        journal_ns: Box::new(move || journal_clock.now().journal_ns),
        monotonic_ns: Box::new(move || stamp_clock.monotonic_ns()),
        keys: served.keys,
        entries: served.settled.entries,
        batches: served.settled.batches,
        feeds: served.feeds,
        shown: Some(served.console),
    };
    gateway::Gateway::start(settings, Arc::clone(identity), lines, info)
        .or_exit(Exit::Io, "the doors (listen.quic, listen.https)")
}

/// Keeps the supply fresh for the admin door, tells the service manager that the frame lives: the
/// engine has answered, and no stage stands. Reloads certificates when their files change.
async fn keep_house(identity: Arc<FileSource>, frame: Arc<Frame>, manager: Arc<Manager>) {
    let mut ticks = tokio::time::interval(HOUSEKEEPING);
    loop {
        ticks.tick().await;
        let (identity, frame) = (Arc::clone(&identity), Arc::clone(&frame));
        let manager = Arc::clone(&manager);
        let look = move || {
            if frame.refresh() && frame.health.stall().is_none() {
                manager.tell(notify::ALIVE);
            }
            if !reload(&identity) {
                frame.reload_failures.fetch_add(1, Ordering::Relaxed);
            }
        };
        // The runtime may be ending.
        let _ = tokio::task::spawn_blocking(look).await;
    }
}

/// Reads files: not for a worker that answers requests. Says whether all is well.
fn reload(identity: &FileSource) -> bool {
    match identity.reload_if_changed() {
        Ok(true) => {
            tracing::info!(svid = %identity.current().spiffe_id(), "certificates reloaded");
        }
        Ok(false) => {}
        Err(error) => {
            tracing::error!(%error, "certificates not reloaded; the old ones stay");
            return false;
        }
    }
    true
}

/// The end of the process when a stage cannot go on: nothing more is answered.
fn die(fatal: Fatal) {
    crate::logging::complain(&fatal);
    std::process::exit(i32::from(Exit::from(&fatal) as u8));
}
