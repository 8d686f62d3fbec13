//! The feeds moved by hand, step by step, where it matters what comes before what.

use std::pin::pin;
use std::task::Poll;

use identity::{Principal, Role};
use protocol::OwnerId;
use tokio::sync::oneshot;

use super::tests::{Shared, limits, part};
use super::topics::{Joining, State};
use super::*;
use crate::limits::{FEED_BLOCK_MAX, FEED_QUEUE_BLOCKS};

/// Longer than any test.
const FOR_EVER: Duration = Duration::from_secs(3_600);

struct Hand {
    feeds: Arc<Feeds>,
    shared: Shared,
    quiet: Duration,
}

impl Hand {
    fn new(limits: FeedLimits) -> Self {
        Self { feeds: Feeds::new(limits), shared: Shared::default(), quiet: FOR_EVER }
    }

    /// So many commands, and what is told of them.
    fn pay(&mut self, count: usize) {
        (0..count).for_each(|_| self.shared.world().pay(false));
        self.pump();
    }

    /// So many that nobody follows yet.
    fn pay_unheard(&self, count: usize) {
        (0..count).for_each(|_| self.shared.world().pay(false));
    }

    fn pump(&mut self) {
        assert!(self.feeds.pump(&mut self.shared, Duration::ZERO));
    }

    async fn join(&mut self, id: OwnerId, whose: Whose, after: Option<u64>) -> Follower {
        let (feeds, after) = (Arc::clone(&self.feeds), after.map(Place::after));
        let principal = Principal { id, role: Role::Auditor };
        let mut joining = pin!(feeds.join(principal, Filter::of(whose), after, self.quiet));
        assert!(now(joining.as_mut()).await.is_none(), "it asks");
        self.pump();
        joining.await.unwrap()
    }

    /// One that has found itself behind the tail.
    async fn behind(&mut self, id: OwnerId) -> Follower {
        let mut follower = self.join(id, Whose::All, Some(0)).await;
        assert_eq!(now(pin!(follower.next())).await, None);
        follower
    }

    fn waiting(&self) -> usize {
        self.feeds.state().waiting.len()
    }

    /// Tells a round the next three commands behind `at`.
    fn tell(&self, round: &mut Round, at: u64) -> u64 {
        let world = self.shared.world();
        let through = (at + 3).min(world.executed);
        let is_next = |one: &&Followed| (at + 1..=through).contains(&one.effect.sequence);
        let record: Vec<_> = world.history.iter().filter(is_next).copied().collect();
        drop(world);
        round.tell(&record, through);
        through
    }
}

/// What it has now, without waiting.
async fn now<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Once a replay handed over at the oldest effect of the tail. On a busy frame that was gone when
/// the follower looked, and it was told by one replay after the other for ever.
#[tokio::test]
async fn a_replay_hands_over_where_the_tail_stays_a_while() {
    let mut hand = Hand::new(limits(9, 20));
    let mut follower = hand.join(7, Whose::All, Some(0)).await;
    hand.pay(60);
    // Two effects a command: the tail has the last ten.
    assert_eq!(hand.feeds.state().tail.floor_of(Whose::All), 50);
    assert_eq!(now(pin!(follower.next())).await, None);
    let mut round = hand.feeds.next_round().unwrap();
    let mut at = 0;
    while !round.is_done() {
        at = hand.tell(&mut round, at);
    }
    assert_eq!(at, 57, "the first record that ends behind the middle");
    drop(round);
    hand.pay(4);
    let wanted = part(&hand.shared, Whose::All, Place::after(0));
    let mut got = Vec::new();
    for _ in 0..wanted.len() {
        if let Some(News::Events(events)) = now(pin!(follower.next())).await {
            got.extend(events);
        }
    }
    assert_eq!(hand.waiting(), 0);
    assert_eq!(got, wanted);
}

