//! PostgreSQL: the database of production.
//!
//! One connection on a runtime of its own, driven only while a call waits. The watermark row is
//! locked `FOR UPDATE` before it is compared, balances are upserted from arrays, effects appended
//! by COPY, and consumers told by NOTIFY when the transaction commits. After any error the
//! connection is dropped, so that no lock outlives an attempt. Without TLS only a Unix socket or
//! loopback is accepted.

mod read;
mod value;

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use protocol::Sequence;
use protocol::cut::{AccountRow, SupplyRow};
use protocol::effect::Effect;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::config::{Host, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, NoTls, Statement, Transaction};

use self::value::{Numeric, Uuid};
use crate::cast::{Column, count, signed};
use crate::schema;
use crate::sink::{Batch, Cause, EffectSource, Sink, SinkError};
use crate::verify::ReadBack;
use crate::watermark::{Watermark, compare};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one request may take, answer included; the server gives up a little earlier.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(35);
/// How long reading everything back may take.
const READ_TIMEOUT: Duration = Duration::from_secs(3_600);
/// Rows per upsert or COPY, so that one statement stays far below its timeout.
const ROWS_MAX: usize = 16_384;

/// Session settings: names resolve to built-ins only, and nothing hangs for ever.
const SESSION: &str = "SET search_path = pg_catalog; SET statement_timeout = '30s'; \
     SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '60s'; \
     SET client_encoding = 'UTF8'";

/// Settings without which a committed row may be lost.
const NEEDED: [(&str, &str); 3] = [
    (
        "fsync",
        "turn it on, or rows reported as settled may be lost",
    ),
    (
        "full_page_writes",
        "turn it on, or a crash may leave torn pages",
    ),
    (
        "synchronous_commit",
        "turn it on, or rows reported as settled may be lost",
    ),
];

/// Arbitrary number of the advisory lock under which the schema is made: `bezant` in ASCII.
const SCHEMA_LOCK: i64 = 0x6265_7a61_6e74;

const UPSERT_BALANCES: &str = "
    INSERT INTO bezant.account_balances AS old (owner, asset, host, liquid, held, staked, bonded,
        minimum, credit_limit, flags, sequence)
    SELECT new.*, $11::bigint FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::numeric[],
        $5::numeric[], $6::numeric[], $7::numeric[], $8::numeric[], $9::numeric[], $10::bigint[])
        AS new
    ON CONFLICT (owner, asset) DO UPDATE SET host = excluded.host, liquid = excluded.liquid,
        held = excluded.held, staked = excluded.staked, bonded = excluded.bonded,
        minimum = excluded.minimum, credit_limit = excluded.credit_limit, flags = excluded.flags,
        sequence = excluded.sequence";

const UPSERT_SUPPLY: &str = "
    INSERT INTO bezant.asset_supply (asset, scale, name, issued, destroyed, liquid, held, staked,
        bonded, credit_granted, credit_used, sequence)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    ON CONFLICT (asset) DO UPDATE SET scale = excluded.scale, name = excluded.name,
        issued = excluded.issued, destroyed = excluded.destroyed, liquid = excluded.liquid,
        held = excluded.held, staked = excluded.staked, bonded = excluded.bonded,
        credit_granted = excluded.credit_granted, credit_used = excluded.credit_used,
        sequence = excluded.sequence";

const APPEND_SUPPLY: &str = "
    INSERT INTO bezant.supply_history (batch, asset, issued, destroyed, liquid, held, staked,
        bonded, credit_granted, credit_used)
    SELECT $1::bigint, asset, issued, destroyed, liquid, held, staked, bonded, credit_granted,
        credit_used
    FROM bezant.asset_supply";

const COPY_EFFECTS: &str = "
    COPY bezant.effects (sequence, leg, event, asset, debit, debit_bucket, credit, credit_bucket,
        amount, debit_after, credit_after, rate, reference, user_data)
    FROM STDIN (FORMAT binary)";

const EFFECT_TYPES: [Type; 14] = [
    Type::INT8,
    Type::INT4,
    Type::INT4,
    Type::INT8,
    Type::UUID,
    Type::INT2,
    Type::UUID,
    Type::INT2,
    Type::NUMERIC,
    Type::NUMERIC,
    Type::NUMERIC,
    Type::INT8,
    Type::UUID,
    Type::NUMERIC,
];

