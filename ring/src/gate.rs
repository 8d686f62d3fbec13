//! The gate: where a thread waits until another has done something, at little cost to both.
//!
//! Waiting adapts: spin briefly, yield, then park. A gate holds no data and no count of events:
//! what is waited for is told by the waiter's own condition. Invariant: if the condition was made
//! true before [`Gate::notify`], no waiter sleeps through it.

use std::time::Duration;

use crate::sync::{AtomicUsize, Condvar, Mutex, Ordering, fence, yield_now};

/// How long to look before parking. More than the reference machine's two cores want costs the
/// other threads their time; less costs a wake-up per hop.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Looks with a pause instruction between them.
    pub spins: u32,
    /// Looks with the processor offered to others between them.
    pub yields: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self { spins: 64, yields: 8 }
    }
}

/// Where threads wait for a condition that other threads make true.
#[derive(Debug)]
pub struct Gate {
    waiters: AtomicUsize,
    lock: Mutex<()>,
    parked: Condvar,
    patience: Patience,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new(Patience::default())
    }
}

impl Gate {
    /// A gate whose waiters look as often as `patience` says before they park.
    #[must_use]
    pub fn new(patience: Patience) -> Self {
        Self {
            waiters: AtomicUsize::new(0),
            lock: Mutex::new(()),
            parked: Condvar::new(),
            patience,
        }
    }

    /// Wakes whoever waits; a fence and a load when nobody does. Call it after the condition has
    /// been made true.
    pub fn notify(&self) {
        // Pairs with the fence in `park`: either this load sees the waiter, or the waiter's last
        // look sees what was done before the fence.
        fence(Ordering::SeqCst);
        if self.waiters.load(Ordering::SeqCst) == 0 {
            return;
        }
        // A waiter holds the lock from its last look until it sleeps, so it cannot be missed here.
        drop(self.lock.lock().expect("nobody panics inside the gate"));
        self.parked.notify_all();
    }

    /// Waits until the condition holds, somebody notifies or `timeout` has passed, and says
    /// whether the condition holds.
    pub fn wait(&self, until: impl Fn() -> bool, timeout: Duration) -> bool {
        for _ in 0..self.patience.spins {
            if until() {
                return true;
            }
            std::hint::spin_loop();
        }
        for _ in 0..self.patience.yields {
            if until() {
                return true;
            }
            yield_now();
        }
        self.park(until, timeout)
    }

    fn park(&self, until: impl Fn() -> bool, timeout: Duration) -> bool {
        let guard = self.lock.lock().expect("nobody panics inside the gate");
        self.waiters.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let holds = until();
        let guard = if holds {
            guard
        } else {
            let (guard, _) =
                self.parked.wait_timeout(guard, timeout).expect("nobody panics inside the gate");
            guard
        };
        self.waiters.fetch_sub(1, Ordering::SeqCst);
        drop(guard);
        holds || until()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn a_waiter_gives_up_after_its_timeout() {
        assert!(!Gate::default().wait(|| false, Duration::from_millis(1)));
        assert!(Gate::default().wait(|| true, Duration::ZERO));
    }

    #[test]
    fn two_threads_hand_a_counter_back_and_forth() {
        let gate = Arc::new(Gate::default());
        let count = Arc::new(AtomicU64::new(0));
        let threads: Vec<_> = (0..2)
            .map(|mine| {
                let (gate, count) = (Arc::clone(&gate), Arc::clone(&count));
                std::thread::spawn(move || {
                    while count.load(Ordering::Acquire) < 2_000 {
                        let is_mine = || {
                            let now = count.load(Ordering::Acquire);
                            now >= 2_000 || now % 2 == mine
                        };
                        if gate.wait(is_mine, Duration::from_secs(5)) && is_mine() {
                            if count.load(Ordering::Acquire) < 2_000 {
                                count.fetch_add(1, Ordering::AcqRel);
                            }
                            gate.notify();
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(count.load(Ordering::Acquire), 2_000);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::watermark::Watermark;
    use loom::sync::Arc;

    const IMPATIENT: Patience = Patience { spins: 0, yields: 0 };

    /// The model never times out, so a lost wake-up is a deadlock that the checker reports.
    #[test]
    fn loom_no_wake_up_is_lost() {
        loom::model(|| {
            let gate = Arc::new(Gate::new(IMPATIENT));
            let mark = Arc::new(Watermark::new(0));
            let (there, theirs) = (Arc::clone(&gate), Arc::clone(&mark));
            let waiter = loom::thread::spawn(move || {
                while !there.wait(|| theirs.value() == 1, Duration::from_secs(1)) {}
            });
            mark.raise(1);
            gate.notify();
            waiter.join().unwrap();
        });
    }

    #[test]
    fn loom_two_waiters_are_both_woken() {
        loom::model(|| {
            let gate = Arc::new(Gate::new(IMPATIENT));
            let mark = Arc::new(Watermark::new(0));
            let waiters: Vec<_> = (0..2)
                .map(|_| {
                    let (gate, mark) = (Arc::clone(&gate), Arc::clone(&mark));
                    loom::thread::spawn(move || {
                        while !gate.wait(|| mark.value() == 1, Duration::from_secs(1)) {}
                    })
                })
                .collect();
            mark.raise(1);
            gate.notify();
            for waiter in waiters {
                waiter.join().unwrap();
            }
        });
    }

    /// Whoever reads the later watermark first never sees it ahead of the earlier one.
    #[test]
    fn loom_a_pair_of_watermarks_is_read_in_order() {
        loom::model(|| {
            let committed = Arc::new(Watermark::new(0));
            let executed = Arc::new(Watermark::new(0));
            let (c, e) = (Arc::clone(&committed), Arc::clone(&executed));
            let writer = loom::thread::spawn(move || {
                for value in 1..=2 {
                    c.raise(value);
                    e.raise(value);
                }
            });
            let seen_executed = executed.value();
            let seen_committed = committed.value();
            assert!(seen_committed >= seen_executed);
            writer.join().unwrap();
        });
    }
}
