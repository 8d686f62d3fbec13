//! The frame's figures and settings, for those who run and audit it.
//!
//! It reckons nothing. Invariant: whoever is neither an admin nor an auditor is told what it would
//! be told if nothing were there.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use identity::Role;
use protocol::Status;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::Shared;
use super::answer;
use super::inbound::Inbound;
use super::operation::{Operation, Sort};
use super::problem::{Own, Problem};
use crate::shown::{Setting, Shown};

pub(super) const TAG: &str = "operation";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every setting of the process.
#[derive(Serialize, ToSchema)]
pub(crate) struct SettingsAnswer {
    settings: Vec<Setting>,
}

/// Everything that is shown.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/v1/figures", figures)
            .does(
                TAG,
                "Shows every figure",
                "As `/metrics` of the admin door, at most a second old; for admins and auditors.",
            )
            .sort(Sort::Shown)
            .answers_as(PROMETHEUS),
        Operation::get("/v1/settings", settings)
            .does(
                TAG,
                "Shows every setting",
                "With its value and where it was set, secrets hidden; for admins and auditors.",
            )
            .sort(Sort::Shown)
            .answers::<SettingsAnswer>(
                200,
                json!({"settings": [{"key": "gateway.workers", "value": "1", "origin": "default",
                                     "meaning": "threads of the front doors"}]}),
            ),
    ]
}

/// Whether this role may look at the frame itself.
pub(crate) const fn may_look(role: Role) -> bool {
    matches!(role, Role::Admin | Role::Auditor)
}

/// What is shown, to a caller that may look.
pub(super) fn shown(inbound: &Inbound) -> Result<Arc<dyn Shown>, Problem> {
    let is_allowed = may_look(inbound.caller.peer().principal().role);
    let shown = inbound.caller.desk().info.shown.clone().filter(|_| is_allowed);
    let shown =
        shown.ok_or_else(|| Problem::refused(Status::NotFound).forgotten(Status::NotFound))?;
    inbound.no_query()?;
    Ok(shown)
}

async fn figures(inbound: Reader) -> Result<Response, Problem> {
    let shown = shown(&inbound.0)?;
    // Not for a worker that answers requests.
    let page = tokio::task::spawn_blocking(move || shown.figures()).await;
    let page = page.ok().flatten().ok_or_else(|| Problem::own(Own::Overloaded))?;
    let mut response = Response::new(Body::from(page));
    let kind = HeaderValue::from_static(PROMETHEUS);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

async fn settings(inbound: Inbound) -> Result<Response, Problem> {
    let shown = shown(&inbound)?;
    Ok(answer::json(StatusCode::OK, &SettingsAnswer { settings: shown.settings().to_vec() }))
}

/// A request that takes figures for an answer.
struct Reader(Inbound);

impl FromRequest<Arc<Shared>> for Reader {
    type Rejection = Problem;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Problem> {
        Inbound::accepting(request, shared, ("text", "plain")).await.map(Self)
    }
}
