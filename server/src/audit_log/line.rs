//! The lines of the audit log as JSON objects. Invariant: nothing that a client wrote can begin a
//! new line, end its field or reach a terminal as a control character.

use gateway::{Audited, Event};
use identity::UuidText;
use serde::Serialize;
use serde_json::json;

use super::throttle::Cause;
use crate::clock;

/// Bytes of a text that others wrote, before control characters are spelled out.
pub(super) const TEXT_LEN_MAX: usize = 1_024;

/// Something to write, and when it happened.
#[derive(Debug)]
pub(super) struct Entry {
    /// Milliseconds since the Unix epoch.
    pub(super) time: u64,
    pub(super) what: What,
}

impl Entry {
    pub(super) fn now(what: What) -> Self {
        Self { time: clock::wall_ns() / 1_000_000, what }
    }
}

/// What happened.
#[derive(Debug)]
pub(super) enum What {
    /// At a door.
    Door(Event),
    /// The frame started.
    Started { frame: u128, epoch: u64 },
    /// The frame stopped in order.
    Stopped,
    /// Events that were counted instead of written.
    Suppressed { cause: Cause, count: u64 },
    /// Events that could not be written.
    Lost { count: u64 },
    /// The log goes on from a file that was left.
    Continued { previous: String, file: String, lines: u64, flaw: Option<&'static str> },
}

/// The fields of a command.
#[derive(Serialize)]
struct Command<'a> {
    time: u64,
    event: &'static str,
    door: &'static str,
    spiffe_id: Option<&'a str>,
    principal: String,
    role: &'static str,
    kind: String,
    id: String,
    owner: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    credit: Option<String>,
    asset: u32,
    amount: String,
    code: u16,
    status: &'static str,
    sequence: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    repeat: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "is_zero")]
    more: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The object of one line.
pub(super) fn object(entry: &Entry) -> String {
    let time = entry.time;
    match &entry.what {
        What::Door(Event::Command(audited)) => command(time, audited),
        What::Door(Event::Refused { door, remote, reason, cause }) => json!({
            "time": time, "event": "connection_refused", "door": door.name(),
            "remote": remote.to_string(), "reason": reason, "cause": plain(cut(cause)),
        })
        .to_string(),
        What::Door(Event::IdentityEnded { door, remote, spiffe_id, reason, cause }) => json!({
            "time": time, "event": "identity_ended", "door": door.name(),
            "remote": remote.to_string(), "spiffe_id": plain(cut(spiffe_id)), "reason": reason,
            "cause": plain(cut(cause)),
        })
        .to_string(),
        What::Door(other) => {
            json!({ "time": time, "event": "other", "cause": plain(cut(&format!("{other:?}"))) })
                .to_string()
        }
        What::Started { frame, epoch } => json!({
            "time": time, "event": "started", "frame": format!("{frame:032x}"), "epoch": epoch,
            "version": env!("CARGO_PKG_VERSION"),
        })
        .to_string(),
        What::Stopped => json!({ "time": time, "event": "stopped" }).to_string(),
        What::Suppressed { cause, count } => match cause {
            Cause::Reason(reason) => json!({
                "time": time, "event": "suppressed", "reason": reason, "count": count,
            }),
            Cause::Principal(principal) => json!({
                "time": time, "event": "suppressed", "count": count,
                "principal": UuidText(*principal).to_string(),
            }),
            Cause::Others => json!({ "time": time, "event": "suppressed", "count": count }),
        }
        .to_string(),
        What::Lost { count } => {
            json!({ "time": time, "event": "lost", "count": count }).to_string()
        }
        What::Continued { previous, file, lines, flaw } => json!({
            "time": time, "event": "continued", "previous": previous, "file": file,
            "lines": lines, "flaw": flaw,
        })
        .to_string(),
    }
}

fn command(time: u64, audited: &Audited) -> String {
    let line = Command {
        time,
        event: "command",
        door: audited.door.name(),
        spiffe_id: audited.spiffe_id.as_deref().map(cut),
        principal: UuidText(audited.principal).to_string(),
        role: audited.role,
        kind: snake(&format!("{:?}", audited.kind)),
        id: UuidText(audited.id).to_string(),
        owner: UuidText(audited.debit).to_string(),
        credit: (audited.credit != 0).then(|| UuidText(audited.credit).to_string()),
        asset: audited.asset,
        amount: audited.amount.to_string(),
        code: audited.code,
        status: audited.status.name(),
        sequence: audited.sequence,
        repeat: audited.is_repeat,
        reason: plain(cut(&audited.text)),
        more: audited.more,
    };
    serde_json::to_string(&line).expect("strings and numbers have a JSON form")
}

/// `SystemTransfer` as `system_transfer`.
fn snake(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 2);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

/// What of a text that others wrote goes into a line.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_LEN_MAX)]
}

/// Text whose control characters are spelled out, and those that turn its direction.
fn plain(text: &str) -> String {
    let is_hidden = |letter: char| {
        letter.is_control() || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_hidden(letter) {
            plain.extend(letter.escape_unicode());
        } else {
            plain.push(letter);
        }
    }
    plain
}
