//! What settlement costs: the same load settled nowhere, to SQLite and to PostgreSQL, whose
//! throw-away server shares the machine too; and whether it keeps up with the rate of the budget.

use serde_json::Value;

use super::Bench;
use super::loads::{command, find};
use super::outcome::{Figure, Outcome};
use crate::postgres::Cluster;

const LOAD: &str = "--accounts 10000 --commands 5000000 --seed 13";
/// Nine seconds of what the budget asks for with the whole history.
const SET_RATE: &str = "--accounts 10000 --reads 0 --rate 300000 --commands 2700000 --seed 13";
/// The set rate, but for the last requests, which are under way when nothing more is offered.
const RATE_MIN: f64 = 297e3;
/// At the end of them: one that grows by a ninth of the time or more is longer.
const LAG_MAX_S: f64 = 1.0;

/// The rate with each database, and the lag at a set one.
pub(super) fn cost(bench: &Bench, outcome: &mut Outcome) {
    let mut row = |name: &str, load: &str, measure: &mut dyn FnMut() -> Measured| {
        if bench.wants("settlement", name) {
            println!("\n── {name}");
            outcome.add(name, &command(load), measure(), Value::Null);
        }
    };
    row("settlement: none", LOAD, &mut || {
        Ok(cheap(&drive(bench, LOAD, &["settlement.sink=none"])?))
    });
    for history in ["none", "full"] {
        let setting = format!("settlement.history={history}");
        row(&format!("settlement: SQLite, history {history}"), LOAD, &mut || {
            Ok(cheap(&drive(bench, LOAD, &[&setting])?))
        });
        row(&format!("settlement: PostgreSQL, history {history}"), LOAD, &mut || {
            Ok(cheap(&drive_postgres(bench, LOAD, &setting)?))
        });
    }
    row("settlement at a set rate: PostgreSQL, history full", SET_RATE, &mut || {
        Ok(kept_up(&drive_postgres(bench, SET_RATE, "settlement.history=full")?))
    });
}

type Measured = Result<Vec<Figure>, String>;

fn cheap(report: &Value) -> Vec<Figure> {
    vec![
        Figure::new("rate", "/s", find(report, "/commands_per_second")),
        Figure::new("p99", "ms", find(report, "/latency_us/p99") / 1e3),
    ]
}

fn kept_up(report: &Value) -> Vec<Figure> {
    let [rate, p99] = [find(report, "/commands_per_second"), find(report, "/latency_us/p99") / 1e3];
    let lag = |which: &str| find(report, &format!("/frame/settlement_lag_s/{which}"));
    vec![
        Figure::new("rate", "/s", rate).at_least(RATE_MIN),
        Figure::new("longest lag of settlement", "s", lag("longest")),
        Figure::new("the same in the last third", "s", lag("in_the_last_third")).at_most(LAG_MAX_S),
        Figure::new("p99", "ms", p99),
    ]
}

fn drive_postgres(bench: &Bench, load: &str, history: &str) -> Result<Value, String> {
    // Fresh, as another frame's tables would be refused.
    let cluster = Cluster::start()?;
    let [(_, address), ..] = cluster.variables();
    let address = format!("settlement.postgres={address}");
    drive(bench, load, &["settlement.sink=postgres", &address, history])
}

fn drive(bench: &Bench, load: &str, settings: &[&str]) -> Result<Value, String> {
    bench.frame.init(&[])?;
    let server = bench.frame.serve(settings)?;
    bench.frame.drive(&server, load, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_lag_that_was_not_seen_is_no_figure() {
        let lags = |report: Value| [1, 2].map(|at| kept_up(&report)[at].measured);
        let seen = json!({ "longest": 0.5, "in_the_last_third": 0.25 });
        assert_eq!(lags(json!({ "frame": { "settlement_lag_s": seen } })), [0.5, 0.25]);
        assert!(lags(json!({ "frame": null })).iter().all(|lag| lag.is_nan()));
    }
}
