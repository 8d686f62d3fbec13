//! The command line: what can be asked of the binary. Parsing only; nothing is done here.

pub(crate) mod client;
pub(crate) mod follow;
pub(crate) mod ledger;
pub(crate) mod past;
pub(crate) mod values;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use self::client::ClientArgs;
use self::past::{ReplayArgs, WhatIfArgs};

const EXAMPLES: &str = "Examples:
  bezant demo                              see it all work in a temporary directory
  bezant init --trust-domain frame.test    make a frame and its development identities
  bezant doctor                            is everything fit for it?
  bezant serve                             run it
  bezant identity issue agent --out alice  a certificate for an agent
  bezant client --identity alice balance 018f6f0e-8a10-7000-8000-000000000001
  bezant audit                             replay the journal and compare it with SQL
  bezant completions bash                  tab completion for a shell

Settings come from defaults, a TOML file (--config), BEZANT_* variables and --set, in this order.
Exit codes are listed in docs/operations.md.";

/// High-throughput in-memory settlement engine.
#[derive(Debug, Parser)]
#[command(name = "bezant", version, about, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where settings come from.
#[derive(Args, Debug)]
pub(crate) struct SettingsArgs {
    /// Configuration file (TOML).
    #[arg(long, global = true, value_name = "FILE", env = "BEZANT_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Directory of journal, identities and embedded database (data.dir).
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Sets one setting, e.g. --set listen.quic=0.0.0.0:7400; `config show` lists them.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a frame: journal with its genesis record, development CA and server identity.
    #[command(after_help = "Example:
  bezant init --data-dir frame --trust-domain frame.test --parameter fee.base=7000")]
    Init(InitArgs),
    /// Run the frame until SIGTERM or SIGINT.
    #[command(after_help = "Example:
  bezant serve --data-dir frame --set listen.quic=0.0.0.0:7400")]
    Serve,
    /// Show everything at work: load over QUIC, SIGKILL, recovery, settlement, audit.
    #[command(after_help = "Example:
  bezant demo --accounts 1000 --seconds 2")]
    Demo(DemoArgs),
    /// Look into the journal.
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Snapshots of the state, from which a frame starts without its whole history.
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// The log of privileged commands and refused connections.
    #[command(subcommand)]
    AuditLog(AuditLogCommand),
    /// Replay the journal and compare engine, recount and SQL.
    #[command(after_help = "Example:
  bezant audit --data-dir frame")]
    Audit,
    /// Compare every settled balance with the journal and name the rows that differ.
    #[command(after_help = "Example:
  bezant verify-settlement --data-dir frame")]
    VerifySettlement,
    /// Show the state after any past sequence.
    Replay(ReplayArgs),
    /// Replay the journal under other parameters and report what differs.
    WhatIf(WhatIfArgs),
    /// Check machine and configuration, before a start or beside the running frame.
    #[command(after_help = "Example:
  bezant doctor --config bezant.toml --data-dir frame

It changes nothing, and ends with 82 when something must be mended.")]
    Doctor {
        /// One JSON object instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Ask the running frame whether it is ready.
    #[command(after_help = "Example:
  bezant health --data-dir frame

It ends with 0 when it is, and with 75 and what is not as it should be else.")]
    Health,
    /// Watch the running frame: rates, times, stages, settlement, supply, refusals.
    #[command(after_help = "Example:
  bezant top --data-dir frame

q leaves, space pauses. The figures are those of /metrics, at the admin door (listen.admin).")]
    Top(TopArgs),
    /// Development identities.
    #[command(subcommand)]
    Identity(IdentityCommand),
    /// Check or show the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Talk to a running frame.
    Client(Box<ClientArgs>),
    /// Print the tab completion of a shell.
    #[command(after_help = "Example:
  bezant completions bash

Write it where the shell looks, e.g. ~/.local/share/bash-completion/completions/bezant.")]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page, or write one for every subcommand.
    #[command(after_help = "Example:
  bezant man --out man/man1

Without --out the page of bezant itself is printed: bezant man | man -l -")]
    Man {
        /// Directory to write the pages into; it is made.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

/// What a new frame is born with.
#[derive(Args, Debug)]
pub(crate) struct InitArgs {
    /// SPIFFE trust domain of the frame.
    #[arg(long, default_value = "frame.test")]
    pub(crate) trust_domain: String,
    /// Name of the native asset.
    #[arg(long, default_value = "AVT")]
    pub(crate) asset: String,
    /// Digits after the point of the native asset.
    #[arg(long, default_value_t = 6)]
    pub(crate) scale: u16,
    /// Who may mint: frame (the mint role) or operator (nobody).
    #[arg(long, value_enum, default_value_t = ModeArg::Frame)]
    pub(crate) mode: ModeArg,
    /// Sets a journaled parameter, e.g. --parameter fee.base=7000.
    #[arg(long = "parameter", value_name = "NAME=VALUE")]
    pub(crate) parameters: Vec<String>,
    /// Further host name or address of the server's certificate, for HTTPS clients that know
    /// nothing of SPIFFE; localhost, 127.0.0.1 and ::1 are in it.
    #[arg(long = "host-name", value_name = "NAME")]
    pub(crate) host_names: Vec<String>,
}

/// Mode of a new frame.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ModeArg {
    /// The mint role issues.
    Frame,
    /// Nobody issues.
    Operator,
}

/// How large a demonstration.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Agents to open accounts for.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) accounts: u32,
    /// Seconds of load before the kill, and again after it.
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u64,
    /// Keep the directory and print where it is.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Settle into this PostgreSQL server instead of the embedded database.
    #[arg(long, value_name = "DSN")]
    pub(crate) postgres: Option<String>,
}

/// How to watch.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct TopArgs {
    /// Milliseconds from one reading to the next.
    #[arg(
        long,
        default_value_t = 1_000,
        value_parser = clap::value_parser!(u64).range(100..=60_000)
    )]
    pub(crate) interval_ms: u64,
    /// Print the figures of one interval as text and leave.
    #[arg(long)]
    pub(crate) once: bool,
}

