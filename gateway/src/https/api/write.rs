//! The one way of a write: id or key, the settled history for keys, the ring, the answer.
//!
//! It looks into no command. Invariants: a key is executed only with the settled sequence at which
//! the history was asked for it; when that question has no answer, a key alone is refused here, and
//! one beside an id goes on with nothing checked, so that the engine refuses what it cannot prove;
//! answers to a repeat have the same body and status.

use axum::http::StatusCode;
use axum::response::Response;
use protocol::data::{self, TAG_ID, TAG_KEY};
use protocol::reply::Outcome;
use protocol::{Command, Kind, Status, flags, key};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{self, Seen};
use super::inbound::Inbound;
use super::problem::{Own, Problem};
use super::values::{Id, Note};
use crate::https::call::NoHistory;

/// A command to be, without its id.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) command: Command,
    /// The id in the body.
    pub(crate) id: Option<Id>,
    /// Its text, with the tag of it.
    pub(crate) text: Option<(u16, &'a str)>,
}

impl<'a> Draft<'a> {
    /// Of a kind with nothing else.
    pub(crate) fn new(kind: Kind, id: Option<Id>) -> Self {
        let command = Command { kind: kind.number(), ..Command::default() };
        Self { command, id, text: None }
    }

    /// With a text, if there is one.
    #[must_use]
    pub(crate) fn note(mut self, tag: u16, note: Option<&'a Note<'_>>) -> Self {
        self.text = note.map(|note| (tag, &*note.0));
        self
    }

    /// Its slots, as a command with an id.
    pub(crate) fn slots(&self, id: Id) -> Result<Slots, Problem> {
        let command = Command { id: id.0, ..self.command };
        match self.text {
            None => Ok(Slots::One([command])),
            Some((tag, text)) => with_data(command, &[(tag, text.as_bytes())]),
        }
    }

    /// Its slots, as a KEYED command.
    fn keyed_slots(&self, key_id: u128, key: &[u8]) -> Result<Slots, Problem> {
        let command =
            Command { id: key_id, flags: self.command.flags | flags::KEYED, ..self.command };
        let own_id = self.id.map(|id| id.0.to_le_bytes());
        let mut entries = Vec::with_capacity(3);
        entries.extend(self.text.map(|(tag, text)| (tag, text.as_bytes())));
        entries.push((TAG_KEY, key));
        entries.extend(own_id.as_ref().map(|id| (TAG_ID, id.as_slice())));
        with_data(command, &entries)
    }
}

fn with_data(command: Command, entries: &[(u16, &[u8])]) -> Result<Slots, Problem> {
    let data = data::encode(entries);
    let count = u16::try_from(data.len()).map_err(|_| Problem::own(Own::BodyTooLarge))?;
    let mut slots = Vec::with_capacity(data.len() + 1);
    slots.push(Command { data: count, ..command });
    slots.extend_from_slice(&data);
    Ok(Slots::Many(slots))
}

/// A command and its data, without an allocation if it has none.
#[derive(Debug)]
pub(crate) enum Slots {
    One([Command; 1]),
    Many(Vec<Command>),
}

impl std::ops::Deref for Slots {
    type Target = [Command];

    fn deref(&self) -> &[Command] {
        match self {
            Self::One(slots) => slots,
            Self::Many(slots) => slots,
        }
    }
}

/// What a command answers when it is done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Done {
    /// Its id: that of the body, or the one that the key gives.
    pub(crate) id: Id,
    /// Always `ok`; refusals are problems.
    #[schema(schema_with = ok_schema)]
    pub(crate) status: &'static str,
    /// Its place in the frame's one order.
    pub(crate) sequence: u64,
    /// Fee rate that it paid, in millionths.
    #[schema(maximum = 1_000_000)]
    pub(crate) rate: u16,
    /// Of a hold: the id that names it from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) hold: Option<Id>,
}

fn ok_schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
    super::values::schema(serde_json::json!({"type": "string", "enum": ["ok"]}))
}

/// Executes a draft and answers: `made` if the command makes something.
pub(crate) async fn run(
    inbound: &Inbound,
    draft: Draft<'_>,
    made: bool,
) -> Result<Response, Problem> {
    let status = if made { StatusCode::CREATED } else { StatusCode::OK };
    match (inbound.key()?, draft.id) {
        (Some(key), _) => run_keyed(inbound, &draft, key, status).await,
        (None, Some(id)) => {
            let slots = draft.slots(id)?;
            let target = Target { id, command: &slots[0], status };
            execute(inbound, &slots, 0, &target).await
        }
        (None, None) => Err(Problem::own(Own::IdMissing)),
    }
}

/// What is answered about.
struct Target<'a> {
    id: Id,
    command: &'a Command,
    status: StatusCode,
}

