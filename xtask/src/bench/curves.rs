//! Open-loop latency against offered load, from a tenth of the measured peak to 130 % of it, for
//! batches of 1, 100 and 8 190. Latency counts from when a request was meant to be sent.
//!
//! Past the peak latency so grows with the length of the run; what is bounded is what a request
//! takes inside the frame, and a point ends when all that was offered is answered or refused.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Bench;
use super::loads::{command, find, folder};
use super::outcome::{Figure, Outcome, number};
use super::plot::{Axis, Chart, Line, page};
use crate::server::Server;

/// The closed loads whose rates are the peaks.
pub(super) const PEAK_8190: &str = "QUIC: 10 k accounts, batches of 8 190";
pub(super) const PEAK_100: &str = "QUIC: 64 connections, batches of 100";
pub(super) const PEAK_1: &str = "QUIC: 32 connections, one transfer at a time";

/// Percent of the peak; beyond it, of an overload.
const SHARES: [u32; 12] = [10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 130];
const OVERLOAD: u32 = 130;
/// Of each point, the warm-up included. One past the peak takes as much longer as it is past it.
const SECONDS: u32 = 5;
/// Each point is a harness of its own, whose first requests meet connections, buffers and memory
/// that are fresh at both ends: some ten of them would be the slowest hundredth of a whole point.
const WARM_UP: u32 = 1;
/// Commands after which a frame gives way to a fresh one: each is kept on the disk.
const COMMANDS_MAX: f64 = 24e6;

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
        println!("\n── {}", curve.name);
        let (points, stopped) = points(bench, curve, outcome.measured(curve.peak, "rate"));
        let mut figures = stopped.map_or_else(|| Ok(figures(curve, &points)), Err);
        if !points.is_empty() {
            outcome.page(curve.name, &table(&points));
            figures = figures.and_then(|figures| draw(bench, curve, &points).map(|()| figures));
        }
        let arguments =
            format!("{} --rate N --seconds {SECONDS} --warm-up {WARM_UP}", curve.arguments);
        outcome.add(curve.name, &command(&arguments), figures, Value::Array(points));
    }
}

/// One report for each share, and why there are no more. Without a measured peak it is measured
/// first.
fn points(bench: &Bench, curve: &Curve, peak: Option<f64>) -> (Vec<Value>, Option<String>) {
    let mut points = Vec::new();
    let mut measure = || -> Result<(), String> {
        let mut server = fresh(bench)?;
        let is_measured = peak.is_some();
        let closed = format!("--in-flight {}", closed_in_flight(curve));
        let peak = match peak {
            Some(peak) => peak,
            None => find(&drive(bench, curve, &server, &closed, 0)?, "/commands_per_second"),
        };
        let mut sent = if is_measured { 0.0 } else { peak * f64::from(SECONDS) };
        for share in SHARES {
            let rate = peak * f64::from(share) / 100.0;
            let commands = rate * f64::from(SECONDS);
            if sent > 0.0 && sent + commands > COMMANDS_MAX {
                // Before its place is made anew.
                drop(server);
                server = fresh(bench)?;
                sent = 0.0;
            }
            sent += commands;
            let mut report = drive(bench, curve, &server, &format!("--rate {rate:.0}"), share)?;
            if let Value::Object(fields) = &mut report {
                fields.remove("intervals");
                fields.insert("share_of_peak".to_owned(), json!(share));
                fields.insert("peak".to_owned(), json!(peak));
            }
            points.push(report);
        }
        Ok(())
    };
    let stopped = measure().err();
    (points, stopped)
}

fn closed_in_flight(curve: &Curve) -> u32 {
    if curve.peak == PEAK_1 { 1 } else { 4 }
}

fn fresh(bench: &Bench) -> Result<Server, String> {
    bench.frame.init(&[])?;
    let server = bench.frame.serve(&[])?;
    bench.frame.touched(&server);
    Ok(server)
}

