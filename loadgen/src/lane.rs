//! One loop of the load: it plans a batch, sends it its way when its time has come, measures until
//! the answer is decoded, and books it. It never sends a batch twice: one without an answer is kept
//! for the driver to resolve.
//!
//! Invariant: in an open loop a latency begins when the request was meant to be sent, however late
//! this loop comes to send it.

mod encoder;
mod line;

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use client::{Client, Draft, Pending, Reply, Status};

use crate::load::Load;
use crate::measure::Sample;
use crate::model::Model;
use crate::pace::{Alarm, Schedule};
use crate::plan::{self, Batch, Planner};
use crate::random::Random;
use crate::run::{Progress, RunError};

pub(crate) use line::{Answered, Line};

/// Longest wait before a loop looks whether it has been stopped.
const LOOK: Duration = Duration::from_millis(100);
/// In an open loop a request is planned when an answer has come, or so long before its time: right
/// after the one before it was submitted, the connection is still sending that on the same thread.
const PLAN_AHEAD: Duration = Duration::from_millis(1);

/// How a lane's batches get to the frame.
pub(crate) enum Way {
    /// Many in flight on one connection.
    Quic(Client),
    /// One at a time; the client says the time and reads. Without one there is no frame.
    Line(Box<Line>, Option<Client>),
}

impl Way {
    const fn client(&self) -> Option<&Client> {
        match self {
            Self::Quic(client) => Some(client),
            Self::Line(_, client) => client.as_ref(),
        }
    }
}

/// One loop: its planner and what it lost.
pub(crate) struct Lane {
    pub(crate) planner: Planner,
    pub(crate) unknown: Vec<Batch>,
    pub(crate) error: Option<RunError>,
    sent: u64,
    spare: Vec<Batch>,
}

/// What every lane of a run shares.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) load: Load,
    /// Commands of each lane in a closed loop.
    pub(crate) quota: u64,
    pub(crate) started: Instant,
    pub(crate) schedule: Option<Arc<Mutex<Schedule>>>,
    pub(crate) model: Arc<Mutex<Model>>,
    pub(crate) progress: Arc<Progress>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn is_stopped(&self, lane: &Lane) -> bool {
        lane.error.is_some() || self.progress.stop.load(Ordering::Relaxed)
    }

    /// When the lane's next request is meant to be sent: as soon as it is planned, in a closed loop
    /// (`Some(None)`), or since the beginning. None when there is to be no more.
    fn next_at(&self, lane: &Lane) -> Option<Option<Duration>> {
        if self.is_stopped(lane) {
            return None;
        }
        if let Some(schedule) = &self.schedule {
            return lock(schedule).next_at().map(Some);
        }
        let is_over = lane.sent >= self.quota || self.started.elapsed() >= self.load.time_max;
        (!is_over).then_some(None)
    }

    /// Until when to wait for then; none when it is over.
    fn until(&self, meant: Option<Duration>) -> Option<Instant> {
        let now = Instant::now();
        let look = now + LOOK;
        let at = self.started.checked_add(meant?).unwrap_or(look);
        (at > now).then(|| at.min(look))
    }

    /// The beginning of a request that is sent now.
    fn begin(&self, meant: Option<Duration>) -> Begun {
        let now = self.started.elapsed();
        let at = meant.unwrap_or(now);
        Begun { at, late: now.saturating_sub(at) }
    }
}

/// When a request began, and how late it was sent.
#[derive(Clone, Copy)]
struct Begun {
    at: Duration,
    late: Duration,
}

/// The request to be sent next.
struct Next {
    meant: Option<Duration>,
    planned: Option<(Batch, Draft)>,
}

impl Next {
    /// When it has to be planned at the latest: in a closed loop at once.
    fn plan_by(&self) -> Option<Duration> {
        Some(self.meant?.saturating_sub(PLAN_AHEAD))
    }

    /// When there is something to do for it.
    fn due(&self) -> Option<Duration> {
        if self.planned.is_some() { self.meant } else { self.plan_by() }
    }
}

