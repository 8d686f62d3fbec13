//! The limiter against a model that counts in whole tokens, and its edges.

use std::collections::VecDeque;

use identity::{Principal, Role};
use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn principal(id: u128) -> Principal {
    Principal { id: 1 << 100 | id, role: Role::Agent }
}

fn limiter(allotment: Allotment, connections_max: usize) -> Arc<Limiter> {
    let mut limits = RoleLimits::default();
    limits.set(Role::Agent, allotment);
    Limiter::new(limits, connections_max)
}

const FREE: Allotment =
    Allotment { requests_per_s: 0, bytes_per_s: 0, in_flight: 0, connections: 0 };

#[test]
fn zero_means_no_limit() {
    let limiter = limiter(FREE, 4);
    let seat = limiter.seat(principal(1), 0).unwrap();
    let passes: Vec<_> = (0..10_000).map(|_| seat.try_request(1 << 30, 0).unwrap()).collect();
    assert_eq!(passes.len(), 10_000);
}

#[test]
fn every_role_has_its_own_allotment() {
    let mut limits = RoleLimits::default();
    for (number, role) in (1..).zip(Role::ALL) {
        limits.set(role, Allotment { in_flight: number, ..FREE });
    }
    for (number, role) in (1..).zip(Role::ALL) {
        assert_eq!(limits.of(role).in_flight, number);
    }
}

#[test]
fn connections_are_bounded_for_one_and_for_all() {
    let limiter = limiter(Allotment { connections: 2, ..FREE }, 3);
    let first = limiter.seat(principal(1), 0).unwrap();
    let second = limiter.seat(principal(1), 0).unwrap();
    assert!(limiter.seat(principal(1), 0).is_none());
    let other = limiter.seat(principal(2), 0).unwrap();
    assert!(limiter.is_full());
    assert!(limiter.seat(principal(3), 0).is_none());
    drop(first);
    assert!(limiter.seat(principal(1), 0).is_some());
    drop((second, other));
    assert_eq!(limiter.state().connections, 0);
}

#[test]
fn a_large_request_passes_a_small_limit_and_the_next_one_waits() {
    let limiter = limiter(Allotment { bytes_per_s: 1_000, ..FREE }, 1);
    let seat = limiter.seat(principal(1), 0).unwrap();
    drop(seat.try_request(5_000, 0).unwrap());
    let refused = seat.try_request(1, 0).unwrap_err();
    // 4 000 bytes are owed and one is needed.
    assert_eq!(refused, Limited::Rate { retry_after: Duration::from_millis(4_001) });
    assert!(seat.try_request(1, 4 * SECOND).is_err());
    assert!(seat.try_request(1, 4 * SECOND + SECOND / 1_000).is_ok());
}

#[test]
fn coming_again_does_not_renew_the_allotment() {
    let limiter = limiter(Allotment { requests_per_s: 1, ..FREE }, 1);
    for _ in 0..3 {
        let seat = limiter.seat(principal(1), 0).unwrap();
        let _ = seat.try_request(1, 0).map(drop);
        assert!(seat.try_request(1, 0).is_err());
    }
}

#[test]
fn identities_that_left_are_forgotten() {
    let limiter = limiter(Allotment { requests_per_s: 1, ..FREE }, 2);
    for id in 0..10_000 {
        let seat = limiter.seat(principal(id), 0).unwrap();
        drop(seat.try_request(1, 0).unwrap());
    }
    let known = limiter.state().identities.len();
    assert!(known <= DEPARTED_MAX + 1, "{known}");
    drop(limiter.seat(principal(1 << 20), 10 * SECOND).unwrap());
    assert_eq!(limiter.state().identities.len(), 1, "nobody owes anything by now");
}

#[tokio::test]
async fn whoever_waits_gets_the_place_that_comes_back() {
    let limiter = limiter(Allotment { in_flight: 1, ..FREE }, 1);
    let seat = Arc::new(limiter.seat(principal(1), 0).unwrap());
    let held = seat.try_request(1, 0).unwrap();
    let waiting = Arc::clone(&seat);
    let waiter = tokio::spawn(async move { drop(waiting.request(1, || 0).await) });
    tokio::task::yield_now().await;
    assert!(!waiter.is_finished());
    held.forget();
    tokio::task::yield_now().await;
    assert!(!waiter.is_finished(), "a forgotten pass keeps its place");
    seat.places().give_back(1);
    waiter.await.unwrap();
    assert!(seat.try_request(1, 0).is_ok());
}

