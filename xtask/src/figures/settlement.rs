//! What settlement costs: the same load settled nowhere, to SQLite and to PostgreSQL, whose
//! throw-away server shares the machine too.

use std::process::Stdio;

use super::Frame;
use crate::postgres::Cluster;

const LOAD: &str = "--accounts 10000 --commands 5000000 --seed 13";

/// The rate with each database, twice, alternating.
pub(super) fn cost(frame: &Frame) -> Result<(), String> {
    println!("\n── settlement: 10 k accounts, batches of 8 190, twice each");
    for _ in 0..2 {
        drive(frame, "settled nowhere", &["settlement.sink=none"])?;
        for history in ["none", "full"] {
            let history = format!("settlement.history={history}");
            drive(frame, &format!("SQLite, {history}"), &[&history])?;
            // Fresh, as another frame's tables would be refused.
            let cluster = Cluster::start()?;
            let [(_, address), ..] = cluster.variables();
            let address = format!("settlement.postgres={address}");
            let settings = ["settlement.sink=postgres", &address, &history];
            drive(frame, &format!("PostgreSQL, {history}"), &settings)?;
        }
    }
    Ok(())
}

fn drive(frame: &Frame, name: &str, settings: &[&str]) -> Result<(), String> {
    frame.init()?;
    let server = frame.serve(settings)?;
    let report = frame.drive(&server, LOAD, Stdio::null())?;
    let rate = report["commands_per_second"].as_f64().unwrap_or(0.0);
    let p99_ms = report["latency_us"]["p99"].as_f64().unwrap_or(0.0) / 1_000.0;
    println!("{name:38} {rate:9.0}/s  p99 {p99_ms:5.0} ms");
    Ok(())
}
