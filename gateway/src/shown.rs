//! What a frame shows of itself, through the HTTPS door, to those who run and audit it.
//!
//! The gateway knows neither figures nor settings: it asks whoever started it, and decides who may
//! look. Invariant: nothing of it is needed to serve a client.

use std::sync::Arc;

use protocol::overview::{DueHolds, Ranking};
use serde::Serialize;
use utoipa::ToSchema;

/// One setting of the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Setting {
    /// `section.name`.
    #[schema(max_length = 64)]
    pub key: &'static str,
    /// Its value, or a word instead of a secret.
    #[schema(max_length = 4096)]
    pub value: String,
    /// Which layer set it.
    #[schema(max_length = 4096)]
    pub origin: String,
    /// What it means, with its unit.
    #[schema(max_length = 256)]
    pub meaning: &'static str,
}

/// A certificate that the frame itself holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The frame's SPIFFE ID; of an authority the trust domain that it vouches for.
    pub name: String,
    /// Whether it is an authority of a bundle.
    pub is_authority: bool,
    /// When it ends, Unix seconds.
    pub not_after_s: u64,
}

/// A frame that can be looked at.
pub trait Shown: Send + Sync {
    /// Its figures in the text format of Prometheus; nothing before there are any. May look at the
    /// disk.
    fn figures(&self) -> Option<String>;

    /// Its settings, without secrets.
    fn settings(&self) -> &[Setting];

    /// The largest accounts as they were lately; nothing before they were looked for. Begins to
    /// look for them anew.
    fn ranking(&self) -> Option<Arc<Ranking>>;

    /// The holds that end next; nothing when the engine does not answer. May wait for it.
    fn due_holds(&self) -> Option<Arc<DueHolds>>;

    /// The frame's own certificate and its authorities.
    fn certificates(&self) -> Vec<Certificate>;
}
