//! `bezant client pay-file`: every payment of a file, in as few requests as may be.
//!
//! The whole file is read and checked before anything is sent. Ids that the file does not give are
//! made from one id and the place of the line, so that the file can be sent again after a crash of
//! either side. Invariant: a payment is said to be refused only when the frame said so.

use std::io::Read as _;
use std::path::Path;

use client::{Batch, Command, CommandId, Outcome};
use protocol::{Kind, flags};

use crate::cli::client::PayFileArgs;
use crate::client_cmd::payments::{self, Payment};
use crate::client_cmd::said::{Said, Trouble, refusal};
use crate::client_cmd::{Entries, Speaker};
use crate::exit::{Exit, Failure, OrExit as _};
use crate::logging::complain;

/// Longest file; a payment needs about a hundred bytes.
const FILE_SIZE_MAX: u64 = 1 << 30;
/// Bits of an id below its time.
const TAIL_BITS: u32 = 80;
/// Refusals told in words; all of them are in the JSON lines.
const TOLD_MAX: usize = 20;

/// What became of the payments so far.
#[derive(Default)]
struct Tally {
    /// Why a line could not be printed.
    unsaid: Option<Failure>,
    paid: usize,
    refused: usize,
    repeated: usize,
}

impl Speaker {
    pub(super) async fn pay_file(
        &mut self,
        args: &PayFileArgs,
        as_json: bool,
    ) -> Result<Said, Trouble> {
        let text = read(&args.file)?;
        let payments = payments::parse(&text)
            .or_exit(Exit::Usage, &format!("{}, nothing was sent", args.file.display()))?;
        let first = self.id(args.id.id);
        let commands = self.commands(&payments, first).await?;
        // A crash of this process leaves nothing else to repeat by.
        complain(format_args!(
            "ids begin at {first}; to repeat, send the same file with --id {first}"
        ));
        let mut tally = Tally::default();
        let mut sent = 0;
        while sent < payments.len() {
            let (batch, count) = fill(&payments[sent..], &commands[sent..], args.atomic)?;
            let lines = &payments[sent..sent + count];
            let outcomes = self.send(&batch, lines, first).await?;
            for (payment, (command, outcome)) in
                lines.iter().zip(commands[sent..].iter().zip(&outcomes))
            {
                tally.book(payment.line, CommandId(command.id), outcome, as_json);
            }
            sent += count;
        }
        tally.close(payments.len(), first, as_json)
    }

    async fn commands(
        &mut self,
        payments: &[Payment],
        first: CommandId,
    ) -> Result<Vec<Command>, Trouble> {
        let mut commands = Vec::with_capacity(payments.len());
        for (place, payment) in payments.iter().enumerate() {
            let amount = self.amount(&payment.amount, payment.asset).await;
            let amount = amount.map_err(|mut trouble| {
                let message = &mut trouble.failure.message;
                *message = format!("line {}, nothing was sent: {message}", payment.line);
                trouble
            })?;
            let id = match payment.id {
                Some(id) => id,
                None => nth(first, place).ok_or_else(|| {
                    Trouble::usage("--id leaves no room for an id of every line; choose another")
                })?,
            };
            commands.push(Command {
                debit: payment.debit,
                credit: payment.credit,
                amount,
                asset: payment.asset,
                value: payment.max_rate,
                reference: payment.reference.map_or(0, |id| id.0),
                user_data: payment.user_data,
                ..Command::new(Kind::Transfer, id)
            });
        }
        Ok(commands)
    }

    async fn send(
        &self,
        batch: &Batch,
        lines: &[Payment],
        first: CommandId,
    ) -> Result<Vec<Outcome>, Trouble> {
        let span = match lines {
            [only] => format!("line {}", only.line),
            [from, .., to] => format!("lines {} to {}", from.line, to.line),
            [] => String::new(),
        };
        let reply = self.session.execute(batch).await.map_err(|error| {
            let repeat = format!(
                "Not known are {span}; what came before was answered, what comes after was not \
                 sent. Send the same file again with --id {first}"
            );
            Trouble::unanswered(first, &error, &repeat)
        })?;
        if let Some(status) = reply.refused() {
            let mut trouble = Trouble::refused_unsequenced(first, status);
            trouble.failure.message =
                format!("from {span} on nothing was paid: {}", refusal(status));
            return Err(trouble);
        }
        if reply.outcomes().len() != lines.len() {
            let message = format!("{span}: the reply does not have an outcome for each");
            return Err(Failure::new(Exit::Internal, message).into());
        }
        Ok(reply.outcomes().to_vec())
    }
}

impl Tally {
    fn book(&mut self, line: usize, id: CommandId, outcome: &Outcome, as_json: bool) {
        if outcome.status.is_ok() {
            self.paid += 1;
            self.repeated += usize::from(outcome.repeat);
        } else {
            self.refused += 1;
        }
        if as_json {
            // Nobody may be reading any more; what was ordered is paid nevertheless.
            let said = Said::outcome(id, outcome).with("line", line).print(true);
            self.unsaid = self.unsaid.take().or_else(|| said.err());
        } else if !outcome.status.is_ok() && self.refused <= TOLD_MAX {
            complain(format_args!("line {line}, {id}: {}", refusal(outcome.status)));
        }
    }

