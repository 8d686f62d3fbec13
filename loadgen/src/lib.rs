//! The load harness: drives a running frame over QUIC or HTTPS, and keeps its own book of every
//! account.
//!
//! It plans seeded batches, sends them over many connections, measures from just before a batch is
//! handed to the client until its answer is decoded, and at the end compares every account with
//! its own model, which was fed by answers alone. It knows no engine and starts no server.
//!
//! ```
//! use loadgen::{Mix, Planner, Skew};
//!
//! let mut planner = Planner::new(42, 0, 1_000, Skew::Uniform, Mix::default());
//! let batch = planner.batch(100, 1_700_000_000_000);
//! assert_eq!(batch.len(), 100);
//! ```
//!
//! # Invariants
//!
//! * An answer is booked once, whichever attempt it came from.
//! * The model and the frame agree on every bucket of every account, or the run fails.
#![forbid(unsafe_code)]

pub mod feeds;
pub mod https;
#[cfg(test)]
mod https_test;
pub mod json;
mod lane;
pub mod load;
pub mod measure;
pub mod model;
#[cfg(test)]
mod null_test;
pub mod pace;
pub mod payments;
pub mod plan;
pub mod plot;
pub mod plots;
pub mod process;
pub mod random;
pub mod report;
pub mod run;
mod setup;
pub mod skew;

pub use measure::Measured;
pub use model::{Balance, Model, OpenHold};
pub use pace::{Arrivals, OpenLoop};
pub use plan::{Batch, Mix, Planner, owner};
pub use process::{FrameHome, FrameProcess, ProcessError};
pub use random::Random;
pub use report::{Agreement, Report};
pub use run::{Door, Driver, Load, RunError, Target};
pub use skew::Skew;
