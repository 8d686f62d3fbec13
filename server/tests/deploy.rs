//! The files of `deploy/` against the tools that read them and the program that they are for: the
//! unit, what it forbids, the containers, and the password of the role.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use client::Command as Order;
use protocol::ids::NATIVE;

use crate::books;
use crate::cluster::Cluster;
use crate::frame::{Frame, must, until};
use crate::time_travel::ALICE;
use crate::upkeep::TAKEN;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// Exposure, in tenths, that `systemd-analyze security` may find at the most.
const EXPOSURE_MAX: &str = "20";

fn path(name: &str) -> std::path::PathBuf {
    Path::new(ROOT).join("deploy").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap()
}

fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = String::from_utf8_lossy(&stdout) + String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {status}\n{said}");
    said.into_owned()
}

fn analyze(arguments: &[&str]) -> String {
    run(Command::new("systemd-analyze").args(arguments).env("SYSTEMD_COLORS", "0"))
}

#[test]
fn systemd_reads_the_unit_without_a_word_and_finds_it_closed() {
    let dir = tempfile::tempdir().unwrap();
    // It must name programs that are there.
    let unit =
        text("systemd/bezant.service").replace("/usr/bin/bezant", env!("CARGO_BIN_EXE_bezant"));
    let unit = unit.replace("Documentation=man:bezant(1)\n", "");
    let file = dir.path().join("bezant.service");
    fs::write(&file, unit).unwrap();
    let file = file.display().to_string();
    let said = analyze(&["verify", &file]);
    assert!(!said.contains("bezant.service"), "{said}");
    analyze(&["security", "--offline=true", "--threshold", EXPOSURE_MAX, "--no-pager", &file]);
}

/// The system calls that the unit lets through.
fn allowed(unit: &str) -> BTreeSet<String> {
    let listed = analyze(&["syscall-filter", "--no-pager"]);
    let group = |name: &str| {
        let mut found = BTreeSet::new();
        let mut due = vec![name.to_owned()];
        while let Some(name) = due.pop() {
            let lines = listed.lines().skip_while(|line| **line != name).skip(1);
            for line in lines.take_while(|line| line.starts_with(' ')).map(str::trim) {
                match line.strip_prefix('@') {
                    Some(_) => due.push(line.to_owned()),
                    None if line.starts_with('#') => {}
                    None => drop(found.insert(line.to_owned())),
                }
            }
        }
        assert!(!found.is_empty(), "{name} is a group of systemd");
        found
    };
    let mut allowed = BTreeSet::new();
    for line in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        match line.strip_prefix('~') {
            None => line.split(' ').for_each(|name| allowed.extend(group(name))),
            Some(line) => line.split(' ').flat_map(group).for_each(|call| {
                allowed.remove(&call);
            }),
        }
    }
    allowed
}

#[test]
fn the_unit_forbids_no_system_call_that_a_frame_makes() {
    let mut frame = Frame::with(&[], &["snapshot.interval_s=1", "settlement.history=full"]);
    let (script, trace) = (frame.beside("traced"), frame.beside("calls"));
    let line = format!(
        "exec strace -D -f -qq -o {} {} \"$@\"",
        trace.display(),
        env!("CARGO_BIN_EXE_bezant")
    );
    fs::write(&script, format!("#!/bin/sh\n{line}\n")).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    frame.identity("registry", "north");
    frame.home.binary = script;
    frame.start();
    frame.heal();
    books::run(async {
        let north = frame.client("registry", "north").await;
        must(&north, Order::open(north.ids().next_id(), ALICE, NATIVE)).await;
    });
    until("a snapshot is taken", || frame.figure(TAKEN) >= 1.0);
    frame.stop();
    let calls = |trace: &str| -> BTreeSet<String> {
        let call = |line: &str| {
            let call = line.split_once(' ')?.1.trim_start();
            let name = call.split_once('(')?.0;
            name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_').then(|| name.to_owned())
        };
        trace.lines().filter_map(call).collect()
    };
    let mut made = BTreeSet::new();
    until("the tracer has seen the end", || {
        made = calls(&fs::read_to_string(&trace).unwrap());
        made.contains("exit_group")
    });
    // SQLite does so for root only, and goes on without it.
    made.remove("fchown");
    assert!(made.len() > 40 && made.contains("pwritev") && made.contains("recvmmsg"), "{made:?}");
    let allowed = allowed(&text("systemd/bezant.service"));
    let forbidden: Vec<_> = made.difference(&allowed).collect();
    assert!(forbidden.is_empty(), "the unit forbids {forbidden:?}");
}

#[test]
fn the_containers_are_closed_and_refer_to_what_is_there() {
    const CHECK: &str = r#"
import os, sys, yaml
folder = sys.argv[1]
for name in os.listdir(folder):
    if name.endswith(".yml"):
        yaml.safe_load(open(os.path.join(folder, name)))
compose = yaml.safe_load(open(os.path.join(folder, "compose.yml")))
services = compose["services"]
assert set(services) == {"init", "bezant", "postgres", "prometheus", "grafana"}, services.keys()
for name, service in services.items():
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert os.path.exists(os.path.join(folder, source)), (name, source)
        else:
            assert source in compose["volumes"], (name, source)
    for secret in service.get("secrets", []):
        assert secret in compose["secrets"], (name, secret)
    for other in service.get("depends_on", []):
        assert other in services, (name, other)
    if name != "postgres":
        assert service["cap_drop"] == ["ALL"], name
    assert not service.get("privileged"), name
for name in ("init", "bezant"):
    assert services[name]["read_only"] is True, name
used = {secret for service in services.values() for secret in service.get("secrets", [])}
assert used == set(compose["secrets"]), used
assert services["bezant"]["environment"]["BEZANT_SETTLEMENT_POSTGRES"] == "@/run/secrets/dsn"
"#;
    let python = std::env::var_os("BEZANT_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    run(Command::new(python).args(["-c", CHECK]).arg(path("docker")));
    let image = text("docker/Dockerfile");
    let line = |word: &str| image.lines().rfind(|line| line.starts_with(word)).unwrap();
    assert!(!line("USER").contains("root") && !line("USER").contains(" 0"), "{image}");
    assert!(image.contains("CMD [\"bezant\", \"health\"]"), "{image}");
    // What it sets are settings.
    let frame = Frame::unmade(&[]);
    let mut shown = Command::new(&frame.home.binary);
    shown.args(["config", "check"]);
    let all = image.replace("\\\n", " ");
    let variables = all.lines().find_map(|line| line.strip_prefix("ENV ")).unwrap();
    for (name, value) in variables.split_whitespace().filter_map(|pair| pair.split_once('=')) {
        shown.env(name, value);
    }
    run(&mut shown);
}

#[test]
fn the_role_gets_its_password() {
    let cluster = Cluster::start();
    cluster.ask("CREATE DATABASE bezant");
    cluster.ask(&text("postgres/roles.sql"));
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("password");
    fs::write(&secret, "0123abcd").unwrap();
    let script = text("docker/postgres-password.sh")
        .replace("/run/secrets/password", &secret.display().to_string());
    let mut shell = cluster.beside_psql(Command::new("sh"));
    run(shell.args(["-c", &script]));
    let hash = "SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = 'bezant'";
    assert_eq!(cluster.ask(hash), "t");
}
