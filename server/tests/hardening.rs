//! What an attacker with a socket, a certificate or a look at the logs gets: constant answers, no
//! secrets, and a place in the audit log.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{self, Stdio};

use client::{Command, CommandId, OwnerId, Status, query};
use protocol::Kind;
use protocol::data::{self, TAG_REASON};
use protocol::ids::NATIVE;
use serde_json::Value;
use zerocopy::IntoBytes as _;

use crate::books;
use crate::frame::{Frame, must, say, until};
use crate::quic;

const ALICE: &str = "01900000-0000-7000-8000-00000000000a";
const ALICE_ID: OwnerId = 0x0190_0000_0000_7000_8000_0000_0000_000a;
const BOB_ID: OwnerId = ALICE_ID + 1;
const CAROL_ID: OwnerId = ALICE_ID + 2;
const NOBODY_ID: OwnerId = ALICE_ID + 99;

fn lines(frame: &Frame) -> Vec<Value> {
    let text = std::fs::read_to_string(frame.home.data_dir.join("audit.log")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_is_not_yours_and_what_is_not_there_look_the_same() {
    let mut frame = Frame::new();
    frame.start();
    books::run(async {
        let north = frame.client("registry", "north").await;
        must(&north, Command::open(north.ids().next_id(), BOB_ID, NATIVE)).await;
        let alice = frame.client("agent", ALICE).await;
        let south = frame.client("registry", "south").await;
        for client in [&alice, &south] {
            let asked = |owner| {
                let account = *query::account(owner, NATIVE).command();
                let hold = *query::hold(owner, NATIVE, CommandId(7)).command();
                let outcome = *query::outcome(owner, CommandId(7)).command();
                [account, hold, outcome]
            };
            let theirs = client.read(&asked(BOB_ID)).await.unwrap();
            let nowhere = client.read(&asked(NOBODY_ID)).await.unwrap();
            assert_eq!(theirs.as_slice().as_bytes(), nowhere.as_slice().as_bytes());
            assert!(theirs.iter().all(|answer| answer.status == Status::NotFound.number()));
            for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_read() && !kind.is_internal())
            {
                let of = |debit| Command {
                    debit,
                    credit: CAROL_ID,
                    asset: NATIVE,
                    ..Command::new(kind, client.ids().next_id())
                };
                let (theirs, nowhere) =
                    (say(client, of(BOB_ID)).await, say(client, of(NOBODY_ID)).await);
                // A registry hosts whoever is free, so that it may open and pay for itself.
                if kind == Kind::Open {
                    continue;
                }
                assert_eq!(theirs, nowhere, "{kind:?} by {:?}", client.hello().role);
            }
        }
    });
    frame.stop();
}

#[test]
fn privilege_and_trespass_are_in_the_audit_log() {
    let mut frame = Frame::new();
    frame.start();
    books::run(async {
        let north = frame.client("registry", "north").await;
        must(&north, Command::open(north.ids().next_id(), BOB_ID, NATIVE)).await;
        let freeze = Command {
            debit: BOB_ID,
            asset: NATIVE,
            code: 3,
            data: 1,
            ..Command::new(Kind::Freeze, north.ids().next_id())
        };
        let slots = [vec![freeze], data::encode(&[(TAG_REASON, b"a\n\x1b[31mreason")])].concat();
        let reply = north.request(&slots).await.unwrap();
        assert_eq!(reply.first_refusal(), None);
        let alice = frame.client("agent", ALICE).await;
        let theft = Command::transfer(alice.ids().next_id(), BOB_ID, ALICE_ID, NATIVE, 5);
        assert_eq!(say(&alice, theft).await, Status::NotFound);
        let pay = Command::transfer(alice.ids().next_id(), ALICE_ID, BOB_ID, NATIVE, 5);
        say(&alice, pay).await;
        let nobody = quic::anonymous(quic::tls(&frame.identity("agent", ALICE)));
        if let Ok(raw) = quic::connect(frame.quic(), nobody).await {
            raw.hears_nothing().await;
        }
    });
    frame.stop();
    let lines = lines(&frame);
    let find = |key: &str, value: &str| lines.iter().find(|line| line[key] == value);
    let frozen = find("kind", "freeze").unwrap();
    assert_eq!(frozen["spiffe_id"], "spiffe://frame.test/registry/north");
    assert_eq!((&frozen["role"], &frozen["status"]), (&"registry".into(), &"ok".into()));
    assert_eq!(frozen["owner"], "01900000-0000-7000-8000-00000000000b");
    assert!(frozen["sequence"].as_u64().unwrap() > 0);
    assert_eq!(frozen["reason"], "a\\u{a}\\u{1b}[31mreason");
    let theft = find("kind", "transfer").unwrap();
    assert_eq!((&theft["status"], &theft["amount"]), (&"not_found".into(), &"5".into()));
    assert_eq!(lines.iter().filter(|line| line["kind"] == "transfer").count(), 1);
    assert_eq!(find("event", "connection_refused").unwrap()["reason"], "no_certificate");
    assert_eq!(lines.first().unwrap()["event"], "started");
    assert_eq!(lines.last().unwrap()["event"], "stopped");
    let printed = frame.ends_with(0, &["audit-log", "verify"]);
    assert!(printed.contains("every line verifies"), "{printed}");
}

#[test]
fn a_damaged_audit_log_is_kept_reported_and_continued() {
    let mut frame = Frame::new();
    frame.start();
    frame.stop();
    let path = frame.home.data_dir.join("audit.log");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[12] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    frame.start();
    assert_eq!(frame.page("/readyz").0, 200);
    frame.stop();
    assert!(frame.log().contains("the audit log was damaged"));
    assert_eq!(std::fs::read(frame.home.data_dir.join("audit.log.1")).unwrap(), bytes);
    assert_eq!(lines(&frame)[0]["event"], "continued");
    frame.ends_with(1, &["audit-log", "verify"]);
}

#[test]
fn a_killed_frame_goes_on_with_its_audit_log() {
    let mut frame = Frame::new();
    for _ in 0..2 {
        frame.start();
        until("the start is written", || frame.figure("bezant_audit_log_lines_total") >= 1.0);
        frame.take().kill();
    }
    frame.start();
    frame.stop();
    assert_eq!(lines(&frame).iter().filter(|line| line["event"] == "started").count(), 3);
    frame.ends_with(0, &["audit-log", "verify"]);
}

#[test]
fn no_secret_leaves_the_process() {
    const CANARY: &str = "canary-7f3a91";
    let mut frame = Frame::new();
    let file = frame.beside("dsn");
    std::fs::write(&file, format!("postgres://bezant:{CANARY}@127.0.0.1:1/bezant")).unwrap();
    let shown = frame.run(&[
        "--set",
        &format!("settlement.postgres=postgres://bezant:{CANARY}@127.0.0.1:1/bezant"),
        "config",
        "show",
    ]);
    assert!(shown.status.success());
    frame.set("settlement.sink=postgres");
    frame.set(&format!("settlement.postgres=@{}", file.display()));
    frame.set("log.level=trace");
    frame.start();
    let pid = frame.process().id();
    let key = key_text(&frame.home.data_dir.join("identity/server/svid.key"));
    books::run(async {
        let mint = frame.client("mint", "treasury").await;
        let north = frame.client("registry", "north").await;
        must(&north, Command::open(north.ids().next_id(), BOB_ID, NATIVE)).await;
        must(&mint, Command::issue(mint.ids().next_id(), BOB_ID, NATIVE, 1_000)).await;
        let _ = say(&mint, Command::new(Kind::Freeze, CommandId(1))).await;
    });
    let ready = frame.page("/readyz").1;
    let metrics = frame.page("/metrics").1;
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
    // The frame is undumpable: nobody but root reads its environment.
    let environment = std::fs::read(format!("/proc/{pid}/environ"));
    let is_root = rustix::process::geteuid().is_root();
    assert_eq!(environment.is_ok(), is_root, "{environment:?}");
    let environment = String::from_utf8_lossy(&environment.unwrap_or_default()).into_owned();
    frame.take().kill();
    let audit = std::fs::read_to_string(frame.home.data_dir.join("audit.log")).unwrap();
    let log = frame.log();
    assert!(log.contains("SQL does not answer"), "the canary was used: {log}");
    let config = format!("{}{}", shown.stdout, shown.stderr);
    for (place, text) in [
        ("/readyz", ready),
        ("/metrics", metrics),
        ("the log", log),
        ("the audit log", audit),
        ("the environment", environment),
        ("config show", config),
    ] {
        assert!(!text.contains(CANARY), "a password in {place}");
        assert!(!text.contains(&key), "a key in {place}");
        assert!(!text.contains("PRIVATE KEY"), "a key in {place}");
    }
}

/// A line of a key that nothing else contains.
fn key_text(path: &Path) -> String {
    let pem = std::fs::read_to_string(path).unwrap();
    pem.lines().nth(1).unwrap().to_owned()
}

#[test]
fn files_are_the_owners_alone() {
    let mut frame = Frame::new();
    frame.start();
    frame.wait_settled();
    frame.stop();
    // The test's own files lie there too.
    let is_ours = |path: &Path| !path.ends_with("serve.log");
    let mut dirs = vec![frame.home.data_dir.clone()];
    let mut files = 0;
    while let Some(dir) = dirs.pop() {
        let mode = std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700, "{}", dir.display());
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            files += 1;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            let is_public = path.extension().is_some_and(|extension| extension == "pem");
            let wanted = if is_public { 0o644 } else { 0o600 };
            assert!(!is_ours(&path) || mode & !wanted == 0, "{} {mode:o}", path.display());
        }
    }
    assert!(files > 5);
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&frame.home.data_dir, open).unwrap();
    let (code, log) = frame.refuses_to_start();
    assert_eq!(code, 74);
    assert!(log.contains("0755") && log.contains("0700"), "{log}");
}

#[test]
fn a_command_that_builds_an_engine_is_the_first_to_go_when_memory_is_short() {
    let frame = Frame::new();
    // A database that never answers: there is time to look.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let mut command = process::Command::new(&frame.home.binary)
        .arg("verify-settlement")
        .arg("--data-dir")
        .arg(&frame.home.data_dir)
        .args(["--set", "settlement.sink=postgres"])
        .args(["--set", &format!("settlement.postgres=postgres://bezant@{address}/none")])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let place = format!("/proc/{}/oom_score_adj", command.id());
    until("it says so", || std::fs::read_to_string(&place).unwrap().trim() == "1000");
    command.kill().unwrap();
    command.wait().unwrap();
}
