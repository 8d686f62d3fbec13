//! Finds strace, with which the tests of the whole process fail and kill at chosen system calls, or
//! installs it.
//!
//! Refuses to guess: it says what it did. Invariant: after `ensure`, `strace` runs.

use std::process::Command;

use crate::postgres_install::apt_install;
use crate::steps;

/// Makes sure that `strace` can be run.
pub(crate) fn ensure() -> Result<(), String> {
    let works = || steps::output(Command::new("strace").arg("-V")).is_ok();
    if works() {
        return Ok(());
    }
    if steps::output(Command::new("id").arg("-u"))? != "0" {
        return Err(
            "the tests need `strace`: install your distribution's package, or run this as \
                    root so that it can"
                .to_owned(),
        );
    }
    println!("strace: not on this machine; installing the distribution's package as root");
    apt_install("strace").map_err(|why| format!("cannot install strace, do it by hand: {why}"))?;
    if works() { Ok(()) } else { Err("strace was installed, but does not run".to_owned()) }
}
