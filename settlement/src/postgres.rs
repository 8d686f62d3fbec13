//! PostgreSQL: the database of production.
//!
//! One connection on a runtime of its own, driven only while a call waits. The watermark row is
//! locked `FOR UPDATE` before it is compared, balances are written from arrays, effects appended
//! by COPY, and consumers told by NOTIFY when the transaction commits. After any error the
//! connection is dropped, so that no lock outlives an attempt. Without TLS only a Unix socket or
//! loopback is accepted.

mod balances;
mod entries;
mod examine;
mod history;
mod keys;
mod read;
mod reader;
mod value;
mod write;

use std::error::Error as _;
use std::future::Future;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};

pub use self::entries::PostgresEntries;
pub use self::examine::examine;
pub use self::keys::PostgresKeys;
use self::write::Statements;
use crate::cast::Column;
use crate::schema;
use crate::sink::{Batch, Cause, EffectSource, Sink, SinkError};
use crate::verify::ReadBack;
use crate::watermark::Watermark;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one request may take, answer included; the server gives up a little earlier.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(35);
/// How long reading everything back may take.
const LONG_TIMEOUT: Duration = Duration::from_secs(3_600);
/// How long a step of the schema may take: it may read all of a long history for an index.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(24 * 3_600);

/// Session settings: names resolve to built-ins only, and nothing hangs for ever. Each statement is
/// planned once, whatever arrays it is given, and finds its rows by their key.
const SESSION: &str = "SET search_path = pg_catalog; SET statement_timeout = '30s'; \
     SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '60s'; \
     SET plan_cache_mode = force_generic_plan; SET jit = off; SET enable_seqscan = off; \
     SET enable_hashjoin = off; SET enable_mergejoin = off; SET client_encoding = 'UTF8'";

/// Settings without which a committed row may be lost.
const NEEDED: [(&str, &str); 3] = [
    ("fsync", "turn it on, or rows reported as settled may be lost"),
    ("full_page_writes", "turn it on, or a crash may leave torn pages"),
    ("synchronous_commit", "turn it on, or rows reported as settled may be lost"),
];

/// Arbitrary number of the advisory lock under which the schema is made: `bezant` in ASCII.
const SCHEMA_LOCK: i64 = 0x6265_7a61_6e74;

/// Settles to one PostgreSQL database, into its schema `bezant`.
#[derive(Debug)]
pub struct PostgresSink {
    config: Config,
    name: String,
    runtime: Runtime,
    session: Option<Session>,
}

#[derive(Debug)]
struct Session {
    client: Client,
    driver: JoinHandle<()>,
    statements: Statements,
}

impl PostgresSink {
    /// A sink for `address`, in the key-value or URL form of libpq.
    ///
    /// # Errors
    ///
    /// [`SinkError::Refused`] when the address cannot be read, [`SinkError::Settings`] when it
    /// would send money across a network without TLS.
    pub fn new(address: &str) -> Result<Self, SinkError> {
        let (mut config, name) = configure(address, "bezant settlement")?;
        config.connect_timeout(CONNECT_TIMEOUT);
        let runtime = Builder::new_current_thread().enable_all().build().map_err(retryable)?;
        Ok(Self { name, config, runtime, session: None })
    }

    fn open(&mut self) -> Result<Session, SinkError> {
        let runtime = &self.runtime;
        let (client, connection) = wait(runtime, self.config.connect(NoTls))?;
        let driver = runtime.spawn(async move {
            if let Err(cause) = connection.await {
                tracing::debug!(cause = said(&cause), "the connection to postgres ended");
            }
        });
        let mut client = client;
        let prepared = prepare(runtime, &mut client);
        match prepared {
            Ok(statements) => Ok(Session { client, driver, statements }),
            Err(cause) => {
                drop(client);
                close(runtime, driver);
                Err(cause)
            }
        }
    }

    fn disconnect(&mut self) {
        if let Some(session) = self.session.take() {
            drop(session.client);
            close(&self.runtime, session.driver);
        }
    }

    /// Does `work` with the session, and drops the connection if it fails.
    fn attempt<T>(
        &mut self,
        work: impl FnOnce(&Runtime, &mut Session) -> Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        let session = self.session.as_mut().ok_or_else(|| retryable("not connected"))?;
        let result = work(&self.runtime, session);
        if result.is_err() {
            self.disconnect();
        }
        result
    }
}

