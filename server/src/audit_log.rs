//! The audit log: `audit.log` in the data directory, append-only and hash-chained (`chain`), with
//! who was turned away, what was done by privilege, and what was tried without a right.
//!
//! A thread of its own writes and syncs it in groups, so that no payment waits for it; when the
//! disk is full the frame goes on, `/readyz` says so, and what was lost is counted in the next line
//! that can be written. The journal has every command anyway. Invariant: lines are written in the
//! order of their events, and a file that does not verify is never written to.

mod chain;
mod line;
mod throttle;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use gateway::{AuditSink, Audited, Event};
use protocol::Role;

use crate::audit::hex;
use crate::clock;
use crate::exit::{Exit, Failure, OrExit as _};
use chain::{Hash, Left, Opened, Verified};
use line::{Entry, What};
use throttle::{Cause, Throttle, Trust};

/// Events that wait to be written; more are lost, and counted.
pub(crate) const WAITING_MAX: usize = 16_384;
/// Lines that are synced at once.
const GROUP_MAX: usize = 512;
/// How much longer a file grows when the next could not be begun.
const SUCCEED_AGAIN: u64 = 1 << 20;
/// How often counted events are told.
const SUMMARY: Duration = Duration::from_secs(10);
/// How often a log that cannot be written is tried again when there is nothing new to write: a
/// frame that is not ready for its sake may be sent nothing.
const RETRY: Duration = Duration::from_secs(1);

/// The running log.
#[derive(Debug)]
pub(crate) struct AuditLog {
    shared: Arc<Shared>,
    sender: Sender<Entry>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What the writer and the doors share.
#[derive(Debug)]
struct Shared {
    throttle: Mutex<Throttle>,
    written: AtomicU64,
    suppressed: AtomicU64,
    lost: AtomicU64,
    is_failing: AtomicBool,
}

/// Figures of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Lines written and synced.
    pub(crate) written: u64,
    /// Events counted instead of written.
    pub(crate) suppressed: u64,
    /// Events that could not be written.
    pub(crate) lost: u64,
    /// The last attempt to write failed.
    pub(crate) is_failing: bool,
}

impl AuditLog {
    /// Opens the log in `dir`, verifies it and starts its thread.
    pub(crate) fn start(dir: &Path) -> Result<Arc<Self>, Failure> {
        let path = dir.join(chain::FILE);
        let opened = chain::open(dir, continued).or_exit(Exit::Io, &path.display().to_string())?;
        let shared = Arc::new(Shared {
            throttle: Mutex::new(Throttle::new(clock::monotonic_ms())),
            written: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
        });
        let (sender, receiver) = bounded(WAITING_MAX);
        opened.left.iter().for_each(complain);
        let Opened { file, held, .. } = opened;
        let writer = Writer {
            shared: Arc::clone(&shared),
            receiver,
            dir: dir.to_owned(),
            file,
            held,
            succeed_after: chain::FILE_SIZE_MAX,
            told_lost: 0,
        };
        let writer = std::thread::Builder::new()
            .name("audit-log".into())
            .spawn(move || writer.run())
            .or_exit(Exit::Io, "cannot start a thread")?;
        Ok(Arc::new(Self { shared, sender, writer: Mutex::new(Some(writer)) }))
    }

    /// Notes that the frame serves.
    pub(crate) fn started(&self, frame: u128, epoch: u64) {
        self.send(What::Started { frame, epoch });
    }

