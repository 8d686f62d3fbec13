//! The API document as answers: for programs, for people, and its style sheet.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::Response;

use super::operation::{Operation, Sort};
use super::problem::{Own, Problem};
use super::{Shared, accept, answer, page};

const TAG: &str = "contract";

/// An answer that never changes while the server runs.
#[derive(Debug)]
pub(crate) struct Fixed {
    body: Bytes,
    tag: HeaderValue,
    kind: &'static str,
    subtype: &'static str,
    media_type: &'static str,
}

impl Fixed {
    /// With `body`, of `kind`/`subtype`.
    pub(crate) fn new(
        body: String,
        (kind, subtype): (&'static str, &'static str),
        media_type: &'static str,
    ) -> Self {
        let tag = answer::etag(body.as_bytes());
        Self { body: Bytes::from(body), tag, kind, subtype, media_type }
    }

    fn answer(&self, uri: &Uri, headers: &HeaderMap) -> Result<Response, Problem> {
        if !accept::allows(headers, self.kind, self.subtype) {
            let detail = format!("the answer is {}, which Accept excludes", self.media_type);
            return Err(Problem::own(Own::NotAcceptable).detail(detail));
        }
        if uri.query().is_some_and(|query| !query.is_empty()) {
            return Err(Problem::own(Own::QueryInvalid).detail("this operation has no query"));
        }
        let mut response = if answer::matches(headers, &self.tag) {
            answer::not_modified()
        } else {
            Response::new(Body::from(self.body.clone()))
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        headers.insert(header::ETAG, self.tag.clone());
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let policy = HeaderValue::from_static(page::POLICY);
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        Ok(response)
    }
}

/// Everything about the contract.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/openapi.json", document)
            .does(TAG, "The contract", "This document.")
            .sort(Sort::Free)
            .answers_as("application/json")
            .tagged(),
        Operation::get("/docs", docs)
            .does(TAG, "The contract for people", "One page, without scripts.")
            .sort(Sort::Free)
            .answers_as("text/html; charset=utf-8")
            .tagged(),
        Operation::get("/docs.css", style)
            .does(TAG, "The style of that page", "Nothing but style.")
            .sort(Sort::Free)
            .answers_as("text/css; charset=utf-8")
            .tagged(),
    ]
}

async fn document(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    shared.document.answer(&uri, &headers)
}

async fn docs(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    shared.page.answer(&uri, &headers)
}

async fn style(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    shared.style.answer(&uri, &headers)
}
