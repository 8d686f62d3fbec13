//! Running other programs: said before it is done, timed, and summed up at the end.
//!
//! Refuses to hide anything: output goes straight through. Invariant: a step that failed stays
//! failed in the table and in the exit code, whatever runs after it.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What cargo tells the programs that it runs about their own package. Build scripts read some of
/// it: with that of another package they, and all that depends on them, would be built anew.
const OF_A_PACKAGE: [&str; 2] = ["CARGO_PKG_", "CARGO_MANIFEST_"];

/// The cargo that started this program.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    forget_package(&mut command);
    // The root of the repository, wherever the command was typed.
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    command.stdin(Stdio::null());
    command
}

/// Takes what is told of this package out of the environment of a command that may run cargo.
pub(crate) fn forget_package(command: &mut Command) {
    let is_of_it = |name: &OsStr| {
        let name = name.to_string_lossy();
        OF_A_PACKAGE.iter().any(|head| name.starts_with(head))
    };
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_of_it(name)) {
        command.env_remove(name);
    }
}

/// Whether cargo knows `name` as a subcommand.
pub(crate) fn has_subcommand(name: &str) -> bool {
    let mut probe = cargo();
    probe.args([name, "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

/// Says and runs one command; its output is the user's.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let said = said(command);
    println!("\n» {said}");
    let status = command.status().map_err(|e| format!("`{said}` does not start: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{said}` failed: {status}")) }
}

/// Runs one command quietly and gives what it printed; its complaints are in the error.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let said = said(command);
    let done = command.output().map_err(|e| format!("`{said}` does not start: {e}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if done.status.success() {
        return Ok(text(&done.stdout));
    }
    Err(format!("`{said}`: {}\n{}\n{}", done.status, text(&done.stdout), text(&done.stderr)))
}

fn said(command: &Command) -> String {
    let set = command.get_envs().filter_map(|(key, value)| Some((key, value?)));
    // Only what one would have to type again; the test variables are printed by their maker.
    let set = set.filter(|(key, _)| key.to_string_lossy().starts_with("RUST"));
    let mut words: Vec<String> = set
        .map(|(key, value)| format!("{}={:?}", key.display(), value.display().to_string()))
        .collect();
    let name = std::path::Path::new(command.get_program()).file_name();
    words.push(name.unwrap_or_else(|| command.get_program()).to_string_lossy().into_owned());
    words.extend(command.get_args().map(OsStr::to_string_lossy).map(|word| word.into_owned()));
    words.join(" ")
}

/// The steps of one run.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    rows: Vec<(&'static str, Duration, Option<String>)>,
}

impl Steps {
    /// Runs one step. A failure is kept and the next step still runs, so that one run shows all.
    pub(crate) fn step(&mut self, name: &'static str, run: impl FnOnce() -> Result<(), String>) {
        println!("\n━━ {name}");
        let start = Instant::now();
        let failure = run().err();
        if let Some(reason) = &failure {
            println!("\n━━ {name} FAILED: {reason}");
        }
        self.rows.push((name, start.elapsed(), failure));
    }

    /// Prints the table; an error names the steps that failed.
    pub(crate) fn finish(self) -> Result<(), String> {
        println!("\n{}", self.table());
        let failed: Vec<&str> =
            self.rows.iter().filter(|(_, _, failure)| failure.is_some()).map(|row| row.0).collect();
        if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
    }

    fn table(&self) -> String {
        let mut lines = vec![format!("{:<14} {:>8}  result", "step", "seconds")];
        for (name, took, failure) in &self.rows {
            let result = if failure.is_some() { "FAILED" } else { "ok" };
            lines.push(format!("{name:<14} {:>8.1}  {result}", took.as_secs_f64()));
        }
        let total: Duration = self.rows.iter().map(|row| row.1).sum();
        lines.push(format!("{:<14} {:>8.1}", "all", total.as_secs_f64()));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_stays_failed_and_the_next_one_runs() {
        let mut steps = Steps::default();
        let mut ran = false;
        steps.step("first", || Err("why".to_owned()));
        steps.step("second", || {
            ran = true;
            Ok(())
        });
        assert!(ran);
        let table = steps.table();
        assert!(table.contains("FAILED") && table.contains("second"), "{table}");
        assert_eq!(steps.finish(), Err("failed: first".to_owned()));
    }

    #[test]
    fn a_command_is_said_as_one_would_type_it() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["test", "-p", "x"]).env("RUSTFLAGS", "--cfg loom").env("OTHER", "1");
        assert_eq!(said(&command), "RUSTFLAGS=\"--cfg loom\" cargo test -p x");
    }

    #[test]
    fn cargo_hears_nothing_of_this_package() {
        let command = cargo();
        let removed: Vec<_> =
            command.get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
        assert!(removed.contains(&OsStr::new("CARGO_PKG_NAME")), "{removed:?}");
        assert!(removed.contains(&OsStr::new("CARGO_MANIFEST_DIR")), "{removed:?}");
        let kept = ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_TERM_COLOR", "CARGO_NET_OFFLINE"];
        assert!(kept.iter().all(|name| !removed.contains(&OsStr::new(name))), "{removed:?}");
    }

    #[test]
    fn a_failing_command_is_an_error_with_its_words() {
        let error = output(Command::new("sh").args(["-c", "echo no >&2; exit 3"])).unwrap_err();
        assert!(error.contains("no") && error.contains('3'), "{error}");
        assert!(run(&mut Command::new("/nowhere/program")).is_err());
    }
}
