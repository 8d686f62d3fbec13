//! What a start finds: the watermark of SQL, and the frame as its journal and snapshots say.
//!
//! Invariant: what is found conserves every unit, or nothing starts.

use std::time::{Duration, Instant};

use pipeline::Recovered;
use settlement::{Sink as _, SinkError, Watermark};
use tracing::field::Empty;

use crate::config::Config;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::logging::number;
use crate::recover;
use crate::sinks::{self, AnySink};

/// Longest question to SQL before recovery (rule J7).
const ASK_SQL: Duration = Duration::from_secs(2);

/// Asks SQL for its watermark before recovery, but not for long: a database that does not answer
/// delays nobody. One that may lose what it commits is refused: it would vouch for nothing.
pub(crate) fn ask_sql(config: &Config) -> Result<(Option<AnySink>, Option<Watermark>), Failure> {
    let Some(mut sink) = sinks::open(config)? else {
        return Ok((None, None));
    };
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::Builder::new()
        .name("ask-sql".into())
        .spawn(move || {
            let answer = sink.connect().and_then(|()| sink.watermark());
            // When nobody waits any more the answer is not wanted.
            let _ = tell.send((sink, answer));
        })
        .or_exit(Exit::Io, "cannot start a thread")?;
    match told.recv_timeout(ASK_SQL) {
        Ok((sink, Ok(stored))) => Ok((Some(sink), stored)),
        Ok((sink, Err(error @ SinkError::Settings { .. }))) => {
            Err(Failure::new(Exit::Config, format!("settlement to {}: {error}", sink.name())))
        }
        Ok((sink, Err(error))) => {
            tracing::warn!(sink = sink.name(), %error, "SQL does not answer; starting without it");
            Ok((Some(sink), None))
        }
        Err(_) => {
            tracing::warn!("SQL does not answer in time; starting without it");
            Ok((sinks::open(config)?, None))
        }
    }
}

/// The frame as its disk says, and the watermark of SQL that it confirms.
pub(super) fn recovered(
    config: &Config,
    stored: Option<&Watermark>,
) -> Result<(Recovered, Option<Watermark>), Failure> {
    let span = tracing::debug_span!(
        "recover",
        bezant.records = Empty,
        bezant.bytes = Empty,
        bezant.sequence = Empty,
    );
    let _inside = span.enter();
    let since = Instant::now();
    let recovered = recover::recover(config, stored)?;
    let confirmed = recover::judge(config, &recovered, stored)?;
    announce(&recovered, since.elapsed());
    span.record("bezant.records", number(recovered.report.records))
        .record("bezant.bytes", number(recovered.report.bytes))
        .record("bezant.sequence", number(recovered.engine.executed().0));
    Ok((recovered, confirmed))
}

fn announce(recovered: &Recovered, took: Duration) {
    let report = &recovered.report;
    tracing::info!(
        records = report.records,
        commands = report.commands,
        bytes = report.bytes,
        executed = recovered.engine.executed().0,
        snapshot = recovered.snapshot.as_ref().map_or("none", |taken| &taken.name),
        seconds = took.as_secs_f64(),
        "recovered"
    );
    if let Some(cut) = &report.truncated {
        tracing::warn!(file = %cut.file, offset = cut.offset, index = cut.index, flaw = %cut.flaw,
            "a torn tail was cut off; nothing of it had been acknowledged");
    }
    for (sum, counted) in recovered.engine.supply().iter().zip(recovered.engine.recount()) {
        assert!(*sum == counted && counted.delta() == Some(0), "a replay conserves every unit");
    }
}
