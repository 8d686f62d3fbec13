//! What an operator is told of a database before anything is settled to it, and the roles that
//! `deploy/postgres/roles.sql` makes.

use settlement::{Fitness, PostgresSink, Sink, SinkError, Trait, examine};
use tokio_postgres::Config;

use crate::cluster::{Cluster, Database, address, with_client};
use crate::conformance::{Place, commit};
use crate::journal::Journal;

const ROLES: &str = include_str!("../../../deploy/postgres/roles.sql");

fn found(address: &str, subject: &str) -> Trait {
    let all = examine(address).unwrap();
    let one = all.iter().find(|found| found.subject == subject);
    one.unwrap_or_else(|| panic!("{subject} is not among {all:?}")).clone()
}

fn run(address: &str, sql: &str) -> Result<(), tokio_postgres::Error> {
    with_client(address, async |client| client.batch_execute(sql).await)
}

#[test]
fn a_server_as_it_should_be_is_fit_and_is_left_as_it_was() {
    let place = Database::new();
    for found in examine(&place.address()).unwrap() {
        // The tests connect as a superuser, to a server that sets no such timeout.
        let doubtful = ["sql role", "sql idle sessions"].contains(&found.subject);
        let expected = if doubtful { Fitness::Doubtful } else { Fitness::Fit };
        assert_eq!(found.fitness, expected, "{found:?}");
    }
    let untouched = "DO $$ BEGIN ASSERT to_regnamespace('bezant') IS NULL; END $$";
    run(&place.address(), untouched).unwrap();
}

#[test]
fn tables_of_a_newer_program_are_unfit() {
    let place = Database::new();
    place.sink().connect().unwrap();
    assert_eq!(found(&place.address(), "sql grants").fitness, Fitness::Fit);
    place.run("INSERT INTO bezant.schema_version (version) VALUES (99)");
    let newer = found(&place.address(), "sql grants");
    assert_eq!(newer.fitness, Fitness::Unfit, "{newer:?}");
}

#[test]
fn a_server_without_fsync_is_refused_until_it_is_mended() {
    let cluster = Cluster::start();
    let place = Database::on(cluster.server());
    for (setting, mended) in [("fsync", "on"), ("full_page_writes", "on")] {
        cluster.kill();
        cluster.configure(&format!("{setting} = off"));
        cluster.go();
        let unfit = found(&place.address(), setting);
        assert_eq!(unfit.fitness, Fitness::Unfit, "{unfit:?}");
        let refused = place.sink().connect().unwrap_err();
        assert!(
            matches!(refused, SinkError::Settings { setting: name, .. } if name == setting),
            "{refused}"
        );
        cluster.kill();
        cluster.configure(&format!("{setting} = {mended}"));
        cluster.go();
        assert_eq!(found(&place.address(), setting).fitness, Fitness::Fit);
        place.sink().connect().unwrap();
    }
    cluster.kill();
    let refused = examine(&place.address()).unwrap_err();
    assert!(matches!(refused, SinkError::Retryable(_)), "{refused}");
    cluster.go();
}

#[test]
fn the_roles_settle_and_read_and_can_do_no_more() {
    let cluster = Cluster::start();
    let place = Database::on(cluster.server());
    for _ in 0..2 {
        run(&place.address(), ROLES).unwrap();
    }
    let as_role = |role: &str| {
        let mut server: Config = cluster.server();
        server.user(role);
        address(&server, place.name())
    };
    let bezant = as_role("bezant");
    // Everything is fit, before the tables are there and after.
    let fit = |address: &str| {
        for found in examine(address).unwrap() {
            assert_eq!(found.fitness, Fitness::Fit, "{found:?}");
        }
    };
    fit(&bezant);
    let mut sink = PostgresSink::new(&bezant).unwrap();
    sink.connect().unwrap();
    let mut journal = Journal::new(31);
    journal.execute(10);
    commit(&mut sink, &mut journal, None).unwrap();
    drop(sink);
    fit(&bezant);
    run(&bezant, "CREATE TABLE public.loot (n integer)").unwrap_err();
    run(&bezant, "CREATE SCHEMA loot").unwrap_err();

    run(&place.address(), "CREATE ROLE billing LOGIN IN ROLE bezant_reader").unwrap();
    let billing = as_role("billing");
    for table in ["account_balances", "effects", "transfers", "settlement_watermark"] {
        run(&billing, &format!("SELECT count(*) FROM bezant.{table}")).unwrap();
    }
    run(&billing, "UPDATE bezant.account_balances SET liquid = 0").unwrap_err();
    run(&billing, "DELETE FROM bezant.settlement_batches").unwrap_err();
    run(&billing, "CREATE TABLE bezant.loot (n integer)").unwrap_err();
    let grants = found(&billing, "sql grants");
    assert_eq!(grants.fitness, Fitness::Unfit, "{grants:?}");
    assert!(grants.found.contains("account_balances"), "{grants:?}");

    run(&place.address(), "CREATE ROLE stranger LOGIN").unwrap();
    let refused = examine(&as_role("stranger")).unwrap_err();
    assert!(matches!(refused, SinkError::Refused(_)), "{refused}");
}
