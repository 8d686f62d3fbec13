//! PostgreSQL for tests: databases on the shared server that `BEZANT_TEST_POSTGRES` names, and
//! private clusters for tests that stop the server.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use settlement::{PostgresEntries, PostgresKeys, PostgresSink};
use tempfile::TempDir;
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls};

use crate::conformance::Place;

const VARIABLE: &str = "BEZANT_TEST_POSTGRES";

/// The shared server.
pub(crate) fn shared() -> Config {
    let Ok(address) = std::env::var(VARIABLE) else {
        panic!(
            "{VARIABLE} is not set: run `cargo xtask test`, which starts a PostgreSQL server for \
             the tests, or `cargo xtask postgres -- cargo test -p settlement`"
        );
    };
    address.parse().unwrap()
}

/// The key-value form of `server` with another database.
pub(crate) fn address(server: &Config, database: &str) -> String {
    let host = match server.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "127.0.0.1".to_owned(),
    };
    let port = server.get_ports().first().copied().unwrap_or(5432);
    let user = server.get_user().unwrap_or("postgres");
    let password = server.get_password().map_or_else(String::new, |password| {
        format!(" password='{}'", String::from_utf8_lossy(password))
    });
    format!("host='{host}' port={port} user='{user}'{password} dbname='{database}'")
}

/// Does something with a client of its own.
pub(crate) fn with_client<T>(address: &str, work: impl AsyncFnOnce(Client) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config: Config = address.parse().unwrap();
    runtime.block_on(async {
        let (client, connection) = config.connect(NoTls).await.unwrap();
        let driver = tokio::spawn(connection);
        let result = work(client).await;
        driver.await.unwrap().unwrap();
        result
    })
}

/// A fresh database, dropped at the end.
pub(crate) struct Database {
    server: Config,
    name: String,
}

impl Database {
    pub(crate) fn new() -> Self {
        Self::on(shared())
    }

    pub(crate) fn on(server: Config) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("settlement_{}_{number}", std::process::id());
        let database = Self { server, name };
        database.administer(&format!("CREATE DATABASE {} TEMPLATE template0", database.name));
        database
    }

    pub(crate) fn address(&self) -> String {
        address(&self.server, &self.name)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn copy(&self) -> String {
        format!("{}_copy", self.name)
    }

    pub(crate) fn administer(&self, sql: &str) {
        with_client(&address(&self.server, "postgres"), async |client| {
            client.batch_execute(sql).await.unwrap();
        });
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            for name in [self.name.clone(), self.copy()] {
                self.administer(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
            }
        }
    }
}

impl Place for Database {
    type Sink = PostgresSink;
    type Keys = PostgresKeys;
    type Entries = PostgresEntries;

    fn sink(&self) -> PostgresSink {
        PostgresSink::new(&self.address()).unwrap()
    }

    fn keys(&self) -> PostgresKeys {
        PostgresKeys::new(&self.address()).unwrap()
    }

    fn entries(&self) -> PostgresEntries {
        PostgresEntries::new(&self.address()).unwrap()
    }

    fn backup(&self) {
        let (name, copy) = (&self.name, self.copy());
        // Backends of the sink that was just dropped may still be ending.
        self.administer(&format!(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
        ));
        self.administer(&format!("CREATE DATABASE {copy} TEMPLATE {name}"));
    }

    fn restore(&self) {
        let (name, copy) = (&self.name, self.copy());
        self.administer(&format!("DROP DATABASE {name} WITH (FORCE)"));
        self.administer(&format!("ALTER DATABASE {copy} RENAME TO {name}"));
    }

    fn run(&self, sql: &str) {
        let sql = sql.replace("{keys}", "bezant.postings").replace("{schema}", "bezant.");
        with_client(&self.address(), async |client| {
            client.batch_execute(&sql).await.unwrap();
        });
    }

    fn age(&self) {
        self.run(
            "ALTER SCHEMA bezant RENAME TO newer; CREATE SCHEMA bezant;
             CREATE TABLE bezant.schema_version (
                 version    bigint PRIMARY KEY,
                 applied_at timestamptz NOT NULL DEFAULT clock_timestamp());
             INSERT INTO bezant.schema_version (version) VALUES (1)",
        );
        self.run(include_str!("../../sql/postgres_1.sql"));
        for table in [
            "settlement_watermark",
            "settlement_batches",
            "account_balances",
            "asset_supply",
            "supply_history",
            "effects",
        ] {
            self.run(&format!("INSERT INTO bezant.{table} SELECT * FROM newer.{table}"));
        }
        self.run("DROP SCHEMA newer CASCADE");
    }
}

/// A server of one test, on a Unix socket of its own.
pub(crate) struct Cluster {
    directory: TempDir,
    programs: PathBuf,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cluster = Self { directory, programs: programs() };
        if is_root() {
            let path = cluster.directory.path();
            let owned = Command::new("chown").arg("postgres").arg(path).status();
            assert!(owned.unwrap().success(), "chown to postgres");
        }
        let data = cluster.data();
        cluster.program("initdb", &["-D", &data, "-A", "trust", "-U", "postgres", "-E", "UTF8"]);
        cluster.go();
        cluster
    }

    /// Adds a line to the server's configuration; it holds from the next start on.
    pub(crate) fn configure(&self, line: &str) {
        use std::io::Write as _;
        let path = self.directory.path().join("data/postgresql.conf");
        let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }

    fn data(&self) -> String {
        self.directory.path().join("data").display().to_string()
    }

    pub(crate) fn server(&self) -> Config {
        let mut config = Config::new();
        config.host_path(self.directory.path()).user("postgres");
        config
    }

    /// Starts the server, after a stop with crash recovery.
    pub(crate) fn go(&self) {
        let options = format!(
            "-k {} -c listen_addresses= -c shared_buffers=16MB",
            self.directory.path().display()
        );
        let log = self.directory.path().join("log").display().to_string();
        let data = self.data();
        self.program("pg_ctl", &["-D", &data, "-w", "-l", &log, "-o", &options, "start"]);
    }

    /// Stops the server as a crash would.
    pub(crate) fn kill(&self) {
        let data = self.data();
        self.program("pg_ctl", &["-D", &data, "-w", "-m", "immediate", "stop"]);
    }

    /// Runs a program of PostgreSQL, which refuses to be root.
    fn program(&self, name: &str, arguments: &[&str]) {
        let path = self.programs.join(name);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        let status = command
            .args(arguments)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.unwrap().success(), "{name} {arguments:?}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill();
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Where `initdb` is: on the path, or where Debian keeps it.
fn programs() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .map(|version| version.unwrap().path().join("bin"));
    std::env::split_paths(&path)
        .chain(debian)
        .find(|directory| directory.join("initdb").is_file())
        .expect("PostgreSQL's server programs are installed (initdb was not found)")
}

/// The socket of a server, for the proxy.
pub(crate) enum Socket {
    Tcp(String, u16),
    Unix(PathBuf),
}

pub(crate) fn socket(server: &Config) -> Socket {
    let port = server.get_ports().first().copied().unwrap_or(5432);
    match server.get_hosts().first() {
        Some(Host::Unix(directory)) => unix(directory, port),
        Some(Host::Tcp(name)) => Socket::Tcp(name.clone(), port),
        None => Socket::Tcp("127.0.0.1".to_owned(), port),
    }
}

fn unix(directory: &Path, port: u16) -> Socket {
    Socket::Unix(directory.join(format!(".s.PGSQL.{port}")))
}
