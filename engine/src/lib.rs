//! The deterministic money machine: accounts, transfers, holds, fees, supply.
//!
//! It executes the requests of journal records in their order and answers each command. It opens
//! no file, reads no clock, starts no thread and draws no random number: everything that can
//! change an outcome is in the genesis record, the records and this code.
//!
//! The invariant: after every record the units issued less those destroyed are the units in
//! accounts, for every asset, and the same records always give the same digests.
//!
//! ```
//! use engine::{Engine, Options, RecordStart};
//! use protocol::genesis::{Genesis, Mode};
//! use protocol::parameter::Parameters;
//! use protocol::reply::Outcomes;
//! use protocol::{Command, CommandId, Request, Role, Sequence, Status};
//!
//! let genesis = Genesis {
//!     frame: 1,
//!     hash_seed: 2,
//!     mode: Mode::Frame,
//!     scale: 6,
//!     name: "AVT".into(),
//!     trust_domain: "frame.test".into(),
//!     parameters: Parameters::default(),
//! };
//! let mut engine = Engine::new(&genesis, Options::default()).unwrap();
//! engine.begin_record(RecordStart {
//!     first_sequence: Sequence(1),
//!     timestamp_ns: 1_000_000_000,
//!     settled: Sequence(0),
//! });
//! let alice = 0xa11ce << 64;
//! let role = Role::Agent as u16;
//! let request = Request { principal: alice, role, slots: 1, ..Request::default() };
//! let mut outcomes = Outcomes::default();
//! engine.execute(&request, &[Command::open(CommandId::new(1_000, 1), alice, 1)], &mut outcomes);
//! engine.end_record();
//! assert_eq!(engine.executed(), Sequence(1));
//! assert!(engine.account(alice, 1).is_some());
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod accounts;
pub mod authority;
#[cfg(test)]
mod broken_test;
mod chunks;
mod configuration;
mod cut;
mod digest;
mod effects;
mod engine;
mod figures;
mod followed;
mod hash;
mod holds;
mod hosts;
mod ids;
mod image;
mod index;
mod keyed;
mod keys;
mod kinds;
mod limits;
mod list;
mod overview;
mod owners;
mod pin;
mod posting;
#[cfg(test)]
mod posting_test;
mod read;
mod recount;
mod request;
mod resolve;
mod shape;
pub mod state;
mod supply;
mod undo;
mod velocity;

pub use crate::engine::{Engine, Options, RecordStart};
pub use crate::figures::{Figures, Used};
pub use crate::overview::{Survey, Surveyed};
pub use crate::pin::PinError;
pub use crate::recount::Recount;
