//! The audit of the supply under the names that registries of the federation use.
//!
//! It reckons nothing that the engine has not reckoned. Invariant: all assets are seen in one state
//! of the frame.

use axum::response::Response;
use protocol::answer::Answer;
use protocol::ids::NATIVE;
use protocol::limits::ASSETS_MAX;
use protocol::{AssetId, Command, CommandId, Kind};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::answer::{self, Seen};
use super::inbound::{Inbound, told};
use super::money::Shown;
use super::operation::Operation;
use super::problem::Problem;
use super::values::Id;

/// The supply under the names that registries of the federation use.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditAnswer {
    frame: Id,
    /// `BREACH` if any asset has one.
    status: Verdict,
    /// The executed sequence at which all of it was read.
    sequence: u64,
    /// Of the native asset, the frame's own currency.
    totals: AuditRow,
    /// Of every asset, by its number.
    #[schema(min_items = 1, max_items = 256)]
    assets: Vec<AuditRow>,
}

/// The supply of one asset.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct AuditRow {
    asset: AssetId,
    #[schema(max_length = 64)]
    name: String,
    tokens_issued: Shown,
    tokens_destroyed: Shown,
    /// What is under way between frames.
    transit_net: Shown,
    /// issued − destroyed + transit.
    net_supply: Shown,
    /// The sum of every bucket of every account.
    circulating: Shown,
    /// net_supply − circulating: 0, or units were lost or invented.
    delta: Shown,
    status: Verdict,
}

/// Whether the books agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Verdict {
    Ok,
    Breach,
}

impl AuditRow {
    fn new(asset: &Listed, answer: &Answer) -> Self {
        let amount = |minor| Shown::amount(minor, asset.scale);
        let balance = |minor| Shown::balance(minor, asset.scale);
        let net = answer.total.saturating_add(answer.delta);
        // By its definition, so that a frame which has peers is reckoned by the same line.
        let supplied = answer.value.wrapping_sub(answer.minimum).cast_signed();
        Self {
            asset: asset.number,
            name: asset.name.clone(),
            tokens_issued: amount(answer.value),
            tokens_destroyed: amount(answer.minimum),
            transit_net: balance(net.saturating_sub(supplied)),
            net_supply: balance(net),
            circulating: balance(answer.total),
            delta: balance(answer.delta),
            status: if answer.delta == 0 { Verdict::Ok } else { Verdict::Breach },
        }
    }
}

/// The audit.
pub(crate) fn operation() -> Operation {
    Operation::get("/api/v1/projections/supply-audit", audit)
        .does("supply", "Audits the supply", "Of every asset, in one state of the frame.")
        .answers::<AuditAnswer>(
            200,
            json!({"frame": "0190f0f0-0000-7000-8000-000000000001", "status": "OK",
                       "sequence": 42, "totals": audit_example(), "assets": [audit_example()]}),
        )
}

fn audit_example() -> Value {
    json!({"asset": 1, "name": "AVT", "tokens_issued": "1000.000000",
           "tokens_destroyed": "10.000000", "transit_net": "0.000000",
           "net_supply": "990.000000", "circulating": "990.000000", "delta": "0.000000",
           "status": "OK"})
}

/// An asset of the frame.
struct Listed {
    number: AssetId,
    name: String,
    scale: u16,
}

async fn audit(inbound: Inbound) -> Result<Response, Problem> {
    inbound.no_query()?;
    let assets = listed(&inbound).await?;
    let read = |asset: &Listed| Command {
        asset: asset.number,
        ..Command::new(Kind::ReadSupply, CommandId(0))
    };
    // One request, so that every asset is seen in the same state.
    let reads: Vec<Command> = assets.iter().map(read).collect();
    let answered = inbound.caller.read(&reads).await?;
    let head = &answered.decoded.head;
    let seen = Seen::of(head);
    let mut rows = Vec::with_capacity(assets.len());
    for (asset, answer) in assets.iter().zip(&answered.decoded.answers) {
        told(answer).map_err(|problem| problem.seen(seen))?;
        rows.push(AuditRow::new(asset, answer));
    }
    let is_whole = rows.iter().all(|row| row.status == Verdict::Ok);
    let totals = rows.first().cloned();
    let audit = AuditAnswer {
        frame: Id(inbound.caller.desk().info.frame),
        status: if is_whole { Verdict::Ok } else { Verdict::Breach },
        sequence: head.first_sequence,
        totals: totals.expect("a frame has its native asset"),
        assets: rows,
    };
    Ok(answer::read(&seen, &audit))
}

/// Every asset, by its number; the native one is the first.
async fn listed(inbound: &Inbound) -> Result<Vec<Listed>, Problem> {
    let mut assets = Vec::new();
    let mut number = NATIVE;
    while number != 0 && assets.len() < ASSETS_MAX {
        let read = Command { asset: number, ..Command::new(Kind::ReadAsset, CommandId(0)) };
        let (_, answer) = inbound.ask(read).await?;
        let scale = u16::try_from(answer.rate).expect("scales are at most 18");
        assets.push(Listed { number, name: answer.name().to_owned(), scale });
        number = answer.host;
    }
    Ok(assets)
}
