//! What the running frame shows of itself: the checks behind `/readyz` and the figures behind
//! `/metrics`, read from counters that the threads keep anyway.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use pipeline::{ControlHandle, Holder, Marks, StageMetrics};
use protocol::cut::SupplyRow;
use ring::Pool;
use settlement::Status;

use crate::admin::{Check, Observed};
use crate::audit_log::{AuditLog, Figures};
use crate::clock;
use crate::keeper;
use crate::threads::Health;

/// Settled state older than this is a reason to be not ready.
const LAG_MAX_MS: u64 = 60_000;
/// Journal and wall time further apart than this raise the alarm (H16).
const SKEW_MAX_MS: u64 = 1_000;
/// Longest wait for the engine's answer about the supply.
const SUPPLY_PATIENCE: std::time::Duration = std::time::Duration::from_millis(250);

/// Everything there is to look at.
pub(crate) struct Frame {
    pub(crate) marks: Arc<Marks>,
    pub(crate) stages: Arc<pipeline::Metrics>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) gateway: Arc<gateway::Metrics>,
    pub(crate) settlement: Option<Arc<Status>>,
    pub(crate) upkeep: Arc<keeper::Figures>,
    pub(crate) control: ControlHandle,
    pub(crate) health: Health,
    pub(crate) identity: Arc<identity::FileSource>,
    pub(crate) audit_log: Arc<AuditLog>,
    pub(crate) supply: Mutex<Vec<SupplyRow>>,
}

fn check(name: &'static str, ok: bool, detail: String) -> Check {
    Check { name, ok, detail }
}

impl Frame {
    /// Asks the engine for the supply and keeps the answer for checks and figures. Blocks shortly.
    pub(crate) fn refresh(&self) {
        let Ok(answer) = self.control.supply() else {
            return;
        };
        if let Ok(rows) = answer.recv_timeout(SUPPLY_PATIENCE) {
            *self.supply.lock().unwrap_or_else(PoisonError::into_inner) = rows;
        }
    }

    fn supply(&self) -> Vec<SupplyRow> {
        self.supply.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn check_stages(&self) -> Check {
        match self.health.stall() {
            None => check("stages", true, "every stage moves or has nothing to do".into()),
            Some(stall) => check(
                "stages",
                false,
                format!(
                    "{} has stood still for {} s with {} waiting; look at the disk and the log",
                    stall.stage.name(),
                    stall.during.as_secs(),
                    stall.pending
                ),
            ),
        }
    }

    fn check_journal(&self) -> Check {
        if self.health.is_full() {
            let detail = "no room for the next segment: writes get journal_full; free disk space";
            return check("journal", false, detail.into());
        }
        check("journal", true, "has room".into())
    }

    fn check_settlement(&self) -> Option<Check> {
        let status = self.settlement.as_ref()?;
        let detail = |text: &str| {
            let error = status.last_error().map_or_else(String::new, |error| format!(": {error}"));
            format!("{text}{error}")
        };
        if let Some(stop) = status.stopped() {
            return Some(check("settlement", false, detail(stop.text())));
        }
        Some(match status.lag_ms(clock::monotonic_ms()) {
            Some(lag_ms) if lag_ms <= LAG_MAX_MS => {
                check("settlement", true, format!("{lag_ms} ms behind"))
            }
            Some(lag_ms) => check("settlement", false, detail(&format!("{lag_ms} ms behind"))),
            None if status.last_error().is_none() => {
                check("settlement", true, "nothing settled yet".into())
            }
            None => check("settlement", false, detail("the database does not answer")),
        })
    }

    fn check_supply(&self) -> Check {
        let wrong: Vec<String> = self
            .supply()
            .iter()
            .filter(|row| row.delta() != Some(0))
            .map(|row| format!("asset {}: delta {:?}", row.asset, row.delta()))
            .collect();
        if wrong.is_empty() {
            return check("supply", true, "delta 0".into());
        }
        check("supply", false, format!("{}; stop and audit", wrong.join(", ")))
    }

    fn check_identity(&self) -> Check {
        let not_after_s = self.identity.current().not_after().as_secs();
        let left_s = not_after_s.saturating_sub(clock::wall_ns() / 1_000_000_000);
        check("identity", left_s > 0, format!("the server's certificate ends in {left_s} s"))
    }

    fn check_audit_log(&self) -> Check {
        let Figures { is_failing, lost, .. } = self.audit_log.figures();
        let detail = match (is_failing, lost) {
            (true, _) => format!("cannot be written, {lost} events lost; free disk space"),
            (false, 0) => "every event is written".into(),
            (false, _) => format!("is written again; {lost} events were lost since the start"),
        };
        check("audit_log", !is_failing, detail)
    }

    fn check_upkeep(&self) -> Check {
        let trouble = self.upkeep.trouble();
        let fine = || "what was read again is whole, and snapshots are not failing".into();
        check("upkeep", trouble.is_none(), trouble.unwrap_or_else(fine))
    }

    fn check_clock(&self) -> Check {
        let skew_ms = self.health.skew_ms();
        let detail = format!("journal time and wall time are {skew_ms} ms apart");
        check("clock", skew_ms <= SKEW_MAX_MS, detail)
    }
}

impl Observed for Frame {
    fn checks(&self) -> Vec<Check> {
        let mut checks = vec![
            self.check_journal(),
            self.check_stages(),
            self.check_supply(),
            self.check_identity(),
            self.check_clock(),
            self.check_audit_log(),
            self.check_upkeep(),
        ];
        checks.extend(self.check_settlement());
        checks
    }

