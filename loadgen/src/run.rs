//! Driving a frame: accounts opened and funded, connections that keep requests in flight, answers
//! booked, and the comparison at the end. What one connection does is in `lane`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use client::{Client, Connector, Error, Options, Session};
use protocol::ids::NATIVE;
use protocol::parameter::Parameter;
use protocol::{Command, CommandId, OwnerId, system};

use crate::https::{Http2, HttpsConnector, HttpsError};
use crate::lane::{Lane, Line, Shared, Way, lock};
use crate::measure::{Interval, Measured, Recorder};
use crate::model::Model;
use crate::pace::Schedule;
use crate::plan::{Batch, EXPIRING_MS, Planner, owner};
use crate::report::Agreement;
use crate::setup::{SETUP_BATCH, liquid, send_all};

pub use crate::load::{Door, Load};
pub use crate::setup::{FUNDS, connect, connector, pay_file};

/// Base fee rate of no frame, in millionths: the default of a real one.
const NULL_RATE: u16 = 5_000;
/// Digits after the point there.
const NULL_SCALE: u16 = 6;
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
    /// No timer for an open loop.
    Timer(std::io::Error),
    /// A command that must succeed was refused.
    Refused(&'static str, protocol::Status),
}

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Identity(dir, cause) => write!(f, "{}: {cause}", dir.display()),
            Self::Client(doing, error) => write!(f, "{doing}: {error}"),
            Self::Https(doing, error) => write!(f, "{doing} over HTTPS: {error}"),
            Self::Timer(error) => write!(f, "no timer: {error}"),
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

/// What a progress line may read while a run goes on, and how others may end it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Commands executed.
    pub executed: AtomicU64,
    /// Commands refused.
    pub refused: AtomicU64,
    /// Set to end the run before its limits.
    pub stop: AtomicBool,
    pub(crate) recorder: Mutex<Recorder>,
    clients: Mutex<Vec<Client>>,
}

impl Progress {
    /// What was measured since the last call; the first call begins.
    pub fn take_recent(&self) -> Measured {
        lock(&self.recorder).take_recent()
    }

