//! The files of the operator's console: one page, its style, its modules, and the library that
//! draws its charts.
//!
//! They hold nothing of the frame: what the page shows it asks of the API, which decides what the
//! caller may see. Invariant: whoever is neither an admin nor an auditor is told what is told of an
//! address where nothing is.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;

use super::api::{may_look, no_method, no_route};
use super::call::Caller;

/// The style that all pages of a frame have in common: colors, verdicts, tables.
pub const BASE_STYLE: &str = include_str!("console/base.css");
/// What a browser may do with the page. Styles are files or set by modules, never in the markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Address below `/console/`, kind, contents.
static FILES: [(&str, &str, &str); 12] = [
    ("", HTML, include_str!("console/index.html")),
    ("base.css", CSS, BASE_STYLE),
    ("console.css", CSS, include_str!("console/console.css")),
    ("console.js", SCRIPT, include_str!("console/console.js")),
    ("figures.js", SCRIPT, include_str!("console/figures.js")),
    ("charts.js", SCRIPT, include_str!("console/charts.js")),
    ("overview.js", SCRIPT, include_str!("console/overview.js")),
    ("story.js", SCRIPT, include_str!("console/story.js")),
    ("icon.svg", "image/svg+xml", include_str!("console/icon.svg")),
    ("uplot.js", SCRIPT, include_str!("console/vendor/uPlot.iife.min.js")),
    ("uplot.txt", "text/plain; charset=utf-8", include_str!("console/vendor/LICENSE")),
    ("uplot.css", CSS, include_str!("console/vendor/uPlot.min.css")),
];

/// Where the console is.
pub(super) const PATHS: [&str; 3] = ["/console", "/console/", "/console/{name}"];

/// Serves it there.
pub(super) fn router() -> Router {
    PATHS.into_iter().fold(Router::new(), |router, path| router.route(path, any(answer)))
}

async fn answer(request: Request) -> Response {
    let caller = request.extensions().get::<Caller>();
    let is_allowed = caller.is_some_and(|caller| may_look(caller.peer().principal().role));
    let path = request.uri().path().strip_prefix("/console").unwrap_or_default();
    let file = path.strip_prefix('/').map(|name| FILES.iter().find(|(at, ..)| *at == name));
    match file {
        Some(None) => no_route().await.into_response(),
        _ if !is_allowed => no_route().await.into_response(),
        _ if ![Method::GET, Method::HEAD].contains(request.method()) => {
            let mut response = no_method().await.into_response();
            let allowed = HeaderValue::from_static("GET,HEAD");
            response.headers_mut().insert(header::ALLOW, allowed);
            response
        }
        None => {
            let to = [(header::LOCATION, "/console/")];
            (StatusCode::PERMANENT_REDIRECT, to).into_response()
        }
        Some(Some((_, kind, text))) => whole(kind, text),
    }
}

fn whole(kind: &'static str, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
