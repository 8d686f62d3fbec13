//! Driving a frame: accounts opened and funded, connections that keep requests in flight, answers
//! booked, and the comparison at the end. All network use of the crate is here.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use client::{Client, Connector, Error, Expected, FileSource, Options, Pending, Reply};
use protocol::ids::NATIVE;
use protocol::parameter::Parameter;
use protocol::{Command, CommandId, OwnerId, system};

use crate::model::Model;
use crate::plan::{self, Batch, EXPIRING_MS, Mix, Planner, owner};
use crate::random::Random;
use crate::report::{Agreement, Measured, Settings};
use crate::skew::Skew;

/// Units every account is given, in minor units: enough for any run.
pub const FUNDS: u128 = 1_000_000_000_000;
/// Commands a request while accounts are opened and compared.
const SETUP_BATCH: usize = 4_096;
/// Requests in flight while accounts are opened, funded and compared.
const SETUP_IN_FLIGHT: usize = 8;
/// Differences told in words.
const EXAMPLES_MAX: usize = 5;

/// Why a run ended early.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// An identity directory cannot be used.
    Identity(PathBuf, String),
    /// The connection or a request failed.
    Client(&'static str, Error),
    /// A command that must succeed was refused.
    Refused(&'static str, protocol::Status),
}

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Identity(dir, cause) => write!(f, "{}: {cause}", dir.display()),
            Self::Client(doing, error) => write!(f, "{doing}: {error}"),
            Self::Refused(doing, status) => {
                write!(f, "{doing}: refused {status}; {}", status.cure())
            }
        }
    }
}

impl std::error::Error for RunError {}

/// Where the frame is and with whose identities the load comes.
#[derive(Clone, Debug)]
pub struct Target {
    /// Address of its QUIC door.
    pub addr: std::net::SocketAddr,
    /// Identity directory of the registry that hosts the accounts.
    pub registry: PathBuf,
    /// Identity directory of the mint role.
    pub mint: PathBuf,
}

/// What to send.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Seed: the same seed gives the same owners and payments.
    pub seed: u64,
    /// Accounts.
    pub accounts: u32,
    /// Spread over the accounts.
    pub skew: Skew,
    /// Kinds of commands.
    pub mix: Mix,
    /// Commands a request.
    pub batch: usize,
    /// Connections.
    pub connections: u16,
    /// Requests unanswered at once on each connection.
    pub in_flight: u32,
    /// Stop after so many commands, all connections together.
    pub commands_max: u64,
    /// Stop after this time.
    pub time_max: Duration,
}

impl Load {
    /// As the report names it.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            seed: self.seed,
            accounts: self.accounts,
            skew: format!("{:?}", self.skew).to_lowercase(),
            batch: self.batch,
            connections: self.connections,
            in_flight: self.in_flight,
            holds_percent: self.mix.holds,
            reads_percent: self.mix.reads,
        }
    }
}

/// Connects with the identity in `dir`.
///
/// # Errors
///
/// When the identity cannot be used or the frame not be reached.
pub async fn connect(
    addr: std::net::SocketAddr,
    dir: &Path,
    options: Options,
) -> Result<Client, RunError> {
    let connector = connector(addr, dir, options)?;
    Client::open(&connector).await.map_err(|error| RunError::Client("connecting", error))
}

/// What [`connect`] connects with, for those who connect again.
///
/// # Errors
///
/// When the identity cannot be used.
pub fn connector(
    addr: std::net::SocketAddr,
    dir: &Path,
    options: Options,
) -> Result<Connector, RunError> {
    let bad = |cause: String| RunError::Identity(dir.to_owned(), cause);
    let source = Arc::new(FileSource::open(dir).map_err(|error| bad(error.to_string()))?);
    let expected = Expected::Frame(source.current().trust_domain().clone());
    Connector::new(addr, &source, expected, options)
        .map_err(|error| RunError::Client("connecting", error))
}

