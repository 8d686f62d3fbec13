//! What one address may have of the door: connections, and requests a second.
//!
//! An address is an IPv4 address or an IPv6 /64, which is what one customer gets. Invariant: who
//! comes again owes what it owed when it left; of no more than [`VISITORS_MAX`] anything is known.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::pace::Pace;

/// Addresses that are remembered: those that are connected, and some that left and owe time.
const VISITORS_MAX: usize = 8_192;

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

impl Visitor {
    /// Whether it need not be remembered.
    fn is_settled(&self, now: Instant) -> bool {
        self.connections == 0 && self.pace.is_paid(now)
    }
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

    /// One more connection from `remote`; nothing: it has its share, or too many have left owing.
    pub(super) fn enter(self: &Arc<Self>, remote: IpAddr, now: Instant) -> Option<Share> {
        let address = network(remote);
        let mut visitors = self.visitors();
        if visitors.len() >= VISITORS_MAX && !visitors.contains_key(&address) {
            visitors.retain(|_, visitor| !visitor.is_settled(now));
            if visitors.len() >= VISITORS_MAX {
                return None;
            }
        }
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
        if visitor.is_settled(Instant::now()) {
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
    use std::time::Duration;

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

    /// Each connection had a pace of its own when the one before had ended.
    #[test]
    fn who_comes_again_owes_what_it_owed() {
        let (all, now) = (Shares::new(2, 8), Instant::now());
        let come = |now| all.enter("192.0.2.1".parse().unwrap(), now).unwrap().pace().turn(now);
        let turns = (0..100).filter_map(|_| come(now)).count();
        assert_eq!(turns, 8 + 1, "a second's worth may be owed");
        let later = now + Duration::from_secs(3);
        assert_eq!(all.visitors().len(), 1);
        for number in 1..VISITORS_MAX as u32 {
            let address = std::net::Ipv4Addr::from(number).into();
            let share = all.enter(address, later).unwrap();
            assert!((0..9).all(|_| share.pace().turn(later).is_some()));
        }
        assert_eq!(all.visitors().len(), VISITORS_MAX);
        // The first one has paid by now, and makes room for one more.
        assert!(all.enter("2001:db8::1".parse().unwrap(), later).is_some());
        assert!(!all.visitors().contains_key(&"192.0.2.1".parse::<IpAddr>().unwrap()));
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
