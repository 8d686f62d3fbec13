//! The keeper's thread: snapshots in processes of their own, retention, and reading again what is
//! on the disk.
//!
//! It never asks anything of the engine and never holds up a stage. Invariant: whatever it fails
//! at, the frame goes on, and nothing is removed that a start, SQL or the operator needs.

mod child;
mod figures;
mod schedule;
mod scrubber;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use journal::BLOCK;
use pipeline::{Claims, Kept, Marks, Metrics, Past};
use protocol::Sequence;
use snapshot::Meta;

use self::child::Child;
pub(crate) use self::figures::{Figures, Value};
use self::figures::{add, set};
use self::schedule::{Action, Rules, Schedule, Seen};
use self::scrubber::Scrubber;
use crate::clock::{self, SystemClock};
use crate::config::{Config, SinkConfig};
use crate::exit::{Exit, Failure, OrExit as _};

/// How often the keeper looks.
const TURN: Duration = Duration::from_millis(100);
/// Longest time for one snapshot; it is given up after that.
const SNAPSHOT_PATIENCE_MS: u64 = 12 * 60 * 60 * 1_000;
/// Pause after damage was found or the disk refused.
const SCRUB_RETRY_MS: u64 = 5_000;

/// What the keeper works with.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) past: Past,
    pub(crate) clock: Arc<SystemClock>,
    pub(crate) marks: Arc<Marks>,
    pub(crate) metrics: Arc<Metrics>,
    /// The snapshot from which the frame started.
    pub(crate) base: Option<Meta>,
    /// Bytes of journal behind it at the start.
    pub(crate) replayed_bytes: u64,
}

/// The running thread.
pub(crate) struct Keeper {
    stop: Sender<()>,
    thread: JoinHandle<()>,
    figures: Arc<Figures>,
}

impl Keeper {
    /// Starts it.
    pub(crate) fn start(parts: Parts) -> Result<Self, Failure> {
        let figures = Arc::new(Figures::default());
        let (stop, stopped) = channel();
        let mut round = Round::new(parts, Arc::clone(&figures));
        let thread = std::thread::Builder::new()
            .name("keeper".into())
            .spawn(move || round.run(&stopped))
            .or_exit(Exit::Io, "cannot start the thread keeper")?;
        Ok(Self { stop, thread, figures })
    }

    /// What it shows.
    pub(crate) fn figures(&self) -> Arc<Figures> {
        Arc::clone(&self.figures)
    }

    /// Ends it, and a snapshot that is being taken.
    pub(crate) fn stop(self) {
        drop(self.stop);
        self.thread.join().expect("a panic has ended the process before");
    }
}

/// The thread's own.
struct Round {
    parts: Parts,
    figures: Arc<Figures>,
    schedule: Schedule,
    scrubber: Scrubber,
    pass_began_ms: u64,
    child: Option<Child>,
    /// What was planned and known when retention last did all it could.
    retained: Option<(Kept, Vec<Meta>)>,
}

impl Round {
    fn new(parts: Parts, figures: Arc<Figures>) -> Self {
        let upkeep = &parts.config.upkeep;
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let rules = Rules {
            interval_ms: upkeep.snapshot_interval.map(millis),
            journal_bytes: upkeep.snapshot_journal_bytes,
            scrub_bytes_per_s: upkeep.scrub_bytes_per_s,
        };
        let now_ms = clock::monotonic_ms();
        let age_ms = parts.base.map_or(0, |meta| {
            figures.stand_at(&meta);
            let file = parts.config.snapshot_dir().join(snapshot::name_of(&meta));
            set(&figures.bytes, bytes_of(&file));
            clock::wall_ns().saturating_sub(meta.timestamp_ns) / 1_000_000
        });
        let sequence = parts.base.map_or(0, |meta| meta.sequence.0);
        let schedule = Schedule::new(rules, now_ms, Seen { sequence, journal_bytes: 0 }, age_ms);
        let scrubber = Scrubber::new(parts.past.clone());
        let pass_began_ms = now_ms;
        Self { parts, figures, schedule, scrubber, pass_began_ms, child: None, retained: None }
    }