impl Lane {
    pub(crate) const fn new(planner: Planner) -> Self {
        Self { planner, unknown: Vec::new(), error: None, sent: 0, spare: Vec::new() }
    }

    /// Sends until a limit, a stop or an error.
    pub(crate) async fn run(mut self, way: Way, shared: Shared) -> Self {
        let clock = Clock::new(way.client(), shared.started);
        let mut alarm = match Alarm::new() {
            Ok(alarm) => alarm,
            Err(error) => {
                self.error = Some(RunError::Timer(error));
                return self;
            }
        };
        match way {
            Way::Quic(client) => self.over_quic(&client, &shared, &clock, &mut alarm).await,
            Way::Line(line, client) => {
                self.over_line(line, client.as_ref(), &shared, &clock, &mut alarm).await;
            }
        }
        self
    }

    async fn over_quic(
        &mut self,
        client: &Client,
        shared: &Shared,
        clock: &Clock,
        alarm: &mut Alarm,
    ) {
        let load = &shared.load;
        let mut random = reads_of(load, Some(client));
        let mut in_flight: VecDeque<(Batch, Pending, Begun)> = VecDeque::new();
        let mut next: Option<Next> = None;
        let mut is_sending = false;
        loop {
            let room = in_flight.len() < load.in_flight.max(1) as usize;
            if room && next.is_none() {
                next = shared.next_at(self).map(|meant| Next { meant, planned: None });
            }
            if shared.is_stopped(self) {
                next = None;
            }
            let wait = next.as_ref().and_then(|next| shared.until(next.due()));
            if let Some(next) = &mut next
                && next.planned.is_none()
                && (!is_sending || wait.is_none())
            {
                next.planned = Some(self.plan(client, load.batch, clock));
                continue;
            }
            if wait.is_none()
                && let Some(Next { meant, planned: Some((batch, draft)) }) = next.take()
            {
                let begun = shared.begin(meant);
                match client.submit_draft(draft).await {
                    Ok(pending) => in_flight.push_back((batch, pending, begun)),
                    Err(error) => self.lose(batch, RunError::Client("sending", error)),
                }
                self.sent += load.batch as u64;
                is_sending = true;
                continue;
            }
            let reply = match (in_flight.front_mut(), wait) {
                (None, None) => break,
                (None, Some(at)) => {
                    self.sleep(alarm, at).await;
                    continue;
                }
                (Some((_, pending, _)), None) => pending.await,
                (Some((_, pending, _)), Some(at)) => tokio::select! {
                    biased;
                    reply = pending => reply,
                    () = self.sleep(alarm, at) => continue,
                },
            };
            let (batch, _, begun) = in_flight.pop_front().expect("its answer has just come");
            is_sending = false;
            self.take_reply(batch, begun, reply, shared);
            self.read_now_and_then(client, shared, &mut random).await;
        }
    }

    fn plan(&mut self, client: &Client, commands: usize, clock: &Clock) -> (Batch, Draft) {
        let (mut batch, mut draft) = (self.spare_batch(), client.draft(commands));
        self.planner.plan(commands, clock.now_ms(), &mut batch, |command| draft.push(command));
        (batch, draft)
    }

    fn take_reply(
        &mut self,
        batch: Batch,
        begun: Begun,
        reply: Result<Reply, client::Error>,
        shared: &Shared,
    ) {
        match reply {
            Ok(reply) => {
                let answered = Answered {
                    stamps: reply.head().stamps,
                    outcomes: reply.outcomes(),
                    refused: reply.refused().map(Status::name),
                };
                self.answered(&batch, &answered, begun, shared);
                self.spare.push(batch);
            }
            Err(error) => self.lose(batch, RunError::Client("waiting", error)),
        }
    }

