//! The integration tests of the engine, one module a property.

mod agreement;
mod generators;
mod model;
