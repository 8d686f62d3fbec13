//! Looking at a PostgreSQL server as settlement will meet it: version, settings, role, room.
//!
//! It refuses to write: the session is read-only and makes no tables. Invariant: whatever the sink
//! refuses is unfit here.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, NoTls, Row};

use super::{NEEDED, close, configure, error, retryable, said, wait};
use crate::fitness::Trait;
use crate::schema;
use crate::sink::SinkError;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const SESSION: &str = "SET search_path = pg_catalog; SET statement_timeout = '5s'; \
     SET lock_timeout = '5s'; SET default_transaction_read_only = on; SET client_encoding = 'UTF8'";

/// Oldest server that has what the tables need, as `server_version_num` has it.
const VERSION_MIN: i32 = 150_000;
/// Sessions of a frame and of the commands that an operator runs beside it.
const SESSIONS: i32 = 4;

const ROLE: &str = "
    SELECT current_user::text, rolsuper, rolconnlimit,
           has_database_privilege(current_database(), 'CREATE'),
           to_regnamespace('bezant') IS NOT NULL,
           coalesce(has_schema_privilege(to_regnamespace('bezant')::oid, 'USAGE'), false),
           coalesce(has_schema_privilege(to_regnamespace('bezant')::oid, 'CREATE'), false),
           to_regclass('bezant.schema_version') IS NOT NULL
    FROM pg_roles WHERE rolname = current_user";

const FORBIDDEN: &str = "
    SELECT coalesce(string_agg(relname::text, ', ' ORDER BY relname), '')
    FROM pg_class WHERE relnamespace = to_regnamespace('bezant') AND relkind IN ('r', 'p')
      AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
               AND has_table_privilege(oid, 'UPDATE'))";

const SESSIONS_OPEN: &str = "
    SELECT current_setting('max_connections')::integer
               - current_setting('superuser_reserved_connections')::integer,
           (SELECT coalesce(sum(numbackends), 0)::integer FROM pg_stat_database)";

const VERSION: &str = "SELECT coalesce(max(version), 0) FROM bezant.schema_version";

/// Looks at the server at `address`, in the key-value or URL form of libpq.
///
/// # Errors
///
/// When the address cannot be used or the server does not let the role in.
pub fn examine(address: &str) -> Result<Vec<Trait>, SinkError> {
    let (mut config, _) = configure(address, "bezant doctor")?;
    config.connect_timeout(CONNECT_TIMEOUT);
    let runtime = Builder::new_current_thread().enable_all().build().map_err(retryable)?;
    let (client, connection) = wait(&runtime, config.connect(NoTls))?;
    let driver = runtime.spawn(async move {
        if let Err(cause) = connection.await {
            tracing::debug!(cause = said(&cause), "the connection to postgres ended");
        }
    });
    let found = look(&runtime, &client);
    drop(client);
    close(&runtime, driver);
    found
}

fn look(runtime: &Runtime, client: &Client) -> Result<Vec<Trait>, SinkError> {
    wait(runtime, client.batch_execute(SESSION))?;
    let mut found = vec![version(&one(runtime, client, "SHOW server_version_num")?)];
    for (name, remedy) in NEEDED {
        found.push(needed(name, remedy, &setting(runtime, client, name)?));
    }
    let row = wait(runtime, client.query_one(ROLE, &[]))?;
    let role = Role::of(&row)?;
    found.push(role.judge());
    found.push(if role.has_tables {
        let row = wait(runtime, client.query_one(FORBIDDEN, &[]))?;
        let forbidden: String = row.try_get(0).map_err(error)?;
        // Otherwise the question itself would be refused.
        if forbidden.is_empty() && role.may_use {
            let row = wait(runtime, client.query_one(VERSION, &[]))?;
            tables(row.try_get(0).map_err(error)?, role.may_make)
        } else {
            grants(&role, &forbidden)
        }
    } else {
        role.judge_first_start()
    });
    let row = wait(runtime, client.query_one(SESSIONS_OPEN, &[]))?;
    let [max, open] = [row.try_get(0).map_err(error)?, row.try_get(1).map_err(error)?];
    found.push(sessions(max, open, role.sessions_max));
    let name = "idle_in_transaction_session_timeout";
    found.push(idle(&setting(runtime, client, name)?));
    found.push(autovacuum(&setting(runtime, client, "autovacuum")?));
    Ok(found)
}