const INSERT_BATCH: &str = "
    INSERT INTO bezant.settlement_batches (batch, from_sequence, through_sequence, epoch, complete,
        accounts, effects, chain_hash, run_digest, timestamp_ns)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

const SET_WATERMARK: &str = "
    INSERT INTO bezant.settlement_watermark (only_row, frame, epoch, next_sequence, chain_hash,
        run_digest, timestamp_ns, batch)
    VALUES (1, $1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (only_row) DO UPDATE SET epoch = excluded.epoch,
        next_sequence = excluded.next_sequence, chain_hash = excluded.chain_hash,
        run_digest = excluded.run_digest, timestamp_ns = excluded.timestamp_ns,
        batch = excluded.batch
    WHERE bezant.settlement_watermark.next_sequence = $8
        AND bezant.settlement_watermark.frame = excluded.frame";

const NOTIFY: &str = "
    SELECT pg_notify('bezant_settlement', json_build_object('batch', $1::bigint,
        'from', $2::bigint, 'through', $3::bigint)::text)";

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

#[derive(Debug)]
struct Statements {
    lock_watermark: Statement,
    upsert_balances: Statement,
    upsert_supply: Statement,
    append_supply: Statement,
    copy_effects: Statement,
    insert_batch: Statement,
    set_watermark: Statement,
    notify: Statement,
}

impl PostgresSink {
    /// A sink for `address`, in the key-value or URL form of libpq.
    ///
    /// # Errors
    ///
    /// [`SinkError::Refused`] when the address cannot be read, [`SinkError::Settings`] when it
    /// would send money across a network without TLS.
    pub fn new(address: &str) -> Result<Self, SinkError> {
        let mut config: Config = address.parse().map_err(error)?;
        refuse_plain_network(&config)?;
        config
            .connect_timeout(CONNECT_TIMEOUT)
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        if config.get_application_name().is_none() {
            config.application_name("bezant settlement");
        }
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(retryable)?;
        let database = config.get_dbname().unwrap_or("the user's own database");
        Ok(Self {
            name: format!("postgres {database}"),
            config,
            runtime,
            session: None,
        })
    }

    fn open(&mut self) -> Result<Session, SinkError> {
        let runtime = &self.runtime;
        let (client, connection) = wait(runtime, self.config.connect(NoTls))?;
        let driver = runtime.spawn(async move {
            if let Err(cause) = connection.await {
                tracing::debug!(%cause, "the connection to postgres ended");
            }
        });
        let mut client = client;
        let prepared = prepare(runtime, &mut client);
        match prepared {
            Ok(statements) => Ok(Session {
                client,
                driver,
                statements,
            }),
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
        let session = self
            .session
            .as_mut()
            .ok_or_else(|| retryable("not connected"))?;
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
            write(runtime, &transaction, statements, batch, expected, effects)?;
            let commit =
                async { tokio::time::timeout(REQUEST_TIMEOUT, transaction.commit()).await };
            match runtime.block_on(commit) {
                Ok(Ok(())) => Ok(()),
                Ok(Err(cause)) => Err(SinkError::UnknownCommit(Box::new(cause))),
                Err(elapsed) => Err(SinkError::UnknownCommit(Box::new(elapsed))),
            }
        })
    }

    fn read_back(&mut self) -> Result<ReadBack, SinkError> {
        self.attempt(|runtime, session| {
            let read = async {
                tokio::time::timeout(READ_TIMEOUT, read::everything(&mut session.client)).await
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

/// Without TLS, amounts and passwords must not leave the machine.
fn refuse_plain_network(config: &Config) -> Result<(), SinkError> {
    let local = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost"
                || name
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
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
        let row = wait(
            runtime,
            client.query_one("SELECT current_setting($1)", &[&setting]),
        )?;
        let value: String = row.try_get(0).map_err(error)?;
        if value == "off" {
            return Err(SinkError::Settings {
                setting,
                value,
                remedy,
            });
        }
    }
    migrate(runtime, client)?;
    let statement = |sql: &'static str| wait(runtime, client.prepare(sql));
    Ok(Statements {
        lock_watermark: statement(read::LOCK_WATERMARK)?,
        upsert_balances: statement(UPSERT_BALANCES)?,
        upsert_supply: statement(UPSERT_SUPPLY)?,
        append_supply: statement(APPEND_SUPPLY)?,
        copy_effects: statement(COPY_EFFECTS)?,
        insert_batch: statement(INSERT_BATCH)?,
        set_watermark: statement(SET_WATERMARK)?,
        notify: statement(NOTIFY)?,
    })
}

fn migrate(runtime: &Runtime, client: &mut Client) -> Result<(), SinkError> {
    let transaction = wait(runtime, client.transaction())?;
    let run = |sql: &'static str| wait(runtime, transaction.batch_execute(sql));
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
        let (numbers, names): (Vec<i32>, Vec<&str>) = schema::events()
            .map(|(number, name)| (i32::from(number), name))
            .unzip();
        let insert = "INSERT INTO bezant.effect_events (event, name)
             SELECT * FROM unnest($1::integer[], $2::text[])
             ON CONFLICT (event) DO UPDATE SET name = excluded.name";
        wait(runtime, transaction.execute(insert, &[&numbers, &names]))?;
    }
    wait(runtime, transaction.commit())
}

/// Everything of a batch but COMMIT.
fn write(
    runtime: &Runtime,
    transaction: &Transaction<'_>,
    statements: &Statements,
    batch: &Batch<'_>,
    expected: Option<&Watermark>,
    effects: &mut dyn EffectSource,
) -> Result<(), SinkError> {
    let row = wait(
        runtime,
        transaction.query_opt(&statements.lock_watermark, &[]),
    )?;
    let stored = read::watermark(row)?;
    let (before, number) = match &stored {
        Some((watermark, number)) => (watermark.next_sequence, number + 1),
        None => (Sequence(0), 1),
    };
    let target = batch.target();
    let stored = stored.as_ref().map(|(watermark, _)| watermark);
    compare(expected, stored, &target)?;
    for rows in batch.cut.accounts.chunks(ROWS_MAX) {
        let upsert = &statements.upsert_balances;
        write_balances(runtime, transaction, upsert, rows, batch.cut.through)?;
    }
    for row in &batch.cut.supply {
        let upsert = &statements.upsert_supply;
        write_supply(runtime, transaction, upsert, row, batch.cut.through)?;
    }
    wait(
        runtime,
        transaction.execute(&statements.append_supply, &[&number]),
    )?;
    let mut written = 0;
    if batch.history {
        effects.deliver(&mut |block| {
            written += count(block.len());
            block.chunks(ROWS_MAX).try_for_each(|rows| {
                let copy = copy_effects(transaction, &statements.copy_effects, rows);
                wait(runtime, copy)
            })
        })?;
    }
    let numbers = Numbers {
        batch: number,
        before: signed(before.0),
        effects: batch.history.then_some(written),
    };
    write_watermark(runtime, transaction, statements, batch, &numbers)
}

fn write_balances(
    runtime: &Runtime,
    transaction: &Transaction<'_>,
    upsert: &Statement,
    rows: &[AccountRow],
    through: Sequence,
) -> Result<(), SinkError> {
    let integers = |field: fn(&AccountRow) -> u32| -> Vec<i64> {
        rows.iter().map(field).map(i64::from).collect()
    };
    let amounts = |field: fn(&AccountRow) -> u128| -> Vec<Numeric> {
        rows.iter().map(field).map(Numeric::from).collect()
    };
    let owners: Vec<Uuid> = rows.iter().map(|row| Uuid(row.owner)).collect();
    let liquid: Vec<Numeric> = rows.iter().map(|row| row.liquid.into()).collect();
    let work = async {
        let written = transaction
            .execute(
                upsert,
                &[
                    &owners,
                    &integers(|row| row.asset),
                    &integers(|row| row.host),
                    &liquid,
                    &amounts(|row| row.held),
                    &amounts(|row| row.staked),
                    &amounts(|row| row.bonded),
                    &amounts(|row| row.minimum),
                    &amounts(|row| row.credit_limit),
                    &integers(|row| row.flags),
                    &signed(through.0),
                ],
            )
            .await?;
        Ok(written)
    };
    let written = wait(runtime, work)?;
    assert_eq!(
        usize::try_from(written).ok(),
        Some(rows.len()),
        "every balance is inserted or updated"
    );
    Ok(())
}

fn write_supply(
    runtime: &Runtime,
    transaction: &Transaction<'_>,
    upsert: &Statement,
    row: &SupplyRow,
    through: Sequence,
) -> Result<(), SinkError> {
    let [held, staked, bonded, granted, used] = [
        row.held,
        row.staked,
        row.bonded,
        row.credit_granted,
        row.credit_used,
    ]
    .map(Numeric::from);
    let values: [&(dyn ToSql + Sync); 12] = [
        &i64::from(row.asset),
        &i32::from(row.scale),
        &row.name,
        &Numeric::from(row.issued),
        &Numeric::from(row.destroyed),
        &Numeric::from(row.liquid),
        &held,
        &staked,
        &bonded,
        &granted,
        &used,
        &signed(through.0),
    ];
    wait(runtime, transaction.execute(upsert, &values)).map(drop)
}

async fn copy_effects(
    transaction: &Transaction<'_>,
    statement: &Statement,
    rows: &[Effect],
) -> Result<(), tokio_postgres::Error> {
    let sink = transaction.copy_in(statement).await?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &EFFECT_TYPES));
    for row in rows {
        let values: [&(dyn ToSql + Sync); 14] = [
            &signed(row.sequence),
            &i32::from(row.leg),
            &i32::from(row.event),
            &i64::from(row.asset),
            &Uuid::named(row.debit),
            &i16::from(row.debit_bucket),
            &Uuid::named(row.credit),
            &i16::from(row.credit_bucket),
            &Numeric::from(row.amount),
            &Numeric::from(row.debit_after),
            &Numeric::from(row.credit_after),
            &i64::from(row.rate),
            &Uuid::named(row.reference),
            &Numeric::from(u128::from(row.user_data)),
        ];
        writer.as_mut().write(&values).await?;
    }
    writer.as_mut().finish().await?;
    Ok(())
}

/// What a batch is called and counts.
struct Numbers {
    batch: i64,
    before: i64,
    effects: Option<i64>,
}

fn write_watermark(
    runtime: &Runtime,
    transaction: &Transaction<'_>,
    statements: &Statements,
    batch: &Batch<'_>,
    numbers: &Numbers,
) -> Result<(), SinkError> {
    let target = batch.target();
    let [hash, digest] = [&target.chain_hash[..], &target.run_digest[..]];
    let epoch = signed(target.epoch);
    let timestamp = signed(target.timestamp);
    let [from, through] = [batch.after.0 + 1, batch.cut.through.0].map(signed);
    let row: [&(dyn ToSql + Sync); 10] = [
        &numbers.batch,
        &from,
        &through,
        &epoch,
        &batch.cut.complete,
        &count(batch.cut.accounts.len()),
        &numbers.effects,
        &hash,
        &digest,
        &timestamp,
    ];
    wait(runtime, transaction.execute(&statements.insert_batch, &row))?;
    let row: [&(dyn ToSql + Sync); 8] = [
        &Uuid(target.frame),
        &epoch,
        &signed(target.next_sequence.0),
        &hash,
        &digest,
        &timestamp,
        &numbers.batch,
        &numbers.before,
    ];
    let moved = wait(
        runtime,
        transaction.execute(&statements.set_watermark, &row),
    )?;
    if moved != 1 {
        // Two writers met on an empty database; the other was first.
        return Err(retryable("another writer made the first watermark"));
    }
    let payload: [&(dyn ToSql + Sync); 3] = [&numbers.batch, &from, &through];
    wait(runtime, transaction.execute(&statements.notify, &payload)).map(drop)
}

/// Waits for `work` on the sink's own runtime.
fn wait<T>(
    runtime: &Runtime,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, SinkError> {
    runtime.block_on(async {
        match tokio::time::timeout(REQUEST_TIMEOUT, work).await {
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
    let Some(state) = cause.code() else {
        return retryable(cause);
    };
    let class = state.code().get(..2).unwrap_or_default();
    // Connection, transaction rollback, resources, operator intervention, system error, and not
    // the prerequisite state (a lock timeout).
    let passing = matches!(class, "08" | "25" | "40" | "53" | "55" | "57" | "58")
        // Two writers on an empty database.
        || *state == SqlState::UNIQUE_VIOLATION;
    if passing {
        retryable(cause)
    } else {
        SinkError::Refused(Box::new(cause))
    }
}

/// Shorthand of the readers.
const fn column(table: &'static str, column: &'static str) -> Column {
    Column { table, column }
}
