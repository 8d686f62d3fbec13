//! Figures of a run: what was sent, answered and refused, and how long it took. A JSON object for
//! programs, a table for people.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use hdrhistogram::Histogram;
use protocol::reply::Reply;
use serde::Serialize;

/// Longest latency told apart, in nanoseconds.
const LATENCY_MAX_NS: u64 = 600_000_000_000;

/// What one connection, or all of them together, measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Commands executed.
    pub executed: u64,
    /// Commands refused, by name.
    pub refused: BTreeMap<&'static str, u64>,
    /// Requests answered.
    pub requests: u64,
    /// Reads answered.
    pub reads: u64,
    latency: Histogram<u64>,
    stages: [Histogram<u64>; 4],
}

impl Default for Measured {
    fn default() -> Self {
        let histogram =
            || Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3).expect("the bounds are in order");
        Self {
            executed: 0,
            refused: BTreeMap::new(),
            requests: 0,
            reads: 0,
            latency: histogram(),
            stages: [histogram(), histogram(), histogram(), histogram()],
        }
    }
}

impl Measured {
    /// Counts the answer to a request that took `latency`.
    pub fn answered(&mut self, latency: Duration, head: &Reply) {
        self.requests += 1;
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(LATENCY_MAX_NS);
        self.latency.saturating_record(nanos);
        for (stage, &micros) in self.stages.iter_mut().zip(&head.stamps) {
            stage.saturating_record(u64::from(micros) * 1_000);
        }
    }

    /// Adds what another connection measured.
    pub fn add(&mut self, other: &Self) {
        self.executed += other.executed;
        self.requests += other.requests;
        self.reads += other.reads;
        for (name, count) in &other.refused {
            *self.refused.entry(name).or_default() += count;
        }
        self.latency.add(&other.latency).expect("equal bounds");
        for (mine, theirs) in self.stages.iter_mut().zip(&other.stages) {
            mine.add(theirs).expect("equal bounds");
        }
    }

    /// The figures of a run of `elapsed`.
    #[must_use]
    pub fn report(&self, settings: Settings, elapsed: Duration) -> Report {
        let seconds = elapsed.as_secs_f64().max(1e-9);
        let names = ["sequenced", "durable", "executed", "replied"];
        Report {
            settings,
            seconds,
            executed: self.executed,
            refused: self.refused.clone(),
            requests: self.requests,
            reads: self.reads,
            commands_per_second: self.executed as f64 / seconds,
            requests_per_second: self.requests as f64 / seconds,
            latency_us: Percentiles::of(&self.latency),
            stages_us: names
                .iter()
                .zip(&self.stages)
                .map(|(&name, stage)| (name, Percentiles::of(stage)))
                .collect(),
            agreement: None,
        }
    }

    /// A latency quantile so far.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.latency.value_at_quantile(quantile))
    }
}

/// What a run was asked to do.
#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    /// Which way the load went in.
    pub door: String,
    /// Seed of the load.
    pub seed: u64,
    /// Accounts.
    pub accounts: u32,
    /// Spread over the accounts.
    pub skew: String,
    /// Commands a request.
    pub batch: usize,
    /// Connections.
    pub connections: u16,
    /// Requests unanswered at once on each connection.
    pub in_flight: u32,
    /// Percent of holds with their ends.
    pub holds_percent: u8,
    /// Percent of reads.
    pub reads_percent: u8,
}

/// Latencies in microseconds, from just before submission to the decoded reply.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Percentiles {
    /// Median.
    pub p50: f64,
    /// 90 in 100.
    pub p90: f64,
    /// 99 in 100.
    pub p99: f64,
    /// 999 in 1000.
    pub p999: f64,
    /// Longest.
    pub max: f64,
}

impl Percentiles {
    fn of(histogram: &Histogram<u64>) -> Self {
        let micros = |nanos: u64| nanos as f64 / 1_000.0;
        let at = |quantile| micros(histogram.value_at_quantile(quantile));
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: micros(histogram.max()),
        }
    }
}

/// Whether the frame and the harness's own book agree.
#[derive(Clone, Debug, Serialize)]
pub struct Agreement {
    /// Accounts compared.
    pub accounts: u32,
    /// Differences found.
    pub differences: u64,
    /// The first few, in words.
    pub examples: Vec<String>,
    /// Supply delta of the asset as the frame states it.
    pub supply_delta: String,
}

impl Agreement {
    /// Whether nothing differs.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.differences == 0 && self.supply_delta == "0"
    }
}

/// Everything a run found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was asked.
    pub settings: Settings,
    /// Seconds from the first request to the last reply.
    pub seconds: f64,
    /// Commands executed.
    pub executed: u64,
    /// Commands refused, by name.
    pub refused: BTreeMap<&'static str, u64>,
    /// Requests answered.
    pub requests: u64,
    /// Reads answered.
    pub reads: u64,
    /// Executed commands a second.
    pub commands_per_second: f64,
    /// Requests a second.
    pub requests_per_second: f64,
    /// Request latency.
    pub latency_us: Percentiles,
    /// When each stage was done, since the frame received the request.
    pub stages_us: BTreeMap<&'static str, Percentiles>,
    /// The comparison at the end.
    pub agreement: Option<Agreement>,
}

impl Report {
    /// The table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(UTF8_BORDERS_ONLY);
        let mut row = |name: &str, value: String| {
            table.add_row([name.to_owned(), value]);
        };
        let Settings { door, accounts, skew, batch, connections, in_flight, .. } = &self.settings;
        row("load", format!("{accounts} accounts ({skew}), batches of {batch}, over {door}"));
        row("connections", format!("{connections}, {in_flight} requests in flight on each"));
        row("executed", format!("{} commands in {:.2} s", self.executed, self.seconds));
        row("rate", format!("{:.0} commands/s", self.commands_per_second));
        row("requests", format!("{:.0} a second", self.requests_per_second));
        if self.reads > 0 {
            row("reads", self.reads.to_string());
        }
        let line = |latency: &Percentiles| {
            format!(
                "p50 {:.0} µs, p99 {:.0} µs, p99.9 {:.0} µs, max {:.0} µs",
                latency.p50, latency.p99, latency.p999, latency.max
            )
        };
        row("latency", line(&self.latency_us));
        for name in ["sequenced", "durable", "executed", "replied"] {
            if let Some(stage) = self.stages_us.get(name) {
                row(&format!("  {name}"), line(stage));
            }
        }
        for (name, count) in &self.refused {
            row("refused", format!("{count} × {name}"));
        }
        if let Some(agreement) = &self.agreement {
            let verdict = if agreement.holds() { "agree" } else { "DIFFER" };
            let count = agreement.accounts;
            row(
                "books",
                format!("{count} accounts {verdict}, supply delta {}", agreement.supply_delta),
            );
            for example in &agreement.examples {
                row("difference", example.clone());
            }
        }
        table.to_string()
    }
}
