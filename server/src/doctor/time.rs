//! The wall clock: kept right by somebody, and close enough to the journal's last record.
#![expect(unsafe_code, reason = "the kernel's clock discipline has no safe interface")]

use std::sync::Arc;

use journal::{FileStorage, Reader};

use super::Finding;
use crate::clock;
use crate::config::Config;

pub(super) fn examine(config: &Config, running: bool) -> Vec<Finding> {
    let mut findings = vec![judge(discipline().as_ref())];
    // A running frame shows it at /readyz, and its journal is not at rest.
    if !running {
        findings.extend(last_ns(config).map(|last_ns| {
            let check = "journal time";
            match clock::judge_start(last_ns) {
                Ok(()) => Finding::ok(check, "the wall clock fits the journal's last record"),
                Err(error) if config.accept_clock_step => {
                    let cure = "take clock.accept_step out of the settings after this start";
                    Finding::warn(check, error.to_string(), cure)
                }
                Err(error) => Finding::fail(check, error.to_string(), "timedatectl, chronyc"),
            }
        }));
    }
    findings
}

/// What the kernel knows of its clock.
struct Discipline {
    is_synchronised: bool,
    /// At most so far from true time, in microseconds, as far as the kernel knows.
    error_max_us: i64,
}

/// Asks the kernel, without changing anything; `None` where it may not be asked.
fn discipline() -> Option<Discipline> {
    // SAFETY: all zeros is a value of this type of integers; `modes` 0 asks and sets nothing.
    let mut answer: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the call writes to the one structure that it is given, which lives on.
    let state = unsafe { libc::adjtimex(&raw mut answer) };
    let is_synchronised = state != libc::TIME_ERROR && answer.status & libc::STA_UNSYNC == 0;
    (state >= 0).then_some(Discipline { is_synchronised, error_max_us: answer.maxerror })
}

fn judge(discipline: Option<&Discipline>) -> Finding {
    let check = "clock";
    let cure = "run chrony or systemd-timesyncd: certificates and holds end by this clock";
    match discipline {
        None => Finding::warn(check, "the kernel does not say whether it is kept right", cure),
        Some(known) if !known.is_synchronised => {
            Finding::warn(check, "nobody keeps it right, as far as the kernel knows", cure)
        }
        Some(Discipline { error_max_us, .. }) => {
            let millis = error_max_us / 1_000;
            Finding::ok(check, format!("kept right, to within {millis} ms"))
        }
    }
}

/// Journal time of the last record of a frame at rest.
fn last_ns(config: &Config) -> Option<u64> {
    let storage = Arc::new(FileStorage::new(config.journal_dir()));
    let last = *journal::segments(&*storage).ok()?.last()?;
    let mut last_ns = last.first.timestamp_ns;
    let mut reader = Reader::open_headers(storage, last.first.index, u64::MAX).ok()?;
    // Whatever is behind the last whole record is for the start to judge.
    while let Ok(Some((header, _))) = reader.next() {
        last_ns = header.timestamp_ns;
    }
    Some(last_ns)
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_clock_that_nobody_keeps_is_doubtful() {
        let kept = |is_synchronised| Discipline { is_synchronised, error_max_us: 12_000 };
        assert_eq!(judge(Some(&kept(true))).verdict, Verdict::Ok);
        assert_eq!(judge(Some(&kept(false))).verdict, Verdict::Warn);
        assert_eq!(judge(None).verdict, Verdict::Warn);
        // Whatever this machine says, it says it.
        judge(discipline().as_ref());
    }
}
