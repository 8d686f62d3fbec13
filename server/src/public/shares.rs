//! What one address may have of the door: connections, and requests a second.
//!
//! An address is an IPv4 address or an IPv6 /64, which is what one customer gets. Invariant: an
//! address is remembered only while it has connections, so that there are never more than those.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::pace::Pace;

/// See the module.
pub(super) struct Shares {
    connections_max: usize,
    requests_per_s: u32,
    visitors: Mutex<BTreeMap<IpAddr, Visitor>>,
}

struct Visitor {
    connections: usize,
    pace: Arc<Pace>,
}

/// A connection of an address; dropped, its place is free again.
pub(super) struct Share {
    all: Arc<Shares>,
    address: IpAddr,
    pace: Arc<Pace>,
}

impl Shares {
    /// Each address may have so many connections, and requests a second over all of them.
    pub(super) fn new(connections_max: usize, requests_per_s: u32) -> Arc<Self> {
        Arc::new(Self { connections_max, requests_per_s, visitors: Mutex::default() })
    }

    /// One more connection from `remote`; nothing: it has its share.
    pub(super) fn enter(self: &Arc<Self>, remote: IpAddr, now: Instant) -> Option<Share> {
        let address = network(remote);
        let mut visitors = self.visitors();
        let visitor = visitors.entry(address).or_insert_with(|| Visitor {
            connections: 0,
            pace: Arc::new(Pace::new(self.requests_per_s, now)),
        });
        if visitor.connections >= self.connections_max {
            return None;
        }
        visitor.connections += 1;
        let pace = Arc::clone(&visitor.pace);
        drop(visitors);
        Some(Share { all: Arc::clone(self), address, pace })
    }

    fn visitors(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Visitor>> {
        self.visitors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// The pace of its address.
    pub(super) fn pace(&self) -> &Pace {
        &self.pace
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut visitors = self.all.visitors();
        let Some(visitor) = visitors.get_mut(&self.address) else {
            return;
        };
        visitor.connections -= 1;
        if visitor.connections == 0 {
            visitors.remove(&self.address);
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            [a, b, c, d, 0, 0, 0, 0].into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_another_its_own() {
        let (all, now) = (Shares::new(2, 8), Instant::now());
        let enter = |address: &str| all.enter(address.parse().unwrap(), now);
        let first = enter("192.0.2.1").unwrap();
        let second = enter("::ffff:192.0.2.1").unwrap();
        assert!(enter("192.0.2.1").is_none(), "however it is written");
        let one_net = [enter("2001:db8::1"), enter("2001:db8::2:1")];
        assert!(one_net.iter().all(Option::is_some) && enter("2001:db8::3").is_none());
        assert!(enter("2001:db8:0:1::1").is_some(), "the next /64");
        drop(first);
        assert!(enter("192.0.2.1").is_some());
        drop((second, one_net));
        assert!(all.visitors().is_empty(), "who is gone is forgotten");
    }

    #[test]
    fn the_connections_of_an_address_have_one_pace() {
        let (all, now) = (Shares::new(2, 8), Instant::now());
        let enter = |address: &str| all.enter(address.parse().unwrap(), now).unwrap();
        let shares = [enter("192.0.2.1"), enter("192.0.2.1")];
        let turns = (0..100).filter_map(|turn| shares[turn % 2].pace().turn(now)).count();
        assert_eq!(turns, 8 + 1, "a second's worth may be owed");
        assert_eq!(enter("192.0.2.2").pace().turn(now), Some(now));
    }
}
