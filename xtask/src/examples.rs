//! Finds what the examples of other languages need, curl and Python's `requests`, or installs it.
//!
//! Refuses to guess: it says what it did. Invariant: after `ensure`, `curl` runs and the Python
//! that it names can import `requests`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::postgres_install::apt_install;
use crate::steps::{output, run};

/// Makes sure that the examples can be run; returns the Python to run them with. What no package
/// of the distribution brings goes into a folder of its own below `target`.
pub(crate) fn ensure(target: &Path) -> Result<PathBuf, String> {
    if output(Command::new("curl").arg("--version")).is_err() {
        println!("curl: not on this machine; installing the distribution's package as root");
        apt_install("curl").map_err(|why| format!("cannot install curl, do it by hand: {why}"))?;
    }
    let system = PathBuf::from("python3");
    if has_requests(&system) {
        return Ok(system);
    }
    if output(Command::new("id").arg("-u")).is_ok_and(|id| id == "0") {
        println!("requests: not on this machine; installing the distribution's package as root");
        match apt_install("python3-requests") {
            Ok(()) if has_requests(&system) => return Ok(system),
            Ok(()) => println!("requests: installed, but this python3 does not see it"),
            Err(why) => println!("requests: {why}"),
        }
    }
    own_folder(&target.join("examples-python"))
}

fn own_folder(folder: &Path) -> Result<PathBuf, String> {
    let python = folder.join("bin/python");
    if !has_requests(&python) {
        println!("requests: installing it into {}", folder.display());
        run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "requests"]))?;
    }
    if has_requests(&python) {
        return Ok(python);
    }
    Err(format!("{} still has no requests; install it for python3 by hand", folder.display()))
}

fn has_requests(python: &Path) -> bool {
    output(Command::new(python).args(["-c", "import requests"])).is_ok()
}
