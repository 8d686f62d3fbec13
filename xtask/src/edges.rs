//! Who may know whom: the table of crates, their layers and the edges allowed between them.
//!
//! Refuses every edge that is not written here. Invariant: nothing points at `server`, and an
//! edge that only tests use still never points to a higher layer.

use crate::metadata::{Edge, Need};

/// One row of the table.
struct Room {
    name: &'static str,
    layer: u8,
    may_use: &'static [&'static str],
    licence: &'static str,
}

const AGPL: &str = "AGPL-3.0-only";
/// What peers, users and other programs must be able to build into their own work.
const APACHE: &str = "Apache-2.0";

const fn room(
    name: &'static str,
    layer: u8,
    may_use: &'static [&'static str],
    licence: &'static str,
) -> Room {
    Room { name, layer, may_use, licence }
}

/// The map of `docs/ARCHITECTURE.md`. A crate that is not here may not exist.
const ROOMS: &[Room] = &[
    room("protocol", 0, &[], APACHE),
    room("identity", 0, &[], APACHE),
    room("datagram", 0, &[], APACHE),
    room("ring", 1, &["protocol"], AGPL),
    room("engine", 1, &["protocol"], AGPL),
    room("journal", 1, &["protocol"], AGPL),
    room("snapshot", 1, &["protocol"], AGPL),
    room("pipeline", 2, &["protocol", "ring", "engine", "journal", "snapshot"], AGPL),
    room("settlement", 2, &["protocol", "ring"], AGPL),
    room("projections", 2, &["protocol", "ring"], AGPL),
    room("replication", 2, &["protocol", "journal", "identity"], AGPL),
    room("federation", 2, &["protocol", "identity"], AGPL),
    room("gateway", 3, &["protocol", "ring", "identity", "datagram", "projections"], AGPL),
    room("client", 3, &["protocol", "identity", "datagram"], APACHE),
    room("server", 4, ABOVE_THE_SERVER, AGPL),
    room("sim", 4, PURE_PARTS, AGPL),
    // The client's own vocabulary (commands, SVIDs) is part of using the client.
    room("loadgen", 4, &["client", "protocol", "identity"], AGPL),
    room("benches", 4, BENCHED, AGPL),
    room("xtask", 4, &[], AGPL),
];

/// `server` wires everything; `loadgen` is a library too, for its demo.
const ABOVE_THE_SERVER: &[&str] = &[
    "protocol",
    "identity",
    "ring",
    "engine",
    "journal",
    "snapshot",
    "pipeline",
    "settlement",
    "projections",
    "replication",
    "federation",
    "gateway",
    "client",
    "loadgen",
];

/// What the simulator drives: everything below the sockets.
const PURE_PARTS: &[&str] = &[
    "protocol",
    "identity",
    "ring",
    "engine",
    "journal",
    "snapshot",
    "pipeline",
    "settlement",
    "projections",
    "replication",
    "federation",
];

/// Whatever can be measured: everything but the binary.
const BENCHED: &[&str] = ABOVE_THE_SERVER;

fn find(name: &str) -> Option<&'static Room> {
    ROOMS.iter().find(|room| room.name == name)
}

/// The licence a crate is meant to have; `None` for a crate that is not in the table.
pub(crate) fn licence(name: &str) -> Option<&'static str> {
    find(name).map(|room| room.licence)
}

/// Says why an edge is wrong, or nothing.
pub(crate) fn refuse(edge: &Edge) -> Option<String> {
    let Edge { from, to, need } = edge;
    let (Some(source), Some(target)) = (find(from), find(to)) else {
        return Some(format!("{from} → {to}: a crate that the table does not know"));
    };
    if to == "server" {
        return Some(format!("{from} → server: nothing may know the server"));
    }
    if source.may_use.contains(&to.as_str()) {
        return None;
    }
    match need {
        Need::Build => {
            Some(format!("{from} → {to}: not in the table; {from} may use {:?}", source.may_use))
        }
        Need::Test if target.layer > source.layer => Some(format!(
            "{from} → {to} (tests): layer {} may not look up to layer {}",
            source.layer, target.layer
        )),
        Need::Test => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(from: &str, to: &str, need: Need) -> bool {
        refuse(&Edge { from: from.into(), to: to.into(), need }).is_some()
    }

    #[test]
    fn the_rooms_know_only_rooms_that_exist_and_not_above_them() {
        for room in ROOMS {
            for name in room.may_use {
                let target = find(name).expect("every name in the table is a row of it");
                assert!(target.layer <= room.layer, "{} → {name}", room.name);
            }
        }
    }

    #[test]
    fn the_forbidden_edges_are_refused() {
        for (from, to) in [
            ("engine", "journal"),
            ("engine", "ring"),
            ("gateway", "engine"),
            ("gateway", "journal"),
            ("gateway", "pipeline"),
            ("settlement", "projections"),
            ("projections", "settlement"),
            ("replication", "settlement"),
            ("loadgen", "server"),
            ("protocol", "identity"),
            ("xtask", "protocol"),
            ("engine", "common"),
            ("util", "protocol"),
        ] {
            assert!(refused(from, to, Need::Build), "{from} → {to}");
        }
    }

    #[test]
    fn the_drawn_edges_pass() {
        for (from, to) in [
            ("pipeline", "engine"),
            ("server", "loadgen"),
            ("server", "gateway"),
            ("gateway", "ring"),
            ("loadgen", "client"),
            ("benches", "pipeline"),
        ] {
            assert!(!refused(from, to, Need::Build), "{from} → {to}");
        }
    }

    #[test]
    fn tests_may_look_sideways_and_down_but_not_up_and_never_at_the_server() {
        assert!(!refused("client", "gateway", Need::Test));
        assert!(!refused("settlement", "engine", Need::Test));
        assert!(refused("engine", "pipeline", Need::Test));
        assert!(refused("benches", "server", Need::Test));
    }
}
