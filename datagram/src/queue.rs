//! Short packets that wait to be sent, in groups of one length to one address.
//!
//! It sends nothing. Invariant: packets of one group leave in the order in which they came, and
//! there are no more groups, and none longer, than the limits say.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use quinn::udp::{EcnCodepoint, Transmit};

use crate::{GROUP_SIZE_MAX, GROUPS_MAX};

/// What waits, oldest group first.
#[derive(Debug)]
pub(crate) struct Queue {
    /// When the first packet began to wait.
    pub(crate) since: Instant,
    groups: VecDeque<Group>,
    /// Empty buffers for the next groups.
    spare: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Group {
    key: Key,
    bytes: Vec<u8>,
}

/// What the packets of a group have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Key {
    destination: SocketAddr,
    ecn: Option<EcnCodepoint>,
    src_ip: Option<IpAddr>,
    len: usize,
}

impl Key {
    const fn of(transmit: &Transmit<'_>) -> Self {
        let &Transmit { destination, ecn, src_ip, contents, .. } = transmit;
        Self { destination, ecn, src_ip, len: contents.len() }
    }
}

impl Group {
    fn takes(&self, key: Key, segments_max: usize) -> bool {
        let bytes = self.bytes.len() + key.len;
        self.key == key && bytes <= GROUP_SIZE_MAX && bytes <= segments_max * key.len
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self { since: Instant::now(), groups: VecDeque::new(), spare: Vec::new() }
    }
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether one more packet may wait, in a group of at most `segments_max`.
    pub(crate) fn has_room(&self, transmit: &Transmit<'_>, segments_max: usize) -> bool {
        let key = Key::of(transmit);
        self.groups.len() < GROUPS_MAX
            || self.groups.iter().any(|group| group.takes(key, segments_max))
    }

    /// Adds a packet for which there is room.
    pub(crate) fn push(&mut self, transmit: &Transmit<'_>, segments_max: usize) {
        let key = Key::of(transmit);
        let open = self.groups.iter_mut().find(|group| group.takes(key, segments_max));
        if let Some(group) = open {
            group.bytes.extend_from_slice(transmit.contents);
            return;
        }
        assert!(self.groups.len() < GROUPS_MAX, "whoever adds has looked for room");
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.extend_from_slice(transmit.contents);
        self.groups.push_back(Group { key, bytes });
    }

    /// The oldest group as one transmission.
    pub(crate) fn first(&self) -> Option<Transmit<'_>> {
        let Group { key, bytes } = self.groups.front()?;
        let &Key { destination, ecn, src_ip, len } = key;
        let segment_size = (bytes.len() > len).then_some(len);
        Some(Transmit { destination, ecn, contents: bytes, segment_size, src_ip })
    }

    /// Forgets the oldest group.
    pub(crate) fn remove_first(&mut self) {
        if let Some(Group { mut bytes, .. }) = self.groups.pop_front() {
            bytes.clear();
            self.spare.push(bytes);
        }
    }
}
