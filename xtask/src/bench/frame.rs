//! A frame made for a row, served, and driven by the load harness.
//!
//! Invariant: every row begins with a frame of its own, so that rows do not depend on one another.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::watch::{self, Watch};
use crate::server::Server;
use crate::steps::{output, run};

/// Every door on a free port.
const DOORS: [&str; 3] =
    ["listen.quic=127.0.0.1:0", "listen.https=127.0.0.1:0", "listen.admin=127.0.0.1:0"];

/// Of a frame that is meant to be busy.
const RESERVE: &str = "memory.reserve_mib=2048";
/// At least, and at most, until a frame that has just opened its doors has touched its reserve.
const TOUCHED_MIN: Duration = Duration::from_secs(4);
const TOUCHED_MAX: Duration = Duration::from_secs(60);

pub(super) struct Frame {
    bin: PathBuf,
    data: PathBuf,
    reports: PathBuf,
}

impl Frame {
    pub(super) const fn new(bin: PathBuf, data: PathBuf, reports: PathBuf) -> Self {
        Self { bin, data, reports }
    }

    /// Where reports and plots go.
    pub(super) fn reports(&self) -> &Path {
        &self.reports
    }

    pub(super) fn bezant(&self) -> Command {
        let mut command = Command::new(self.bin.join("bezant"));
        command.arg("--data-dir").arg(&self.data);
        for setting in DOORS.into_iter().chain([RESERVE]) {
            command.args(["--set", setting]);
        }
        command
    }

    /// Makes a fresh frame in the place of the last one.
    pub(super) fn init(&self, parameters: &[&str]) -> Result<(), String> {
        let _ = std::fs::remove_dir_all(&self.data);
        let mut init = self.bezant();
        init.args(["init", "--parameter", "ids.min_window_ms=2000"]);
        for parameter in parameters {
            init.args(["--parameter", parameter]);
        }
        output(&mut init)?;
        for role in ["registry", "mint"] {
            self.issue(role, role, &self.data.join(role))?;
        }
        Ok(())
    }

    /// Issues so many auditors, and gives the directory of their identities.
    pub(super) fn auditors(&self, count: usize) -> Result<PathBuf, String> {
        let directory = self.data.join("auditors");
        for number in 0..count {
            let name = format!("reader-{number}");
            self.issue("auditor", &name, &directory.join(&name))?;
        }
        Ok(directory)
    }

    fn issue(&self, role: &str, name: &str, out: &Path) -> Result<(), String> {
        let issue = ["identity", "issue", role, "--name", name, "--out"];
        output(self.bezant().args(issue).arg(out)).map(drop)
    }

    pub(super) fn serve(&self, settings: &[&str]) -> Result<Server, String> {
        let mut serve = self.bezant();
        for setting in settings {
            serve.args(["--set", setting]);
        }
        Server::start(serve.arg("serve").stderr(Stdio::null()))
    }

    /// Waits until a frame that has just begun to serve has touched its memory.
    #[expect(clippy::unused_self, reason = "it is the frame that is waited for")]
    pub(super) fn touched(&self, server: &Server) {
        std::thread::sleep(TOUCHED_MIN);
        let end = Instant::now() + TOUCHED_MAX;
        while watch::threads(server.id()).contains_key("memory") && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Drives a load on a frame that has just begun to serve, and gives the harness's report with
    /// what the frame's threads did as `frame`; plots go into a folder named `plots`.
    pub(super) fn drive(
        &self,
        server: &Server,
        load: &str,
        plots: Option<&str>,
    ) -> Result<Value, String> {
        self.touched(server);
        self.drive_on(server, load, plots)
    }

    /// The same on a frame that has served a load before.
    pub(super) fn drive_on(
        &self,
        server: &Server,
        load: &str,
        plots: Option<&str>,
    ) -> Result<Value, String> {
        let mut harness = self.harness(load, plots);
        harness.args(["--server", &server.quic, "--https", &server.https]);
        harness.arg("--registry").arg(self.data.join("registry"));
        let watch = Watch::begin(server);
        let mut report = self.report(harness.arg("--mint").arg(self.data.join("mint")))?;
        report["frame"] = watch.end(&report);
        Ok(report)
    }

    /// What holds so many idle feeds open by itself, until its input ends.
    pub(super) fn holder(&self, server: &Server, feeds: usize, auditors: &Path) -> Command {
        let mut holder = self.harness("--hold", None);
        holder.args(["--server", &server.quic, "--feeds", &feeds.to_string()]);
        holder.arg("--auditors").arg(auditors);
        holder
    }

    /// The same without a frame.
    pub(super) fn drive_null(&self, load: &str) -> Result<Value, String> {
        self.report(self.harness(load, None).arg("--null"))
    }

    fn harness(&self, load: &str, plots: Option<&str>) -> Command {
        let mut harness = Command::new(self.bin.join("bezant-loadgen"));
        harness.args(load.split(' '));
        if let Some(plots) = plots {
            harness.arg("--plots").arg(self.reports.join(plots));
        }
        harness
    }

    fn report(&self, harness: &mut Command) -> Result<Value, String> {
        let path = self.reports.join("load.json");
        run(harness.arg("--json").arg(&path))?;
        let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
        let _ = std::fs::remove_file(&path);
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }
}
