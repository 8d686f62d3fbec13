//! What the kernel grants the process: files, address space, file sizes, socket buffers, pages.
//!
//! The files of `/proc` and `/sys` are read below a root that tests choose.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

use super::{Finding, size};
use crate::config::Config;
use crate::public;

/// Descriptors beside those of clients: journal, snapshots, SQL, logs, doors.
const FILES_OWN: u64 = 128;

/// A view of the kernel's files.
pub(super) struct Machine {
    root: PathBuf,
}

impl Machine {
    /// The one that this process runs on.
    pub(super) fn this() -> Self {
        Self { root: "/".into() }
    }

    #[cfg(test)]
    pub(super) fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        Path::new(&self.root).join(name)
    }

    pub(super) fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.read(name)?.trim().parse().ok()
    }
}

pub(super) fn examine(config: &Config, machine: &Machine) -> Vec<Finding> {
    let limit = |resource| getrlimit(resource).current;
    let wanted = gateway::limits::SOCKET_BUFFER_SIZE as u64;
    let buffers = ["rmem_max", "wmem_max"].map(|name| {
        let name = format!("net.core.{name}");
        let found = machine.number(&format!("proc/sys/{}", name.replace('.', "/")));
        (name, found)
    });
    let visitors = config.public.map_or(0, |_| public::CONNECTIONS_MAX);
    let mut findings = vec![
        files(limit(Resource::Nofile), config.connections_max as u64, visitors as u64),
        file_size(limit(Resource::Fsize), config.segment_bytes),
        locked(limit(Resource::Memlock)),
        sockets(&buffers, wanted),
    ];
    findings.extend(huge_pages(machine));
    findings.extend(swap(machine));
    findings
}

fn files(limit: Option<u64>, connections: u64, visitors: u64) -> Finding {
    let check = "open files";
    let needed = connections + visitors + FILES_OWN;
    let found = limit.map_or_else(|| "unlimited".to_owned(), |limit| format!("at most {limit}"));
    if limit.is_none_or(|limit| limit >= needed) {
        return Finding::ok(check, found);
    }
    let public = match visitors {
        0 => String::new(),
        visitors => format!(" and {visitors} visitors (listen.public)"),
    };
    let cure = format!(
        "{connections} connections (gateway.connections){public} need {needed}: \
         LimitNOFILE={needed} in the unit, ulimit -n in a shell"
    );
    Finding::fail(check, found, cure)
}

fn file_size(limit: Option<u64>, segment: u64) -> Finding {
    let check = "file size";
    let Some(limit) = limit else {
        return Finding::ok(check, "unlimited");
    };
    let found = format!("at most {}", size(limit));
    let cure = "LimitFSIZE=infinity in the unit, ulimit -f unlimited in a shell";
    if limit < segment {
        return Finding::fail(check, format!("{found}: less than a segment"), cure);
    }
    Finding::warn(check, format!("{found}: snapshots and SQLite's file may grow beyond it"), cure)
}

/// Said for completeness: a unit or container that forbids it is fine.
fn locked(limit: Option<u64>) -> Finding {
    let found = limit.map_or_else(|| "any".to_owned(), size);
    Finding::ok("locked memory", format!("{found} allowed; a frame locks none"))
}

fn sockets(buffers: &[(String, Option<u64>)], wanted: u64) -> Finding {
    let check = "socket buffers";
    let low: Vec<_> = buffers
        .iter()
        .filter(|(_, found)| found.is_none_or(|found| found < wanted))
        .map(|(name, _)| name.as_str())
        .collect();
    let shown: Vec<_> = buffers
        .iter()
        .map(|(name, found)| match found {
            Some(bytes) => format!("{name} {}", size(*bytes)),
            None => format!("{name} unknown"),
        })
        .collect();
    let found = shown.join(", ");
    if low.is_empty() {
        return Finding::ok(check, found);
    }
    let sets: Vec<_> = low.iter().map(|name| format!("{name}={wanted}")).collect();
    let cure = format!(
        "the QUIC door asks for {}, and loses packets under load with less: sysctl -w {}, and the \
         same in /etc/sysctl.d",
        size(wanted),
        sets.join(" ")
    );
    Finding::warn(check, found, cure)
}

