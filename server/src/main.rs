//! The bezant binary.
fn main() {}
