//! What `bezant client` prints: the same facts as JSON for machines and as lines for people.
//!
//! Field names are those of the HTTPS door's answers. A refusal is a fact too: JSON on standard
//! output, words with the cure on standard error. Invariant: a command whose outcome is not known
//! is told with its id and how to repeat it, never as a failure.

use client::{CommandId, Error, Outcome, Sequence, Status};
use protocol::status::Advice;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;

use crate::exit::{Exit, Failure};

/// Facts in the order in which they are printed.
#[derive(Debug, Default)]
pub(crate) struct Said {
    fields: Vec<(&'static str, Value)>,
    rows: Option<(&'static str, Vec<Self>)>,
}

impl Said {
    /// With one more fact.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// With a list of facts that all have the same names.
    pub(crate) fn with_rows(mut self, name: &'static str, rows: Vec<Self>) -> Self {
        self.rows = Some((name, rows));
        self
    }

    /// An id and what became of its command.
    pub(crate) fn outcome(id: CommandId, outcome: &Outcome) -> Self {
        let said = Self::default().with("id", id.to_string());
        said.status(outcome.status, Some(Sequence(outcome.sequence)), u32::from(outcome.rate))
    }

    /// What became of a command: of a refusal all that the caller needs to go on.
    pub(crate) fn status(self, status: Status, sequence: Option<Sequence>, rate: u32) -> Self {
        let said = self.with("status", status.name());
        let sequence = sequence.map_or(Value::Null, |sequence| sequence.0.into());
        if status.is_ok() {
            return said.with("sequence", sequence).with("rate", rate);
        }
        said.with("sequence", sequence)
            .with("name", status.name())
            .with("number", status.number())
            .with("cure", status.cure())
            .with("remembered", status.is_remembered())
            .with("retry", retry(status))
    }

    /// Prints it.
    pub(crate) fn print(&self, as_json: bool) -> Result<(), Failure> {
        if as_json {
            return say!("{}", self.json());
        }
        if let Some((_, rows)) = &self.rows {
            print_table(rows)?;
        }
        self.fields.iter().try_for_each(|(name, value)| print_line(name, value))
    }

    fn json(&self) -> String {
        serde_json::to_string(self).expect("facts are text, numbers and truth values")
    }
}

impl Serialize for Said {
    /// One object, its members in the order in which they were said.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some((name, rows)) = &self.rows {
            map.serialize_entry(name, rows)?;
        }
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

fn print_line(name: &str, value: &Value) -> Result<(), Failure> {
    let Value::Object(members) = value else {
        return say!("{name:14} {}", plain(value));
    };
    members.iter().try_for_each(|(member, value)| print_line(&format!("{name}.{member}"), value))
}

fn print_table(rows: &[Said]) -> Result<(), Failure> {
    let Some(first) = rows.first() else {
        return Ok(());
    };
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(first.fields.iter().map(|(name, _)| *name));
    for row in rows {
        table.add_row(row.fields.iter().map(|(_, value)| plain(value)));
    }
    say!("{table}")
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

/// Whether and how to send it again, as the HTTPS door says it.
fn retry(status: Status) -> &'static str {
    match status.advice() {
        Advice::RetrySameId => "same_id",
        Advice::RetryNewId => "new_id",
        _ => "no",
    }
}

/// Why a client command did not do what was asked.
#[derive(Debug)]
pub(crate) struct Trouble {
    /// What the process ends with.
    pub(crate) failure: Failure,
    /// The same as facts, where the frame or the connection had a say.
    pub(crate) said: Option<Box<Said>>,
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self { failure, said: None }
    }
}

impl Trouble {
    /// The command line asks for what cannot be.
    pub(crate) fn usage(message: impl ToString) -> Self {
        Failure::new(Exit::Usage, message).into()
    }

    /// The frame refused the command `id`.
    pub(crate) fn refused(id: CommandId, outcome: &Outcome) -> Self {
        let message = format!("{id}: {}", refusal(outcome.status));
        Self {
            failure: Failure::new(Exit::Failed, message),
            said: Some(Box::new(Said::outcome(id, outcome))),
        }
    }

    /// The frame refused a whole request, and so the command `id`; nothing was sequenced.
    pub(crate) fn refused_unsequenced(id: CommandId, status: Status) -> Self {
        let said = Said::default().with("id", id.to_string()).status(status, None, 0);
        let message = format!("{id}: {}", refusal(status));
        Self { failure: Failure::new(Exit::Failed, message), said: Some(Box::new(said)) }
    }

    /// A read was not answered.
    pub(crate) fn unread(what: &str, error: &Error) -> Self {
        if let Error::Read(status) = error {
            let said = Said::default().status(*status, None, 0);
            let message = format!("{what}: {}", refusal(*status));
            let failure = Failure::new(Exit::Failed, message);
            return Self { failure, said: Some(Box::new(said)) };
        }
        Failure::new(exit_of(error), format!("{what}: {error}")).into()
    }

    /// No answer to the command `id` came; `repeat` says how to send it again.
    pub(crate) fn unanswered(id: CommandId, error: &Error, repeat: &str) -> Self {
        if !error.is_unknown() {
            let message = format!("{id} was not executed: {error}");
            return Failure::new(exit_of(error), message).into();
        }
        let said = Said::default()
            .with("id", id.to_string())
            .with("status", "unknown")
            .with("retry", "same_id");
        let message = format!("{error}\nIt may have been executed. {repeat}");
        Self { failure: Failure::new(Exit::Temporary, message), said: Some(Box::new(said)) }
    }
}

/// The exit code of a conversation that failed.
pub(crate) fn exit_of(error: &Error) -> Exit {
    let unheard = matches!(error, Error::Server { .. } | Error::Refused { .. });
    if unheard && !error.is_transient() { Exit::Identity } else { Exit::Temporary }
}

/// A refusal in words.
pub(crate) fn refusal(status: Status) -> String {
    let again = match retry(status) {
        "same_id" => "; retry with the same --id",
        "new_id" => "; a new attempt needs a new id",
        _ => "",
    };
    format!("refused, {} ({}): {}{again}", status.name(), status.number(), status.cure())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_keep_their_order_and_refusals_say_how_to_go_on() {
        let outcome = Outcome { sequence: 7, status: Status::Ok, rate: 5_000, repeat: false };
        let id = CommandId::new(1_700_000_000_000, 7);
        let ok = Said::outcome(id, &outcome).json();
        let expected = format!(r#"{{"id":"{id}","status":"ok","sequence":7,"rate":5000}}"#);
        assert_eq!(ok, expected);
        let poor = Outcome { status: Status::InsufficientFunds, ..outcome };
        let refused = Said::outcome(id, &poor).json();
        assert!(refused.contains(r#""number":801"#), "{refused}");
        assert!(refused.contains(r#""remembered":true,"retry":"new_id""#), "{refused}");
        let row = || Said::default().with("name", "fee.base");
        let list = Said::default().with_rows("parameters", vec![row(), row()]).json();
        assert_eq!(list, r#"{"parameters":[{"name":"fee.base"},{"name":"fee.base"}]}"#);
    }
}
