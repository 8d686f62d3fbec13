//! `bezant replay`: the state of a frame after any sequence of its past.
//!
//! It refuses a sequence that the journal does not reach, and one before what is kept. Invariant:
//! what it shows is the state right after that command, with every digest on the way compared.

use engine::{Engine, Options};
use protocol::cut::{AccountRow, SupplyRow};
use protocol::wide::Wide;
use protocol::{CommandId, Sequence, amount};
use serde_json::{Value, json};

use crate::audit::hex;
use crate::cli::past::ReplayArgs;
use crate::cli::values::owner_text;
use crate::config::Config;
use crate::exit::Failure;
use crate::past::{self, Base, Past};

/// The state asked for.
struct Moment {
    engine: Engine,
    base: Base,
    /// Index of the record that holds the last command.
    record: u64,
}

/// Runs the command.
pub(crate) fn run(config: &Config, args: &ReplayArgs) -> Result<(), Failure> {
    let moment = moment(&Past::open(config)?, Sequence(args.to))?;
    let rows = accounts(&moment.engine, args);
    if args.json {
        return say!("{}", as_json(&moment, args.to, &rows));
    }
    print(&moment, args.to)?;
    let supply = moment.engine.supply();
    for row in &rows {
        let asset = supply.iter().find(|asset| asset.asset == row.asset);
        let scale = asset.map_or(0, |asset| asset.scale);
        say!(
            "account     {} asset {}: liquid {}, held {}, host {}, flags {}",
            owner_text(row.owner),
            row.asset,
            amount::format_signed(row.liquid, scale),
            amount::format(row.held, scale),
            row.host,
            row.flags
        )?;
    }
    Ok(())
}

/// Replays to `to`, inside a record if that is where it lies.
fn moment(past: &Past, to: Sequence) -> Result<Moment, Failure> {
    let options = Options { history: false, effects_max: 0 };
    let mut replay = past.near(to, options)?;
    let (base, mut record) = (Base::of(&replay), replay.index());
    while replay.executed() < to {
        let next = replay.next_through(to, |_| ()).map_err(|error| past::failure(&error))?;
        let Some(header) = next else {
            break;
        };
        record = header.index;
        replay.engine_mut().discard_changes();
    }
    let engine = replay.into_parts().0.into_engine().expect("a replay has an engine");
    let last = engine.executed();
    if last < to {
        return Err(past::beyond(past.is_running(), to, last));
    }
    Ok(Moment { engine, base, record })
}

/// The accounts asked for, by owner and asset.
fn accounts(engine: &Engine, args: &ReplayArgs) -> Vec<AccountRow> {
    if args.accounts {
        return engine.accounts();
    }
    let assets: Vec<_> = engine.supply().iter().map(|row| row.asset).collect();
    let of = |&owner| assets.iter().filter_map(move |&asset| engine.account(owner, asset));
    args.owners.iter().flat_map(of).collect()
}

fn print(moment: &Moment, asked: u64) -> Result<(), Failure> {
    let Moment { engine, base, record } = moment;
    let executed = engine.executed();
    say!("sequence    {executed}, in record {record}; replayed from {base}")?;
    if executed.0 > asked {
        say!("chain       sequence {asked} is inside a chain, which ends with {executed}")?;
    }
    say!("time        {} ns", engine.timestamp_ns())?;
    say!("run digest  {}", hex(&engine.run_digest()))?;
    say!("image       {}", hex(&engine.image_digest()))?;
    for row in engine.supply() {
        say!(
            "supply      asset {} ({}): issued {}, destroyed {}, liquid {}, held {}",
            row.asset,
            row.name,
            wide(row.issued, row.scale),
            wide(row.destroyed, row.scale),
            amount::format_signed(row.liquid, row.scale),
            amount::format(row.held, row.scale)
        )?;
    }
    Ok(())
}

fn as_json(moment: &Moment, asked: u64, rows: &[AccountRow]) -> Value {
    let Moment { engine, base, record } = moment;
    let supply = engine.supply();
    let scale = |asset| supply.iter().find(|row| row.asset == asset).map_or(0, |row| row.scale);
    let account = |row: &AccountRow| {
        let scale = scale(row.asset);
        json!({
            "owner": CommandId(row.owner).to_string(),
            "name": owner_text(row.owner),
            "asset": row.asset,
            "liquid": amount::format_signed(row.liquid, scale),
            "held": amount::format(row.held, scale),
            "minimum": amount::format(row.minimum, scale),
            "credit_limit": amount::format(row.credit_limit, scale),
            "host": row.host,
            "flags": row.flags,
        })
    };
    json!({
        "asked": asked,
        "sequence": engine.executed().0,
        "record": record,
        "base": base.to_string(),
        "timestamp_ns": engine.timestamp_ns(),
        "run_digest": hex(&engine.run_digest()),
        "image_digest": hex(&engine.image_digest()),
        "supply": supply.iter().map(supply_json).collect::<Vec<_>>(),
        "accounts": rows.iter().map(account).collect::<Vec<_>>(),
    })
}

/// The supply of one asset, in major units.
pub(crate) fn supply_json(row: &SupplyRow) -> Value {
    json!({
        "asset": row.asset,
        "name": row.name,
        "issued": wide(row.issued, row.scale),
        "destroyed": wide(row.destroyed, row.scale),
        "liquid": amount::format_signed(row.liquid, row.scale),
        "held": amount::format(row.held, row.scale),
        "credit_used": amount::format(row.credit_used, row.scale),
    })
}

/// A gross sum in major units.
pub(crate) fn wide(units: Wide, scale: u16) -> String {
    let digits = units.to_string();
    let scale = usize::from(scale);
    if scale == 0 {
        return digits;
    }
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (major, fraction) = padded.split_at(padded.len() - scale);
    format!("{major}.{fraction}")
}
