//! The integration tests of snapshots, one module a property.

mod damage;
mod disk;
mod memory;
mod steps;
