//! The HTTPS door: socket, TLS, who is let in, and what is served behind it.
//!
//! Only this file and its folder know HTTP. It looks at no header to learn who asks, and upgrades
//! nothing. Invariant: nothing of a peer is read before its certificate was judged.

pub(crate) mod call;

use axum::Router;

/// Everything that the door serves. Handlers find the [`call::Caller`] in an extension.
pub(crate) fn router() -> Router {
    Router::new()
}
