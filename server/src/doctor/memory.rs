//! Memory against what the journaled capacities allow to be filled, counted as
//! `docs/operations.md` counts.

use std::sync::Arc;

use journal::{FileStorage, Reader};
use protocol::genesis::Genesis;
use protocol::parameter::{Parameter, Parameters};
use rustix::process::{Resource, getrlimit};

use super::machine::Machine;
use super::{Finding, size};
use crate::config::Config;

/// Bytes of one of each when the frame is full.
const EACH: [(Parameter, u64); 5] = [
    // With a hold once, and changed since the last cut.
    (Parameter::AccountsCapacity, 110 + 64 + 60),
    (Parameter::IdsCapacity, 55),
    (Parameter::HoldsCapacity, 150),
    (Parameter::KeysCapacity, 100),
    (Parameter::PairsCapacity, 64),
];
/// The program, its threads and its caches.
const OWN: u64 = 128 << 20;
/// Groups of a cgroup's path that are looked at.
const GROUPS_MAX: usize = 16;

/// What a frame may come to need, in bytes.
#[derive(Clone, Copy, Debug)]
struct Need {
    /// Whatever it holds.
    fixed: u64,
    /// The engine, when every capacity is used up.
    engine: u64,
    /// Engines at once: the frame's, a snapshot's, and that of feeds that are told of the past.
    engines: u64,
}

impl Need {
    fn of(config: &Config, parameters: &Parameters) -> Self {
        let full = |&(parameter, bytes): &(Parameter, u64)| {
            u64::try_from(parameters.value(parameter)).unwrap_or(u64::MAX).saturating_mul(bytes)
        };
        let mut fixed = OWN + config.pool_bytes as u64 + config.receive_budget_size as u64;
        let mut engines = 2;
        if let Some(feeds) = &config.feeds {
            fixed += feeds.tail_size as u64;
            engines += 1;
        }
        let engine = EACH.iter().map(full).fold(0, u64::saturating_add);
        Self { fixed, engine, engines }
    }

    /// A fifth of the frame's own on top.
    const fn planned(self) -> u64 {
        let engines = self.engine.saturating_mul(self.engines);
        self.fixed.saturating_add(engines).saturating_add(self.engine / 5)
    }

    const fn alone(self) -> u64 {
        self.fixed.saturating_add(self.engine)
    }
}

pub(super) fn examine(config: &Config, machine: &Machine) -> Vec<Finding> {
    let Some(parameters) = parameters(config) else {
        let found = "the journal's beginning, which has the capacities, has been retired";
        let cure = "bezant_limit_capacity of the running frame's /metrics has them; plan as \
                    docs/operations.md says (Memory and processor)";
        return vec![Finding::warn("memory", found, cure)];
    };
    let need = Need::of(config, &parameters);
    let mut findings = vec![judge(need, total(machine), group_limit(machine))];
    findings.extend(space(need, getrlimit(Resource::As).current));
    findings.extend(killed_together(machine));
    findings
}

/// As the frame was made, or will be; what `configure` has changed since is in the state only.
fn parameters(config: &Config) -> Option<Parameters> {
    if !config.journal_dir().exists() {
        return Some(Parameters::default());
    }
    let storage = Arc::new(FileStorage::new(config.journal_dir()));
    let mut reader = Reader::open(storage, 1).ok()?;
    let (_, payload) = reader.next().ok()??;
    Genesis::decode(payload).ok().map(|genesis| genesis.parameters)
}

fn total(machine: &Machine) -> Option<u64> {
    let text = machine.read("proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// The smallest limit of this process's control group and those above it.
fn group_limit(machine: &Machine) -> Option<u64> {
    let text = machine.read("proc/self/cgroup")?;
    let limits = text.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (of, path) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let file = match of {
            "" => Some(("sys/fs/cgroup", "memory.max")),
            "memory" => Some(("sys/fs/cgroup/memory", "memory.limit_in_bytes")),
            _ => None,
        };
        let above = std::path::Path::new(path).ancestors().take(GROUPS_MAX);
        above.filter_map(move |group| {
            let (root, name) = file?;
            let group = group.strip_prefix("/").unwrap_or(group);
            let path = std::path::Path::new(root).join(group).join(name);
            machine.read(path.to_str()?)?.trim().parse::<u64>().ok()
        })
    });
    limits.min()
}

