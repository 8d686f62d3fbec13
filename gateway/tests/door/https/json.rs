//! JSON goes in as commands and comes back the same for the same command.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use gateway::{
    AuditSink, Config, Event, KeyAnswer, KeyAnswering, KeyHistory, KeyHistoryError, KeyRow,
};
use http_body_util::Full;
use hyper::Request;
use identity::Role;
use protocol::{Command, CommandId, Kind, Status, data, flags, key};

use crate::https::*;
use crate::support::*;

const DEBIT: &str = "01900000-0000-7000-8000-00000000000a";
const CREDIT: &str = "01900000-0000-7000-8000-00000000000b";
const ID: &str = "018bcfe5-6800-7000-8000-000000000001";

fn ask(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(format!("https://frame{path}"));
    request = request.header("host", "frame");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap()
}

fn pay(id: Option<&str>, amount: &str, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let id = id.map_or_else(String::new, |id| format!("\"id\":\"{id}\","));
    let body = format!(
        "{{{id}\"debit\":\"{DEBIT}\",\"credit\":\"did:theprotocol:{CREDIT}\",\
         \"amount\":\"{amount}\"}}"
    );
    let mut all = vec![("content-type", "application/json")];
    all.extend_from_slice(headers);
    ask("POST", "/v1/transfers", &all, &body)
}

fn text(answer: &Answer) -> &str {
    std::str::from_utf8(&answer.body).unwrap()
}

