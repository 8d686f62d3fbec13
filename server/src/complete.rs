//! `bezant completions` and `bezant man`: what shells and readers of manuals need to know about the
//! command line, made from its definition. Reads no configuration and touches no frame.

use std::io::{self, Write as _};
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::Cli;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::out;

/// Prints the tab completion of `shell`.
pub(crate) fn script(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bezant", &mut script);
    out::text(&script)
}

/// Prints the manual page, or writes one for every subcommand into `dir`.
pub(crate) fn pages(dir: Option<&Path>) -> Result<(), Failure> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let Some(dir) = dir else {
        let page = page(&command, "bezant").or_exit(Exit::Internal, "the manual page")?;
        return out::text(&page);
    };
    std::fs::create_dir_all(dir)
        .and_then(|()| write_pages(&command, "bezant", dir))
        .or_exit(Exit::Io, &dir.display().to_string())
}

fn write_pages(command: &Command, name: &str, dir: &Path) -> io::Result<()> {
    for child in command.get_subcommands() {
        write_pages(child, &format!("{name}-{}", child.get_name()), dir)?;
    }
    std::fs::write(dir.join(format!("{name}.1")), page(command, name)?)
}

fn page(command: &Command, name: &str) -> io::Result<Vec<u8>> {
    let source = concat!("bezant ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).title(name).source(source);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(help) = command.get_after_help() {
        page.write_all(b".SH EXAMPLES\n.nf\n")?;
        for line in help.to_string().lines() {
            // No line begins with a dot or a quote, which would be an order to the formatter.
            let line = line.replace('\\', "\\e").replace('-', "\\-");
            writeln!(page, "\\&{line}")?;
        }
        page.write_all(b".fi\n")?;
    }
    Ok(page)
}
