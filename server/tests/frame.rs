//! A frame in a temporary directory: made small, started, stopped, killed, and asked. Invariant:
//! the process ends with its guard, and the directory with both.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use client::{Client, Command, Options, Status};
use loadgen::process::Finished;
use loadgen::{FrameHome, FrameProcess, ProcessError, Target};
use tempfile::TempDir;

/// Longest wait for something that happens soon on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// Settings that keep a frame small, so that many fit one machine.
const SMALL: [&str; 4] =
    ["journal.segment_mib=8", "memory.reserve_mib=0", "ring.pool_mib=32", "ring.requests=256"];

/// The ways of writing the journal, each with the system call that makes it durable.
pub(crate) const BACKENDS: [(&str, &str); 2] = [("direct", "pwritev"), ("mapped", "msync")];

/// A frame and where it lives.
pub(crate) struct Frame {
    pub(crate) home: FrameHome,
    process: Option<FrameProcess>,
    dir: TempDir,
}

impl Frame {
    /// A new frame of its own trust domain, made by `init` with `arguments`, not started.
    pub(crate) fn with(arguments: &[&str], settings: &[&str]) -> Self {
        let frame = Self::unmade(settings);
        frame.home.init(arguments).unwrap();
        frame
    }

    /// A new frame as `init` makes it.
    pub(crate) fn new() -> Self {
        Self::with(&[], &[])
    }

    /// A home without a frame.
    pub(crate) fn unmade(settings: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut home = FrameHome::new(env!("CARGO_BIN_EXE_bezant"), dir.path().join("data"));
        for setting in SMALL.iter().chain(settings) {
            home = home.with(setting);
        }
        Self { home, process: None, dir }
    }

