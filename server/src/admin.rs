//! The admin door: plain HTTP on loopback with `/livez`, `/readyz` and `/metrics`. It shows figures
//! and takes no commands, so that it needs no identity.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use crate::exit::{Exit, Failure, OrExit as _};

/// One thing that must be so for the frame to serve.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Check {
    /// What is checked.
    pub(crate) name: &'static str,
    /// Whether it is so.
    pub(crate) ok: bool,
    /// What is seen, and what to do when it is not ok.
    pub(crate) detail: String,
}

/// What the admin door asks of the running frame.
pub(crate) trait Observed: Send + Sync + 'static {
    /// Everything that must be so to serve.
    fn checks(&self) -> Vec<Check>;
    /// Figures in the OpenMetrics text format.
    fn metrics(&self) -> String;
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
    checks: Vec<Check>,
}

/// Binds the door and serves it on the current runtime; returns the bound address.
pub(crate) async fn start(
    address: SocketAddr,
    observed: Arc<dyn Observed>,
) -> Result<SocketAddr, Failure> {
    let app = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(observed);
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .or_exit(Exit::Io, &format!("cannot listen on {address} (listen.admin)"))?;
    let bound = listener.local_addr().or_exit(Exit::Io, "the admin door has no address")?;
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            tracing::error!(%error, "the admin door stopped");
        }
    });
    Ok(bound)
}

async fn ready(State(observed): State<Arc<dyn Observed>>) -> Response {
    let checks = observed.checks();
    let ready = checks.iter().all(|check| check.ok);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { ready, checks })).into_response()
}

async fn metrics(State(observed): State<Arc<dyn Observed>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], observed.metrics()).into_response()
}