    /// Notes that the frame stops, and waits until everything is written.
    pub(crate) fn stop(&self) {
        // It waits for room: the writer ends when it has seen this, and not before.
        let _ = self.sender.send(Entry::now(What::Stopped));
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            writer.join().expect("a panic has ended the process before");
        }
    }

    /// How it fares.
    pub(crate) fn figures(&self) -> Figures {
        let Shared { written, suppressed, lost, is_failing, .. } = &*self.shared;
        Figures {
            written: written.load(Ordering::Relaxed),
            suppressed: suppressed.load(Ordering::Relaxed),
            lost: lost.load(Ordering::Relaxed),
            is_failing: is_failing.load(Ordering::Relaxed),
        }
    }

    /// Events that wait to be written.
    pub(crate) fn waiting(&self) -> usize {
        self.sender.len()
    }

    fn send(&self, what: What) {
        if self.sender.try_send(Entry::now(what)).is_err() {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl AuditSink for AuditLog {
    fn note(&self, event: Event) {
        let (cause, trust) = match &event {
            Event::Command(audited) => (Cause::Principal(audited.principal), trust(audited)),
            Event::Refused { reason, .. } | Event::IdentityEnded { reason, .. } => {
                (Cause::Reason(reason), Trust::None)
            }
            _ => (Cause::Others, Trust::None),
        };
        let mut throttle = self.shared.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        let is_admitted = throttle.admit(cause, trust, clock::monotonic_ms());
        drop(throttle);
        if !is_admitted {
            self.shared.suppressed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        match &event {
            Event::Refused { remote, reason, cause, .. } => {
                tracing::warn!(target: "audit", event = "connection_refused", reason, %remote,
                    "connection refused: {cause}");
            }
            Event::IdentityEnded { remote, spiffe_id, reason, cause, .. } => {
                tracing::warn!(target: "audit", event = "identity_ended", reason, spiffe_id,
                    %remote, "connection closed: {cause}");
            }
            _ => {}
        }
        self.send(What::Door(event));
    }
}

/// Agents are anybody: some commands of privilege are theirs over what they own. A repeat did
/// nothing, whoever sent it.
fn trust(audited: &Audited) -> Trust {
    let roles = [Role::Registry, Role::Mint, Role::Admin];
    let has_role = roles.iter().any(|role| role.name() == audited.role);
    let is_done = audited.status.is_ok() && !audited.is_repeat;
    if has_role && is_done { Trust::Role } else { Trust::None }
}

/// The first line of a file after `left`.
fn continued(left: &Left) -> String {
    let Left { path, verified } = left;
    let what = What::Continued {
        previous: hex(&verified.last),
        file: name(path),
        lines: verified.lines,
        flaw: verified.flaw,
    };
    line::object(&Entry::now(what))
}

fn complain(left: &Left) {
    let Left { path, verified } = left;
    let (path, line) = (path.display(), verified.lines + 1);
    match verified.flaw {
        Some(flaw) => tracing::error!(
            "the audit log was damaged: line {line}: {flaw}; it is kept as {path}, look into it"
        ),
        None => tracing::info!("the audit log is long; it goes on in a new file after {path}"),
    }
}

/// The thread that writes.
struct Writer {
    shared: Arc<Shared>,
    receiver: Receiver<Entry>,
    dir: PathBuf,
    file: std::fs::File,
    /// What is written and synced.
    held: Verified,
    /// The length from which on the next file is begun.
    succeed_after: u64,
    /// Lost events that a line has told.
    told_lost: u64,
}

impl Writer {
    fn run(mut self) {
        let mut group = Vec::with_capacity(GROUP_MAX);
        let mut summary_ms = clock::monotonic_ms();
        loop {
            let is_failing = self.shared.is_failing.load(Ordering::Relaxed);
            let wait = if is_failing { RETRY } else { SUMMARY };
            match self.receiver.recv_timeout(wait) {
                Ok(entry) => group.push(entry),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            group.extend(self.receiver.try_iter().take(GROUP_MAX - group.len()));
            let is_last = group.iter().any(|entry| matches!(entry.what, What::Stopped));
            let now_ms = clock::monotonic_ms();
            if is_last || now_ms.saturating_sub(summary_ms) >= SUMMARY.as_secs() * 1_000 {
                summary_ms = now_ms;
                let at = group.len() - usize::from(is_last);
                group.splice(at..at, self.counted(now_ms));
            }
            self.write(&group);
            group.clear();
            if self.held.len > self.succeed_after {
                self.succeed();
            }
            if is_last {
                return;
            }
        }
    }

    fn counted(&self, now_ms: u64) -> Vec<Entry> {
        let throttle = &self.shared.throttle;
        let counted = throttle.lock().unwrap_or_else(PoisonError::into_inner).counted(now_ms);
        let entry = |(cause, count)| Entry::now(What::Suppressed { cause, count });
        counted.into_iter().map(entry).collect()
    }

    fn write(&mut self, group: &[Entry]) {
        let lost = self.shared.lost.load(Ordering::Relaxed);
        if group.is_empty() && lost == self.told_lost {
            return;
        }
        let (mut last, mut bytes) = (self.held.last, Vec::new());
        let mut lines = group.len() as u64;
        if lost > self.told_lost {
            let count = lost - self.told_lost;
            let entry = Entry::now(What::Lost { count });
            chain::seal(&mut last, &line::object(&entry), &mut bytes);
            lines += 1;
        }
        for entry in group {
            chain::seal(&mut last, &line::object(entry), &mut bytes);
        }
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        let was_failing = self.shared.is_failing.swap(written.is_err(), Ordering::Relaxed);
        match written {
            Ok(()) => {
                self.held.lines += lines;
                self.held.len += bytes.len() as u64;
                self.held.last = last;
                self.told_lost = lost;
                self.shared.written.fetch_add(lines, Ordering::Relaxed);
            }
            Err(error) => {
                // Half a line would break the chain; should this fail too, the next start says so.
                let _ = self.file.set_len(self.held.len);
                self.shared.lost.fetch_add(group.len() as u64, Ordering::Relaxed);
                if !was_failing {
                    tracing::error!(%error, "the audit log cannot be written; payments go on");
                }
            }
        }
    }

    /// Goes on in a new file; where that cannot be had, in this one for a while.
    fn succeed(&mut self) {
        match chain::succeed(&self.dir, self.held.clone(), continued) {
            Ok(Opened { file, held, left }) => {
                left.iter().for_each(complain);
                (self.file, self.held) = (file, held);
                self.succeed_after = chain::FILE_SIZE_MAX;
            }
            Err(error) => {
                self.succeed_after = self.held.len + SUCCEED_AGAIN;
                tracing::error!(%error, "no new file for the audit log; it goes on in the old one");
            }
        }
    }
}

/// `bezant audit-log verify`: every file of the log, oldest first.
pub(crate) fn verify(dir: &Path) -> Result<(), Failure> {
    let files = chain::files(dir).or_exit(Exit::NotFound, &dir.display().to_string())?;
    let mut flaws = 0;
    let mut before: Option<(String, Hash)> = None;
    for path in files {
        let verified = chain::verify(&path).or_exit(Exit::NotFound, &path.display().to_string())?;
        let flaw = verified.flaw.map(|flaw| format!("line {}: {flaw}", verified.lines + 1));
        let flaw = flaw.or_else(|| gap(before.as_ref(), &verified).map(str::to_owned));
        flaws += usize::from(flaw.is_some());
        say!("file       {}", path.display())?;
        say!("lines      {}", verified.lines)?;
        say!("last hash  {}", hex(&verified.last))?;
        say!("verdict    {}", flaw.as_deref().unwrap_or("every line verifies"))?;
        before = Some((name(&path), verified.last));
    }
    if flaws > 0 {
        return Err(Failure::new(
            Exit::Failed,
            format!("{flaws} files of the audit log are damaged or follow a missing one"),
        ));
    }
    Ok(())
}

/// Whether a file does not go on from the one before, which has a name and a last hash.
fn gap(before: Option<&(String, Hash)>, verified: &Verified) -> Option<&'static str> {
    let name = before.map(|(name, _)| name);
    let last = before.map_or_else(chain::genesis, |&(_, last)| last);
    if verified.after.is_some() && verified.after.as_ref() != name {
        return Some("line 1: it goes on from a file that is not here");
    }
    let follows = verified.after.as_ref() == name && verified.previous == last;
    (!follows).then_some("line 1: it does not go on from the file before")
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
#[path = "audit_log_test.rs"]
mod tests;