    fn metrics(&self) -> String {
        let mut page = Page::default();
        let marks = self.marks.watermarks();
        for (name, value) in [
            ("sequenced", marks.sequenced),
            ("committed", marks.committed),
            ("executed", marks.executed),
            ("settled", marks.settled),
        ] {
            page.gauge(&format!("bezant_{name}_sequence"), "Watermark, as a sequence.", value);
        }
        page.gauge(
            "bezant_journal_time_ns",
            "Journal time of the last record.",
            marks.timestamp_ns,
        );
        page.gauge(
            "bezant_pool_free_bytes",
            "Memory for requests left.",
            self.pool.free_bytes() as u64,
        );
        page.gauge("bezant_pool_requests", "Requests in flight.", self.pool.in_flight() as u64);
        let stages = [
            ("journal", &self.stages.journal),
            ("sync", &self.stages.sync),
            ("engine", &self.stages.engine),
        ];
        stages.iter().for_each(|(stage, metrics)| page.stage(stage, metrics));
        // One family, so all its lines stand together.
        stages.iter().for_each(|(stage, metrics)| page.steps(stage, metrics));
        page.counter(
            "bezant_journal_prepare_failures",
            "Segments not prepared for want of room.",
            self.health.prepare_failures(),
        );
        let Figures { written, suppressed, lost, is_failing } = self.audit_log.figures();
        for (name, help, value) in [
            ("lines", "Lines written and synced.", written),
            ("suppressed", "Events counted instead of written.", suppressed),
            ("lost", "Events that could not be written.", lost),
        ] {
            page.counter(&format!("bezant_audit_log_{name}"), help, value);
        }
        let help = "1 while the audit log cannot be written.";
        page.gauge("bezant_audit_log_failing", help, u64::from(is_failing));
        page.counter("bezant_ticks", "Ticks journaled.", self.stages.ticks.load(Ordering::Relaxed));
        for (name, value) in self.gateway.readings() {
            let help = match name {
                "retries" => "Of the QUIC door.",
                _ if name.starts_with("http") => "Of the HTTPS door.",
                _ => "Of both doors.",
            };
            let name = format!("bezant_gateway_{name}");
            if name.ends_with("_open") {
                page.gauge(&name, help, value);
            } else {
                page.counter(&name, help, value);
            }
        }
        if let Some(status) = &self.settlement {
            page.settlement(status);
        }
        page.upkeep(&self.upkeep);
        page.supply(&self.supply());
        page.finish()
    }
}

/// Nanoseconds as seconds, exact.
fn seconds(ns: u64) -> String {
    format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
}

/// A page in the OpenMetrics text format.
#[derive(Default)]
struct Page {
    text: String,
    described: std::collections::BTreeSet<String>,
}

impl Page {
    fn describe(&mut self, name: &str, kind: &str, help: &str) {
        if self.described.insert(name.to_owned()) {
            self.line(format_args!("# TYPE {name} {kind}"));
            self.line(format_args!("# HELP {name} {help}"));
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("a string can be written to");
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.describe(name, "gauge", help);
        self.line(format_args!("{name} {value}"));
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.describe(name, "counter", help);
        self.line(format_args!("{name}_total {value}"));
    }

    fn stage(&mut self, stage: &str, metrics: &StageMetrics) {
        for (name, counter) in [
            ("working_ns", &metrics.working_ns),
            ("waiting_ns", &metrics.waiting_ns),
            ("groups", &metrics.groups),
            ("requests", &metrics.requests),
            ("commands", &metrics.commands),
            ("bytes", &metrics.bytes),
            ("refused", &metrics.refused),
        ] {
            let value = counter.load(Ordering::Relaxed);
            self.counter(&format!("bezant_{stage}_{name}"), "Of this stage.", value);
        }
    }

    /// A step is what a stage does without waiting: a long one is a pause for all that wait.
    fn steps(&mut self, stage: &str, metrics: &StageMetrics) {
        let name = "bezant_stage_step_seconds";
        self.describe(name, "histogram", "How long a stage worked without waiting.");
        let sum_ns = metrics.working_ns.load(Ordering::Relaxed);
        let mut count = 0;
        for (bound_ns, more) in metrics.steps.classes() {
            count += more;
            let bound = bound_ns.map_or_else(|| "+Inf".to_owned(), seconds);
            let labels = format_args!("stage=\"{stage}\",le=\"{bound}\"");
            self.line(format_args!("{name}_bucket{{{labels}}} {count}"));
        }
        self.line(format_args!("{name}_sum{{stage=\"{stage}\"}} {}", seconds(sum_ns)));
        self.line(format_args!("{name}_count{{stage=\"{stage}\"}} {count}"));
    }

    fn settlement(&mut self, status: &Status) {
        let lag_ms = status.lag_ms(clock::monotonic_ms()).unwrap_or(0);
        let gauges = [
            ("bezant_settlement_lag_seconds", "Age of the settled state.", lag_ms),
            (
                "bezant_settlement_interval_seconds",
                "Time from one cut to the next, longer while SQL takes more than its share.",
                status.interval_ms(),
            ),
        ];
        for (name, help, value_ms) in gauges {
            self.describe(name, "gauge", help);
            self.line(format_args!("{name} {}.{:03}", value_ms / 1_000, value_ms % 1_000));
        }
        self.counter("bezant_settlement_batches", "Batches committed.", status.batches());
        self.counter("bezant_settlement_rows", "Account rows committed.", status.rows());
        self.counter("bezant_settlement_failures", "Attempts that failed.", status.failures());
        self.gauge(
            "bezant_settlement_alarm",
            "1 while an alarm stands or settlement has stopped.",
            u64::from(status.alarm().is_some() || status.stopped().is_some()),
        );
    }

    fn upkeep(&mut self, figures: &keeper::Figures) {
        let name = "bezant_snapshots";
        self.describe(name, "counter", "Snapshots tried since the start, by how it ended.");
        for (result, count) in figures.snapshots() {
            self.line(format_args!("{name}_total{{result=\"{result}\"}} {count}"));
        }
        for (name, help, value) in figures.rows(clock::wall_ns()) {
            let name = format!("bezant_{name}");
            match value {
                keeper::Value::Counter(count) => self.counter(&name, help, count),
                keeper::Value::Gauge(value) => self.gauge(&name, help, value),
                keeper::Value::Millis(ms) => {
                    self.describe(&name, "gauge", help);
                    self.line(format_args!("{name} {}.{:03}", ms / 1_000, ms % 1_000));
                }
            }
        }
        let name = "bezant_retention_held_by";
        self.describe(name, "gauge", "1 for who keeps journal that snapshots do not need.");
        for holder in Holder::ALL {
            let holds = u64::from(figures.holder() == Some(holder));
            self.line(format_args!("{name}{{holder=\"{}\"}} {holds}", holder.name()));
        }
    }

    fn supply(&mut self, rows: &[SupplyRow]) {
        type Figure = fn(&SupplyRow) -> String;
        let delta: Figure =
            |row| row.delta().map_or_else(|| "NaN".into(), |delta| delta.to_string());
        let figures: [(&str, &str, Figure); 4] = [
            ("delta", "Issued - destroyed - total; anything but 0 is a breach.", delta),
            ("issued", "Gross units issued.", |row| row.issued.to_string()),
            ("destroyed", "Gross units destroyed.", |row| row.destroyed.to_string()),
            ("held", "Units in holds.", |row| row.held.to_string()),
        ];
        for (figure, help, value) in figures {
            let name = format!("bezant_supply_{figure}");
            self.describe(&name, "gauge", help);
            for row in rows {
                self.line(format_args!("{name}{{asset=\"{}\"}} {}", row.asset, value(row)));
            }
        }
    }

    fn finish(mut self) -> String {
        self.text.push_str("# EOF\n");
        self.text
    }
}
