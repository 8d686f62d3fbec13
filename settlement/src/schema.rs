//! Versions of the tables and what both databases are filled with. The SQL text itself lies in
//! `sql/` and is run by the sinks; a database of a newer version is refused, never downgraded.

use std::cmp::Ordering;

use protocol::effect::Event;

use crate::sink::SinkError;

/// Version of the tables this program writes.
pub(crate) const VERSION: i64 = 4;

/// Steps for SQLite: entry `n` leads from version `n` to `n + 1`.
pub(crate) const SQLITE: [&str; 4] = [
    include_str!("../sql/sqlite_1.sql"),
    include_str!("../sql/sqlite_2.sql"),
    include_str!("../sql/sqlite_3.sql"),
    include_str!("../sql/sqlite_4.sql"),
];

/// Steps for Postgres.
pub(crate) const POSTGRES: [&str; 4] = [
    include_str!("../sql/postgres_1.sql"),
    include_str!("../sql/postgres_2.sql"),
    include_str!("../sql/postgres_3.sql"),
    include_str!("../sql/postgres_4.sql"),
];

const _: () = assert!(SQLITE.len() as i64 == VERSION && POSTGRES.len() as i64 == VERSION);

/// The steps still to run on a database of version `found` (0 = empty).
pub(crate) fn steps(
    all: &'static [&'static str],
    found: i64,
) -> Result<&'static [&'static str], SinkError> {
    usize::try_from(found)
        .ok()
        .and_then(|found| all.get(found..))
        .ok_or(SinkError::Schema { found, known: VERSION })
}

/// Refuses, for a reader, any version but this program's: an older one is the sink's to migrate.
pub(crate) fn check_current(found: i64) -> Result<(), SinkError> {
    match found.cmp(&VERSION) {
        Ordering::Equal => Ok(()),
        Ordering::Less => Err(SinkError::Retryable("its tables are not made yet".into())),
        Ordering::Greater => Err(SinkError::Schema { found, known: VERSION }),
    }
}

/// Every event with its number and name.
pub(crate) fn events() -> impl Iterator<Item = (u16, &'static str)> {
    (0..=u16::from(u8::MAX))
        .map(|number| (number, Event::name(number)))
        .filter(|(_, name)| *name != "Unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_schema_is_migrated_and_a_newer_one_refused() {
        assert_eq!(steps(&SQLITE, 0).unwrap().len(), 4);
        assert_eq!(steps(&SQLITE, 1).unwrap().len(), 3);
        assert_eq!(steps(&SQLITE, 4).unwrap().len(), 0);
        assert!(matches!(steps(&SQLITE, 5), Err(SinkError::Schema { found: 5, known: 4 })));
        assert!(steps(&SQLITE, -1).is_err());
        assert!(events().any(|(number, name)| (number, name) == (68, "PrincipalIdentified")));
    }

    #[test]
    fn a_reader_takes_only_tables_of_its_own_version() {
        assert!(check_current(VERSION).is_ok());
        assert!(matches!(check_current(VERSION - 1), Err(SinkError::Retryable(_))));
        assert!(matches!(check_current(VERSION + 1), Err(SinkError::Schema { .. })));
    }

    #[test]
    fn the_indexed_event_is_that_of_keys() {
        assert_eq!(Event::KeyUsed.number(), 80);
        for step in [SQLITE[1], POSTGRES[1]] {
            assert!(step.contains("WHERE event = 80;"));
        }
    }
}
