//! The integration tests of the engine, one module a property.

mod agreement;
mod chains;
mod conservation;
mod determinism;
mod extremes;
mod frame;
mod generators;
mod ids;
mod lists;
mod model;
mod postings;
mod reads;
mod refusals;
