//! What an operator types: every subcommand does what the handbook says, with its exit code.

use rusqlite::Connection;
use serde_json::Value;

use crate::books;
use crate::frame::Frame;

const ALICE: &str = "01900000-0000-7000-8000-00000000000a";
const BOB: &str = "01900000-0000-7000-8000-00000000000b";

/// Runs `bezant client` with the identity `name`; returns its exit code and what it said.
fn client(frame: &Frame, name: &str, arguments: &[&str]) -> (i32, Value) {
    let server = frame.quic().to_string();
    let identity = frame.home.identity(name).display().to_string();
    let mut all = vec!["client", "--json", "--server", &server, "--identity", &identity];
    all.extend_from_slice(arguments);
    let finished = frame.run(&all);
    let said = serde_json::from_str(&finished.stdout);
    let said = said.unwrap_or_else(|_| panic!("{all:?}: {}{}", finished.stdout, finished.stderr));
    (finished.status.code().unwrap(), said)
}

/// As [`client`]; it must succeed.
fn ok(frame: &Frame, name: &str, arguments: &[&str]) -> Value {
    let (code, said) = client(frame, name, arguments);
    assert_eq!(code, 0, "{arguments:?}: {said}");
    said
}

fn text<'a>(said: &'a Value, name: &str) -> &'a str {
    said[name].as_str().unwrap_or_else(|| panic!("{name} in {said}"))
}

/// A running frame with two funded agents; alice is `alice`, bob `bob`.
fn town() -> Frame {
    let mut frame = Frame::new();
    frame.start();
    for (name, uuid) in [("alice", ALICE), ("bob", BOB)] {
        let dir = frame.home.identity(name).display().to_string();
        let issue = ["identity", "issue", "agent", "--name", uuid, "--out", &dir];
        let printed = frame.ends_with(0, &issue);
        assert!(printed.contains(uuid), "{printed}");
        ok(&frame, name, &["open", uuid]);
    }
    frame.identity("mint", "treasury");
    ok(&frame, "treasury", &["issue", ALICE, "1000"]);
    frame
}

#[test]
fn a_shell_can_open_pay_hold_capture_release_and_ask() {
    let mut frame = town();
    let paid = ok(&frame, "alice", &["pay", ALICE, BOB, "100"]);
    assert_eq!(text(&paid, "status"), "ok");
    let id = text(&paid, "id").to_owned();
    let again = ok(&frame, "alice", &["pay", ALICE, BOB, "100", "--id", &id]);
    assert_eq!(again["sequence"], paid["sequence"], "the first answer stands");
    let outcome = ok(&frame, "alice", &["outcome", ALICE, &id]);
    assert_eq!((text(&outcome, "status"), &outcome["sequence"]), ("ok", &paid["sequence"]));

    let hold = ok(&frame, "alice", &["hold", ALICE, BOB, "10"]);
    let hold = text(&hold, "id").to_owned();
    let held = ok(&frame, "alice", &["balance", ALICE]);
    assert_eq!(text(&held, "held"), "10.000000");
    ok(&frame, "bob", &["capture", ALICE, BOB, &hold, "--amount", "4"]);
    let hold = ok(&frame, "alice", &["hold", ALICE, BOB, "10", "--timeout-ms", "60000"]);
    let hold = text(&hold, "id").to_owned();
    ok(&frame, "bob", &["release", ALICE, BOB, &hold]);

    // 100 less 0.5 % and 4 less 0.5 %.
    let bob = ok(&frame, "bob", &["balance", BOB]);
    assert_eq!(text(&bob, "liquid"), "103.480000");
    let alice = ok(&frame, "alice", &["balance", ALICE]);
    assert_eq!(text(&alice, "liquid"), "896.000000");
    assert_eq!(text(&alice, "held"), "0.000000");
    let supply = ok(&frame, "alice", &["supply"]);
    assert_eq!(text(&supply, "issued"), "1000.000000");
    assert_eq!(text(&supply, "native_total"), "1000.000000");
    assert_eq!(text(&supply, "delta"), "0.000000");

    let (code, refused) = client(&frame, "alice", &["pay", ALICE, BOB, "100000"]);
    assert_eq!((code, text(&refused, "status")), (1, "insufficient_funds"));
    assert!(!text(&refused, "cure").is_empty());
    let (code, refused) = client(&frame, "bob", &["pay", ALICE, BOB, "1"]);
    assert_eq!((code, text(&refused, "status")), (1, "not_found"));

    frame.wait_settled();
    frame.stop();
    frame.is_sound();
    let cat = frame.ends_with(0, &["journal", "cat", "--json", "--limit", "100"]);
    let line = cat.lines().find(|line| line.contains(&id)).expect("the payment is there");
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(text(&line, "status"), "ok");
    assert_eq!(text(&line, "amount"), "100000000");
    let stat = frame.ends_with(0, &["journal", "stat"]);
    assert!(stat.contains("segments") && stat.contains("last hash"), "{stat}");
}

