//! One budget for everything that clients may have sent and nobody has taken yet: the receive
//! windows of the QUIC connections, and the bodies that the HTTPS door is reading.
//!
//! It counts promises, not memory: a window counts whole while its connection lasts. Invariants:
//! what is promised never exceeds the budget, neither door can promise away the other's part, and
//! no identity's bodies take more than an eighth.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use identity::Principal;
use protocol::frame::BODY_LEN_MAX;

use crate::limits::{HTTP_BODY_STEP, WINDOW_MIN};

/// The budget.
#[derive(Debug)]
pub(crate) struct Budget {
    size: usize,
    /// What windows may take: the rest is left to bodies.
    windows_max: usize,
    /// What bodies leave: the smallest window for every connection.
    windows_min: usize,
    /// What the bodies of one identity may take; one of the largest size always.
    identity_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    windows: usize,
    connections: usize,
    bodies: usize,
    /// Those that have any; so no more than there are connections.
    by_identity: HashMap<Principal, usize>,
}

impl Budget {
    /// A budget of `size` bytes for at most `connections_max` connections.
    pub(crate) fn new(size: usize, connections_max: usize) -> Arc<Self> {
        let windows_max = size - size / 4;
        let windows_min = connections_max.saturating_mul(WINDOW_MIN as usize).min(windows_max);
        let identity_max = (size / 8).max(BODY_LEN_MAX + HTTP_BODY_STEP);
        let taken = Mutex::default();
        Arc::new(Self { size, windows_max, windows_min, identity_max, taken })
    }

    /// Room for `bytes` of a body of `principal`, if there is any now.
    pub(crate) fn take(self: &Arc<Self>, principal: Principal, bytes: usize) -> Option<Share> {
        let mut taken = self.taken();
        let bodies = taken.bodies.checked_add(bytes)?;
        let others = taken.windows.max(self.windows_min);
        if bodies > self.size - others {
            return None;
        }
        let own = taken.by_identity.get(&principal).copied().unwrap_or(0) + bytes;
        if own > self.identity_max {
            return None;
        }
        taken.by_identity.insert(principal, own);
        taken.bodies = bodies;
        Some(Share { budget: Arc::clone(self), bytes, of: Some(principal) })
    }

    /// The largest window for one more connection: `wanted`, or a half, a quarter … of it, so
    /// that the connections to come find at least the smallest one.
    pub(crate) fn window(self: &Arc<Self>, wanted: u32) -> Option<Share> {
        let mut taken = self.taken();
        // The smallest windows of the connections that are not here yet.
        let reserved = taken.connections.saturating_add(1).saturating_mul(WINDOW_MIN as usize);
        let reserved = self.windows_min.saturating_sub(reserved);
        let most = self.windows_max.min(self.size - taken.bodies);
        let mut bytes = wanted.max(WINDOW_MIN) as usize;
        while taken.windows + bytes + reserved > most {
            bytes /= 2;
            if bytes < WINDOW_MIN as usize {
                return None;
            }
        }
        taken.windows += bytes;
        taken.connections += 1;
        Some(Share { budget: Arc::clone(self), bytes, of: None })
    }

    /// What is promised now.
    #[cfg(test)]
    pub(crate) fn promised(&self) -> usize {
        let taken = self.taken();
        taken.windows + taken.bodies
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part of the budget; dropped, it goes back.
#[derive(Debug)]
#[must_use = "a dropped share is given back"]
pub(crate) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
    /// Whose body it is of; of nobody's, it is a window.
    of: Option<Principal>,
}

impl Share {
    /// How much it is.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.budget.taken();
        let Some(principal) = self.of else {
            taken.windows -= self.bytes;
            taken.connections -= 1;
            return;
        };
        taken.bodies -= self.bytes;
        if let Some(own) = taken.by_identity.get_mut(&principal) {
            *own -= self.bytes;
            if *own == 0 {
                taken.by_identity.remove(&principal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{WINDOW_BULK, WINDOW_OTHER};
    use identity::Role;

    const MIB: usize = 1 << 20;

    fn whose(id: u128) -> Principal {
        Principal { id, role: Role::Agent }
    }

    #[test]
    fn windows_shrink_before_anybody_is_refused() {
        let budget = Budget::new(256 * MIB, 512);
        let shares: Vec<_> = (0..512).map(|_| budget.window(WINDOW_BULK).unwrap()).collect();
        assert_eq!(shares[0].bytes(), WINDOW_BULK as usize);
        assert!(shares.iter().all(|share| share.bytes() >= WINDOW_MIN as usize));
        assert!(budget.promised() <= 192 * MIB);
        drop(shares);
        assert_eq!(budget.promised(), 0);
    }

    #[test]
    fn a_small_budget_refuses_rather_than_promises() {
        let budget = Budget::new(MIB, 512);
        let shares: Vec<_> = std::iter::from_fn(|| budget.window(WINDOW_OTHER)).collect();
        assert_eq!(shares.len(), 12, "three quarters of the budget in the smallest windows");
        assert!(budget.take(whose(1), MIB / 4).is_some());
        assert!(budget.take(whose(1), MIB / 4 + 1).is_none());
    }

    #[test]
    fn neither_door_starves_the_other() {
        let budget = Budget::new(256 * MIB, 64);
        let windows: Vec<_> = (0..64).map(|_| budget.window(WINDOW_BULK).unwrap()).collect();
        let bodies: Vec<_> = (0..64).map(|id| budget.take(whose(id), MIB).unwrap()).collect();
        assert!(budget.promised() <= 256 * MIB);
        drop((windows, bodies));
        let bodies: Vec<_> = (0..300).map_while(|id| budget.take(whose(id), MIB)).collect();
        assert_eq!(bodies.len(), 252, "all but the smallest windows");
        let windows: Vec<_> = (0..64).map(|_| budget.window(WINDOW_BULK).unwrap()).collect();
        assert!(windows.iter().all(|window| window.bytes() == WINDOW_MIN as usize));
        assert_eq!(budget.promised(), 256 * MIB);
    }

    #[test]
    fn one_identity_takes_an_eighth_and_gives_it_back() {
        let budget = Budget::new(256 * MIB, 64);
        let mut bodies: Vec<_> =
            std::iter::from_fn(|| budget.take(whose(1), MIB)).take(300).collect();
        assert_eq!(bodies.len(), 32);
        assert!(budget.take(whose(2), MIB).is_some());
        bodies.pop();
        assert!(budget.take(whose(1), MIB).is_some());
        drop(bodies);
        assert!(budget.taken().by_identity.is_empty());
    }
}