fn one(runtime: &Runtime, client: &Client, sql: &str) -> Result<String, SinkError> {
    wait(runtime, client.query_one(sql, &[]))?.try_get(0).map_err(error)
}

fn setting(runtime: &Runtime, client: &Client, name: &str) -> Result<String, SinkError> {
    let row = wait(runtime, client.query_one("SELECT current_setting($1)", &[&name]))?;
    row.try_get(0).map_err(error)
}

fn version(number: &str) -> Trait {
    let subject = "sql version";
    let number: i32 = number.parse().unwrap_or(0);
    let (major, minor) = (number / 10_000, number % 10_000);
    let found = format!("PostgreSQL {major}.{minor}");
    if number >= VERSION_MIN {
        return Trait::fit(subject, found);
    }
    Trait::unfit(subject, found, "the tables need PostgreSQL 15 or newer: upgrade the server")
}

fn needed(name: &'static str, remedy: &str, value: &str) -> Trait {
    let found = format!("{name} is {value}");
    if value != "off" {
        return Trait::fit(name, found);
    }
    let way = match name {
        "synchronous_commit" => "ALTER ROLE or ALTER DATABASE … SET synchronous_commit = on",
        _ => "ALTER SYSTEM RESET it, then SELECT pg_reload_conf()",
    };
    Trait::unfit(name, found, format!("{remedy} ({way})"))
}

/// The role that settlement connects as.
struct Role {
    name: String,
    is_super: bool,
    sessions_max: i32,
    may_make_schema: bool,
    has_schema: bool,
    may_use: bool,
    may_make: bool,
    has_tables: bool,
}

impl Role {
    fn of(row: &Row) -> Result<Self, SinkError> {
        let flag = |at: usize| row.try_get::<_, bool>(at).map_err(error);
        Ok(Self {
            name: row.try_get(0).map_err(error)?,
            is_super: flag(1)?,
            sessions_max: row.try_get(2).map_err(error)?,
            may_make_schema: flag(3)?,
            has_schema: flag(4)?,
            may_use: flag(5)?,
            may_make: flag(6)?,
            has_tables: flag(7)?,
        })
    }

    fn judge(&self) -> Trait {
        let subject = "sql role";
        if self.is_super {
            let found = format!("{} is a superuser", self.name);
            let cure = "settlement needs none of that: use a role of its own, as \
                        deploy/postgres/roles.sql makes it";
            return Trait::doubtful(subject, found, cure);
        }
        Trait::fit(subject, format!("{} is no superuser", self.name))
    }

    /// Before there are tables.
    fn judge_first_start(&self) -> Trait {
        let subject = "sql grants";
        let name = &self.name;
        if self.has_schema && self.may_use && self.may_make {
            return Trait::fit(subject, format!("{name} may make its tables in schema bezant"));
        }
        if !self.has_schema && self.may_make_schema {
            return Trait::fit(subject, format!("{name} may make its schema and tables"));
        }
        let found = if self.has_schema {
            format!("{name} may not make tables in schema bezant")
        } else {
            format!("there is no schema bezant, and {name} may not make it")
        };
        let cure = format!(
            "as a superuser: CREATE SCHEMA IF NOT EXISTS bezant; GRANT USAGE, \
                            CREATE ON SCHEMA bezant TO {name}"
        );
        Trait::unfit(subject, found, cure)
    }
}

fn grants(role: &Role, forbidden: &str) -> Trait {
    let subject = "sql grants";
    let name = &role.name;
    let found = if role.may_use {
        format!("{name} may not read and write {forbidden}")
    } else {
        format!("{name} may not use the schema bezant")
    };
    let cure = format!(
        "as their owner: GRANT USAGE ON SCHEMA bezant TO {name}; GRANT SELECT, INSERT, UPDATE ON \
         ALL TABLES IN SCHEMA bezant TO {name}"
    );
    Trait::unfit(subject, found, cure)
}

