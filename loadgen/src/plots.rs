//! The plots of one run: latency by percentile, throughput and latency over time, and where the
//! time went, stage by stage. Invariant: everything drawn is in the report too.

use std::io;
use std::path::Path;

use crate::measure::{INTERVAL, Interval, STAGES};
use crate::plot::{Axis, Chart, Line, page};
use crate::report::Report;

/// Writes `latency.svg`, `time.svg`, `stages.svg` and `latency.hgrm` into `dir`.
///
/// # Errors
///
/// When the directory cannot be written.
pub fn write(report: &Report, dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    std::fs::write(dir.join("latency.svg"), page(&[by_percentile(report)]))?;
    std::fs::write(dir.join("time.svg"), page(&[throughput(report), latency(report)]))?;
    std::fs::write(dir.join("stages.svg"), page(&[stages(report)]))?;
    std::fs::write(dir.join("latency.hgrm"), report.hgrm())
}

fn title(report: &Report, what: &str) -> String {
    let settings = &report.settings;
    format!("{what}: {} in batches of {}", settings.door, settings.batch)
}

fn by_percentile(report: &Report) -> Chart {
    let points = report.latency_curve.iter();
    let points = points.map(|point| (point.quantile, point.latency_us / 1_000.0)).collect();
    Chart {
        title: title(report, "Latency by percentile"),
        x_label: "share of requests".to_owned(),
        y_label: "milliseconds".to_owned(),
        x: Axis::Percentile,
        y: Axis::Log,
        lines: vec![Line { name: "request latency".to_owned(), points }],
    }
}

/// A line over time, of the rows that hold an answer.
fn over_time(report: &Report, name: &str, value: impl Fn(&Interval) -> f64) -> Line {
    let rows = report.intervals.iter().filter(|row| row.requests > 0);
    let points = rows.map(|row| (row.at_ms as f64 / 1_000.0, value(row))).collect();
    Line { name: name.to_owned(), points }
}

fn timed(report: &Report, what: &str, y_label: &str, y: Axis, lines: Vec<Line>) -> Chart {
    Chart {
        title: title(report, what),
        x_label: "seconds".to_owned(),
        y_label: y_label.to_owned(),
        x: Axis::Linear,
        y,
        lines,
    }
}

fn throughput(report: &Report) -> Chart {
    let per_second = 1.0 / INTERVAL.as_secs_f64();
    let rows = report.intervals.iter();
    // A tenth of a second without an answer is part of the picture.
    let points = rows.map(|row| (row.at_ms as f64 / 1_000.0, row.executed as f64 * per_second));
    let line = Line { name: "executed".to_owned(), points: points.collect() };
    timed(report, "Throughput", "commands a second", Axis::Linear, vec![line])
}

fn latency(report: &Report) -> Chart {
    let lines = vec![
        over_time(report, "p50", |row| row.p50_us / 1_000.0),
        over_time(report, "p99", |row| row.p99_us / 1_000.0),
        over_time(report, "max", |row| row.max_us / 1_000.0),
    ];
    timed(report, "Latency", "milliseconds", Axis::Log, lines)
}

fn stages(report: &Report) -> Chart {
    let lines = STAGES.iter().enumerate();
    let lines = lines
        .map(|(at, name)| {
            let name = format!("until {name}");
            over_time(report, &name, |row| row.stages_us[at] / 1_000.0)
        })
        .collect();
    timed(report, "Mean time of each stage", "milliseconds", Axis::Log, lines)
}
