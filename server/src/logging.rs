//! Structured logs on standard error; data goes to standard output. Invariant: a log that cannot be
//! written, as on a full disk, is lost and stops nothing.

use std::io::{IsTerminal as _, Write as _};

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt, registry};

use crate::exit::{Exit, Failure, OrExit as _};
use crate::otlp::{self, Collector, Export};
use crate::settings::Settings;

/// Starts logging as `log.level` and `log.format` say, and sends traces to a collector if there is
/// one. Neither changes what the other one is told.
pub(crate) fn start(
    settings: &Settings,
    collector: Option<&Collector>,
) -> Result<Option<Export>, Failure> {
    let (level, origin) = settings.value("log.level");
    let filter = EnvFilter::try_new(level)
        .or_exit(Exit::Config, &format!("log.level = {level:?} ({origin})"))?;
    let lines = fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        // It would complain on standard error, where a second failure is a panic.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    let log = match settings.value("log.format") {
        ("text", _) => lines.with_filter(filter).boxed(),
        ("json", _) => lines.json().with_filter(filter).boxed(),
        (other, origin) => {
            let message = format!("log.format = {other:?} ({origin}): text or json");
            return Err(Failure::new(Exit::Config, message));
        }
    };
    let exporting = collector.map(otlp::start).transpose();
    let exporting = exporting.or_exit(Exit::Io, "cannot start exporting traces (log.otlp)")?;
    let (traces, export) = exporting.unzip();
    registry().with([Some(log), traces].into_iter().flatten().collect::<Vec<_>>()).init();
    if let Some(collector) = collector {
        tracing::info!(%collector, "traces are exported");
    }
    Ok(export)
}

/// What a command has to be told besides its answer: warnings of our own crates, on standard error.
pub(crate) fn start_quiet() {
    fmt()
        .compact()
        .without_time()
        .with_target(false)
        .with_env_filter(EnvFilter::new("off,bezant=warn,pipeline=warn"))
        .with_ansi(false)
        .log_internal_errors(false)
        .with_writer(std::io::stderr)
        .init();
}

/// A number in a span: collectors know no unsigned ones.
pub(crate) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Says on standard error why the process ends.
pub(crate) fn complain(message: impl std::fmt::Display) {
    // The exit code says it as well.
    let _ = writeln!(std::io::stderr(), "bezant: {message}");
}
