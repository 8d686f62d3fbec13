//! Finds what the examples in Python and the test of the compose file need, its `requests` and
//! `yaml`, or installs it.
//!
//! Refuses to guess: it says what it did. Invariant: after `ensure`, the Python that it names can
//! import [`MODULES`].

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::postgres_install::apt_install;
use crate::steps::{output, run};

/// Modules of Python, and the packages of the distribution and of Python's own index that bring
/// them.
const MODULES: [(&str, &str, &str); 2] =
    [("requests", "python3-requests", "requests"), ("yaml", "python3-yaml", "pyyaml")];

/// Makes sure that the examples can be run; returns the Python to run them with. What no package
/// of the distribution brings goes into a folder of its own below `target`.
pub(crate) fn ensure(target: &Path) -> Result<PathBuf, String> {
    let system = PathBuf::from("python3");
    if has_modules(&system) {
        return Ok(system);
    }
    if output(Command::new("id").arg("-u")).is_ok_and(|id| id == "0") {
        for (module, package, _) in MODULES.into_iter().filter(|(name, ..)| !has(&system, name)) {
            println!(
                "{module}: not on this machine; installing the distribution's package as root"
            );
            match apt_install(package) {
                Ok(()) if has(&system, module) => {}
                Ok(()) => println!("{module}: installed, but this python3 does not see it"),
                Err(why) => println!("{module}: {why}"),
            }
        }
        if has_modules(&system) {
            return Ok(system);
        }
    }
    own_folder(&target.join("examples-python"))
}

fn own_folder(folder: &Path) -> Result<PathBuf, String> {
    let python = folder.join("bin/python");
    if !has_modules(&python) {
        println!("modules of Python: installing them into {}", folder.display());
        run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        let packages = MODULES.map(|(_, _, package)| package);
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(packages))?;
    }
    if has_modules(&python) {
        return Ok(python);
    }
    Err(format!(
        "{} still lacks a module; install requests and pyyaml for python3 by hand",
        folder.display()
    ))
}

fn has_modules(python: &Path) -> bool {
    MODULES.iter().all(|(module, ..)| has(python, module))
}

fn has(python: &Path, module: &str) -> bool {
    output(Command::new(python).args(["-c", &format!("import {module}")])).is_ok()
}
