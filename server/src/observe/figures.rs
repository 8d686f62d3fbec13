//! The figures behind `/metrics`, read from counters that the threads keep anyway.
//!
//! Nothing here is counted for the page alone on the way of a transfer. Invariant: a name says what
//! was measured where: `gateway` at the doors, `queue` and `stage` on the way, `commands` on the
//! way back, `settlement` behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gateway::{Door, Passage};
use pipeline::limits::CONTROLS_MAX;
use pipeline::{Holder, Stage};
use protocol::Status;
use protocol::cut::SupplyRow;
use settlement::sink::Class;
use settlement::{Alarm, Stop};

use super::page::{Page, Times, milli_seconds, seconds};
use super::{Frame, process};
use crate::admin::{Format, Observed as _};
use crate::audit_log;
use crate::clock;
use crate::keeper;

/// Counters of the gateway of which each is one reason of a family.
const REFUSED: &str = "refused_";

fn of(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Frame {
    /// The whole page.
    pub(super) fn page(&self, format: Format) -> String {
        let mut page = Page::new(format);
        self.show_process(&mut page);
        self.show_health(&mut page);
        self.show_marks(&mut page);
        self.show_queues(&mut page);
        self.show_stages(&mut page);
        self.show_journal(&mut page);
        self.show_passages(&mut page);
        self.show_gateway(&mut page);
        self.show_settlement(&mut page);
        self.show_identity(&mut page);
        self.show_upkeep(&mut page);
        self.show_audit_log(&mut page);
        self.show_engine(&mut page);
        page.finish()
    }

    fn show_process(&self, page: &mut Page) {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        page.info("bezant_build_info", "The program.", &version);
        let frame = uuid::Uuid::from_u128(self.facts.frame).to_string();
        page.info("bezant_frame_info", "The frame.", &[("frame", &frame)]);
        page.gauge("bezant_epoch", "Starts of this frame so far.", self.facts.epoch);
        let up_ms = clock::monotonic_ms().saturating_sub(self.facts.started_ms);
        let help = "Time since the doors were opened.";
        page.gauge("bezant_uptime_seconds", help, milli_seconds(up_ms));
        let help = "Processor time of all threads of the process.";
        page.counter("process_cpu_seconds", help, milli_seconds(process::cpu_ms()));
        if let Some(bytes) = process::resident_bytes() {
            page.gauge("process_resident_memory_bytes", "Memory of the process in use.", bytes);
        }
    }

    fn show_health(&self, page: &mut Page) {
        let checks = self.checks();
        let ready = u8::from(checks.iter().all(|check| check.ok));
        page.gauge("bezant_ready", "1 while /readyz says so.", ready);
        let rows = checks.iter().map(|check| (check.name, u8::from(check.ok)));
        page.gauges(("bezant_check_ok", "check"), "Each check of /readyz.", rows);
        let stall = self.health.stall();
        let stalled = |stage: Stage| {
            let stall = stall.filter(|stall| stall.stage == stage);
            (stage.name(), stall.map_or(0, |stall| stall.during.as_secs()))
        };
        page.gauges(
            ("bezant_stage_stalled_seconds", "stage"),
            "How long a stage has stood still although it has work; 0: it has not.",
            Stage::ALL.map(stalled),
        );
        let skew = milli_seconds(self.health.skew_ms());
        page.gauge("bezant_clock_skew_seconds", "Journal and wall time apart.", skew);
    }

    fn show_marks(&self, page: &mut Page) {
        let marks = self.marks.watermarks();
        for (name, help, value) in [
            ("sequenced", "Last sequence given out.", marks.sequenced),
            ("committed", "Last sequence that is durable.", marks.committed),
            ("executed", "Last sequence executed.", marks.executed),
            ("settled", "Last sequence in SQL.", marks.settled),
        ] {
            page.gauge(&format!("bezant_{name}_sequence"), help, value);
        }
        let at = seconds(marks.timestamp_ns);
        page.gauge("bezant_journal_time_seconds", "Journal time of the last record.", at);
    }

    fn show_queues(&self, page: &mut Page) {
        let seen = self.health.cursors();
        let replies: usize = self.replies.iter().map(|queue| queue.len()).sum();
        let rows = [
            ("journal", seen.published.saturating_sub(seen.journaled)),
            ("sync", seen.appended.saturating_sub(seen.durable)),
            ("engine", seen.journaled.saturating_sub(seen.taken)),
            ("replies", replies as u64),
            ("questions", self.control.waiting() as u64),
            ("audit_log", self.audit_log.waiting() as u64),
        ];
        let help = "What waits for a stage: requests; records (sync), questions, audit events.";
        page.gauges(("bezant_queue_depth", "queue"), help, rows);
        let pool = self.pool.config();
        let ring = self.facts.ring_requests as u64;
        let rows = [
            ("journal", ring),
            ("engine", ring),
            ("replies", (pool.requests_max * self.replies.len()) as u64),
            ("questions", CONTROLS_MAX as u64),
            ("audit_log", audit_log::WAITING_MAX as u64),
        ];
        let help = "How many may wait; journal and engine share one ring.";
        page.gauges(("bezant_queue_capacity", "queue"), help, rows);
        let free = self.pool.free_bytes();
        page.gauge("bezant_pool_free_bytes", "Memory for requests left.", free);
        page.gauge("bezant_pool_size_bytes", "Memory for requests.", pool.bytes_max);
        let help = "Requests between the doors' reading and their answer.";
        page.gauge("bezant_pool_requests", help, self.pool.in_flight());
        let help = "How many requests may be between reading and answer.";
        page.gauge("bezant_pool_requests_max", help, pool.requests_max);
    }

    fn show_stages(&self, page: &mut Page) {
        let all = [
            (Stage::Journal, &self.stages.journal),
            (Stage::Sync, &self.stages.sync),
            (Stage::Engine, &self.stages.engine),
        ];
        let working = all.map(|(stage, metrics)| (stage.name(), seconds(metrics.steps.sum_ns())));
        let help = "Time that a stage worked.";
        page.counters(("bezant_stage_working_seconds", "stage"), help, working);
        let waiting = all.map(|(stage, metrics)| (stage.name(), seconds(of(&metrics.waiting_ns))));
        let help = "Time that a stage waited for work.";
        page.counters(("bezant_stage_waiting_seconds", "stage"), help, waiting);
        // A step is what a stage does without waiting: a long one is a pause for all that wait.
        let steps = all.map(|(stage, metrics)| {
            (format!("stage=\"{}\"", stage.name()), Times::of([&metrics.steps]))
        });
        let help = "How long a stage worked without waiting.";
        page.histograms("bezant_stage_step_seconds", help, steps);
        let engine = &self.stages.engine;
        for (name, help, counter) in [
            ("batches", "Steps in which requests were executed.", &engine.groups),
            ("requests", "Requests executed, answered or passed on.", &engine.requests),
            ("commands", "Commands executed, and reads.", &engine.commands),
            ("reply_bytes", "Bytes of replies made.", &engine.bytes),
        ] {
            page.counter(&format!("bezant_engine_{name}"), help, of(counter));
        }
        page.counter("bezant_ticks", "Ticks journaled.", of(&self.stages.ticks));
    }

    fn show_journal(&self, page: &mut Page) {
        let (journal, sync) = (&self.stages.journal, &self.stages.sync);
        for (name, help, counter) in [
            ("records", "Records of commands appended.", &journal.groups),
            ("requests", "Requests in the records appended.", &journal.requests),
            ("commands", "Commands in the records appended.", &journal.commands),
            ("payload_bytes", "Bytes of the requests in the records appended.", &journal.bytes),
            (
                "refused_requests",
                "Requests that the journal refused for want of room.",
                &journal.refused,
            ),
            ("synced_records", "Records made durable.", &sync.requests),
        ] {
            page.counter(&format!("bezant_journal_{name}"), help, of(counter));
        }
        let syncs = [(String::new(), Times::of([&self.stages.syncs]))];
        let help = "How long it took to make a group of records durable.";
        page.histograms("bezant_journal_sync_seconds", help, syncs);
        let help = "Segments not prepared for want of room.";
        page.counter("bezant_journal_prepare_failures", help, self.health.prepare_failures());
        let help = "1 while there is no room for the next segment.";
        page.gauge("bezant_journal_full", help, u8::from(self.health.is_full()));
        if let Ok(disk) = rustix::fs::statvfs(&self.facts.journal_dir) {
            let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
            let help = "Room left on the file system of the journal.";
            page.gauge("bezant_journal_disk_free_bytes", help, bytes(disk.f_bavail));
            let help = "Size of the file system of the journal.";
            page.gauge("bezant_journal_disk_size_bytes", help, bytes(disk.f_blocks));
        }
    }

    /// What replies tell on their way back to the doors.
    fn show_passages(&self, page: &mut Page) {
        let passages: Vec<Arc<Passage>> = self.gateway.passages();
        let spans = gateway::SPANS.iter().enumerate().map(|(place, span)| {
            let times = Times::of(passages.iter().map(|passage| &passage.spans()[place]));
            (format!("span=\"{span}\""), times)
        });
        let help = "Time of a journaled request from received to sequenced (span sequence), to \
                    durable (commit), to executed (execute), to replied (reply).";
        page.histograms("bezant_request_span_seconds", help, spans);
        let kinds = [(false, "write"), (true, "read")];
        let doors = [Door::Quic, Door::Https];
        let whole = doors.into_iter().flat_map(|door| kinds.map(|kind| (door, kind)));
        let whole = whole.map(|(door, (is_read, kind))| {
            let times = Times::of(passages.iter().map(|passage| passage.whole(door, is_read)));
            (format!("door=\"{}\",kind=\"{kind}\"", door.name()), times)
        });
        let help = "Time of a request through the stages, from received to replied.";
        page.histograms("bezant_request_seconds", help, whole);
        let refusals = Status::ALL.iter().filter(|status| !status.is_ok()).map(|&status| {
            (status.name(), passages.iter().map(|passage| passage.refused(status)).sum::<u64>())
        });
        let help = "Commands that the stages answered with a refusal.";
        page.counters(("bezant_commands_refused", "reason"), help, refusals);
        let repeated: u64 = passages.iter().map(|passage| passage.repeated()).sum();
        let help = "Commands answered as the earlier one with their id.";
        page.counter("bezant_commands_repeated", help, repeated);
    }

    fn show_gateway(&self, page: &mut Page) {
        let mut refused = Vec::new();
        for (name, help, value) in self.gateway.readings() {
            if let Some(reason) = name.strip_prefix(REFUSED) {
                refused.push((reason, value));
                continue;
            }
            let is_level = name.ends_with("_open");
            let name = format!("bezant_gateway_{name}");
            if is_level {
                page.gauge(&name, help, value);
            } else {
                page.counter(&name, help, value);
            }
        }
        let help = "Connections that a door turned away, by reason.";
        page.counters(("bezant_gateway_connections_refused", "reason"), help, refused);
    }

    fn show_settlement(&self, page: &mut Page) {
        let Some(status) = &self.settlement else {
            return;
        };
        let now_ms = clock::monotonic_ms();
        // A database that has never answered is behind since the start.
        let never_ms = if status.last_error().is_some() {
            now_ms.saturating_sub(self.facts.started_ms)
        } else {
            0
        };
        let lag = milli_seconds(status.lag_ms(now_ms).unwrap_or(never_ms));
        page.gauge("bezant_settlement_lag_seconds", "Age of the settled state.", lag);
        let behind = self.marks.watermarks();
        let behind = behind.executed.saturating_sub(behind.settled);
        let help = "Commands executed and not known to be settled.";
        page.gauge("bezant_settlement_lag_commands", help, behind);
        let help = "Time from one cut to the next, longer while SQL takes more than its share.";
        let interval = milli_seconds(status.interval_ms());
        page.gauge("bezant_settlement_interval_seconds", help, interval);
        page.counter("bezant_settlement_batches", "Batches committed.", status.batches());
        page.counter("bezant_settlement_rows", "Account rows committed.", status.rows());
        let commits = [(String::new(), Times::of([status.commits()]))];
        let help = "How long it took to commit a batch.";
        page.histograms("bezant_settlement_commit_seconds", help, commits);
        let help = "Attempts that failed and were tried again, or ended settlement.";
        page.counter("bezant_settlement_failures", help, status.failures());
        let help = "Times that the database was found to be an older copy.";
        page.counter("bezant_settlement_older_copies", help, status.behind());
        let is_alarming = status.alarm().is_some() || status.stopped().is_some();
        let help = "1 while an alarm stands or settlement has stopped.";
        page.gauge("bezant_settlement_alarm", help, u8::from(is_alarming));
        let alarm = status.alarm();
        let rows = Alarm::ALL.map(|one| (one.name(), u8::from(alarm == Some(one))));
        let help = "1 for the alarm raised since all was settled.";
        page.gauges(("bezant_settlement_alarm_raised", "alarm"), help, rows);
        let class = status.last_class();
        let rows = Class::ALL.map(|one| (one.name(), u8::from(class == Some(one))));
        let help = "1 for the kind of the last error since all was settled.";
        page.gauges(("bezant_settlement_last_error", "kind"), help, rows);
        let stop = status.stopped();
        let rows = Stop::ALL.map(|one| (one.name(), u8::from(stop == Some(one))));
        let help = "1 for the reason for which settlement has ended.";
        page.gauges(("bezant_settlement_stopped", "reason"), help, rows);
    }

    fn show_identity(&self, page: &mut Page) {
        let own = self.identity.current();
        let labels = [("spiffe_id", &*own.spiffe_id().to_string()), ("source", "files")];
        page.info("bezant_identity_info", "The server's certificate and its source.", &labels);
        let (from_s, until_s) = (own.not_before().as_secs(), own.not_after().as_secs());
        let left_s = i128::from(until_s) - i128::from(clock::wall_ns() / 1_000_000_000);
        let help = "Time until the server's certificate ends.";
        page.gauge("bezant_identity_expires_in_seconds", help, left_s);
        let help = "How long the server's certificate is valid in all.";
        page.gauge("bezant_identity_lifetime_seconds", help, until_s.saturating_sub(from_s));
        let help = "Times that changed certificate files could not be loaded; tried each second.";
        page.counter("bezant_identity_reload_failures", help, of(&self.reload_failures));
    }

    fn show_upkeep(&self, page: &mut Page) {
        let help = "Snapshots tried since the start, by how it ended.";
        page.counters(("bezant_snapshots", "result"), help, self.upkeep.snapshots());
        for (name, help, value) in self.upkeep.rows(clock::wall_ns()) {
            let name = format!("bezant_{name}");
            match value {
                keeper::Value::Counter(count) => page.counter(&name, help, count),
                keeper::Value::Gauge(value) => page.gauge(&name, help, value),
                keeper::Value::Millis(ms) => page.gauge(&name, help, milli_seconds(ms)),
            }
        }
        let holder = self.upkeep.holder();
        let rows = Holder::ALL.map(|one| (one.name(), u8::from(holder == Some(one))));
        let help = "1 for who keeps journal that snapshots do not need.";
        page.gauges(("bezant_retention_held_by", "holder"), help, rows);
    }

    fn show_audit_log(&self, page: &mut Page) {
        let audit_log::Figures { written, suppressed, lost, is_failing } = self.audit_log.figures();
        for (name, help, value) in [
            ("lines", "Lines written and synced.", written),
            ("suppressed", "Events counted instead of written.", suppressed),
            ("lost", "Events that could not be written.", lost),
        ] {
            page.counter(&format!("bezant_audit_log_{name}"), help, value);
        }
        let help = "1 while the audit log cannot be written.";
        page.gauge("bezant_audit_log_failing", help, u8::from(is_failing));
    }

    /// What the engine was asked within the last second.
    fn show_engine(&self, page: &mut Page) {
        type Figure = fn(&SupplyRow) -> String;
        let figures = self.figures();
        let age_ms = clock::monotonic_ms().saturating_sub(of(&self.answered_ms));
        let help = "Time since the engine last answered: age of limits and supply.";
        page.gauge("bezant_engine_answer_age_seconds", help, milli_seconds(age_ms));
        let help = "Places used in a table of the engine.";
        let rows = figures.uses.iter().map(|used| (used.name, used.used));
        page.gauges(("bezant_limit_used", "table"), help, rows);
        let help = "Places that a table of the engine may have: a journaled parameter.";
        let rows = figures.uses.iter().map(|used| (used.name, used.capacity));
        page.gauges(("bezant_limit_capacity", "table"), help, rows);
        let help = "1 while no units can be issued.";
        page.gauge("bezant_mint_halted", help, u8::from(figures.is_mint_halted));
        let shown: [(&str, &str, Figure); 9] = [
            ("delta", "Issued - destroyed - circulating; anything but 0 is a breach.", |row| {
                row.delta().map_or_else(|| "NaN".into(), |delta| delta.to_string())
            }),
            ("issued", "Gross units issued.", |row| row.issued.to_string()),
            ("destroyed", "Gross units destroyed.", |row| row.destroyed.to_string()),
            ("circulating", "Units in all buckets of all accounts.", |row| {
                row.total().map_or_else(|| "NaN".into(), |total| total.to_string())
            }),
            ("held", "Units in holds.", |row| row.held.to_string()),
            ("staked", "Units in stakes.", |row| row.staked.to_string()),
            ("bonded", "Units in bonds.", |row| row.bonded.to_string()),
            ("credit_granted", "Credit limits of all accounts.", |row| {
                row.credit_granted.to_string()
            }),
            ("credit_used", "Units below zero of all accounts.", |row| row.credit_used.to_string()),
        ];
        for (figure, help, value) in shown {
            let rows = figures.supply.iter().map(|row| (row.asset, value(row)));
            page.gauges((&format!("bezant_supply_{figure}"), "asset"), help, rows);
        }
        let rows = figures.supply.iter().map(|row| (row.asset, row.scale));
        let help = "Decimal digits of an asset's units: divide its figures by 10 to this power.";
        page.gauges(("bezant_supply_scale", "asset"), help, rows);
    }
}
