//! A PostgreSQL server of one test, to be stopped and started at will. Refuses to be anybody
//! else's; gone with its guard.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A running or stopped server on a Unix socket in its own directory.
pub(crate) struct Cluster {
    dir: TempDir,
    programs: PathBuf,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp").unwrap();
        let programs = programs();
        let cluster = Self { dir, programs };
        if is_root() {
            let owned = Command::new("chown").arg("postgres").arg(cluster.dir.path()).status();
            assert!(owned.unwrap().success(), "chown to postgres");
        }
        let data = cluster.data();
        let init = ["-D", &data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync"];
        cluster.program("initdb", &init);
        cluster.go();
        cluster
    }

    fn data(&self) -> String {
        self.dir.path().join("data").display().to_string()
    }

    /// The connection string.
    pub(crate) fn address(&self) -> String {
        format!("host={} user=postgres dbname=postgres", self.dir.path().display())
    }

    /// Starts it, after a crash with recovery.
    pub(crate) fn go(&self) {
        self.go_with("");
    }

    /// The same with more options for the server.
    pub(crate) fn go_with(&self, more: &str) {
        let socket = self.dir.path().display();
        let options = format!("-k {socket} -c listen_addresses= -c shared_buffers=16MB {more}");
        let log = self.dir.path().join("log").display().to_string();
        let start = ["-D", &self.data(), "-w", "-l", &log, "-o", &options, "start"];
        self.program("pg_ctl", &start);
    }

    /// Stops it as a crash would.
    pub(crate) fn crash(&self) {
        self.program("pg_ctl", &["-D", &self.data(), "-w", "-m", "immediate", "stop"]);
    }

    /// Somebody who holds a table's lock until the server crashes.
    pub(crate) fn holds_lock(&self, table: &str) -> Child {
        let mut psql = self.psql();
        psql.args(["-c", &format!("BEGIN; LOCK TABLE {table}; SELECT pg_sleep(600)")]);
        psql.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// `command` with `psql` on its path, which finds this server.
    pub(crate) fn beside_psql(&self, mut command: Command) -> Command {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let all = [self.programs.clone()].into_iter().chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(all).unwrap()).env("PGHOST", self.dir.path());
        command
    }

    fn psql(&self) -> Command {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres"]);
        psql.arg("-h").arg(self.dir.path());
        psql.stdin(Stdio::null());
        psql
    }

    /// The rows that a query gives, `|` between columns.
    pub(crate) fn ask(&self, sql: &str) -> String {
        let output = self.psql().args(["-c", sql]).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{sql}: {errors}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Runs a program of PostgreSQL, which refuses to be root.
    fn program(&self, name: &str, arguments: &[&str]) {
        let path = self.programs.join(name);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
            command.arg(path);
            command
        } else {
            Command::new(path)
        };
        command.args(arguments).current_dir(self.dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(command.status().unwrap().success(), "{name} {arguments:?}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.dir.path().join("data/postmaster.pid").exists() {
            self.crash();
        }
    }
}

pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Where `initdb` really is: a link on the path leads to the directory that has the others.
fn programs() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = debian.map(|version| version.path().join("bin"));
    std::env::split_paths(&path)
        .chain(debian)
        .filter_map(|dir| std::fs::canonicalize(dir.join("initdb")).ok())
        .filter_map(|program| program.parent().map(Path::to_owned))
        .find(|dir| dir.join("pg_ctl").is_file() && dir.join("psql").is_file())
        .expect("PostgreSQL's programs are installed (`cargo xtask test` installs them)")
}
