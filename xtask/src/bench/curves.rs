//! Open-loop latency against offered load, from a tenth of the measured peak to all of it, for
//! batches of 1, 100 and 8 190. Latency counts from when a request was meant to be sent.

use serde_json::{Value, json};

use super::Bench;
use super::loads::{command, find, folder};
use super::outcome::{Figure, Outcome};
use super::plot::{Axis, Chart, Line, page};

/// The closed loads whose rates are the peaks.
pub(super) const PEAK_8190: &str = "QUIC: 10 k accounts, batches of 8 190";
pub(super) const PEAK_100: &str = "QUIC: 64 connections, batches of 100";
pub(super) const PEAK_1: &str = "QUIC: 32 connections, one transfer at a time";

/// Percent of the peak.
const SHARES: [u32; 10] = [10, 20, 30, 40, 50, 60, 70, 80, 90, 100];
/// Of each point.
const SECONDS: u32 = 5;

struct Curve {
    name: &'static str,
    arguments: &'static str,
    peak: &'static str,
    /// Milliseconds of p99 at half of the peak, at most.
    p99_ms: Option<f64>,
}

const CURVES: [Curve; 3] = [
    Curve {
        name: "open loop: batches of 8 190",
        arguments: "--accounts 10000 --connections 1 --batch 8190",
        peak: PEAK_8190,
        p99_ms: Some(5.0),
    },
    Curve {
        name: "open loop: 64 connections, batches of 100",
        arguments: "--accounts 10000 --connections 64 --batch 100",
        peak: PEAK_100,
        p99_ms: None,
    },
    Curve {
        name: "open loop: 32 connections, batches of 1",
        arguments: "--accounts 10000 --connections 32 --batch 1",
        peak: PEAK_1,
        p99_ms: None,
    },
];

/// What is drawn: the name of a line, and where the harness's report has it.
const DRAWN: [(&str, &str); 4] = [
    ("p50", "/latency_us/p50"),
    ("p99", "/latency_us/p99"),
    ("p99.9", "/latency_us/p999"),
    ("max", "/latency_us/max"),
];

pub(super) fn measure(bench: &Bench, outcome: &mut Outcome) {
    for curve in CURVES.iter().filter(|curve| bench.wants("open loop", curve.name)) {
        let points = points(bench, curve, outcome.measured(curve.peak, "rate"));
        let (figures, details) = match points {
            Ok(points) => {
                let drawn = draw(bench, curve, &points);
                (drawn.map(|()| figures(curve, &points)), Value::Array(points))
            }
            Err(reason) => (Err(reason), Value::Null),
        };
        let arguments = format!("{} --rate N --seconds {SECONDS}", curve.arguments);
        outcome.add(curve.name, &command(&arguments), figures, details);
    }
}

/// One report for each share. Without a measured peak it is measured first.
fn points(bench: &Bench, curve: &Curve, peak: Option<f64>) -> Result<Vec<Value>, String> {
    let peak = match peak {
        Some(peak) => peak,
        None => {
            let closed = format!("{} --in-flight {}", curve.arguments, closed_in_flight(curve));
            find(&once(bench, &format!("{closed} --seconds {SECONDS}"))?, "/commands_per_second")
        }
    };
    let point = |share: u32| {
        let rate = peak * f64::from(share) / 100.0;
        let arguments = format!("{} --rate {rate:.0} --seconds {SECONDS}", curve.arguments);
        let mut report = once(bench, &arguments)?;
        if let Value::Object(fields) = &mut report {
            fields.remove("intervals");
            fields.insert("share_of_peak".to_owned(), json!(share));
        }
        Ok(report)
    };
    SHARES.into_iter().map(point).collect()
}

fn closed_in_flight(curve: &Curve) -> u32 {
    if curve.peak == PEAK_1 { 1 } else { 4 }
}

fn once(bench: &Bench, arguments: &str) -> Result<Value, String> {
    bench.frame.init(&[])?;
    let server = bench.frame.serve(&[])?;
    // Time is the limit, not the number of commands.
    bench.frame.drive(&server, &format!("{arguments} --commands 1000000000"), None)
}

fn figures(curve: &Curve, points: &[Value]) -> Vec<Figure> {
    let at = |share: u32, path: &str| {
        let point = points.iter().find(|point| point["share_of_peak"] == share);
        point.map_or(f64::NAN, |point| find(point, path) / 1e3)
    };
    vec![
        Figure::new("p50 at half of peak", "ms", at(50, "/latency_us/p50")),
        Figure::new("p99 at half of peak", "ms", at(50, "/latency_us/p99")).at_most(curve.p99_ms),
        Figure::new("p99 at 90 % of peak", "ms", at(90, "/latency_us/p99")),
    ]
}

fn draw(bench: &Bench, curve: &Curve, points: &[Value]) -> Result<(), String> {
    let line = |(name, path): (&str, &str)| Line {
        name: name.to_owned(),
        points: points
            .iter()
            .map(|point| (find(point, "/settings/rate"), find(point, path) / 1e3))
            .collect(),
    };
    let by_load = Chart {
        title: curve.name.to_owned(),
        x_label: "offered commands a second".to_owned(),
        y_label: "milliseconds".to_owned(),
        x: Axis::Linear,
        y: Axis::Log,
        lines: DRAWN.into_iter().map(line).collect(),
    };
    let shares =
        points.iter().filter(|point| [10, 50, 90].iter().any(|s| point["share_of_peak"] == *s));
    let by_percentile = Chart {
        title: "by percentile, at shares of the peak".to_owned(),
        x_label: "share of requests".to_owned(),
        x: Axis::Percentile,
        lines: shares.map(percentiles).collect(),
        ..by_load.clone()
    };
    let path = bench.frame.reports().join(format!("{}.svg", folder(curve.name)));
    std::fs::write(&path, page(&[by_load, by_percentile]))
        .map_err(|error| format!("{}: {error}", path.display()))
}

fn percentiles(report: &Value) -> Line {
    let curve = report["latency_curve"].as_array().map_or(&[][..], Vec::as_slice);
    let points = curve
        .iter()
        .map(|point| (find(point, "/quantile"), find(point, "/latency_us") / 1e3))
        .collect();
    Line { name: format!("{} %", report["share_of_peak"]), points }
}
