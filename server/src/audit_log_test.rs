//! The audit log on real files: chained, verified, continued, and never in the way.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use gateway::Door;
use protocol::{Kind, Status};

use super::*;

fn refusal(reason: &'static str) -> Event {
    let remote = "127.0.0.1:9".parse().unwrap();
    Event::Refused { door: Door::Quic, remote, reason, cause: "no\nsuch \u{1b}[31mpeer".into() }
}

fn freeze(status: Status, text: &str) -> Event {
    Event::Command(Box::new(audited(status, text)))
}

fn audited(status: Status, text: &str) -> Audited {
    Audited {
        door: Door::Https,
        spiffe_id: Some("spiffe://frame.test/admin/root".into()),
        principal: 1 << 100,
        role: "admin",
        kind: Kind::SystemTransfer,
        id: 2,
        debit: 3,
        credit: 0,
        asset: 1,
        amount: u128::MAX,
        code: 5,
        sequence: 77,
        status,
        is_repeat: false,
        text: text.into(),
        more: 0,
    }
}

fn lines(dir: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(dir.join(chain::FILE)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn run(dir: &Path, events: impl IntoIterator<Item = Event>) -> Figures {
    let log = AuditLog::start(dir).unwrap();
    log.started(0xf0, 3);
    events.into_iter().for_each(|event| log.note(event));
    log.stop();
    log.figures()
}

#[test]
fn events_are_chained_across_starts() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), [refusal("identity"), freeze(Status::Ok, "a \"quoted\"\n\u{9b}reason")]);
    let figures = run(dir.path(), [freeze(Status::NotFound, "")]);
    assert_eq!(figures, Figures { written: 3, suppressed: 0, lost: 0, is_failing: false });
    let lines = lines(dir.path());
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    let once = ["started", "connection_refused", "command", "stopped"];
    assert_eq!(events, [&once[..], &["started", "command", "stopped"]].concat());
    assert_eq!(lines[2]["kind"], "system_transfer");
    assert_eq!(lines[2]["amount"], u128::MAX.to_string());
    assert_eq!(lines[2]["reason"], "a \"quoted\"\\u{a}\\u{9b}reason");
    assert_eq!(lines[5]["status"], "not_found");
    let verified = chain::verify(&dir.path().join(chain::FILE)).unwrap();
    assert_eq!((verified.lines, verified.flaw), (7, None));
    let mode = fs::metadata(dir.path().join(chain::FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn every_changed_byte_is_found_and_the_file_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), [refusal("identity")]);
    let path = dir.path().join(chain::FILE);
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, &bad).unwrap();
        let verified = chain::verify(&path).unwrap();
        assert!(verified.flaw.is_some(), "byte {at}");
    }
    let mut bad = good;
    bad[20] ^= 1;
    fs::write(&path, &bad).unwrap();
    run(dir.path(), []);
    assert_eq!(fs::read(dir.path().join("audit.log.1")).unwrap(), bad, "the damaged file stays");
    let lines = lines(dir.path());
    assert_eq!(lines[0]["event"], "continued");
    assert_eq!(lines[0]["file"], "audit.log.1");
    assert!(lines[0]["flaw"].is_string());
    assert!(verify(dir.path()).is_err(), "the damage is reported for ever");
    fs::remove_file(dir.path().join("audit.log.1")).unwrap();
    let path = dir.path().join(chain::FILE);
    assert_eq!(chain::verify(&path).unwrap().flaw, None, "the new file stands for itself");
    assert!(verify(dir.path()).is_err(), "what it goes on from is missed");
}

#[test]
fn a_torn_line_is_not_written_over() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), []);
    let path = dir.path().join(chain::FILE);
    let mut torn = fs::read(&path).unwrap();
    torn.truncate(torn.len() - 5);
    fs::write(&path, &torn).unwrap();
    run(dir.path(), []);
    assert_eq!(fs::read(dir.path().join("audit.log.1")).unwrap(), torn);
    assert_eq!(lines(dir.path())[0]["flaw"], "the line is not whole");
}

#[test]
fn a_flood_is_counted_and_privilege_is_not_drowned() {
    let dir = tempfile::tempdir().unwrap();
    let flood = (0..5_000).map(|_| refusal("tls"));
    let figures = run(dir.path(), flood.chain([freeze(Status::Ok, "")]));
    let lines = lines(dir.path());
    assert!(lines.len() < 100, "{}", lines.len());
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).count() as u64;
    let counted = lines.iter().find(|line| line["event"] == "suppressed").unwrap();
    assert_eq!(counted["reason"], "tls");
    assert_eq!(counted["count"].as_u64().unwrap() + of("connection_refused"), 5_000);
    assert_eq!(figures.suppressed, counted["count"].as_u64().unwrap());
    assert_eq!(of("command"), 1);
    assert_eq!(figures.lost, 0);
}

#[test]
fn a_full_disk_is_said_counted_and_overcome() {
    let dir = tempfile::tempdir().unwrap();
    let log = AuditLog::start(dir.path()).unwrap();
    log.stop();
    let (_sender, receiver) = bounded(1);
    let shared = Arc::clone(&log.shared);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let verified = chain::verify(&dir.path().join(chain::FILE)).unwrap();
    let mut writer = Writer {
        shared,
        receiver,
        dir: dir.path().to_owned(),
        file: full,
        held: verified,
        succeed_after: chain::FILE_SIZE_MAX,
        told_lost: 0,
    };
    let entry = || [Entry { time: 1, what: What::Stopped }];
    writer.write(&entry());
    writer.write(&entry());
    assert!(log.figures().is_failing);
    writer.write(&[]);
    assert_eq!(log.figures().lost, 2);
    writer.file = fs::OpenOptions::new().append(true).open(dir.path().join(chain::FILE)).unwrap();
    // With nothing new to write: what was lost is told, and it is known to be over.
    writer.write(&[]);
    assert!(!log.figures().is_failing);
    writer.write(&[]);
    let lines = lines(dir.path());
    assert_eq!(lines.len(), 2);
    assert_eq!((lines[1]["event"].as_str(), lines[1]["count"].as_u64()), (Some("lost"), Some(2)));
    assert!(verify(dir.path()).is_ok());
}

