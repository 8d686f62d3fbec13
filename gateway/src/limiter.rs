//! What one identity may ask of both doors together: requests and bytes a second, requests in
//! flight, connections.
//!
//! It knows no socket and no clock: time is an argument. A request may overdraw the bytes, so that
//! the largest request can pass the smallest limit; the next one then waits. Invariant: requests
//! and connections that are given back are exactly those that were taken, and an identity is
//! remembered only while it has connections or owes time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use identity::{Principal, Role};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{sleep, timeout};

use crate::guests::Presence;
use crate::limits::{
    ADMIN, AGENT, AUDITOR, BATCH_FEEDS_OF_ONE_MAX, BURST, DEPARTED_MAX, HISTORY_QUESTIONS_MAX,
    HISTORY_WALKS_MAX, MINT, PEER, PLACE_PAUSE, REGISTRY,
};

/// What one identity may ask for; 0 means as much as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allotment {
    /// Requests in a second, and at once after a pause.
    pub requests_per_s: u32,
    /// Bytes of requests in a second, and at once after a pause.
    pub bytes_per_s: u64,
    /// Requests that are not answered yet.
    pub in_flight: u32,
    /// Connections to both doors.
    pub connections: u32,
}

/// The allotment of every role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleLimits {
    by_role: [Allotment; Role::ALL.len()],
}

impl Default for RoleLimits {
    fn default() -> Self {
        // In the order of the roles' numbers.
        Self { by_role: [AGENT, REGISTRY, PEER, MINT, ADMIN, AUDITOR] }
    }
}

impl RoleLimits {
    /// What an identity of `role` may ask for.
    #[must_use]
    pub fn of(&self, role: Role) -> Allotment {
        self.by_role[place(role)]
    }

    /// Lets identities of `role` ask for this much from now on.
    pub fn set(&mut self, role: Role, allotment: Allotment) {
        self.by_role[place(role)] = allotment;
    }
}

fn place(role: Role) -> usize {
    usize::from(role.number()) - 1
}

/// Why a request may not be taken now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limited {
    /// Too many requests or bytes; not before this time has passed.
    Rate {
        /// How long to wait.
        retry_after: Duration,
    },
    /// Too many unanswered requests.
    InFlight,
}

/// Everybody who is connected, and what the door has room for.
#[derive(Debug)]
pub(crate) struct Limiter {
    limits: RoleLimits,
    connections_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    identities: HashMap<Principal, Arc<Identity>>,
    connections: usize,
}

#[derive(Debug)]
struct Identity {
    allotment: Allotment,
    usage: Mutex<Usage>,
    given_back: Notify,
    /// What it may still ask of the history.
    history: Arc<HistoryPlaces>,
}

#[derive(Debug)]
struct Usage {
    requests: Bucket,
    bytes: Bucket,
    in_flight: u32,
    /// Changed only under the lock of the limiter.
    connections: u32,
}

impl Limiter {
    pub(crate) fn new(limits: RoleLimits, connections_max: usize) -> Arc<Self> {
        Arc::new(Self { limits, connections_max, state: Mutex::default() })
    }

    /// Whether no connection can be let in, whoever's it is.
    pub(crate) fn is_full(&self) -> bool {
        self.state().connections >= self.connections_max
    }

