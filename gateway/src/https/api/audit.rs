//! The audit of the supply under the names that registries of the federation use.
//!
//! It reckons nothing that the engine has not reckoned. Invariant: all assets are seen in one state
//! of the frame.

use std::sync::{Arc, PoisonError, RwLock};

use axum::response::Response;
use protocol::answer::Answer;
use protocol::ids::NATIVE;
use protocol::limits::ASSETS_MAX;
use protocol::reply::Reply;
use protocol::{AssetId, Command, CommandId, Kind};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::answer::{self, Seen};
use super::inbound::{Inbound, told};
use super::money::Shown;
use super::operation::Operation;
use super::problem::{Own, Problem};
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
#[derive(Clone, Debug)]
struct Listed {
    number: AssetId,
    name: String,
    scale: u16,
}

/// The assets that have been listed, by their numbers: names and scales never change, but others
/// may come between them.
#[derive(Debug, Default)]
pub(crate) struct Catalogue(RwLock<Arc<Vec<Listed>>>);

impl Catalogue {
    fn known(&self) -> Arc<Vec<Listed>> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Assets are never removed: the longer list knows more.
    fn keep(&self, listed: &Arc<Vec<Listed>>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if listed.len() > known.len() {
            *known = Arc::clone(listed);
        }
    }
}

async fn audit(inbound: Inbound) -> Result<Response, Problem> {
    inbound.no_query()?;
    let mut assets = inbound.shared.catalogue.known();
    if assets.is_empty() {
        assets = Arc::new(filled(&inbound, &assets, 0, NATIVE).await?);
        inbound.shared.catalogue.keep(&assets);
    }
    // Each round but the last finds at least one asset more.
    for _ in 0..=ASSETS_MAX {
        // One request, so that every asset, and that there is no other, is seen in one state.
        let reads: Vec<Command> = assets.iter().flat_map(reads_of).collect();
        let answered = inbound.caller.read(&reads).await?;
        let seen = Seen::of(&answered.decoded.head);
        let (pairs, _) = answered.decoded.answers.as_chunks::<2>();
        for answer in pairs.iter().flatten() {
            told(answer).map_err(|problem| problem.seen(seen))?;
        }
        let Some((at, number)) = gap(&assets, pairs) else {
            return Ok(shown(&inbound, &answered.decoded.head, &assets, pairs));
        };
        assets = Arc::new(filled(&inbound, &assets, at, number).await?);
        inbound.shared.catalogue.keep(&assets);
    }
    Err(Problem::own(Own::Overloaded))
}

fn reads_of(asset: &Listed) -> [Command; 2] {
    [Kind::ReadAsset, Kind::ReadSupply]
        .map(|kind| Command { asset: asset.number, ..Command::new(kind, CommandId(0)) })
}

/// Where the frame has an asset that is not listed: before which place, and its number.
fn gap(assets: &[Listed], answers: &[[Answer; 2]]) -> Option<(usize, AssetId)> {
    let next = |at: usize| assets.get(at).map_or(0, |asset| asset.number);
    let followers = answers.iter().map(|[named, _]| named.host).zip(1..);
    followers.map(|(number, at)| (at, number)).find(|&(at, number)| number != next(at))
}

/// The list with what is missing before the place `at`, from the asset `number` on.
async fn filled(
    inbound: &Inbound,
    assets: &[Listed],
    at: usize,
    mut number: AssetId,
) -> Result<Vec<Listed>, Problem> {
    let (before, after) = assets.split_at(at);
    let mut listed = before.to_vec();
    let end = after.first().map_or(0, |asset| asset.number);
    while number != end && listed.len() + after.len() < ASSETS_MAX {
        let read = Command { asset: number, ..Command::new(Kind::ReadAsset, CommandId(0)) };
        let (_, answer) = inbound.ask(read).await?;
        let scale = u16::try_from(answer.rate).expect("scales are at most 18");
        listed.push(Listed { number, name: answer.name().to_owned(), scale });
        number = answer.host;
    }
    listed.extend_from_slice(after);
    Ok(listed)
}

fn shown(inbound: &Inbound, head: &Reply, assets: &[Listed], answers: &[[Answer; 2]]) -> Response {
    let row = |(asset, [_, supply]): (&Listed, &[Answer; 2])| AuditRow::new(asset, supply);
    let rows: Vec<AuditRow> = assets.iter().zip(answers).map(row).collect();
    let is_whole = rows.iter().all(|row| row.status == Verdict::Ok);
    let totals = rows.first().cloned();
    let audit = AuditAnswer {
        frame: Id(inbound.caller.desk().info.frame),
        status: if is_whole { Verdict::Ok } else { Verdict::Breach },
        sequence: head.first_sequence,
        totals: totals.expect("a frame has its native asset"),
        assets: rows,
    };
    answer::read(&Seen::of(head), &audit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asset_that_came_between_is_found() {
        let listed = |number| Listed { number, name: String::new(), scale: 6 };
        let assets: Vec<_> = [1, 5, 9].into_iter().map(listed).collect();
        let next = |host| [Answer { host, ..Answer::default() }, Answer::default()];
        assert_eq!(gap(&assets, &[next(5), next(9), next(0)]), None);
        assert_eq!(gap(&assets, &[next(5), next(7), next(0)]), Some((2, 7)));
        assert_eq!(gap(&assets, &[next(5), next(9), next(12)]), Some((3, 12)));
    }
}
