//! A throw-away PostgreSQL: a cluster of its own in a temporary folder, gone with its guard.
//!
//! Refuses to touch any other server. Invariant: whatever ends this program, even SIGKILL, the
//! cluster stops and its folder goes, because a guardian waits for our end of a pipe to close.

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::postgres_install::{Programs, ensure};
use crate::steps;

/// A free port may be taken between asking and using.
const START_TRIES_MAX: u32 = 5;
/// A Unix socket's path has to fit the address: 107 bytes with the name that PostgreSQL adds.
const SOCKET_FOLDER_BYTES_MAX: usize = 80;

/// The running cluster. Dropping it stops the server and removes everything.
#[derive(Debug)]
pub(crate) struct Cluster {
    folder: PathBuf,
    port: u16,
    password: String,
    guardian: Child,
}

impl Cluster {
    /// Makes and starts a cluster, installing PostgreSQL first where that is needed and possible.
    pub(crate) fn start() -> Result<Self, String> {
        let programs = ensure()?;
        let folder = make_folder()?;
        let guardian = guard(&folder)?;
        let password = random_hex()?;
        let mut cluster = Self { folder, port: 0, password, guardian };
        cluster.lay_out(&programs)?;
        for attempt in 1.. {
            cluster.port = free_port()?;
            cluster.configure()?;
            match steps::output(Command::new(cluster.control()).arg("start")) {
                Ok(_) => break,
                Err(why) if attempt == START_TRIES_MAX => {
                    let log = fs::read_to_string(cluster.folder.join("log")).unwrap_or_default();
                    return Err(format!("PostgreSQL does not start: {why}\n{log}"));
                }
                Err(_) => {}
            }
        }
        for (name, value) in cluster.variables() {
            println!("postgres: {name}={value}");
        }
        Ok(cluster)
    }

    /// What a test needs to reach the server and to stop and start it.
    pub(crate) fn variables(&self) -> [(&'static str, String); 4] {
        let common = format!("port={} user=postgres password={}", self.port, self.password);
        let socket = format!("host={} {common} dbname=postgres", self.folder.display());
        [
            ("BEZANT_TEST_POSTGRES", socket),
            ("BEZANT_TEST_POSTGRES_TCP", format!("host=127.0.0.1 {common} dbname=postgres")),
            ("BEZANT_TEST_PG_DATA", self.data().display().to_string()),
            ("BEZANT_TEST_PG_CTL", self.control().display().to_string()),
        ]
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn control(&self) -> PathBuf {
        self.folder.join("control")
    }

    /// Writes the control script and makes the cluster's files.
    fn lay_out(&self, programs: &Programs) -> Result<(), String> {
        write(&self.control(), &control_script(programs, &self.folder), 0o700)?;
        let secret = self.folder.join("password");
        write(&secret, &self.password, 0o600)?;
        if !programs.owner.is_empty() {
            let mut chown = Command::new("chown");
            steps::output(chown.arg("-R").arg(&programs.owner).arg(&self.folder))?;
        }
        steps::output(Command::new(self.control()).arg("init"))?;
        fs::remove_file(&secret).map_err(|e| format!("{}: {e}", secret.display()))
    }

    fn configure(&self) -> Result<(), String> {
        let path = self.data().join("postgresql.auto.conf");
        fs::write(&path, settings(&self.folder, self.port))
            .map_err(|e| format!("{}: {e}", path.display()))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Closing the pipe is the signal; waiting makes sure that nothing is left behind.
        drop(self.guardian.stdin.take());
        let gone = self.guardian.wait().is_ok_and(|status| status.success());
        if !gone {
            eprintln!(
                "postgres: {} could not be removed; remove it by hand",
                self.folder.display()
            );
        }
    }
}

fn make_folder() -> Result<PathBuf, String> {
    let mut base = std::env::temp_dir();
    if base.as_os_str().len() > SOCKET_FOLDER_BYTES_MAX / 2 {
        base = PathBuf::from("/tmp");
    }
    let folder = base.join(format!("bezant-pg-{}-{}", std::process::id(), &random_hex()?[..8]));
    // Only the owner and root may enter: the socket asks for no password.
    let made = fs::DirBuilder::new().mode(0o700).create(&folder);
    made.map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
    Ok(folder)
}

/// Starts the guardian: a shell that waits until our end of its input is closed, then cleans up.
/// It sits in a process group of its own, so that an interrupt at the terminal does not end it.
fn guard(folder: &Path) -> Result<Child, String> {
    const SCRIPT: &str = "trap '' HUP INT TERM; cat >/dev/null; cd /; \
        if [ -f \"$1/data/postmaster.pid\" ]; then \"$1/control\" stop-immediate; fi; \
        rm -rf \"$1\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", SCRIPT, "guardian"]).arg(folder).process_group(0);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.spawn().map_err(|e| format!("cannot start the guardian shell: {e}"))
}

