//! Driving a frame: accounts opened and funded, connections that keep requests in flight, answers
//! booked, and the comparison at the end. What one connection does is in `lane`.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use client::{Client, Connector, Error, Expected, FileSource, Options, Pending};
use protocol::ids::NATIVE;
use protocol::parameter::Parameter;
use protocol::{Command, CommandId, OwnerId, system};

use crate::https::{Http2, HttpsConnector, HttpsError};
use crate::lane::{Lane, Line, Way, lock};
use crate::model::Model;
use crate::plan::{Batch, EXPIRING_MS, Mix, Planner, owner};
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
/// How late a frame on a busy machine may be with expiries, beyond half a second.
const EXPIRY_LATE_MAX: Duration = Duration::from_secs(10);
/// From one comparison to the next meanwhile.
const EXPIRY_LOOK: Duration = Duration::from_millis(250);

/// Why a run ended early.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// An identity directory cannot be used.
    Identity(PathBuf, String),
    /// The connection or a request failed.
    Client(&'static str, Error),
    /// The same over HTTPS.
    Https(&'static str, HttpsError),
    /// The target has no HTTPS address.
    NoHttps,
    /// A command that must succeed was refused.
    Refused(&'static str, protocol::Status),
}

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Identity(dir, cause) => write!(f, "{}: {cause}", dir.display()),
            Self::Client(doing, error) => write!(f, "{doing}: {error}"),
            Self::Https(doing, error) => write!(f, "{doing} over HTTPS: {error}"),
            Self::NoHttps => f.write_str("the frame has no HTTPS door; name its address"),
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
    /// Address of its HTTPS door, for loads that go there.
    pub https: Option<std::net::SocketAddr>,
    /// Identity directory of the registry that hosts the accounts.
    pub registry: PathBuf,
    /// Identity directory of the mint role.
    pub mint: PathBuf,
}

/// Which way a load goes in. Accounts are opened, read and compared over QUIC, and lost answers
/// resolved there, whichever it is: the id is the same through every door.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Door {
    /// Requests on one QUIC stream a connection.
    #[default]
    Quic,
    /// One command a request, as JSON over HTTP/1.1.
    HttpsJson,
    /// Batches over HTTP/1.1: a connection for each request in flight.
    HttpsBinary,
    /// Batches over HTTP/2, all those in flight on one connection.
    HttpsBinaryH2,
}

impl Door {
    /// As the command line names it.
    fn name(self) -> String {
        let value = clap::ValueEnum::to_possible_value(&self);
        value.map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// What to send.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Which way in.
    pub door: Door,
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
    /// Loops that each plan, send and book: one a connection over QUIC, which keeps many requests
    /// in flight; else one for each request in flight.
    fn lanes(&self) -> u16 {
        let each = if self.door == Door::Quic { 1 } else { self.in_flight.max(1) };
        self.connections.max(1).saturating_mul(u16::try_from(each).unwrap_or(u16::MAX))
    }

    /// As the report names it.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            door: self.door.name(),
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
    pub(crate) recent: Mutex<Measured>,
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
    /// Digits after the point of the native asset.
    scale: u16,
    fees_before: i128,
    collector: OwnerId,
    /// How connections ended that did not end with the load.
    pub errors: Vec<RunError>,
    /// What the run has measured so far.
    pub measured: Measured,
    /// For a progress line.
    pub progress: Arc<Progress>,
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
        let native = registry.ask(client::query::asset(NATIVE)).await;
        let native = native.map_err(|error| RunError::Client("reading the asset", error))?;
        let planners = (0..load.lanes())
            .map(|lane| Planner::new(load.seed, lane, load.accounts, load.skew, load.mix))
            .collect();
        Ok(Self {
            load,
            model: Arc::new(Mutex::new(model)),
            planners,
            unknown: Vec::new(),
            scale: u16::try_from(native.scale).unwrap_or(u16::MAX),
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
        let ways = self.ways(target).await?;
        let quota = self.load.commands_max.div_ceil(u64::from(self.load.lanes()));
        let started = Instant::now();
        let lanes: Vec<_> = self
            .planners
            .drain(..)
            .zip(ways)
            .map(|(planner, way)| {
                let (load, model) = (self.load, Arc::clone(&self.model));
                let progress = Arc::clone(&self.progress);
                tokio::spawn(Lane::new(planner).run(load, quota, way, model, progress))
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

    /// A way in for each lane, connected.
    async fn ways(&self, target: &Target) -> Result<Vec<Way>, RunError> {
        let load = &self.load;
        let mut options = Options::default();
        options.in_flight_max = load.in_flight.max(1);
        let mut clients = Vec::new();
        // Over HTTPS one connection over QUIC says the frame's time and carries the reads.
        let count = if load.door == Door::Quic { load.lanes() } else { 1 };
        for _ in 0..count {
            clients.push(connect(target.addr, &target.registry, options.clone()).await?);
        }
        *self.progress.clients.lock().unwrap_or_else(PoisonError::into_inner) = clients.clone();
        if load.door == Door::Quic {
            return Ok(clients.into_iter().map(Way::Quic).collect());
        }
        let wrong = |error| RunError::Https("connecting", error);
        let addr = target.https.ok_or(RunError::NoHttps)?;
        let connector = HttpsConnector::open(addr, &target.registry).map_err(wrong)?;
        let connector = Arc::new(connector);
        let mut ways = Vec::new();
        for _ in 0..load.connections.max(1) {
            let shared = Arc::new(Http2::new(Arc::clone(&connector)));
            for _ in 0..load.in_flight.max(1) {
                let mut line = Line::new(load.door, &connector, &shared, self.scale);
                line.open().await.map_err(wrong)?;
                ways.push(Way::Https(Box::new(line), clients[0].clone()));
            }
        }
        Ok(ways)
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

    /// Waits until left holds have expired, then compares every account with the frame's. A frame
    /// that has had no time to let them expire yet is given some.
    ///
    /// # Errors
    ///
    /// When the frame cannot be read.
    pub async fn compare(&mut self, target: &Target) -> Result<Agreement, RunError> {
        assert!(self.unknown.is_empty(), "resolve unknown outcomes first");
        let mut patience = Duration::ZERO;
        if self.planners.iter().any(Planner::has_expiring) {
            tokio::time::sleep(Duration::from_millis(u64::from(EXPIRING_MS) + 500)).await;
            for planner in &mut self.planners {
                planner.expire(&mut lock(&self.model));
            }
            patience = EXPIRY_LATE_MAX;
        }
        let started = Instant::now();
        loop {
            let agreement = self.compare_now(target).await?;
            if agreement.differences == 0 || started.elapsed() >= patience {
                return Ok(agreement);
            }
            tokio::time::sleep(EXPIRY_LOOK).await;
        }
    }

    async fn compare_now(&self, target: &Target) -> Result<Agreement, RunError> {
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
