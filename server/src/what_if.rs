//! `bezant what-if`: the same journal replayed twice side by side, as it was and under other
//! parameters, and what differs.
//!
//! It refuses parameters that nobody knows, values that cannot be, and capacities below what is in
//! use where they change. Invariant: nothing is written, and the replay as it was compares every
//! digest, so that what is reported differs for the parameters alone.

mod report;
mod tally;

use engine::Options;
use journal::RecordHeader;
use pipeline::Replayer;
use protocol::Sequence;
use protocol::parameter::Parameter;

use self::report::Report;
use self::tally::Tally;
use crate::cli::past::WhatIfArgs;
use crate::cli::values;
use crate::config::Config;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::past::{self, Base, Past};
use crate::recover;
use crate::settings;

/// Parameters and their other values.
pub(crate) type Values = Vec<(Parameter, u128)>;

/// Tells the parameters among `--set` assignments from the settings.
pub(crate) fn split(assignments: &[String]) -> Result<(Values, Vec<String>), Failure> {
    let (mut values, mut rest) = (Values::new(), Vec::new());
    for assignment in assignments {
        // A mistyped name may be that of a secret: its value is not printed.
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let name = assignment.split(|c| !is_of_name(c)).next().unwrap_or_default();
        let refused = |cause: &str| Failure::new(Exit::Config, format!("--set {name}: {cause}"));
        if Parameter::ALL.iter().any(|parameter| parameter.name() == name) {
            let (parameter, value) =
                values::assignment(assignment).map_err(|cause| refused(&cause))?;
            if values.iter().any(|(other, _)| *other == parameter) {
                return Err(refused("it is set twice"));
            }
            values.push((parameter, value));
        } else if settings::all().any(|setting| setting.key == name) {
            rest.push(assignment.clone());
        } else {
            let names = Parameter::ALL.map(Parameter::name).join(", ");
            return Err(refused(&format!("neither a setting nor one of {names} has this name")));
        }
    }
    if values.is_empty() {
        let message = "what-if needs a parameter that is other, e.g. --set fee.base=7000";
        return Err(Failure::new(Exit::Config, message));
    }
    Ok((values, rest))
}

/// Runs the command.
pub(crate) fn run(config: &Config, args: &WhatIfArgs, values: &Values) -> Result<(), Failure> {
    let past = Past::open(config)?;
    let options = Options { history: true, effects_max: usize::MAX };
    let before = Sequence(args.from_sequence - 1);
    let run = past.near_or_oldest(before, options)?;
    let other = past.near_or_oldest(before, options)?;
    let base = Base::of(&run);
    if base != Base::of(&other) {
        let message = "the snapshots changed just now; run it again";
        return Err(Failure::new(Exit::Temporary, message));
    }
    let ((run, mut reader), (other, _)) = (run.into_parts(), other.into_parts());
    let mut sides = Sides {
        run,
        other,
        from: args.from_sequence,
        to: Sequence(args.to.unwrap_or(u64::MAX)),
        changed: None,
        tally: Tally::default(),
        is_running: past.is_running(),
    };
    while let Some((header, payload)) = reader.next().map_err(|error| recover::failure(&error))? {
        if header.first_sequence > sides.to.0 {
            break;
        }
        sides.apply(header, payload, values)?;
    }
    sides.report(&base, args, values)
}

/// Both replays, at the same record.
struct Sides {
    run: Replayer,
    other: Replayer,
    /// The parameters change with the record that holds this sequence.
    from: u64,
    to: Sequence,
    /// First sequence under the other parameters, and the values that they had.
    changed: Option<(u64, Vec<u128>)>,
    tally: Tally,
    /// Whether the journal is that of a running frame.
    is_running: bool,
}

