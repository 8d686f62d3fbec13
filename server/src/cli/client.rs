//! The words of `bezant client`: what can be said to a running frame. Parsing only; amounts stay
//! text until the scale of their asset is known.
//!
//! Invariant: every subcommand shows an example in its help, and the example parses.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use client::{AssetId, CommandId, OwnerId};

use super::follow::FollowArgs;
use super::ledger::{
    AccountCommand, AssetCommand, CreateArgs, MintCommand, OpenArgs, OwnerCommand,
    ParametersCommand, SystemTransferArgs,
};
use super::values;

/// A conversation with a running frame.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  bezant client --identity ids/alice pay 018f6f0e-8a10-7000-8000-000000000001 \
    018f6f0e-8a10-7000-8000-000000000002 12.50
  bezant client --identity ids/alice --json balance 018f6f0e-8a10-7000-8000-000000000001

Owners are UUIDs, did:theprotocol:<uuid>, or the frame's own accounts by name: treasury:<host>,
fee_collector:<host>, staking_pool, grant_pool. Amounts are in major units; docs/client.md says
more.")]
pub(crate) struct ClientArgs {
    /// Address of the frame's QUIC door.
    #[arg(long, global = true, default_value = "127.0.0.1:7400")]
    pub(crate) server: SocketAddr,
    /// Directory with svid.pem, svid.key and bundle.pem.
    #[arg(long, value_name = "DIR")]
    pub(crate) identity: PathBuf,
    /// Print JSON: one object, or one a line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Seconds to go on trying when the connection is lost or no answer comes.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 20,
          value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) timeout: u64,
    #[command(subcommand)]
    pub(crate) command: ClientCommand,
}

/// What to say to a frame.
#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Accounts: open, show, list, freeze, unfreeze, close, limits.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Owners: their host, and who may debit them.
    #[command(subcommand)]
    Owner(OwnerCommand),
    /// Open an account (as `account open`).
    Open(OpenArgs),
    /// Show an account (as `account show`).
    #[command(after_help = "Example:
  bezant client --identity ids/alice balance 018f6f0e-8a10-7000-8000-000000000001")]
    Balance(AccountArgs),
    /// Pay.
    Pay(PayArgs),
    /// Pay everything in a file: CSV or JSON lines.
    PayFile(PayFileArgs),
    /// Ask what a payment would cost now.
    #[command(after_help = "Example:
  bezant client --identity ids/alice quote 018f6f0e-8a10-7000-8000-000000000001 \
    018f6f0e-8a10-7000-8000-000000000002 12.50")]
    Quote(PartiesArgs),
    /// Pay back, naming the original payment.
    Refund(RefundArgs),
    /// Ask what became of a command.
    Outcome(OutcomeArgs),
    /// Hold an amount for a creditor; show, capture and release holds.
    Hold(HoldArgs),
    /// Capture a hold (as `hold capture`).
    Capture(CaptureArgs),
    /// Release a hold (as `hold release`).
    Release(ReleaseArgs),
    /// Issue new units (mint role).
    Issue(CreateArgs),
    /// Burn units: the mint role, or an owner its own.
    #[command(after_help = "Example:
  bezant client --identity ids/mint burn treasury:0 10 --reason \"surplus of March\"")]
    Burn(CreateArgs),
    /// Move the frame's own units (admin role).
    SystemTransfer(SystemTransferArgs),
    /// Halt and resume minting.
    #[command(subcommand)]
    Mint(MintCommand),
    /// Assets: create, show.
    #[command(subcommand)]
    Asset(AssetCommand),
    /// Journaled parameters: list, show, set.
    #[command(subcommand)]
    Parameters(ParametersCommand),
    /// Show the supply of an asset and its delta, from the running sums.
    #[command(after_help = "Example:
  bezant client --identity ids/alice supply --asset 1")]
    Supply(AssetArg),
    /// Count the supply of an asset anew from every account.
    #[command(after_help = "Example:
  bezant client --identity ids/auditor recount --asset 1")]
    Recount(AssetArg),
    /// Show the supply of every asset under the names that registries of the federation use.
    #[command(after_help = "Example:
  bezant client --identity ids/auditor supply-audit --json")]
    SupplyAudit,
    /// Follow the history: one line for each event, until interrupted.
    Follow(FollowArgs),
    /// Show who I am there, and the frame: its id, epoch, time and limits.
    #[command(after_help = "Example:
  bezant client --identity ids/alice me")]
    Me,
}

/// An asset.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct AssetArg {
    /// Asset number.
    #[arg(long, default_value_t = protocol::ids::NATIVE)]
    pub(crate) asset: AssetId,
}

