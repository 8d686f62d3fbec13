//! Judging a stopped frame: the journal is replayed into a fresh engine, whose running sums are
//! compared with a full recount and with every row in SQL. Nothing is changed anywhere.

use std::sync::Arc;

use engine::Engine;
use journal::{MappedStorage, Reader};
use pipeline::{Boundary, Replayer};
use protocol::Sequence;
use settlement::{Finding, Sink as _, Watermark, verify};

use crate::config::Config;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::recover;
use crate::sinks::{self, AnySink};

/// Findings printed at most.
const FINDINGS_SHOWN: usize = 50;

/// What the journal says, replayed to its end or to a watermark.
struct Replayed {
    engine: Engine,
    boundary: Boundary,
    /// The end of the journal was reached.
    records: u64,
}

/// `bezant audit`: engine against recount, and against SQL at SQL's watermark.
pub(crate) fn audit(config: &Config) -> Result<(), Failure> {
    let whole = replay(config, None)?;
    let engine = &whole.engine;
    say!("journal     {} records, {} commands", whole.records, engine.executed())?;
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

/// Replays the journal, to its end or to the record that reaches `through`.
fn replay(config: &Config, through: Option<Sequence>) -> Result<Replayed, Failure> {
    let storage = Arc::new(MappedStorage::new(config.journal_dir()));
    let mut reader = Reader::open(storage, 1).map_err(|error| recover::failure(&error))?;
    let mut replayer = Replayer::new(recover::options(config));
    let mut records = 0;
    while let Some((header, payload)) = reader.next().map_err(|error| recover::failure(&error))? {
        replayer
            .apply(header, payload, |_| ())
            .or_exit(Exit::JournalCorrupt, "the journal cannot be replayed")?;
        records += 1;
        let reached = replayer.engine().map(Engine::executed);
        if through.is_some_and(|through| reached >= Some(through)) {
            break;
        }
        if let Some(engine) = replayer.engine_mut() {
            // Nobody takes cuts here: let go of what they would hold.
            engine.discard_changes();
        }
    }
    let boundary = replayer.boundary();
    let engine = replayer
        .into_engine()
        .ok_or_else(|| Failure::new(Exit::NotFound, "the journal has no genesis record"))?;
    Ok(Replayed { engine, boundary, records })
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
