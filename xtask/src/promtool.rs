//! Finds promtool, which judges `/metrics`, the alert rules and their tests, or fetches it.
//!
//! Refuses to install Prometheus: its package starts a server, so the package is unpacked into a
//! folder of its own below `target` instead. Invariant: after `ensure`, the program that it names
//! runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::steps::{output, run};

/// The distribution's package that has it.
const PACKAGE: &str = "prometheus";

/// Makes sure that promtool can be run; returns what to run.
pub(crate) fn ensure(target: &Path) -> Result<PathBuf, String> {
    let on_path = PathBuf::from("promtool");
    if works(&on_path) {
        return Ok(on_path);
    }
    let folder = target.join("promtool");
    let program = folder.join("usr/bin/promtool");
    if works(&program) {
        return Ok(program);
    }
    println!("promtool: not on this machine; unpacking the package `{PACKAGE}` into its folder");
    unpack(&folder).map_err(|why| {
        format!(
            "the tests need promtool: put it on PATH (it comes with Prometheus), or run this \
             where apt-get can download: {why}"
        )
    })?;
    if works(&program) {
        return Ok(program);
    }
    Err(format!("{} was unpacked, but does not run", program.display()))
}

fn works(program: &Path) -> bool {
    output(Command::new(program).arg("--version")).is_ok()
}

fn unpack(folder: &Path) -> Result<(), String> {
    let say = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(folder).map_err(say)?;
    let download = || run(apt(folder).args(["download", PACKAGE]));
    if download().is_err() {
        // The lists of packages may be old, or missing.
        run(apt(folder).arg("update"))?;
        download()?;
    }
    for entry in std::fs::read_dir(folder).map_err(say)? {
        let path = entry.map_err(say)?.path();
        if path.extension().is_some_and(|end| end == "deb") {
            run(Command::new("dpkg-deb").arg("-x").arg(&path).arg(folder))?;
            std::fs::remove_file(&path).map_err(say)?;
        }
    }
    Ok(())
}

fn apt(folder: &Path) -> Command {
    let mut command = Command::new("apt-get");
    command.current_dir(folder);
    // Root downloads as root: another user could not write here.
    command.args(["-q", "-o", "APT::Sandbox::User=root"]);
    command
}
