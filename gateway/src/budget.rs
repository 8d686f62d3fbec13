//! One budget for everything that clients may have sent and nobody has taken yet: the receive
//! windows of the QUIC connections, and the bodies that the HTTPS door is reading.
//!
//! It counts promises, not memory: a window counts whole while its connection lasts. Invariant:
//! what is promised never exceeds the budget, and neither door can promise away the other's part.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::WINDOW_MIN;

/// The budget.
#[derive(Debug)]
pub(crate) struct Budget {
    size: usize,
    /// What windows may take: the rest is left to bodies.
    windows_max: usize,
    /// What bodies leave: the smallest window for every connection.
    windows_min: usize,
    taken: Mutex<Taken>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    windows: usize,
    connections: usize,
    bodies: usize,
}

impl Budget {
    /// A budget of `size` bytes for at most `connections_max` connections.
    pub(crate) fn new(size: usize, connections_max: usize) -> Arc<Self> {
        let windows_max = size - size / 4;
        let windows_min = connections_max.saturating_mul(WINDOW_MIN as usize).min(windows_max);
        Arc::new(Self { size, windows_max, windows_min, taken: Mutex::default() })
    }

    /// Room for a body of `bytes`, if there is any now.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        let mut taken = self.taken();
        let bodies = taken.bodies.checked_add(bytes)?;
        let others = taken.windows.max(self.windows_min);
        if bodies > self.size - others {
            return None;
        }
        taken.bodies = bodies;
        Some(Share { budget: Arc::clone(self), bytes, is_window: false })
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
        Some(Share { budget: Arc::clone(self), bytes, is_window: true })
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
    is_window: bool,
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
        if self.is_window {
            taken.windows -= self.bytes;
            taken.connections -= 1;
        } else {
            taken.bodies -= self.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{WINDOW_BULK, WINDOW_OTHER};

    const MIB: usize = 1 << 20;

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
        assert!(budget.take(MIB / 4).is_some());
        assert!(budget.take(MIB / 4 + 1).is_none());
    }

    #[test]
    fn neither_door_starves_the_other() {
        let budget = Budget::new(256 * MIB, 64);
        let windows: Vec<_> = (0..64).map(|_| budget.window(WINDOW_BULK).unwrap()).collect();
        let bodies: Vec<_> = (0..64).map(|_| budget.take(MIB).unwrap()).collect();
        assert!(budget.promised() <= 256 * MIB);
        drop((windows, bodies));
        let bodies: Vec<_> = std::iter::from_fn(|| budget.take(MIB)).collect();
        assert_eq!(bodies.len(), 252, "all but the smallest windows");
        let windows: Vec<_> = (0..64).map(|_| budget.window(WINDOW_BULK).unwrap()).collect();
        assert!(windows.iter().all(|window| window.bytes() == WINDOW_MIN as usize));
        assert_eq!(budget.promised(), 256 * MIB);
    }
}