    /// A place beside the data directory.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn journal_dir(&self) -> PathBuf {
        self.home.data_dir.join("journal")
    }

    pub(crate) fn sqlite(&self) -> PathBuf {
        self.home.data_dir.join("settlement.sqlite")
    }

    pub(crate) fn set(&mut self, assignment: &str) {
        self.home.settings.push(assignment.to_owned());
    }

    /// From the next start on its journal is written so.
    pub(crate) fn write_with(&mut self, backend: &str) {
        self.home.settings.retain(|setting| !setting.starts_with("journal.backend="));
        self.set(&format!("journal.backend={backend}"));
    }

    /// From the next start on the frame's system call `call` fails, waits or kills as strace is
    /// told by `injury`.
    pub(crate) fn injure(&mut self, call: &str, injury: &str) {
        self.injure_files(call, injury, &[]);
    }

    /// The same for calls on one of `files` only, if there are any. The tracer is there before the
    /// frame makes itself undumpable, so that this takes no privilege, and it is a child of the
    /// frame and not the other way round, so that signals meet the frame.
    pub(crate) fn injure_files(&mut self, call: &str, injury: &str, files: &[PathBuf]) {
        let path = self.beside("injured");
        let bezant = env!("CARGO_BIN_EXE_bezant");
        let traced = self.traced();
        // What an earlier one met.
        let _ = std::fs::remove_file(&traced);
        let traced = traced.display();
        let only: String = files.iter().map(|file| format!(" -P {}", file.display())).collect();
        let script = format!(
            "#!/bin/sh\nexec strace -D -f -q -ttt -o {traced}{only} -e trace={call} \
             -e inject={call}:{injury} {bezant} \"$@\"\n"
        );
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
        self.home.binary = path;
    }

    /// What the tracer saw.
    fn traced(&self) -> PathBuf {
        self.beside("traced")
    }

    /// Time from the first injured call to the end of the process, as the tracer saw it.
    pub(crate) fn end_after_injury(&self) -> Duration {
        let mut took = None;
        until("the tracer has seen the end", || {
            let seen = std::fs::read_to_string(self.traced()).unwrap_or_default();
            let at = |line: &str| line.split_whitespace().nth(1)?.parse::<f64>().ok();
            let injured = seen.lines().find(|line| line.contains("(INJECTED)")).and_then(at);
            let ended = seen.lines().last().filter(|line| line.contains("+++")).and_then(at);
            took = injured.zip(ended).map(|(injured, ended)| ended - injured);
            took.is_some()
        });
        Duration::from_secs_f64(took.unwrap_or_default())
    }

    /// From the next start on it is itself again.
    pub(crate) fn heal(&mut self) {
        self.home.binary = env!("CARGO_BIN_EXE_bezant").into();
    }

    /// Starts it, in place of a process that has ended.
    pub(crate) fn start(&mut self) {
        self.process = None;
        self.process = Some(self.home.start().unwrap());
    }

    /// Starts it although it should refuse; returns its exit code and the end of its log.
    pub(crate) fn refuses_to_start(&self) -> (i32, String) {
        match self.home.start() {
            Err(ProcessError::Ended { status, log }) => {
                let code = status.strip_prefix("exit status: ");
                let code = code.unwrap_or_else(|| panic!("it ended by {status}:\n{log}"));
                (code.parse().unwrap(), log)
            }
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("it started although it should not"),
        }
    }

    /// A process that was started in another way.
    pub(crate) fn adopt(&mut self, process: FrameProcess) {
        self.process = Some(process);
    }

    pub(crate) fn process(&mut self) -> &mut FrameProcess {
        self.process.as_mut().expect("the frame is running")
    }

    fn running(&self) -> &FrameProcess {
        self.process.as_ref().expect("the frame is running")
    }

    /// The process itself, for whoever ends it.
    pub(crate) fn take(&mut self) -> FrameProcess {
        self.process.take().expect("the frame is running")
    }

    /// SIGTERM; it must end with 0.
    pub(crate) fn stop(&mut self) {
        let status = self.take().terminate().unwrap();
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }

    /// Waits until it ends by itself; returns its exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let mut process = self.take();
        let mut status = None;
        until("the process ends", || {
            status = process.ended().unwrap();
            status.is_some()
        });
        status.and_then(|status| status.code())
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.home.data_dir.join("serve.log")).unwrap_or_default()
    }

    pub(crate) fn quic(&self) -> SocketAddr {
        self.running().quic
    }

    pub(crate) fn https(&self) -> SocketAddr {
        self.running().https.expect("the frame has an HTTPS door")
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.running().admin
    }

    pub(crate) fn public(&self) -> SocketAddr {
        self.running().public.expect("the frame has a public page")
    }

    /// The identity `name`, issued on first use.
    pub(crate) fn identity(&self, role: &str, name: &str) -> PathBuf {
        let dir = self.home.identity(name);
        if dir.is_dir() {
            return dir;
        }
        self.home.issue(role, name).unwrap()
    }

    /// A connection with the identity `name`.
    pub(crate) async fn client(&self, role: &str, name: &str) -> Client {
        let dir = self.identity(role, name);
        loadgen::run::connect(self.quic(), &dir, patient()).await.unwrap()
    }

    /// Where a load goes.
    pub(crate) fn target(&self) -> Target {
        self.target_of("north")
    }

    /// The same for a registry of this name.
    pub(crate) fn target_of(&self, registry: &str) -> Target {
        Target {
            addr: self.quic(),
            https: self.running().https,
            registry: self.identity("registry", registry),
            mint: self.identity("mint", "treasury"),
        }
    }

    /// Runs a subcommand to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        self.home.run(arguments).unwrap()
    }

    /// Runs a subcommand that must end with `code`; returns all that it printed.
    pub(crate) fn ends_with(&self, code: i32, arguments: &[&str]) -> String {
        let finished = self.run(arguments);
        let printed = finished.stdout + &finished.stderr;
        let status = finished.status.code();
        assert_eq!(status, Some(code), "bezant {arguments:?}:\n{printed}");
        printed
    }

    /// The stopped frame's journal, recount and SQL must agree.
    pub(crate) fn is_sound(&self) {
        for command in [&["journal", "verify"][..], &["audit"], &["verify-settlement"]] {
            self.ends_with(0, command);
        }
    }

    /// A page of the admin door: its status and its body.
    pub(crate) fn page(&self, path: &str) -> (u16, String) {
        let (status, _, body) = page(self.admin(), path, "*/*");
        (status, body)
    }

    /// The value of a figure without labels.
    pub(crate) fn figure(&self, name: &str) -> f64 {
        let (_, body) = self.page("/metrics");
        let value = body.lines().find_map(|line| {
            let (found, value) = line.split_once(' ')?;
            (found == name).then(|| value.parse().unwrap())
        });
        value.unwrap_or_else(|| panic!("/metrics has no {name}:\n{body}"))
    }

    /// Waits until SQL holds everything that was executed.
    pub(crate) fn wait_settled(&self) {
        until("everything executed is settled", || {
            let executed = self.figure("bezant_executed_sequence");
            self.figure("bezant_settled_sequence") >= executed
        });
    }
}

/// Options of a client that a busy machine does not hurry.
pub(crate) fn patient() -> Options {
    let mut options = Options::default();
    options.connect_timeout = Duration::from_secs(30);
    options.request_timeout = Duration::from_secs(60);
    options
}

/// Asks for a page over HTTP in a kind of content; returns status, head and body.
pub(crate) fn page(admin: SocketAddr, path: &str, kind: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(admin).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: frame\r\nAccept: {kind}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

/// Waits until `holds`, or fails saying what did not happen.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "in {PATIENCE:?} never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Executes one command and returns what became of it.
pub(crate) async fn say(client: &Client, command: Command) -> Status {
    let reply = client.request(&[command]).await.unwrap();
    reply.refused().unwrap_or_else(|| reply.outcomes()[0].status)
}

/// Executes one command that must be executed.
pub(crate) async fn must(client: &Client, command: Command) {
    assert_eq!(say(client, command).await, Status::Ok, "{command:?}");
}

/// A number from the environment, or `default`.
pub(crate) fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap(),
        Err(_) => default,
    }
}

/// Copies a directory with everything in it.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").args([from, to]).status();
    assert!(status.unwrap().success(), "copying {}", from.display());
}