fn tables(version: i64, may_make: bool) -> Trait {
    let (subject, known) = ("sql grants", schema::VERSION);
    let found = format!("tables of version {version}, which the role may read and write");
    if version > known {
        let cure = format!("this program knows version {known}: use the one that made them");
        return Trait::unfit(subject, found, cure);
    }
    if version < known && !may_make {
        let cure = format!("the next start makes version {known}: use the role that owns them");
        return Trait::unfit(subject, found, cure);
    }
    Trait::fit(subject, found)
}

fn sessions(max: i32, open: i32, of_role: i32) -> Trait {
    let subject = "sql sessions";
    let found = format!("{open} of {max} are open");
    if max - open < SESSIONS {
        let cure = format!("a frame and its audits need {SESSIONS}: raise max_connections");
        return Trait::doubtful(subject, found, cure);
    }
    if (0..SESSIONS).contains(&of_role) {
        let found = format!("the role may have {of_role}");
        let cure = format!("a frame and its audits need {SESSIONS}: ALTER ROLE … CONNECTION LIMIT");
        return Trait::doubtful(subject, found, cure);
    }
    Trait::fit(subject, found)
}

fn idle(value: &str) -> Trait {
    let subject = "sql idle sessions";
    let name = "idle_in_transaction_session_timeout";
    if value != "0" {
        return Trait::fit(subject, format!("{name} is {value}"));
    }
    let cure = "settlement sets its own; a consumer who forgets a transaction keeps dead rows for \
                ever and holds up upgrades: ALTER DATABASE … SET \
                idle_in_transaction_session_timeout = '60s'";
    Trait::doubtful(subject, format!("{name} is 0: never"), cure)
}

fn autovacuum(value: &str) -> Trait {
    let subject = "sql autovacuum";
    if value == "on" {
        return Trait::fit(subject, "autovacuum is on");
    }
    let cure = "account_balances grows without it, and new postings are in no index: turn it on";
    Trait::doubtful(subject, format!("autovacuum is {value}"), cure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fitness::Fitness::{self, Doubtful, Fit, Unfit};

    fn role() -> Role {
        Role {
            name: "bezant".into(),
            is_super: false,
            sessions_max: -1,
            may_make_schema: false,
            has_schema: true,
            may_use: true,
            may_make: true,
            has_tables: false,
        }
    }

    #[test]
    fn a_verdict_that_is_not_fit_says_what_to_do() {
        let judged: Vec<(Trait, Fitness)> = vec![
            (version("150018"), Fit),
            (version("140009"), Unfit),
            (needed("fsync", "turn it on", "on"), Fit),
            (needed("fsync", "turn it on", "off"), Unfit),
            (needed("synchronous_commit", "turn it on", "off"), Unfit),
            (needed("synchronous_commit", "turn it on", "local"), Fit),
            (role().judge(), Fit),
            (Role { is_super: true, ..role() }.judge(), Doubtful),
            (role().judge_first_start(), Fit),
            (Role { may_make: false, ..role() }.judge_first_start(), Unfit),
            (Role { has_schema: false, ..role() }.judge_first_start(), Unfit),
            (Role { has_schema: false, may_make_schema: true, ..role() }.judge_first_start(), Fit),
            (grants(&role(), "transfers"), Unfit),
            (tables(schema::VERSION, false), Fit),
            (tables(schema::VERSION - 1, true), Fit),
            (tables(schema::VERSION - 1, false), Unfit),
            (tables(schema::VERSION + 1, true), Unfit),
            (sessions(97, 20, -1), Fit),
            (sessions(20, 18, -1), Doubtful),
            (sessions(97, 20, 1), Doubtful),
            (idle("1min"), Fit),
            (idle("0"), Doubtful),
            (autovacuum("on"), Fit),
            (autovacuum("off"), Doubtful),
        ];
        for (found, fitness) in judged {
            assert_eq!(found.fitness, fitness, "{found:?}");
            assert_eq!(found.cure.is_empty(), fitness == Fit, "{found:?}");
        }
    }
}