/// What the limiter should say, counted naively in billionths of a request and of a byte: a rate a
/// second is then one a nanosecond, and nothing rounds.
struct Model {
    allotment: Allotment,
    requests: i128,
    bytes: i128,
    at_ns: u64,
    in_flight: u32,
}

impl Model {
    const ONE: i128 = 1_000_000_000;

    fn new(allotment: Allotment) -> Self {
        let requests = i128::from(allotment.requests_per_s) * Self::ONE;
        let bytes = i128::from(allotment.bytes_per_s) * Self::ONE;
        Self { allotment, requests, bytes, at_ns: 0, in_flight: 0 }
    }

    fn may(&mut self, now_ns: u64, bytes: u64) -> bool {
        let elapsed_ns = i128::from(now_ns - self.at_ns);
        self.at_ns = now_ns;
        let requests_per_s = i128::from(self.allotment.requests_per_s);
        let bytes_per_s = i128::from(self.allotment.bytes_per_s);
        self.requests =
            (self.requests + elapsed_ns * requests_per_s).min(requests_per_s * Self::ONE);
        self.bytes = (self.bytes + elapsed_ns * bytes_per_s).min(bytes_per_s * Self::ONE);
        let may = self.in_flight < self.allotment.in_flight
            && self.requests >= Self::ONE
            && self.bytes >= Self::ONE;
        if may {
            self.requests -= Self::ONE;
            self.bytes -= i128::from(bytes) * Self::ONE;
            self.in_flight += 1;
        }
        may
    }
}

#[derive(Clone, Debug)]
enum Action {
    Ask { after_ms: u64, bytes: usize },
    Answer,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let ask =
        (0..300_u64, 1..400_usize).prop_map(|(after_ms, bytes)| Action::Ask { after_ms, bytes });
    prop::collection::vec(prop_oneof![2 => ask, 1 => Just(Action::Answer)], 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_limiter_agrees_with_the_model(
        actions in actions(),
        requests_per_s in 1..20_u32,
        bytes_per_s in 1..2_000_u64,
        in_flight in 1..6_u32,
    ) {
        let allotment = Allotment { requests_per_s, bytes_per_s, in_flight, connections: 0 };
        let limiter = limiter(allotment, 1);
        let seat = limiter.seat(principal(1), 0).unwrap();
        let mut model = Model::new(allotment);
        let mut passes = VecDeque::new();
        let mut now_ns = 0;
        for action in actions {
            match action {
                Action::Ask { after_ms, bytes } => {
                    now_ns += after_ms * 1_000_000;
                    let may = model.may(now_ns, bytes as u64);
                    match seat.try_request(bytes, now_ns) {
                        Ok(pass) => {
                            prop_assert!(may);
                            passes.push_back(pass);
                        }
                        Err(Limited::InFlight) => prop_assert!(!may),
                        Err(Limited::Rate { retry_after }) => {
                            prop_assert!(!may);
                            // It says exactly when: a moment before is too early.
                            let wait_ns = u64::try_from(retry_after.as_nanos()).unwrap();
                            let early = seat.try_request(bytes, now_ns + wait_ns - 1);
                            prop_assert!(early.is_err());
                            now_ns += wait_ns;
                            prop_assert!(model.may(now_ns, bytes as u64));
                            passes.push_back(seat.try_request(bytes, now_ns).unwrap());
                        }
                    }
                }
                Action::Answer => {
                    if passes.pop_front().is_some() {
                        model.in_flight -= 1;
                    }
                }
            }
            let in_flight = seat.identity.usage().in_flight;
            prop_assert_eq!(in_flight as usize, passes.len());
        }
        drop(passes);
        prop_assert_eq!(seat.identity.usage().in_flight, 0);
    }
}
