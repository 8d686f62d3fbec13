//! What the process gives up before it touches a key: core dumps, being looked into, and files
//! that others can read. It refuses to serve from directories that others can enter.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal, setrlimit};

use crate::config::Config;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::logging::complain;

/// Keeps keys and balances out of core dumps and away from other processes of the same user.
pub(crate) fn no_dumps() -> Result<(), Failure> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).or_exit(Exit::Io, "cannot turn core dumps off")?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .or_exit(Exit::Io, "cannot keep other processes out of the memory")
}

/// Makes this process the first to go when memory is short: it builds an engine, perhaps beside
/// the frame's. Before [`no_dumps`], after which its own files are closed.
pub(crate) fn first_to_go() {
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", "1000") {
        complain(format_args!("cannot be the first to go when memory is short: {error}"));
    }
}

/// Makes this process the last to run, and lets it end with the process that started it.
pub(crate) fn step_back(nice: u8, parent: u32) -> Result<(), Failure> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .or_exit(Exit::Io, "cannot be ended with the frame")?;
    // It may have ended before it could be followed.
    let found = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    if found.and_then(|pid| u32::try_from(pid).ok()) != Some(parent) {
        let ended = "the frame that wanted this has ended";
        return Err(Failure::new(Exit::Temporary, ended));
    }
    // Without it, it is a nuisance, and does what it should.
    if let Err(error) = rustix::process::nice(i32::from(nice)) {
        complain(format_args!("cannot be made less important: {error}"));
    }
    Ok(())
}

/// Every file made from now on is the owner's alone.
pub(crate) fn private_files() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// Refuses directories that others than the owner can enter.
pub(crate) fn check_dirs(config: &Config) -> Result<(), Failure> {
    [config.data_dir.as_path(), &config.journal_dir(), &config.snapshot_dir()]
        .into_iter()
        .try_for_each(check_dir)
}

fn check_dir(dir: &Path) -> Result<(), Failure> {
    // One that is missing is reported by whoever needs it.
    let Ok(metadata) = std::fs::metadata(dir) else {
        return Ok(());
    };
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let dir = dir.display();
    Err(Failure::new(Exit::Io, format!("others can reach {dir}, mode {mode:04o}; set it to 0700")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_gave_up_dumps_has_none() {
        no_dumps().unwrap();
        let limit = rustix::process::getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
        let behavior = rustix::process::dumpable_behavior().unwrap();
        assert_eq!(behavior, DumpableBehavior::NotDumpable);
    }

    #[test]
    fn a_directory_that_others_can_enter_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        assert!(check_dir(dir.path()).is_ok());
        assert!(check_dir(&dir.path().join("missing")).is_ok());
        for mode in [0o750, 0o701, 0o755] {
            std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            let refused = check_dir(dir.path()).unwrap_err();
            assert!(refused.message.contains(&format!("{mode:04o}")), "{}", refused.message);
        }
    }
}
