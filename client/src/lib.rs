//! The Rust client library of a Bezant frame.