    fn run(&mut self, stop: &Receiver<()>) {
        while stop.recv_timeout(TURN) == Err(RecvTimeoutError::Timeout) {
            let now_ms = clock::monotonic_ms();
            self.look_after_child(now_ms);
            match self.schedule.step(now_ms, self.seen()) {
                Some(Action::Snapshot { nice }) => self.snapshot(now_ms, nice),
                Some(Action::Retain) => self.retain(),
                Some(Action::Scrub { bytes_max }) => self.scrub(now_ms, bytes_max),
                None => {}
            }
        }
        if let Some(child) = self.child.take() {
            tracing::info!("the snapshot that was being taken is given up");
            drop(child);
        }
    }

    /// How far the frame has come. A record of the journal takes whole blocks.
    fn seen(&self) -> Seen {
        let journal = &self.parts.metrics.journal;
        let payload = journal.bytes.load(Ordering::Relaxed);
        let records = journal.groups.load(Ordering::Relaxed);
        let journal_bytes = self.parts.replayed_bytes + payload + records * BLOCK;
        Seen { sequence: self.parts.marks.watermarks().committed, journal_bytes }
    }

    fn snapshot(&mut self, now_ms: u64, nice: u8) {
        // First how far it comes, then how far it goes: nothing is counted that is not in it.
        let seen = self.seen();
        if let Err(reason) = self.has_room() {
            return self.has_failed(now_ms, &reason);
        }
        let through = self.parts.marks.durable_index();
        match Child::start(&self.parts.config, through, nice, (now_ms, seen)) {
            Ok(child) => {
                tracing::debug!(process = child.id(), through, nice, "taking a snapshot");
                self.child = Some(child);
            }
            Err(error) => self.has_failed(now_ms, &error.to_string()),
        }
    }

    /// Refuses what would surely find no room: until it did, the journal would find none either.
    fn has_room(&self) -> Result<(), String> {
        let last = self.figures.bytes.load(Ordering::Relaxed);
        let needed = last + last / 8;
        let dir = &self.parts.config.data_dir;
        match rustix::fs::statvfs(dir) {
            Ok(disk) if disk.f_bavail.saturating_mul(disk.f_frsize) < needed => {
                Err(format!("{} has no room for about {needed} bytes; free space", dir.display()))
            }
            // Whoever writes will find out.
            _ => Ok(()),
        }
    }

    fn look_after_child(&mut self, now_ms: u64) {
        let Some(child) = &mut self.child else {
            return;
        };
        let took_ms = now_ms.saturating_sub(child.begun_ms);
        let (begun_ms, seen) = (child.begun_ms, child.seen);
        let ended = match child.ended() {
            None if took_ms < SNAPSHOT_PATIENCE_MS => return,
            None => Err("it takes too long".to_owned()),
            Some(ended) => ended,
        };
        self.child = None;
        match ended.and_then(|name| self.found(&name, took_ms)) {
            Ok(()) => self.schedule.taken(now_ms, begun_ms, seen),
            Err(reason) => self.has_failed(now_ms, &reason),
        }
    }

    /// Enters what the process has left behind.
    fn found(&self, name: &str, took_ms: u64) -> Result<(), String> {
        let entries = self.parts.past.catalogue().list().map_err(|error| error.to_string())?;
        let entry = entries.into_iter().find(|entry| entry.name == name);
        let meta = entry.ok_or_else(|| format!("{name} is not there"))?.meta;
        let meta = meta.map_err(|error| error.to_string())?;
        let file = self.parts.config.snapshot_dir().join(name);
        let bytes = bytes_of(&file);
        // It was read back before it was given its name.
        self.parts.past.catalogue().trust(name);
        add(&self.figures.taken, 1);
        set(&self.figures.took_ms, took_ms);
        set(&self.figures.bytes, bytes);
        self.figures.stand_at(&meta);
        let (sequence, record) = (meta.sequence.0, meta.index);
        tracing::info!(snapshot = name, sequence, record, bytes, took_ms, "snapshot taken");
        Ok(())
    }

