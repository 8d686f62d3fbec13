//! The whole pipeline in one thread on a simulated disk, one module per property.
#![expect(clippy::unwrap_used, reason = "a failed step of the rig is a failed test")]

mod medium;
mod rig;
mod shelf;
mod story;

mod attest;
mod crash;
mod cuts;
mod flips;
mod followed;
mod full;
mod golden;
mod keys;
mod order;
mod past;
mod recovery;
mod removing;
mod replay;
mod retention;
mod ticks;
