//! Exit codes of the `bezant` binary, each with one meaning (the sysexits convention where it has
//! one). The table in `docs/operations.md` is this file's.

use std::process::ExitCode;

use crate::threads::Fatal;

/// Why the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Did what was asked.
    Ok = 0,
    /// A verification found a difference, or a command was refused.
    Failed = 1,
    /// The command line is wrong (clap's own code).
    Usage = 2,
    /// The journal is damaged where it had been acknowledged: repair or restore.
    JournalCorrupt = 65,
    /// Something that must exist does not (data directory, certificate, server).
    NotFound = 66,
    /// An internal invariant was broken.
    Internal = 70,
    /// A file, disk or socket operation failed.
    Io = 74,
    /// Temporary: another process holds the directory, or the server is not ready.
    Temporary = 75,
    /// Journal, database and configuration do not belong together.
    Mismatch = 76,
    /// An identity is missing, refused or unsafe.
    Identity = 77,
    /// The configuration is wrong.
    Config = 78,
    /// A journal sync failed: what was not acknowledged may be lost, nothing else. Never retried.
    SyncFailed = 80,
    /// The clock is too far from the journal's last time.
    Clock = 81,
    /// `doctor` found something that must be mended.
    Unfit = 82,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<&Fatal> for Exit {
    fn from(fatal: &Fatal) -> Self {
        match fatal {
            Fatal::Sync(_) => Self::SyncFailed,
            Fatal::Prepare(_) => Self::Io,
            Fatal::Halt(_) => Self::Internal,
        }
    }
}

/// An error with the code the process ends with.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The code.
    pub(crate) exit: Exit,
    /// What was wrong, where, and what to do.
    pub(crate) message: String,
}

impl Failure {
    /// With the text of any error.
    pub(crate) fn new(exit: Exit, message: impl ToString) -> Self {
        Self { exit, message: message.to_string() }
    }
}

/// Gives any error an exit code and says what was being done.
pub(crate) trait OrExit<T> {
    /// `what: error`, ending with `exit`.
    fn or_exit(self, exit: Exit, what: &str) -> Result<T, Failure>;
}

impl<T, E: std::fmt::Display> OrExit<T> for Result<T, E> {
    fn or_exit(self, exit: Exit, what: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(exit, format!("{what}: {error}")))
    }
}
