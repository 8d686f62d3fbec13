//! `bezant health`: whether the running frame is ready, asked at its admin door; for containers and
//! scripts that have no other HTTP client. It reads and says what the frame says.

use crate::asking;
use crate::config::Config;
use crate::exit::{Exit, Failure};

/// Prints the frame's own checks.
pub(crate) fn run(config: &Config) -> Result<(), Failure> {
    let answer = asking::admin_door(config.admin, "/readyz")?;
    match answer.code {
        200 => say!("{}", answer.body),
        503 => Err(Failure::new(Exit::Temporary, format!("not ready: {}", answer.body))),
        code => {
            let message = format!("what answers at {} is no frame: status {code}", config.admin);
            Err(Failure::new(Exit::Temporary, message))
        }
    }
}
