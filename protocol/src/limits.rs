//! Every limit of the formats, with its reason. A number that is configurable lives in
//! [`crate::parameter`]; these are fixed by the layouts.

/// 128-byte slots (commands and their data) a request may carry: with both heads just under 1 MiB.
pub const REQUEST_SLOTS_MAX: u32 = 8_190;
/// Data slots one command may carry (8 KiB of names, reasons, proofs).
pub const DATA_SLOTS_MAX: u16 = 64;
/// Largest amount, 2^127 − 1: a balance and its negation both fit `i128`.
pub const AMOUNT_MAX: u128 = i128::MAX as u128;
/// What a frame may have in circulation per asset (H20): no later credit can overflow.
pub const SUPPLY_MAX: u128 = 1 << 120;
/// Decimal digits an asset may have after the point.
pub const SCALE_MAX: u16 = 18;
/// How far ahead of journal time the time inside an id may lie.
pub const ID_FUTURE_MS: u64 = 5_000;
/// Timers that fire with one record, before its commands (H29).
pub const TIMERS_PER_RECORD: usize = 8_192;
/// Longest chain a frame may allow; the journaled limit is at most this.
pub const CHAIN_LENGTH_MAX: u32 = 64;
/// Longest name of an asset, in bytes.
pub const NAME_LEN_MAX: usize = 64;
/// Longest SPIFFE ID, in bytes (SPIFFE-ID §2.3).
pub const SPIFFE_ID_LEN_MAX: usize = 2_048;
/// Longest reason text, in bytes.
pub const REASON_LEN_MAX: usize = 1_024;
/// Longest string key, in bytes.
pub const KEY_LEN_MAX: usize = 255;
/// Accounts that one list may give: with their trailer 250 KiB.
pub const LIST_LIMIT_MAX: u32 = 1_000;
/// Assets of one frame.
pub const ASSETS_MAX: usize = 256;
/// Host registries of one frame; host 0 is the frame itself.
pub const HOSTS_MAX: usize = 4_096;