async fn run_keyed(
    inbound: &Inbound,
    draft: &Draft<'_>,
    key: &[u8],
    status: StatusCode,
) -> Result<Response, Problem> {
    let principal = inbound.caller.peer().principal().id;
    let key_id = key::id(principal, key);
    let slots = draft.keyed_slots(key_id, key)?;
    let (command, data) = slots.split_first().expect("a draft has a command");
    let target = Target { id: draft.id.unwrap_or(Id(key_id)), command, status };
    let (found, checked) = match (inbound.caller.history(key_id).await, draft.id) {
        (Ok(asked), _) => (asked.found, asked.settled_through),
        (Err(_), Some(_)) => (None, 0),
        (Err(NoHistory::NotKept), None) => return Err(Problem::own(Own::KeysNeedHistory)),
        (Err(NoHistory::Unavailable), None) => return Err(Problem::own(Own::HistoryUnavailable)),
    };
    let Some(row) = found else {
        return execute(inbound, &slots, checked, &target).await;
    };
    let info = &inbound.caller.desk().info;
    let seen = Seen::of_history(row.sequence, (info.epoch)(), (info.journal_ns)());
    if row.digest != key::body_digest(command, data) {
        let reused =
            Outcome { sequence: row.sequence, status: Status::IdReused, rate: 0, repeat: false };
        inbound.caller.note_stored(&slots, &reused);
        return Err(refused(Status::IdReused, row.sequence, &target)
            .seen(seen.command(row.sequence, false)));
    }
    let (sequence, status, rate) = (row.sequence, row.status, row.rate);
    let stored = Outcome { sequence, status, rate, repeat: true };
    inbound.caller.note_stored(&slots, &stored);
    outcome(&stored, seen, &target)
}

async fn execute(
    inbound: &Inbound,
    slots: &[Command],
    history_checked: u64,
    target: &Target<'_>,
) -> Result<Response, Problem> {
    let answered = inbound.caller.execute(slots, history_checked).await;
    let answered = answered.map_err(|cause| Problem::from(cause).named(target.id))?;
    let first = answered.decoded.outcomes.first();
    let first = first.expect("every command has an outcome");
    outcome(first, Seen::of(&answered.decoded.head), target)
}

fn outcome(outcome: &Outcome, seen: Seen, target: &Target<'_>) -> Result<Response, Problem> {
    let seen = seen.command(outcome.sequence, outcome.repeat);
    if !outcome.status.is_ok() {
        return Err(refused(outcome.status, outcome.sequence, target).seen(seen));
    }
    let mut response = answer::json(target.status, &done(target.id, target.command, outcome));
    seen.put(response.headers_mut());
    Ok(response)
}

/// The answer to a command that was executed.
pub(crate) fn done(id: Id, command: &Command, outcome: &Outcome) -> Done {
    let is_hold = command.kind == Kind::Hold.number();
    Done {
        id,
        status: Status::Ok.name(),
        sequence: outcome.sequence,
        rate: outcome.rate,
        hold: is_hold.then_some(Id(command.id)),
    }
}

fn refused(status: Status, sequence: u64, target: &Target<'_>) -> Problem {
    refusal(status, target.command).of(target.id, sequence)
}

/// The problem of a refused command, with the field that the refusal is about.
pub(crate) fn refusal(status: Status, command: &Command) -> Problem {
    let problem = Problem::refused(status);
    match pointer(status, command) {
        Some(pointer) => problem.pointer(pointer),
        None => problem,
    }
}

/// The field of the body that a refusal is about, where the operation has it in its body.
fn pointer(status: Status, command: &Command) -> Option<&'static str> {
    use Status as S;
    let kind = Kind::try_from(command.kind).ok()?;
    let pays = matches!(kind, Kind::Transfer | Kind::Hold | Kind::SystemTransfer);
    let (debit, credit) = (pays || kind == Kind::Burn, pays || kind == Kind::Issue);
    let moves = debit || credit || kind == Kind::Capture;
    let is_keyed = command.has(flags::KEYED);
    let (field, is_there) = match status {
        S::IdZero | S::IdInFuture | S::IdTooOld => ("/id", !is_keyed),
        S::ReasonMissing => ("/reason", matches!(kind, Kind::Issue | Kind::Burn)),
        S::CodeUnknown => {
            ("/code", matches!(kind, Kind::SystemTransfer | Kind::Issue | Kind::Burn))
        }
        S::AssetNotFound | S::NativeOnly => ("/asset", debit || credit || kind == Kind::Open),
        S::AssetExists => ("/asset", true),
        S::DebtorNotFound | S::DebtorClosed | S::DebtorFrozen => ("/debit", debit),
        S::SystemAccount => ("/debit", kind == Kind::Burn),
        S::CreditorNotFound | S::CreditorClosed => match kind {
            Kind::Close => ("/beneficiary", true),
            Kind::Configure => ("/host", true),
            _ => ("/credit", credit || matches!(kind, Kind::Capture | Kind::Release)),
        },
        S::ReservedOwner => match kind {
            Kind::Open => ("/owner", true),
            Kind::Rehost => ("/host", true),
            Kind::Close => ("/beneficiary", true),
            _ => ("/credit", credit),
        },
        S::AccountExists | S::OwnerHostedElsewhere => ("/owner", kind == Kind::Open),
        S::SameAccount => ("/credit", credit),
        S::HostRefuses => ("/host", true),
        S::KeepNotAllowed => ("/keep", true),
        S::ExpiryBounds => ("/timeout_ms", true),
        S::FeeAboveLimit => ("/max_rate", true),
        S::OutOfBounds if kind == Kind::Configure => ("/value", true),
        S::OutOfBounds if kind == Kind::Asset => ("/scale", true),
        S::CapacityShrinks => ("/value", true),
        S::CreditCap => ("/credit_limit", true),
        S::AmountZero
        | S::AmountTooLarge
        | S::HoldExceeded
        | S::AmountBelowFee
        | S::InsufficientFunds
        | S::HostLimit => ("/amount", moves),
        S::SupplyCap if kind == Kind::Limits => ("/credit_limit", true),
        S::SupplyCap => ("/amount", moves),
        _ => return None,
    };
    is_there.then_some(field)
}
