//! `cargo xtask figures`: the end-to-end figures of `docs/performance.md`, by one command. Builds
//! the optimised binaries, makes a frame in a temporary directory, and lets the load harness drive
//! it over QUIC and HTTPS with mTLS; client and server share the machine.
//!
//! It judges nothing: the harness fails by itself when its book and the frame's differ.

mod settlement;
mod snapshots;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::server::Server;
use crate::steps::{cargo, output, run};
use serde_json::Value;

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
    (
        "HTTPS: 10 k accounts, batches of 8 190",
        "--door https-binary --accounts 10000 --commands 10000000 --seed 7",
    ),
    (
        "HTTPS: 64 connections, one transfer a request as JSON",
        "--door https-json --accounts 10000 --connections 64 --commands 300000 --seed 8",
    ),
    (
        "HTTPS: single transfer as JSON, idle",
        "--door https-json --accounts 1000 --commands 5000 --seed 9",
    ),
];

/// Every door on a free port.
const DOORS: [&str; 3] =
    ["listen.quic=127.0.0.1:0", "listen.https=127.0.0.1:0", "listen.admin=127.0.0.1:0"];

/// Measures every row, or those whose name contains `only`.
pub(crate) fn run_rows(only: Option<&str>) -> Result<(), String> {
    run(cargo().args(["build", "--profile", "dist", "-p", "server", "-p", "loadgen"]))?;
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    let place = std::env::temp_dir().join(format!("bezant-figures-{}", std::process::id()));
    let frame = Frame { bin: target.join("dist"), data: place.join("frame") };
    let done = frame.measure_all(only);
    // The figures are printed by now; what is left behind only takes space.
    let _ = std::fs::remove_dir_all(&place);
    done
}

struct Frame {
    bin: PathBuf,
    data: PathBuf,
}

impl Frame {
    fn measure_all(&self, only: Option<&str>) -> Result<(), String> {
        let is_wanted = |name: &str| only.is_none_or(|only| name.contains(only));
        for (name, load) in ROWS.iter().filter(|(name, _)| is_wanted(name)) {
            self.measure(name, load)?;
        }
        if is_wanted("restart") {
            snapshots::restart(self)?;
        }
        if is_wanted("snapshots") {
            snapshots::under_load(self)?;
        }
        if is_wanted("settlement") {
            settlement::cost(self)?;
        }
        Ok(())
    }

    fn bezant(&self) -> Command {
        let mut command = Command::new(self.bin.join("bezant"));
        command.arg("--data-dir").arg(&self.data);
        for door in DOORS {
            command.args(["--set", door]);
        }
        command
    }

    /// A fresh frame for each row, so that rows do not depend on one another.
    fn init(&self) -> Result<(), String> {
        let _ = std::fs::remove_dir_all(&self.data);
        output(self.bezant().args(["init", "--parameter", "ids.min_window_ms=2000"]))?;
        for role in ["registry", "mint"] {
            let out = self.data.join(role);
            let issue = ["identity", "issue", role, "--name", role, "--out"];
            output(self.bezant().args(issue).arg(out))?;
        }
        Ok(())
    }

    fn serve(&self, settings: &[&str]) -> Result<Server, String> {
        let mut serve = self.bezant();
        for setting in settings {
            serve.args(["--set", setting]);
        }
        Server::start(serve.arg("serve").stderr(Stdio::null()))
    }

    /// Drives a load; the table goes where `table` says, the report is returned.
    fn drive(&self, server: &Server, load: &str, table: Stdio) -> Result<Value, String> {
        let report = self.data.join("report.json");
        let mut harness = Command::new(self.bin.join("bezant-loadgen"));
        harness.args(["--server", &server.quic, "--https", &server.https]).args(load.split(' '));
        harness.arg("--registry").arg(self.data.join("registry"));
        harness.arg("--mint").arg(self.data.join("mint")).arg("--json").arg(&report);
        run(harness.stdout(table))?;
        let text = std::fs::read_to_string(&report).map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    fn measure(&self, name: &str, load: &str) -> Result<(), String> {
        self.init()?;
        let server = self.serve(&[])?;
        println!("\n── {name}");
        self.drive(&server, load, Stdio::inherit()).map(drop)
    }
}