/// The id of a write.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct IdArg {
    /// Command id (a UUID made from the current time), to repeat an earlier attempt safely.
    #[arg(long, value_name = "UUID", value_parser = values::command_id)]
    pub(crate) id: Option<CommandId>,
}

/// An owner and an asset.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct AccountArgs {
    /// Owner.
    #[arg(value_parser = values::owner)]
    pub(crate) owner: OwnerId,
    #[command(flatten)]
    pub(crate) asset: AssetArg,
}

/// Who pays whom how much.
#[derive(Args, Clone, Debug)]
pub(crate) struct PartiesArgs {
    /// Debited owner.
    #[arg(value_parser = values::owner)]
    pub(crate) from: OwnerId,
    /// Credited owner.
    #[arg(value_parser = values::owner)]
    pub(crate) to: OwnerId,
    /// Amount in major units, e.g. 12.50.
    pub(crate) amount: String,
    #[command(flatten)]
    pub(crate) asset: AssetArg,
}

/// What goes with a payment and moves nothing.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct NoteArgs {
    /// Refuse it if the fee rate is above this, in millionths.
    #[arg(long, value_name = "MILLIONTHS")]
    pub(crate) max_rate: Option<u64>,
    /// A text to keep with it.
    #[arg(long)]
    pub(crate) memo: Option<String>,
    /// A number of your own to keep with it.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) user_data: Option<u64>,
}

/// A payment.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:
  bezant client --identity ids/alice pay 018f6f0e-8a10-7000-8000-000000000001 \
    018f6f0e-8a10-7000-8000-000000000002 12.50 --memo \"invoice 7\"")]
pub(crate) struct PayArgs {
    #[command(flatten)]
    pub(crate) parties: PartiesArgs,
    /// Id of another payment that this one belongs to.
    #[arg(long, value_name = "UUID", value_parser = values::command_id)]
    pub(crate) reference: Option<CommandId>,
    #[command(flatten)]
    pub(crate) note: NoteArgs,
    #[command(flatten)]
    pub(crate) id: IdArg,
}

/// A payment back.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:
  bezant client --identity ids/bob refund 019a9dbb-1c00-7000-8000-000000000009 \
    018f6f0e-8a10-7000-8000-000000000002 018f6f0e-8a10-7000-8000-000000000001 12.50

A refund is a payment like any other, fee included; it names its original and undoes nothing.")]
pub(crate) struct RefundArgs {
    /// Id of the original payment.
    #[arg(value_parser = values::command_id)]
    pub(crate) original: CommandId,
    #[command(flatten)]
    pub(crate) parties: PartiesArgs,
    #[command(flatten)]
    pub(crate) note: NoteArgs,
    #[command(flatten)]
    pub(crate) id: IdArg,
}

/// Payments from a file.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:
  bezant client --identity ids/registry pay-file payments.csv

A CSV file has the columns debit,credit,amount, or a first line that names its columns; those and
the fields of JSON lines are: debit, credit, amount, asset, id, max_rate, reference, memo,
user_data. Every line is checked before the first one is sent. A line without an id has the id of
the whole file (--id, else made and printed) plus its place; so the same file with the same --id can
be sent again, and pays nothing twice.")]
pub(crate) struct PayFileArgs {
    /// The file; - is standard input.
    pub(crate) file: PathBuf,
    /// All or nothing: one chain, at most chain.length payments.
    #[arg(long)]
    pub(crate) atomic: bool,
    #[command(flatten)]
    pub(crate) id: IdArg,
}

/// A command to ask about.
#[derive(Args, Clone, Copy, Debug)]
#[command(after_help = "Example:
  bezant client --identity ids/alice outcome 018f6f0e-8a10-7000-8000-000000000001 \
    019a9dbb-1c00-7000-8000-000000000009")]
pub(crate) struct OutcomeArgs {
    /// In whose scope the id is: the debtor of a payment or hold, the creditor of a capture or
    /// release, the caller of anything else.
    #[arg(value_parser = values::owner)]
    pub(crate) owner: OwnerId,
    /// The id.
    #[arg(value_parser = values::command_id)]
    pub(crate) id: CommandId,
}

/// A hold to place, or something about holds.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Examples:
  bezant client --identity ids/alice hold 018f6f0e-8a10-7000-8000-000000000001 \
    018f6f0e-8a10-7000-8000-000000000002 10
  bezant client --identity ids/bob hold capture 018f6f0e-8a10-7000-8000-000000000001 \
    018f6f0e-8a10-7000-8000-000000000002 019a9dbb-1c00-7000-8000-000000000009 --amount 4")]