/// The script behind `BEZANT_TEST_PG_CTL`: `stop-immediate`, `stop`, `start`, `restart`, `status`.
fn control_script(programs: &Programs, folder: &Path) -> String {
    let bin = quoted(&programs.folder.display().to_string());
    let step_down: Vec<String> = programs.step_down.iter().map(|word| quoted(word)).collect();
    // A caller that already stepped down cannot and need not do it again.
    let run = format!("if [ \"$(id -u)\" = 0 ]; then set -- {} \"$@\"; fi", step_down.join(" "));
    format!(
        r#"#!/bin/sh
# Controls a throw-away PostgreSQL: stop-immediate | stop | start | restart.
set -eu
bin={bin}
cd {folder}
unset PGDATA PGHOST PGPORT PGUSER PGPASSWORD PGDATABASE PGOPTIONS PGSERVICE 2>/dev/null || true
ctl() {{ set -- "$bin/pg_ctl" -w -t 60 -D data "$@"; as_owner "$@"; }}
as_owner() {{ {run}; "$@" </dev/null; }}
case "${{1:-}}" in
init) as_owner "$bin/initdb" -D data -U postgres --auth-local=trust --auth-host=scram-sha-256 \
    --pwfile=password --encoding=UTF8 --locale=C --no-sync ;;
start) ctl -l log start ;;
stop) ctl -m fast stop ;;
stop-immediate) ctl -m immediate stop ;;
restart) ctl -l log -m fast restart ;;
status) ctl status ;;
*) echo "usage: $0 stop-immediate|stop|start|restart|status" >&2; exit 2 ;;
esac
"#,
        folder = quoted(&folder.display().to_string()),
    )
}

/// As a server in production is set where that matters to a test: what it acknowledged is durable.
fn settings(folder: &Path, port: u16) -> String {
    format!(
        "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{}'\n\
         fsync = on\nfull_page_writes = on\nsynchronous_commit = on\nmax_connections = 100\n\
         shared_buffers = '64MB'\ndynamic_shared_memory_type = mmap\n",
        folder.display().to_string().replace('\'', "''")
    )
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), String> {
    let say = |e| format!("cannot write {}: {e}", path.display());
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = file.map_err(say)?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(say)?;
    file.set_permissions(fs::Permissions::from_mode(mode)).map_err(say)
}

fn free_port() -> Result<u16, String> {
    let address = TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr());
    address.map(|address| address.port()).map_err(|e| format!("no free loopback port: {e}"))
}

fn random_hex() -> Result<String, String> {
    let mut bytes = [0_u8; 16];
    let read = fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|e| format!("/dev/urandom: {e}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell() {
        let word = "a 'b' $c \"d\"";
        let script = format!("printf %s {}", quoted(word));
        assert_eq!(steps::output(Command::new("sh").args(["-c", &script])).unwrap(), word);
    }

    #[test]
    fn the_guardian_removes_the_folder_when_the_pipe_closes() {
        let folder = make_folder().unwrap();
        let mut guardian = guard(&folder).unwrap();
        assert!(folder.is_dir());
        drop(guardian.stdin.take());
        assert!(guardian.wait().unwrap().success());
        assert!(!folder.exists());
    }

    #[test]
    fn the_control_script_refuses_what_it_does_not_know() {
        let programs =
            Programs { folder: "/nowhere".into(), step_down: Vec::new(), owner: String::new() };
        let script = control_script(&programs, &std::env::temp_dir());
        let run = Command::new("sh").args(["-c", &script, "control", "vacuum"]).output().unwrap();
        assert_eq!(run.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&run.stderr).starts_with("usage: control"));
    }
}
