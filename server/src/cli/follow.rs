//! The words of `bezant client follow`. Parsing only: who may follow what, the frame says.

use clap::Args;
use client::{AssetId, Follow, OwnerId, Place};

use super::values;

/// What to follow.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:
  bezant client --identity ids/alice --json follow --after 0 --event TokensTransferred

Each line begins with its place; --after that place goes on behind it. An agent follows itself, a
registry one owner that it hosts, an auditor everything; docs/feeds.md says more.")]
pub(crate) struct FollowArgs {
    /// Begin behind this place: a sequence, or a sequence and a leg; now if not given.
    #[arg(long, value_name = "PLACE", value_parser = values::place)]
    pub(crate) after: Option<Place>,
    /// Only events that concern this owner.
    #[arg(long, value_name = "OWNER", value_parser = values::owner)]
    pub(crate) account: Option<OwnerId>,
    /// Only these events, by name, with commas between them.
    #[arg(
        long = "event",
        value_name = "EVENT",
        value_delimiter = ',',
        value_parser = values::event
    )]
    pub(crate) events: Vec<u16>,
    /// Only in this asset.
    #[arg(long)]
    pub(crate) asset: Option<AssetId>,
    /// End when everything through this sequence has come.
    #[arg(long, value_name = "SEQUENCE")]
    pub(crate) until: Option<u64>,
}

impl FollowArgs {
    /// As the client library asks for it.
    pub(crate) fn follow(&self) -> Follow {
        let mut follow = Follow::default();
        if let Some(place) = self.after {
            follow = follow.after(place);
        }
        if let Some(owner) = self.account {
            follow = follow.account(owner);
        }
        if let Some(asset) = self.asset {
            follow = follow.asset(asset);
        }
        self.events.iter().fold(follow, |follow, number| follow.event_number(*number))
    }
}
