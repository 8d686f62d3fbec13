//! Properties of the gateway and the client together, over loopback, one module a property. The
//! engine is a stand-in that answers everything; money is tested elsewhere.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

#[path = "door/support.rs"]
mod support;

#[path = "door/followed.rs"]
mod followed;
#[path = "door/https/client.rs"]
mod https;

#[path = "door/backpressure.rs"]
mod backpressure;
#[path = "door/feeds.rs"]
mod feeds;
#[path = "door/garbage.rs"]
mod garbage;
#[path = "door/https/batches.rs"]
mod https_batches;
#[path = "door/https/console.rs"]
mod https_console;
#[path = "door/https/ends.rs"]
mod https_ends;
#[path = "door/https/feeds.rs"]
mod https_feeds;
#[path = "door/https/history.rs"]
mod https_history;
#[path = "door/https/json.rs"]
mod https_json;
#[path = "door/https/refusals.rs"]
mod https_refusals;
#[path = "door/https/slow_clients.rs"]
mod https_slow_clients;
#[path = "door/https/sockets.rs"]
mod https_sockets;
#[path = "door/identify_first.rs"]
mod identify_first;
#[path = "door/identities.rs"]
mod identities;
#[path = "door/limits.rs"]
mod limits;
#[path = "door/requests.rs"]
mod requests;
#[path = "door/retries.rs"]
mod retries;
#[path = "door/shutdown.rs"]
mod shutdown;
#[path = "door/slow_clients.rs"]
mod slow_clients;
#[path = "door/transport.rs"]
mod transport;
