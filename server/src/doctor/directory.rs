//! The data directory: there, a frame's, its owner's alone, and the owner is who asks.

use std::os::unix::fs::MetadataExt as _;

use journal::FileStorage;

use super::Finding;
use crate::config::Config;
use crate::harden;

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let shown = config.data_dir.display();
    let metadata = match std::fs::metadata(&config.data_dir) {
        Ok(metadata) if metadata.is_dir() => metadata,
        Ok(_) => {
            let cure = "move it away, or point data.dir elsewhere";
            return vec![Finding::fail("directory", format!("{shown} is no directory"), cure)];
        }
        Err(error) => {
            let cure = format!("bezant init --data-dir {shown}, or point data.dir at a frame");
            return vec![Finding::fail("directory", format!("{shown}: {error}"), cure)];
        }
    };
    let me = rustix::process::geteuid().as_raw();
    vec![frame(config), rights(config), owner(&shown.to_string(), metadata.uid(), me)]
}

/// Whether there is a journal, as far as its first blocks say.
fn frame(config: &Config) -> Finding {
    let dir = config.journal_dir();
    match journal::segments(&FileStorage::new(&dir)) {
        Ok(segments) => {
            Finding::ok("frame", format!("{} segments in {}", segments.len(), dir.display()))
        }
        Err(error) => {
            let cure = format!(
                "bezant init --data-dir {} for a new frame; a damaged one is restored from a copy",
                config.data_dir.display()
            );
            Finding::fail("frame", error.to_string(), cure)
        }
    }
}

fn rights(config: &Config) -> Finding {
    match harden::check_dirs(config) {
        Ok(()) => Finding::ok("permissions", "nobody else can enter the data directory"),
        Err(refused) => {
            let cure = format!("chmod -R go= {}", config.data_dir.display());
            Finding::fail("permissions", refused.message, cure)
        }
    }
}

fn owner(shown: &str, owner: u32, me: u32) -> Finding {
    let check = "owner";
    if owner == me && me != 0 {
        return Finding::ok(check, format!("{shown} is this user's"));
    }
    if me == 0 {
        let whose = if owner == 0 { "root".to_owned() } else { format!("user {owner}") };
        let cure = "a frame needs no privilege: run it, and this, as a user of its own \
                    (deploy/systemd)";
        return Finding::warn(check, format!("asked as root; {shown} belongs to {whose}"), cure);
    }
    let found = format!("{shown} belongs to user {owner}, this is user {me}");
    Finding::fail(check, found, format!("run it as its owner, or chown -R {me} {shown}"))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn the_owner_asks_and_is_not_root() {
        let verdict = |of, me| owner("frame", of, me).verdict;
        assert_eq!(verdict(1_000, 1_000), Verdict::Ok);
        assert_eq!(verdict(0, 0), Verdict::Warn);
        assert_eq!(verdict(1_000, 0), Verdict::Warn);
        assert_eq!(verdict(0, 1_000), Verdict::Fail);
    }
}
