//! The Rust client of a Bezant frame: payments over QUIC, authenticated by SPIFFE identities.
//!
//! A [`Client`] is one connection with any number of requests under way; a [`Session`] also
//! connects again and resolves outcomes that a lost connection left unknown. Neither invents ids
//! nor guesses outcomes: a refusal is an outcome in the [`Reply`], an [`Error`] means that there
//! is no reply, and [`Error::is_unknown`] tells when commands may have been executed all the same.
//!
//! ```no_run
//! use std::sync::Arc;
//! use client::{Client, Command, Expected, FileSource, Options, TrustDomain, query};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let source = Arc::new(FileSource::open("identities/registry-north")?);
//! let frame = Expected::Frame(TrustDomain::parse("frame-a.example")?);
//! let addr = "127.0.0.1:7400".parse()?;
//! let client = Client::connect(addr, &source, frame, Options::default()).await?;
//!
//! let alice = 0x0190_0000_0000_7000_8000_0000_0000_0001;
//! let bob = 0x0190_0000_0000_7000_8000_0000_0000_0002;
//! let native = 1;
//! let mut ids = client.ids();
//! let pay = Command::transfer(ids.next_id(), alice, bob, native, 12_500_000);
//! let reply = client.request(&[pay]).await?;
//! for outcome in reply.outcomes() {
//!     println!("sequence {}: {} ({})", outcome.sequence, outcome.status, outcome.status.cure());
//! }
//! let account = client.ask(query::account(bob, native)).await?;
//! println!("bob has {} minor units", account.liquid);
//! # Ok(())
//! # }
//! ```
//!
//! A [`Feed`] follows the history, and a [`Following`] does so over any number of connections.
//! `examples/pay.rs` is a whole program. Batches are slices, filled by hand or by a [`Batch`]: up
//! to 8 190 slots (commands and their data) in a request; [`Client::submit`] keeps many requests
//! under way. Reads are in [`query`].
//!
//! # Invariants
//!
//! * With one stream (the default) requests are executed in the order of [`Client::submit`].
//! * A request is answered exactly once: with its reply or with how the connection ended.
//! * The connection is up only after the frame's hello; TLS alone is not acceptance.
#![forbid(unsafe_code)]

mod batch;
mod buffers;
mod connection;
mod draft;
mod error;
mod follow;
pub mod framing;
mod ids;
pub mod limits;
mod list;
mod options;
mod pending;
pub mod query;
mod quic;
mod receipt;
mod reply;
mod session;
mod stream;

pub use batch::{Batch, BatchFull};
pub use connection::Client;
pub use draft::Draft;
pub use error::{End, Error};
pub use follow::{Feed, Follow, FollowedEvent, Following, Told};
pub use ids::{IdGenerator, system_ids};
pub use list::{AccountList, AccountPage, ListedAccount};
pub use options::Options;
pub use pending::Pending;
pub use query::{
    AccountView, AssetView, HoldView, OutcomeView, ParameterView, Query, QuoteView, SupplyView,
    View,
};
pub use quic::{ALPN, Connector};
pub use receipt::Receipt;
pub use reply::Reply;
pub use session::Session;

pub use identity::{Expected, FileSource, HeldSource, Source, SpiffeId, TrustDomain};
pub use protocol::effect::{Effect, Event};
pub use protocol::feed::{Followed, Place};
pub use protocol::follow::{UNTOLD, Unfollowed};
pub use protocol::frame::{CloseCode, Hello};
pub use protocol::reply::Outcome;
pub use protocol::{AssetId, Command, CommandId, OwnerId, Request, Sequence, Status};
