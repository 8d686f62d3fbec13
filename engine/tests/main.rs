//! The integration tests of the engine, one module a property.

mod agreement;
mod conservation;
mod extremes;
mod generators;
mod model;
mod reads;
