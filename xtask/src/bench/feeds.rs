//! What idle feeds cost: the rate with a thousand of them against the rate without any, on one
//! frame, in turn.
//!
//! Each feed is a QUIC connection of its own, of an auditor that follows an owner to whom nothing
//! happens; a process of their own holds them over several runs, and shares the machine. Invariant:
//! a run without feeds begins when the frame has none of their connections any more.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Bench;
use super::loads::{command, find};
use super::outcome::{Figure, Outcome};
use super::watch::metrics;
use crate::server::Server;

const NAME: &str = "feeds: 1 000 idle ones beside batches of 8 190";
const FEEDS: usize = 1_000;
/// Feeds of one auditor, each on a connection.
const OF_ONE: usize = 16;
/// Runs of each kind; what is compared are their medians.
const RUNS: usize = 5;
/// Room for that many connections, and for their windows: else who comes last gets the smallest.
const SETTINGS: [&str; 3] =
    ["gateway.connections=1200", "gateway.receive_budget_mib=2048", "feeds.connections=1024"];
/// What says how many connections the frame has.
const OPEN: &str = "bezant_gateway_connections_open ";
/// How long the engine goes on telling of owners whom nobody follows any more, and a little.
const LINGER: Duration = Duration::from_secs(31);
/// How long the frame may have connections that were closed.
const CLOSED_WITHIN: Duration = Duration::from_secs(60);
const LOAD: &str = "--accounts 10000 --commands 10000000";

pub(super) fn idle(bench: &Bench, outcome: &mut Outcome) {
    if !bench.wants("feeds", NAME) {
        return;
    }
    println!("\n── {NAME}");
    let told = format!("{LOAD} beside --hold --feeds {FEEDS} --auditors DIR");
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
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let mut held: Option<Held> = None;
    // The first run of a frame finds everything cold.
    rate(bench, &server, 0)?;
    for run in 1..=RUNS {
        // What comes second in a pair is not always the same, and is what the next begins with.
        let order = if run % 2 == 0 { [true, false] } else { [false, true] };
        for (place, has_feeds) in order.into_iter().enumerate() {
            held = match (held, has_feeds) {
                (None, true) => Some(Held::open(bench, &server, &auditors)?),
                (Some(feeds), false) => {
                    feeds.close(&server)?;
                    None
                }
                (held, _) => held,
            };
            let rates = if has_feeds { &mut beside } else { &mut alone };
            rates.push(rate(bench, &server, 2 * run + place)?);
        }
    }
    held.map_or(Ok(()), |feeds| feeds.close(&server))?;
    Ok((alone, beside))
}

fn rate(bench: &Bench, server: &Server, seed: usize) -> Result<f64, String> {
    let load = format!("{LOAD} --seed {}", 100 + seed);
    let report = bench.frame.drive_on(server, &load, None)?;
    Ok(find(&report, "/commands_per_second"))
}

/// The process that holds the feeds; dropped, it is gone.
struct Held(Child);

impl Held {
    /// All of them are open then.
    fn open(bench: &Bench, server: &Server, auditors: &Path) -> Result<Self, String> {
        let mut holder = bench.frame.holder(server, FEEDS, auditors);
        let started = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut held = Self(started.map_err(|error| format!("{holder:?}: {error}"))?);
        let mut said = String::new();
        let out = held.0.stdout.take().ok_or("what holds the feeds has no output")?;
        let read = BufReader::new(out).read_line(&mut said);
        match read {
            Ok(count) if count > 0 => Ok(held),
            _ => Err("the feeds cannot be opened".to_owned()),
        }
    }

    /// The frame has forgotten them then, and whom they followed.
    fn close(mut self, server: &Server) -> Result<(), String> {
        drop(self.0.stdin.take());
        let status = self.0.wait().map_err(|error| error.to_string())?;
        if !status.success() {
            return Err(format!("the feeds did not stay open and silent: {status}"));
        }
        let begun = Instant::now();
        while begun.elapsed() < CLOSED_WITHIN {
            if connections(&metrics(&server.admin)?) == Some(0) {
                std::thread::sleep(LINGER);
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err("the frame does not forget the connections of the feeds".to_owned())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // It has mostly ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The connections that a page of metrics tells of.
fn connections(page: &str) -> Option<u64> {
    page.lines().find_map(|line| line.strip_prefix(OPEN)?.trim().parse().ok())
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_those_of_both_doors() {
        let page = "bezant_gateway_https_connections_open 2\nbezant_gateway_connections_open 7\n";
        assert_eq!(connections(page), Some(7));
        assert_eq!(connections(""), None);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert!(median(&mut []).is_nan());
    }
}
