//! The words of `bezant client` about the ledger itself: accounts, owners, mint, assets,
//! parameters. Parsing only.

use clap::{Args, Subcommand, ValueEnum};
use client::{AssetId, CommandId, OwnerId};
use protocol::parameter::Parameter;

use super::client::{AccountArgs, AssetArg, IdArg, PartiesArgs};
use super::values;

/// What to do with accounts.
#[derive(Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// Open an account.
    Open(OpenArgs),
    /// Show an account.
    #[command(after_help = "Example:
  bezant client --identity ids/alice account show 018f6f0e-8a10-7000-8000-000000000001")]
    Show(AccountArgs),
    /// List the accounts of a host: a registry's own, or those that --host names.
    #[command(after_help = "Example:
  bezant client --identity ids/registry account list --limit 1000 --json

The answer has a `next` when there are more: give it to --cursor.")]
    List {
        /// Principal of the host; `frame` is the frame itself.
        #[arg(long, value_name = "UUID", value_parser = values::host)]
        host: Option<OwnerId>,
        /// Only accounts in this asset.
        #[arg(long)]
        asset: Option<AssetId>,
        /// Most accounts to list.
        #[arg(long, default_value_t = 100,
              value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        /// Where to go on.
        #[arg(long, value_name = "NEXT", default_value_t = 0)]
        cursor: u64,
    },
    /// Allow no new debits.
    #[command(after_help = "Example:
  bezant client --identity ids/registry account freeze 018f6f0e-8a10-7000-8000-000000000001 \
    --reason \"court order 12\"")]
    Freeze(ChangeArgs),
    /// Lift a freeze.
    #[command(after_help = "Example:
  bezant client --identity ids/registry account unfreeze 018f6f0e-8a10-7000-8000-000000000001")]
    Unfreeze(ChangeArgs),
    /// Close an account, paying what is left to a beneficiary.
    #[command(after_help = "Example:
  bezant client --identity ids/alice account close 018f6f0e-8a10-7000-8000-000000000001 \
    --beneficiary 018f6f0e-8a10-7000-8000-000000000002")]
    Close {
        #[command(flatten)]
        change: ChangeArgs,
        /// Who receives what is left.
        #[arg(long, value_name = "OWNER", value_parser = values::owner)]
        beneficiary: Option<OwnerId>,
    },
    /// Set minimum balance and credit limit.
    #[command(after_help = "Example:
  bezant client --identity ids/admin account limits 018f6f0e-8a10-7000-8000-000000000001 \
    --minimum 10 --credit-limit 0")]
    Limits {
        #[command(flatten)]
        account: AccountArgs,
        /// The liquid balance may not fall below this, in major units.
        #[arg(long, value_name = "AMOUNT")]
        minimum: String,
        /// How far the liquid balance may fall below zero, in major units.
        #[arg(long, value_name = "AMOUNT")]
        credit_limit: String,
        #[command(flatten)]
        id: IdArg,
    },
}

/// An account to open.
#[derive(Args, Clone, Copy, Debug)]
#[command(after_help = "Example:
  bezant client --identity ids/alice account open 018f6f0e-8a10-7000-8000-000000000001")]
pub(crate) struct OpenArgs {
    #[command(flatten)]
    pub(crate) account: AccountArgs,
    /// Principal of the registry that becomes its host (admin role); `identity show` prints it.
    #[arg(long, value_name = "UUID", value_parser = values::owner)]
    pub(crate) host: Option<OwnerId>,
    #[command(flatten)]
    pub(crate) id: IdArg,
}

/// A change of an account's state.
#[derive(Args, Clone, Debug)]
pub(crate) struct ChangeArgs {
    #[command(flatten)]
    pub(crate) account: AccountArgs,
    #[command(flatten)]
    pub(crate) why: WhyArgs,
    #[command(flatten)]
    pub(crate) id: IdArg,
}

/// Why something is done, where the code is the caller's own.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct WhyArgs {
    /// A number of your own for the reason.
    #[arg(long, default_value_t = 0)]
    pub(crate) code: u16,
    /// The reason in words; it is journaled.
    #[arg(long)]
    pub(crate) reason: Option<String>,
}

/// What to do with owners.
#[derive(Debug, Subcommand)]
pub(crate) enum OwnerCommand {
    /// Move an owner to another host: the agent asks, the new host accepts.
    #[command(after_help = "Example:
  bezant client --identity ids/alice owner rehost 018f6f0e-8a10-7000-8000-000000000001 --host \
    5d41402a-bc4b-8a76-b971-9d911017c592")]
    Rehost {
        /// Owner.
        #[arg(value_parser = values::owner)]
        owner: OwnerId,
        /// Principal of the new host; `identity show` prints it.
        #[arg(long, value_name = "UUID", value_parser = values::owner)]
        host: OwnerId,
        #[command(flatten)]
        id: IdArg,
    },
    /// Say whether only the agent itself may debit its accounts, not its host.
    #[command(after_help = "Example:
  bezant client --identity ids/alice owner agent-only 018f6f0e-8a10-7000-8000-000000000001 on")]
    AgentOnly {
        /// Owner.
        #[arg(value_parser = values::owner)]
        owner: OwnerId,
        /// Whether only the agent may debit.
        #[arg(value_enum)]
        switch: Switch,
        #[command(flatten)]
        id: IdArg,
    },
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// Only the agent.
    On,
    /// The agent and its host.
    Off,
}

