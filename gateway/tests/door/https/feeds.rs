//! Feeds over HTTPS: who may not follow is told why, and whoever may is told what it may see.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use client::HeldSource;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use identity::Role;
use serde_json::Value;

use crate::followed::*;
use crate::https::*;
use crate::support::*;

pub(crate) const OTHER: &str = "0190aaaa-0000-7000-8000-00000000000b";

pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    let request = Request::get(format!("https://frame{path}")).header("host", "frame");
    request.body(Full::default()).unwrap()
}

/// A refusal: status, title, detail, Retry-After.
async fn refused(http: &Http, path: &str) -> (u16, String, String, String) {
    let answer = http.ask(get(path)).await.unwrap();
    let problem: Value = serde_json::from_slice(&answer.body).unwrap();
    let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    let status = answer.status.as_u16();
    (status, text("title"), text("detail"), answer.header("retry-after").to_owned())
}

async fn open(following: &Following, source: &Arc<HeldSource>, alpn: &[u8]) -> Http {
    Http::with(following.frame.https, source, alpn).await.unwrap()
}

/// Reads a feed until it has said `last`; the whole text.
pub(crate) async fn until_said(body: &mut Incoming, last: &str) -> String {
    let mut text = String::new();
    while !text.contains(last) {
        let piece = body.frame().await.unwrap_or_else(|| panic!("no {last} in:\n{text}"));
        let piece = piece.unwrap().into_data().unwrap();
        text.push_str(std::str::from_utf8(&piece).unwrap());
    }
    text
}

async fn rest(body: Incoming) -> String {
    String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_longer_kept_is_gone() {
    let following = Following::start(8).await;
    following.told.pay(10);
    following.told.history().forgotten = 4;
    let http = open(&following, &following.frame.agent(), H1).await;
    let (status, title, detail, after) = refused(&http, "/v1/events?after=3").await;
    assert_eq!((status, title.as_str(), after.as_str()), (410, "history_gone", ""));
    assert!(detail.contains("begin with after=4"), "{detail}");
    let mut feed = http.begin(get("/v1/events?after=4")).await.unwrap().into_body();
    let text = until_said(&mut feed, "id: 10.0\n").await;
    assert_eq!(text.matches("event: TokensTransferred").count(), 6, "{text}");
    let http = open(&following, &following.frame.agent(), H1).await;
    let (status, title, detail, _) = refused(&http, "/v1/events?after=11").await;
    assert_eq!((status, title.as_str()), (400, "query_invalid"));
    assert!(detail.contains("ends with sequence 10"), "{detail}");
    assert_eq!(following.frame.metric("feeds_refused"), 2);
    drop((feed, http));
    following.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_feeds_than_there_may_be_are_refused_with_a_time() {
    let most = gateway::limits::FEEDS_OF_ONE_MAX;
    let following = Following::start(most + 1).await;
    let of = |name| following.frame.identity(Role::Auditor, name);
    let http = open(&following, &of("first"), H2).await;
    let mut open_feeds: Vec<Response<Incoming>> = Vec::new();
    for _ in 0..most {
        let feed = http.begin(get("/v1/events")).await.unwrap();
        assert_eq!(feed.status(), 200);
        open_feeds.push(feed);
    }
    let (status, title, _, after) = refused(&http, "/v1/events").await;
    assert_eq!((status, title.as_str(), after.as_str()), (429, "too_many_feeds", "1"));
    let other = open(&following, &of("second"), H2).await;
    open_feeds.push(other.begin(get("/v1/events")).await.unwrap());
    let auditor = open(&following, &of("third"), H1).await;
    let (status, title, _, after) = refused(&auditor, "/v1/events").await;
    assert_eq!((status, title.as_str(), after.as_str()), (503, "feeds_full", "1"));
    // Who leaves makes room.
    open_feeds.pop();
    until(|| following.open() == most as u64).await;
    assert_eq!(auditor.begin(get("/v1/events")).await.unwrap().status(), 200);
    drop(open_feeds);
    following.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_whose_feeds_have_ended_or_never_were_says_so() {
    let following = Following::start(8).await;
    let http = open(&following, &following.frame.agent(), H1).await;
    following.feeds.close();
    let (status, title, detail, after) = refused(&http, "/v1/events").await;
    assert_eq!((status, title.as_str(), after.as_str()), (503, "shutting_down", "1"));
    assert!(detail.contains("shuts down"), "{detail}");
    drop(http);
    following.stop().await;
    let frame = Frame::start();
    let http = Http::open(&frame, H1).await;
    let (status, title, ..) = refused(&http, "/v1/events").await;
    assert_eq!((status, title.as_str()), (501, "feeds_off"));
    drop(http);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_follows_what_it_may_not_see() {
    let following = Following::start(8).await;
    let frame = &following.frame;
    let account = format!("/v1/events?account={AGENT}");
    let not_found = (404, "not_found");
    let invalid = (400, "query_invalid");
    for (role, name, path, expected) in [
        (Role::Agent, OTHER, account.as_str(), not_found),
        (Role::Mint, "royal", "/v1/events", not_found),
        (Role::Mint, "royal", &account, not_found),
        (Role::Peer, "abroad", "/v1/events", not_found),
        (Role::Registry, "south", "/v1/events", invalid),
        (Role::Registry, "south", "/v1/events?asset=1", invalid),
        (Role::Registry, "south", &account, not_found),
        (Role::Registry, "south", &format!("{account}&asset=2"), not_found),
        (Role::Registry, "south", &format!("{account}&account={OTHER}"), invalid),
    ] {
        frame.switches.is_foreign.store(true, Ordering::SeqCst);
        let http = open(&following, &frame.identity(role, name), H1).await;
        let (status, title, ..) = refused(&http, path).await;
        assert_eq!((status, title.as_str()), expected, "{role:?} {path}");
    }
    // Each, as at the other door.
    assert_eq!(frame.metric("feeds_refused"), 9);
    assert_eq!(following.open(), 0);
    following.stop().await;
}

/// A feed of a registry that had asked for payments only, or for one asset, went on after the owner
/// had moved to another host: the move was not among what its filter took.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_former_host_hears_no_more_whatever_it_had_asked_for() {
    let following = Following::start(8).await;
    let (frame, told) = (&following.frame, &following.told);
    let north = frame.identity(Role::Registry, "north");
    let mut feeds = Vec::new();
    for more in ["", "&event=TokensTransferred", "&asset=1"] {
        let http = open(&following, &north, H1).await;
        let path = format!("/v1/events?account={AGENT}{more}");
        feeds.push((more, http.begin(get(&path)).await.unwrap().into_body(), http));
    }
    told.pay(1);
    for (_, feed, _) in &mut feeds {
        until_said(feed, "event: TokensTransferred").await;
    }
    // It moves, and is still read by the same host: to another, and back.
    told.execute(moved(agent()));
    told.pay(1);
    for (more, feed, _) in &mut feeds {
        let text = until_said(feed, "event: TokensTransferred").await;
        assert_eq!(text.contains("OwnerRehosted"), more.is_empty(), "{text}");
    }
    frame.switches.is_foreign.store(true, Ordering::SeqCst);
    told.execute(moved(agent()));
    told.pay(1);
    for (more, feed, http) in feeds {
        let text = rest(feed).await;
        assert!(text.contains("event: end") && text.contains("not_found"), "{more}: {text}");
        assert!(!text.contains("event: TokensTransferred"), "{more}: {text}");
        drop(http);
    }
    following.stop().await;
}
