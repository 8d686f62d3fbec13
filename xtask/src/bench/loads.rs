//! The rows of closed loads: as many requests in flight as a row says, the next when one is
//! answered; and what the harness itself costs without a frame.

use serde_json::Value;

use super::Bench;
use super::outcome::{Figure, Outcome};
use super::watch;

/// One load: what it is called, how the harness is asked for it, and its budget.
struct Load {
    name: &'static str,
    arguments: &'static str,
    /// Commands a second, at least.
    rate: Option<f64>,
    /// Milliseconds, at most.
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
}

const fn load(name: &'static str, arguments: &'static str, rate: f64) -> Load {
    Load { name, arguments, rate: Some(rate), p50_ms: None, p99_ms: None }
}

const LOADS: [Load; 11] = [
    load(super::curves::PEAK_8190, "--accounts 10000 --commands 10000000", 2.5e6),
    load(
        "QUIC: 1 M accounts, batches of 8 190",
        "--accounts 1000000 --commands 10000000 --seed 2",
        2e6,
    ),
    load(
        "QUIC: 10 k accounts, 30 % holds",
        "--accounts 10000 --commands 5000000 --holds 30 --seed 3",
        1.5e6,
    ),
    load(
        super::curves::PEAK_100,
        "--accounts 10000 --connections 64 --batch 100 --commands 3000000 --seed 4",
        1e6,
    ),
    load(
        "QUIC: 64 connections, batches of 10",
        "--accounts 10000 --connections 64 --batch 10 --commands 1000000 --seed 10",
        250e3,
    ),
    Load {
        p50_ms: Some(1.0),
        ..load(
            super::curves::PEAK_1,
            "--accounts 10000 --connections 32 --in-flight 1 --batch 1 --commands 200000 --seed 5",
            40e3,
        )
    },
    Load {
        name: "QUIC: single transfer, idle",
        arguments: "--accounts 1000 --in-flight 1 --batch 1 --commands 5000 --seed 6",
        rate: None,
        p50_ms: Some(0.4),
        p99_ms: Some(1.5),
    },
    load(
        "HTTPS: 10 k accounts, batches of 8 190",
        "--door https-binary --accounts 10000 --commands 10000000 --seed 7",
        2.5e6,
    ),
    Load {
        rate: None,
        ..load(
            "HTTPS: the same over HTTP/2",
            "--door https-binary-h2 --accounts 10000 --commands 10000000 --seed 7",
            0.0,
        )
    },
    load(
        "HTTPS: 64 connections, one transfer a request as JSON",
        "--door https-json --accounts 10000 --connections 64 --commands 300000 --seed 8",
        40e3,
    ),
    Load {
        rate: None,
        ..load(
            "HTTPS: single transfer as JSON, idle",
            "--door https-json --accounts 1000 --commands 5000 --seed 9",
            0.0,
        )
    },
];

/// The same loads without a frame.
const NULLS: [(&str, &str); 3] = [
    ("null: QUIC, batches of 8 190", "--accounts 10000 --commands 10000000"),
    ("null: QUIC, batches of 1", "--accounts 10000 --commands 1000000 --batch 1"),
    ("null: JSON, one transfer a request", "--door https-json --accounts 10000 --commands 1000000"),
];

/// How a row is measured by hand.
pub(super) fn command(arguments: &str) -> String {
    format!("bezant-loadgen {arguments} --registry DIR --mint DIR")
}

/// A number of the harness's report.
pub(super) fn find(report: &Value, path: &str) -> f64 {
    report.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

/// What the harness found besides the figures of a row, without what is long.
pub(super) fn details(report: &Value) -> Value {
    let mut details = report.clone();
    if let Value::Object(fields) = &mut details {
        fields.remove("latency_curve");
        fields.remove("intervals");
    }
    details
}

/// A name as a folder for plots.
pub(super) fn folder(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("-")
}

pub(super) fn measure(bench: &Bench, outcome: &mut Outcome) {
    for load in LOADS.iter().filter(|load| bench.wants("loads", load.name)) {
        let report = once(bench, load);
        let details = report.as_ref().map_or(Value::Null, details);
        let figures = report.map(|report| figures(load, &report));
        let sentence = watch::sentence(&details["frame"]);
        outcome.add(load.name, &command(load.arguments), figures, details);
        sentence.iter().for_each(|sentence| outcome.say(load.name, "the frame", sentence));
    }
    for (name, arguments) in NULLS.into_iter().filter(|(name, _)| bench.wants("null", name)) {
        let report = bench.frame.drive_null(arguments);
        let details = report.as_ref().map_or(Value::Null, details);
        let figures = report.map(|report| {
            let each = find(&report, "/harness_cpu_seconds") / find(&report, "/executed");
            let rate = find(&report, "/commands_per_second");
            vec![Figure::new("rate", "/s", rate), Figure::new("a command", "ns", each * 1e9)]
        });
        let command = format!("bezant-loadgen {arguments} --null");
        outcome.add(name, &command, figures, details);
    }
}

fn once(bench: &Bench, load: &Load) -> Result<Value, String> {
    bench.frame.init(&[])?;
    let server = bench.frame.serve(&[])?;
    bench.frame.drive(&server, load.arguments, Some(&folder(load.name)))
}

fn figures(load: &Load, report: &Value) -> Vec<Figure> {
    let of = |what, path, unit, scale| Figure::new(what, unit, find(report, path) / scale);
    vec![
        of("rate", "/commands_per_second", "/s", 1.0).at_least(load.rate),
        of("p50", "/latency_us/p50", "ms", 1e3).at_most(load.p50_ms),
        of("p99", "/latency_us/p99", "ms", 1e3).at_most(load.p99_ms),
        of("harness", "/harness_cpu_seconds", "CPU s", 1.0),
    ]
}
