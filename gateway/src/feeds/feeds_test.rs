//! Followers over a made-up engine and journal: whatever their pace, each is told its part of the
//! history, once and in order.

use std::collections::VecDeque;
use std::thread::JoinHandle;

use identity::{Principal, Role};
use protocol::OwnerId;
use protocol::effect::{Effect, Event};

use super::*;
use crate::limits::{FEEDS_OF_AGENT_MAX, FEEDS_OF_ONE_MAX};

const QUIET: Duration = Duration::from_millis(20);
/// One replay may follow the other.
const AT_ONCE: (Duration, Duration) = (Duration::ZERO, Duration::ZERO);

fn auditor(id: OwnerId) -> Principal {
    Principal { id, role: Role::Auditor }
}

pub(super) fn limits(followers_max: usize, entries: usize) -> FeedLimits {
    let tail_size = entries * size_of::<Followed>();
    FeedLimits { followers_max, tail_size, replay_pauses: AT_ONCE }
}

/// An engine that tells, and its journal.
#[derive(Default)]
pub(super) struct World {
    pub(super) history: Vec<Followed>,
    pub(super) executed: u64,
    interest: Option<Interest>,
    told: VecDeque<Vec<Followed>>,
    left_out: u64,
    /// What the journal no longer holds.
    forgotten: u64,
    rounds: usize,
}

impl World {
    /// One more command: a payment and its fee, now and then left out by the tap.
    pub(super) fn pay(&mut self, is_left_out: bool) {
        self.executed += 1;
        let n = self.executed;
        let leg = |leg, debit, credit| Followed {
            effect: Effect {
                sequence: n,
                leg,
                event: Event::TokensTransferred.number() + leg,
                asset: 1,
                debit,
                credit,
                ..Effect::default()
            },
            command: u128::from(n),
            ..Followed::default()
        };
        let debit = u128::from(n % 5) + 1;
        let legs = [leg(0, debit, u128::from(n % 3) + 1), leg(1, debit, 100)];
        self.history.extend(legs);
        let Some(interest) = &self.interest else {
            return;
        };
        let wanted = legs.iter().filter(|one| interest.wants_effect(&one.effect));
        let block: Vec<_> = wanted.copied().collect();
        match (block.is_empty(), is_left_out) {
            (true, _) => {}
            (false, true) => self.left_out = n,
            (false, false) => self.told.push_back(block),
        }
    }
}

#[derive(Clone, Default)]
pub(super) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }
}

impl Present for Shared {
    fn follow(&mut self, interest: Option<Interest>) -> Option<u64> {
        let mut world = self.world();
        world.interest = interest;
        Some(world.executed)
    }

    fn executed(&mut self) -> u64 {
        self.world().executed
    }

    fn next(&mut self) -> Option<Vec<Followed>> {
        self.world().told.pop_front()
    }

    fn left_out(&mut self) -> u64 {
        self.world().left_out
    }

    fn durable(&mut self) -> u64 {
        self.world().executed
    }

    fn reaches_back_to(&mut self) -> Option<u64> {
        Some(self.world().forgotten)
    }
}

/// The feeds with their two threads.
struct Running {
    feeds: Arc<Feeds>,
    shared: Shared,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    fn new(followers_max: usize, entries: usize) -> Self {
        let feeds = Feeds::new(limits(followers_max, entries));
        let shared = Shared::default();
        let (pumped, mut present) = (Arc::clone(&feeds), shared.clone());
        let pump = move || while pumped.pump(&mut present, Duration::from_millis(1)) {};
        let (told, journal) = (Arc::clone(&feeds), shared.clone());
        let rounds = move || {
            while let Some(mut round) = told.next_round() {
                journal.world().rounds += 1;
                retell(&journal, &mut round);
            }
        };
        let threads = vec![std::thread::spawn(pump), std::thread::spawn(rounds)];
        Self { feeds, shared, threads }
    }

    fn pay(&self, count: usize) {
        (0..count).for_each(|_| self.shared.world().pay(false));
    }

    async fn join(&self, whose: Whose, after: Option<&str>) -> Result<Follower, FeedError> {
        let after = after.map(|text| Place::parse(text).unwrap());
        self.feeds.join(auditor(7), Filter::of(whose), after, QUIET).await
    }

