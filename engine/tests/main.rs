//! The integration tests of the engine, one module a property.

mod agreement;
mod conservation;
mod generators;
mod model;
