//! Figures of a run: what was sent, answered and refused, and how long it took. A JSON object for
//! programs, a table for people, and the percentile table that HdrHistogram's tools read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::measure::{Interval, STAGES};
use crate::run::Driver;

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
    /// From the beginning of the run, and not in its latencies.
    pub warm_up_seconds: u64,
    /// Commands a second that an open loop offers.
    pub rate: Option<f64>,
    /// How their times are spread.
    pub arrivals: Option<String>,
    /// Percent of holds with their ends.
    pub holds_percent: u8,
    /// Percent of reads.
    pub reads_percent: u8,
}

/// Times in microseconds.
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
    /// 9999 in 10 000.
    pub p9999: f64,
    /// Longest.
    pub max: f64,
}

impl Percentiles {
    /// Of a histogram that counts `per_us` to a microsecond.
    pub(crate) fn of(histogram: &Histogram<u64>, per_us: f64) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / per_us;
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            p9999: at(0.9999),
            max: histogram.max() as f64 / per_us,
        }
    }
}

/// A point of the latencies by percentile.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Point {
    /// From 0 to 1.
    pub quantile: f64,
    /// No request of this share took longer.
    pub latency_us: f64,
    /// Requests since the point before.
    pub count: u64,
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
    /// Unix time of the first request, in milliseconds.
    pub began_ms: u64,
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
    /// Processor seconds that the harness itself took, on all cores together.
    pub harness_cpu_seconds: f64,
    /// Request latency: until the reply is decoded, from just before submission, or in an open loop
    /// from the time that the request was meant to be sent.
    pub latency_us: Percentiles,
    /// In an open loop, how much later than meant requests were sent; part of the latency.
    pub late_us: Option<Percentiles>,
    /// When each stage was done, since the frame received the request.
    pub stages_us: BTreeMap<&'static str, Percentiles>,
    /// Request latency by percentile.
    pub latency_curve: Vec<Point>,
    /// The run by tenths of a second.
    pub intervals: Vec<Interval>,
    /// The comparison at the end.
    pub agreement: Option<Agreement>,
}

impl Report {
    /// The figures of the last run of `driver`, which took `elapsed`.
    #[must_use]
    pub fn of(driver: &Driver, elapsed: Duration) -> Self {
        let (load, measured) = (driver.load(), &driver.measured);
        let seconds = elapsed.as_secs_f64().max(1e-9);
        Self {
            settings: load.settings(),
            began_ms: driver.began_ms,
            seconds,
            executed: measured.executed,
            refused: measured.refused.clone(),
            requests: measured.requests,
            reads: measured.reads,
            commands_per_second: measured.executed as f64 / seconds,
            requests_per_second: measured.requests as f64 / seconds,
            harness_cpu_seconds: driver.cpu.as_secs_f64(),
            latency_us: measured.latency(),
            late_us: load.open.map(|_| measured.late()),
            stages_us: measured.stages(),
            latency_curve: measured.curve(),
            intervals: driver.intervals.clone(),
            agreement: None,
        }
    }

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
        if self.settings.warm_up_seconds > 0 {
            row("latencies", format!("without the first {} s", self.settings.warm_up_seconds));
        }
        if let (Some(rate), Some(arrivals)) = (self.settings.rate, &self.settings.arrivals) {
            row("offered", format!("{rate:.0} commands/s ({arrivals})"));
        }
        row("executed", format!("{} commands in {:.2} s", self.executed, self.seconds));
        row("rate", format!("{:.0} commands/s", self.commands_per_second));
        row("requests", format!("{:.0} a second", self.requests_per_second));
        if self.reads > 0 {
            row("reads", self.reads.to_string());
        }
        row("latency", line(&self.latency_us));
        if let Some(late) = &self.late_us {
            row("  sent late", line(late));
        }
        for name in STAGES {
            if let Some(stage) = self.stages_us.get(name) {
                row(&format!("  {name}"), line(stage));
            }
        }
        let each = self.harness_cpu_seconds * 1e9 / self.executed.max(1) as f64;
        let cpu = self.harness_cpu_seconds;
        row("harness", format!("{cpu:.2} processor seconds, {each:.0} ns a command"));
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

    /// Latency by percentile in milliseconds, in the form of HdrHistogram's `.hgrm` files.
    #[must_use]
    pub fn hgrm(&self) -> String {
        let mut text = "       Value     Percentile TotalCount 1/(1-Percentile)\n\n".to_owned();
        let mut total = 0;
        for Point { quantile, latency_us, count } in &self.latency_curve {
            total += count;
            let value = latency_us / 1_000.0;
            let _ = write!(text, "{value:12.3} {quantile:2.12} {total:10}");
            let rest = 1.0 - quantile;
            let _ = if rest > 0.0 {
                writeln!(text, " {:14.2}", 1.0 / rest)
            } else {
                writeln!(text, "            inf")
            };
        }
        let max = self.latency_us.max / 1_000.0;
        let _ = writeln!(text, "#[Max     = {max:12.3}, Total count    = {total:12}]");
        text
    }
}

fn line(times: &Percentiles) -> String {
    format!(
        "p50 {:.0} µs, p90 {:.0}, p99 {:.0}, p99.9 {:.0}, p99.99 {:.0}, max {:.0} µs",
        times.p50, times.p90, times.p99, times.p999, times.p9999, times.max
    )
}
