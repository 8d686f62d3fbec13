//! Structured logs on standard error; data goes to standard output.

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
