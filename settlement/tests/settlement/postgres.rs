//! The conformance suite on PostgreSQL, and what only a server can do.

use std::time::Duration;

use settlement::{Alarm, PostgresSink, Sink, SinkError};
use tokio_postgres::AsyncMessage;

use crate::cluster::{Cluster, Database, address, shared, socket, with_client};
use crate::conformance::{Place, check, commit, conformance};
use crate::journal::Journal;
use crate::keys::Asking;
use crate::live::Settlement;
use crate::proxy::{Cut, Proxy};

conformance!(Database::new());

#[test]
fn a_connection_cut_at_commit_neither_loses_nor_doubles() {
    let place = Database::new();
    let proxy = Proxy::start(socket(&shared()));
    let mut through = shared();
    through = format!(
        "{} host=127.0.0.1 port={}",
        through.get_user().map_or_else(String::new, |user| format!("user='{user}'")),
        proxy.port()
    )
    .parse()
    .unwrap();
    if let Some(password) = shared().get_password() {
        through.password(password);
    }
    let sink = PostgresSink::new(&address(&through, place.name())).unwrap();
    let journal = Journal::shared(20);
    let settlement = Settlement::start(sink, &journal);
    settlement.load(2);
    for round in 0..10 {
        proxy.arm(if round % 2 == 0 { Cut::Before } else { Cut::After });
        settlement.load_until(|_| proxy.cuts() > round);
        settlement.load(1);
    }
    settlement.drain();
    check(&place, &journal);
}

#[test]
fn a_server_that_crashes_under_load_settles_on_from_its_watermark() {
    let cluster = Cluster::start();
    let place = Database::on(cluster.server());
    let journal = Journal::shared(21);
    let settlement = Settlement::start(place.sink(), &journal);
    for _ in 0..3 {
        settlement.load(3);
        cluster.kill();
        let failures = settlement.status.failures();
        settlement.load_until(|status| status.failures() > failures);
        cluster.go();
        settlement.load(1);
    }
    settlement.drain();
    check(&place, &journal);
}

#[test]
fn a_server_that_is_away_answers_no_key_until_it_is_back() {
    let cluster = Cluster::start();
    let place = Database::on(cluster.server());
    let mut sink = place.sink();
    let mut journal = Journal::new(25);
    sink.connect().unwrap();
    journal.execute(10);
    commit(&mut sink, &mut journal, None).unwrap();
    let keys = Asking::of(&place);
    assert_eq!(keys.check(10).0, 10);
    cluster.kill();
    let refused = keys.refused(Journal::key(3).unwrap().0);
    assert!(matches!(*refused, SinkError::Retryable(_)), "{refused}");
    cluster.go();
    assert_eq!(keys.check(10).0, 10);
    cluster.kill();
    cluster.go();
    // The connection broke unnoticed: it is replaced within the question.
    assert_eq!(keys.check(10).0, 10);
}

#[test]
fn a_key_that_takes_too_long_is_an_error() {
    let place = Database::new();
    let mut sink = place.sink();
    let mut journal = Journal::new(26);
    sink.connect().unwrap();
    journal.execute(10);
    commit(&mut sink, &mut journal, None).unwrap();
    let keys = Asking::of(&place);
    assert_eq!(keys.check(10).0, 10);
    with_client(&place.address(), async |mut client| {
        let transaction = client.transaction().await.unwrap();
        transaction.batch_execute("LOCK TABLE bezant.effects").await.unwrap();
        let key = Journal::key(3).unwrap().0;
        let (keys, refused) = tokio::task::spawn_blocking(move || {
            let refused = keys.refused(key);
            (keys, refused)
        })
        .await
        .unwrap();
        assert!(matches!(*refused, SinkError::Retryable(_)), "{refused}");
        transaction.rollback().await.unwrap();
        tokio::task::spawn_blocking(move || assert_eq!(keys.check(10).0, 10)).await.unwrap();
    });
}

