//! What the readers of the configured database have in common: a thread each, and silence about a
//! database that settlement no longer compares with the journal.

use settlement::Stop;

use crate::exit::{Exit, Failure, OrExit as _};

/// Runs a reader's desk on a thread of its own, which ends when the gateway has let go of the
/// reader.
pub(crate) fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let begun = std::thread::Builder::new().name(name.into()).spawn(run);
    begun.map(drop).or_exit(Exit::Io, &format!("cannot start the thread {name}"))
}

/// Why the database is not to be believed, if settlement has ended.
pub(crate) fn unless(stopped: Option<Stop>) -> Result<(), Box<str>> {
    stopped.map_or(Ok(()), |stop| {
        Err(format!("settlement has ended ({stop:?}); see docs/settlement.md").into())
    })
}
