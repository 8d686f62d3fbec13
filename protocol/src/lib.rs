//! The nouns of Bezant and their bytes.
//!
//! A thing belongs in this crate only if its bytes cross a process or a disk: ids, amounts,
//! commands, requests, replies, refusals, the genesis record, cuts and effects. It performs no
//! I/O, reads no clock, allocates only to build variable-length values, and never panics on input.
//!
//! ```text
//! client ── Request (64) + Command (128) × n ──► gateway ─► ring ─► journal ─► engine
//!        ◄─ Reply (64) + exceptions (16) × m ──                                  │
//!                                               SQL ◄── Cut, Effect (128) ◄──────┘
//! ```
//!
//! ```
//! use protocol::{Command, CommandId, Kind};
//! use protocol::amount;
//!
//! let id = CommandId::new(1_700_000_000_000, 7);
//! let pay = Command::transfer(id, 10, 20, 1, amount::parse("12.5", 6).unwrap());
//! assert_eq!(pay.amount, 12_500_000);
//! assert_eq!(Kind::try_from(pay.kind), Ok(Kind::Transfer));
//! ```
//!
//! # Invariants
//!
//! * Everything is little-endian, of fixed width and without padding; the layouts are asserted at
//!   compile time and pinned by golden bytes.
//! * An unused byte or bit is zero, else the input is `malformed`.
//! * Numbers of kinds, statuses, events and parameters are stable: never reused, never renumbered.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(not(target_endian = "little"))]
compile_error!("the formats are little-endian and are read in place");

pub mod amount;
pub mod answer;
pub mod batch;
pub mod command;
pub mod cut;
pub mod data;
pub mod effect;
pub mod entry;
pub mod feed;
pub mod follow;
pub mod frame;
pub mod genesis;
pub mod ids;
pub mod key;
pub mod kind;
pub mod limits;
pub mod overview;
pub mod parameter;
pub mod reply;
pub mod request;
pub mod shape;
pub mod status;
pub mod system;
pub mod wide;

pub use command::{Command, flags};
pub use ids::{AssetId, CommandId, Index, OwnerId, Sequence};
pub use kind::Kind;
pub use request::{Request, Role};
pub use status::Status;