#[test]
fn a_log_that_others_can_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), []);
    let path = dir.path().join(chain::FILE);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o622)).unwrap();
    let refused = AuditLog::start(dir.path()).unwrap_err();
    assert!(refused.message.contains("0622"), "{}", refused.message);
}

/// Executed commands are no exception where anybody can have them executed: an agent turned
/// `agent_only` on and off until the disk was full.
#[test]
fn an_agent_that_executes_or_anybody_who_repeats_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let own = |kind| Audited { role: "agent", principal: 7, kind, ..audited(Status::Ok, "") };
    let agent = (0..5_000).map(|at| own([Kind::AgentOnly, Kind::Burn][at % 2]));
    let repeat = Audited { principal: 8, is_repeat: true, ..audited(Status::Ok, "") };
    let repeats = std::iter::repeat_n(repeat, 5_000);
    let mint = || Audited { role: "mint", principal: 9, ..audited(Status::Ok, "") };
    let mints = (0..2_000).map(|_| mint());
    let events = agent.chain(repeats).chain(mints);
    let figures = run(dir.path(), events.map(|audited| Event::Command(Box::new(audited))));
    let lines = lines(dir.path());
    let is_of = |line: &&serde_json::Value, role: &str| line["role"] == role;
    let of = |role| lines.iter().filter(|line| is_of(line, role)).count();
    assert_eq!((of("mint"), figures.lost), (2_000, 0));
    assert!(of("agent") < 100 && of("admin") < 100, "{} {}", of("agent"), of("admin"));
    let counted = lines.iter().filter(|line| line["event"] == "suppressed");
    let counted: u64 = counted.map(|line| line["count"].as_u64().unwrap()).sum();
    assert_eq!(counted + (of("agent") + of("admin")) as u64, 10_000);
    assert_eq!(counted, figures.suppressed);
}

/// `stop` dropped its message when the queue was full and then waited for ever.
#[test]
fn a_stop_waits_for_room_in_the_queue() {
    let dir = tempfile::tempdir().unwrap();
    let log = AuditLog::start(dir.path()).unwrap();
    for _ in 0..3 * WAITING_MAX {
        log.send(What::Lost { count: 0 });
    }
    log.stop();
    assert_eq!(lines(dir.path()).last().unwrap()["event"], "stopped");
}

#[test]
fn a_running_log_goes_on_in_a_new_file_and_a_crash_between_its_names_is_healed() {
    let dir = tempfile::tempdir().unwrap();
    let log = AuditLog::start(dir.path()).unwrap();
    log.stop();
    let (_sender, receiver) = bounded(1);
    let path = dir.path().join(chain::FILE);
    let mut writer = Writer {
        shared: Arc::clone(&log.shared),
        receiver,
        dir: dir.path().to_owned(),
        file: fs::OpenOptions::new().append(true).open(&path).unwrap(),
        held: chain::verify(&path).unwrap(),
        succeed_after: 0,
        told_lost: 0,
    };
    for _ in 0..3 {
        writer.succeed();
        writer.write(&[Entry { time: 1, what: What::Stopped }]);
    }
    assert_eq!(lines(dir.path())[0]["file"], "audit.log.3");
    assert_eq!(writer.held, chain::verify(&path).unwrap());
    assert!(verify(dir.path()).is_ok());

    // The file has lost its name and the next has none yet, or nothing in it.
    fs::write(dir.path().join("audit.log.next"), "half a li").unwrap();
    fs::rename(&path, dir.path().join("audit.log.4")).unwrap();
    run(dir.path(), []);
    assert_eq!(lines(dir.path())[0]["file"], "audit.log.4");
    assert!(verify(dir.path()).is_ok());
    fs::rename(&path, dir.path().join("audit.log.5")).unwrap();
    fs::write(&path, "").unwrap();
    run(dir.path(), []);
    assert!(verify(dir.path()).is_ok());

    // A file that is taken away is missed, wherever it stood, and its number is not given again.
    for number in [1, 3, 5] {
        let name = format!("audit.log.{number}");
        let (file, away) = (dir.path().join(&name), dir.path().join("away"));
        fs::rename(&file, &away).unwrap();
        assert!(verify(dir.path()).is_err(), "{name}");
        fs::rename(&away, &file).unwrap();
    }
    fs::remove_file(dir.path().join("audit.log.1")).unwrap();
    fs::write(&path, "damaged\n").unwrap();
    run(dir.path(), []);
    assert_eq!(lines(dir.path())[0]["file"], "audit.log.6");
}

#[test]
fn texts_of_others_are_cut_before_they_grow() {
    let dir = tempfile::tempdir().unwrap();
    let remote = "127.0.0.1:9".parse().unwrap();
    let cause = "\u{1}".repeat(100_000);
    run(dir.path(), [Event::Refused { door: Door::Quic, remote, reason: "tls", cause }]);
    let cause = lines(dir.path())[1]["cause"].as_str().unwrap().len();
    assert_eq!(cause, line::TEXT_LEN_MAX * "\\u{1}".len());
    assert!(verify(dir.path()).is_ok());
}