    async fn over_line(
        &mut self,
        mut line: Box<Line>,
        client: Option<&Client>,
        shared: &Shared,
        clock: &Clock,
        alarm: &mut Alarm,
    ) {
        let load = &shared.load;
        let mut random = reads_of(load, client);
        while let Some(meant) = shared.next_at(self) {
            let mut batch = self.spare_batch();
            line.plan(&mut self.planner, load.batch, clock.now_ms(), &mut batch);
            while let Some(at) = shared.until(meant) {
                if shared.is_stopped(self) {
                    return;
                }
                self.sleep(alarm, at).await;
            }
            let begun = shared.begin(meant);
            match line.exchange().await {
                Ok(answered) => {
                    self.answered(&batch, &answered, begun, shared);
                    self.spare.push(batch);
                }
                Err(error) => self.lose(batch, RunError::Https("waiting", error)),
            }
            self.sent += load.batch as u64;
            if let Some(client) = client {
                self.read_now_and_then(client, shared, &mut random).await;
            }
        }
    }

    fn spare_batch(&mut self) -> Batch {
        self.spare.pop().unwrap_or_default()
    }

    async fn sleep(&mut self, alarm: &mut Alarm, at: Instant) {
        if let Err(error) = alarm.wait(at).await {
            self.error = Some(RunError::Timer(error));
        }
    }

    fn lose(&mut self, batch: Batch, error: RunError) {
        self.unknown.push(batch);
        self.error = Some(error);
    }

    fn answered(&mut self, batch: &Batch, answered: &Answered<'_>, begun: Begun, shared: &Shared) {
        let Shared { model, progress, .. } = shared;
        let at = shared.started.elapsed();
        let count = batch.len() as u64;
        let mut recorder = lock(&progress.recorder);
        let refused = match answered.refused {
            Some(name) => {
                recorder.refuse(name, count);
                count
            }
            None => {
                let mut refused = 0;
                for outcome in answered.outcomes.iter().filter(|outcome| !outcome.status.is_ok()) {
                    recorder.refuse(outcome.status.name(), 1);
                    refused += 1;
                }
                refused
            }
        };
        let latency = at.saturating_sub(begun.at);
        let executed = count - refused;
        let (late, stamps) = (begun.late, answered.stamps);
        let is_cold = at < shared.load.warm_up;
        recorder.answered(&Sample { at, latency, late, stamps, executed, is_cold });
        drop(recorder);
        progress.executed.fetch_add(executed, Ordering::Relaxed);
        progress.refused.fetch_add(refused, Ordering::Relaxed);
        if answered.refused.is_none() {
            self.planner.book(batch, answered.outcomes, &mut lock(model));
        }
    }

    async fn read_now_and_then(&mut self, client: &Client, shared: &Shared, random: &mut Random) {
        let load = &shared.load;
        if load.mix.reads == 0
            || u64::from(load.mix.reads) <= random.below(100)
            || self.error.is_some()
        {
            return;
        }
        let reads = plan::reads(load.seed, load.accounts, load.batch.min(64), random);
        match client.read(&reads).await {
            Ok(answers) => lock(&shared.progress.recorder).read(answers.len() as u64),
            Err(error) => self.error = Some(RunError::Client("reading", error)),
        }
    }
}

/// The time of this machine's clock.
pub(crate) fn unix_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(0))
}

/// The stream that says which accounts are read.
fn reads_of(load: &Load, client: Option<&Client>) -> Random {
    Random::new(load.seed ^ client.map_or(0, |client| u64::from(client.hello().principal as u32)))
}

/// The frame's time, for ids: as it said when the connection was made, and what has passed since.
struct Clock {
    anchor_ms: u64,
    started: Instant,
}

impl Clock {
    fn new(client: Option<&Client>, started: Instant) -> Self {
        let anchor_ms = match client {
            Some(client) => client.hello().timestamp / 1_000_000,
            None => unix_ms(),
        };
        Self { anchor_ms, started }
    }

    fn now_ms(&self) -> u64 {
        self.anchor_ms + u64::try_from(self.started.elapsed().as_millis()).unwrap_or(0)
    }
}