/// Units to issue or to burn.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:
  bezant client --identity ids/mint issue 018f6f0e-8a10-7000-8000-000000000001 1000

Codes: ordinary; correction, which needs a reason; for issues also compensation and baseline.")]
pub(crate) struct CreateArgs {
    /// Owner credited by the issue, or debited by the burn.
    #[arg(value_parser = values::owner)]
    pub(crate) owner: OwnerId,
    /// Amount in major units.
    pub(crate) amount: String,
    #[command(flatten)]
    pub(crate) asset: AssetArg,
    /// Why, by name or number.
    #[arg(long, default_value = "ordinary", value_parser = values::reason_code)]
    pub(crate) code: u16,
    /// The reason in words; it is journaled.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Id of another command that this one belongs to.
    #[arg(long, value_name = "UUID", value_parser = values::command_id)]
    pub(crate) reference: Option<CommandId>,
    #[command(flatten)]
    pub(crate) id: IdArg,
}

/// A movement of the frame's own units.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:
  bezant client --identity ids/admin system-transfer fee_collector:0 treasury:0 25 --code payout

Units go from a fee collector to its treasury, and from a treasury to the staking pool, the grant
pool or an ordinary account. Codes: payout, write_off.")]
pub(crate) struct SystemTransferArgs {
    #[command(flatten)]
    pub(crate) parties: PartiesArgs,
    /// Why, by name or number.
    #[arg(long, value_parser = values::reason_code)]
    pub(crate) code: u16,
    /// The reason in words; it is journaled.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) id: IdArg,
}

/// Whether units may be issued at all.
#[derive(Debug, Subcommand)]
pub(crate) enum MintCommand {
    /// Stop every mint.
    #[command(after_help = "Example:
  bezant client --identity ids/mint mint halt --reason \"key under review\"")]
    Halt {
        #[command(flatten)]
        why: WhyArgs,
        #[command(flatten)]
        id: IdArg,
    },
    /// Allow minting again; refused unless a full recount gives 0.
    #[command(after_help = "Example:
  bezant client --identity ids/mint mint resume")]
    Resume {
        #[command(flatten)]
        why: WhyArgs,
        #[command(flatten)]
        id: IdArg,
    },
}

/// What to do with assets.
#[derive(Debug, Subcommand)]
pub(crate) enum AssetCommand {
    /// Create an asset (admin role).
    #[command(after_help = "Example:
  bezant client --identity ids/admin asset create 2 GOLD --scale 3")]
    Create {
        /// Its number.
        asset: AssetId,
        /// Its name.
        name: String,
        /// Digits after the point.
        #[arg(long)]
        scale: u16,
        #[command(flatten)]
        id: IdArg,
    },
    /// Show an asset.
    #[command(after_help = "Example:
  bezant client --identity ids/alice asset show 1")]
    Show {
        /// Its number.
        asset: AssetId,
    },
}

/// What to do with the journaled parameters.
#[derive(Debug, Subcommand)]
pub(crate) enum ParametersCommand {
    /// Show every parameter of the frame.
    #[command(after_help = "Example:
  bezant client --identity ids/alice parameters list")]
    List,
    /// Show one parameter.
    #[command(after_help = "Example:
  bezant client --identity ids/alice parameters show fee.base")]
    Show {
        /// Its name or number.
        #[arg(value_parser = values::parameter)]
        name: Parameter,
        /// Principal of the host, for host.debit_limit.
        #[arg(long, value_name = "UUID", value_parser = values::owner)]
        host: Option<OwnerId>,
    },
    /// Set one parameter (admin role).
    #[command(after_help = "Example:
  bezant client --identity ids/admin parameters set holds.default_ms 86400000 --reason \"a day \
    is enough\"

Fees are announced at least an hour ahead; without --effective-at they change in an hour.")]
    Set {
        /// Its name or number.
        #[arg(value_parser = values::parameter)]
        name: Parameter,
        /// The whole number to set it to.
        value: u128,
        /// Principal of the host, for host.debit_limit.
        #[arg(long, value_name = "UUID", value_parser = values::owner)]
        host: Option<OwnerId>,
        /// When a fee changes, in Unix milliseconds.
        #[arg(long, value_name = "UNIX_MS")]
        effective_at: Option<u64>,
        /// The reason in words; it is journaled.
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        id: IdArg,
    },
}