fn huge_pages(machine: &Machine) -> Option<Finding> {
    let check = "huge pages";
    let text = machine.read("sys/kernel/mm/transparent_hugepage/enabled")?;
    let chosen = text.split_once('[')?.1.split_once(']')?.0.to_owned();
    if chosen != "always" {
        return Some(Finding::ok(check, chosen));
    }
    let cure = "whoever touches memory may wait while the kernel makes room for 2 MiB: echo \
                madvise > /sys/kernel/mm/transparent_hugepage/enabled";
    Some(Finding::warn(check, chosen, cure))
}

fn swap(machine: &Machine) -> Option<Finding> {
    let check = "swap";
    let areas = machine.read("proc/swaps")?.lines().skip(1).count();
    if areas == 0 {
        return Some(Finding::ok(check, "none"));
    }
    let cure = "balances and keys may be written there, and the engine waits when they come back: \
                MemorySwapMax=0 in the unit, or swapoff";
    Some(Finding::warn(check, format!("{areas} in use"), cure))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn what_is_granted_is_held_against_what_is_needed() {
        assert_eq!(files(None, 512, 1_024).verdict, Verdict::Ok);
        assert_eq!(files(Some(640), 512, 0).verdict, Verdict::Ok);
        let public = files(Some(1_663), 512, 1_024);
        assert_eq!(public.verdict, Verdict::Fail);
        assert!(public.cure.contains("1024 visitors (listen.public) need 1664"), "{public:?}");
        let few = files(Some(639), 512, 0);
        assert_eq!(few.verdict, Verdict::Fail);
        assert!(few.cure.contains("LimitNOFILE=640"), "{few:?}");
        assert_eq!(file_size(None, 1 << 27).verdict, Verdict::Ok);
        assert_eq!(file_size(Some(1 << 20), 1 << 27).verdict, Verdict::Fail);
        assert_eq!(file_size(Some(1 << 30), 1 << 27).verdict, Verdict::Warn);
        assert_eq!(locked(Some(0)).verdict, Verdict::Ok);
    }

    #[test]
    fn small_socket_buffers_are_named() {
        let with = |rmem, wmem| {
            sockets(
                &[("net.core.rmem_max".into(), rmem), ("net.core.wmem_max".into(), wmem)],
                4_096,
            )
        };
        assert_eq!(with(Some(4_096), Some(8_192)).verdict, Verdict::Ok);
        let low = with(Some(1_024), Some(4_096));
        assert_eq!(low.verdict, Verdict::Warn);
        let named = low.cure.contains("net.core.rmem_max=4096") && !low.cure.contains("wmem");
        assert!(named, "{low:?}");
        assert_eq!(with(None, Some(4_096)).verdict, Verdict::Warn);
    }

    #[test]
    fn pages_and_swap_are_read_from_the_kernel() {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::at(dir.path());
        assert_eq!((huge_pages(&machine), swap(&machine)), (None, None));
        let pages = "sys/kernel/mm/transparent_hugepage/enabled";
        for dir in ["sys/kernel/mm/transparent_hugepage", "proc"] {
            fs::create_dir_all(machine.path(dir)).unwrap();
        }
        for (text, verdict) in
            [("always [madvise] never", Verdict::Ok), ("[always] madvise never", Verdict::Warn)]
        {
            fs::write(machine.path(pages), text).unwrap();
            assert_eq!(huge_pages(&machine).unwrap().verdict, verdict, "{text}");
        }
        let head = "Filename Type Size Used Priority\n";
        for (rows, verdict) in [("", Verdict::Ok), ("/swap file 1 0 -2\n", Verdict::Warn)] {
            fs::write(machine.path("proc/swaps"), format!("{head}{rows}")).unwrap();
            assert_eq!(swap(&machine).unwrap().verdict, verdict, "{rows}");
        }
    }
}