impl Sides {
    fn apply(
        &mut self,
        header: &RecordHeader,
        payload: &[u8],
        values: &Values,
    ) -> Result<(), Failure> {
        if header.commands > 0 && header.next_sequence() > self.from && self.changed.is_none() {
            self.change(header.first_sequence, values)?;
        }
        let corrupt = |error| Failure::new(Exit::JournalCorrupt, error);
        let Self { run, other, to, tally, .. } = self;
        run.apply_through(header, payload, *to, |step| tally.run(&step)).map_err(corrupt)?;
        let is_changed = self.changed.is_some();
        other.apply_through(header, payload, *to, |step| tally.other(&step)).map_err(corrupt)?;
        let engines = (self.run.engine_mut(), self.other.engine_mut());
        let (Some(run), Some(other)) = engines else {
            return Ok(());
        };
        self.tally.end(is_changed.then_some((&*run, &*other)));
        run.discard_changes();
        other.discard_changes();
        Ok(())
    }

    fn change(&mut self, sequence: u64, values: &Values) -> Result<(), Failure> {
        let engine = self.run.engine().ok_or_else(no_genesis)?;
        let before = values.iter().map(|&(parameter, _)| engine.parameter(parameter)).collect();
        self.other.alter(values).or_exit(Exit::Config, "--set")?;
        self.changed = Some((sequence, before));
        Ok(())
    }

    fn report(mut self, base: &Base, args: &WhatIfArgs, values: &Values) -> Result<(), Failure> {
        let last = self.run.engine().ok_or_else(no_genesis)?.executed();
        let wanted = args.to.unwrap_or(0).max(self.from - 1);
        if last.0 < wanted {
            return Err(past::beyond(self.is_running, Sequence(wanted), last));
        }
        if self.changed.is_none() {
            self.change(last.0 + 1, values)?;
        }
        let (from, before) = self.changed.ok_or_else(no_genesis)?;
        let engines = (self.run.into_engine(), self.other.into_engine());
        let (Some(run), Some(other)) = engines else {
            return Err(no_genesis());
        };
        let changes = values.iter().zip(before);
        let report = Report {
            base,
            asked: args.from_sequence,
            from,
            changes: changes.map(|(&(name, after), before)| (name, before, after)).collect(),
            tally: &self.tally,
            run: &run,
            other: &other,
            accounts: tally::accounts(&run, &other, args.top),
        };
        if args.json { say!("{}", report.json()) } else { report.print() }
    }
}

fn no_genesis() -> Failure {
    Failure::new(Exit::NotFound, "the journal has no genesis record")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_of(assignments: &[&str]) -> Result<(Values, Vec<String>), String> {
        let assignments: Vec<_> = assignments.iter().map(ToString::to_string).collect();
        split(&assignments).map_err(|failure| failure.message)
    }

    #[test]
    fn parameters_are_told_from_settings() {
        let (values, rest) =
            split_of(&["fee.base=7000", "settlement.sink=none", "holds.default_ms=1"]).unwrap();
        assert_eq!(values, [(Parameter::FeeBase, 7_000), (Parameter::HoldDefaultMs, 1)]);
        assert_eq!(rest, ["settlement.sink=none"]);
        for setting in settings::all() {
            let is_parameter = Parameter::ALL.iter().any(|known| known.name() == setting.key);
            assert!(!is_parameter, "{} is a setting and a parameter", setting.key);
        }
    }

    #[test]
    fn what_cannot_be_meant_says_why() {
        for (assignments, cause) in [
            (&["fee.bas=7000"][..], "neither a setting nor one of fee.base"),
            (&["fee.base=lots"], "a whole number"),
            (&["fee.base"], "like fee.base=7000"),
            (&["fee.base=7000", "fee.base=8000"], "twice"),
            (&["settlement.sink=none"], "needs a parameter"),
            (&[], "needs a parameter"),
        ] {
            let error = split_of(assignments).unwrap_err();
            assert!(error.contains(cause), "{assignments:?}: {error}");
        }
        for sign in ["=", ":", " "] {
            let mistyped = format!("settlement.postgress{sign}postgres://bezant:canary@db");
            let error = split_of(&[&mistyped]).unwrap_err();
            assert!(error.contains("settlement.postgress") && !error.contains("canary"), "{error}");
        }
    }
}
