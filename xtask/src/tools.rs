//! Finds strace, with which the tests of the whole process fail and kill at chosen system calls,
//! systemd-analyze, which judges the unit, curl, which examples and book use, and Chromium, which
//! shows the pages; or installs them.
//!
//! Refuses to guess: it says what it did. Invariant: after `ensure`, all run.

use std::process::Command;

use crate::postgres_install::apt_install;
use crate::steps;

/// Program, what shows that it runs, and the package that brings it.
const TOOLS: [(&str, &str, &str); 4] = [
    ("chromium", "--version", "chromium"),
    ("curl", "--version", "curl"),
    ("strace", "-V", "strace"),
    ("systemd-analyze", "--version", "systemd"),
];

/// Makes sure that the tools can be run.
pub(crate) fn ensure() -> Result<(), String> {
    ensure_some(&TOOLS.map(|(program, ..)| program))
}

/// Makes sure of those that `programs` names.
pub(crate) fn ensure_some(programs: &[&str]) -> Result<(), String> {
    let mut wanted = TOOLS.into_iter().filter(|(program, ..)| programs.contains(program));
    wanted.try_for_each(|(program, probe, package)| tool(program, probe, package))
}

fn tool(program: &str, probe: &str, package: &str) -> Result<(), String> {
    let works = || steps::output(Command::new(program).arg(probe)).is_ok();
    if works() {
        return Ok(());
    }
    if steps::output(Command::new("id").arg("-u"))? != "0" {
        return Err(format!(
            "the tests need `{program}`: install your distribution's package `{package}`, or run \
             this as root so that it can"
        ));
    }
    println!("{program}: not on this machine; installing the distribution's package as root");
    apt_install(package)
        .map_err(|why| format!("cannot install {package}, do it by hand: {why}"))?;
    if works() { Ok(()) } else { Err(format!("{package} was installed, but {program} fails")) }
}
