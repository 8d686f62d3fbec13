//! The keeper's thread: snapshots in processes of their own, retention, and reading again what is
//! on the disk.
//!
//! It never asks anything of the engine and never holds up a stage. Invariant: whatever it fails
//! at, the frame goes on, and nothing is removed that a start, SQL or the operator needs.

mod child;
mod figures;
mod schedule;
mod scrubber;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use journal::{BLOCK, DirLock};
use pipeline::{Kept, Marks, Metrics, Past, Refused};
use protocol::Sequence;
use settlement::Status;
use snapshot::Meta;

use self::child::{Child, Failed};
pub(crate) use self::figures::{Figures, Value};
use self::figures::{add, set};
use self::schedule::{Action, Rules, Schedule, Seen};
use self::scrubber::{ScrubError, Scrubber};
use crate::clock::{self, SystemClock};
use crate::config::Config;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::logging::number;
use crate::retention::{self, Run};
use crate::snapshot_cmd::check_room;

/// How often the keeper looks.
const TURN: Duration = Duration::from_millis(100);
/// A snapshot that takes longer than this is told.
const SNAPSHOT_SLOW_MS: u64 = 10 * 60 * 1_000;
/// Pause after damage was found or the disk refused.
const SCRUB_RETRY_MS: u64 = 5_000;

