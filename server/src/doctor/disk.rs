//! The disk itself: how long a small append takes to be durable, and whether files there can be
//! written past the page cache.
//!
//! It writes one small file of its own beside the journal's, and removes it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use journal::Backend;

use super::Finding;
use crate::config::Config;

/// Appends of a sample.
const APPENDS: u64 = 100;
/// Longest time for all of them.
const PATIENCE: Duration = Duration::from_secs(3);
const BLOCK: usize = 4_096;
/// No sync that reaches a medium is this quick.
const SUSPICIOUS: Duration = Duration::from_micros(8);
/// A median above this is what every single payment would feel.
const SLOW: Duration = Duration::from_millis(10);
/// A sync above this looks like a disk that stalls.
const STALLED: Duration = Duration::from_secs(1);

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let journal = config.journal_dir();
    // It may be on a disk of its own; before `init` there is none.
    let dir = if journal.is_dir() { &journal } else { &config.data_dir };
    let mut findings = vec![match sample(dir) {
        Ok(took) => judge(&took),
        Err(error) => unwritable(dir, &error),
    }];
    if config.backend != Backend::Mapped {
        let path = dir.join(format!("doctor-{}.direct", std::process::id()));
        findings.push(direct(config.backend, journal::direct_refusal(&path)));
    }
    findings
}

/// How long each append took, shortest first.
fn sample(dir: &Path) -> io::Result<Vec<Duration>> {
    let path = dir.join(format!("doctor-{}.sample", std::process::id()));
    // A doctor that was killed may have left its own, and numbers of processes come again.
    let _ = fs::remove_file(&path);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let took = appends(&file);
    fs::remove_file(&path)?;
    took
}

fn appends(file: &File) -> io::Result<Vec<Duration>> {
    // As a segment is: written once before it is filled, so that a sync has no blocks to find.
    let block = [1; BLOCK];
    file.write_all_at(&vec![0; BLOCK * APPENDS as usize], 0)?;
    file.sync_all()?;
    let begun = Instant::now();
    let mut took = Vec::new();
    for at in 0..APPENDS {
        let since = Instant::now();
        file.write_all_at(&block, at * BLOCK as u64)?;
        file.sync_data()?;
        took.push(since.elapsed());
        if begun.elapsed() > PATIENCE {
            break;
        }
    }
    took.sort_unstable();
    Ok(took)
}

fn judge(took: &[Duration]) -> Finding {
    let check = "sync";
    let (Some(&worst), Some(&median)) = (took.last(), took.get(took.len() / 2)) else {
        return Finding::warn(check, "nothing was measured", "ask again");
    };
    let found = format!(
        "4 KiB are durable after {median:.0?} (median of {}), at worst {worst:.0?}",
        took.len()
    );
    if median < SUSPICIOUS {
        let cure = "no medium is that quick: a disk, or its host, that does not do what a sync \
                    asks loses acknowledged payments when power goes";
        return Finding::warn(check, found, cure);
    }
    if median > SLOW {
        let cure = "every payment that comes alone waits for it: use a disk with a protected cache";
        return Finding::warn(check, found, cure);
    }
    if worst > STALLED {
        let cure = "the disk stalls: look who else uses it";
        return Finding::warn(check, found, cure);
    }
    Finding::ok(check, found)
}

fn unwritable(dir: &Path, error: &io::Error) -> Finding {
    let cure = "the frame has to write there: look at owner, mount and room";
    Finding::fail("sync", format!("{}: {error}", dir.display()), cure)
}

fn direct(backend: Backend, refusal: io::Result<Option<io::Error>>) -> Finding {
    let check = "direct writes";
    match refusal {
        Ok(None) => Finding::ok(check, "files can be written past the page cache"),
        Ok(Some(error)) if backend == Backend::Direct => {
            let cure = "journal.backend = auto or mapped, or another file system";
            Finding::fail(check, format!("refused: {error}"), cure)
        }
        Ok(Some(error)) => {
            let cure = "the journal is written through a memory map, which takes more processor \
                        time: ext4 and xfs can do better";
            Finding::warn(check, format!("refused: {error}"), cure)
        }
        Err(error) => {
            let cure = "the frame has to write there: look at owner, mount and room";
            Finding::fail(check, error.to_string(), cure)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_sample_is_judged_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let took = sample(dir.path()).unwrap();
        assert!(!took.is_empty() && took.is_sorted());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(sample(&dir.path().join("nowhere")).is_err());
        let at = |median_us, worst_us| {
            let [median, worst] = [median_us, worst_us].map(Duration::from_micros);
            judge(&[median, median, worst]).verdict
        };
        assert_eq!(at(90, 400), Verdict::Ok);
        assert_eq!(at(1, 2), Verdict::Warn);
        assert_eq!(at(12_000, 20_000), Verdict::Warn);
        assert_eq!(at(90, 1_500_000), Verdict::Warn);
        assert_eq!(judge(&[]).verdict, Verdict::Warn);
    }

    #[test]
    fn direct_writes_are_needed_only_where_they_are_ordered() {
        let refused = || Ok(Some(io::Error::from(io::ErrorKind::InvalidInput)));
        assert_eq!(direct(Backend::Auto, Ok(None)).verdict, Verdict::Ok);
        assert_eq!(direct(Backend::Auto, refused()).verdict, Verdict::Warn);
        assert_eq!(direct(Backend::Direct, refused()).verdict, Verdict::Fail);
        let error = Err(io::Error::from(io::ErrorKind::PermissionDenied));
        assert_eq!(direct(Backend::Auto, error).verdict, Verdict::Fail);
    }
}