/// The accounts of each load are its own, since the book of the harness begins with them.
fn drive(
    bench: &Bench,
    curve: &Curve,
    server: &Server,
    pace: &str,
    seed: u32,
) -> Result<Value, String> {
    // Time is the limit, not the number of commands.
    let seed = 1_000 + seed;
    let limits =
        format!("--seconds {SECONDS} --warm-up {WARM_UP} --commands 1000000000 --seed {seed}");
    let load = format!("{} {pace} {limits}", curve.arguments);
    bench.frame.drive_on(server, &load, None)
}

/// Commands that were refused, of those that were answered.
fn refused(point: &Value) -> f64 {
    let counts = point["refused"].as_object();
    let counts = counts.into_iter().flatten().filter_map(|(_, count)| count.as_f64());
    // The sum of no floats would be -0.
    let refused = counts.fold(0.0, |sum, count| sum + count);
    refused / (refused + find(point, "/executed"))
}

/// A line for each point.
fn table(points: &[Value]) -> String {
    let heads = "of the peak | offered | reached | refused | p50 | p99 | p99.9 | max";
    let more = "sent late, p99 | in the frame, p99 | engine working";
    let mut text = format!("| {heads} | {more} |\n{}|\n", "|---".repeat(11));
    for point in points {
        let rate = |path: &str| number(find(point, path), "/s");
        let ms = |path: &str| number(find(point, path) / 1e3, "ms");
        let working = number(find(point, "/frame/engine/working") * 100.0, "%");
        let latency = DRAWN.map(|(_, path)| ms(path)).join(" | ");
        let _ = writeln!(
            text,
            "| {} % | {} | {} | {} | {latency} | {} | {} | {working} |",
            point["share_of_peak"],
            rate("/settings/rate"),
            rate("/commands_per_second"),
            number(refused(point) * 100.0, "%"),
            ms("/late_us/p99"),
            ms("/stages_us/replied/p99"),
        );
    }
    text
}

fn figures(curve: &Curve, points: &[Value]) -> Vec<Figure> {
    let point = |share: u32| points.iter().find(|point| point["share_of_peak"] == share);
    let at =
        |share: u32, path: &str| point(share).map_or(f64::NAN, |point| find(point, path) / 1e3);
    let overload = point(OVERLOAD).unwrap_or(&Value::Null);
    let kept = find(overload, "/commands_per_second") / find(overload, "/peak");
    vec![
        Figure::new("p50 at half of peak", "ms", at(50, "/latency_us/p50")),
        Figure::new("p99 at half of peak", "ms", at(50, "/latency_us/p99")).at_most(curve.p99_ms),
        Figure::new("p99 at 90 % of peak", "ms", at(90, "/latency_us/p99")),
        Figure::new("rate offered 130 % of peak, to the peak", "×", kept),
        Figure::new("refused at 130 %", "%", refused(overload) * 100.0),
        Figure::new("p99 in the frame at 130 %", "ms", at(OVERLOAD, "/stages_us/replied/p99")),
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
    let peak = points.first().map_or(f64::NAN, |point| find(point, "/peak"));
    let by_load = Chart {
        title: format!("{}; closed loop {}", curve.name, number(peak, "/s")),
        x_label: "offered commands a second".to_owned(),
        y_label: "milliseconds".to_owned(),
        x: Axis::Linear,
        y: Axis::Log,
        lines: DRAWN.into_iter().map(line).collect(),
    };
    let shares = points
        .iter()
        .filter(|point| [10, 50, 90, OVERLOAD].iter().any(|s| point["share_of_peak"] == *s));
    let by_percentile = Chart {
        title: "by percentile, at shares of the peak".to_owned(),
        x_label: "share of requests".to_owned(),
        x: Axis::Percentile,
        lines: shares.map(percentiles).collect(),
        ..by_load.clone()
    };
    let write = |kind: &str, text: String| {
        let path = bench.frame.reports().join(format!("{}.{kind}", folder(curve.name)));
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    write("md", table(points))?;
    write("svg", page(&[by_load, by_percentile]))
}

fn percentiles(report: &Value) -> Line {
    let curve = report["latency_curve"].as_array().map_or(&[][..], Vec::as_slice);
    let points = curve
        .iter()
        .map(|point| (find(point, "/quantile"), find(point, "/latency_us") / 1e3))
        .collect();
    Line { name: format!("{} %", report["share_of_peak"]), points }
}
