//! The command line: what can be asked of the binary. Parsing only; nothing is done here.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

const EXAMPLES: &str = "Examples:
  bezant demo                              see it all work in a temporary directory
  bezant init --trust-domain frame.test    make a frame and its development identities
  bezant serve                             run it
  bezant identity issue agent --out alice  a certificate for an agent
  bezant client --identity alice balance 018f6f0e-8a10-7000-8000-000000000001
  bezant audit                             replay the journal and compare it with SQL

Settings come from defaults, a TOML file (--config), BEZANT_* variables and --set, in this order.
Exit codes are listed in docs/operations.md.";

/// High-throughput in-memory settlement engine.
#[derive(Debug, Parser)]
#[command(name = "bezant", version, about, after_long_help = EXAMPLES)]
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
    Init(InitArgs),
    /// Run the frame until SIGTERM or SIGINT.
    Serve,
    /// Show everything at work: load over QUIC, SIGKILL, recovery, settlement, audit.
    Demo(DemoArgs),
    /// Look into the journal of a stopped frame.
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Replay the journal and compare engine, recount and SQL.
    Audit,
    /// Compare every settled balance with the journal and name the rows that differ.
    VerifySettlement,
    /// Development identities.
    #[command(subcommand)]
    Identity(IdentityCommand),
    /// Check or show the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Talk to a running frame.
    Client(ClientArgs),
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

/// Journal tools; the frame must be stopped.
#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Check every hash of every record.
    Verify,
    /// Print commands, one a line.
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
    Stat,
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
    /// Show SPIFFE ID, principal, role and expiry of an identity directory.
    Show {
        /// Directory.
        dir: PathBuf,
    },
}

/// Configuration tools.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say whether the configuration can be used.
    Check,
    /// Print every setting with its value and origin.
    Show,
}

/// A conversation with a running frame.
#[derive(Args, Debug)]
pub(crate) struct ClientArgs {
    /// Address of the frame's QUIC door.
    #[arg(long, default_value = "127.0.0.1:7400")]
    pub(crate) server: SocketAddr,
    /// Directory with svid.pem, svid.key and bundle.pem.
    #[arg(long, value_name = "DIR")]
    pub(crate) identity: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: ClientCommand,
}

/// An owner and an asset.
#[derive(Args, Debug)]
pub(crate) struct AccountArgs {
    /// Owner: an agent's UUID.
    pub(crate) owner: String,
    /// Asset number.
    #[arg(long, default_value_t = 1)]
    pub(crate) asset: u32,
}

/// A movement of units.
#[derive(Args, Debug)]
pub(crate) struct PayArgs {
    /// Debited owner.
    pub(crate) from: String,
    /// Credited owner.
    pub(crate) to: String,
    /// Amount in major units, e.g. 12.50.
    pub(crate) amount: String,
    /// Asset number.
    #[arg(long, default_value_t = 1)]
    pub(crate) asset: u32,
    /// Command id (a UUID made from the current time), to repeat an earlier attempt safely.
    #[arg(long)]
    pub(crate) id: Option<String>,
}

/// What to say to a frame.
#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Open an account.
    Open(AccountArgs),
    /// Pay.
    Pay(PayArgs),
    /// Hold an amount for a creditor.
    Hold {
        #[command(flatten)]
        pay: PayArgs,
        /// Lifetime in milliseconds; 0 = the frame's default.
        #[arg(long, default_value_t = 0)]
        timeout_ms: u32,
    },
    /// Capture a hold as its creditor.
    Capture {
        /// Debited owner of the hold.
        from: String,
        /// Credited owner of the hold.
        to: String,
        /// Id of the hold.
        hold: String,
        /// Amount in major units; everything if not given.
        #[arg(long)]
        amount: Option<String>,
        /// Asset number.
        #[arg(long, default_value_t = 1)]
        asset: u32,
    },
    /// Release a hold as its creditor.
    Release {
        /// Debited owner of the hold.
        from: String,
        /// Credited owner of the hold.
        to: String,
        /// Id of the hold.
        hold: String,
        /// Asset number.
        #[arg(long, default_value_t = 1)]
        asset: u32,
    },
    /// Issue new units (mint role).
    Issue {
        /// Credited owner.
        to: String,
        /// Amount in major units.
        amount: String,
        /// Asset number.
        #[arg(long, default_value_t = 1)]
        asset: u32,
    },
    /// Show an account.
    Balance(AccountArgs),
    /// Show the supply of an asset and its delta.
    Supply {
        /// Asset number.
        #[arg(long, default_value_t = 1)]
        asset: u32,
    },
    /// Ask what became of a command.
    Outcome {
        /// The owner (or principal) in whose scope the id is.
        owner: String,
        /// The id.
        id: String,
    },
}