    /// Gives up every connection at once, as after a crash of the frame: a killed process says no
    /// goodbye, and waiting for the silence to be noticed would take the idle timeout.
    pub fn disconnect(&self) {
        for client in lock(&self.clients).drain(..) {
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
    /// The last run, by tenths of a second.
    pub intervals: Vec<Interval>,
    /// Unix time of the first request of the last run, in milliseconds.
    pub began_ms: u64,
    /// Processor time that the harness itself took for the last run, on every core together.
    pub cpu: Duration,
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
        let issue =
            |place| Command::issue(ids.next_id(), owner(load.seed, place), NATIVE, FUNDS.into());
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
        let scale = u16::try_from(native.scale).unwrap_or(u16::MAX);
        Ok(Self::of(load, model, scale, fees_before, collector))
    }

    /// A load without a frame: what is planned is encoded, answered as if it had been executed, and
    /// booked. It shows what the harness itself costs.
    #[must_use]
    pub fn prepare_null(load: Load) -> Self {
        let mut model = Model::new(load.accounts, NULL_RATE.into());
        for place in 0..load.accounts {
            model.issue(place, FUNDS);
        }
        Self::of(load, model, NULL_SCALE, 0, 0)
    }

    fn of(load: Load, model: Model, scale: u16, fees_before: i128, collector: OwnerId) -> Self {
        let planners = (0..load.lanes())
            .map(|lane| Planner::new(load.seed, lane, load.accounts, load.skew, load.mix))
            .collect();
        Self {
            load,
            model: Arc::new(Mutex::new(model)),
            planners,
            unknown: Vec::new(),
            scale,
            fees_before,
            collector,
            errors: Vec::new(),
            measured: Measured::default(),
            intervals: Vec::new(),
            began_ms: 0,
            cpu: Duration::ZERO,
            progress: Arc::new(Progress::default()),
        }
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
        let mut options = Options::default();
        options.in_flight_max = self.load.in_flight.max(1);
        // As a process that pays over many connections does, they share a socket.
        let connector = connector(target.addr, &target.registry, options)?;
        let ways = self.ways(target, &connector).await?;
        let elapsed = self.drive_over(ways).await;
        self.progress.disconnect();
        connector.wait_idle().await;
        Ok(elapsed)
    }

    /// As [`Self::drive`], for a load of [`Self::prepare_null`].
    pub async fn drive_null(&mut self) -> Duration {
        let Load { door, batch, .. } = self.load;
        let line = |_| Box::new(Line::null(door, batch, self.scale, NULL_RATE));
        let ways = (0..self.load.lanes()).map(|lane| Way::Line(line(lane), None)).collect();
        self.drive_over(ways).await
    }

    async fn drive_over(&mut self, ways: Vec<Way>) -> Duration {
        let load = self.load;
        let schedule = load.open.map(|open| {
            let (commands_max, time_max) = (load.commands_max, load.time_max);
            Arc::new(Mutex::new(Schedule::new(open, load.batch, load.seed, commands_max, time_max)))
        });
        let (started, cpu) = (Instant::now(), process_time());
        self.began_ms = crate::lane::unix_ms();
        let shared = Shared {
            load,
            quota: load.commands_max.div_ceil(u64::from(load.lanes())),
            started,
            schedule,
            model: Arc::clone(&self.model),
            progress: Arc::clone(&self.progress),
        };
        let planners = self.planners.drain(..).zip(ways);
        let lanes: Vec<_> = planners
            .map(|(planner, way)| tokio::spawn(Lane::new(planner).run(way, shared.clone())))
            .collect();
        for (at, lane) in lanes.into_iter().enumerate() {
            let lane = lane.await.expect("a lane does not panic");
            self.unknown.extend(lane.unknown.into_iter().map(|batch| (at, batch)));
            self.planners.push(lane.planner);
            self.errors.extend(lane.error);
        }
        let elapsed = started.elapsed();
        self.cpu = process_time().saturating_sub(cpu);
        let (measured, intervals) = lock(&self.progress.recorder).take();
        self.measured.add(&measured);
        self.intervals = intervals;
        elapsed
    }

    /// A way in for each lane, connected.
    async fn ways(&self, target: &Target, connector: &Connector) -> Result<Vec<Way>, RunError> {
        let load = &self.load;
        let mut clients = Vec::new();
        // Over HTTPS one connection over QUIC says the frame's time and carries the reads.
        let count = if load.door == Door::Quic { load.lanes() } else { 1 };
        for _ in 0..count {
            let client = Client::open(connector).await;
            clients.push(client.map_err(|error| RunError::Client("connecting", error))?);
        }
        *lock(&self.progress.clients) = clients.clone();
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
                ways.push(Way::Line(Box::new(line), Some(clients[0].clone())));
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
            let reply = client.request(&batch.commands()).await;
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

    /// Without a frame there are no other books: whether units were kept.
    #[must_use]
    pub fn compare_null(&self) -> Agreement {
        let model = lock(&self.model);
        let lost = model.total() - model.issued;
        Agreement {
            accounts: self.load.accounts,
            differences: u64::from(lost != 0),
            examples: Vec::new(),
            supply_delta: lost.to_string(),
        }
    }

    async fn compare_now(&self, target: &Target) -> Result<Agreement, RunError> {
        let session = Session::new(connector(target.addr, &target.registry, Options::default())?);
        let client = session.client().await;
        let client = client.map_err(|error| RunError::Client("connecting", error))?;
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
        session.close().await;
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
            let expected = model.balance(place);
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

/// Processor time of this process so far, of all its threads.
fn process_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or(Duration::ZERO)
}

/// An id for a single command made now by a client.
#[must_use]
pub fn one_id(client: &Client) -> CommandId {
    client.ids().next_id()
}