pub(crate) struct HoldArgs {
    #[command(subcommand)]
    pub(crate) command: Option<HoldCommand>,
    /// Debited owner.
    #[arg(required = true, value_parser = values::owner)]
    pub(crate) from: Option<OwnerId>,
    /// Credited owner.
    #[arg(required = true, value_parser = values::owner)]
    pub(crate) to: Option<OwnerId>,
    /// Amount in major units, e.g. 12.50.
    #[arg(required = true)]
    pub(crate) amount: Option<String>,
    #[command(flatten)]
    pub(crate) asset: AssetArg,
    #[command(flatten)]
    pub(crate) terms: HoldTerms,
}

impl HoldArgs {
    /// Who holds how much for whom; `None` when a subcommand says it.
    pub(crate) fn parties(&self) -> Option<PartiesArgs> {
        let amount = self.amount.clone()?;
        Some(PartiesArgs { from: self.from?, to: self.to?, amount, asset: self.asset })
    }
}

/// What to do with holds.
#[derive(Debug, Subcommand)]
pub(crate) enum HoldCommand {
    /// Hold an amount for a creditor.
    #[command(after_help = "Example:
  bezant client --identity ids/alice hold place 018f6f0e-8a10-7000-8000-000000000001 \
    018f6f0e-8a10-7000-8000-000000000002 10 --timeout-ms 60000")]
    Place(PlaceArgs),
    /// Show an open hold.
    #[command(after_help = "Example:
  bezant client --identity ids/alice hold show 018f6f0e-8a10-7000-8000-000000000001 \
    019a9dbb-1c00-7000-8000-000000000009")]
    Show {
        /// Debited owner of the hold.
        #[arg(value_parser = values::owner)]
        from: OwnerId,
        /// Id of the hold.
        #[arg(value_parser = values::command_id)]
        hold: CommandId,
        #[command(flatten)]
        asset: AssetArg,
    },
    /// Capture a hold as its creditor.
    Capture(CaptureArgs),
    /// Release a hold as its creditor.
    Release(ReleaseArgs),
}

/// A hold to place.
#[derive(Args, Clone, Debug)]
pub(crate) struct PlaceArgs {
    #[command(flatten)]
    pub(crate) parties: PartiesArgs,
    #[command(flatten)]
    pub(crate) terms: HoldTerms,
}

/// On what terms an amount is held.
#[derive(Args, Clone, Debug)]
pub(crate) struct HoldTerms {
    /// Lifetime in milliseconds; 0 = the frame's default.
    #[arg(long, default_value_t = 0)]
    pub(crate) timeout_ms: u32,
    /// Allow partial captures that keep the rest held.
    #[arg(long)]
    pub(crate) keep: bool,
    #[command(flatten)]
    pub(crate) note: NoteArgs,
    #[command(flatten)]
    pub(crate) id: IdArg,
}

/// An open hold, as its creditor names it.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct NamedHold {
    /// Debited owner of the hold.
    #[arg(value_parser = values::owner)]
    pub(crate) from: OwnerId,
    /// Credited owner of the hold.
    #[arg(value_parser = values::owner)]
    pub(crate) to: OwnerId,
    /// Id of the hold.
    #[arg(value_parser = values::command_id)]
    pub(crate) hold: CommandId,
    #[command(flatten)]
    pub(crate) asset: AssetArg,
}

/// A hold to capture.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:
  bezant client --identity ids/bob capture 018f6f0e-8a10-7000-8000-000000000001 \
    018f6f0e-8a10-7000-8000-000000000002 019a9dbb-1c00-7000-8000-000000000009")]
pub(crate) struct CaptureArgs {
    #[command(flatten)]
    pub(crate) hold: NamedHold,
    /// Amount in major units; everything if not given.
    #[arg(long)]
    pub(crate) amount: Option<String>,
    /// Keep the rest held, if the debtor allowed it.
    #[arg(long, requires = "amount")]
    pub(crate) keep: bool,
    #[command(flatten)]
    pub(crate) note: NoteArgs,
    #[command(flatten)]
    pub(crate) id: IdArg,
}

/// A hold to release.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:
  bezant client --identity ids/bob release 018f6f0e-8a10-7000-8000-000000000001 \
    018f6f0e-8a10-7000-8000-000000000002 019a9dbb-1c00-7000-8000-000000000009")]
pub(crate) struct ReleaseArgs {
    #[command(flatten)]
    pub(crate) hold: NamedHold,
    /// A text to keep with it.
    #[arg(long)]
    pub(crate) memo: Option<String>,
    #[command(flatten)]
    pub(crate) id: IdArg,
}
