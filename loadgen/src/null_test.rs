//! Whole runs without a frame: planned, encoded, answered as if executed, booked and reported.

use std::time::Duration;

use super::plots;
use super::{Arrivals, Door, Driver, Load, Mix, OpenLoop, Report, Skew};

const LOAD: Load = Load {
    door: Door::Quic,
    seed: 3,
    accounts: 50,
    skew: Skew::Zipfian,
    mix: Mix { holds: 40, reads: 0 },
    batch: 20,
    connections: 2,
    in_flight: 2,
    open: None,
    commands_max: 4_000,
    time_max: Duration::from_secs(60),
    warm_up: Duration::ZERO,
};

async fn run(load: Load) -> Report {
    let mut driver = Driver::prepare_null(load);
    let elapsed = driver.drive_null().await;
    assert!(driver.errors.is_empty(), "{:?}", driver.errors);
    let agreement = driver.compare_null();
    assert!(agreement.holds(), "{agreement:?}");
    Report::of(&driver, elapsed)
}

#[tokio::test]
async fn every_unit_is_kept_whichever_door_it_would_take() {
    for (door, batch) in
        [(Door::Quic, 20), (Door::HttpsBinary, 20), (Door::HttpsBinaryH2, 20), (Door::HttpsJson, 1)]
    {
        let report = run(Load { door, batch, ..LOAD }).await;
        assert_eq!(report.executed, 4_000, "{door:?}");
        assert_eq!(report.requests, 4_000 / batch as u64, "{door:?}");
        assert!(report.refused.is_empty() && report.late_us.is_none(), "{door:?}");
        let counted: u64 = report.intervals.iter().map(|row| row.executed).sum();
        assert_eq!(counted, 4_000, "{door:?}");
    }
}

#[tokio::test]
async fn an_open_loop_sends_what_its_schedule_says_and_counts_from_then() {
    let open = Some(OpenLoop { rate: 40_000.0, arrivals: Arrivals::Poisson });
    let report = run(Load { open, ..LOAD }).await;
    assert_eq!((report.executed, report.requests), (4_000, 200));
    let late = report.late_us.unwrap();
    assert!(late.max > 0.0 && late.max <= report.latency_us.max);
    assert_eq!(report.settings.arrivals.as_deref(), Some("poisson"));
}

#[tokio::test]
async fn a_report_is_drawn_and_its_percentile_table_ends_with_everything() {
    let report = run(LOAD).await;
    let dir = tempfile::tempdir().unwrap();
    plots::write(&report, dir.path()).unwrap();
    for name in ["latency.svg", "time.svg", "stages.svg"] {
        let text = std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert!(text.starts_with("<svg") && text.ends_with("</svg>\n"), "{name}");
    }
    let table = std::fs::read_to_string(dir.path().join("latency.hgrm")).unwrap();
    let last = table.lines().rfind(|line| !line.starts_with('#')).unwrap();
    let words: Vec<&str> = last.split_whitespace().collect();
    assert_eq!(words[1..], ["1.000000000000", "200", "inf"]);
}
