//! What a load is: its size and shape, which way it goes in, and when it ends. No behaviour.

use std::time::Duration;

use crate::pace::OpenLoop;
use crate::plan::Mix;
use crate::report::Settings;
use crate::skew::Skew;

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
    /// Requests unanswered at once on each connection. In an open loop what comes due beyond them
    /// waits, and the wait counts.
    pub in_flight: u32,
    /// Sends at times fixed before, instead of whenever there is room.
    pub open: Option<OpenLoop>,
    /// Stop after so many commands, all connections together.
    pub commands_max: u64,
    /// Stop after this time.
    pub time_max: Duration,
    /// What is answered before this time has passed is not in the latencies.
    pub warm_up: Duration,
}

impl Load {
    /// Loops that each plan, send and book: one a connection over QUIC, which keeps many requests
    /// in flight; else one for each request in flight.
    pub(crate) fn lanes(&self) -> u16 {
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
            warm_up_seconds: self.warm_up.as_secs(),
            rate: self.open.map(|open| open.rate),
            arrivals: self.open.map(|open| format!("{:?}", open.arrivals).to_lowercase()),
            holds_percent: self.mix.holds,
            reads_percent: self.mix.reads,
        }
    }
}
