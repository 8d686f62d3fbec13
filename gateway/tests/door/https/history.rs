//! History over HTTPS: ranges that meet, rights that are judged where the history ends, and places
//! that are nobody else's.

use std::sync::atomic::Ordering;

use hyper::Response;
use hyper::body::Incoming;
use identity::Role;
use serde_json::Value;

use crate::followed::*;
use crate::https::*;
use crate::https_feeds::get;
use crate::support::*;

const MS: u64 = 1_000_000;

async fn open(frame: &Frame, role: Role, name: &str) -> Http {
    Http::with(frame.https, &frame.identity(role, name), H2).await.unwrap()
}

/// The answer to a request that is answered with JSON.
async fn ask(http: &Http, path: &str) -> Value {
    let answer = http.ask(get(path)).await.unwrap();
    let text = String::from_utf8_lossy(&answer.body);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
}

/// So many commands executed by the engine and known to the feeds, a millisecond apart.
async fn executed(following: &Following, count: u64) {
    // The first one says who the agent is.
    let done = following.frame.connect().await.request(&transfers(count - 1, 1)).await.unwrap();
    assert!(done.is_all_ok());
    for at in 1..=count {
        following.told.execute_at(paid(agent(), 5 << 64), JOURNAL_NS + at * MS);
    }
}

fn sequences(page: &Value) -> Vec<u64> {
    let entries = page["entries"].as_array().unwrap_or_else(|| panic!("{page}"));
    entries.iter().map(|entry| entry["sequence"].as_u64().unwrap()).collect()
}

/// A page that ended at a time named the sequence before the last one as its end, so that who went
/// on there was told that one twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_a_range_of_time_begins_where_it_ends() {
    let following = Following::start(8).await;
    executed(&following, 9).await;
    let http = open(&following.frame, Role::Agent, AGENT).await;
    let entries = format!("/v1/accounts/{AGENT}/entries");
    for to in 1..=10 {
        let to_ms = JOURNAL_NS / MS + to;
        let first = ask(&http, &format!("{entries}?to={to_ms}")).await;
        assert_eq!(sequences(&first), (1..to).collect::<Vec<_>>());
        assert_eq!(first["through"], to - 1, "{first}");
        let rest = ask(&http, &format!("{entries}?after={}", first["through"])).await;
        assert_eq!(sequences(&rest), (to..10).collect::<Vec<_>>());
        let sums = ask(&http, &format!("/v1/totals?to={to_ms}")).await;
        assert_eq!(sums["through"], to - 1, "{sums}");
    }
    drop(http);
    following.stop().await;
}

/// They were two questions, and an owner could move between them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_judged_where_its_owners_history_ends() {
    let following = Following::start(8).await;
    executed(&following, 3).await;
    let (frame, reads) = (&following.frame, &following.frame.switches.reads);
    let http = open(frame, Role::Registry, "north").await;
    for path in [format!("/v1/accounts/{AGENT}/entries"), format!("/v1/totals?account={AGENT}")] {
        let before = reads.load(Ordering::SeqCst);
        assert_eq!(ask(&http, &path).await["through"], 3, "{path}");
        assert_eq!(reads.load(Ordering::SeqCst), before + 1, "{path}");
        frame.switches.is_foreign.store(true, Ordering::SeqCst);
        assert_eq!(ask(&http, &path).await["title"], "not_found", "{path}");
        frame.switches.is_foreign.store(false, Ordering::SeqCst);
    }
    drop(http);
    following.stop().await;
}

/// What was executed while the engine was asked could be older than the clock said then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_past_time_was_past_before_the_engine_was_asked() {
    let following = Following::start(8).await;
    executed(&following, 3).await;
    let http = open(&following.frame, Role::Agent, AGENT).await;
    let half = (JOURNAL_NS + READ_NS / 2) / MS;
    let path = format!("/v1/accounts/{AGENT}/1/balance?at_time={half}");
    let early = ask(&http, &path).await;
    assert_eq!(early["detail"], "`at_time` is not past", "{early}");
    // Each read takes a second here.
    let now = ask(&http, &path).await;
    assert_eq!(now["at_time"], half, "{now}");
    drop(http);
    following.stop().await;
}

/// An agent whose two feeds were open could not read its own history from the journal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_follows_reads_too() {
    let following = Following::start(8).await;
    executed(&following, 3).await;
    let http = open(&following.frame, Role::Agent, AGENT).await;
    let mut feeds: Vec<Response<Incoming>> = Vec::new();
    for _ in 0..gateway::limits::FEEDS_OF_AGENT_MAX {
        feeds.push(http.begin(get("/v1/events")).await.unwrap());
    }
    assert_eq!(ask(&http, "/v1/events").await["title"], "too_many_feeds");
    let page = ask(&http, &format!("/v1/accounts/{AGENT}/entries")).await;
    assert_eq!(sequences(&page), [1, 2, 3]);
    drop((feeds, http));
    following.stop().await;
}

/// An agent need not name itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_asks_what_went_between_it_and_another() {
    let following = Following::start(8).await;
    executed(&following, 3).await;
    let http = open(&following.frame, Role::Agent, AGENT).await;
    let other = "00000000-0000-0005-0000-000000000000";
    let sums = ask(&http, &format!("/v1/totals?with={other}")).await;
    assert_eq!(sums["totals"][0]["count"], 3, "{sums}");
    let own = ask(&http, &format!("/v1/totals?with={AGENT}")).await;
    assert_eq!(own["title"], "query_invalid", "{own}");
    drop(http);
    following.stop().await;
}
