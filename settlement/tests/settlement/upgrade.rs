//! The upgrade of a PostgreSQL database with things of the operator's own: who could read goes on
//! reading, nobody sees more than before, and what stands in the way is named.

use std::rc::Rc;

use settlement::{Sink, SinkError, Watermark};

use crate::cluster::{Database, with_client};
use crate::conformance::{Place, assert_settled, commit};
use crate::journal::Journal;
use crate::postings::count;

/// A database as the first program left it.
struct Old {
    place: Rc<Database>,
    journal: Journal,
    settled: Watermark,
}

impl Old {
    fn new(seed: u64) -> Self {
        let place = Database::new();
        let mut journal = Journal::new(seed);
        journal.execute(100);
        let mut sink = place.sink();
        sink.connect().unwrap();
        let settled = commit(&mut sink, &mut journal, None).unwrap();
        place.age();
        Self { place: Rc::new(place), journal, settled }
    }

    /// Settles on, so that there are rows in both of the new tables.
    fn upgrade(&mut self) {
        let mut sink = self.place.sink();
        sink.connect().unwrap();
        self.journal.execute(200);
        commit(&mut sink, &mut self.journal, Some(&self.settled)).unwrap();
        assert_settled(&sink.read_back().unwrap(), &self.journal);
        assert!(self.count("bezant.transfers") > 0);
    }

    /// Postings before the upgrade.
    fn before(&self) -> i64 {
        i64::try_from(self.journal.effects(0, self.settled.through().0).len()).unwrap()
    }

    /// All postings.
    fn all(&self) -> i64 {
        i64::try_from(self.journal.effects(0, self.journal.through()).len()).unwrap()
    }

    fn count(&self, what: &str) -> i64 {
        with_client(&self.place.address(), async |client| count(&client, what).await)
    }

    /// A role that may enter the schema, and has its rights from `grants`.
    fn role(&self, suffix: &str, grants: &str) -> Role {
        let name = format!("{}{suffix}", self.place.name());
        let role = Role {
            place: Rc::clone(&self.place),
            quoted: format!("\"{}\"", name.replace('"', "\"\"")),
        };
        self.place.administer(&format!("CREATE ROLE {}", role.quoted));
        role.run("GRANT USAGE ON SCHEMA bezant TO {role}");
        role.run(grants);
        role
    }
}

/// A role of one test, dropped at its end.
struct Role {
    place: Rc<Database>,
    quoted: String,
}

impl Role {
    fn run(&self, sql: &str) {
        self.place.run(&sql.replace("{role}", &self.quoted));
    }

    /// How many rows of a table this role finds; `None` if it may not read it.
    fn finds(&self, table: &str) -> Option<i64> {
        with_client(&self.place.address(), async |client| {
            client.batch_execute(&format!("SET ROLE {}", self.quoted)).await.unwrap();
            match client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await {
                Ok(row) => Some(row.get(0)),
                Err(refused) => {
                    let insufficient_privilege = Some("42501");
                    assert_eq!(refused.code().map(|state| state.code()), insufficient_privilege);
                    None
                }
            }
        })
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.run("DROP OWNED BY {role}");
            self.place.administer(&format!("DROP ROLE {}", self.quoted));
        }
    }
}

#[test]
fn who_could_read_the_table_reads_the_view_and_nobody_else_does() {
    let mut old = Old::new(50);
    let readers = ["_reader", " \"odd\""]
        .map(|name| old.role(name, "GRANT SELECT ON bezant.effects TO {role}"));
    let other = old.role("_other", "GRANT SELECT ON bezant.account_balances TO {role}");
    old.upgrade();
    for reader in &readers {
        assert_eq!(reader.finds("bezant.effects"), Some(old.all()), "{}", reader.quoted);
    }
    assert_eq!(other.finds("bezant.effects"), None);
    assert!(other.finds("bezant.account_balances").is_some());
}

#[test]
fn everybody_could_read_the_table_and_reads_the_view() {
    let mut old = Old::new(51);
    old.place.run("GRANT SELECT ON bezant.effects TO PUBLIC");
    let anybody = old.role("_anybody", "");
    old.upgrade();
    assert_eq!(anybody.finds("bezant.effects"), Some(old.all()));
}

#[test]
fn rows_are_kept_from_readers_until_a_policy_says_who_may_see_them() {
    let mut old = Old::new(52);
    let reader = old.role(
        "_reader",
        "GRANT SELECT ON bezant.effects TO {role};
         ALTER TABLE bezant.effects ENABLE ROW LEVEL SECURITY;
         CREATE POLICY early ON bezant.effects FOR SELECT TO {role} USING (sequence <= 30)",
    );
    let early = i64::try_from(old.journal.effects(0, 30).len()).unwrap();
    assert_eq!(reader.finds("bezant.effects"), Some(early));
    old.upgrade();
    assert_eq!(reader.finds("bezant.effects"), Some(early));
    assert_eq!(reader.finds("bezant.transfers"), Some(0));
    reader.run("CREATE POLICY all_of_them ON bezant.transfers FOR SELECT TO {role} USING (true)");
    let transfers = old.count("bezant.transfers");
    let fees = old.count("bezant.transfers WHERE fee IS NOT NULL");
    assert_eq!(reader.finds("bezant.effects"), Some(early + transfers + fees));
}

#[test]
fn a_view_of_the_operators_own_goes_on_with_what_lies_in_postings() {
    let mut old = Old::new(53);
    old.place.run("CREATE VIEW public.mine AS SELECT sequence, amount FROM bezant.effects");
    old.upgrade();
    assert_eq!(old.count("public.mine"), old.count("bezant.postings"));
    assert!(old.count("public.mine") >= old.before());
    assert!(old.count("public.mine") < old.all());
    // Its columns have other types now, so that it cannot be replaced.
    old.place.run(
        "DROP VIEW public.mine;
         CREATE VIEW public.mine AS SELECT sequence, amount FROM bezant.effects",
    );
    assert_eq!(old.count("public.mine"), old.all());
}

#[test]
fn what_rests_on_the_old_key_refuses_the_upgrade_and_is_named() {
    let mut old = Old::new(54);
    old.place.run(
        "CREATE TABLE public.my_notes (sequence bigint, leg integer,
             CONSTRAINT my_reference FOREIGN KEY (sequence, leg) REFERENCES bezant.effects);
         CREATE VIEW public.my_groups AS
             SELECT sequence, leg, amount FROM bezant.effects GROUP BY sequence, leg",
    );
    let refused = old.place.sink().connect().unwrap_err();
    assert!(matches!(refused, SinkError::Refused(_)), "{refused}");
    let said = refused.to_string();
    for name in ["effects_pkey", "my_reference", "my_notes", "my_groups"] {
        assert!(said.contains(name), "{said}");
    }
    assert!(!said.contains('\n'), "{said}");
    assert_eq!(old.count("bezant.effects"), old.before());
    assert_eq!(old.count("bezant.schema_version"), 1);
    old.place.run("DROP TABLE public.my_notes; DROP VIEW public.my_groups");
    old.upgrade();
}
