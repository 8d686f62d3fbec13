//! Properties of the gateway and the client together, over loopback, one module a property. The
//! engine is a stand-in that answers everything; money is tested elsewhere.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

#[path = "door/support.rs"]
mod support;

#[path = "door/backpressure.rs"]
mod backpressure;
#[path = "door/garbage.rs"]
mod garbage;
#[path = "door/identify_first.rs"]
mod identify_first;
#[path = "door/identities.rs"]
mod identities;
#[path = "door/requests.rs"]
mod requests;
#[path = "door/retries.rs"]
mod retries;
#[path = "door/shutdown.rs"]
mod shutdown;
#[path = "door/slow_clients.rs"]
mod slow_clients;
