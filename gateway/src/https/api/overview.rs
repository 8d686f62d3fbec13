//! What the frame shows of its accounts, holds and identities to those who run and audit it.
//!
//! It walks over nothing: whoever started the gateway does. Invariant: as `shown`'s, and every
//! answer says of which moment it is.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use protocol::answer::account_flags;
use protocol::cut::AccountRow;
use protocol::overview::{DueHolds, HoldRow, Ranked, Ranking};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::answer;
use super::event::NS_PER_MS;
use super::examples;
use super::inbound::Inbound;
use super::money::Shown as Amount;
use super::operation::{Operation, Sort};
use super::problem::{Own, Problem};
use super::shown::{TAG, shown};
use super::values::{Id, Owner};
use crate::guests::Guest;
use crate::shown::{Certificate, Shown};

const MS_PER_S: u64 = 1_000;

/// The largest accounts of every asset, by what is liquid and held.
#[derive(Serialize, ToSchema)]
pub(crate) struct LargestAnswer {
    /// The last sequence executed when the walk over all accounts began, in which they were chosen.
    since: u64,
    /// The one when their balances were read.
    sequence: u64,
    /// Journal time then, Unix milliseconds.
    time: u64,
    #[schema(max_items = 256)]
    assets: Vec<LargestOfAsset>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct LargestOfAsset {
    asset: u32,
    #[schema(max_length = 64)]
    name: String,
    /// The largest first.
    #[schema(max_items = 100)]
    accounts: Vec<LargestAccount>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct LargestAccount {
    owner: Owner,
    /// Index of the owner's host; 0 is the frame.
    host: u32,
    /// Liquid and held together.
    total: Amount,
    liquid: Amount,
    held: Amount,
    frozen: bool,
}

/// The holds that end next.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExpiringAnswer {
    sequence: u64,
    /// Journal time now, Unix milliseconds; that of what was executed last may be long ago.
    time: u64,
    /// How many are open in all.
    open: u64,
    /// The one that ends first before the others.
    #[schema(max_items = 100)]
    holds: Vec<ExpiringHold>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ExpiringHold {
    debit: Owner,
    asset: u32,
    hold: Id,
    credit: Owner,
    amount: Amount,
    left: Amount,
    #[schema(maximum = 1_000_000)]
    rate: u32,
    keep: bool,
    /// Unix milliseconds.
    expires_at: u64,
    sequence: u64,
}

/// Whose certificates the frame knows.
#[derive(Serialize, ToSchema)]
pub(crate) struct IdentitiesAnswer {
    /// Journal time, Unix milliseconds.
    time: u64,
    /// Its own, its authorities, and those who are connected or were since the start.
    #[schema(max_items = 10_000)]
    identities: Vec<Identity>,
    /// How often a client was left out or forgotten for want of room.
    forgotten: u64,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Identity {
    /// `own`, `authority` or `client`.
    #[schema(max_length = 16)]
    kind: &'static str,
    /// SPIFFE ID; of an authority the trust domain that it vouches for.
    #[schema(max_length = 2048)]
    name: String,
    /// When its certificate ends, Unix milliseconds; of a client that of its last connection.
    not_after: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 16)]
    role: Option<&'static str>,
    /// Of a client: connections now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    connections: Option<u32>,
    /// Of a client: when it connected last, Unix milliseconds of journal time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    connected_at: Option<u64>,
}

/// Everything of it.
pub(crate) fn operations() -> [Operation; 3] {
    let identities = json!({"time": 1_700_000_000_123_u64, "identities": [
        {"kind": "own", "name": "spiffe://frame.example/frame/engine",
         "not_after": 1_700_086_400_000_u64},
        {"kind": "client", "name": "spiffe://frame.example/auditor/eyes", "role": "auditor",
         "not_after": 1_700_086_400_000_u64, "connections": 1,
         "connected_at": 1_700_000_000_000_u64}], "forgotten": 0});
    [
        Operation::get("/v1/largest", largest)
            .does(
                TAG,
                "Shows the largest accounts",
                "Of every asset, chosen in a walk over all accounts that begins when somebody \
                 asks, every 10 s at most; 503 until the first has ended. For admins and auditors.",
            )
            .sort(Sort::Shown)
            .answers::<LargestAnswer>(200, largest_example()),
        Operation::get("/v1/expiring", expiring)
            .does(
                TAG,
                "Shows the holds that end next",
                "At most a second old; for admins and auditors.",
            )
            .sort(Sort::Shown)
            .answers::<ExpiringAnswer>(200, expiring_example()),
        Operation::get("/v1/identities", identities_known)
            .does(
                TAG,
                "Shows until when certificates hold",
                "The frame's own, its authorities, and those of clients that are connected or \
                 were since the start; for admins and auditors.",
            )
            .sort(Sort::Shown)
            .answers::<IdentitiesAnswer>(200, identities),
    ]
}

fn largest_example() -> serde_json::Value {
    json!({"since": 40, "sequence": 42, "time": 1_700_000_000_123_u64, "assets": [
        {"asset": 1, "name": "AVT", "accounts": [
            {"owner": examples::DEBIT, "host": 1, "total": "100.000000", "liquid": "87.500000",
             "held": "12.500000", "frozen": false}]}]})
}

fn expiring_example() -> serde_json::Value {
    json!({"sequence": 42, "time": 1_700_000_000_123_u64, "open": 1, "holds": [
        {"debit": examples::DEBIT, "asset": 1, "hold": examples::HOLD, "credit": examples::HOST,
         "amount": "12.500000", "left": "12.500000", "rate": 5_000, "keep": false,
         "expires_at": 1_700_003_600_000_u64, "sequence": 41}]})
}

async fn largest(inbound: Inbound) -> Result<Response, Problem> {
    let ranking = looked(shown(&inbound)?, |shown| shown.ranking()).await?;
    Ok(answer::json(StatusCode::OK, &LargestAnswer::from(&*ranking)))
}

async fn expiring(inbound: Inbound) -> Result<Response, Problem> {
    let due = looked(shown(&inbound)?, |shown| shown.due_holds()).await?;
    let now_ns = (inbound.caller.desk().info.journal_ns)();
    Ok(answer::json(StatusCode::OK, &ExpiringAnswer::of(&due, now_ns)))
}

async fn identities_known(inbound: Inbound) -> Result<Response, Problem> {
    let shown = shown(&inbound)?;
    let desk = inbound.caller.desk();
    let (guests, forgotten) = desk.guests.list();
    let own = shown.certificates().into_iter().map(Identity::from);
    let guests = guests.iter().map(|(name, guest)| Identity::of(name, guest));
    let answer = IdentitiesAnswer {
        time: (desk.info.journal_ns)() / NS_PER_MS,
        identities: own.chain(guests).collect(),
        forgotten,
    };
    Ok(answer::json(StatusCode::OK, &answer))
}

/// What takes its time, on a thread that answers no requests.
async fn looked<T: Send + 'static>(
    shown: Arc<dyn Shown>,
    look: impl FnOnce(&dyn Shown) -> Option<T> + Send + 'static,
) -> Result<T, Problem> {
    let seen = tokio::task::spawn_blocking(move || look(&*shown)).await;
    seen.ok().flatten().ok_or_else(|| Problem::own(Own::Overloaded))
}