    fn stop(self) {
        self.feeds.close();
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

/// The replay: three commands a record, from before what is wanted.
fn retell(journal: &Shared, round: &mut Round) {
    let mut at = round.after().saturating_sub(4);
    let mut interest = round.interest();
    while !round.is_done() {
        let world = journal.world();
        let through = (at + 3).min(world.executed);
        let record = world.history.iter().filter(|one| {
            let sequence = one.effect.sequence;
            at < sequence && sequence <= through && interest.wants_effect(&one.effect)
        });
        let record: Vec<_> = record.copied().collect();
        drop(world);
        at = through;
        round.tell(&record, at);
        if let Some(more) = round.take_in() {
            interest = more;
        }
    }
}

/// Reads until everything behind `after` that there is has come; with pauses, if it is slow.
async fn read(follower: &mut Follower, wanted: usize, pause: Duration) -> Vec<Followed> {
    let mut got = Vec::new();
    while got.len() < wanted {
        match follower.next().await {
            News::Events(events) => got.extend(events),
            News::Progress(_) | News::Quiet => {}
            News::Ended(error) => panic!("{error}"),
        }
        tokio::time::sleep(pause).await;
    }
    got
}

pub(super) fn part(shared: &Shared, whose: Whose, after: Place) -> Vec<Followed> {
    let filter = Filter::of(whose);
    let world = shared.world();
    let wanted = world.history.iter().filter(|one| one.place() > after && filter.takes(one));
    wanted.copied().collect()
}

#[tokio::test]
async fn followers_at_any_pace_are_told_everything_once() {
    let running = Running::new(20, 40);
    running.pay(100);
    let mut readers = Vec::new();
    for whose in [Whose::All, Whose::Owner(2), Whose::Owner(100), Whose::Owner(9)] {
        for (after, pause_ms) in [(None, 0), (Some("0"), 0), (Some("50.0"), 3), (Some("99"), 7)] {
            let mut follower = running.join(whose, after).await.unwrap();
            let shared = running.shared.clone();
            readers.push(tokio::spawn(async move {
                let start = follower.place();
                let mut got = Vec::new();
                let pause = Duration::from_millis(pause_ms);
                loop {
                    match follower.next().await {
                        News::Events(events) => got.extend(events),
                        News::Progress(_) | News::Quiet => {}
                        News::Ended(error) => panic!("{error}"),
                    }
                    tokio::time::sleep(pause).await;
                    let wanted = part(&shared, whose, start);
                    if shared.world().executed == 2_000 && got.len() >= wanted.len() {
                        assert_eq!(got, wanted, "{whose:?} behind {start}");
                        break;
                    }
                }
            }));
        }
    }
    for n in 0..1_900 {
        running.shared.world().pay(n % 331 == 330);
        if n % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    for reader in readers {
        reader.await.unwrap();
    }
    assert!(running.shared.world().rounds > 0);
    assert_eq!(running.feeds.state().open, 0);
    running.stop();
}

#[tokio::test]
async fn one_who_comes_back_is_told_from_the_tail() {
    let running = Running::new(20, 1_000);
    running.pay(10);
    let mut first = running.join(Whose::Owner(1), None).await.unwrap();
    running.pay(10);
    let got = read(&mut first, 1, Duration::ZERO).await;
    drop(first);
    running.pay(10);
    let place = got[0].place();
    let mut again = running.join(Whose::Owner(1), Some(&place.to_string())).await.unwrap();
    let wanted = part(&running.shared, Whose::Owner(1), place);
    assert_eq!(read(&mut again, wanted.len(), Duration::ZERO).await, wanted);
    assert_eq!(running.shared.world().rounds, 0);
    running.stop();
}

#[tokio::test]
async fn one_for_whom_there_is_nothing_hears_how_far_the_history_is() {
    let running = Running::new(20, 1_000);
    running.pay(10);
    for after in [None, Some("3")] {
        let mut follower = running.join(Whose::Owner(77), after).await.unwrap();
        running.pay(10);
        let executed = running.shared.world().executed;
        loop {
            match follower.next().await {
                News::Progress(place) if place == Place::after(executed) => break,
                News::Progress(_) | News::Quiet => {}
                other => panic!("{other:?}"),
            }
        }
    }
    running.stop();
}

#[tokio::test]
async fn refusals_are_typed() {
    let running = Running::new(FEEDS_OF_ONE_MAX + 1, 1_000);
    running.pay(10);
    running.shared.world().forgotten = 4;
    let refused = |refused: Result<Follower, FeedError>| refused.err().unwrap();
    let gone = running.join(Whose::All, Some("3")).await;
    assert_eq!(refused(gone), FeedError::Gone { first: 5 });
    assert!(running.join(Whose::All, Some("4")).await.is_ok());
    let ahead = running.join(Whose::All, Some("11")).await;
    assert_eq!(refused(ahead), FeedError::Ahead { last: 10 });
    let mut open = Vec::new();
    for _ in 0..FEEDS_OF_ONE_MAX {
        open.push(running.join(Whose::All, None).await.unwrap());
    }
    let more = running.join(Whose::All, None).await;
    assert_eq!(refused(more), FeedError::TooMany { max: FEEDS_OF_ONE_MAX });
    let join = |principal| running.feeds.join(principal, Filter::of(Whose::All), None, QUIET);
    let other = join(auditor(8)).await;
    assert_eq!(refused(join(auditor(9)).await), FeedError::Full);
    drop(other);
    open.pop();
    assert!(running.join(Whose::All, None).await.is_ok());
    let mut last = open.pop().unwrap();
    running.feeds.close();
    assert_eq!(last.next().await, News::Ended(FeedError::Closed));
    let closed = running.join(Whose::All, None).await;
    assert_eq!(refused(closed), FeedError::Closed);
    running.stop();
}

/// Whoever follows itself cannot take the places of those who follow everybody.
#[tokio::test]
async fn an_agent_has_few_feeds_and_agents_leave_room() {
    let running = Running::new(8, 1_000);
    let join = |principal: Principal| {
        let filter = Filter::of(Whose::Owner(principal.id));
        running.feeds.join(principal, filter, None, QUIET)
    };
    let agent = |id| Principal { id, role: Role::Agent };
    let mut open = Vec::new();
    for n in 0..7 {
        open.push(join(agent(n / FEEDS_OF_AGENT_MAX as u128)).await.unwrap());
    }
    for role in [Role::Agent, Role::Registry] {
        let refused = join(Principal { id: 99, role }).await.err().unwrap();
        assert_eq!(refused, FeedError::Full, "{role:?}");
    }
    open.push(join(auditor(100)).await.unwrap());
    assert_eq!(join(auditor(101)).await.err().unwrap(), FeedError::Full);
    open.truncate(FEEDS_OF_AGENT_MAX);
    let refused = join(agent(0)).await.err().unwrap();
    assert_eq!(refused, FeedError::TooMany { max: FEEDS_OF_AGENT_MAX });
    assert!(join(agent(1)).await.is_ok());
    running.stop();
}

/// One who takes nothing of a round is put off, and the others go on.
#[tokio::test]
async fn who_takes_nothing_holds_nobody_up() {
    let running = Running::new(20, 10);
    running.pay(4_000);
    let mut stuck = running.join(Whose::All, Some("0")).await.unwrap();
    assert!(matches!(stuck.next().await, News::Events(_)));
    let mut other = running.join(Whose::All, Some("0")).await.unwrap();
    let wanted = part(&running.shared, Whose::All, Place::after(0));
    assert_eq!(read(&mut other, wanted.len(), Duration::ZERO).await, wanted);
    // And it is served when it takes again.
    let place = stuck.place();
    let rest = part(&running.shared, Whose::All, place);
    assert_eq!(read(&mut stuck, rest.len(), Duration::ZERO).await, rest);
    running.stop();
}

/// Tells of sequences 1 and 3, 2 having been left out, and looks at the tail whenever it is asked.
struct Watched {
    feeds: Arc<Feeds>,
    told: VecDeque<Vec<Followed>>,
    left_out: u64,
}

impl Watched {
    fn look(&self) {
        let state = self.feeds.state();
        let has_last = state.tail.through() == 3 || {
            let mut got = Vec::new();
            state.tail.collect(&Filter::of(Whose::All), Place::after(1), 9, &mut got);
            !got.is_empty()
        };
        assert!(
            !has_last || state.tail.floor_of(Whose::All) >= 2,
            "a follower behind 1 would not miss 2"
        );
    }
}

impl Present for Watched {
    fn follow(&mut self, _: Option<Interest>) -> Option<u64> {
        Some(0)
    }

    fn executed(&mut self) -> u64 {
        3
    }

    fn next(&mut self) -> Option<Vec<Followed>> {
        self.look();
        let block = self.told.pop_front()?;
        if block[0].effect.sequence == 3 {
            self.left_out = 2;
        }
        Some(block)
    }

    fn left_out(&mut self) -> u64 {
        self.look();
        self.left_out
    }

    fn durable(&mut self) -> u64 {
        3
    }

    fn reaches_back_to(&mut self) -> Option<u64> {
        Some(0)
    }
}

#[test]
fn what_comes_behind_a_hole_is_not_seen_before_the_hole_is_known() {
    let mut world = World { interest: Some(Interest::All), ..World::default() };
    for is_left_out in [false, true, false] {
        world.pay(is_left_out);
    }
    let feeds = Feeds::new(limits(1, 1_000));
    let told = world.told;
    assert_eq!(told.len(), 2);
    let mut watched = Watched { feeds: Arc::clone(&feeds), told, left_out: 0 };
    feeds.carry(&mut watched);
    watched.look();
    assert_eq!(feeds.state().tail.floor_of(Whose::All), 2);
}
