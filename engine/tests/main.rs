//! The integration tests of the engine, one module a property.

mod agreement;
mod authority;
mod authority_reference;
mod chains;
mod conservation;
mod determinism;
mod extremes;
mod followed;
mod frame;
mod generators;
mod ids;
mod keys;
mod lists;
mod model;
mod overview;
mod pins;
mod postings;
mod reads;
mod refusals;
mod scene;
mod state;