/// Once the tail had one floor for all, so that whoever followed a quiet owner fell off it by what
/// others did, and had the journal replayed to learn that there was nothing.
#[tokio::test]
async fn who_follows_a_quiet_owner_is_not_behind() {
    let mut hand = Hand { quiet: Duration::from_millis(20), ..Hand::new(limits(9, 20)) };
    let mut quiet = hand.join(7, Whose::Owner(77), None).await;
    let busy = hand.join(8, Whose::All, None).await;
    hand.pay(500);
    assert_eq!(hand.feeds.state().tail.floor_of(Whose::All), 490);
    loop {
        match quiet.next().await {
            News::Progress(place) if place == Place::after(500) => break,
            News::Progress(_) | News::Quiet => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(hand.waiting(), 0);
    // What finds no room in the tap may have been anybody's.
    hand.shared.world().pay(true);
    hand.pump();
    hand.pay(1);
    assert_eq!(now(pin!(quiet.next())).await, None);
    assert_eq!(hand.waiting(), 1);
    drop(busy);
}

#[tokio::test]
async fn nobody_is_told_who_has_left() {
    let mut hand = Hand::new(limits(9, 1_000));
    hand.pay_unheard(10);
    let first = hand.behind(7).await;
    drop(first);
    let second = hand.behind(8).await;
    let mut round = hand.feeds.next_round().unwrap();
    assert_eq!((round.runners.len(), hand.waiting()), (1, 0));
    drop(second);
    assert!(!round.is_done());
    hand.tell(&mut round, 0);
    assert!(round.is_done());
    // Neither is anybody taken in who has left.
    let third = hand.behind(9).await;
    drop(third);
    assert_eq!(round.take_in(), None);
    assert_eq!(hand.waiting(), 0);
}

/// Once whoever asked for everything, went, and asked again had the frame replay without an end.
#[tokio::test]
async fn nobody_has_the_journal_replayed_without_a_pause() {
    let mut hand = Hand::new(FeedLimits { replay_pauses: (FOR_EVER, FOR_EVER), ..limits(9, 10) });
    hand.pay_unheard(10);
    let first = hand.behind(7).await;
    let mut round = hand.feeds.next_round().unwrap();
    drop(first);
    hand.tell(&mut round, 0);
    drop(round);
    let _again = hand.behind(7).await;
    let _other = hand.behind(8).await;
    let round = hand.feeds.next_round().unwrap();
    assert_eq!((round.runners.len(), hand.waiting()), (1, 1), "the other's turn comes first");
    let mut state = hand.feeds.state();
    let start = Instant::now();
    assert!(state.next_turn(start).unwrap() > FOR_EVER / 2);
    assert!(state.take_waiting(start, |_| true).is_empty());
    assert_eq!(state.take_waiting(start + FOR_EVER, |_| true).len(), 1);
}

/// Once each of those who take nothing held up the others for as long as all of them may together.
#[tokio::test]
async fn those_who_take_nothing_have_one_patience_together() {
    let mut hand = Hand::new(limits(9, 10));
    hand.pay_unheard(FEED_BLOCK_MAX * FEED_QUEUE_BLOCKS);
    let mut stuck = Vec::new();
    for id in [7, 8, 9] {
        stuck.push(hand.behind(id).await);
    }
    let mut round = hand.feeds.next_round().unwrap();
    assert_eq!(round.runners.len(), 3);
    let mut at = 0;
    while !round.is_done() {
        at = hand.tell(&mut round, at);
    }
    assert_eq!(hand.waiting(), 3);
    // All of it is gone, and what each had earned.
    assert_eq!(round.patience, Duration::ZERO);
    let state = hand.feeds.state();
    assert!(state.waiting.iter().all(|runner| runner.earned < Duration::from_millis(1)));
}

#[tokio::test]
async fn who_follows_what_is_told_no_more_is_not_left_with_a_hole() {
    let mut hand = Hand::new(limits(9, 10));
    let feeds = Arc::clone(&hand.feeds);
    let principal = Principal { id: 7, role: Role::Auditor };
    let mut joining = pin!(feeds.join(principal, Filter::of(Whose::Owner(3)), None, FOR_EVER));
    assert!(now(joining.as_mut()).await.is_none());
    hand.pump();
    hand.feeds.state().topics.clear();
    assert_eq!(joining.await.err(), Some(FeedError::Unavailable));
    assert_eq!(hand.feeds.state().open, 0);
}

#[test]
fn neither_those_who_come_nor_what_they_leave_is_without_an_end() {
    let mut state = State::new(&limits(4, 10));
    let start = Instant::now();
    for n in 0..20 {
        let (answer, _) = oneshot::channel();
        let one = Joining { whose: Whose::Owner(n.into()), after: None, answer };
        state.attend(&[one], start + Duration::from_millis(n));
        assert!(state.topics.len() <= 5, "{}", state.topics.len());
    }
    // The latest are kept.
    assert!((16..20).all(|n| state.topics.contains_key(&Whose::Owner(n))));
    for n in 0..20 {
        let (answer, _) = oneshot::channel();
        state.await_joining(Joining { whose: Whose::Owner(n), after: None, answer }, 4);
        assert!(state.joining.len() <= 4, "{}", state.joining.len());
    }
}
