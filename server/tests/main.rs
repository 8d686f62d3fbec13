//! The `bezant` binary as operators, clients and crashes meet it: whole processes, real sockets,
//! real files. One module a property.
//!
//! Nothing here looks inside the process; what is claimed is read from answers, files, exit codes,
//! SQL and the admin door.
#![expect(clippy::unwrap_used, reason = "a test that meets an error fails")]

mod abuse;
mod abuse_h2;
mod backup;
mod book;
mod books;
mod both_doors;
mod browser;
mod byte_flips;
mod clock;
mod cluster;
#[cfg(feature = "otlp")]
mod collector;
mod command_line;
mod commands;
mod console;
mod crash_points;
mod demo;
mod deploy;
mod disk;
mod doctor;
mod door;
mod duplicates;
mod examples;
mod feed_rights;
mod feeds;
mod frame;
mod full_disk;
mod golden;
mod hardening;
mod history;
mod https_client;
mod https_door;
mod https_duplicates;
mod https_kills;
mod identity_over_quic;
mod journal_damage;
mod keeping;
mod kill_loop;
mod lists;
mod manager;
mod matrix;
mod medium;
mod metrics;
mod monitoring;
mod power;
mod promql;
mod public_page;
mod public_places;
mod quic;
mod refusals;
mod rotation;
mod rounds;
mod settled_keys;
mod settlement_outage;
mod shell;
mod shortened;
mod snapshots;
mod stopping;
mod structure_over_quic;
mod sync_errors;
mod time_travel;
mod top;
#[cfg(feature = "otlp")]
mod traces;
mod upkeep;
mod what_if;
