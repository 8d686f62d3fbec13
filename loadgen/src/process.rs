//! A frame as a process of its own: made, started, stopped and killed from outside, as an operator
//! or a crash would. Used by the demonstration and by the tests that kill.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// Why a frame could not be driven.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProcessError {
    /// The binary could not be run.
    Spawn {
        /// Its path.
        binary: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It ended instead of listening.
    Ended {
        /// How.
        status: String,
        /// Last lines of its log.
        log: String,
    },
    /// A command that should succeed did not.
    Failed {
        /// The arguments.
        arguments: String,
        /// How it ended.
        status: String,
        /// What it printed.
        output: String,
    },
}

impl std::fmt::Display for ProcessError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Spawn { binary, source } => {
                write!(f, "cannot run {}: {source}", binary.display())
            }
            Self::Ended { status, log } => {
                write!(f, "the frame ended ({status}) instead of listening:\n{log}")
            }
            Self::Failed { arguments, status, output } => {
                write!(f, "bezant {arguments} failed ({status}):\n{output}")
            }
        }
    }
}

impl std::error::Error for ProcessError {}

/// Where a frame lives and how it is started.
#[derive(Clone, Debug)]
pub struct FrameHome {
    /// Path of the `bezant` binary.
    pub binary: PathBuf,
    /// Its data directory.
    pub data_dir: PathBuf,
    /// Settings for `serve`, as `key=value`.
    pub settings: Vec<String>,
}

/// What a finished command printed.
#[derive(Clone, Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl FrameHome {
    /// Of a frame that listens on free loopback ports.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>, data_dir: impl Into<PathBuf>) -> Self {
        let settings =
            ["listen.quic=127.0.0.1:0", "listen.https=127.0.0.1:0", "listen.admin=127.0.0.1:0"];
        Self {
            binary: binary.into(),
            data_dir: data_dir.into(),
            settings: settings.map(str::to_owned).to_vec(),
        }
    }

    /// The same with one more setting.
    #[must_use]
    pub fn with(mut self, assignment: &str) -> Self {
        self.settings.push(assignment.to_owned());
        self
    }

    /// Where the identity `name` is kept.
    #[must_use]
    pub fn identity(&self, name: &str) -> PathBuf {
        self.data_dir.join("identity").join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--data-dir").arg(&self.data_dir);
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs a subcommand to its end.
    ///
    /// # Errors
    ///
    /// When the binary cannot be run at all.
    pub fn run(&self, arguments: &[&str]) -> Result<Finished, ProcessError> {
        let output = self.command(arguments).output();
        let output = output.map_err(|source| self.spawn_error(source))?;
        Ok(Finished {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs a subcommand that must succeed and returns what it printed.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn expect(&self, arguments: &[&str]) -> Result<String, ProcessError> {
        let finished = self.run(arguments)?;
        if finished.status.success() {
            return Ok(finished.stdout);
        }
        Err(ProcessError::Failed {
            arguments: arguments.join(" "),
            status: finished.status.to_string(),
            output: finished.stdout + &finished.stderr,
        })
    }

    /// Makes the frame (`bezant init`).
    ///
    /// # Errors
    ///
    /// When `init` fails.
    pub fn init(&self, arguments: &[&str]) -> Result<(), ProcessError> {
        let mut all = vec!["init"];
        all.extend_from_slice(arguments);
        self.expect(&all).map(drop)
    }

    /// Issues a certificate into [`Self::identity`]`(name)` and returns that directory.
    ///
    /// # Errors
    ///
    /// When `identity issue` fails.
    pub fn issue(&self, role: &str, name: &str) -> Result<PathBuf, ProcessError> {
        let dir = self.identity(name);
        let out = dir.display().to_string();
        self.expect(&["identity", "issue", role, "--name", name, "--out", &out])?;
        Ok(dir)
    }

    /// Starts the frame and waits until it listens.
    ///
    /// # Errors
    ///
    /// When it ends before.
    pub fn start(&self) -> Result<FrameProcess, ProcessError> {
        let log = self.data_dir.join("serve.log");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log);
        let file = file.map_err(|source| self.spawn_error(source))?;
        let mut child = self
            .command(&["serve"])
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .map_err(|source| self.spawn_error(source))?;
        let stdout = child.stdout.take().expect("standard output is piped");
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(doors) = Doors::parse(&line) {
                let Doors { quic, https, admin, public } = doors;
                return Ok(FrameProcess { child, quic, https, admin, public });
            }
        }
        let status = child.wait().map_or_else(|error| error.to_string(), |s| s.to_string());
        Err(ProcessError::Ended { status, log: last_lines(&log) })
    }

    fn spawn_error(&self, source: std::io::Error) -> ProcessError {
        ProcessError::Spawn { binary: self.binary.clone(), source }
    }
}

/// Where a frame listens, as `serve` prints it: `listening quic=… https=… admin=…`, and
/// `public=…` where everybody is served.
#[derive(Debug, PartialEq, Eq)]
struct Doors {
    quic: SocketAddr,
    https: Option<SocketAddr>,
    admin: SocketAddr,
    public: Option<SocketAddr>,
}

impl Doors {
    fn parse(line: &str) -> Option<Self> {
        let (mut quic, mut https, mut admin, mut public) = (None, None, None, None);
        for door in line.strip_prefix("listening ")?.split(' ') {
            match door.split_once('=')? {
                ("quic", addr) => quic = addr.parse().ok(),
                ("https", addr) => https = addr.parse().ok(),
                ("admin", addr) => admin = addr.parse().ok(),
                ("public", addr) => public = addr.parse().ok(),
                _ => {}
            }
        }
        Some(Self { quic: quic?, https, admin: admin?, public })
    }
}

fn last_lines(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// A running frame; killed when dropped.
#[derive(Debug)]
pub struct FrameProcess {
    child: Child,
    /// Address of the QUIC door.
    pub quic: SocketAddr,
    /// Address of the HTTPS door, where there is one.
    pub https: Option<SocketAddr>,
    /// Address of the admin door.
    pub admin: SocketAddr,
    /// Address of the public page, where there is one.
    pub public: Option<SocketAddr>,
}

impl FrameProcess {
    /// SIGKILL, and waits until it is gone.
    pub fn kill(mut self) {
        self.kill_now();
    }

    fn kill_now(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits for the graceful end.
    ///
    /// # Errors
    ///
    /// When the process cannot be signalled or waited for.
    pub fn terminate(mut self) -> std::io::Result<ExitStatus> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        self.child.wait()
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    ///
    /// When the process cannot be waited for.
    pub fn ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }
}

impl Drop for FrameProcess {
    fn drop(&mut self) {
        self.kill_now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listening_line_is_understood() {
        let doors = Doors::parse("listening quic=127.0.0.1:1 admin=[::1]:2").unwrap();
        assert_eq!((doors.quic.port(), doors.https, doors.admin.port()), (1, None, 2));
        let line = "listening quic=127.0.0.1:1 https=127.0.0.1:3 admin=[::1]:2";
        let doors = Doors::parse(line).unwrap();
        assert_eq!((doors.https.unwrap().port(), doors.public), (3, None));
        let doors = Doors::parse(&format!("{line} public=127.0.0.1:4")).unwrap();
        assert_eq!(doors.public.unwrap().port(), 4);
        assert_eq!(Doors::parse("listening"), None);
        assert_eq!(Doors::parse("listening quic=x admin=y"), None);
    }
}
