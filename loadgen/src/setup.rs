//! What comes before and beside a load: connections with an identity, accounts opened and funded,
//! payments of a file. Invariant: a setup command that is refused ends the run.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::{Client, Connector, Expected, FileSource, Options, Pending};
use protocol::ids::NATIVE;
use protocol::{Command, OwnerId};

use crate::run::{RunError, Target};

/// Units every account is given, in minor units: enough for any run.
pub const FUNDS: u64 = 1_000_000_000_000;
/// Commands a request while accounts are opened and compared.
pub(crate) const SETUP_BATCH: usize = 4_096;
/// Requests in flight while accounts are opened, funded and compared.
const SETUP_IN_FLIGHT: usize = 8;

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

pub(crate) async fn liquid(client: &Client, owner: OwnerId) -> Result<i128, RunError> {
    let account = client.ask(client::query::account(owner, NATIVE)).await;
    account
        .map(|account| account.liquid)
        .map_err(|error| RunError::Client("reading the fee collector", error))
}

/// Sends one command for every place, many at a time, and insists that each is executed or was
/// before.
pub(crate) async fn send_all(
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
    let fund =
        |place: u32| Command::issue(ids.next_id(), owners[place as usize], NATIVE, FUNDS.into());
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
