//! `bezant journal`: looking into a journal from the first record that is kept.
//!
//! It refuses to verify one that is being written. Invariant: it reads only.

use std::io::Write as _;
use std::sync::Arc;

use journal::{FileStorage, Summary};
use pipeline::Step;
use protocol::request::Commands;
use protocol::{CommandId, Kind, Role, Sequence, Status};
use serde_json::json;

use crate::audit::hex;
use crate::cli::JournalCommand;
use crate::config::Config;
use crate::exit::Failure;
use crate::past::{self, Past};
use crate::{logging, recover};

/// Runs one journal command.
pub(crate) fn run(config: &Config, command: &JournalCommand) -> Result<(), Failure> {
    let storage = Arc::new(FileStorage::new(config.journal_dir()));
    let failed = |error| recover::failure(&error);
    match command {
        JournalCommand::Verify => {
            let summary = journal::verify(storage).map_err(failed)?;
            print(&summary)?;
            say!("verdict         every record verifies")
        }
        JournalCommand::Stat => print(&journal::stat(storage).map_err(failed)?),
        JournalCommand::Cat { from, limit, json } => {
            cat(config, Range { from: *from, left: *limit, json: *json })
        }
    }
}

fn print(summary: &Summary) -> Result<(), Failure> {
    say!("frame           {:032x}", summary.frame)?;
    say!("segments        {}", summary.segments)?;
    say!("records         {}", summary.records)?;
    say!("commands        {}", summary.commands)?;
    say!("payload bytes   {}", summary.payload_bytes)?;
    say!("record bytes    {}", summary.record_bytes)?;
    say!("sequences       {} to {}", summary.first_sequence, summary.last_sequence)?;
    say!("first index     {}", summary.first.index)?;
    say!("last index      {}", summary.last.index)?;
    say!("last hash       {}", hex(&summary.last.hash))?;
    say!("torn blocks     {}", summary.torn_blocks)
}

/// Which commands to print, and how.
struct Range {
    from: u64,
    left: u64,
    json: bool,
}

/// Prints commands with the outcomes they had: outcomes are not stored, so the journal is replayed.
fn cat(config: &Config, mut range: Range) -> Result<(), Failure> {
    let before = Sequence(range.from.saturating_sub(1));
    let options = engine::Options { history: false, effects_max: 0 };
    let mut replay = Past::open(config)?.near_or_oldest(before, options)?;
    if replay.executed() > before {
        logging::complain(format!(
            "what came before sequence {} is no longer kept, or no snapshot before it",
            replay.executed().0 + 1
        ));
    }
    let mut out = std::io::stdout().lock();
    let mut lines = Vec::new();
    loop {
        let next = replay.next(|step| describe(&step, &mut range, &mut lines));
        if next.map_err(|error| past::failure(&error))?.is_none() {
            break;
        }
        replay.engine_mut().discard_changes();
        for line in lines.drain(..) {
            if writeln!(out, "{line}").is_err() {
                // The reader of the pipe has seen enough.
                return Ok(());
            }
        }
        if range.left == 0 {
            break;
        }
    }
    Ok(())
}

fn describe(step: &Step<'_>, range: &mut Range, lines: &mut Vec<String>) {
    let outcomes = step.outcomes.to_vec();
    let commands = Commands::new(step.slots).flatten();
    for (entry, outcome) in commands.zip(outcomes.iter()) {
        if outcome.sequence < range.from || range.left == 0 {
            continue;
        }
        range.left -= 1;
        let command = entry.command;
        let kind = Kind::try_from(command.kind)
            .map_or_else(|_| format!("kind {}", command.kind), |kind| format!("{kind:?}"));
        let role = Role::from_number(step.request.role).map_or("unknown", Role::name);
        let status: Status = outcome.status;
        let (debit, credit) = (CommandId(command.debit), CommandId(command.credit));
        let id = CommandId(command.id);
        lines.push(if range.json {
            json!({
                "sequence": outcome.sequence,
                "record": step.header.index,
                "timestamp_ns": step.header.timestamp_ns,
                "principal": CommandId(step.request.principal).to_string(),
                "role": role,
                "kind": kind,
                "id": id.to_string(),
                "debit": debit.to_string(),
                "credit": credit.to_string(),
                "amount": command.amount.to_string(),
                "asset": command.asset,
                "flags": command.flags,
                "status": status.name(),
                "rate_millionths": outcome.rate,
                "repeat": outcome.repeat,
            })
            .to_string()
        } else {
            format!(
                "{:>10} {kind:<12} {role:<8} {debit} -> {credit} {} asset {} id {id}: {status}",
                outcome.sequence, command.amount, command.asset
            )
        });
    }
}