fn judge(need: Need, total: Option<u64>, group: Option<u64>) -> Finding {
    let check = "memory";
    let Some(available) = total.into_iter().chain(group).min() else {
        let found = format!("unknown; a full frame needs {}", size(need.planned()));
        return Finding::warn(check, found, "mount /proc");
    };
    let found = format!(
        "{} available; with every capacity used up the engine needs {}, and there may be {} at \
         once: snapshots have one of their own, and so have feeds of the past",
        size(available),
        size(need.engine),
        need.engines
    );
    if available < need.fixed {
        let cure = format!(
            "{} are needed whatever it holds: lower ring.pool_mib and gateway.receive_budget_mib, \
             or give it more",
            size(need.fixed)
        );
        return Finding::fail(check, found, cure);
    }
    if available < need.planned() {
        let why = if available < need.alone() {
            "the kernel ends the frame before it is full"
        } else {
            "snapshots fail before it is full"
        };
        let cure = format!(
            "{why}: {} would do; accounts.capacity and ids.capacity are chosen with bezant init \
             --parameter and may grow later",
            size(need.planned())
        );
        return Finding::warn(check, found, cure);
    }
    Finding::ok(check, found)
}

/// A limit of the address space is met by maps that hold no memory.
fn space(need: Need, limit: Option<u64>) -> Option<Finding> {
    let limit = limit?;
    let found = format!("at most {}", size(limit));
    let cure = "an allocation that fails ends the frame: LimitAS=infinity and MemoryMax= instead";
    Some(if limit < need.alone() {
        Finding::fail("address space", found, cure)
    } else {
        Finding::warn("address space", found, cure)
    })
}

/// Whether the kernel ends the frame together with a snapshot that took too much.
fn killed_together(machine: &Machine) -> Option<Finding> {
    let text = machine.read("proc/self/cgroup")?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let together = machine.read(&format!("sys/fs/cgroup/{path}/memory.oom.group"))?;
    if together.trim() != "1" {
        return None;
    }
    let cure = "a snapshot that runs out of memory takes the frame with it: set it to 0";
    Some(Finding::warn("out of memory", "memory.oom.group is 1", cure))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::Verdict;
    use super::*;

    #[test]
    fn memory_is_judged_by_what_a_full_frame_needs() {
        let gib = 1 << 30;
        let need = Need { fixed: gib, engine: 4 * gib, engines: 2 };
        for (total, group, verdict) in [
            (Some(16 * gib), None, Verdict::Ok),
            (Some(16 * gib), Some(9 * gib), Verdict::Warn),
            (Some(3 * gib), None, Verdict::Warn),
            (Some(16 * gib), Some(gib / 2), Verdict::Fail),
            (None, None, Verdict::Warn),
        ] {
            assert_eq!(judge(need, total, group).verdict, verdict, "{total:?} {group:?}");
        }
        assert_eq!(space(need, None), None);
        assert_eq!(space(need, Some(gib)).unwrap().verdict, Verdict::Fail);
        assert_eq!(space(need, Some(64 * gib)).unwrap().verdict, Verdict::Warn);
        let settings = crate::settings::Settings::defaults();
        let config = Config::from_settings(&settings).unwrap();
        let full = Need::of(&config, &Parameters::default());
        assert!((2 * gib..4 * gib).contains(&full.engine), "{full:?}");
        assert_eq!(full.engines, 3, "feeds are on");
    }

    #[test]
    fn the_tightest_group_counts() {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::at(dir.path());
        assert_eq!((total(&machine), group_limit(&machine)), (None, None));
        for group in ["proc/self", "sys/fs/cgroup/system.slice/bezant.service"] {
            fs::create_dir_all(machine.path(group)).unwrap();
        }
        let write = |name: &str, text: &str| fs::write(machine.path(name), text).unwrap();
        write("proc/meminfo", "MemTotal:       16384 kB\nMemFree: 1 kB\n");
        write("proc/self/cgroup", "0::/system.slice/bezant.service\n");
        let own = "sys/fs/cgroup/system.slice/bezant.service";
        write(&format!("{own}/memory.max"), "max\n");
        assert_eq!((total(&machine), group_limit(&machine)), (Some(16 << 20), None));
        write("sys/fs/cgroup/system.slice/memory.max", "4096\n");
        assert_eq!(group_limit(&machine), Some(4_096));
        assert_eq!(killed_together(&machine), None);
        write(&format!("{own}/memory.oom.group"), "1\n");
        assert_eq!(killed_together(&machine).unwrap().verdict, Verdict::Warn);
    }
}
