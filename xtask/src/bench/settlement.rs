//! What settlement costs: the same load settled nowhere, to SQLite and to PostgreSQL, whose
//! throw-away server shares the machine too.

use serde_json::Value;

use super::Bench;
use super::loads::{command, find};
use super::outcome::{Figure, Outcome};
use crate::postgres::Cluster;

const LOAD: &str = "--accounts 10000 --commands 5000000 --seed 13";

/// The rate with each database.
pub(super) fn cost(bench: &Bench, outcome: &mut Outcome) {
    let mut row = |name: &str, measure: &mut dyn FnMut() -> Result<Vec<Figure>, String>| {
        if bench.wants("settlement", name) {
            outcome.add(name, &command(LOAD), measure(), Value::Null);
        }
    };
    row("settlement: none", &mut || rate(bench, &["settlement.sink=none"]));
    for history in ["none", "full"] {
        let setting = format!("settlement.history={history}");
        row(&format!("settlement: SQLite, history {history}"), &mut || rate(bench, &[&setting]));
        row(&format!("settlement: PostgreSQL, history {history}"), &mut || {
            // Fresh, as another frame's tables would be refused.
            let cluster = Cluster::start()?;
            let [(_, address), ..] = cluster.variables();
            let address = format!("settlement.postgres={address}");
            rate(bench, &["settlement.sink=postgres", &address, &setting])
        });
    }
}

fn rate(bench: &Bench, settings: &[&str]) -> Result<Vec<Figure>, String> {
    bench.frame.init(&[])?;
    let server = bench.frame.serve(settings)?;
    let report = bench.frame.drive(&server, LOAD, None)?;
    Ok(vec![
        Figure::new("rate", "/s", find(&report, "/commands_per_second")),
        Figure::new("p99", "ms", find(&report, "/latency_us/p99") / 1e3),
    ])
}
