//! The process that takes a snapshot beside the running frame.
//!
//! It is told everything on its command line and nothing by its environment, so no secret reaches
//! it. Invariant: it ends with the frame, and what it says blocks nobody.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{self, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, memfd_create};
use tracing::Span;
use tracing::field::Empty;

use super::schedule::Seen;
use crate::config::Config;
use crate::exit::Exit;

/// This program, also after its file was replaced.
const PROGRAM: &str = "/proc/self/exe";
/// Bytes of what the process said that are looked at.
const SAID_MAX: u64 = 64 * 1024;
/// Longest wait for the end of one that was killed.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// A running process.
pub(super) struct Child {
    process: process::Child,
    said: File,
    complained: File,
    /// When it began.
    pub(super) begun_ms: u64,
    /// How far the frame had come then.
    pub(super) seen: Seen,
    /// Whether the log was told that it takes long.
    pub(super) is_slow: bool,
    /// From its begin to what came of it.
    pub(super) span: Span,
}

/// Why there is no snapshot.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failed {
    /// In words.
    pub(super) reason: String,
    /// It found another state than the run, or a journal that cannot be replayed: memory, disk or
    /// program are wrong.
    pub(super) is_disagreement: bool,
}

impl Failed {
    /// Nothing worse than that there is none.
    pub(super) fn new(reason: impl ToString) -> Self {
        Self { reason: reason.to_string(), is_disagreement: false }
    }
}

/// How a process ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// The name of the snapshot.
    pub(super) outcome: Result<String, Failed>,
    /// What it had to tell besides.
    pub(super) told: Vec<String>,
}

impl Child {
    /// Starts one that takes a snapshot behind the record `through` or an earlier one.
    pub(super) fn start(
        config: &Config,
        through: u64,
        nice: u8,
        (begun_ms, seen): (u64, Seen),
    ) -> io::Result<Self> {
        // Not pipes: one that nobody reads fills up.
        let memory = |name: &str| memfd_create(name, MemfdFlags::CLOEXEC).map(File::from);
        let (said, complained) = (memory("said")?, memory("complained")?);
        let mut command = Command::new(PROGRAM);
        command
            .arg0("bezant")
            .args(["snapshot", "create", "--through-record", &through.to_string()])
            .args(["--nice", &nice.to_string(), "--parent", &process::id().to_string()])
            .arg("--data-dir")
            .arg(&config.data_dir)
            .args([
                "--set",
                if config.history { "settlement.history=full" } else { "settlement.history=none" },
            ])
            .args(["--set", &format!("journal.segment_mib={}", config.segment_bytes >> 20)])
            .env_clear()
            // What a terminal sends to the frame is not for it.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(complained.try_clone()?);
        let process = command.spawn().map_err(|error| not_started(&error))?;
        let span = tracing::debug_span!(
            "snapshot",
            otel.status_code = Empty,
            bezant.process = i64::from(process.id()),
            bezant.sequence = Empty,
            bezant.bytes = Empty,
        );
        Ok(Self { process, said, complained, begun_ms, seen, is_slow: false, span })
    }

    /// How it ended; `None` while it is running.
    pub(super) fn ended(&mut self) -> Option<Ended> {
        match self.process.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(judge(status, &text(&self.said), &text(&self.complained))),
            Err(error) => {
                let outcome = Err(Failed::new(format_args!("cannot be waited for: {error}")));
                Some(Ended { outcome, told: Vec::new() })
            }
        }
    }

    /// Its id, for the log.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Child {
    /// Ends it, if it has not ended.
    fn drop(&mut self) {
        let _it_has_ended_already = self.process.kill();
        let since = Instant::now();
        // One that hangs in the disk ends when the disk lets it, and holds up nobody.
        while matches!(self.process.try_wait(), Ok(None)) && since.elapsed() < END_PATIENCE {
            std::thread::sleep(END_PATIENCE / 200);
        }
    }
}

/// What the end of a process means.
fn judge(status: ExitStatus, said: &str, complained: &str) -> Ended {
    let lines = complained.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut told: Vec<_> = lines.map(str::to_owned).collect();
    let name = said.lines().find_map(|line| line.strip_prefix("snapshot "));
    if let Some(name) = name.filter(|_| status.success()) {
        return Ended { outcome: Ok(name.trim().to_owned()), told };
    }
    let last = told.pop().unwrap_or_else(|| "it said nothing".to_owned());
    let worst = [Exit::JournalCorrupt, Exit::Internal].map(|exit| Some(exit as i32));
    let is_disagreement = worst.contains(&status.code());
    Ended { outcome: Err(Failed { reason: format!("{status}: {last}"), is_disagreement }), told }
}

fn not_started(error: &io::Error) -> io::Error {
    let text =
        format!("cannot run {PROGRAM}: {error}; is /proc mounted, and is there memory left?");
    io::Error::new(error.kind(), text)
}

/// The end of what was said.
fn text(file: &File) -> String {
    let len = file.metadata().map_or(0, |metadata| metadata.len());
    let from = len.saturating_sub(SAID_MAX);
    let mut bytes = vec![0; (len - from) as usize];
    match file.read_exact_at(&mut bytes, from) {
        Ok(()) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn ended(code: i32, said: &str, complained: &str) -> Ended {
        judge(ExitStatus::from_raw(code << 8), said, complained)
    }

    #[test]
    fn another_state_than_the_runs_is_worse_than_no_snapshot() {
        for (code, is_disagreement) in [(65, true), (70, true), (1, false), (74, false)] {
            let failed = ended(code, "", "a warning\n\nbezant: the last word\n");
            assert_eq!(failed.told, ["a warning"]);
            let failed = failed.outcome.unwrap_err();
            assert_eq!(failed.is_disagreement, is_disagreement, "{code}");
            assert!(failed.reason.contains("the last word"), "{}", failed.reason);
        }
        let killed = judge(ExitStatus::from_raw(9), "snapshot   half\n", "").outcome.unwrap_err();
        assert!(killed.reason.contains("signal: 9") && !killed.is_disagreement);
    }

    #[test]
    fn what_a_success_complains_of_is_heard() {
        let made = ended(0, "snapshot   its-name\n  sequence 3\n", "WARN one cannot be used\n");
        assert_eq!(made.outcome.as_deref(), Ok("its-name"));
        assert_eq!(made.told, ["WARN one cannot be used"]);
    }

    #[test]
    fn without_proc_the_cure_is_told() {
        let text = not_started(&io::ErrorKind::NotFound.into()).to_string();
        assert!(text.contains("/proc/self/exe") && text.contains("mounted"), "{text}");
    }
}