impl From<&Ranking> for LargestAnswer {
    fn from(ranking: &Ranking) -> Self {
        Self {
            since: ranking.since,
            sequence: ranking.sequence,
            time: ranking.timestamp_ns / NS_PER_MS,
            assets: ranking.assets.iter().map(LargestOfAsset::from).collect(),
        }
    }
}

impl From<&Ranked> for LargestOfAsset {
    fn from(ranked: &Ranked) -> Self {
        let account = |row: &AccountRow| LargestAccount {
            owner: Owner(row.owner),
            host: row.host,
            total: Amount::balance(row.liquid.saturating_add_unsigned(row.held), ranked.scale),
            liquid: Amount::balance(row.liquid, ranked.scale),
            held: Amount::amount(row.held, ranked.scale),
            frozen: row.flags & account_flags::FROZEN != 0,
        };
        Self {
            asset: ranked.asset,
            name: ranked.name.clone(),
            accounts: ranked.accounts.iter().map(account).collect(),
        }
    }
}

impl ExpiringAnswer {
    fn of(due: &DueHolds, now_ns: u64) -> Self {
        let hold = |row: &HoldRow| ExpiringHold {
            debit: Owner(row.debit),
            asset: row.asset,
            hold: Id(row.id),
            credit: Owner(row.credit),
            amount: Amount::amount(row.amount, row.scale),
            left: Amount::amount(row.left, row.scale),
            rate: row.rate,
            keep: row.keep,
            expires_at: row.expiry_ns / NS_PER_MS,
            sequence: row.sequence,
        };
        Self {
            sequence: due.sequence,
            time: now_ns / NS_PER_MS,
            open: due.open,
            holds: due.holds.iter().map(hold).collect(),
        }
    }
}

impl From<Certificate> for Identity {
    fn from(certificate: Certificate) -> Self {
        Self {
            kind: if certificate.is_authority { "authority" } else { "own" },
            name: certificate.name,
            not_after: certificate.not_after_s.saturating_mul(MS_PER_S),
            role: None,
            connections: None,
            connected_at: None,
        }
    }
}

impl Identity {
    fn of(name: &str, guest: &Guest) -> Self {
        Self {
            kind: "client",
            name: name.to_owned(),
            not_after: guest.not_after_s.saturating_mul(MS_PER_S),
            role: Some(guest.role.name()),
            connections: Some(guest.connections),
            connected_at: Some(guest.connected_ns / NS_PER_MS),
        }
    }
}
