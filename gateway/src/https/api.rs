//! The JSON API: every operation of the frame over HTTP, and the document that describes them.
//!
//! JSON becomes 128-byte commands here and nowhere else; nothing behind this module knows JSON. It
//! judges no command and holds no state but the names and scales of assets, which never change.
//! Invariant: what is refused here was not sequenced.

pub(super) mod accept;
mod accounts;
pub(super) mod answer;
mod audit;
mod balance;
mod body;
mod bulk;
mod contract;
mod entries;
mod event;
mod events;
mod examples;
mod following;
mod frame;
mod holds;
pub(super) mod inbound;
mod list;
mod money;
mod openapi;
mod operation;
mod overview;
mod page;
mod present;
pub(crate) mod problem;
mod range;
mod settlements;
mod shown;
mod socket;
mod supply;
mod totals;
mod transfers;
mod values;
mod walk;
mod write;

use std::sync::Arc;

use axum::Router;

use audit::Catalogue;
use contract::Fixed;
use money::Scales;
use operation::Operation;
use problem::{Own, Problem};
pub(super) use shown::may_look;
use tokio::sync::Semaphore;

use crate::limits::BATCH_FEEDS_MAX;

/// What all requests share.
pub(crate) struct Shared {
    scales: Scales,
    catalogue: Catalogue,
    /// Places to follow settlement.
    settlements: Arc<Semaphore>,
    document: Fixed,
    page: Fixed,
    style: Fixed,
}

/// Every operation.
fn operations() -> Vec<Operation> {
    let mut operations = frame::operations();
    operations.extend(accounts::operations());
    operations.extend(transfers::operations());
    operations.extend(holds::operations());
    operations.extend(supply::operations());
    operations.push(audit::operation());
    operations.push(entries::operation());
    operations.push(balance::operation());
    operations.push(totals::operation());
    operations.push(events::operation());
    operations.push(socket::operation());
    operations.push(settlements::operation());
    operations.extend(shown::operations());
    operations.extend(overview::operations());
    operations.extend(contract::operations());
    operations
}

/// The routes of the API. Every request brings its [`super::call::Caller`] as an extension.
pub(crate) fn router() -> Router {
    let mut operations = operations();
    let document = openapi::document(&mut operations);
    let json = serde_json::to_string(&document).expect("the document is JSON");
    let html = "text/html; charset=utf-8";
    let css = "text/css; charset=utf-8";
    let shared = Arc::new(Shared {
        scales: Scales::default(),
        catalogue: Catalogue::default(),
        settlements: Arc::new(Semaphore::new(BATCH_FEEDS_MAX)),
        document: Fixed::new(json, ("application", "json"), "application/json"),
        page: Fixed::new(page::page(&document), ("text", "html"), html),
        style: Fixed::new(page::STYLE.to_owned(), ("text", "css"), css),
    });
    let routes = operations.into_iter();
    let router = routes.fold(Router::new(), |router, operation| match operation.route {
        Some(route) => router.route(operation.path, route),
        None => router,
    });
    router.with_state(shared)
}

/// The paths of all operations.
pub(super) fn paths() -> impl Iterator<Item = &'static str> {
    operations().into_iter().map(|operation| operation.path)
}

/// The answer to a path that no operation has.
pub(crate) async fn no_route() -> Problem {
    Problem::own(Own::RouteNotFound)
}

/// The answer to a method that a path has no operation for; the router adds `Allow`.
pub(crate) async fn no_method() -> Problem {
    Problem::own(Own::MethodNotAllowed)
}

#[cfg(test)]
#[path = "api_test.rs"]
mod tests;