/// Audit log tools; the frame may run.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum AuditLogCommand {
    /// Check the hash of every line.
    #[command(after_help = "Example:
  bezant audit-log verify --data-dir frame

It ends with 0 when every line verifies, and with 1 and the first flaw of each file else.")]
    Verify,
}

/// Journal tools; the frame must be stopped, but for `cat`.
#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Check every hash of every record.
    #[command(after_help = "Example:
  bezant journal verify --data-dir frame")]
    Verify,
    /// Print commands, one a line.
    #[command(after_help = "Example:
  bezant journal cat --data-dir frame --from 1000 --limit 20 --json")]
    Cat {
        /// First sequence to print.
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// Most commands to print.
        #[arg(long, default_value_t = 1_000)]
        limit: u64,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Print segments, records, bytes and the last hash.
    #[command(after_help = "Example:
  bezant journal stat --data-dir frame")]
    Stat,
}

/// What a running frame tells the process that takes a snapshot of it.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct CreateArgs {
    /// Last record that is durable.
    #[arg(long, hide = true, value_name = "INDEX")]
    pub(crate) through_record: Option<u64>,
    /// How much less important this process is.
    #[arg(long, hide = true, default_value_t = 0, requires = "parent")]
    pub(crate) nice: u8,
    /// Process with which this one ends.
    #[arg(long, hide = true, value_name = "PID")]
    pub(crate) parent: Option<u32>,
}

/// Snapshots of a frame.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum SnapshotCommand {
    /// Replay the journal behind the newest snapshot and write the state at its end.
    #[command(after_help = "Example:
  bezant snapshot create --data-dir frame

It is read back and compared before it counts. A running frame takes them by itself and removes
those that nobody needs; of a stopped frame this command does.")]
    Create(CreateArgs),
    /// Read back every snapshot and compare its digests.
    #[command(after_help = "Example:
  bezant snapshot verify --data-dir frame

It ends with 0 when every snapshot verifies, and with 1 else.")]
    Verify,
    /// Print the snapshots, newest first.
    #[command(after_help = "Example:
  bezant snapshot list --data-dir frame")]
    List,
}

/// Role of a certificate to issue.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RoleArg {
    /// An agent; its name is a UUID, made if not given.
    Agent,
    /// A registry that hosts owners.
    Registry,
    /// Issues, burns, corrects.
    Mint,
    /// Configures.
    Admin,
    /// Reads all.
    Auditor,
}

/// Development identities.
#[derive(Debug, Subcommand)]
pub(crate) enum IdentityCommand {
    /// Issue a certificate from the frame's development CA.
    #[command(after_help = "Example:
  bezant identity issue registry --name north --out ids/north --data-dir frame")]
    Issue {
        /// Role.
        role: RoleArg,
        /// Name in the SPIFFE path (an agent's UUID).
        #[arg(long)]
        name: Option<String>,
        /// Directory to write svid.pem, svid.key and bundle.pem into.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Lifetime in hours.
        #[arg(long, default_value_t = 24 * 365)]
        hours: u32,
    },
    /// Issue the frame's own certificate anew, from its development CA.
    #[command(after_help = "Example:
  bezant identity renew --data-dir frame

A running frame takes it up within seconds, without a restart. bundle.pem stays as it is.")]
    Renew {
        /// Further host name or address of the new certificate, beside those that it has.
        #[arg(long = "host-name", value_name = "NAME")]
        host_names: Vec<String>,
        /// Lifetime in hours.
        #[arg(long, default_value_t = 24 * 365)]
        hours: u32,
    },
    /// Show SPIFFE ID, principal, role and expiry of an identity directory.
    #[command(after_help = "Example:
  bezant identity show ids/north")]
    Show {
        /// Directory.
        dir: PathBuf,
    },
}

/// Configuration tools.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say whether the configuration can be used.
    #[command(after_help = "Example:
  bezant config check --config bezant.toml")]
    Check,
    /// Print a configuration file with every setting, its meaning and its default.
    #[command(after_help = "Example:
  bezant config example")]
    Example,
    /// Print every setting with its value and origin.
    #[command(after_help = "Example:
  bezant config show --set log.level=debug")]
    Show,
}

#[cfg(test)]
#[path = "cli_test.rs"]
mod tests;
