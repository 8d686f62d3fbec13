//! A made-up history that is followed: what the engine tells, and its journal.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use gateway::{Config, FeedLimits, Feeds, Present, Round};
use protocol::effect::{Effect, Event};
use protocol::feed::{Followed, Interest};
use protocol::ids::parse_uuid;

use crate::support::{AGENT, Frame};

/// The agent whose identity the frame's clients mostly have.
pub(crate) fn agent() -> u128 {
    parse_uuid(AGENT).unwrap()
}

/// Everything that was executed.
#[derive(Default)]
pub(crate) struct History {
    effects: Vec<Followed>,
    executed: u64,
    interest: Option<Interest>,
    told: VecDeque<Vec<Followed>>,
    /// What the journal no longer holds.
    pub(crate) forgotten: u64,
    /// The engine does not take note of what is followed.
    pub(crate) is_deaf: bool,
}

#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<History>>);

impl Told {
    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.0.lock().unwrap()
    }

    /// One more command, with this effect.
    pub(crate) fn execute(&self, effect: Effect) {
        self.execute_at(effect, 1_700_000_000_000_000_000);
    }

    /// One more command, with this effect at this time.
    pub(crate) fn execute_at(&self, effect: Effect, timestamp_ns: u64) {
        let mut history = self.history();
        history.executed += 1;
        let sequence = history.executed;
        let effect = Effect { sequence, ..effect };
        let followed =
            Followed { effect, command: u128::from(sequence) + (1 << 100), timestamp_ns, epoch: 3 };
        history.effects.push(followed);
        if history.interest.as_ref().is_some_and(|interest| interest.wants_effect(&effect)) {
            history.told.push_back(vec![followed]);
        }
    }

    /// So many payments of the agent.
    pub(crate) fn pay(&self, count: usize) {
        (0..count).for_each(|_| self.execute(paid(agent(), 5 << 64)));
    }
}

/// A payment of one minor unit.
pub(crate) fn paid(debit: u128, credit: u128) -> Effect {
    Effect {
        event: Event::TokensTransferred.number(),
        asset: 1,
        debit,
        credit,
        amount: 1,
        debit_after: 7,
        credit_after: 8,
        debit_bucket: 1,
        credit_bucket: 1,
        ..Effect::default()
    }
}

/// That an owner is now another's.
pub(crate) fn moved(owner: u128) -> Effect {
    let event = Event::OwnerRehosted.number();
    Effect { event, debit: owner, credit: 9 << 64, ..Effect::default() }
}

impl Present for Told {
    fn follow(&mut self, interest: Option<Interest>) -> Option<u64> {
        let mut history = self.history();
        history.interest = interest;
        (!history.is_deaf).then_some(history.executed)
    }

    fn executed(&mut self) -> u64 {
        self.history().executed
    }

    fn next(&mut self) -> Option<Vec<Followed>> {
        self.history().told.pop_front()
    }

    fn left_out(&mut self) -> u64 {
        0
    }

    fn durable(&mut self) -> u64 {
        self.history().executed
    }

    fn reaches_back_to(&mut self) -> Option<u64> {
        Some(self.history().forgotten)
    }
}

/// A frame that serves feeds, and the threads that drive them.
pub(crate) struct Following {
    pub(crate) frame: Frame,
    pub(crate) feeds: Arc<Feeds>,
    pub(crate) told: Told,
    threads: Vec<JoinHandle<()>>,
}

impl Following {
    pub(crate) async fn start(followers_max: usize) -> Self {
        Self::with(followers_max, |_| {}).await
    }

    /// Feeds that are open now.
    pub(crate) fn open(&self) -> u64 {
        self.frame.metric("feeds_open")
    }

    pub(crate) async fn with(followers_max: usize, configure: impl FnOnce(&mut Config)) -> Self {
        let feeds = Feeds::new(FeedLimits {
            followers_max,
            tail_size: 1 << 20,
            replay_pauses: (Duration::ZERO, Duration::ZERO),
        });
        let told = Told::default();
        let (pumped, mut present) = (Arc::clone(&feeds), told.clone());
        let pump = move || while pumped.pump(&mut present, Duration::from_millis(1)) {};
        let (behind, journal) = (Arc::clone(&feeds), told.clone());
        let rounds = move || {
            while let Some(round) = behind.next_round() {
                retell(&behind, &journal, round);
            }
        };
        let threads = vec![std::thread::spawn(pump), std::thread::spawn(rounds)];
        let mut frame = Frame::start();
        frame.feeds = Some(Arc::clone(&feeds));
        frame.reopen(configure).await;
        Self { frame, feeds, told, threads }
    }

    pub(crate) async fn stop(self) {
        self.frame.stop().await;
        assert!(self.feeds.is_closed());
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

/// The replay: ten commands a record.
fn retell(feeds: &Feeds, journal: &Told, mut round: Round) {
    let mut at = round.after();
    while !round.is_done() && !feeds.is_closed() {
        let history = journal.history();
        let through = (at + 10).min(history.executed);
        let record = history
            .effects
            .iter()
            .filter(|one| at < one.effect.sequence && one.effect.sequence <= through);
        let record: Vec<_> = record.copied().collect();
        drop(history);
        at = through;
        round.tell(&record, at);
        let _ = round.take_in();
    }
}
