//! The TLS handshakes under way, which anybody can begin and nobody has to end.
//!
//! It refuses nobody: when all places are taken, the oldest handshake of the network that has most
//! of them gives up its place, so that whoever fills the table crowds out itself. Invariant: never
//! more handshakes than places.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Where a handshake comes from: an address of IPv4, the /64 of one of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Network(u128);

impl Network {
    fn of(remote: SocketAddr) -> Self {
        match remote.ip().to_canonical() {
            IpAddr::V4(address) => Self(u32::from(address).into()),
            IpAddr::V6(address) => Self(u128::from(address) >> 64 << 64),
        }
    }
}

/// The handshakes under way.
#[derive(Debug)]
pub(crate) struct Handshakes {
    places: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// In the order in which they began.
    under_way: VecDeque<UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    number: u64,
    network: Network,
    /// Dropped, it ends the handshake.
    _place: oneshot::Sender<()>,
}

/// One handshake; dropped, its place is free.
#[derive(Debug)]
pub(super) struct Handshake {
    all: Arc<Handshakes>,
    number: u64,
    place: oneshot::Receiver<()>,
}

impl Handshakes {
    pub(crate) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self { places, table: Mutex::default() })
    }

    /// One more, if need be in the place of another.
    pub(super) fn begin(self: &Arc<Self>, remote: SocketAddr) -> Handshake {
        let mut table = self.table();
        if table.under_way.len() >= self.places {
            table.crowd_out();
        }
        let number = table.next;
        table.next += 1;
        let (sender, place) = oneshot::channel();
        let network = Network::of(remote);
        table.under_way.push_back(UnderWay { number, network, _place: sender });
        drop(table);
        Handshake { all: Arc::clone(self), number, place }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Ends the oldest handshake of whoever has most.
    fn crowd_out(&mut self) {
        let mut counts: HashMap<Network, usize> = HashMap::new();
        for handshake in &self.under_way {
            *counts.entry(handshake.network).or_default() += 1;
        }
        let most = counts.values().copied().max();
        let place = self.under_way.iter().position(|it| counts.get(&it.network).copied() == most);
        place.and_then(|place| self.under_way.remove(place));
    }
}

impl Handshake {
    /// Waits until its place is needed for another.
    pub(super) async fn crowded_out(&mut self) {
        // Nothing is ever sent: the sender goes with the place.
        let _ = (&mut self.place).await;
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        let mut table = self.all.table();
        if let Ok(place) = table.under_way.binary_search_by_key(&self.number, |it| it.number) {
            table.under_way.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), 1)
    }

    fn is_over(handshake: &mut Handshake) -> bool {
        matches!(handshake.place.try_recv(), Err(oneshot::error::TryRecvError::Closed))
    }

    #[test]
    fn whoever_has_most_gives_up_its_oldest() {
        let all = Handshakes::new(4);
        let mut honest = all.begin(from("192.0.2.1"));
        // One network, although every address is another.
        let mut flood: Vec<_> =
            (1..=9).map(|at| all.begin(from(&format!("2001:db8::{at}")))).collect();
        assert!(!is_over(&mut honest));
        let over: Vec<_> = flood.iter_mut().map(is_over).collect();
        assert_eq!(over, [true, true, true, true, true, true, false, false, false]);
        assert_eq!(all.table().under_way.len(), 4);
        drop(flood);
        assert_eq!(all.table().under_way.len(), 1);
        drop(honest);
        assert!(all.table().under_way.is_empty());
    }

    #[test]
    fn alone_the_newest_stay() {
        let all = Handshakes::new(2);
        let mut own: Vec<_> = (0..3).map(|_| all.begin(from("::ffff:192.0.2.1"))).collect();
        let over: Vec<_> = own.iter_mut().map(is_over).collect();
        assert_eq!(over, [true, false, false]);
        assert_eq!(Network::of(from("::ffff:192.0.2.1")), Network::of(from("192.0.2.1")));
    }
}
