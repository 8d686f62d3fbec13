//! Settlement against a model database with every failure, and against real ones.
#![expect(clippy::unwrap_used, reason = "a test that meets an error fails")]

mod cluster;
mod conformance;
mod entries;
mod exactly_once;
mod fitness;
mod journal;
mod keys;
mod live;
mod postgres;
mod postings;
mod proxy;
mod sqlite;
mod upgrade;
