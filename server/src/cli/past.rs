//! The words of the commands that ask about the past of a frame. Parsing only.

use clap::Args;
use client::OwnerId;

use super::values;

/// Which moment, and what of it.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  bezant replay --data-dir frame --to 1000 --account 018f6f0e-8a10-7000-8000-000000000001

The frame may run. It begins with the newest snapshot at or before that sequence.")]
pub(crate) struct ReplayArgs {
    /// The last sequence to execute; 0 is the frame as it was made.
    #[arg(long, value_name = "SEQUENCE")]
    pub(crate) to: u64,
    /// Shows the accounts of this owner too, in every asset.
    #[arg(long = "account", value_name = "OWNER", value_parser = values::owner)]
    pub(crate) owners: Vec<OwnerId>,
    /// Shows every account.
    #[arg(long)]
    pub(crate) accounts: bool,
    /// Prints one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which stretch of the past, and how much of the report.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  bezant what-if --data-dir frame --set fee.base=7000 --top 5

The frame may run; nothing is written. Beside settings, --set takes any journaled parameter here,
as in init --parameter; its value then holds whatever the journal sets later.")]
pub(crate) struct WhatIfArgs {
    /// The parameters change with the record that holds this sequence.
    #[arg(long, value_name = "SEQUENCE", default_value_t = 1,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) from_sequence: u64,
    /// The last sequence to execute; the last one of the journal if not given.
    #[arg(long, value_name = "SEQUENCE")]
    pub(crate) to: Option<u64>,
    /// Largest differences of accounts to show.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) top: usize,
    /// Prints one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}
