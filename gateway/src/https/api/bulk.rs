//! Many transfers in one request: one request of the ring, one outcome each.
//!
//! It takes no string keys: a key is of one command. Invariant: nothing is sequenced unless every
//! transfer of the request can be read.

use axum::http::StatusCode;
use axum::response::Response;
use protocol::reply::Outcome;
use protocol::{Command, Status, flags};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::answer::{self, Seen};
use super::body::{self, BULK_SIZE_MAX};
use super::examples;
use super::inbound::Inbound;
use super::operation::{Operation, Sort};
use super::problem::{Own, Problem};
use super::transfers::{Transfer, asset_or_native};
use super::values::Id;
use super::write::{self, Done};

/// Transfers of one bulk request.
pub(crate) const BULK_MAX: usize = 1_000;

/// Many payments.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bulk<'a> {
    #[serde(borrow)]
    #[schema(min_items = 1, max_items = 1000)]
    transfers: Vec<Transfer<'a>>,
    /// All or none: one chain, whose length the parameter `chain.length` bounds.
    #[serde(default)]
    atomic: bool,
}

/// One answer for each command of a bulk request, in order.
#[derive(Serialize, ToSchema)]
pub(crate) struct Results {
    #[schema(min_items = 1, max_items = 1000)]
    results: Vec<BulkResult>,
}

/// What became of one command.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum BulkResult {
    Done(Done),
    Refused(Problem),
}

/// The operation.
pub(crate) fn operation() -> Operation {
    Operation::post("/v1/transfers/bulk", bulk)
        .does(
            "transfers",
            "Pays many times",
            "Up to 1 000 payments, each with an id. Each has its own outcome, unless they are \
                 atomic: then all are executed or none. Keys are not taken.",
        )
        .sort(Sort::Bulk)
        .reads::<Bulk<'_>>(BULK)
        .answers::<Results>(
            200,
            json!({"results": [examples::paid(), {
                "type": "/docs#insufficient_funds", "title": "insufficient_funds",
                "status": 422, "number": 801,
                "detail": "Not enough liquid above the floor.",
                "cure": "lower the amount or fund the account", "remembered": true,
                "retry": "new_id", "id": examples::HOLD, "sequence": 43,
                "pointer": "/transfers/1/amount",
            }]}),
        )
}

const BULK: &str = r#"{
  "transfers": [
    {
      "id": "018f6f0e-8a10-7000-8000-000000000001",
      "debit": "01900000-0000-7000-8000-00000000000a",
      "credit": "01900000-0000-7000-8000-00000000000b",
      "amount": "12.500000"
    },
    {
      "id": "018f6f0e-8a10-7000-8000-000000000002",
      "debit": "01900000-0000-7000-8000-00000000000a",
      "credit": "01900000-0000-7000-8000-00000000000c",
      "amount": "1000000"
    }
  ],
  "atomic": false
}"#;

async fn bulk(mut inbound: Inbound) -> Result<Response, Problem> {
    let bytes = inbound.body(BULK_SIZE_MAX).await?;
    let body: Bulk<'_> = body::parse(&bytes)?;
    inbound.no_key("a bulk request takes no Idempotency-Key; give every transfer an id")?;
    if body.transfers.is_empty() || body.transfers.len() > BULK_MAX {
        return Err(Problem::field("/transfers", "a bulk request has 1 to 1000 transfers"));
    }
    let mut slots: Vec<Command> = Vec::with_capacity(body.transfers.len());
    let mut commands = Vec::with_capacity(body.transfers.len());
    for (at, transfer) in body.transfers.iter().enumerate() {
        let place = || format!("/transfers/{at}");
        let id = transfer
            .id
            .ok_or_else(|| Problem::own(Own::IdMissing).pointer(format!("/transfers/{at}/id")))?;
        let scale = inbound.body_scale(asset_or_native(transfer.asset)).await;
        let draft = scale.and_then(|scale| transfer.draft(scale));
        let draft = draft.map_err(|problem| problem.under(&place()))?;
        let is_linked = body.atomic && at + 1 < body.transfers.len();
        let command = slots.len();
        slots.extend_from_slice(&draft.slots(id)?);
        if is_linked {
            slots[command].flags |= flags::LINKED;
        }
        commands.push((id, command));
    }
    let answered = inbound.caller.execute(&slots, 0).await?;
    let is_repeat = answered.decoded.outcomes.iter().all(|outcome| outcome.repeat);
    let seen = Seen::of(&answered.decoded.head).replayed(is_repeat);
    let results = results(&answered.decoded.outcomes, &slots, &commands, body.atomic);
    let mut response = answer::json(StatusCode::OK, &results);
    seen.put(response.headers_mut());
    Ok(response)
}

fn results(
    outcomes: &[Outcome],
    slots: &[Command],
    commands: &[(Id, usize)],
    atomic: bool,
) -> Results {
    // Of a chain, the leg that failed decides whether the others are remembered.
    let cause = outcomes
        .iter()
        .map(|outcome| outcome.status)
        .find(|status| !status.is_ok() && *status != Status::LinkedFailed);
    let forgotten = cause.filter(|cause| atomic && !cause.is_remembered());
    let result = |(at, (outcome, &(id, command))): (usize, (&Outcome, &(Id, usize)))| {
        let command = &slots[command];
        if outcome.status.is_ok() {
            return BulkResult::Done(write::done(id, command, outcome));
        }
        let problem = write::refusal(outcome.status, command).of(id, outcome.sequence);
        let problem = problem.under(&format!("/transfers/{at}"));
        BulkResult::Refused(match forgotten {
            Some(cause) => problem.forgotten(cause),
            None => problem,
        })
    };
    Results { results: outcomes.iter().zip(commands).enumerate().map(result).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{CommandId, Kind};

    fn shown(statuses: &[Status], atomic: bool) -> Vec<serde_json::Value> {
        let slots = vec![Command::new(Kind::Transfer, CommandId(1)); statuses.len()];
        let commands: Vec<_> = (0..statuses.len()).map(|at| (Id(1), at)).collect();
        let outcome = |&status| Outcome { sequence: 9, status, rate: 0, repeat: false };
        let outcomes: Vec<_> = statuses.iter().map(outcome).collect();
        let results = results(&outcomes, &slots, &commands, atomic);
        results.results.iter().map(|result| serde_json::to_value(result).unwrap()).collect()
    }

    #[test]
    fn a_leg_is_remembered_if_the_refusal_of_its_chain_is() {
        let chain = [Status::LinkedFailed, Status::InsufficientFunds];
        for leg in shown(&chain, true) {
            assert_eq!((&leg["remembered"], &leg["sequence"]), (&json!(true), &json!(9)));
            assert_eq!(leg["retry"], "new_id");
        }
        let full = [Status::LinkedFailed, Status::HostLimit];
        for leg in shown(&full, true) {
            assert_eq!((&leg["remembered"], leg.get("sequence")), (&json!(false), None));
            assert_eq!(leg["retry"], "same_id");
        }
    }

    #[test]
    fn outside_a_chain_every_command_stands_for_itself() {
        let legs = shown(&[Status::Ok, Status::HostLimit, Status::InsufficientFunds], false);
        assert_eq!(legs[0]["status"], "ok");
        assert_eq!(legs[1]["remembered"], false);
        assert_eq!(legs[2]["remembered"], true);
        assert_eq!(legs[2]["pointer"], "/transfers/2/amount");
    }
}