#[test]
fn settings_that_lose_commits_are_refused_until_they_are_mended() {
    let place = Database::new();
    let setting = |value: &str| {
        place.administer(&format!(
            "ALTER DATABASE {} SET synchronous_commit = {value}",
            place.name()
        ));
    };
    setting("off");
    let refused = place.sink().connect().unwrap_err();
    let SinkError::Settings { setting: name, .. } = refused else {
        panic!("{refused}");
    };
    assert_eq!(name, "synchronous_commit");
    let journal = Journal::shared(22);
    let settlement = Settlement::start(place.sink(), &journal);
    settlement.load_until(|status| status.alarm() == Some(Alarm::Settings));
    setting("on");
    settlement.load(1);
    assert_eq!(settlement.status.alarm(), None);
    settlement.drain();
    check(&place, &journal);
}

#[test]
fn a_read_only_database_is_tried_again() {
    let place = Database::new();
    place.sink().connect().unwrap();
    let read_only = |value: &str| {
        place.administer(&format!(
            "ALTER DATABASE {} SET default_transaction_read_only = {value}",
            place.name()
        ));
    };
    read_only("on");
    let refused = place.sink().connect().unwrap_err();
    assert!(matches!(refused, SinkError::Retryable(_)), "{refused}");
    read_only("off");
    place.sink().connect().unwrap();
}

#[test]
fn consumers_are_told_when_a_batch_is_committed() {
    let place = Database::new();
    let mut journal = Journal::new(23);
    let mut sink = place.sink();
    sink.connect().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let payload = runtime.block_on(async {
        let config: tokio_postgres::Config = place.address().parse().unwrap();
        let (client, mut connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) =
                std::future::poll_fn(|context| connection.poll_message(context)).await
            {
                if let AsyncMessage::Notification(told) = message {
                    sender.send(told.payload().to_owned()).unwrap();
                }
            }
        });
        client.batch_execute("LISTEN bezant_settlement").await.unwrap();
        let told = tokio::task::spawn_blocking(move || {
            journal.execute(5);
            commit(&mut sink, &mut journal, None).unwrap();
            drop(sink);
        });
        told.await.unwrap();
        tokio::time::timeout(Duration::from_secs(10), receiver.recv()).await.unwrap().unwrap()
    });
    assert_eq!(payload, r#"{"batch" : 1, "from" : 1, "through" : 5}"#);
}

#[test]
fn two_first_writers_make_one_watermark() {
    let place = Database::new();
    let journal = Journal::shared(24);
    journal.lock().unwrap().execute(30);
    let mut first = place.sink();
    let mut second = place.sink();
    first.connect().unwrap();
    second.connect().unwrap();
    let racing = |mut sink: PostgresSink| {
        let mut journal = Journal::new(24);
        journal.execute(30);
        std::thread::spawn(move || commit(&mut sink, &mut journal, None).is_ok())
    };
    let (first, second) = (racing(first), racing(second));
    let made = u8::from(first.join().unwrap()) + u8::from(second.join().unwrap());
    assert_eq!(made, 1);
    check(&place, &journal);
}

#[test]
fn a_network_without_tls_is_refused() {
    for allowed in ["host=/run/postgresql user=a", "host=localhost user=a", "postgresql://[::1]/a"]
    {
        PostgresSink::new(allowed).unwrap();
    }
    for address in ["host=db.example user=a", "host=127.0.0.1,10.0.0.1", "hostaddr=10.0.0.1 user=a"]
    {
        let refused = PostgresSink::new(address).unwrap_err();
        assert!(matches!(refused, SinkError::Settings { .. }), "{refused}");
    }
}

#[test]
fn an_address_that_cannot_be_read_is_refused_without_its_words() {
    let refused = PostgresSink::new("host=localhost password=half secret=1").unwrap_err();
    assert!(matches!(refused, SinkError::Refused(_)), "{refused}");
    let said = refused.to_string();
    assert!(!said.contains("half") && !said.contains("secret"), "{said}");
}
