//! What `bezant doctor` says of a frame that is as it should be, and of every way in which this
//! test makes it otherwise; and that `serve` refuses a database that may lose what it commits.

use std::collections::BTreeSet;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;

use identity::FileSource;
use serde_json::Value;

use crate::clock;
use crate::cluster::Cluster;
use crate::frame::{Frame, until};

/// Exit code of a machine or configuration that is not fit.
const UNFIT: i32 = 82;

/// What it says, and how it ended.
fn asked(frame: &Frame) -> (Value, i32) {
    let finished = frame.run(&["doctor", "--json"]);
    let report = serde_json::from_str(&finished.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}{}", finished.stdout, finished.stderr);
    });
    (report, finished.status.code().unwrap())
}

/// The verdict of one check.
fn verdict<'a>(report: &'a Value, check: &str) -> &'a str {
    let mut findings = report["findings"].as_array().unwrap().iter();
    let found = findings.find(|finding| finding["check"] == check && finding["verdict"] != "ok");
    found.map_or("ok", |finding| {
        assert!(!finding["cure"].as_str().unwrap().is_empty(), "{finding}");
        finding["verdict"].as_str().unwrap()
    })
}

/// That this check alone fails, and with it all.
fn fails(frame: &Frame, check: &str) {
    let (report, code) = asked(frame);
    let findings = report["findings"].as_array().unwrap().iter();
    let failed: BTreeSet<_> = findings
        .filter(|finding| finding["verdict"] == "fail")
        .map(|finding| finding["check"].as_str().unwrap())
        .collect();
    assert_eq!(failed, BTreeSet::from([check]), "{report:#}");
    assert_eq!((code, report["verdict"].as_str()), (UNFIT, Some("fail")));
}

