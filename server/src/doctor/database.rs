//! Where settlement goes: what the database says of itself, in the words of `settlement`.

use std::path::Path;

use settlement::{Fitness, SinkError, Trait};

use super::{Finding, Verdict};
use crate::config::{Config, SinkConfig};

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let check = "sql";
    match &config.sink {
        SinkConfig::None => vec![Finding::ok(check, "nothing is settled (settlement.sink=none)")],
        SinkConfig::Sqlite(path) => {
            let found = format!("SQLite in {}", path.display());
            // Of a bare name the parent is empty: it is this directory.
            let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
            if dir.is_none_or(Path::is_dir) {
                return vec![Finding::ok(check, found)];
            }
            let cure = "make the directory, or set settlement.sqlite";
            vec![Finding::fail(check, format!("{found}: its directory is not there"), cure)]
        }
        SinkConfig::Postgres(address) => match settlement::examine(address) {
            Ok(found) => found.into_iter().map(finding).collect(),
            Err(error) => vec![unreachable(check, &error)],
        },
    }
}

fn unreachable(check: &'static str, error: &SinkError) -> Finding {
    let cure = match error {
        SinkError::Retryable(_) => {
            "start the server, or mend settlement.postgres; meanwhile a frame serves and keeps its \
             journal"
        }
        SinkError::Settings { .. } => "see docs/settlement.md, Connecting",
        _ => "mend user, password, database or pg_hba.conf (deploy/postgres/roles.sql)",
    };
    Finding::fail(check, error.to_string(), cure)
}

fn finding(found: Trait) -> Finding {
    let verdict = match found.fitness {
        Fitness::Fit => Verdict::Ok,
        Fitness::Doubtful => Verdict::Warn,
        Fitness::Unfit => Verdict::Fail,
    };
    Finding { check: found.subject, verdict, found: found.found, cure: found.cure }
}
