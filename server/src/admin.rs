//! The admin door: plain HTTP on loopback with `/livez`, `/readyz` and `/metrics`. It shows figures
//! and takes no commands, so that it needs no identity.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
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

/// How `/metrics` is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// The text format of Prometheus, for whoever asks for nothing else.
    Text,
    /// OpenMetrics, for whoever accepts it.
    OpenMetrics,
}

impl Format {
    const OPEN_METRICS: &str = "application/openmetrics-text";

    fn accepted(headers: &HeaderMap) -> Self {
        let accepts =
            headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let is_open = accepts.flat_map(|value| value.split(',')).any(|kind| {
            kind.split(';').next().is_some_and(|kind| kind.trim() == Self::OPEN_METRICS)
        });
        if is_open { Self::OpenMetrics } else { Self::Text }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What the admin door asks of the running frame.
pub(crate) trait Observed: Send + Sync + 'static {
    /// Everything that must be so to serve.
    fn checks(&self) -> Vec<Check>;
    /// Figures in this format.
    fn metrics(&self, format: Format) -> String;
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

async fn metrics(State(observed): State<Arc<dyn Observed>>, headers: HeaderMap) -> Response {
    let format = Format::accepted(&headers);
    let kinds = [(header::CONTENT_TYPE, format.content_type()), (header::VARY, "accept")];
    // It reads files: not for a worker that answers requests.
    match tokio::task::spawn_blocking(move || observed.metrics(format)).await {
        Ok(page) => (kinds, page).into_response(),
        // The runtime is ending.
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
