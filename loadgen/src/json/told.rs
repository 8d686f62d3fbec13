//! What an answer of the door says about one command. What it does not say plainly is unknown.

use protocol::Status;
use protocol::reply::Outcome;

use crate::https::{Answer, number};

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// What became of the command.
    Outcome(Outcome),
    /// The door refused the request; nothing was sequenced.
    Refused(u16),
    /// Whether it was executed is unknown.
    Unknown(u16),
}

/// Reads the answer to a single command.
#[must_use]
pub fn told(answer: &Answer) -> Told {
    let found = |name| number(&answer.body, name);
    let sequence = found("sequence");
    let status = match found("number").filter(|_| answer.status >= 300) {
        Some(number) => u16::try_from(number).ok().and_then(Status::from_number),
        None if answer.status < 300 => Some(Status::Ok),
        None => None,
    };
    match (status, sequence) {
        (Some(status), Some(sequence)) => Told::Outcome(Outcome {
            sequence,
            status,
            rate: found("rate").and_then(|rate| u16::try_from(rate).ok()).unwrap_or(0),
            repeat: answer.replayed,
        }),
        // The whole request was refused before it had a sequence.
        (Some(status), None) if !status.is_ok() => Told::Refused(answer.status),
        _ if matches!(answer.status, 400..=407 | 409..=499 | 503) => Told::Refused(answer.status),
        _ => Told::Unknown(answer.status),
    }
}

/// A name for what the door refuses by itself, in figures.
#[must_use]
pub const fn door_refusal(status: u16) -> &'static str {
    match status {
        400 => "http_400",
        404 => "http_404",
        413 => "http_413",
        415 => "http_415",
        429 => "http_429",
        503 => "http_503",
        507 => "http_507",
        _ => "http_other",
    }
}
