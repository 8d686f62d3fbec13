//! The process that takes a snapshot beside the running frame.
//!
//! It is told everything on its command line and nothing by its environment, so no secret reaches
//! it. Invariant: it ends with the frame, and what it says blocks nobody.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{self, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, memfd_create};

use super::schedule::Seen;
use crate::config::Config;

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
        let process = command.spawn()?;
        Ok(Self { process, said, complained, begun_ms, seen })
    }

    /// The name of the snapshot, or why there is none; `None` while it is running.
    pub(super) fn ended(&mut self) -> Option<Result<String, String>> {
        let status = match self.process.try_wait() {
            Ok(None) => return None,
            Ok(Some(status)) => status,
            Err(error) => return Some(Err(format!("cannot be waited for: {error}"))),
        };
        let name = text(&self.said).lines().find_map(|line| {
            let name = line.strip_prefix("snapshot ")?;
            Some(name.trim().to_owned())
        });
        Some(match name.filter(|_| status.success()) {
            Some(name) => Ok(name),
            None => {
                let complaint = text(&self.complained);
                let last = complaint.lines().rfind(|line| !line.trim().is_empty());
                Err(format!("{status}: {}", last.unwrap_or("it said nothing")))
            }
        })
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
