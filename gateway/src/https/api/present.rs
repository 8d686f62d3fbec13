//! What a caller may have of the history, and how far the history goes: one look at the engine for
//! both, so that a host is told nothing of an owner from after its move.
//!
//! It judges by `feeds`, which says who may follow what.

use identity::Role;
use protocol::{OwnerId, Status};

use super::answer::Seen;
use super::following::{not_found, query_invalid};
use super::inbound::Inbound;
use super::problem::Problem;
use crate::feeds::{Right, Sight, Whose, is_granted, question, right};

/// The history as it was when the engine was asked.
pub(super) struct Present {
    pub(super) seen: Seen,
    /// Its last sequence.
    pub(super) executed: u64,
}

/// What the caller may have of what it asks for, nothing named: everything; and of which history.
pub(super) async fn granted(
    inbound: &Inbound,
    account: Option<OwnerId>,
) -> Result<(Whose, Sight, Present), Problem> {
    let (whose, sight, is_judged) = match right(inbound.caller.peer().principal(), account) {
        Right::Granted(whose, sight) => (whose, sight, true),
        Right::Hosted(owner) => (Whose::Owner(owner), Sight::Of(owner), false),
        Right::Unnamed => {
            return Err(query_invalid("a registry names an account that it hosts"));
        }
        Right::Nothing => return Err(not_found()),
    };
    let owner = match whose {
        Whose::Owner(owner) => owner,
        Whose::All => OwnerId::default(),
    };
    let (present, status) = ask(inbound, owner).await?;
    if is_judged || is_granted(status) { Ok((whose, sight, present)) } else { Err(not_found()) }
}

/// What an admin or an auditor is told, and nobody else.
pub(super) async fn for_watchers(inbound: &Inbound) -> Result<Present, Problem> {
    let principal = inbound.caller.peer().principal();
    if !matches!(principal.role, Role::Admin | Role::Auditor) {
        return Err(not_found());
    }
    Ok(ask(inbound, OwnerId::default()).await?.0)
}

/// The history now, and the status of a read of `owner`.
async fn ask(inbound: &Inbound, owner: OwnerId) -> Result<(Present, u16), Problem> {
    let answered = inbound.caller.read(&[question(owner)]).await?;
    let (head, answer) = (&answered.decoded.head, answered.decoded.answers.first());
    let present = Present { seen: Seen::of(head), executed: head.first_sequence };
    Ok((present, answer.map_or(Status::NotFound.number(), |answer| answer.status)))
}