impl Sink for PostgresSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn connect(&mut self) -> Result<(), SinkError> {
        self.disconnect();
        self.session = Some(self.open()?);
        Ok(())
    }

    fn watermark(&mut self) -> Result<Option<Watermark>, SinkError> {
        self.attempt(|runtime, session| {
            let row = wait(runtime, session.client.query_opt(read::WATERMARK, &[]))?;
            Ok(read::watermark(row)?.map(|(watermark, _)| watermark))
        })
    }

    fn commit(
        &mut self,
        batch: &Batch<'_>,
        expected: Option<&Watermark>,
        effects: &mut dyn EffectSource,
    ) -> Result<(), SinkError> {
        self.attempt(|runtime, session| {
            let statements = &session.statements;
            let transaction = wait(runtime, session.client.transaction())?;
            write::batch(runtime, &transaction, statements, batch, expected, effects)?;
            let commit =
                async { tokio::time::timeout(REQUEST_TIMEOUT, transaction.commit()).await };
            match runtime.block_on(commit) {
                Ok(Ok(())) => Ok(()),
                Ok(Err(cause)) => Err(SinkError::UnknownCommit(Box::new(Failure(cause)))),
                Err(elapsed) => Err(SinkError::UnknownCommit(Box::new(elapsed))),
            }
        })
    }

    fn read_back(&mut self) -> Result<ReadBack, SinkError> {
        self.attempt(|runtime, session| {
            let read = async {
                tokio::time::timeout(LONG_TIMEOUT, read::everything(&mut session.client)).await
            };
            runtime.block_on(read).map_err(retryable)?
        })
    }
}

impl Drop for PostgresSink {
    fn drop(&mut self) {
        self.disconnect();
    }
}

fn close(runtime: &Runtime, driver: JoinHandle<()>) {
    driver.abort();
    // The task is cancelled on purpose: only now is its socket closed.
    let _ = runtime.block_on(driver);
}

/// Reads an address and names what it leads to, for logs. It must be local, and of several servers
/// the one that accepts writes is meant; `application` is the session's name by default.
fn configure(address: &str, application: &str) -> Result<(Config, String), SinkError> {
    // Only what kind of failure it is: the rest may be a part of the password.
    let mut config: Config = address
        .parse()
        .map_err(|cause: tokio_postgres::Error| SinkError::Refused(cause.to_string().into()))?;
    refuse_plain_network(&config)?;
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    if config.get_application_name().is_none() {
        config.application_name(application);
    }
    let name = format!("postgres {}", config.get_dbname().unwrap_or("the user's own database"));
    Ok((config, name))
}

/// Without TLS, amounts and passwords must not leave the machine.
fn refuse_plain_network(config: &Config) -> Result<(), SinkError> {
    let local = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost"
                || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    };
    let addresses = config.get_hostaddrs();
    let plain = if addresses.is_empty() {
        config.get_hosts().iter().all(local)
    } else {
        addresses.iter().all(std::net::IpAddr::is_loopback)
    };
    if plain {
        return Ok(());
    }
    Err(SinkError::Settings {
        setting: "host",
        value: "another machine".to_owned(),
        remedy: "connect through a Unix socket, loopback or a local TLS tunnel",
    })
}

/// Brings a new connection to where batches can be committed.
fn prepare(runtime: &Runtime, client: &mut Client) -> Result<Statements, SinkError> {
    wait(runtime, client.batch_execute(SESSION))?;
    for (setting, remedy) in NEEDED {
        let row = wait(runtime, client.query_one("SELECT current_setting($1)", &[&setting]))?;
        let value: String = row.try_get(0).map_err(error)?;
        if value == "off" {
            return Err(SinkError::Settings { setting, value, remedy });
        }
    }
    migrate(runtime, client)?;
    Statements::prepare(runtime, client)
}