    fn close(self, all: usize, first: CommandId, as_json: bool) -> Result<Said, Trouble> {
        let said = Said::default()
            .with("payments", all)
            .with("ok", self.paid)
            .with("refused", self.refused)
            .with("repeated", self.repeated)
            .with("id", first.to_string());
        if self.refused == 0 {
            return self.unsaid.map_or(Ok(said), |failure| Err(failure.into()));
        }
        if !as_json {
            // The exit code and standard error say it as well.
            let _ = said.print(false);
        }
        let message = format!("{} of {all} payments were refused", self.refused);
        Err(Trouble { failure: Failure::new(Exit::Failed, message), said: Some(Box::new(said)) })
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    let shown = file.display().to_string();
    let mut text = String::new();
    let source: Box<dyn std::io::Read> = if file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(file).or_exit(Exit::NotFound, &shown)?)
    };
    source.take(FILE_SIZE_MAX + 1).read_to_string(&mut text).or_exit(Exit::Io, &shown)?;
    if text.len() as u64 > FILE_SIZE_MAX {
        return Err(Failure::new(Exit::Usage, format!("{shown} is longer than 1 GiB; split it")));
    }
    Ok(text)
}

/// The id `place` after `first`, of the same time; `None` if its tail would run over.
fn nth(first: CommandId, place: usize) -> Option<CommandId> {
    let id = CommandId(first.0.checked_add(place as u128)?);
    (id.0 >> TAIL_BITS == first.0 >> TAIL_BITS).then_some(id)
}

/// As many payments as fit a request, and their number; all of them when they are one chain.
fn fill(
    payments: &[Payment],
    commands: &[Command],
    atomic: bool,
) -> Result<(Batch, usize), Trouble> {
    let mut batch = Batch::new();
    for (at, (payment, command)) in payments.iter().zip(commands).enumerate() {
        let mut command = *command;
        if atomic && at + 1 < payments.len() {
            command.flags |= flags::LINKED;
        }
        if Entries::memo(payment.memo.as_deref()).push_to(&mut batch, command).is_err() {
            if atomic {
                return Err(Trouble::usage(
                    "these payments do not fit one chain; nothing was sent",
                ));
            }
            if at == 0 {
                let message = format!("line {}: the memo is too long", payment.line);
                return Err(Trouble::usage(message));
            }
            return Ok((batch, at));
        }
    }
    Ok((batch, payments.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payments(count: usize, memo: usize) -> (Vec<Payment>, Vec<Command>) {
        let line = |line| Payment {
            line,
            id: None,
            debit: 1 << 70,
            credit: 1 << 71,
            amount: "1".to_owned(),
            asset: 1,
            max_rate: 0,
            reference: None,
            memo: (memo > 0).then(|| "m".repeat(memo)),
            user_data: 0,
        };
        let payments: Vec<_> = (1..=count).map(line).collect();
        let pay = Command::transfer(CommandId::new(7, 7), 1 << 70, 1 << 71, 1, 1);
        (payments, vec![pay; count])
    }

    #[test]
    fn a_long_file_is_cut_into_full_requests() {
        let (payments, commands) = payments(10_000, 0);
        let (batch, count) = fill(&payments, &commands, false).unwrap();
        assert_eq!((batch.commands(), count), (8_190, 8_190));
        let (batch, count) = fill(&payments[8_190..], &commands[8_190..], false).unwrap();
        assert_eq!((batch.commands(), count), (1_810, 1_810));
        assert!(fill(&payments, &commands, true).is_err(), "one chain is one request");
    }

    #[test]
    fn a_chain_is_linked_up_to_its_last_payment() {
        let (payments, commands) = payments(3, 0);
        let (batch, _) = fill(&payments, &commands, true).unwrap();
        let linked: Vec<_> = batch.iter().map(Command::is_linked).collect();
        assert_eq!(linked, [true, true, false]);
    }

    #[test]
    fn memos_take_room_and_may_be_too_long() {
        let (payments, commands) = payments(200, 8_000);
        let (batch, count) = fill(&payments, &commands, false).unwrap();
        assert!(count > 100 && count < 200 && batch.commands() == count);
        let (payments, commands) = self::payments(1, 9_000);
        assert!(fill(&payments, &commands, false).is_err());
    }

    #[test]
    fn ids_of_lines_have_the_time_of_the_first() {
        let first = CommandId::new(1_700_000_000_000, (1 << 80) - 2);
        assert_eq!(nth(first, 1).map(CommandId::unix_ms), Some(1_700_000_000_000));
        assert_eq!(nth(first, 2), None);
    }
}
