//! What the running frame shows of itself: the checks behind `/readyz`, and `figures` behind
//! `/metrics`.
//!
//! It changes nothing of the frame. Invariant: the engine is asked once a second, however often
//! somebody looks.

mod figures;
mod page;
mod process;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pipeline::{ControlHandle, Marks};
use ring::{Pool, ReplyQueue};
use settlement::Status;

use crate::admin::{Check, Format, Observed};
use crate::audit_log::{AuditLog, Figures};
use crate::clock;
use crate::keeper;
use crate::public::Board;
use crate::threads::Health;

/// Settled state older than this is a reason to be not ready.
const LAG_MAX_MS: u64 = 60_000;
/// Journal and wall time further apart than this raise the alarm (H16).
const SKEW_MAX_MS: u64 = 1_000;
/// Longest wait for the engine's answer.
const ENGINE_PATIENCE: std::time::Duration = std::time::Duration::from_millis(250);

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
    pub(crate) replies: Vec<Arc<ReplyQueue>>,
    /// What everybody is told, if anybody is.
    pub(crate) board: Option<Arc<Board>>,
    pub(crate) facts: Facts,
    /// What the engine answered when it was last asked.
    pub(crate) engine: Mutex<engine::Figures>,
    /// When that was, by the monotonic clock.
    pub(crate) answered_ms: AtomicU64,
    /// Times that changed certificates could not be loaded.
    pub(crate) reload_failures: AtomicU64,
}

/// What does not change while the frame runs.
pub(crate) struct Facts {
    pub(crate) frame: u128,
    pub(crate) epoch: u64,
    /// By the monotonic clock.
    pub(crate) started_ms: u64,
    pub(crate) ring_requests: usize,
    pub(crate) journal_dir: PathBuf,
}

fn check(name: &'static str, ok: bool, detail: String) -> Check {
    Check { name, ok, detail }
}

impl Frame {
    /// Asks the engine for its figures and keeps the answer. Blocks shortly; tells whether the
    /// engine answered.
    pub(crate) fn refresh(&self) -> bool {
        let Ok(answer) = self.control.figures() else {
            return false;
        };
        let Ok(figures) = answer.recv_timeout(ENGINE_PATIENCE) else {
            return false;
        };
        if let Some(board) = &self.board {
            board.take(&figures, clock::wall_ns() / 1_000_000);
        }
        *self.engine.lock().unwrap_or_else(PoisonError::into_inner) = figures;
        self.answered_ms.store(clock::monotonic_ms(), Ordering::Relaxed);
        true
    }

    fn figures(&self) -> engine::Figures {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
            .figures()
            .supply
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

    fn metrics(&self, format: Format) -> String {
        self.page(format)
    }
}
