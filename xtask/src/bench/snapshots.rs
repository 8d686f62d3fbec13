//! What snapshots buy and cost: how long a killed frame takes to serve again without and with one,
//! and what taking them under full load does to the load and to the engine thread.

use std::time::Instant;

use serde_json::Value;

use super::Bench;
use super::frame::Frame;
use super::loads::{command, find};
use super::outcome::{Figure, Outcome};
use super::watch::{STAGES, classes, metrics};
use crate::steps::output;

const NO_SNAPSHOTS: [&str; 2] = ["snapshot.interval_s=0", "snapshot.journal_mib=0"];
/// One after the other, as long as the load lasts, and by age: one that is late by what the journal
/// has grown would hurry, with the engine's own priority.
const ALWAYS: [&str; 2] = ["snapshot.interval_s=1", "snapshot.journal_mib=0"];
const HISTORY: &str = "--accounts 1000000 --commands 10000000 --seed 11";
/// Requests of a hundred: less work in an engine step, so that a pause in one shows sooner.
const SHORT: &str = "--accounts 10000 --commands 5000000 --batch 100 --connections 64 --seed 11";
const SUFFIX: &str = "--accounts 1000 --commands 1000000 --seed 12";

/// The time from `serve` to open doors after a SIGKILL.
pub(super) fn restart(bench: &Bench, outcome: &mut Outcome) {
    if !bench.wants("restart", "restart: 1 M accounts, 10 M transfers") {
        return;
    }
    println!("\n── restart: 1 M accounts, 10 M transfers, SIGKILL");
    let figures = starts(&bench.frame);
    outcome.add("restart: 1 M accounts, 10 M transfers", &command(HISTORY), figures, Value::Null);
}

fn starts(frame: &Frame) -> Result<Vec<Figure>, String> {
    frame.init(&[])?;
    let mut figures = Vec::new();
    let server = frame.serve(&NO_SNAPSHOTS)?;
    frame.drive(&server, HISTORY, None)?;
    // Dropping it is a SIGKILL.
    drop(server);
    let serve = |what| -> Result<Figure, String> {
        let begun = Instant::now();
        let _server = frame.serve(&NO_SNAPSHOTS)?;
        Ok(Figure::new(what, "s", begun.elapsed().as_secs_f64()))
    };
    figures.push(serve("start, the whole history executed")?.at_most(15.0));
    let begun = Instant::now();
    output(frame.bezant().args(["snapshot", "create"]))?;
    figures.push(Figure::new("snapshot create", "s", begun.elapsed().as_secs_f64()));
    figures.push(serve("start from the snapshot")?.at_most(5.0));
    let server = frame.serve(&NO_SNAPSHOTS)?;
    frame.drive(&server, SUFFIX, None)?;
    drop(server);
    figures.push(serve("start, 1 M transfers behind the snapshot")?);
    Ok(figures)
}

/// The same load without and with snapshots all the time.
pub(super) fn under_load(bench: &Bench, outcome: &mut Outcome) {
    for (name, load) in [
        ("snapshots under load: 1 M accounts, batches of 8 190", HISTORY),
        ("snapshots under load: 64 connections, batches of 100", SHORT),
    ] {
        if bench.wants("snapshots", name) {
            println!("\n── {name}, twice each");
            let figures = compare(&bench.frame, load);
            outcome.add(name, &command(load), figures, Value::Null);
        }
    }
}

fn compare(frame: &Frame, load: &str) -> Result<Vec<Figure>, String> {
    let (mut without, mut with) = (0.0, 0.0);
    for settings in [NO_SNAPSHOTS, ALWAYS, NO_SNAPSHOTS, ALWAYS] {
        frame.init(&[])?;
        let server = frame.serve(&settings)?;
        let report = frame.drive(&server, load, None)?;
        let page = metrics(&server.admin)?;
        let rate = find(&report, "/commands_per_second");
        let p99_ms = find(&report, "/latency_us/p99") / 1_000.0;
        let taken = line(&page, "bezant_snapshots_total{result=\"ok\"}");
        println!("{:30} {rate:9.0}/s  p99 {p99_ms:5.0} ms  snapshots {taken}", settings[0]);
        for (stage, text) in longest_steps(&page) {
            println!("  {stage}: {text}");
        }
        let mean = if settings == ALWAYS { &mut with } else { &mut without };
        *mean += rate / 2.0;
    }
    Ok(vec![
        Figure::new("rate without", "/s", without),
        Figure::new("rate with snapshots", "/s", with),
        Figure::new("with to without", "×", with / without).at_least(0.8),
    ])
}

fn line<'p>(page: &'p str, name: &str) -> &'p str {
    let value = page.lines().find_map(|line| line.strip_prefix(name));
    value.map_or("0", str::trim)
}

/// For each stage, how many steps were longer than 4 ms, and the class of the longest.
fn longest_steps(page: &str) -> Vec<(&'static str, String)> {
    let steps = |stage: &'static str| {
        let classes = classes(page, stage);
        let all = classes.last().map_or(0, |&(_, count)| count);
        let short = classes.iter().rfind(|&&(bound, _)| bound <= 0.004).map_or(0, |class| class.1);
        let longest = classes.iter().find(|&&(_, count)| count == all).map_or(0.0, |class| class.0);
        (stage, format!("{all} steps, {} over 4 ms, none over {longest} s", all - short))
    };
    STAGES.map(steps).into()
}