    /// A place for one more connection of `principal`, if there is one.
    pub(crate) fn seat(self: &Arc<Self>, principal: Principal, now_ns: u64) -> Option<Seat> {
        let mut state = self.state();
        if state.connections >= self.connections_max {
            return None;
        }
        let identity = match state.identities.get(&principal) {
            Some(identity) => Arc::clone(identity),
            None => {
                state.make_room(self.connections_max, now_ns);
                let identity = Arc::new(Identity::new(self.limits.of(principal.role), now_ns));
                state.identities.insert(principal, Arc::clone(&identity));
                identity
            }
        };
        let connections_max = identity.allotment.connections;
        let mut usage = identity.usage();
        if connections_max > 0 && usage.connections >= connections_max {
            return None;
        }
        usage.connections += 1;
        state.connections += 1;
        drop(usage);
        drop(state);
        Some(Seat { limiter: Arc::clone(self), identity, presence: None })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets identities without connections that owe nothing any more; all of them when there
    /// are too many.
    fn make_room(&mut self, connections_max: usize, now_ns: u64) {
        // Looked at only when it may be worth it: those with connections stay anyway.
        if self.identities.len() < connections_max.min(self.connections + DEPARTED_MAX) {
            return;
        }
        self.identities.retain(|_, identity| !identity.is_forgettable(now_ns));
        if self.identities.len() >= self.connections + DEPARTED_MAX {
            self.identities.retain(|_, identity| identity.usage().connections > 0);
        }
    }
}

impl Identity {
    fn new(allotment: Allotment, now_ns: u64) -> Self {
        let usage = Usage {
            requests: Bucket::full(allotment.requests_per_s.into(), now_ns),
            bytes: Bucket::full(allotment.bytes_per_s, now_ns),
            in_flight: 0,
            connections: 0,
        };
        let history = Arc::default();
        Self { allotment, usage: Mutex::new(usage), given_back: Notify::new(), history }
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_forgettable(&self, now_ns: u64) -> bool {
        let mut usage = self.usage();
        let Usage { requests, bytes, connections, .. } = &mut *usage;
        *connections == 0 && requests.is_full(now_ns) && bytes.is_full(now_ns)
    }

    fn take(&self, bytes: usize, now_ns: u64) -> Result<(), Limited> {
        let mut usage = self.usage();
        let in_flight_max = self.allotment.in_flight;
        if in_flight_max > 0 && usage.in_flight >= in_flight_max {
            return Err(Limited::InFlight);
        }
        let wait_ns = usage.requests.wait_ns(1, now_ns).max(usage.bytes.wait_ns(1, now_ns));
        if wait_ns > 0 {
            return Err(Limited::Rate { retry_after: Duration::from_nanos(wait_ns) });
        }
        usage.requests.take(1);
        usage.bytes.take(bytes as u64);
        usage.in_flight += 1;
        Ok(())
    }

    fn give_back(&self, requests: usize) {
        let mut usage = self.usage();
        let requests = u32::try_from(requests).expect("no more come back than went out");
        usage.in_flight =
            usage.in_flight.checked_sub(requests).expect("no more come back than went out");
        drop(usage);
        self.given_back.notify_waiters();
    }
}

/// What one identity may ask of the history at once.
#[derive(Debug)]
pub(crate) struct HistoryPlaces {
    /// Questions about keys.
    pub(crate) questions: Semaphore,
    /// Walks through entries.
    pub(crate) walks: Semaphore,
    /// Feeds of settled batches.
    pub(crate) batches: Arc<Semaphore>,
}

impl Default for HistoryPlaces {
    fn default() -> Self {
        Self {
            questions: Semaphore::new(HISTORY_QUESTIONS_MAX),
            walks: Semaphore::new(HISTORY_WALKS_MAX),
            batches: Arc::new(Semaphore::new(BATCH_FEEDS_OF_ONE_MAX)),
        }
    }
}

/// One of the connections that an identity, and the doors, may have; dropped, it is free again.
#[derive(Debug)]
pub(crate) struct Seat {
    limiter: Arc<Limiter>,
    identity: Arc<Identity>,
    /// That somebody is connected, for as long.
    presence: Option<Presence>,
}

impl Seat {
    /// The same, of a guest that is remembered.
    pub(crate) fn of(mut self, presence: Presence) -> Self {
        self.presence = Some(presence);
        self
    }

    /// A place in flight for a request of `bytes`, or why there is none.
    pub(crate) fn try_request(&self, bytes: usize, now_ns: u64) -> Result<Pass, Limited> {
        self.identity.take(bytes, now_ns)?;
        Ok(Pass { identity: Some(Arc::clone(&self.identity)) })
    }

