//! What a frame shows of itself, through the HTTPS door, to those who run and audit it.
//!
//! The gateway knows neither figures nor settings: it asks whoever started it, and decides who may
//! look. Invariant: nothing of it is needed to serve a client.

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

/// A frame that can be looked at.
pub trait Shown: Send + Sync {
    /// Its figures in the text format of Prometheus; nothing before there are any. May look at the
    /// disk.
    fn figures(&self) -> Option<String>;

    /// Its settings, without secrets.
    fn settings(&self) -> &[Setting];
}
