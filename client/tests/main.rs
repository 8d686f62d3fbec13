//! What the client promises without a frame to talk to; with one, see the gateway's tests.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

#[path = "document/wire_document.rs"]
mod wire_document;
