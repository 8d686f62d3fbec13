//! Properties of the formats that outsiders rely on: their bytes, their numbers, and that no input
//! can bring a decoder down.

mod golden_bytes;
mod hostile_input;
mod outcomes_reference;