/// What the keeper works with.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) past: Past,
    pub(crate) clock: Arc<SystemClock>,
    pub(crate) marks: Arc<Marks>,
    pub(crate) metrics: Arc<Metrics>,
    /// What SQL holds, if anything is settled.
    pub(crate) settlement: Option<Arc<Status>>,
    /// Snapshots that the start could not use.
    pub(crate) refused: Vec<Refused>,
    /// Time of the journal's last record before the start.
    pub(crate) last_ns: u64,
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
    run: Run,
    /// Names of snapshots from which no state came, until they are taken anew.
    refused: BTreeSet<String>,
    /// Number of the journal's first segment when it was last looked at.
    first_segment: Option<u64>,
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
        let age_ms = parts
            .base
            .map_or(0, |meta| clock::wall_ns().saturating_sub(meta.timestamp_ns) / 1_000_000);
        let sequence = parts.base.map_or(0, |meta| meta.sequence.0);
        let mut schedule =
            Schedule::new(rules, now_ms, Seen { sequence, journal_bytes: 0 }, age_ms);
        for refused in &parts.refused {
            refused.tell(parts.past.catalogue());
        }
        let refused: BTreeSet<_> = parts.refused.iter().map(|one| one.name.clone()).collect();
        // Names sort as the journal does.
        if refused.last() > parts.base.as_ref().map(snapshot::name_of).as_ref() {
            schedule.lost();
        }
        let run = Run { last_ns: parts.last_ns, began_ns: parts.clock.now().journal_ns };
        Self {
            scrubber: Scrubber::new(parts.past.clone()),
            parts,
            figures,
            schedule,
            pass_began_ms: now_ms,
            child: None,
            run,
            refused,
            first_segment: None,
            retained: None,
        }
    }

    fn run(&mut self, stop: &Receiver<()>) {
        self.clear();
        self.count_snapshots();
        self.count_segments();
        let mut wait = TURN;
        while stop.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
            let now_ms = clock::monotonic_ms();
            self.look_after_child(now_ms);
            let seen = self.seen();
            set(&self.figures.behind_bytes, self.schedule.behind(seen));
            self.figures.starve(self.schedule.is_starved(seen));
            let action = self.schedule.step(now_ms, seen);
            // What is read again keeps its pace, however long a turn is.
            wait = if matches!(action, Some(Action::Scrub { .. })) { Duration::ZERO } else { TURN };
            match action {
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

    /// Removes what a process left that was ended while it wrote.
    fn clear(&self) {
        let dir = self.parts.config.snapshot_dir();
        if !dir.is_dir() {
            return;
        }
        // Whoever holds the lock is writing.
        let Ok(_nobody_writes) = DirLock::take(&dir) else {
            return;
        };
        match self.parts.past.catalogue().clear() {
            Ok(false) => {}
            Ok(true) => tracing::info!("removed a snapshot that was not finished"),
            Err(error) => tracing::warn!(%error, "a snapshot that was not finished stays"),
        }
    }

    /// Whether a snapshot cannot be used, by all that is known.
    fn is_bad(&self, name: &str) -> bool {
        self.refused.contains(name) || self.scrubber.is_damaged(name)
    }

    /// Notes which snapshots there are, without those that cannot be used.
    fn count_snapshots(&self) {
        let Ok(mut entries) = self.parts.past.catalogue().list() else {
            // Retention says why.
            return;
        };
        entries.retain(|entry| !self.is_bad(&entry.name));
        let dir = self.parts.config.snapshot_dir();
        let kept: Vec<_> = entries
            .iter()
            .filter_map(|entry| Some((entry.meta.as_ref().ok()?, bytes_of(&dir.join(&entry.name)))))
            .collect();
        set(&self.figures.kept, kept.len() as u64);
        set(&self.figures.kept_bytes, kept.iter().map(|(_, bytes)| bytes).sum());
        set(&self.figures.bytes, kept.first().map_or(0, |(_, bytes)| *bytes));
        self.figures.stand_at(kept.first().map(|(meta, _)| *meta));
    }

    /// Notes how much of the journal there is; whoever removed segments, they are counted.
    fn count_segments(&mut self) {
        let segments = match journal::segments(&**self.parts.past.storage()) {
            Ok(segments) => segments,
            Err(error) => {
                tracing::warn!(%error, "the journal's segments cannot be listed");
                return;
            }
        };
        let bytes = segments.iter().map(|segment| segment.bytes).sum();
        set(&self.figures.journal_bytes, bytes);
        set(&self.figures.segments, segments.len() as u64);
        let Some(first) = segments.first() else {
            return;
        };
        set(&self.figures.first_record, first.first.index);
        let before = self.first_segment.replace(first.number).unwrap_or(first.number);
        add(&self.figures.retired_segments, first.number.saturating_sub(before));
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
        // The process looks as well, when it knows how much it is; this spares it the way there.
        let last_bytes = self.figures.bytes.load(Ordering::Relaxed);
        if let Err(failure) = check_room(&self.parts.config, last_bytes) {
            return self.has_failed(now_ms, &Failed::new(failure.message));
        }
        let through = self.parts.marks.durable_index();
        match Child::start(&self.parts.config, through, nice, (now_ms, seen)) {
            Ok(child) => {
                tracing::debug!(process = child.id(), through, nice, "taking a snapshot");
                self.child = Some(child);
            }
            Err(error) => self.has_failed(now_ms, &Failed::new(error)),
        }
    }

    fn look_after_child(&mut self, now_ms: u64) {
        let Some(child) = &mut self.child else {
            return;
        };
        let took_ms = now_ms.saturating_sub(child.begun_ms);
        set(&self.figures.running_ms, took_ms);
        let (begun_ms, seen, span) = (child.begun_ms, child.seen, child.span.clone());
        let last_bytes = self.figures.bytes.load(Ordering::Relaxed);
        let outcome = match child.ended() {
            None if took_ms < self.schedule.patience_ms(seen, last_bytes) => {
                if took_ms >= SNAPSHOT_SLOW_MS && !child.is_slow {
                    child.is_slow = true;
                    tracing::warn!(process = child.id(), took_ms, "a snapshot takes long");
                }
                return;
            }
            None => Err(Failed::new("it takes too long")),
            Some(ended) => {
                self.tell(&ended.told);
                ended.outcome
            }
        };
        self.child = None;
        set(&self.figures.running_ms, 0);
        let _inside = span.enter();
        match outcome.and_then(|name| self.found(&name, took_ms).map_err(Failed::new)) {
            Ok(()) => self.schedule.taken(now_ms, begun_ms, seen),
            Err(failed) => {
                span.record("otel.status_code", "ERROR");
                self.has_failed(now_ms, &failed);
            }
        }
    }

    /// Hands on what the process had to say, and counts no snapshot that it could not use.
    fn tell(&mut self, told: &[String]) {
        let entries = self.parts.past.catalogue().list().unwrap_or_default();
        for line in told {
            tracing::warn!(line, "the process that takes a snapshot says");
            let is_refusal = line.contains("a snapshot cannot be used");
            let named = |name: &&String| is_refusal && line.contains(name.as_str());
            for name in entries.iter().map(|entry| &entry.name).filter(named) {
                self.parts.past.catalogue().reject(name);
                self.refused.insert(name.clone());
            }
        }
    }

    /// Enters what the process has left behind.
    fn found(&mut self, name: &str, took_ms: u64) -> Result<(), String> {
        let entries = self.parts.past.catalogue().list().map_err(|error| error.to_string())?;
        let entry = entries.into_iter().find(|entry| entry.name == name);
        let meta = entry.ok_or_else(|| format!("{name} is not there"))?.meta;
        let meta = meta.map_err(|error| error.to_string())?;
        // It was read back before it was given its name.
        self.parts.past.catalogue().renew(name);
        self.refused.remove(name);
        if self.scrubber.renew(name) {
            self.figures.mend();
        }
        set(&self.figures.took_ms, took_ms);
        self.figures.disagree(false);
        self.count_snapshots();
        add(&self.figures.taken, 1);
        let bytes = self.figures.bytes.load(Ordering::Relaxed);
        let (sequence, record) = (meta.sequence.0, meta.index);
        tracing::info!(snapshot = name, sequence, record, bytes, took_ms, "snapshot taken");
        let span = tracing::Span::current();
        span.record("bezant.sequence", number(sequence)).record("bezant.bytes", number(bytes));
        Ok(())
    }

    fn has_failed(&mut self, now_ms: u64, failed: &Failed) {
        let next_try_ms = self.schedule.failed(now_ms);
        let reason = &failed.reason;
        if failed.is_disagreement {
            add(&self.figures.disagreed, 1);
            self.figures.disagree(true);
            tracing::error!(
                reason,
                next_try_ms,
                "no snapshot was taken: a replay does not agree with the run, or the journal \
                 cannot be replayed; stop the frame and audit"
            );
        } else {
            add(&self.figures.failed, 1);
            tracing::warn!(reason, next_try_ms, "no snapshot was taken; the frame goes on");
        }
        self.clear();
    }

    fn retain(&mut self) {
        if let Err(error) = self.remove() {
            tracing::warn!(error, "retention removes nothing more for now");
        }
        self.count_segments();
    }

    /// Removes what nobody needs; not again while nothing has changed.
    fn remove(&mut self) -> Result<(), String> {
        let Parts { config, past, clock, settlement, .. } = &self.parts;
        let (storage, catalogue) = (&**past.storage(), past.catalogue());
        let upkeep = &config.upkeep;
        if upkeep.scrub_bytes_per_s.is_none() {
            // Nobody else reads them.
            let unknown = catalogue.verify_unknown().map_err(|error| error.to_string())?;
            warn_of(&unknown);
        }
        let snapshots = pipeline::usable(storage, catalogue).map_err(|error| error.to_string())?;
        // What was once settled never falls; what is in the database does, when it is restored.
        let stored = settlement.as_ref().map_or(Sequence(0), |status| status.stored());
        let now_ns = clock.now().journal_ns;
        let keep_after_ns = retention::keep_after_ns(upkeep.retention_keep, now_ns, self.run);
        let kept = retention::plan(config, &snapshots, stored, keep_after_ns);
        self.figures.hold(kept.holder);
        let planned = (kept, snapshots);
        if self.retained.as_ref() == Some(&planned) {
            return Ok(());
        }
        let removed = if upkeep.retention_enabled {
            let done = pipeline::retain_known(storage, catalogue, kept);
            done.map(|done| (done.snapshots, done.journal.segments))
        } else {
            let first = journal::first_record(storage).map_err(|error| error.to_string())?.index;
            let floor = retention::floor_beside_journal(&planned.1, kept.floor, first);
            pipeline::prune(storage, catalogue, Kept { floor, ..kept }).map(|done| (done, 0))
        };
        self.count_snapshots();
        let (pruned, segments) = removed.map_err(|error| error.to_string())?;
        warn_of(&pruned.suspect);
        let snapshots = pruned.removed.len();
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
                    self.figures.finish_pass(now_ms.saturating_sub(self.pass_began_ms));
                    self.pass_began_ms = now_ms + schedule::SCRUB_PAUSE_MS;
                }
            }
            Err(error) => {
                self.figures.find_damage();
                tracing::error!(%error, "what was written cannot be read back");
                self.schedule.pause_scrub(now_ms, SCRUB_RETRY_MS);
                if matches!(error, ScrubError::Snapshot(_)) {
                    self.condemned();
                }
            }
        }
    }

    /// A snapshot was found damaged: if it was the newest, another one is due.
    fn condemned(&mut self) {
        let newest = self.parts.past.catalogue().list().unwrap_or_default();
        if newest.first().is_some_and(|entry| self.is_bad(&entry.name)) {
            self.schedule.lost();
        }
        self.count_snapshots();
    }
}

/// Tells of snapshots that cannot be used.
fn warn_of(suspect: &[(String, snapshot::SnapshotError)]) {
    for (name, error) in suspect {
        tracing::warn!(snapshot = name, %error, "a snapshot cannot be used, and is left there");
    }
}

/// Length of a file; 0 when it cannot be told.
fn bytes_of(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |metadata| metadata.len())
}
