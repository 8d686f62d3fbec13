//! `cargo xtask figures`: the end-to-end figures of `docs/performance.md`, by one command. Builds
//! the optimised binaries, makes a frame in a temporary directory, and lets the load harness drive
//! it over QUIC with mTLS; client and server share the machine.
//!
//! It judges nothing: the harness fails by itself when its book and the frame's differ.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::steps::{cargo, output, run};

/// One row of the table: what it is called, and how the harness is asked for it.
const ROWS: &[(&str, &str)] = &[
    ("10 k accounts, batches of 8 190", "--accounts 10000 --commands 10000000"),
    ("1 M accounts, batches of 8 190", "--accounts 1000000 --commands 10000000 --seed 2"),
    ("10 k accounts, 30 % holds", "--accounts 10000 --commands 5000000 --holds 30 --seed 3"),
    (
        "64 connections, batches of 100",
        "--accounts 10000 --connections 64 --batch 100 --commands 3000000 --seed 4",
    ),
    (
        "32 connections, one transfer at a time",
        "--accounts 10000 --connections 32 --in-flight 1 --batch 1 --commands 100000 --seed 5",
    ),
    ("single transfer, idle", "--accounts 1000 --in-flight 1 --batch 1 --commands 5000 --seed 6"),
];

/// Measures every row, or those whose name contains `only`.
pub(crate) fn run_rows(only: Option<&str>) -> Result<(), String> {
    run(cargo().args(["build", "--profile", "dist", "-p", "server", "-p", "loadgen"]))?;
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    let place = std::env::temp_dir().join(format!("bezant-figures-{}", std::process::id()));
    let frame = Frame { bin: target.join("dist"), data: place.join("frame") };
    let done = ROWS
        .iter()
        .filter(|(name, _)| only.is_none_or(|only| name.contains(only)))
        .try_for_each(|(name, load)| frame.measure(name, load));
    // The figures are printed by now; what is left behind only takes space.
    let _ = std::fs::remove_dir_all(&place);
    done
}

struct Frame {
    bin: PathBuf,
    data: PathBuf,
}

impl Frame {
    fn bezant(&self) -> Command {
        let mut command = Command::new(self.bin.join("bezant"));
        command.arg("--data-dir").arg(&self.data);
        command.args(["--set", "listen.quic=127.0.0.1:0", "--set", "listen.admin=127.0.0.1:0"]);
        command
    }

    /// A fresh frame for each row, so that rows do not depend on one another.
    fn measure(&self, name: &str, load: &str) -> Result<(), String> {
        let _ = std::fs::remove_dir_all(&self.data);
        output(self.bezant().args(["init", "--parameter", "ids.min_window_ms=2000"]))?;
        for role in ["registry", "mint"] {
            let out = self.data.join(role);
            let issue = ["identity", "issue", role, "--name", role, "--out"];
            output(self.bezant().args(issue).arg(out))?;
        }
        let serve = self.bezant().arg("serve").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut server = Server(serve.map_err(|e| format!("the frame does not start: {e}"))?);
        let address = server.address()?;
        println!("\n── {name}");
        let mut harness = Command::new(self.bin.join("bezant-loadgen"));
        harness.args(["--server", &address]).args(load.split(' '));
        harness.arg("--registry").arg(self.data.join("registry"));
        harness.arg("--mint").arg(self.data.join("mint"));
        run(&mut harness)
    }
}

/// The running frame; gone when dropped.
struct Server(Child);

impl Server {
    /// Where its QUIC door is, once it says so.
    fn address(&mut self) -> Result<String, String> {
        let stdout = self.0.stdout.take().ok_or("the frame has no output")?;
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let said = line.strip_prefix("listening quic=");
            if let Some(address) = said.and_then(|rest| rest.split(' ').next()) {
                return Ok(address.to_owned());
            }
        }
        Err("the frame ended instead of listening".to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
