//! Those who run and audit the frame may look at it; to all others nothing is there.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request};
use identity::Role;
use serde_json::{Value, json};

use crate::https::*;
use crate::support::*;

const FILES: [&str; 10] = [
    "/console/",
    "/console/base.css",
    "/console/console.css",
    "/console/console.js",
    "/console/figures.js",
    "/console/charts.js",
    "/console/overview.js",
    "/console/story.js",
    "/console/uplot.js",
    "/console/uplot.txt",
];
const SHOWN: [&str; 5] =
    ["/v1/figures", "/v1/settings", "/v1/largest", "/v1/expiring", "/v1/identities"];

fn ask(method: Method, path: &str) -> Request<Full<Bytes>> {
    let uri = format!("https://frame{path}");
    let request = Request::builder().method(method).uri(uri).header("host", "frame");
    request.body(Full::new(Bytes::new())).unwrap()
}

async fn get(http: &Http, path: &str) -> Answer {
    http.ask(ask(Method::GET, path)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admins_and_auditors_see_the_console_the_figures_and_the_settings() {
    let frame = Frame::start();
    for role in [Role::Admin, Role::Auditor] {
        let http = Http::with(frame.https, &frame.identity(role, "eyes"), H2).await.unwrap();
        for path in FILES {
            let answer = get(&http, path).await;
            assert_eq!(answer.status, 200, "{path}");
            assert!(!answer.body.is_empty(), "{path}");
            let policy = answer.header("content-security-policy");
            assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
            assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
            assert_eq!(answer.header("cache-control"), "no-store");
        }
        let figures = get(&http, "/v1/figures").await;
        assert_eq!(
            (figures.status.as_u16(), &figures.body[..]),
            (200, b"bezant_ready 1\n".as_slice())
        );
        assert!(figures.header("content-type").starts_with("text/plain; version=0.0.4"));
        let settings = get(&http, "/v1/settings").await;
        let said = String::from_utf8_lossy(&settings.body);
        let expected = "{\"settings\":[{\"key\":\"a.b\",\"value\":\"1\",\"origin\":\"flag\",\
                        \"meaning\":\"what\"}]}";
        assert_eq!((settings.status.as_u16(), &*said), (200, expected));
        assert_eq!(get(&http, "/v1/settings?x=1").await.status, 400);
        let moved = get(&http, "/console").await;
        assert_eq!((moved.status.as_u16(), moved.header("location")), (308, "/console/"));
        let posted = http.ask(ask(Method::POST, "/console/")).await.unwrap();
        assert_eq!((posted.status.as_u16(), posted.header("allow")), (405, "GET,HEAD"));
        let head = http.ask(ask(Method::HEAD, "/console/")).await.unwrap();
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    }
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_holds_and_identities_are_shown_to_admins_and_auditors() {
    let frame = Frame::start();
    let agent = Http::with(frame.https, &frame.identity(Role::Agent, AGENT), H2).await.unwrap();
    assert_eq!(get(&agent, "/v1/me").await.status, 200);
    for role in [Role::Admin, Role::Auditor] {
        let http = Http::with(frame.https, &frame.identity(role, "eyes"), H2).await.unwrap();
        let largest = get(&http, "/v1/largest").await;
        let said = String::from_utf8_lossy(&largest.body);
        let expected = "{\"since\":1,\"sequence\":2,\"time\":3,\"assets\":[{\"asset\":1,\
                        \"name\":\"AVT\",\"accounts\":[{\"owner\":\"treasury:1\",\"host\":1,\
                        \"total\":\"2.000000\",\"liquid\":\"1.500000\",\
                        \"held\":\"0.500000\",\"frozen\":false}]}]}";
        assert_eq!((largest.status.as_u16(), &*said), (200, expected));
        // What the engine does not tell is not there, and may be asked again.
        let expiring = get(&http, "/v1/expiring").await;
        assert_eq!((expiring.status.as_u16(), expiring.header("retry-after")), (503, "1"));
        let identities = get(&http, "/v1/identities").await;
        let said: Value = serde_json::from_slice(&identities.body).unwrap();
        assert_eq!((identities.status.as_u16(), &said["forgotten"]), (200, &json!(0)));
        let rows = said["identities"].as_array().unwrap();
        let authority = json!({"kind": "authority", "name": "frame-a.example", "not_after": 7_000});
        assert_eq!(rows[0], authority);
        let named = |end: &str| {
            let mut rows = rows.iter();
            rows.find(|row| row["name"].as_str().unwrap().ends_with(end)).unwrap()
        };
        assert_eq!(
            (&named(AGENT)["role"], &named(AGENT)["connections"]),
            (&json!("agent"), &json!(1))
        );
        let ends_s = named(AGENT)["not_after"].as_u64().unwrap() / 1_000;
        assert!(ends_s > identity::UnixTime::now().as_secs(), "{said}");
        assert_eq!(named(&format!("/{}/eyes", role.name()))["role"], role.name());
        for path in SHOWN {
            assert_eq!(get(&http, &format!("{path}?x=1")).await.status, 400, "{path}");
        }
    }
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_everybody_else_nothing_is_there() {
    let frame = Frame::start();
    for role in [Role::Agent, Role::Registry, Role::Mint, Role::Peer] {
        let name =
            if role == Role::Agent { "01900000-0000-7000-8000-00000000000a" } else { "other" };
        let http = Http::with(frame.https, &frame.identity(role, name), H2).await.unwrap();
        let nothing = get(&http, "/console/nothing").await;
        for path in FILES.into_iter().chain(["/console"]) {
            for method in [Method::GET, Method::POST] {
                let answer = http.ask(ask(method, path)).await.unwrap();
                assert_eq!(answer.status, 404, "{role:?} {path}");
                assert_eq!(answer.body, nothing.body, "{role:?} {path}");
            }
        }
        for path in SHOWN {
            let answer = get(&http, path).await;
            assert_eq!(answer.status, 404, "{role:?} {path}");
            assert!(String::from_utf8_lossy(&answer.body).contains("\"not_found\""), "{path}");
        }
    }
    frame.stop().await;
}
