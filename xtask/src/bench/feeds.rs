//! What idle feeds cost: the rate with a thousand of them against the rate without any, on one
//! frame, in turn.
//!
//! Each feed is a QUIC connection of its own, of an auditor that follows an owner to whom nothing
//! happens; the harness holds them and shares the machine.

use serde_json::{Value, json};

use super::Bench;
use super::loads::{command, find};
use super::outcome::{Figure, Outcome};
use crate::server::Server;

const NAME: &str = "feeds: 1 000 idle ones beside batches of 8 190";
const FEEDS: usize = 1_000;
/// Feeds of one auditor, each on a connection.
const OF_ONE: usize = 16;
/// Runs of each kind; what is compared are their medians.
const RUNS: usize = 7;
/// Room for that many connections, and for their windows: else who comes last gets the smallest.
const SETTINGS: [&str; 3] =
    ["gateway.connections=1200", "gateway.receive_budget_mib=2048", "feeds.connections=1024"];
const LOAD: &str = "--accounts 10000 --commands 10000000";

pub(super) fn idle(bench: &Bench, outcome: &mut Outcome) {
    if !bench.wants("feeds", NAME) {
        return;
    }
    println!("\n── {NAME}");
    let told = format!("{LOAD} --feeds {FEEDS} --auditors DIR");
    match runs(bench) {
        Ok((without, with)) => {
            let (mut alone, mut beside) = (without.clone(), with.clone());
            let (alone, beside) = (median(&mut alone), median(&mut beside));
            let figures = vec![
                Figure::new("rate without", "/s", alone),
                Figure::new("rate with", "/s", beside),
                Figure::new("with to without", "×", beside / alone).at_least(0.98),
            ];
            let details = json!({ "without": without, "with": with });
            outcome.add(NAME, &command(&told), Ok(figures), details);
        }
        Err(reason) => outcome.add(NAME, &command(&told), Err(reason), Value::Null),
    }
}

/// The rates of all runs, without and with feeds.
fn runs(bench: &Bench) -> Result<(Vec<f64>, Vec<f64>), String> {
    bench.frame.init(&[])?;
    let auditors = bench.frame.auditors(FEEDS.div_ceil(OF_ONE))?;
    let server = bench.frame.serve(&SETTINGS)?;
    bench.frame.touched(&server);
    let with = format!("--feeds {FEEDS} --auditors {}", auditors.display());
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    // The first run of a frame finds everything cold.
    rate(bench, &server, 0, "")?;
    for run in 1..=RUNS {
        // What comes second in a pair is not always the same.
        let order = if run % 2 == 0 { [false, true] } else { [true, false] };
        for (place, has_feeds) in order.into_iter().enumerate() {
            let seed = 2 * run + place;
            if has_feeds {
                beside.push(rate(bench, &server, seed, &with)?);
            } else {
                alone.push(rate(bench, &server, seed, "")?);
            }
        }
    }
    Ok((alone, beside))
}

fn rate(bench: &Bench, server: &Server, seed: usize, more: &str) -> Result<f64, String> {
    let load = format!("{LOAD} --seed {} {more}", 100 + seed);
    let report = bench.frame.drive_on(server, load.trim_end(), None)?;
    Ok(find(&report, "/commands_per_second"))
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert!(median(&mut []).is_nan());
    }
}