#[test]
fn without_json_a_shell_reads_names_and_values() {
    let mut frame = town();
    let server = frame.quic().to_string();
    let identity = frame.home.identity("alice").display().to_string();
    let ask = ["client", "--server", &server, "--identity", &identity, "balance", ALICE];
    let printed = frame.ends_with(0, &ask);
    assert!(printed.contains("liquid") && printed.contains("1000.000000"), "{printed}");
    frame.stop();
}

#[test]
fn a_changed_row_is_named_by_audit_and_verification() {
    let mut frame = town();
    frame.wait_settled();
    frame.stop();
    frame.is_sound();
    let database = Connection::open(frame.sqlite()).unwrap();
    let sql = "UPDATE account_balances SET liquid = '999999999' WHERE owner = ?1";
    assert_eq!(database.execute(sql, [ALICE]).unwrap(), 1);
    drop(database);
    for command in ["audit", "verify-settlement"] {
        let printed = frame.ends_with(1, &[command]);
        assert!(printed.contains(ALICE), "{command}: {printed}");
    }
}

#[test]
fn init_refuses_a_directory_that_has_a_frame() {
    let frame = Frame::new();
    let genesis = frame.ends_with(0, &["journal", "stat"]);
    let finished = frame.run(&["init"]);
    assert_ne!(finished.status.code(), Some(0));
    let said = finished.stderr;
    assert!(said.contains("journal"), "{said}");
    assert_eq!(frame.ends_with(0, &["journal", "stat"]), genesis);
}

#[test]
fn settings_show_their_origin_and_unknown_ones_are_refused() {
    let mut frame = Frame::unmade(&[]);
    let file = frame.beside("bezant.toml");
    std::fs::write(&file, "[log]\nlevel = \"warn\"\n").unwrap();
    let path = file.display().to_string();
    let shown = frame.ends_with(0, &["--config", &path, "config", "show"]);
    let line = |key: &str| {
        let line = shown.lines().find(|line| line.contains(key));
        line.unwrap_or_else(|| panic!("{key} is not in:\n{shown}")).to_owned()
    };
    assert!(line("log.level").contains("warn") && line("log.level").contains("file"));
    assert!(line("journal.segment_mib").contains("flag"));
    assert!(line("gateway.workers").contains("default"));
    frame.ends_with(0, &["--config", &path, "config", "check"]);
    std::fs::write(&file, "[log]\nlevle = \"warn\"\n").unwrap();
    let refused = frame.ends_with(78, &["--config", &path, "config", "check"]);
    assert!(refused.contains("log.levle"), "{refused}");
    frame.set("settlement.sink=oracle");
    let refused = frame.ends_with(78, &["config", "check"]);
    assert!(refused.contains("settlement.sink"), "{refused}");
    frame.set("no.such=1");
    frame.ends_with(78, &["serve"]);
}

