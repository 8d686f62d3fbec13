//! The values that the examples of the API document share. They are nobody's.

use serde_json::{Value, json};

/// A command's id.
pub(crate) const ID: &str = "018f6f0e-8a10-7000-8000-000000000001";
/// Another, that of a hold.
pub(crate) const HOLD: &str = "018f6f0e-8a10-7000-8000-000000000002";
/// Who pays.
pub(crate) const DEBIT: &str = "01900000-0000-7000-8000-00000000000a";
/// A registry.
pub(crate) const HOST: &str = "01900000-0000-8000-8000-0000000000aa";

/// What a command answers.
pub(crate) fn done() -> Value {
    json!({"id": ID, "status": "ok", "sequence": 42, "rate": 0})
}

/// What a payment answers.
pub(crate) fn paid() -> Value {
    json!({"id": ID, "status": "ok", "sequence": 42, "rate": 5_000})
}
