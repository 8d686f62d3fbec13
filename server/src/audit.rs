//! Judging a frame: all of its past that is kept is replayed into a fresh engine, whose running
//! sums are compared with a full recount and with every row in SQL.
//!
//! It refuses to change anything anywhere. Invariant: what it calls right was recomputed.

use engine::Engine;
use pipeline::Boundary;
use protocol::Sequence;
use settlement::{Finding, Sink as _, Watermark, verify};

use crate::config::Config;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::past::{self, Base, Past};
use crate::recover;
use crate::sinks::{self, AnySink};

/// Findings printed at most.
const FINDINGS_SHOWN: usize = 50;

/// What the journal says, replayed to its end or to a watermark.
struct Replayed {
    engine: Engine,
    boundary: Boundary,
    /// Where the replay began.
    base: Base,
    /// First sequence behind that.
    first: u64,
    /// Records behind it.
    records: u64,
}

impl Replayed {
    /// Says what was replayed.
    fn tell(&self) -> Result<(), Failure> {
        let Self { engine, base, first, records, .. } = self;
        let last = engine.executed();
        say!("replayed    sequences {first} to {last} in {records} records, from {base}")
    }
}

/// `bezant audit`: engine against recount, and against SQL at SQL's watermark.
pub(crate) fn audit(config: &Config) -> Result<(), Failure> {
    let whole = replay(config, None)?;
    let engine = &whole.engine;
    whole.tell()?;
    say!("run digest  {}", hex(&engine.run_digest()))?;
    say!("image       {}", hex(&engine.image_digest()))?;
    let mut is_clean = true;
    let (sums, recount) = (engine.supply(), engine.recount());
    for (sum, counted) in sums.iter().zip(&recount) {
        let delta = counted.delta();
        let agrees = sum == counted && delta == Some(0);
        is_clean &= agrees;
        let verdict = if agrees { "ok" } else { "DIFFERS" };
        say!(
            "supply      asset {} ({}): issued {}, destroyed {}, delta {delta:?}, recount {verdict}\
             ",
            sum.asset,
            sum.name,
            sum.issued,
            sum.destroyed
        )?;
    }
    if sums.len() != recount.len() {
        is_clean = false;
        say!("supply      {} assets by sums, {} by recount", sums.len(), recount.len())?;
    }
    let Some(sink) = sinks::open(config)? else {
        say!("settlement  none configured")?;
        return verdict(is_clean);
    };
    let findings = compare(config, sink)?;
    verdict(is_clean && findings == 0)
}

/// `bezant verify-settlement`: every settled row against the journal at SQL's watermark.
pub(crate) fn verify_settlement(config: &Config) -> Result<(), Failure> {
    let sink = sinks::open(config)?
        .ok_or_else(|| Failure::new(Exit::Config, "settlement.sink is none: nothing to verify"))?;
    verdict(compare(config, sink)? == 0)
}

fn verdict(is_clean: bool) -> Result<(), Failure> {
    if is_clean {
        return say!("verdict     every figure agrees");
    }
    Err(Failure::new(Exit::Failed, "figures differ: see the lines above"))
}

/// Compares SQL with the journal and prints what differs; returns how much.
fn compare(config: &Config, mut sink: AnySink) -> Result<usize, Failure> {
    sink.connect().or_exit(Exit::Temporary, "cannot ask the database")?;
    let sql = sink.read_back().or_exit(Exit::Temporary, "cannot read the database")?;
    let Some(stored) = sql.watermark.clone() else {
        say!("settlement  {}: nothing settled yet", sink.name())?;
        return Ok(0);
    };
    let replayed = replay(config, Some(stored.through()))?;
    replayed.tell()?;
    let engine = &replayed.engine;
    let journal = Watermark {
        frame: engine.genesis().frame,
        epoch: replayed.boundary.epoch,
        next_sequence: Sequence(engine.executed().0 + 1),
        chain_hash: replayed.boundary.chain_hash,
        run_digest: engine.run_digest(),
        timestamp: engine.timestamp_ns(),
    };
    let mut findings: Vec<Finding> =
        verify::verify(&sql, &journal, engine.accounts(), engine.supply());
    findings.extend(verify::audit(&sql));
    say!(
        "settlement  {}: {} rows through sequence {}, {} batches, {} postings, {} differences",
        sink.name(),
        sql.balances.len(),
        stored.through(),
        sql.batches.count,
        sql.effects,
        findings.len()
    )?;
    for finding in findings.iter().take(FINDINGS_SHOWN) {
        say!("difference  {finding}")?;
    }
    Ok(findings.len())
}

/// Replays all that is kept, to its end or to the record that reaches `through`.
fn replay(config: &Config, through: Option<Sequence>) -> Result<Replayed, Failure> {
    let past = Past::open(config)?;
    let to = through.unwrap_or(Sequence(u64::MAX));
    let mut replay = past.longest(to, recover::options(config))?;
    let (base, first) = (Base::of(&replay), replay.executed().0 + 1);
    let mut records = 0;
    while replay.executed() < to {
        if replay.next(|_| ()).map_err(|error| past::failure(&error))?.is_none() {
            break;
        }
        records += 1;
        if replay.executed() < to {
            // Nobody takes cuts here: let go of what they would hold.
            replay.engine_mut().discard_changes();
        }
    }
    if past.is_running() && through.is_some_and(|through| replay.executed() < through) {
        let message = "the database has commands that the running frame has not yet marked as \
                       durable; ask again in a second";
        return Err(Failure::new(Exit::Temporary, message));
    }
    let boundary = replay.boundary();
    let engine = replay.into_parts().0.into_engine().expect("a replay has an engine");
    Ok(Replayed { engine, boundary, base, first, records })
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
