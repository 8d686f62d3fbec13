//! What may be told is judged once, for every door.

use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::poll_immediate;
use protocol::Status;
use protocol::effect::{Effect, Event};

use super::super::tests::{Shared, limits};
use super::*;

const OWNER: OwnerId = 7 << 64;
const HOST: OwnerId = 9 << 64;

/// A door whose questions have these answers, one after the other.
#[derive(Default)]
struct Door(VecDeque<Status>);

impl Door {
    fn of(answers: &[Status]) -> Self {
        Self(answers.iter().copied().collect())
    }
}

impl Asks for Door {
    type Unanswered = ();

    async fn ask(&mut self, read: Command) -> Result<u16, ()> {
        assert_eq!(read, question(OWNER));
        self.0.pop_front().map(Status::number).ok_or(())
    }
}

async fn begin(role: Role, door: &mut Door) -> Result<Feed, Denied<()>> {
    let (feeds, mut present) = (Feeds::new(limits(9, 20)), Shared::default());
    let metrics = Arc::default();
    let wish = Wish {
        account: Some(OWNER),
        after: None,
        events: 1 << Event::TokensTransferred.number(),
        asset: None,
    };
    let id = if role == Role::Agent { OWNER } else { HOST };
    let mut beginning = pin!(Feed::begin((&feeds, &metrics), Principal { id, role }, wish, door));
    if let Some(refused) = poll_immediate(beginning.as_mut()).await {
        return refused;
    }
    assert!(feeds.pump(&mut present, Duration::ZERO));
    beginning.await
}

/// Effects of these sequences: moves of the owner if they are even, and its payments.
fn history(sequences: std::ops::RangeInclusive<u64>) -> Vec<Followed> {
    let effect = |sequence: u64| {
        let moves = sequence.is_multiple_of(2);
        let event = if moves { Event::OwnerRehosted } else { Event::TokensTransferred };
        Effect { sequence, event: event.number(), debit: OWNER, ..Effect::default() }
    };
    sequences.map(|n| Followed { effect: effect(n), ..Followed::default() }).collect()
}

/// The sequences that may be told of some.
async fn told(
    feed: &mut Feed,
    sequences: std::ops::RangeInclusive<u64>,
    door: &mut Door,
) -> (Vec<u64>, Option<Denied<()>>) {
    let (events, denied) = feed.told(history(sequences), door).await;
    (events.iter().map(|one| one.effect.sequence).collect(), denied)
}

#[tokio::test]
async fn a_registry_is_asked_for_before_and_behind_its_beginning() {
    use Status::{NotFound, Ok};
    assert!(begin(Role::Registry, &mut Door::of(&[Ok, Ok])).await.is_ok());
    for (answers, expected) in [
        (&[NotFound][..], Denied::NotFound),
        (&[Ok, NotFound], Denied::NotFound),
        (&[], Denied::Unanswered(())),
        (&[Ok], Denied::Unanswered(())),
    ] {
        let refused = begin(Role::Registry, &mut Door::of(answers)).await;
        assert_eq!(refused.map(|_| ()), Err(expected), "{answers:?}");
    }
    assert_eq!(begin(Role::Mint, &mut Door::default()).await.map(|_| ()), Err(Denied::NotFound));
}

#[tokio::test]
async fn the_move_that_loses_an_owner_ends_a_feed_whether_it_is_told_or_not() {
    use Status::{NotFound, Ok};
    let mut door = Door::of(&[Ok, Ok, Ok, NotFound]);
    let mut feed = begin(Role::Registry, &mut door).await.unwrap();
    feed.judged = Instant::now();
    assert_eq!(told(&mut feed, 1..=1, &mut door).await, (vec![1], None));
    assert_eq!(door.0.len(), 2, "nothing has moved");
    assert_eq!(told(&mut feed, 1..=3, &mut door).await, (vec![1, 3], None));
    assert_eq!(told(&mut feed, 3..=5, &mut door).await, (vec![3], Some(Denied::NotFound)));
    assert_eq!(told(&mut feed, 4..=5, &mut door).await, (vec![], Some(Denied::Unanswered(()))));
}

/// Once a registry that followed from long ago was told all of an owner's past up to the move by
/// which it lost it, however long that had been executed: only moves had it asked anew.
#[tokio::test]
async fn what_is_told_of_long_ago_ends_soon_after_the_owner_is_lost() {
    use Status::{NotFound, Ok};
    let mut door = Door::of(&[Ok, Ok, Ok, NotFound]);
    let mut feed = begin(Role::Registry, &mut door).await.unwrap();
    feed.judged -= FEED_JUDGED_FOR;
    assert_eq!(told(&mut feed, 1..=1, &mut door).await, (vec![1], None));
    feed.judged = Instant::now();
    assert_eq!(told(&mut feed, 1..=1, &mut door).await, (vec![1], None));
    assert_eq!(door.0.len(), 1, "it was just judged");
    feed.judged -= FEED_JUDGED_FOR;
    assert_eq!(told(&mut feed, 1..=1, &mut door).await, (vec![], Some(Denied::NotFound)));
}

/// A short overload ended the feeds of all registries, which then came again all at once.
#[tokio::test]
async fn a_frame_that_is_busy_for_a_moment_ends_no_feed() {
    let mut door = Door::of(&[Status::Ok, Status::Ok]);
    let mut feed = begin(Role::Registry, &mut door).await.unwrap();
    feed.judged -= FEED_JUDGED_FOR;
    assert_eq!(told(&mut feed, 1..=1, &mut door).await, (vec![1], None));
    feed.judged -= FEED_UNJUDGED_MAX;
    let ended = told(&mut feed, 1..=1, &mut door).await;
    assert_eq!(ended, (vec![], Some(Denied::Unanswered(()))));
}

#[tokio::test]
async fn nobody_is_asked_for_an_agent() {
    let mut door = Door::default();
    let mut feed = begin(Role::Agent, &mut door).await.unwrap();
    feed.judged -= FEED_JUDGED_FOR;
    assert_eq!(told(&mut feed, 1..=5, &mut door).await, (vec![1, 3, 5], None));
}
