//! What the HTTPS door asks of the settled history about string keys (H17).
//!
//! It decides nothing: the engine executes a key only if the question was asked at or beyond the
//! sequence up to which it has forgotten keys. Invariant: an answer that did not come is an error,
//! never "not found".

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use protocol::Status;

/// What the settled history knows of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyAnswer {
    /// Everything up to this sequence was settled when it was asked.
    pub settled_through: u64,
    /// The command that used the key, if one did.
    pub found: Option<KeyRow>,
}

/// What became of the command that used a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// Its sequence.
    pub sequence: u64,
    /// Ok or the refusal.
    pub status: Status,
    /// Fee rate that it paid, in millionths.
    pub rate: u16,
    /// Digest of its body ([`protocol::key::body_digest`]).
    pub digest: u128,
}

/// The settled history did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the settled history does not answer: {0}")]
pub struct KeyHistoryError(pub Box<str>);

/// An answer to come.
pub type KeyAnswering<'a> =
    Pin<Box<dyn Future<Output = Result<KeyAnswer, KeyHistoryError>> + Send + 'a>>;

/// Where keys are looked up.
pub trait KeyHistory: fmt::Debug + Send + Sync {
    /// What became of the command with `key` (a hash, [`protocol::key::id`]) of `principal`.
    fn find(&self, principal: u128, key: u128) -> KeyAnswering<'_>;
}
