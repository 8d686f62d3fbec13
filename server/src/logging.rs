//! Structured logs on standard error; data goes to standard output. Invariant: a log that cannot be
//! written, as on a full disk, is lost and stops nothing.

use std::io::{IsTerminal as _, Write as _};

use tracing_subscriber::EnvFilter;

use crate::exit::{Exit, Failure, OrExit as _};
use crate::settings::Settings;

/// Starts logging as `log.level` and `log.format` say.
pub(crate) fn start(settings: &Settings) -> Result<(), Failure> {
    let (level, origin) = settings.value("log.level");
    let filter = EnvFilter::try_new(level)
        .or_exit(Exit::Config, &format!("log.level = {level:?} ({origin})"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        // It would complain on standard error, where a second failure is a panic.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    match settings.value("log.format") {
        ("text", _) => builder.init(),
        ("json", _) => builder.json().init(),
        (other, origin) => {
            let message = format!("log.format = {other:?} ({origin}): text or json");
            return Err(Failure::new(Exit::Config, message));
        }
    }
    Ok(())
}

/// What a command has to be told besides its answer: warnings of our own crates, on standard error.
pub(crate) fn start_quiet() {
    tracing_subscriber::fmt()
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
