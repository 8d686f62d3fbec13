//! `/metrics` as Prometheus reads it, in both of its formats, from a frame that has done something.
//! The page is also what the tests of rules and dashboard look names up in.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use loadgen::{Driver, Load};

use crate::books;
use crate::frame::{Frame, page, until};

const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";

/// The program that judges metrics and rules, where `cargo xtask test` says it is, or on `PATH`.
pub(crate) fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    let named = std::env::var_os("BEZANT_TEST_PROMTOOL").map(PathBuf::from);
    let program = named.unwrap_or_else(|| "promtool".into());
    let mut command = Command::new(&program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let spawned = command.spawn();
    let mut child = spawned.unwrap_or_else(|error| {
        panic!(
            "{}: {error}; the test needs promtool: `cargo xtask test` finds or fetches it",
            program.display()
        )
    });
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// A folder of what is shipped for monitoring.
pub(crate) fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The page of a frame that has paid, refused, settled, taken a snapshot and read it again.
pub(crate) async fn busy_page() -> String {
    let mut frame = Frame::with(&[], &["snapshot.interval_s=1", "scrub.mib_per_s=1024"]);
    frame.start();
    let load = Load { commands_max: 2_000, ..books::SMALL };
    let mut driver = Driver::prepare(&frame.target(), load).await.unwrap();
    driver.drive(&frame.target()).await.unwrap();
    frame.wait_settled();
    until("a snapshot is taken", || frame.page("/metrics").1.contains("bezant_snapshot_bytes "));
    until("a pass is over", || {
        frame.page("/metrics").1.contains("bezant_scrub_last_pass_seconds ")
    });
    let (status, _, body) = page(frame.admin(), "/metrics", "*/*");
    assert_eq!(status, 200);
    is_told_of_work(&frame);
    for kind in ["*/*", OPEN_METRICS] {
        let (status, head, body) = page(frame.admin(), "/metrics", kind);
        assert_eq!(status, 200);
        let is_open = kind == OPEN_METRICS;
        let kind = if is_open { "application/openmetrics-text" } else { "text/plain" };
        assert!(head.contains(kind), "{head}");
        is_well_formed(&body, is_open);
    }
    frame.stop();
    body
}

/// What was done is in the figures that name it.
fn is_told_of_work(frame: &Frame) {
    let at_least = |name: &str, least: f64| {
        let value = frame.figure(name);
        assert!(value >= least, "{name} is {value}");
    };
    at_least("bezant_journal_commands_total", 2_000.0);
    at_least("bezant_request_seconds_count{door=\"quic\",kind=\"write\"}", 1.0);
    at_least("bezant_request_span_seconds_count{span=\"commit\"}", 1.0);
    at_least("bezant_journal_sync_seconds_count", 1.0);
    at_least("bezant_settlement_commit_seconds_count", 1.0);
    at_least("bezant_settlement_commit_seconds_sum", 1e-6);
    at_least("bezant_stage_working_seconds_total{stage=\"engine\"}", 1e-6);
    at_least("bezant_limit_used{table=\"accounts\"}", 10.0);
    at_least("bezant_limit_capacity{table=\"ids\"}", 10.0);
    at_least("bezant_journal_disk_free_bytes", 1.0);
    at_least("bezant_supply_circulating{asset=\"1\"}", 1.0);
    at_least("bezant_identity_expires_in_seconds", 1.0);
    at_least("process_resident_memory_bytes", 1e6);
    at_least("bezant_ready", 1.0);
    for name in ["bezant_supply_delta{asset=\"1\"}", "bezant_mint_halted", "bezant_journal_full"] {
        assert_eq!(frame.figure(name), 0.0, "{name}");
    }
}

/// Every line is a figure of a family that was described before it, in one piece, and an
/// OpenMetrics page ends as it must.
fn is_well_formed(body: &str, is_open: bool) {
    assert_eq!(body.ends_with("# EOF\n"), is_open, "the end");
    let mut families: Vec<(&str, &str)> = Vec::new();
    for line in body.lines().filter(|line| *line != "# EOF") {
        if let Some(described) = line.strip_prefix("# TYPE ") {
            let family = described.split_once(' ').unwrap();
            assert!(!families.iter().any(|(name, _)| *name == family.0), "twice: {line}");
            families.push(family);
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let name = name.split('{').next().unwrap();
            let (family, kind) = families.last().unwrap();
            let suffixes: &[&str] = match *kind {
                "counter" if is_open => &["_total"],
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            let suffix = name.strip_prefix(family);
            assert!(suffix.is_some_and(|suffix| suffixes.contains(&suffix)), "{line}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    assert!(families.len() > 100, "{} families", families.len());
}
