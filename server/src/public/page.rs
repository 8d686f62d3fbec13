//! What stands at the public door's addresses, and the headers of every answer.
//!
//! The page loads its own style and script and nothing else, from nowhere else. Invariant: every
//! answer, a refusal too, says what a browser may do with it.

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH,
    REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use super::board::{Board, Text};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const CSS: &str = "text/css; charset=utf-8";
const JSON: &str = "application/json";
const PLAIN: &str = "text/plain; charset=utf-8";
/// A proxy may answer for the door this long: what is told changes once a second.
const FOR_A_SECOND: &str = "public, max-age=1";
/// Asked for again each time, and mostly not sent again.
const ASK_AGAIN: &str = "no-cache";

/// Files of the page: address, kind, contents.
static FILES: LazyLock<[(&str, &str, Text); 5]> = LazyLock::new(|| {
    [
        ("/", "text/html; charset=utf-8", Text::new(include_str!("page/index.html"))),
        ("/base.css", CSS, Text::new(gateway::BASE_STYLE)),
        ("/supply.css", CSS, Text::new(include_str!("page/supply.css"))),
        ("/supply.js", "text/javascript; charset=utf-8", Text::new(include_str!("page/supply.js"))),
        ("/icon.svg", "image/svg+xml", Text::new(include_str!("page/icon.svg"))),
    ]
});

/// What a request gets.
pub(super) fn answer(
    board: &Board,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Response<Body> {
    let is_told = ["/supply.json", "/heads.json"].contains(&path);
    let file = FILES.iter().find(|(at, ..)| *at == path);
    if !is_told && file.is_none() {
        return refusal(StatusCode::NOT_FOUND, "there is /, /supply.json and /heads.json\n");
    }
    if method != Method::GET && method != Method::HEAD {
        let text = "this page is only read: GET or HEAD\n";
        let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, text);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    if let Some((_, kind, text)) = file {
        return whole(text, kind, ASK_AGAIN, headers);
    }
    let told = if path == "/supply.json" { board.supply() } else { board.heads() };
    match told {
        Some(text) => whole(&text, JSON, FOR_A_SECOND, headers),
        None => unready("the frame has just started; ask again in a second\n"),
    }
}

/// For whoever asks when too many do.
pub(super) fn busy() -> Response<Body> {
    unready("too many visitors; ask again in a second\n")
}

fn unready(text: &'static str) -> Response<Body> {
    let mut response = refusal(StatusCode::SERVICE_UNAVAILABLE, text);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn refusal(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = guarded(Body::from(text), PLAIN, "no-store");
    *response.status_mut() = status;
    response
}

fn whole(
    text: &Text,
    kind: &'static str,
    keeping: &'static str,
    headers: &HeaderMap,
) -> Response<Body> {
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut known = known.flat_map(|list| list.split(',')).map(str::trim);
    let is_known = known.any(|one| one.trim_start_matches("W/") == text.tag);
    let body = if is_known { Body::empty() } else { Body::from(text.body.clone()) };
    let mut response = guarded(body, kind, keeping);
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    response.headers_mut().insert(ETAG, text.tag.clone());
    response
}

/// With what every answer says.
fn guarded(body: Body, kind: &'static str, keeping: &'static str) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, keeping),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (OPENER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::super::board::tests::{board, told_board};
    use super::*;

    fn ask(method: &Method, path: &str, tag: Option<&HeaderValue>) -> Response<Body> {
        let known = tag.map(|tag| (IF_NONE_MATCH, tag.clone()));
        answer(&told_board(), method, path, &known.into_iter().collect())
    }

    #[test]
    fn every_answer_says_what_a_browser_may_do_with_it() {
        let files = ["/", "/base.css", "/supply.css", "/supply.js", "/icon.svg"];
        let paths = files.into_iter().chain(["/supply.json", "/heads.json"]);
        for (path, status) in paths.map(|path| (path, 200)).chain([("/metrics", 404)]) {
            let response = ask(&Method::GET, path, None);
            assert_eq!(response.status(), status, "{path}");
            let said = |name: HeaderName| response.headers()[name].to_str().unwrap().to_owned();
            assert_eq!(said(CONTENT_SECURITY_POLICY), POLICY, "{path}");
            assert_eq!(said(X_CONTENT_TYPE_OPTIONS), "nosniff", "{path}");
            assert_eq!(said(REFERRER_POLICY), "no-referrer", "{path}");
            assert!(!said(CONTENT_TYPE).is_empty() && !said(CACHE_CONTROL).is_empty(), "{path}");
        }
        assert_eq!(busy().status(), 503);
        assert_eq!(busy().headers()[CONTENT_SECURITY_POLICY], POLICY);
    }

    #[test]
    fn it_is_only_read() {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
            let response = ask(&method, "/", None);
            assert_eq!(response.status(), 405, "{method}");
            assert_eq!(response.headers()[ALLOW], "GET, HEAD");
        }
        assert_eq!(ask(&Method::HEAD, "/supply.json", None).status(), 200);
    }

    #[test]
    fn what_is_known_is_not_sent_again() {
        for path in ["/", "/supply.json"] {
            let tag = ask(&Method::GET, path, None).headers()[ETAG].clone();
            assert_eq!(ask(&Method::GET, path, Some(&tag)).status(), 304, "{path}");
            let other = HeaderValue::from_static("\"other\"");
            assert_eq!(ask(&Method::GET, path, Some(&other)).status(), 200, "{path}");
        }
    }

    #[test]
    fn a_frame_that_was_not_asked_yet_says_when_to_come_back() {
        for path in ["/supply.json", "/heads.json"] {
            let response = answer(&board(), &Method::GET, path, &HeaderMap::new());
            assert_eq!(response.status(), 503, "{path}");
            assert_eq!(response.headers()[RETRY_AFTER], "1", "{path}");
        }
    }
}
