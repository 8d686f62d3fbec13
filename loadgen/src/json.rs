//! Commands as the JSON requests of the HTTPS door, and its answers as outcomes. Written by hand
//! into buffers that are used again; only texts of people go through an escaper.
//!
//! It refuses what JSON has no words for (chains, string keys, fields that must be zero), so that
//! a caller can send it as a batch. Invariant: a request that it writes means the command, and
//! nothing else, to the door.

mod fields;
mod told;

use protocol::command::flags;
use protocol::data;
use protocol::parameter::Parameter;
use protocol::{Command, Kind};

use fields::{Fields, push_account, push_owner, push_uuid};

pub use told::{Told, door_refusal, told};

/// A request: its method, path and body, which is empty for a read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JsonRequest {
    /// Method.
    pub method: &'static str,
    /// Path with its query.
    pub path: String,
    /// JSON.
    pub body: Vec<u8>,
}

impl JsonRequest {
    /// Writes the request of `command` with its `data` over what was here; amounts are of an asset
    /// with `scale` digits. `false` when JSON has no words for it.
    pub fn write(&mut self, command: &Command, data: &[Command], scale: u16) -> bool {
        self.path.clear();
        self.body.clear();
        self.try_write(command, data, scale).is_some()
    }

    fn try_write(&mut self, command: &Command, data: &[Command], scale: u16) -> Option<()> {
        let kind = Kind::try_from(command.kind).ok()?;
        let unused = command.peer != 0 || command.reserved != [0; 3];
        if unused || command.flags & !(flags::ALL | flags::KEEP) != 0 {
            return None;
        }
        let mut texts = Texts::of(data)?;
        self.method = "POST";
        let json = &mut Fields { out: &mut self.body, scale, any: false };
        if kind.is_read() {
            return read(command, kind, &mut self.method, &mut self.path, json);
        }
        if command.id == 0 {
            return None;
        }
        json.uuid("id", command.id);
        match kind {
            Kind::Transfer | Kind::Hold | Kind::Capture | Kind::Release => {
                payment(command, kind, &mut self.path, json, &mut texts)?;
            }
            Kind::SystemTransfer | Kind::Issue | Kind::Burn | Kind::HaltMint | Kind::ResumeMint => {
                supply(command, kind, &mut self.path, json)?;
            }
            _ => {
                self.method = account_or_frame(command, kind, &mut self.path, json, &mut texts)?;
            }
        }
        if let Some(reason) = texts.reason.take() {
            json.text("reason", reason);
        }
        json.end();
        // What no field took has no words.
        (texts.memo.is_none() && texts.name.is_none()).then_some(())
    }
}

/// The texts of a command's data.
struct Texts<'a> {
    reason: Option<&'a str>,
    memo: Option<&'a str>,
    name: Option<&'a str>,
}

impl<'a> Texts<'a> {
    fn of(slots: &'a [Command]) -> Option<Self> {
        let mut texts = Self { reason: None, memo: None, name: None };
        for (tag, value) in data::entries(slots) {
            let text = std::str::from_utf8(value).ok()?;
            let place = match tag {
                data::TAG_REASON => &mut texts.reason,
                data::TAG_MEMO => &mut texts.memo,
                data::TAG_NAME => &mut texts.name,
                _ => return None,
            };
            if place.replace(text).is_some() {
                return None;
            }
        }
        data::is_well_formed(slots).then_some(texts)
    }
}

fn payment(
    command: &Command,
    kind: Kind,
    path: &mut String,
    json: &mut Fields<'_>,
    texts: &mut Texts<'_>,
) -> Option<()> {
    if matches!(kind, Kind::Capture | Kind::Release) {
        path.push_str("/v1/holds/");
        push_account(path, command)?;
        path.push('/');
        push_uuid(path, command.reference);
        path.push_str(if kind == Kind::Capture { "/capture" } else { "/release" });
        json.owner("credit", command.credit)?;
    } else {
        path.push_str(match (kind, command.reference) {
            (Kind::Hold, 0) => "/v1/holds",
            (Kind::Transfer, 0) => "/v1/transfers",
            (Kind::Transfer, _) => "/v1/refunds",
            _ => return None,
        });
        json.optional_uuid("original", command.reference);
        json.owner("debit", command.debit)?;
        json.owner("credit", command.credit)?;
        json.asset(command);
    }
    if !command.has(flags::ALL) && kind != Kind::Release {
        json.amount("amount", command.amount)?;
    }
    json.optional_number("timeout_ms", u64::from(command.timeout_ms));
    if command.has(flags::KEEP) {
        json.raw("keep", b"true");
    }
    json.optional_number("max_rate", command.value);
    json.optional_number("user_data", command.user_data);
    if let Some(memo) = texts.memo.take() {
        json.text("memo", memo);
    }
    Some(())
}

