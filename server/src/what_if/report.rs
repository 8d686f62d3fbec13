//! What is told of two replays, as lines for people and as one object for machines. Invariant:
//! both say the same.

use engine::Engine;
use protocol::cut::SupplyRow;
use protocol::parameter::Parameter;
use protocol::wide::Wide;
use protocol::{AssetId, CommandId, Status, amount};
use serde_json::{Value, json};

use super::tally::{Balance, Change, Difference, Group, Tally, Word, kind_name};
use crate::cli::values::owner_text;
use crate::exit::Failure;
use crate::past::Base;
use crate::replay_cmd::{supply_json, wide};

/// Two replays at their end.
pub(super) struct Report<'a> {
    pub(super) base: &'a Base,
    /// The sequence from which the parameters were to change.
    pub(super) asked: u64,
    /// The first one that was executed under them.
    pub(super) from: u64,
    /// Parameters with both values.
    pub(super) changes: Vec<(Parameter, u128, u128)>,
    pub(super) tally: &'a Tally,
    pub(super) run: &'a Engine,
    pub(super) other: &'a Engine,
    /// How many accounts differ, and the largest differences.
    pub(super) accounts: (u64, Vec<Difference>),
}

impl Report<'_> {
    /// Lines.
    pub(super) fn print(&self) -> Result<(), Failure> {
        let Tally { commands, outcomes, rates, .. } = self.tally;
        let through = self.run.executed();
        say!("replayed    {commands} commands, sequences {} to {through}", self.from)?;
        say!("from        {}{}", self.base, self.late())?;
        for (parameter, before, after) in &self.changes {
            say!("parameter   {} = {after} instead of {before}", parameter.name())?;
        }
        let differ: u64 = outcomes.values().map(|group| group.count).sum();
        say!("outcomes    {differ} differ")?;
        for (change, Group { count, first }) in outcomes {
            let Change { kind, before, after } = *change;
            let (kind, before, after) = (kind_name(kind), word(before), word(after));
            say!("  {count:>9} {kind}: {before} -> {after}, first at sequence {first}")?;
        }
        match rates {
            Group { count: 0, .. } => say!("rates       0 differ")?,
            Group { count, first } => {
                say!("rates       {count} differ, first at sequence {first}")?;
            }
        }
        for (asset, before, after) in self.fees() {
            let name = self.asset(asset).map_or_else(String::new, |row| row.name);
            let [before, after] = [before, after].map(|units| self.gross(asset, units));
            say!("fees        asset {asset} ({name}): {before} -> {after}")?;
        }
        self.print_supply()?;
        self.print_accounts()
    }

    /// What to say when the change could not begin where it was to.
    fn late(&self) -> String {
        if self.base.sequence().0 < self.asked {
            return String::new();
        }
        format!(": the journal no longer reaches back to sequence {}", self.asked)
    }

    fn print_supply(&self) -> Result<(), Failure> {
        let other = self.other.supply();
        for before in self.run.supply() {
            let after = other.iter().find(|row| row.asset == before.asset);
            let SupplyRow { asset, name, .. } = &before;
            let text = |row: &SupplyRow| {
                format!(
                    "issued {}, destroyed {}, held {}",
                    wide(row.issued, row.scale),
                    wide(row.destroyed, row.scale),
                    amount::format(row.held, row.scale)
                )
            };
            let (before, after) = (text(&before), after.map_or_else(|| "none".to_owned(), text));
            if before == after {
                say!("supply      asset {asset} ({name}): {before}, as it was")?;
            } else {
                say!("supply      asset {asset} ({name}): {before} -> {after}")?;
            }
        }
        Ok(())
    }

    fn print_accounts(&self) -> Result<(), Failure> {
        let (count, largest) = &self.accounts;
        say!("accounts    {count} have other balances")?;
        for difference in largest {
            let Difference { owner, asset, before, after } = difference;
            let text = |balance: &Option<Balance>| {
                balance.map_or_else(
                    || "not there".to_owned(),
                    |Balance { liquid, held }| {
                        let liquid = self.signed(*asset, liquid);
                        format!("{liquid} and {} held", self.gross(*asset, held.into()))
                    },
                )
            };
            let (before, after) = (text(before), text(after));
            let sign = if difference.more() > 0 { "+" } else { "" };
            let more = self.signed(*asset, difference.more());
            say!("  {} asset {asset}: {before} -> {after} ({sign}{more})", owner_text(*owner))?;
        }
        Ok(())
    }

    /// One object.
    pub(super) fn json(&self) -> Value {
        let Tally { commands, outcomes, rates, .. } = self.tally;
        let parameter = |(parameter, before, after): &(Parameter, u128, u128)| {
            json!({
                "name": parameter.name(),
                "before": before.to_string(),
                "after": after.to_string(),
            })
        };
        let outcome = |(change, group): (&Change, &Group)| {
            json!({
                "kind": kind_name(change.kind),
                "before": word(change.before),
                "after": word(change.after),
                "count": group.count,
                "first_sequence": group.first,
            })
        };
        let fees = self.fees().map(|(asset, before, after)| {
            json!({
                "asset": asset,
                "before": self.gross(asset, before),
                "after": self.gross(asset, after),
            })
        });
        let supply = |engine: &Engine| engine.supply().iter().map(supply_json).collect::<Vec<_>>();
        let (count, largest) = &self.accounts;
        json!({
            "base": self.base.to_string(),
            "asked_from": self.asked,
            "from_sequence": self.from,
            "through": self.run.executed().0,
            "timestamp_ns": self.run.timestamp_ns(),
            "commands": commands,
            "parameters": self.changes.iter().map(parameter).collect::<Vec<_>>(),
            "outcomes": outcomes.iter().map(outcome).collect::<Vec<_>>(),
            "rates": {
                "count": rates.count,
                "first_sequence": (rates.count > 0).then_some(rates.first),
            },
            "fees": fees.collect::<Vec<_>>(),
            "supply": { "before": supply(self.run), "after": supply(self.other) },
            "accounts": {
                "count": count,
                "largest": largest.iter().map(|row| self.account(row)).collect::<Vec<_>>(),
            },
        })
    }

    fn account(&self, difference: &Difference) -> Value {
        let Difference { owner, asset, before, after } = difference;
        let balance = |balance: &Option<Balance>| {
            balance.map(|Balance { liquid, held }| {
                json!({
                    "liquid": self.signed(*asset, liquid),
                    "held": self.gross(*asset, held.into()),
                })
            })
        };
        json!({
            "owner": CommandId(*owner).to_string(),
            "name": owner_text(*owner),
            "asset": asset,
            "before": balance(before),
            "after": balance(after),
            "more": self.signed(*asset, difference.more()),
        })
    }

    fn fees(&self) -> impl Iterator<Item = (AssetId, Wide, Wide)> {
        self.tally.fees.iter().map(|(&asset, &(before, after))| (asset, before, after))
    }

    fn asset(&self, asset: AssetId) -> Option<SupplyRow> {
        self.run.supply().into_iter().find(|row| row.asset == asset)
    }

    fn scale(&self, asset: AssetId) -> u16 {
        self.asset(asset).map_or(0, |row| row.scale)
    }

    fn gross(&self, asset: AssetId, units: Wide) -> String {
        wide(units, self.scale(asset))
    }

    fn signed(&self, asset: AssetId, units: i128) -> String {
        amount::format_signed(units, self.scale(asset))
    }
}

/// What a command was answered, in words.
fn word(word: Word) -> String {
    let name = Status::from_number(word.status).map_or("unknown", Status::name);
    if word.is_repeat { format!("{name} (repeat)") } else { name.to_owned() }
}
