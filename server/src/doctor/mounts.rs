//! The file system under the data directory: what kind it is, how it is mounted, and what the
//! kernel knows of the cache of the disk under it.

use std::fs;
use std::path::{Path, PathBuf};

use super::Finding;
use super::machine::Machine;
use crate::config::{Config, SinkConfig};

/// A mounted file system.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Mount {
    at: PathBuf,
    /// `major:minor`.
    device: String,
    kind: String,
    source: String,
    options: Vec<String>,
}

pub(super) fn examine(config: &Config, machine: &Machine) -> Vec<Finding> {
    let Ok(dir) =
        fs::canonicalize(config.journal_dir()).or_else(|_| fs::canonicalize(&config.data_dir))
    else {
        return Vec::new();
    };
    let Some(mount) = machine.read("proc/self/mountinfo").and_then(|text| find(&text, &dir)) else {
        let cure = "mount /proc, or look yourself: findmnt -T";
        return vec![Finding::warn("file system", "cannot be told", cure)];
    };
    let is_sqlite = matches!(config.sink, SinkConfig::Sqlite(_));
    let mut findings = vec![judge(&mount, is_sqlite)];
    findings.extend(cache(machine, &mount.device));
    findings
}

/// The mount that holds `path`: the last one of the longest prefix.
fn find(mountinfo: &str, path: &Path) -> Option<Mount> {
    let mounts = mountinfo.lines().filter_map(parse).filter(|mount| path.starts_with(&mount.at));
    mounts.max_by_key(|mount| mount.at.as_os_str().len())
}

/// `36 35 98:0 /root /at rw,noatime shared:1 - ext4 /dev/vda rw,errors=continue`
fn parse(line: &str) -> Option<Mount> {
    let (own, rest) = line.split_once(" - ")?;
    let own: Vec<&str> = own.split(' ').collect();
    let [kind, source, of_super] = rest.splitn(3, ' ').collect::<Vec<_>>().try_into().ok()?;
    let options = own.get(5)?.split(',').chain(of_super.split(','));
    Some(Mount {
        at: own.get(4)?.replace("\\040", " ").into(),
        device: (*own.get(2)?).to_owned(),
        kind: kind.to_owned(),
        source: source.to_owned(),
        options: options.map(str::to_owned).collect(),
    })
}

fn judge(mount: &Mount, is_sqlite: bool) -> Finding {
    let check = "file system";
    let kind = mount.kind.as_str();
    let found = format!("{kind} at {} on {}", mount.at.display(), mount.source);
    let has =
        |wanted: &[&str]| mount.options.iter().any(|option| wanted.contains(&option.as_str()));
    if has(&["ro"]) {
        return Finding::fail(check, format!("{found}, read-only"), "mount it read-write");
    }
    if has(&["nobarrier", "barrier=0"]) {
        let cure = "a power cut loses what was acknowledged: mount it without that option";
        return Finding::fail(check, format!("{found}, without write barriers"), cure);
    }
    match kind {
        "tmpfs" | "ramfs" | "devtmpfs" => {
            let cure = "nothing there outlives a restart of the machine: use a disk";
            Finding::fail(check, format!("{found}: memory"), cure)
        }
        "overlay" | "aufs" => {
            let cure = "it goes with the container: give data.dir a volume of its own";
            Finding::warn(check, format!("{found}: a container's own layer"), cure)
        }
        "ext4" | "xfs" => Finding::ok(check, found),
        "ext3" | "btrfs" | "f2fs" | "zfs" | "bcachefs" => {
            let cure = "the tests cut power under ext4 and xfs: prefer one of them";
            Finding::warn(check, format!("{found}: not tested"), cure)
        }
        _ if is_sqlite => {
            let cure = "SQLite's log needs locks and memory shared on one machine, and a sync is \
                        what the other end makes of it: use a local disk";
            Finding::fail(check, format!("{found}: not a local disk, or an unknown one"), cure)
        }
        _ => {
            let cure = "a sync is what the other end makes of it: use a local disk";
            Finding::warn(check, format!("{found}: not a local disk, or an unknown one"), cure)
        }
    }
}

/// What the block layer says of the disk's cache; nothing when there is no such disk.
fn cache(machine: &Machine, device: &str) -> Option<Finding> {
    let check = "write cache";
    let disk = fs::canonicalize(machine.path(&format!("sys/dev/block/{device}"))).ok()?;
    // A partition has its queue above it.
    let read = |dir: &Path| fs::read_to_string(dir.join("queue/write_cache")).ok();
    let cache = read(&disk).or_else(|| read(disk.parent()?))?;
    Some(match cache.trim() {
        "write back" => {
            Finding::ok(check, "write back: the kernel tells the disk to empty it at every sync")
        }
        _ => Finding::ok(
            check,
            "write through: the kernel takes it that the disk has no volatile cache and sends no \
             flush; of a virtual disk only its host knows",
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    const INFO: &str = "\
27 0 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
30 27 0:24 / /srv rw shared:3 - tmpfs tmpfs rw,size=1g
31 27 8:17 / /srv/my\\040disk rw,noatime - xfs /dev/sdb1 rw
32 27 0:40 / /nfs rw - nfs4 host:/a rw,vers=4.2
33 27 8:33 / /old rw - ext4 /dev/sdc1 rw,nobarrier
34 27 8:49 / /cd ro - ext4 /dev/sdd1 ro";

    fn verdict(path: &str, is_sqlite: bool) -> Verdict {
        judge(&find(INFO, Path::new(path)).unwrap(), is_sqlite).verdict
    }

    #[test]
    fn memory_networks_and_careless_mounts_are_told_from_disks() {
        assert_eq!(verdict("/var/lib/bezant", true), Verdict::Ok);
        assert_eq!(verdict("/srv/bezant", true), Verdict::Fail);
        assert_eq!(verdict("/srv/my disk/bezant", true), Verdict::Ok);
        assert_eq!(verdict("/nfs/bezant", true), Verdict::Fail);
        assert_eq!(verdict("/nfs/bezant", false), Verdict::Warn);
        assert_eq!(verdict("/old/bezant", false), Verdict::Fail);
        assert_eq!(verdict("/cd/bezant", false), Verdict::Fail);
        // No prefix of a name, but a directory above.
        assert_eq!(find(INFO, Path::new("/srvx")).unwrap().at, Path::new("/"));
    }

    #[test]
    fn the_cache_of_a_partition_is_its_disks() {
        let dir = tempfile::tempdir().unwrap();
        let part = dir.path().join("devices/sdb/sdb1");
        fs::create_dir_all(&part).unwrap();
        fs::create_dir_all(dir.path().join("devices/sdb/queue")).unwrap();
        fs::create_dir_all(dir.path().join("sys/dev/block")).unwrap();
        std::os::unix::fs::symlink(&part, dir.path().join("sys/dev/block/8:17")).unwrap();
        let file = dir.path().join("devices/sdb/queue/write_cache");
        fs::write(&file, "write back\n").unwrap();
        let machine = Machine::at(dir.path());
        assert!(cache(&machine, "8:17").unwrap().found.contains("write back"));
        fs::write(&file, "write through\n").unwrap();
        assert!(cache(&machine, "8:17").unwrap().found.contains("write through"));
        assert_eq!(cache(&machine, "0:24"), None);
    }
}
