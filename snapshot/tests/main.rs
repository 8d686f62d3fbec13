//! The integration tests of snapshots, one module a property.

mod counting;
mod damage;
mod disk;
mod memory;
mod pausing;
mod steps;