fn number(text: &str) -> u128 {
    protocol::ids::parse_uuid(text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_and_its_repeat_get_the_same_bytes() {
    let frame = Frame::start();
    for alpn in [H1, H2] {
        let http = Http::open(&frame, alpn).await;
        let id = if alpn == H1 { ID } else { CREDIT };
        let first = http.ask(pay(Some(id), "7", &[])).await.unwrap();
        assert_eq!(first.status, 201, "{}", text(&first));
        let sequence = first.header("bezant-sequence").to_owned();
        let body = format!(
            "{{\"id\":\"{id}\",\"status\":\"ok\",\"sequence\":{sequence},\"rate\":{RATE}}}"
        );
        assert_eq!(text(&first), body);
        assert_eq!(first.header("bezant-epoch"), "3");
        assert_eq!(first.header("bezant-time"), (JOURNAL_NS / 1_000_000).to_string());
        assert_eq!(first.header("idempotency-replayed"), "");
        let timing = first.header("server-timing");
        assert!(timing.starts_with("seq;dur=0.001, durable;dur=0.002, exec;dur=0.003, total;dur="));
        let again = http.ask(pay(Some(id), "7", &[])).await.unwrap();
        assert_eq!((again.status, &again.body), (first.status, &first.body));
        assert_eq!(again.header("bezant-sequence"), sequence);
        assert_eq!(again.header("idempotency-replayed"), "true");
    }
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_refused_before_anything_is_sequenced() {
    let frame = Frame::start();
    let http = Http::open(&frame, H2).await;
    let json = [("content-type", "application/json")];
    let long = format!("{{\"id\":\"{}\"}}", "x".repeat(70_000));
    let transfer = |body: &str| ask("POST", "/v1/transfers", &json, body);
    let accept = [("content-type", "application/json"), ("accept", "text/html")];
    let two_keys = [("idempotency-key", "a"), ("idempotency-key", "b")];
    let keyed = [("content-type", "application/json"), ("idempotency-key", "k")];
    let octets = [("content-type", "application/octet-stream"), ("idempotency-key", "k")];
    let quote = format!("{{\"debit\":\"{DEBIT}\",\"credit\":\"{CREDIT}\",\"amount\":\"7\"}}");
    for (request, status, name) in [
        (transfer("{"), 400, "invalid_json"),
        (transfer("{}"), 400, "field_invalid"),
        (transfer(&long), 413, "body_too_large"),
        (pay(None, "7", &[]), 400, "id_missing"),
        (pay(None, "7", &[("idempotency-key", "k")]), 501, "keys_need_history"),
        (ask("POST", "/v1/transfers/quote", &keyed, &quote), 400, "field_invalid"),
        (ask("POST", "/v1/batches", &octets, ""), 400, "field_invalid"),
        (pay(None, "7", &[("idempotency-key", "no spaces")]), 400, "field_invalid"),
        (pay(None, "7", &two_keys), 400, "field_invalid"),
        (pay(Some(ID), "7.5", &[]), 422, "scale_exceeded"),
        (pay(Some(ID), "7,5", &[]), 400, "field_invalid"),
        (ask("POST", "/v1/transfers", &[], "{}"), 415, "unsupported_media_type"),
        (ask("POST", "/v1/transfers?x=1", &json, "{}"), 400, "query_invalid"),
        (ask("POST", "/v1/transfers", &accept, "{}"), 406, "not_acceptable"),
        (ask("GET", "/v1/accounts/nobody/1", &[], ""), 400, "field_invalid"),
        (ask("GET", "/v1/accounts?limit=0", &[], ""), 400, "query_invalid"),
        (ask("GET", "/v1/nothing", &[], ""), 404, "route_not_found"),
        (ask("PATCH", "/v1/transfers", &json, "{}"), 405, "method_not_allowed"),
    ] {
        let answer = http.ask(request).await.unwrap();
        assert_eq!(answer.status, status, "{name}: {}", text(&answer));
        assert!(text(&answer).contains(&format!("\"title\":\"{name}\"")), "{}", text(&answer));
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_ne!(answer.header("bezant-request-id"), "");
    }
    assert!(frame.seen().is_empty(), "{:?}", frame.seen());
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_journal_is_told_with_the_id() {
    let frame = Frame::start();
    let http = Http::open(&frame, H1).await;
    http.ask(pay(Some(CREDIT), "7", &[])).await.unwrap();
    frame.switches.is_full.store(true, Ordering::SeqCst);
    let refused = http.ask(pay(Some(ID), "7", &[])).await.unwrap();
    assert_eq!(refused.status, 507);
    assert!(text(&refused).contains("\"title\":\"journal_full\""), "{}", text(&refused));
    assert!(text(&refused).contains(ID) && text(&refused).contains("\"retry\":\"same_id\""));
    assert_eq!(refused.header("retry-after"), "5");
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bulk_request_is_one_request_of_the_ring() {
    let frame = Frame::start();
    let http = Http::open(&frame, H1).await;
    let transfer = |at: u32| {
        format!(
            "{{\"id\":\"018bcfe5-6800-7000-8000-0000000001{at:02}\",\"debit\":\"{DEBIT}\",\
             \"credit\":\"{CREDIT}\",\"amount\":\"7\",\"memo\":\"m\"}}"
        )
    };
    let list: Vec<String> = (0..3).map(transfer).collect();
    let body = format!("{{\"transfers\":[{}],\"atomic\":true}}", list.join(","));
    let json = [("content-type", "application/json")];
    let answer = http.ask(ask("POST", "/v1/transfers/bulk", &json, &body)).await.unwrap();
    assert_eq!(answer.status, 200, "{}", text(&answer));
    assert_eq!(text(&answer).matches("\"status\":\"ok\"").count(), 3);
    let seen = frame.seen();
    let (_, kinds) = seen.iter().find(|(_, kinds)| kinds.len() == 3).unwrap();
    assert!(kinds.iter().all(|&kind| kind == Kind::Transfer.number()));
    assert_eq!(answer.header("idempotency-replayed"), "");
    let again = http.ask(ask("POST", "/v1/transfers/bulk", &json, &body)).await.unwrap();
    assert_eq!((again.status, &again.body), (answer.status, &answer.body));
    assert_eq!(again.header("idempotency-replayed"), "true");
    let more = body.replace("],", &format!(",{}],", transfer(7)));
    let partly = http.ask(ask("POST", "/v1/transfers/bulk", &json, &more)).await.unwrap();
    assert_eq!(partly.status, 200, "{}", text(&partly));
    assert_eq!(partly.header("idempotency-replayed"), "");
    frame.stop().await;
}

/// A history that says what it is told to.
#[derive(Debug, Default)]
struct Told {
    is_down: AtomicBool,
    is_silent: AtomicBool,
    row: Mutex<Option<KeyRow>>,
    asked: Mutex<Vec<(u128, u128)>>,
}

impl KeyHistory for Told {
    fn find(&self, principal: u128, key: u128) -> KeyAnswering<'_> {
        self.asked.lock().unwrap().push((principal, key));
        let found = *self.row.lock().unwrap();
        let answer = if self.is_down.load(Ordering::SeqCst) {
            Err(KeyHistoryError("down".into()))
        } else {
            Ok(KeyAnswer { settled_through: 77, found })
        };
        if self.is_silent.load(Ordering::SeqCst) {
            return Box::pin(std::future::pending());
        }
        Box::pin(async move { answer })
    }
}

/// A frame whose gateway asks `told` about keys.
async fn with_history(told: &Arc<Told>, configure: impl FnOnce(&mut Config)) -> Frame {
    let mut frame = Frame::start();
    frame.keys = Some(Arc::clone(told) as Arc<dyn KeyHistory>);
    frame.reopen(configure).await;
    frame
}

/// The digest of the body that `pay(None, "7", …)` becomes.
fn digest(text: &[u8]) -> u128 {
    let id = key::id(number(AGENT), text);
    let slots = data::encode(&[(data::TAG_KEY, text)]);
    let command = Command {
        data: u16::try_from(slots.len()).unwrap(),
        flags: flags::KEYED,
        ..Command::transfer(CommandId(id), number(DEBIT), number(CREDIT), 1, 7)
    };
    key::body_digest(&command, &slots)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_asked_for_first_and_answered_from_the_history() {
    let told = Arc::new(Told::default());
    let frame = with_history(&told, |_| {}).await;
    let http = Http::open(&frame, H1).await;
    let keyed = [("idempotency-key", "order-1")];

    told.is_down.store(true, Ordering::SeqCst);
    let down = http.ask(pay(None, "7", &keyed)).await.unwrap();
    assert_eq!((down.status.as_u16(), down.header("retry-after")), (503, "1"));
    assert!(text(&down).contains("history_unavailable"));
    assert!(frame.seen().is_empty());
    told.is_down.store(false, Ordering::SeqCst);

    let first = http.ask(pay(None, "7", &keyed)).await.unwrap();
    assert_eq!(first.status, 201, "{}", text(&first));
    let id = key::id(number(AGENT), b"order-1");
    assert!(text(&first).contains(&CommandId(id).to_string()));
    assert_eq!(told.asked.lock().unwrap().last(), Some(&(number(AGENT), id)));
    let (head, _) = frame.seen().last().cloned().unwrap();
    assert_eq!(head.history_checked, 77);

    let sequence = first.header("bezant-sequence").parse().unwrap();
    let row = KeyRow { sequence, status: Status::Ok, rate: RATE, digest: digest(b"order-1") };
    *told.row.lock().unwrap() = Some(row);
    let executed = frame.seen().len();
    let again = http.ask(pay(None, "7", &keyed)).await.unwrap();
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.header("idempotency-replayed"), "true");
    let other = http.ask(pay(None, "8", &keyed)).await.unwrap();
    assert_eq!(other.status, 422);
    assert!(text(&other).contains("\"title\":\"id_reused\""), "{}", text(&other));
    assert_eq!(frame.seen().len(), executed, "the history has answered");
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unchanged_account_is_not_sent_again() {
    let frame = Frame::start();
    let http = Http::open(&frame, H2).await;
    let path = format!("/v1/accounts/{DEBIT}/1");
    let first = http.ask(ask("GET", &path, &[], "")).await.unwrap();
    assert_eq!(first.status, 200, "{}", text(&first));
    let tag = first.header("etag").to_owned();
    let known = [("if-none-match", tag.as_str())];
    let again = http.ask(ask("GET", &path, &known, "")).await.unwrap();
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    assert_eq!(again.header("etag"), tag);
    let head = http.ask(ask("HEAD", &path, &[], "")).await.unwrap();
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_beside_an_id_goes_on_without_the_history() {
    let keyed = [("idempotency-key", "order-1")];
    let frame = Frame::start();
    let http = Http::open(&frame, H2).await;
    let unkept = http.ask(pay(Some(ID), "7", &keyed)).await.unwrap();
    assert_eq!(unkept.status, 201, "{}", text(&unkept));
    assert!(text(&unkept).contains(ID), "{}", text(&unkept));
    drop(http);
    frame.stop().await;

    let told = Arc::new(Told::default());
    let frame = with_history(&told, |_| {}).await;
    let http = Http::open(&frame, H2).await;
    told.is_down.store(true, Ordering::SeqCst);
    let down = http.ask(pay(Some(ID), "7", &keyed)).await.unwrap();
    assert_eq!(down.status, 201, "{}", text(&down));
    let (head, _) = frame.seen().last().cloned().unwrap();
    assert_eq!(head.history_checked, 0, "the engine refuses what it cannot prove");
    told.is_silent.store(true, Ordering::SeqCst);
    let silent = http.ask(pay(None, "7", &[("idempotency-key", "order-2")])).await.unwrap();
    assert_eq!(silent.status, 503);
    assert!(text(&silent).contains("history_unavailable"), "{}", text(&silent));
    drop(http);
    frame.stop().await;
}

#[derive(Debug, Default)]
struct Kept(Mutex<Vec<Event>>);

impl AuditSink for Kept {
    fn note(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_privileged_answer_of_the_history_is_told_to_the_audit_log() {
    let (told, kept) = (Arc::new(Told::default()), Arc::new(Kept::default()));
    let sink = Arc::clone(&kept);
    let frame = with_history(&told, move |config| config.audit = sink).await;
    let mint = frame.identity(Role::Mint, "north");
    let http = Http::with(frame.https, &mint, H2).await.unwrap();
    let keyed = [("content-type", "application/json"), ("idempotency-key", "halt-1")];
    let halt = || ask("POST", "/v1/mint/halt", &keyed, "{}");
    assert_eq!(http.ask(halt()).await.unwrap().status, 200);

    let (_, id) = *told.asked.lock().unwrap().last().unwrap();
    let slots = data::encode(&[(data::TAG_KEY, b"halt-1")]);
    let command = Command {
        data: u16::try_from(slots.len()).unwrap(),
        flags: flags::KEYED,
        ..Command::new(Kind::HaltMint, CommandId(id))
    };
    let digest = key::body_digest(&command, &slots);
    *told.row.lock().unwrap() = Some(KeyRow { sequence: 2, status: Status::Ok, rate: 0, digest });
    let again = http.ask(halt()).await.unwrap();
    assert_eq!(again.header("idempotency-replayed"), "true", "{}", text(&again));
    *told.row.lock().unwrap() =
        Some(KeyRow { sequence: 2, status: Status::Ok, rate: 0, digest: !digest });
    assert_eq!(http.ask(halt()).await.unwrap().status, 422);
    let events = kept.0.lock().unwrap().clone();
    let commands = events.iter().filter_map(|event| match event {
        Event::Command(told) => {
            assert_eq!(told.spiffe_id.as_deref(), Some("spiffe://frame-a.example/mint/north"));
            Some((told.kind, told.sequence, told.status, told.is_repeat))
        }
        _ => None,
    });
    let executed = commands.clone().next().unwrap().1;
    assert!(
        commands.eq([
            (Kind::HaltMint, executed, Status::Ok, false),
            (Kind::HaltMint, 2, Status::Ok, true),
            (Kind::HaltMint, 2, Status::IdReused, false),
        ]),
        "{events:?}"
    );
    drop(http);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_of_known_assets_is_one_request_of_the_ring() {
    let frame = Frame::start();
    let http = Http::open(&frame, H2).await;
    let audit = || ask("GET", "/api/v1/projections/supply-audit", &[], "");
    let first = http.ask(audit()).await.unwrap();
    assert_eq!(first.status, 200, "{}", text(&first));
    let before = frame.metric("requests");
    assert_eq!(http.ask(audit()).await.unwrap().body, first.body);
    assert_eq!(frame.metric("requests"), before + 1);
    frame.stop().await;
}