fn names(frame: &Frame) -> Vec<String> {
    let entries = fs::read_dir(&frame.home.data_dir).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(path: &std::path::Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_frame_as_it_should_be_is_fit_stopped_and_running() {
    let mut frame = Frame::new();
    let before = names(&frame);
    let (report, code) = asked(&frame);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["running"], false);
    for check in [
        "directory",
        "frame",
        "permissions",
        "open files",
        "journal time",
        "listen.quic",
        "listen.https",
        "listen.admin",
        "certificate",
        "certificate end",
        "trust bundle",
        "certificate authority",
        "sql",
    ] {
        assert_eq!(verdict(&report, check), "ok", "{report:#}");
    }
    assert_eq!(names(&frame), before, "it leaves nothing behind");
    frame.start();
    let doors = [("quic", frame.quic()), ("https", frame.https()), ("admin", frame.admin())];
    for (name, address) in doors {
        frame.home.settings.push(format!("listen.{name}={address}"));
    }
    let (report, code) = asked(&frame);
    assert_eq!((code, &report["running"]), (0, &Value::Bool(true)), "{report:#}");
    assert_eq!(verdict(&report, "listen.quic"), "ok", "{report:#}");
    let ready = frame.ends_with(0, &["health"]);
    assert!(ready.contains("\"ready\":true"), "{ready}");
    frame.stop();
    let away = frame.ends_with(75, &["health"]);
    assert!(away.contains("listen.admin"), "{away}");
    // The doors of a frame that is not running, held by somebody else.
    let _quic = UdpSocket::bind(doors[0].1).unwrap();
    fails(&frame, "listen.quic");
    drop(_quic);
    let _https = TcpListener::bind(doors[1].1).unwrap();
    fails(&frame, "listen.https");
}

#[test]
fn what_is_missing_or_open_to_others_is_named_with_its_cure() {
    let frame = Frame::new();
    let data = &frame.home.data_dir;
    mode(data, 0o755);
    fails(&frame, "permissions");
    let told = frame.ends_with(UNFIT, &["doctor"]);
    assert!(told.contains("FAIL") && told.contains("→ chmod -R go="), "{told}");
    mode(data, 0o700);

    let key = data.join("identity/server/svid.key");
    mode(&key, 0o644);
    fails(&frame, "certificate");
    mode(&key, 0o600);

    // The same trust domain, another authority.
    let bundle = data.join("identity/server/bundle.pem");
    let ours = fs::read(&bundle).unwrap();
    let other = Frame::new();
    fs::copy(other.home.data_dir.join("identity/server/bundle.pem"), &bundle).unwrap();
    fails(&frame, "certificate");
    fs::write(&bundle, ours).unwrap();

    let journal = data.join("journal");
    let aside = data.join("aside");
    fs::rename(&journal, &aside).unwrap();
    fails(&frame, "frame");
    fs::rename(&aside, &journal).unwrap();
    assert_eq!(asked(&frame).1, 0);

    let nowhere = Frame::unmade(&[]);
    let (report, code) = asked(&nowhere);
    assert_eq!((verdict(&report, "directory"), code), ("fail", UNFIT));
}

#[test]
fn a_renewed_certificate_is_taken_up_by_the_running_frame() {
    let mut frame = Frame::with(&["--host-name", "pay.frame.test"], &[]);
    frame.start();
    let own = |name: &str| frame.home.data_dir.join("identity").join(name);
    let ends = |frame: &Frame| {
        let report = asked(frame).0;
        let mut findings = report["findings"].as_array().unwrap().iter();
        let found = findings.find(|finding| finding["check"] == "certificate end").unwrap();
        found["found"].as_str().unwrap().to_owned()
    };
    assert!(ends(&frame).starts_with("in 36"), "a year: {}", ends(&frame));
    let renewed = frame.ends_with(0, &["identity", "renew", "--hours", "240"]);
    assert!(renewed.contains("spiffe://frame.test/frame/engine"), "{renewed}");
    assert!(["in 9 days", "in 10 days"].contains(&ends(&frame).as_str()), "{}", ends(&frame));
    until("it is taken up", || frame.log().contains("certificates reloaded"));
    let names = FileSource::open(own("server")).unwrap().current().host_names();
    assert!(names.contains(&"pay.frame.test".to_owned()), "it keeps its names: {names:?}");
    frame.ends_with(0, &["identity", "renew", "--host-name", "api.frame.test"]);
    let more = FileSource::open(own("server")).unwrap().current().host_names();
    assert_eq!(more, [&names[..], &["api.frame.test".to_owned()]].concat(), "one more, none twice");
    fs::rename(own("ca"), own("away")).unwrap();
    frame.ends_with(77, &["identity", "renew"]);
    assert!(!own("ca").exists(), "no authority is made");
    frame.stop();
}

#[test]
fn a_clock_that_would_be_refused_fails_here() {
    let mut frame = clock::made_at(clock::HOUR_S);
    fails(&frame, "journal time");
    frame.set("clock.accept_step=true");
    let (report, code) = asked(&frame);
    assert_eq!((verdict(&report, "journal time"), code), ("warn", 0), "{report:#}");
}

#[test]
fn a_shell_that_grants_too_little_is_named() {
    let mut frame = Frame::new();
    let granted = |frame: &mut Frame, limits: &str| {
        let path = frame.beside("granted");
        let bezant = env!("CARGO_BIN_EXE_bezant");
        fs::write(&path, format!("#!/bin/sh\n{limits}\nexec {bezant} \"$@\"\n")).unwrap();
        mode(&path, 0o700);
        frame.home.binary = path;
    };
    granted(&mut frame, "ulimit -n 256");
    fails(&frame, "open files");
    // In blocks of 512 bytes: 4 MiB.
    granted(&mut frame, "ulimit -f 8192");
    fails(&frame, "file size");
    granted(&mut frame, "ulimit -n 1024");
    assert_eq!(asked(&frame).1, 0);
}

#[test]
fn a_database_that_may_lose_rows_is_refused_until_it_is_mended() {
    let cluster = Cluster::start();
    let address = format!("settlement.postgres={}", cluster.address());
    let mut frame = Frame::with(&[], &["settlement.sink=postgres", &address]);
    let (report, code) = asked(&frame);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(verdict(&report, "fsync"), "ok");
    assert_eq!(verdict(&report, "sql role"), "warn", "the tests are superuser: {report:#}");
    cluster.crash();
    cluster.go_with("-c fsync=off");
    fails(&frame, "fsync");
    let (code, log) = frame.refuses_to_start();
    assert_eq!(code, 78, "{log}");
    assert!(log.contains("fsync is off") && log.contains("turn it on"), "{log}");
    cluster.crash();
    fails(&frame, "sql");
    // One that does not answer is another matter: the frame serves without it.
    frame.start();
    cluster.go();
    frame.wait_settled();
    frame.stop();
    frame.is_sound();
    assert_eq!(asked(&frame).1, 0);
}
