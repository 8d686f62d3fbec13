//! Feeds as WebSockets: the same events, refused before they begin, ended with a reason, and bound
//! as their connection is.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use client::HeldSource;
use futures_util::{SinkExt as _, StreamExt as _};
use identity::{DenyList, Role, UnixTime};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::followed::*;
use crate::https::*;
use crate::https_feeds::{OTHER, get, until_said};
use crate::support::*;

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// Begins a WebSocket, or says with what status and title it was refused.
async fn open(
    following: &Following,
    source: &Arc<HeldSource>,
    query: &str,
    headers: &[(&'static str, &str)],
) -> Result<Socket, (u16, String)> {
    let stream = tls(following.frame.https, source, &[H1]).await.unwrap();
    let mut request = format!("wss://frame/ws/events{query}").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    match client_async(request, stream).await {
        Ok((socket, answer)) => {
            assert_eq!(answer.headers()["cache-control"], "no-store");
            Ok(socket)
        }
        Err(Error::Http(answer)) => {
            let problem = answer.body().as_deref().unwrap_or_default();
            let problem: Value = serde_json::from_slice(problem).unwrap_or_default();
            let title = problem["title"].as_str().unwrap_or_default().to_owned();
            Err((answer.status().as_u16(), title))
        }
        Err(other) => panic!("{other}"),
    }
}

/// The next text as JSON; pings pass.
async fn told(socket: &mut Socket) -> Value {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) => return serde_json::from_str(text.as_str()).unwrap(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The code with which a socket is closed, and the texts before that.
async fn closed(socket: &mut Socket) -> (Vec<Value>, CloseCode) {
    let mut texts = Vec::new();
    let reading = async {
        while let Some(message) = socket.next().await {
            match message.unwrap() {
                Message::Text(text) => texts.push(serde_json::from_str(text.as_str()).unwrap()),
                Message::Close(frame) => {
                    return frame.map_or(CloseCode::Normal, |frame| frame.code);
                }
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
        panic!("no goodbye behind {texts:?}");
    };
    let code = tokio::time::timeout(Duration::from_secs(20), reading).await.unwrap();
    // What is answered to the goodbye, until the frame ends the connection.
    while socket.next().await.is_some_and(|message| message.is_ok()) {}
    (texts, code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_is_told_what_a_stream_of_events_is() {
    let following = Following::start(8).await;
    let agent = following.frame.agent();
    following.told.pay(100);
    let http = Http::with(following.frame.https, &agent, H1).await.unwrap();
    let mut stream = http.begin(get("/v1/events?after=0")).await.unwrap().into_body();
    let text = until_said(&mut stream, "id: 100.0\n").await;
    let events = text.split("\n\n").filter(|event| event.contains("event: Tokens"));
    let expected: Vec<(String, Value)> = events
        .map(|event| {
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
            let data = serde_json::from_str(field("data: ").unwrap()).unwrap();
            (field("id: ").unwrap().to_owned(), data)
        })
        .collect();
    assert_eq!(expected.len(), 100);
    for (query, headers, from) in [
        ("?after=0", &[][..], 0),
        ("?after=39.0&event=TokensTransferred", &[][..], 39),
        ("?after=0", &[("last-event-id", "98.0")][..], 98),
    ] {
        let mut socket = open(&following, &agent, query, headers).await.unwrap();
        let first = told(&mut socket).await;
        assert_eq!(first["event"], "progress", "{first}");
        for (id, data) in &expected[from..] {
            let message = told(&mut socket).await;
            assert_eq!(message["id"], id.as_str());
            assert_eq!(message["event"], "TokensTransferred");
            assert_eq!(message["data"], *data);
        }
        // And it goes on with what happens.
        if from == 98 {
            following.told.pay(1);
            assert_eq!(told(&mut socket).await["id"], "101.0");
        }
        socket.close(None).await.unwrap();
        assert_eq!(closed(&mut socket).await.1, CloseCode::Normal);
    }
    drop((stream, http));
    until(|| following.frame.metric("feeds_open") == 0).await;
    until(|| following.frame.metric("https_connections_open") == 0).await;
    following.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_refused_before_it_begins() {
    let following = Following::start(2).await;
    let frame = &following.frame;
    following.told.pay(10);
    following.told.history().forgotten = 4;
    let refused = |status: u16, title: &str| Err((status, title.to_owned()));
    let agent = frame.agent();
    let evil = [("origin", "https://evil.example")];
    for (source, query, headers, expected) in [
        (&agent, "?after=3", &[][..], refused(410, "history_gone")),
        (&agent, "?after=11", &[][..], refused(400, "query_invalid")),
        (&agent, "?event=Nothing", &[][..], refused(400, "query_invalid")),
        (&agent, &format!("?account={OTHER}"), &[][..], refused(404, "not_found")),
        (&agent, "", &evil[..], refused(403, "origin_refused")),
        (&agent, "", &[("sec-websocket-version", "8")][..], refused(426, "upgrade_required")),
        (&frame.identity(Role::Mint, "royal"), "", &[][..], refused(404, "not_found")),
        (&frame.identity(Role::Registry, "north"), "", &[][..], refused(400, "query_invalid")),
    ] {
        let answered = open(&following, source, query, headers).await.map(|_| ());
        assert_eq!(answered, expected, "{query} {headers:?}");
    }
    for alpn in [H1, H2] {
        let http = Http::with(frame.https, &agent, alpn).await.unwrap();
        let answer = http.ask(get("/ws/events")).await.unwrap();
        assert_eq!(answer.status, 426);
        assert_eq!(answer.header("sec-websocket-version"), "13");
        assert_eq!(answer.header("upgrade"), if alpn == H1 { "websocket" } else { "" });
    }
    let own = [("origin", "https://frame")];
    let reader = frame.identity(Role::Auditor, "reader");
    let held = [
        open(&following, &reader, "", &own).await.unwrap(),
        open(&following, &reader, "", &[]).await.unwrap(),
    ];
    let full = open(&following, &reader, "", &[]).await.map(|_| ());
    assert_eq!(full, refused(503, "feeds_full"));
    drop(held);
    following.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_anything_but_pings_is_not_listened_to() {
    let following = Following::start(8).await;
    let agent = following.frame.agent();
    for (message, code) in [
        (Message::text("subscribe"), CloseCode::Unsupported),
        (Message::binary(vec![1, 2, 3]), CloseCode::Unsupported),
        (Message::text("x".repeat(5_000)), CloseCode::Size),
    ] {
        let mut socket = open(&following, &agent, "", &[]).await.unwrap();
        assert_eq!(told(&mut socket).await["event"], "progress");
        socket.send(message).await.unwrap();
        assert_eq!(closed(&mut socket).await.1, code);
    }
    let mut socket = open(&following, &agent, "", &[]).await.unwrap();
    assert_eq!(told(&mut socket).await["event"], "progress");
    socket.send(Message::Ping(b"there?".as_slice().into())).await.unwrap();
    let pong = socket.next().await.unwrap().unwrap();
    assert_eq!(pong, Message::Pong(b"there?".as_slice().into()));
    for _ in 0..gateway::limits::SOCKET_HEARD_MAX {
        socket.send(Message::Ping(Default::default())).await.unwrap();
    }
    assert_eq!(closed(&mut socket).await.1, CloseCode::Policy);
    following.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_an_age_and_a_move_end_a_socket_with_a_reason() {
    let following = Following::start(8).await;
    let north = following.frame.identity(Role::Registry, "north");
    let query = format!("?account={AGENT}&event=TokensTransferred");
    let mut moves = open(&following, &north, &query, &[]).await.unwrap();
    following.frame.switches.is_foreign.store(true, Ordering::SeqCst);
    following.told.execute(moved(agent()));
    following.told.pay(1);
    let (texts, code) = closed(&mut moves).await;
    let end = texts.last().unwrap();
    assert_eq!((end["event"].as_str(), code), (Some("end"), CloseCode::Policy));
    assert_eq!(end["data"]["title"], "not_found");
    assert!(texts.iter().all(|text| text["event"] != "TokensTransferred"), "{texts:?}");
    let mut socket = open(&following, &following.frame.agent(), "", &[]).await.unwrap();
    let stopping = tokio::spawn(following.stop());
    let (_, code) = closed(&mut socket).await;
    assert!(matches!(code, CloseCode::Again | CloseCode::Away), "{code:?}");
    stopping.await.unwrap();
    let age = |config: &mut gateway::Config| {
        config.connection_age_max = Duration::from_millis(400);
        config.check_interval = Duration::from_millis(10);
    };
    let following = Following::with(8, age).await;
    let mut socket = open(&following, &following.frame.agent(), "", &[]).await.unwrap();
    assert_eq!(closed(&mut socket).await.1, CloseCode::Away);
    until(|| following.frame.metric("https_connections_open") == 0).await;
    following.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_that_ends_ends_its_socket() {
    let config = |config: &mut gateway::Config| config.check_interval = Duration::from_millis(10);
    let following = Following::with(8, config).await;
    let frame = &following.frame;
    let mut socket = open(&following, &frame.agent(), "", &[]).await.unwrap();
    assert_eq!(told(&mut socket).await["event"], "progress");
    let denied = DenyList::parse(&format!("spiffe://frame-a.example/agent/{AGENT}\n")).unwrap();
    let renewed = frame.ca.issue(Role::Peer, "engine", Duration::from_secs(60), UnixTime::now());
    frame.source.replace(renewed.unwrap().material().unwrap().with_denied(denied));
    while socket.next().await.is_some_and(|message| message.is_ok()) {}
    until(|| frame.metric("identities_ended") == 1).await;
    until(|| frame.metric("feeds_open") == 0).await;
    following.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_nothing_is_cut_off_and_holds_nobody_up() {
    let config = |config: &mut gateway::Config| {
        config.write_timeout = Duration::from_millis(150);
    };
    let following = Following::with(8, config).await;
    let agent = following.frame.agent();
    let mut other = open(&following, &agent, "", &[]).await.unwrap();
    assert_eq!(told(&mut other).await["event"], "progress");
    let stuck = open(&following, &agent, "", &[]).await.unwrap();
    // More than the sockets of both sides take.
    let flood = async {
        let mut count = 0;
        while following.frame.metric("write_timeouts") == 0 {
            following.told.pay(1_000);
            for _ in 0..1_000 {
                count += 1;
                assert_eq!(told(&mut other).await["id"], format!("{count}.0"));
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), flood).await.unwrap();
    until(|| following.open() == 1).await;
    drop((stuck, other));
    following.stop().await;
}