/// What a progress line may read while a run goes on, and how others may end it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Commands executed.
    pub executed: AtomicU64,
    /// Commands refused.
    pub refused: AtomicU64,
    /// Set to end the run before its limits.
    pub stop: AtomicBool,
    /// Measured since it was last taken.
    recent: Mutex<Measured>,
    clients: Mutex<Vec<Client>>,
}

impl Progress {
    /// What was measured since the last call.
    pub fn take_recent(&self) -> Measured {
        std::mem::take(&mut *self.recent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives up every connection at once, as after a crash of the frame: a killed process says no
    /// goodbye, and waiting for the silence to be noticed would take the idle timeout.
    pub fn disconnect(&self) {
        for client in self.clients.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            client.close();
        }
    }
}

/// A load under way against one frame: its book and its planners outlive connections and crashes.
#[derive(Debug)]
pub struct Driver {
    load: Load,
    model: Arc<Mutex<Model>>,
    planners: Vec<Planner>,
    unknown: Vec<(usize, Batch)>,
    fees_before: i128,
    collector: OwnerId,
    /// How connections ended that did not end with the load.
    pub errors: Vec<Error>,
    /// What the run has measured so far.
    pub measured: Measured,
    /// For a progress line.
    pub progress: Arc<Progress>,
}

struct Lane {
    planner: Planner,
    measured: Measured,
    unknown: Vec<Batch>,
    error: Option<Error>,
}

fn lock(model: &Mutex<Model>) -> std::sync::MutexGuard<'_, Model> {
    model.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Driver {
    /// Opens and funds the accounts of `load`.
    ///
    /// # Errors
    ///
    /// When the frame cannot be reached or refuses.
    pub async fn prepare(target: &Target, load: Load) -> Result<Self, RunError> {
        let registry = connect(target.addr, &target.registry, Options::default()).await?;
        let mint = connect(target.addr, &target.mint, Options::default()).await?;
        let base = registry
            .ask(client::query::parameter(Parameter::FeeBase.number(), 0))
            .await
            .map_err(|error| RunError::Client("reading fee.base", error))?
            .value;
        let base = u32::try_from(base).unwrap_or(u32::MAX);
        let mut model = Model::new(load.accounts, base);
        let mut ids = registry.ids();
        let open = |place| Command::open(ids.next_id(), owner(load.seed, place), NATIVE);
        send_all(&registry, "opening accounts", load.accounts, open).await?;
        let mut ids = mint.ids();
        let issue = |place| Command::issue(ids.next_id(), owner(load.seed, place), NATIVE, FUNDS);
        send_all(&mint, "issuing funds", load.accounts, issue).await?;
        for place in 0..load.accounts {
            model.issue(place, FUNDS);
        }
        let first = registry.ask(client::query::account(owner(load.seed, 0), NATIVE)).await;
        let host = first.map_err(|error| RunError::Client("reading an account", error))?.host;
        let collector = system::fee_collector(host);
        let fees_before = liquid(&registry, collector).await?;
        let planners = (0..load.connections)
            .map(|lane| Planner::new(load.seed, lane, load.accounts, load.skew, load.mix))
            .collect();
        Ok(Self {
            load,
            model: Arc::new(Mutex::new(model)),
            planners,
            unknown: Vec::new(),
            fees_before,
            collector,
            errors: Vec::new(),
            measured: Measured::default(),
            progress: Arc::new(Progress::default()),
        })
    }

    /// Requests whose answers were lost with a connection.
    #[must_use]
    pub fn unknown(&self) -> usize {
        self.unknown.len()
    }

    /// Runs the load until a limit, a stop or the loss of every connection; returns the time from
    /// the first request to the last answer. Lost answers are kept for [`Self::resolve`].
    ///
    /// # Errors
    ///
    /// When no connection can be made at all.
    pub async fn drive(&mut self, target: &Target) -> Result<Duration, RunError> {
        let options = || {
            let mut options = Options::default();
            options.in_flight_max = self.load.in_flight.max(1);
            options
        };
        let mut clients = Vec::new();
        for _ in 0..self.planners.len() {
            clients.push(connect(target.addr, &target.registry, options()).await?);
        }
        *self.progress.clients.lock().unwrap_or_else(PoisonError::into_inner) = clients.clone();
        let started = Instant::now();
        let quota = self.load.commands_max.div_ceil(u64::from(self.load.connections.max(1)));
        let lanes: Vec<_> = self
            .planners
            .drain(..)
            .zip(clients)
            .map(|(planner, client)| {
                let (load, model) = (self.load, Arc::clone(&self.model));
                let progress = Arc::clone(&self.progress);
                tokio::spawn(run_lane(load, quota, client, planner, model, progress))
            })
            .collect();
        for (at, lane) in lanes.into_iter().enumerate() {
            let lane = lane.await.expect("a lane does not panic");
            self.measured.add(&lane.measured);
            self.unknown.extend(lane.unknown.into_iter().map(|batch| (at, batch)));
            self.planners.push(lane.planner);
            self.errors.extend(lane.error);
        }
        Ok(started.elapsed())
    }

    /// Sends every request whose answer was lost again, with the same ids, and books the answers:
    /// what had been executed answers as before, what had not is executed now.
    ///
    /// # Errors
    ///
    /// When the frame cannot be reached; what is still unknown is kept.
    pub async fn resolve(&mut self, target: &Target) -> Result<(u64, u64), RunError> {
        let client = connect(target.addr, &target.registry, Options::default()).await?;
        let (mut repeated, mut fresh) = (0, 0);
        while let Some((lane, batch)) = self.unknown.last() {
            let reply = client.request(&batch.commands).await;
            let reply = reply.map_err(|error| RunError::Client("resolving", error))?;
            if let Some(status) = reply.refused() {
                return Err(RunError::Refused("resolving", status));
            }
            let repeats = reply.outcomes().iter().filter(|outcome| outcome.repeat).count() as u64;
            repeated += repeats;
            fresh += reply.outcomes().len() as u64 - repeats;
            self.planners[*lane].book(batch, reply.outcomes(), &mut lock(&self.model));
            self.unknown.pop();
        }
        Ok((repeated, fresh))
    }

    /// Waits until left holds have expired, then compares every account with the frame's.
    ///
    /// # Errors
    ///
    /// When the frame cannot be read.
    pub async fn compare(&mut self, target: &Target) -> Result<Agreement, RunError> {
        assert!(self.unknown.is_empty(), "resolve unknown outcomes first");
        if self.planners.iter().any(Planner::has_expiring) {
            tokio::time::sleep(Duration::from_millis(u64::from(EXPIRING_MS) + 500)).await;
            for planner in &mut self.planners {
                planner.expire(&mut lock(&self.model));
            }
        }
        let client = connect(target.addr, &target.registry, Options::default()).await?;
        let mut agreement = Agreement {
            accounts: self.load.accounts,
            differences: 0,
            examples: Vec::new(),
            supply_delta: String::new(),
        };
        let model = lock(&self.model).clone();
        for first in (0..self.load.accounts).step_by(SETUP_BATCH) {
            let until = (first + SETUP_BATCH as u32).min(self.load.accounts);
            self.compare_range(&client, &model, first..until, &mut agreement).await?;
        }
        let fees = liquid(&client, self.collector).await? - self.fees_before;
        if fees != model.fees {
            agreement.differences += 1;
            agreement.examples.push(format!("fees {fees}, expected {}", model.fees));
        }
        let supply = client.ask(client::query::supply(NATIVE)).await;
        let supply = supply.map_err(|error| RunError::Client("reading the supply", error))?;
        agreement.supply_delta = supply.delta.to_string();
        Ok(agreement)
    }

    async fn compare_range(
        &self,
        client: &Client,
        model: &Model,
        range: std::ops::Range<u32>,
        agreement: &mut Agreement,
    ) -> Result<(), RunError> {
        let reads: Vec<Command> = range
            .clone()
            .map(|place| *client::query::account(owner(self.load.seed, place), NATIVE).command())
            .collect();
        let answers = client.read(&reads).await;
        let answers = answers.map_err(|error| RunError::Client("reading accounts", error))?;
        for (place, answer) in range.zip(&answers) {
            let expected = model.accounts()[place as usize];
            let held = i128::try_from(answer.held).unwrap_or(i128::MAX);
            if answer.status != 0 || answer.liquid() != expected.liquid || held != expected.held {
                agreement.differences += 1;
                if agreement.examples.len() < EXAMPLES_MAX {
                    let (liquid, status) = (answer.liquid(), answer.status);
                    agreement.examples.push(format!(
                        "account {place}: liquid {liquid} held {held} (status {status}), \
                         expected {expected:?}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// What the book says now.
    #[must_use]
    pub fn model(&self) -> Model {
        lock(&self.model).clone()
    }

    /// Changes how long the next [`Self::drive`] goes on.
    pub const fn set_time_max(&mut self, time_max: Duration) {
        self.load.time_max = time_max;
    }

    /// The settings of this load.
    #[must_use]
    pub const fn load(&self) -> &Load {
        &self.load
    }
}

async fn liquid(client: &Client, owner: OwnerId) -> Result<i128, RunError> {
    let account = client.ask(client::query::account(owner, NATIVE)).await;
    account
        .map(|account| account.liquid)
        .map_err(|error| RunError::Client("reading the fee collector", error))
}

/// Sends one command for every place, many at a time, and insists that each is executed or was
/// before.
async fn send_all(
    client: &Client,
    doing: &'static str,
    places: u32,
    mut command: impl FnMut(u32) -> Command,
) -> Result<(), RunError> {
    let failed = |error| RunError::Client(doing, error);
    let mut in_flight: VecDeque<Pending> = VecDeque::new();
    let mut next = 0;
    while next < places || !in_flight.is_empty() {
        if next < places && in_flight.len() < SETUP_IN_FLIGHT {
            let until = (next + SETUP_BATCH as u32).min(places);
            let commands: Vec<Command> = (next..until).map(&mut command).collect();
            in_flight.push_back(client.submit(&commands).await.map_err(failed)?);
            next = until;
            continue;
        }
        let Some(pending) = in_flight.pop_front() else {
            break;
        };
        let reply = pending.await.map_err(failed)?;
        let accepted = |status| matches!(status, protocol::Status::AccountExists);
        if let Some(status) = reply.first_refusal().filter(|&status| !accepted(status)) {
            return Err(RunError::Refused(doing, status));
        }
    }
    Ok(())
}

async fn run_lane(
    load: Load,
    quota: u64,
    client: Client,
    planner: Planner,
    model: Arc<Mutex<Model>>,
    progress: Arc<Progress>,
) -> Lane {
    let mut lane =
        Lane { planner, measured: Measured::default(), unknown: Vec::new(), error: None };
    let mut random = Random::new(load.seed ^ u64::from(client.hello().principal as u32));
    let started = Instant::now();
    let anchor_ms = client.hello().timestamp / 1_000_000;
    let mut in_flight: VecDeque<(Batch, Pending, Instant)> = VecDeque::new();
    let mut sent = 0;
    loop {
        let over = sent >= quota
            || started.elapsed() >= load.time_max
            || lane.error.is_some()
            || progress.stop.load(Ordering::Relaxed);
        if !over && in_flight.len() < load.in_flight.max(1) as usize {
            let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(0);
            let batch = lane.planner.batch(load.batch, anchor_ms + elapsed_ms);
            let at = Instant::now();
            match client.submit(&batch.commands).await {
                Ok(pending) => in_flight.push_back((batch, pending, at)),
                Err(error) => {
                    lane.unknown.push(batch);
                    lane.error = Some(error);
                }
            }
            sent += load.batch as u64;
            continue;
        }
        let Some((batch, pending, at)) = in_flight.pop_front() else {
            break;
        };
        match pending.await {
            Ok(reply) => lane.answered(&batch, &reply, at.elapsed(), &model, &progress),
            Err(error) => {
                lane.unknown.push(batch);
                lane.error = Some(error);
            }
        }
        if u64::from(load.mix.reads) > random.below(100) && lane.error.is_none() {
            lane.read(&client, &load, &mut random).await;
        }
    }
    lane
}

impl Lane {
    fn answered(
        &mut self,
        batch: &Batch,
        reply: &Reply,
        latency: Duration,
        model: &Mutex<Model>,
        progress: &Progress,
    ) {
        self.measured.answered(latency, reply.head());
        let mut recent = progress.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.answered(latency, reply.head());
        drop(recent);
        if let Some(status) = reply.refused() {
            let count = batch.commands.len() as u64;
            *self.measured.refused.entry(status.name()).or_default() += count;
            progress.refused.fetch_add(count, Ordering::Relaxed);
            return;
        }
        let mut refused = 0;
        if !reply.is_all_ok() {
            for outcome in reply.outcomes().iter().filter(|outcome| !outcome.status.is_ok()) {
                *self.measured.refused.entry(outcome.status.name()).or_default() += 1;
                refused += 1;
            }
        }
        let executed = batch.commands.len() as u64 - refused;
        self.measured.executed += executed;
        progress.executed.fetch_add(executed, Ordering::Relaxed);
        progress.refused.fetch_add(refused, Ordering::Relaxed);
        self.planner.book(batch, reply.outcomes(), &mut lock(model));
    }

    async fn read(&mut self, client: &Client, load: &Load, random: &mut Random) {
        let count = load.batch.min(64);
        let reads = plan::reads(load.seed, load.accounts, count, random);
        match client.read(&reads).await {
            Ok(answers) => self.measured.reads += answers.len() as u64,
            Err(error) => self.error = Some(error),
        }
    }
}

/// Pays every payment of a file, opening and funding its owners first; returns the outcomes.
///
/// # Errors
///
/// When the frame cannot be reached or an owner cannot be opened.
pub async fn pay_file(
    target: &Target,
    payments: &[crate::payments::Payment],
    batch: usize,
) -> Result<Vec<protocol::reply::Outcome>, RunError> {
    let registry = connect(target.addr, &target.registry, Options::default()).await?;
    let mint = connect(target.addr, &target.mint, Options::default()).await?;
    let mut owners: Vec<OwnerId> =
        payments.iter().flat_map(|payment| [payment.from, payment.to]).collect();
    owners.sort_unstable();
    owners.dedup();
    let count = u32::try_from(owners.len()).unwrap_or(u32::MAX);
    let mut ids = registry.ids();
    let open = |place: u32| Command::open(ids.next_id(), owners[place as usize], NATIVE);
    send_all(&registry, "opening accounts", count, open).await?;
    let mut ids = mint.ids();
    let fund = |place: u32| Command::issue(ids.next_id(), owners[place as usize], NATIVE, FUNDS);
    send_all(&mint, "issuing funds", count, fund).await?;
    let mut ids = registry.ids();
    let started = Instant::now();
    let mut outcomes = Vec::with_capacity(payments.len());
    for group in payments.chunks(batch.max(1)) {
        if let Some(at_ms) = group.first().and_then(|payment| payment.at_ms) {
            tokio::time::sleep_until((started + Duration::from_millis(at_ms)).into()).await;
        }
        let pay = |payment: &crate::payments::Payment| {
            Command::transfer(ids.next_id(), payment.from, payment.to, NATIVE, payment.amount)
        };
        let commands: Vec<Command> = group.iter().map(pay).collect();
        let reply = registry.request(&commands).await;
        let reply = reply.map_err(|error| RunError::Client("paying", error))?;
        if let Some(status) = reply.refused() {
            return Err(RunError::Refused("paying", status));
        }
        outcomes.extend_from_slice(reply.outcomes());
    }
    Ok(outcomes)
}

/// An id for a single command made now by a client.
#[must_use]
pub fn one_id(client: &Client) -> CommandId {
    client.ids().next_id()
}
