//! The traced span of a request: from its head to the head of its answer.
//!
//! It knows nothing of whoever collects spans, and is one look at a flag while nobody does.
//! Invariant: a span tells of an operation, never of a client: no path, query, header or body, and
//! not who asked, which is for the audit log and the journal.

use axum::http::{HeaderMap, HeaderName, StatusCode};
use hyper::{Method, Request};
use tracing::Span;
use tracing::field::Empty;

use super::service::Served;

/// The trace that a request belongs to, as W3C Trace Context has it.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The paths of all operations, as the router has them: the only ones that a span names.
pub(crate) struct Templates(Vec<&'static str>);

impl Templates {
    pub(crate) fn new(paths: impl IntoIterator<Item = &'static str>) -> Self {
        let mut templates: Vec<_> = paths.into_iter().collect();
        // As for the router, what is written out comes before what may be anything.
        templates.sort_by_key(|template| (template.matches('{').count(), *template));
        templates.dedup();
        Self(templates)
    }

    /// The one that a path fits.
    fn of(&self, path: &str) -> Option<&'static str> {
        self.0.iter().copied().find(|template| fits(template, path))
    }
}

fn fits(template: &str, path: &str) -> bool {
    let (mut wanted, mut found) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), found.next()) {
            (None, None) => return true,
            (Some(wanted), Some(found)) if wanted == found => {}
            (Some(wanted), Some(found)) if wanted.starts_with('{') && !found.is_empty() => {}
            _ => return false,
        }
    }
}

/// Begins the span of a request.
pub(super) fn begin<B>(served: &Served, request: &Request<B>, number: u64) -> Span {
    let span = tracing::debug_span!(
        "request",
        otel.name = Empty,
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = Empty,
        http.route = Empty,
        http.response.status_code = Empty,
        network.protocol.version = if served.is_http1 { "1.1" } else { "2" },
        // Collectors know no unsigned numbers.
        bezant.request = i64::try_from(number).unwrap_or(i64::MAX),
        bezant.role = served.caller.peer().principal().role.name(),
    );
    if !span.is_disabled() {
        let method = method_of(request.method());
        span.record("http.request.method", method);
        match served.door.templates.of(request.uri().path()) {
            Some(route) => {
                span.record("http.route", route);
                span.record("otel.name", format!("{method} {route}").as_str());
            }
            None => {
                span.record("otel.name", method);
            }
        }
        let follow = served.door.config.follow_trace.zip(traceparent(request.headers()));
        if let Some((follow, parent)) = follow {
            follow(&span, parent);
        }
    }
    span
}

/// The head of the answer is there.
pub(super) fn end(span: &Span, status: StatusCode) {
    span.record("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}

/// A name that is one of few.
fn method_of(method: &Method) -> &str {
    const KNOWN: [Method; 9] = [
        Method::CONNECT,
        Method::DELETE,
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::PATCH,
        Method::POST,
        Method::PUT,
        Method::TRACE,
    ];
    if KNOWN.contains(method) { method.as_str() } else { "_OTHER" }
}

/// The trace that the client wants the request in, if it names one.
fn traceparent(headers: &HeaderMap) -> Option<&str> {
    let mut named = headers.get_all(TRACEPARENT).iter();
    match (named.next(), named.next()) {
        (Some(one), None) => one.to_str().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::https::templates;

    #[test]
    fn every_operation_is_told_by_its_template() {
        let templates = templates();
        for template in &templates.0 {
            let written = template.split('/').map(|part| match part.strip_prefix('{') {
                Some(_) => "0190a8f2-7c00-7000-8000-0000000000aa",
                None => part,
            });
            let path = written.collect::<Vec<_>>().join("/");
            assert_eq!(templates.of(&path), Some(*template), "{path}");
        }
        for known in ["/v1/batches", "/v1/transfers", "/openapi.json", "/console/"] {
            assert_eq!(templates.of(known), Some(known));
        }
        assert_eq!(templates.of("/v1/transfers/quote"), Some("/v1/transfers/quote"));
        assert_eq!(templates.of("/v1/transfers/7"), Some("/v1/transfers/{id}"));
    }

    #[test]
    fn what_is_no_operation_is_not_told() {
        let templates = templates();
        for path in ["", "/", "/v1", "/v1/transfers/", "/v1/transfers/1/2/3", "/V1/me", "*"] {
            assert_eq!(templates.of(path), None, "{path}");
        }
        assert_eq!(method_of(&Method::from_bytes(b"SECRET").unwrap()), "_OTHER");
        assert_eq!(method_of(&Method::PUT), "PUT");
    }

    #[test]
    fn two_traces_are_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(traceparent(&headers), None);
        headers.append(TRACEPARENT, HeaderValue::from_static("one"));
        assert_eq!(traceparent(&headers), Some("one"));
        headers.append(TRACEPARENT, HeaderValue::from_static("two"));
        assert_eq!(traceparent(&headers), None);
        headers.insert(TRACEPARENT, HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(traceparent(&headers), None);
    }
}
