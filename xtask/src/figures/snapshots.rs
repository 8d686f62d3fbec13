//! What snapshots buy and cost: how long a killed frame takes to serve again without and with one,
//! and what taking them under full load does to the load and to the engine thread.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Instant;

use super::Frame;
use crate::server::Server;
use crate::steps::output;

const NO_SNAPSHOTS: [&str; 2] = ["snapshot.interval_s=0", "snapshot.journal_mib=0"];
/// One after the other, as long as the load lasts.
const ALWAYS: [&str; 2] = ["snapshot.interval_s=1", "snapshot.journal_mib=64"];
const HISTORY: &str = "--accounts 1000000 --commands 10000000 --seed 11";
/// Requests of a hundred: less work in an engine step, so that a pause in one shows sooner.
const SHORT: &str = "--accounts 10000 --commands 5000000 --batch 100 --connections 64 --seed 11";
const SUFFIX: &str = "--accounts 1000 --commands 1000000 --seed 12";

/// The time from `serve` to open doors after a SIGKILL.
pub(super) fn restart(frame: &Frame) -> Result<(), String> {
    println!("\n── restart: 1 M accounts, 10 M transfers, SIGKILL");
    frame.init()?;
    let serve = |what: &str| -> Result<Server, String> {
        let begun = Instant::now();
        let server = frame.serve(&NO_SNAPSHOTS)?;
        println!("{what:48} {:6.2} s", begun.elapsed().as_secs_f64());
        Ok(server)
    };
    let server = frame.serve(&NO_SNAPSHOTS)?;
    frame.drive(&server, HISTORY, Stdio::null())?;
    // Dropping it is a SIGKILL.
    drop(server);
    drop(serve("serving again, the whole history executed")?);
    let begun = Instant::now();
    output(frame.bezant().args(["snapshot", "create"]))?;
    println!("{:48} {:6.2} s", "bezant snapshot create", begun.elapsed().as_secs_f64());
    drop(serve("serving again from the snapshot")?);
    let server = frame.serve(&NO_SNAPSHOTS)?;
    frame.drive(&server, SUFFIX, Stdio::null())?;
    drop(server);
    drop(serve("the same, 1 M transfers behind the snapshot")?);
    Ok(())
}

/// The same load without and with snapshots all the time.
pub(super) fn under_load(frame: &Frame) -> Result<(), String> {
    for (what, load) in [("1 M accounts, batches of 8 190", HISTORY), ("64 × 100", SHORT)] {
        println!("\n── snapshots under full load: {what}, twice each");
        compare(frame, load)?;
    }
    Ok(())
}

fn compare(frame: &Frame, load: &str) -> Result<(), String> {
    for settings in [NO_SNAPSHOTS, ALWAYS, NO_SNAPSHOTS, ALWAYS] {
        frame.init()?;
        let server = frame.serve(&settings)?;
        let report = frame.drive(&server, load, Stdio::null())?;
        let page = metrics(&server.admin)?;
        let rate = report["commands_per_second"].as_f64().unwrap_or(0.0);
        let p99_ms = report["latency_us"]["p99"].as_f64().unwrap_or(0.0) / 1_000.0;
        let taken = line(&page, "bezant_snapshots_total{result=\"ok\"}");
        println!("{:30} {rate:9.0}/s  p99 {p99_ms:5.0} ms  snapshots {taken}", settings[0]);
        for (stage, text) in longest_steps(&page) {
            println!("  {stage}: {text}");
        }
    }
    Ok(())
}

/// The page that Prometheus would read.
fn metrics(admin: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("/metrics at {admin}: {error}");
    let mut stream = TcpStream::connect(admin).map_err(failed)?;
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut page = String::new();
    stream.read_to_string(&mut page).map_err(failed)?;
    Ok(page)
}

fn line<'p>(page: &'p str, name: &str) -> &'p str {
    let value = page.lines().find_map(|line| line.strip_prefix(name));
    value.map_or("0", str::trim)
}

/// For each stage, how many steps were longer than 4 ms, and the class of the longest.
fn longest_steps(page: &str) -> Vec<(&'static str, String)> {
    let steps = |stage: &'static str| {
        let head = format!("bezant_stage_step_seconds_bucket{{stage=\"{stage}\",le=\"");
        let classes: Vec<(f64, u64)> = page
            .lines()
            .filter_map(|line| line.strip_prefix(&head)?.split_once("\"} "))
            .filter_map(|(bound, count)| {
                Some((bound.parse().unwrap_or(f64::INFINITY), count.parse().ok()?))
            })
            .collect();
        let all = classes.last().map_or(0, |&(_, count)| count);
        let short = classes.iter().rfind(|&&(bound, _)| bound <= 0.004).map_or(0, |class| class.1);
        let longest = classes.iter().find(|&&(_, count)| count == all).map_or(0.0, |class| class.0);
        (stage, format!("{all} steps, {} over 4 ms, none over {longest} s", all - short))
    };
    ["journal", "sync", "engine"].map(steps).into()
}