fn supply(command: &Command, kind: Kind, path: &mut String, json: &mut Fields<'_>) -> Option<()> {
    path.push_str(match kind {
        Kind::SystemTransfer => "/v1/system-transfers",
        Kind::Issue => "/v1/issues",
        Kind::Burn => "/v1/burns",
        Kind::HaltMint => "/v1/mint/halt",
        _ => "/v1/mint/resume",
    });
    if matches!(kind, Kind::SystemTransfer | Kind::Burn) {
        json.owner("debit", command.debit)?;
    }
    if matches!(kind, Kind::SystemTransfer | Kind::Issue) {
        json.owner("credit", command.credit)?;
    }
    if !matches!(kind, Kind::HaltMint | Kind::ResumeMint) {
        json.asset(command);
        json.amount("amount", command.amount)?;
    }
    json.optional_uuid("reference", command.reference);
    json.optional_number("code", u64::from(command.code));
    Some(())
}

fn account_or_frame(
    command: &Command,
    kind: Kind,
    path: &mut String,
    json: &mut Fields<'_>,
    texts: &mut Texts<'_>,
) -> Option<&'static str> {
    let of_account = |path: &mut String, doing: &str| {
        path.push_str("/v1/accounts/");
        push_account(path, command)?;
        path.push_str(doing);
        Some(())
    };
    match kind {
        Kind::Open => {
            path.push_str("/v1/accounts");
            json.owner("owner", command.debit)?;
            json.asset(command);
            json.optional_owner("host", command.credit)?;
        }
        Kind::Freeze | Kind::Unfreeze | Kind::Close => {
            of_account(
                path,
                match kind {
                    Kind::Freeze => "/freeze",
                    Kind::Unfreeze => "/unfreeze",
                    _ => "/close",
                },
            )?;
            json.optional_owner("beneficiary", command.credit)?;
            json.optional_number("code", u64::from(command.code));
        }
        Kind::Limits => {
            of_account(path, "/limits")?;
            json.amount("minimum", command.amount)?;
            json.amount("credit_limit", command.reference)?;
            return Some("PUT");
        }
        Kind::Rehost | Kind::AgentOnly => {
            path.push_str("/v1/owners/");
            push_owner(path, command.debit)?;
            path.push_str(if kind == Kind::Rehost { "/rehost" } else { "/agent-only" });
            if kind == Kind::Rehost {
                json.owner("host", command.credit)?;
                return Some("POST");
            }
            json.raw("agent_only", if command.code == 1 { b"true" } else { b"false" });
            return (command.code <= 1).then_some("PUT");
        }
        Kind::Configure => {
            path.push_str("/v1/parameters/");
            path.push_str(Parameter::from_number(command.code)?.name());
            json.text("value", &command.amount.to_string());
            json.optional_owner("host", command.credit)?;
            json.optional_number("effective_at", command.value);
            return Some("PUT");
        }
        Kind::Asset => {
            path.push_str("/v1/assets");
            json.number("asset", u64::from(command.asset));
            json.number("scale", command.value);
            json.text("name", texts.name.take()?);
        }
        _ => return None,
    }
    Some("POST")
}

fn read(
    command: &Command,
    kind: Kind,
    method: &mut &'static str,
    path: &mut String,
    json: &mut Fields<'_>,
) -> Option<()> {
    *method = "GET";
    match kind {
        Kind::ReadAccount => {
            path.push_str("/v1/accounts/");
            push_account(path, command)?;
        }
        Kind::ReadOutcome => {
            path.push_str("/v1/commands/");
            push_uuid(path, command.reference);
            if command.debit != 0 {
                path.push_str("?owner=");
                push_owner(path, command.debit)?;
            }
        }
        Kind::ReadSupply | Kind::ReadRecount => {
            let recount = if kind == Kind::ReadRecount { "/recount" } else { "" };
            path.push_str(&format!("/v1/supply/{}{recount}", command.asset));
        }
        Kind::Quote => {
            *method = "POST";
            path.push_str("/v1/transfers/quote");
            json.owner("debit", command.debit)?;
            json.owner("credit", command.credit)?;
            json.asset(command);
            json.amount("amount", command.amount)?;
            json.end();
        }
        Kind::ReadAccounts if command.value == 0 => {
            path.push_str("/v1/accounts?host=");
            push_owner(path, command.credit)?;
            if command.asset != 0 {
                path.push_str(&format!("&asset={}", command.asset));
            }
            path.push_str(&format!("&limit={}", command.amount));
        }
        Kind::ReadAsset => path.push_str(&format!("/v1/assets/{}", command.asset)),
        Kind::ReadHold => {
            path.push_str("/v1/holds/");
            push_account(path, command)?;
            path.push('/');
            push_uuid(path, command.reference);
        }
        Kind::ReadParameter => {
            path.push_str("/v1/parameters/");
            path.push_str(Parameter::from_number(command.code)?.name());
            if command.credit != 0 {
                path.push_str("?host=");
                push_owner(path, command.credit)?;
            }
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
#[path = "json_test.rs"]
mod tests;