fn migrate(runtime: &Runtime, client: &mut Client) -> Result<(), SinkError> {
    let transaction = wait(runtime, client.transaction())?;
    let run =
        |sql: &'static str| wait_for(MIGRATION_TIMEOUT, runtime, transaction.batch_execute(sql));
    // An index over a long history takes its time.
    run("SET LOCAL statement_timeout = 0")?;
    let lock = "SELECT pg_advisory_xact_lock($1)";
    wait(runtime, transaction.execute(lock, &[&SCHEMA_LOCK]))?;
    // Asked first, so that a role that may not create schemas can use one made for it.
    let found = wait(
        runtime,
        transaction.query_one(
            "SELECT to_regnamespace('bezant') IS NULL,
                    to_regclass('bezant.schema_version') IS NULL",
            &[],
        ),
    )?;
    let [no_schema, no_version] = [found.try_get(0), found.try_get(1)];
    if no_schema.map_err(error)? {
        run("CREATE SCHEMA bezant")?;
    }
    if no_version.map_err(error)? {
        run("CREATE TABLE bezant.schema_version (
                 version    bigint PRIMARY KEY,
                 applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
             )")?;
    }
    let newest = "SELECT coalesce(max(version), 0) FROM bezant.schema_version";
    let row = wait(runtime, transaction.query_one(newest, &[]))?;
    let mut version: i64 = row.try_get(0).map_err(error)?;
    for step in schema::steps(&schema::POSTGRES, version)? {
        run(step)?;
        version += 1;
        let insert = "INSERT INTO bezant.schema_version (version) VALUES ($1)";
        wait(runtime, transaction.execute(insert, &[&version]))?;
        let (numbers, names): (Vec<i32>, Vec<&str>) =
            schema::events().map(|(number, name)| (i32::from(number), name)).unzip();
        let insert = "INSERT INTO bezant.effect_events (event, name)
             SELECT * FROM unnest($1::integer[], $2::text[])
             ON CONFLICT (event) DO UPDATE SET name = excluded.name";
        wait(runtime, transaction.execute(insert, &[&numbers, &names]))?;
    }
    wait(runtime, transaction.commit())
}

/// Waits for `work` on the sink's own runtime.
fn wait<T>(
    runtime: &Runtime,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, SinkError> {
    wait_for(REQUEST_TIMEOUT, runtime, work)
}

/// Waits for `work` at most `limit`.
fn wait_for<T>(
    limit: Duration,
    runtime: &Runtime,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, SinkError> {
    runtime.block_on(async {
        match tokio::time::timeout(limit, work).await {
            Ok(result) => result.map_err(error),
            Err(elapsed) => Err(retryable(elapsed)),
        }
    })
}

fn retryable(cause: impl Into<Cause>) -> SinkError {
    SinkError::Retryable(cause.into())
}

/// Sorts an error by what may help. Anything without a code is the connection's.
fn error(cause: tokio_postgres::Error) -> SinkError {
    let cause = Failure(cause);
    let Some(state) = cause.0.code() else {
        return retryable(cause);
    };
    let class = state.code().get(..2).unwrap_or_default();
    // Connection, transaction rollback, resources, operator intervention, system error, and not
    // the prerequisite state (a lock timeout).
    let passing = matches!(class, "08" | "25" | "40" | "53" | "55" | "57" | "58")
        // Two writers on an empty database.
        || [SqlState::UNIQUE_VIOLATION, SqlState::EXCLUSION_VIOLATION].contains(state);
    if passing { retryable(cause) } else { SinkError::Refused(Box::new(cause)) }
}

/// A failure with what the server or the system says of it: the client's own words are only what
/// kind of failure it is.
#[derive(Debug, thiserror::Error)]
#[error("{}", said(.0))]
struct Failure(#[source] tokio_postgres::Error);

/// In one line. The server's hints are left out: they are for whoever wrote the statement.
fn said(failure: &tokio_postgres::Error) -> String {
    let Some(server) = failure.as_db_error() else {
        return match failure.source() {
            Some(cause) => format!("{failure}: {cause}"),
            None => failure.to_string(),
        };
    };
    let all = [Some(server.message()), server.detail()].into_iter().flatten();
    all.collect::<Vec<_>>().join(": ").replace('\n', "; ")
}

/// Shorthand of the readers.
const fn column(table: &'static str, column: &'static str) -> Column {
    Column { table, column }
}