#[test]
fn commands_on_nothing_say_what_is_missing() {
    let frame = Frame::unmade(&[]);
    for command in [&["serve"][..], &["journal", "verify"], &["audit"]] {
        let finished = frame.run(command);
        let code = finished.status.code();
        assert!(matches!(code, Some(66 | 77)), "{command:?}: {code:?} {}", finished.stderr);
    }
    frame.ends_with(2, &["no-such-command"]);
    frame.ends_with(2, &["identity", "issue", "nobody", "--out", "x"]);
}

#[test]
fn identities_are_issued_and_shown() {
    let frame = Frame::new();
    for (role, name) in [
        ("agent", ALICE),
        ("registry", "north"),
        ("mint", "treasury"),
        ("admin", "chief"),
        ("auditor", "reader"),
    ] {
        let dir = frame.identity(role, name).display().to_string();
        let shown = frame.ends_with(0, &["identity", "show", &dir]);
        assert!(shown.to_lowercase().contains(role), "{shown}");
        assert!(shown.contains("spiffe://frame.test/"), "{shown}");
    }
    let open = frame.home.identity(ALICE).join("svid.key");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&open, mode).unwrap();
    let dir = frame.home.identity(ALICE).display().to_string();
    let refused = frame.ends_with(77, &["identity", "show", &dir]);
    assert!(refused.contains("svid.key"), "{refused}");
    let own = frame.home.data_dir.join("identity/server/svid.key");
    std::fs::set_permissions(&own, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let (code, log) = frame.refuses_to_start();
    assert_eq!(code, 77, "{log}");
    assert!(log.contains("svid.key"), "{log}");
}

#[test]
fn a_signal_ends_the_frame_with_everything_settled() {
    let mut frame = town();
    let executed = frame.figure("bezant_executed_sequence");
    assert!(executed >= 3.0);
    frame.stop();
    let database = Connection::open(frame.sqlite()).unwrap();
    let sql = "SELECT next_sequence FROM settlement_watermark";
    let next: f64 = database.query_row(sql, [], |row| row.get(0)).unwrap();
    assert!(next > executed, "settled through {next}, executed {executed}");
    frame.is_sound();
    frame.start();
    assert_eq!(text(&ok(&frame, "alice", &["balance", ALICE]), "liquid"), "1000.000000");
    frame.stop();
}

#[test]
fn the_admin_door_answers_health() {
    books::run(async {
        let mut frame = Frame::new();
        frame.start();
        let _client = frame.client("registry", "north").await;
        assert_eq!(frame.page("/livez").0, 200);
        let (status, body) = frame.page("/readyz");
        assert_eq!(status, 200, "{body}");
        let ready: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(ready["ready"], true);
        let checks = ready["checks"].as_array().unwrap();
        for name in ["journal", "stages", "supply", "identity", "clock", "settlement"] {
            let check = checks.iter().find(|check| check["name"] == name);
            assert!(check.is_some_and(|check| check["ok"] == true), "{name}: {body}");
        }
        assert_eq!(frame.page("/nothing").0, 404);
        frame.stop();
    });
}

/// The harness's binary lies beside the frame's, but only cargo builds it: its library is driven
/// here, on the file that is shipped.
#[test]
fn the_shipped_payments_are_paid() {
    let text = include_str!("../../loadgen/samples/payments.csv");
    let payments = loadgen::payments::parse(text, 6).unwrap();
    books::run(async {
        let mut frame = Frame::new();
        frame.start();
        let started = payments.iter().map(|payment| {
            let at_ms = None;
            loadgen::payments::Payment { at_ms, ..*payment }
        });
        let payments: Vec<_> = started.collect();
        let outcomes = loadgen::run::pay_file(&frame.target(), &payments, 100).await.unwrap();
        assert_eq!(outcomes.len(), payments.len());
        assert!(outcomes.iter().all(|outcome| outcome.status.is_ok()));
        frame.stop();
        frame.is_sound();
    });
}

#[test]
fn commands_leave_no_connections_behind() {
    let mut frame = Frame::with(&[], &["limits.admin.connections=2"]);
    frame.identity("admin", "admin");
    frame.start();
    for _ in 0..10 {
        ok(&frame, "admin", &["me"]);
    }
    frame.stop();
}
