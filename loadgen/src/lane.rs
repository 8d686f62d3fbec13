//! One loop of the load: it plans a batch, sends it its way, measures until the answer is decoded,
//! and books it. It never sends a batch twice: one without an answer is kept for the driver to
//! resolve.

mod line;

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use client::{Client, Pending, Status};

use crate::model::Model;
use crate::plan::{self, Batch, Planner};
use crate::random::Random;
use crate::report::Measured;
use crate::run::{Load, Progress, RunError};

pub(crate) use line::{Answered, Line};

/// How a lane's batches get to the frame.
pub(crate) enum Way {
    /// Many in flight on one connection.
    Quic(Client),
    /// One at a time; the client says the time and reads.
    Https(Box<Line>, Client),
}

/// One loop: its planner, what it measured, and what it lost.
pub(crate) struct Lane {
    pub(crate) planner: Planner,
    pub(crate) measured: Measured,
    pub(crate) unknown: Vec<Batch>,
    pub(crate) error: Option<RunError>,
}

/// What every lane of a run shares.
struct Shared {
    load: Load,
    quota: u64,
    started: Instant,
    anchor_ms: u64,
    model: Arc<Mutex<Model>>,
    progress: Arc<Progress>,
}

pub(crate) fn lock(model: &Mutex<Model>) -> std::sync::MutexGuard<'_, Model> {
    model.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn is_over(&self, sent: u64, lane: &Lane) -> bool {
        sent >= self.quota
            || self.started.elapsed() >= self.load.time_max
            || lane.error.is_some()
            || self.progress.stop.load(Ordering::Relaxed)
    }

    fn plan(&self, lane: &mut Lane) -> Batch {
        let elapsed_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(0);
        lane.planner.batch(self.load.batch, self.anchor_ms + elapsed_ms)
    }
}

impl Lane {
    pub(crate) fn new(planner: Planner) -> Self {
        Self { planner, measured: Measured::default(), unknown: Vec::new(), error: None }
    }

    /// Sends until a limit, a stop or an error.
    pub(crate) async fn run(
        mut self,
        load: Load,
        quota: u64,
        way: Way,
        model: Arc<Mutex<Model>>,
        progress: Arc<Progress>,
    ) -> Self {
        let (Way::Quic(client) | Way::Https(_, client)) = &way;
        let client = client.clone();
        let anchor_ms = client.hello().timestamp / 1_000_000;
        let started = Instant::now();
        let shared = Shared { load, quota, started, anchor_ms, model, progress };
        match way {
            Way::Quic(client) => self.over_quic(&client, &shared).await,
            Way::Https(line, client) => self.over_https(line, &client, &shared).await,
        }
        self
    }

    async fn over_quic(&mut self, client: &Client, shared: &Shared) {
        let load = &shared.load;
        let mut random = Random::new(load.seed ^ u64::from(client.hello().principal as u32));
        let mut in_flight: VecDeque<(Batch, Pending, Instant)> = VecDeque::new();
        let mut sent = 0;
        loop {
            let room = in_flight.len() < load.in_flight.max(1) as usize;
            if room && !shared.is_over(sent, self) {
                let batch = shared.plan(self);
                let at = Instant::now();
                match client.submit(&batch.commands).await {
                    Ok(pending) => in_flight.push_back((batch, pending, at)),
                    Err(error) => self.lose(batch, RunError::Client("sending", error)),
                }
                sent += load.batch as u64;
                continue;
            }
            let Some((batch, pending, at)) = in_flight.pop_front() else {
                break;
            };
            match pending.await {
                Ok(reply) => {
                    let answered = Answered {
                        head: *reply.head(),
                        outcomes: reply.outcomes(),
                        refused: reply.refused().map(Status::name),
                    };
                    self.answered(&batch, &answered, at.elapsed(), shared);
                }
                Err(error) => self.lose(batch, RunError::Client("waiting", error)),
            }
            self.read_now_and_then(client, load, &mut random).await;
        }
    }

    async fn over_https(&mut self, mut line: Box<Line>, client: &Client, shared: &Shared) {
        let load = &shared.load;
        let mut random = Random::new(load.seed ^ u64::from(client.hello().principal as u32));
        let mut sent = 0;
        while !shared.is_over(sent, self) {
            let batch = shared.plan(self);
            let at = Instant::now();
            match line.exchange(&batch.commands).await {
                Ok(answered) => self.answered(&batch, &answered, at.elapsed(), shared),
                Err(error) => self.lose(batch, RunError::Https("waiting", error)),
            }
            sent += load.batch as u64;
            self.read_now_and_then(client, load, &mut random).await;
        }
    }

    fn lose(&mut self, batch: Batch, error: RunError) {
        self.unknown.push(batch);
        self.error = Some(error);
    }

    fn answered(
        &mut self,
        batch: &Batch,
        answered: &Answered<'_>,
        latency: Duration,
        shared: &Shared,
    ) {
        let Shared { model, progress, .. } = shared;
        self.measured.answered(latency, &answered.head);
        let mut recent = progress.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.answered(latency, &answered.head);
        drop(recent);
        if let Some(name) = answered.refused {
            let count = batch.commands.len() as u64;
            *self.measured.refused.entry(name).or_default() += count;
            progress.refused.fetch_add(count, Ordering::Relaxed);
            return;
        }
        let mut refused = 0;
        for outcome in answered.outcomes.iter().filter(|outcome| !outcome.status.is_ok()) {
            *self.measured.refused.entry(outcome.status.name()).or_default() += 1;
            refused += 1;
        }
        let executed = batch.commands.len() as u64 - refused;
        self.measured.executed += executed;
        progress.executed.fetch_add(executed, Ordering::Relaxed);
        progress.refused.fetch_add(refused, Ordering::Relaxed);
        self.planner.book(batch, answered.outcomes, &mut lock(model));
    }

    async fn read_now_and_then(&mut self, client: &Client, load: &Load, random: &mut Random) {
        if u64::from(load.mix.reads) <= random.below(100) || self.error.is_some() {
            return;
        }
        let count = load.batch.min(64);
        let reads = plan::reads(load.seed, load.accounts, count, random);
        match client.read(&reads).await {
            Ok(answers) => self.measured.reads += answers.len() as u64,
            Err(error) => self.error = Some(RunError::Client("reading", error)),
        }
    }
}