    /// The same, waiting for it: whoever waits does not read, and flow control stops the client.
    pub(crate) async fn request(&self, bytes: usize, now_ns: impl Fn() -> u64) -> Pass {
        loop {
            // Registered before the look, so that no return is missed.
            let mut given_back = std::pin::pin!(self.identity.given_back.notified());
            given_back.as_mut().enable();
            match self.try_request(bytes, now_ns()) {
                Ok(pass) => return pass,
                Err(Limited::Rate { retry_after }) => sleep(retry_after).await,
                Err(Limited::InFlight) => {
                    // The pause is belt and braces: every return is announced.
                    let _ = timeout(PLACE_PAUSE, given_back).await;
                }
            }
        }
    }

    /// Bytes of a request beyond those that were known when it began.
    pub(crate) fn charge(&self, bytes: usize) {
        self.identity.usage().bytes.take(bytes as u64);
    }

    /// What the identity may ask of the history, on all its connections together.
    pub(crate) fn history(&self) -> Arc<HistoryPlaces> {
        Arc::clone(&self.identity.history)
    }

    #[cfg(test)]
    pub(crate) fn in_flight(&self) -> u32 {
        self.identity.usage().in_flight
    }

    /// Where places of forgotten passes go back to.
    pub(crate) fn places(&self) -> Places {
        Places(Arc::clone(&self.identity))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.limiter.state();
        state.connections -= 1;
        self.identity.usage().connections -= 1;
    }
}

/// A request's place in flight; dropped, it is free again.
#[derive(Debug)]
#[must_use = "a dropped pass is given back"]
pub(crate) struct Pass {
    identity: Option<Arc<Identity>>,
}

impl Pass {
    /// Leaves the place taken until it is counted back into [`Places`].
    pub(crate) fn forget(mut self) {
        self.identity = None;
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(identity) = self.identity.take() {
            identity.give_back(1);
        }
    }
}

/// The places in flight of one identity, for whoever counts them itself.
#[derive(Clone, Debug)]
pub(crate) struct Places(Arc<Identity>);

impl Places {
    /// Gives back the places of requests whose passes were forgotten.
    pub(crate) fn give_back(&self, requests: usize) {
        if requests > 0 {
            self.0.give_back(requests);
        }
    }
}

/// A token bucket: fills by `per_s` each second up to [`BURST`] of it, and may be overdrawn.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    per_s: u64,
    /// Billionths of a token.
    level: i128,
    filled_ns: u64,
}

/// Billionths of a token in a token: a rate a second is then one a nanosecond.
const TOKEN: i128 = 1_000_000_000;

impl Bucket {
    fn full(per_s: u64, now_ns: u64) -> Self {
        let mut bucket = Self { per_s, level: 0, filled_ns: now_ns };
        bucket.level = bucket.most();
        bucket
    }

    /// At least one token, or nothing could ever be taken.
    fn most(&self) -> i128 {
        (i128::from(self.per_s) * i128::try_from(BURST.as_nanos()).expect("a short time"))
            .max(TOKEN)
    }

    fn fill(&mut self, now_ns: u64) {
        // A clock that stands still fills nothing; one that goes back does not empty it either.
        let elapsed_ns = now_ns.saturating_sub(self.filled_ns);
        self.filled_ns = self.filled_ns.max(now_ns);
        let more = i128::from(self.per_s) * i128::from(elapsed_ns);
        self.level = (self.level + more).min(self.most());
    }

    /// How long until `tokens` are there.
    fn wait_ns(&mut self, tokens: u64, now_ns: u64) -> u64 {
        if self.per_s == 0 {
            return 0;
        }
        self.fill(now_ns);
        let missing = i128::from(tokens) * TOKEN - self.level;
        let per_ns = i128::from(self.per_s);
        u64::try_from((missing.max(0) + per_ns - 1) / per_ns).unwrap_or(u64::MAX)
    }

    fn take(&mut self, tokens: u64) {
        if self.per_s > 0 {
            self.level -= i128::from(tokens) * TOKEN;
        }
    }

    fn is_full(&mut self, now_ns: u64) -> bool {
        self.fill(now_ns);
        self.per_s == 0 || self.level >= self.most()
    }
}

#[cfg(test)]
#[path = "limiter_test.rs"]
mod tests;
