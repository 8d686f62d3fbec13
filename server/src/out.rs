//! Standard output of every subcommand: one writer that can fail. Invariant: a pipe that nobody
//! reads any more ends a subcommand with its exit code and never with a panic, which would abort.

use std::fmt::Arguments;
use std::io::{self, Write as _};

use crate::exit::{Exit, Failure, OrExit as _};

/// Prints a line as `println!` does, and fails where that would panic.
macro_rules! say {
    ($($part:tt)*) => {
        $crate::out::line(format_args!($($part)*))
    };
}

/// Writes one line; what [`say!`] stands for.
pub(crate) fn line(text: Arguments<'_>) -> Result<(), Failure> {
    writeln!(io::stdout(), "{text}").or_exit(Exit::Io, "standard output")
}

/// Writes text as it is.
pub(crate) fn text(text: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout();
    out.write_all(text).and_then(|()| out.flush()).or_exit(Exit::Io, "standard output")
}