    fn has_failed(&mut self, now_ms: u64, reason: &str) {
        add(&self.figures.failed, 1);
        let wait_ms = self.schedule.failed(now_ms);
        tracing::warn!(reason, next_try_ms = wait_ms, "no snapshot was taken; the frame goes on");
    }

    fn retain(&mut self) {
        let upkeep = &self.parts.config.upkeep;
        // Snapshots that this process has not read yet would all be read at once.
        let is_known = upkeep.scrub_bytes_per_s.is_none() || self.scrubber.has_read_snapshots();
        if upkeep.retention_enabled
            && is_known
            && let Err(error) = self.remove()
        {
            tracing::warn!(error, "retention removes nothing more for now");
        }
        match journal::segments(&**self.parts.past.storage()) {
            Ok(segments) => {
                let bytes = segments.iter().map(|segment| segment.bytes).sum();
                set(&self.figures.journal_bytes, bytes);
                set(&self.figures.segments, segments.len() as u64);
                let first = segments.first().map_or(0, |segment| segment.first.index);
                set(&self.figures.first_record, first);
            }
            Err(error) => tracing::warn!(%error, "the journal's segments cannot be listed"),
        }
    }

    /// Removes what nobody needs; not again while nothing has changed.
    fn remove(&mut self) -> Result<(), String> {
        let parts = &self.parts;
        let snapshots = parts.past.catalogue().verified().map_err(|error| error.to_string())?;
        let is_settling = parts.config.sink != SinkConfig::None;
        let settled = Sequence(parts.marks.watermarks().settled);
        let keep_after_ns = parts.config.upkeep.keep_after_ns(parts.clock.now().journal_ns);
        let kept = pipeline::plan(&Claims {
            snapshots: &snapshots,
            settled: is_settling.then_some(settled),
            keep_after_ns,
            followers: &[],
        });
        self.figures.hold(kept.holder);
        let planned = (kept, snapshots);
        if self.retained.as_ref() == Some(&planned) {
            return Ok(());
        }
        let done = pipeline::retain(&**parts.past.storage(), parts.past.catalogue(), kept);
        let done = done.map_err(|error| error.to_string())?;
        add(&self.figures.retired_segments, done.journal.segments);
        for (name, error) in &done.snapshots.suspect {
            tracing::warn!(snapshot = name, %error, "a snapshot cannot be used, and is left there");
        }
        let (snapshots, segments) = (done.snapshots.removed.len(), done.journal.segments);
        if snapshots > 0 || segments > 0 {
            tracing::info!(floor = kept.floor, segments, snapshots, "removed what nobody needs");
        }
        self.retained = Some(planned);
        Ok(())
    }

    fn scrub(&mut self, now_ms: u64, bytes_max: u64) {
        match self.scrubber.step(bytes_max) {
            Ok(step) => {
                add(&self.figures.scrub_bytes, step.bytes);
                self.schedule.scrubbed(now_ms, step.bytes, step.has_finished_pass);
                if step.has_finished_pass {
                    add(&self.figures.scrub_passes, 1);
                    set(&self.figures.pass_ms, now_ms.saturating_sub(self.pass_began_ms));
                    self.pass_began_ms = now_ms + schedule::SCRUB_PAUSE_MS;
                }
            }
            Err(error) => {
                add(&self.figures.scrub_errors, 1);
                tracing::error!(%error, "what was written cannot be read back");
                self.schedule.pause_scrub(now_ms, SCRUB_RETRY_MS);
            }
        }
    }
}

/// Length of a file; 0 when it cannot be told.
fn bytes_of(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |metadata| metadata.len())
}
