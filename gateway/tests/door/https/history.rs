//! History over HTTPS: ranges that meet, rights that are judged where the history ends, and places
//! that are nobody else's.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use gateway::{BatchHistory, EntryAnswering, EntryHistoryError};
use hyper::Response;
use hyper::body::Incoming;
use identity::Role;
use protocol::batch::SettledBatch;
use serde_json::Value;

use crate::followed::*;
use crate::https::*;
use crate::https_feeds::{get, until_said};
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
    let before = following.frame.switches.reads.load(Ordering::SeqCst);
    let now = ask(&http, &path).await;
    assert_eq!(now["at_time"], half, "{now}");
    // The record of the first may hold what is later and as old.
    assert_eq!(following.frame.switches.reads.load(Ordering::SeqCst), before + 2);
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

/// Settlement as it is told.
#[derive(Debug, Default)]
struct Settlement {
    batches: Mutex<Vec<SettledBatch>>,
    has_ended: AtomicBool,
    is_silent: AtomicBool,
    questions: AtomicU64,
}

impl Settlement {
    /// One more batch, of one sequence.
    fn settle(&self) {
        let mut batches = self.batches.lock().unwrap();
        let through = batches.len() as u64 + 1;
        batches.push(SettledBatch {
            batch: through,
            from: through,
            through,
            epoch: 3,
            is_complete: false,
            accounts: 2,
            effects: None,
            chain_hash: [1; 32],
            run_digest: [2; 16],
            timestamp_ns: JOURNAL_NS,
        });
    }
}

impl BatchHistory for Settlement {
    fn settled(&self) -> u64 {
        self.batches.lock().unwrap().len() as u64
    }

    fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::SeqCst)
    }

    fn batches(&self, after: u64, _: u32) -> EntryAnswering<'_, Vec<SettledBatch>> {
        self.questions.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            if self.is_silent.load(Ordering::SeqCst) {
                return Err(EntryHistoryError("no connection".into()));
            }
            let batches = self.batches.lock().unwrap();
            Ok(batches.iter().filter(|batch| batch.through > after).copied().collect())
        })
    }
}

async fn settling() -> (Frame, Arc<Settlement>) {
    let settlement = Arc::<Settlement>::default();
    let mut frame = Frame::start();
    frame.batches = Some(Arc::clone(&settlement) as Arc<_>);
    frame.reopen(|_| {}).await;
    assert!(frame.connect().await.request(&transfers(5, 1)).await.unwrap().is_all_ok());
    (frame, settlement)
}

/// A feed said "still here" for ever when settlement had ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_of_batches_ends_with_settlement() {
    let (frame, settlement) = settling().await;
    settlement.settle();
    let http = open(&frame, Role::Auditor, "reader").await;
    let path = "/v1/settlements?after=0";
    let mut feed = http.begin(get(path)).await.unwrap().into_body();
    until_said(&mut feed, "id: 1\nevent: batch\n").await;
    assert_eq!(frame.metric("feeds_open"), 1);
    // While SQL does not answer it waits.
    settlement.is_silent.store(true, Ordering::SeqCst);
    settlement.settle();
    let before = settlement.questions.load(Ordering::SeqCst);
    until(|| settlement.questions.load(Ordering::SeqCst) > before).await;
    settlement.is_silent.store(false, Ordering::SeqCst);
    until_said(&mut feed, "id: 2\nevent: batch\n").await;
    settlement.has_ended.store(true, Ordering::SeqCst);
    let text = until_said(&mut feed, "event: end").await;
    assert!(text.contains("history_unavailable") && text.contains("has ended"), "{text}");
    until(|| frame.metric("feeds_open") == 0).await;
    let refused = ask(&http, path).await;
    assert_eq!(
        (&refused["status"], &refused["title"]),
        (&503.into(), &"history_unavailable".into())
    );
    drop((feed, http));
    frame.stop().await;
}

/// The frame waited for such a feed as long as it may wait, and then cut it off without a word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_of_batches_ends_with_the_frame() {
    let (frame, _settlement) = settling().await;
    let http = open(&frame, Role::Auditor, "reader").await;
    let mut feed = http.begin(get("/v1/settlements")).await.unwrap().into_body();
    until_said(&mut feed, "retry: 1000").await;
    let read = tokio::spawn(async move { until_said(&mut feed, "event: end").await });
    frame.stop().await;
    assert!(read.await.unwrap().contains("shutting_down"));
    drop(http);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_identity_has_few_feeds_of_batches() {
    let (frame, _settlement) = settling().await;
    let http = open(&frame, Role::Auditor, "reader").await;
    let mut feeds: Vec<Response<Incoming>> = Vec::new();
    for _ in 0..gateway::limits::BATCH_FEEDS_OF_ONE_MAX {
        feeds.push(http.begin(get("/v1/settlements")).await.unwrap());
    }
    assert_eq!(ask(&http, "/v1/settlements").await["title"], "too_many_feeds");
    assert_eq!(frame.metric("feeds_refused"), 1);
    let other = open(&frame, Role::Auditor, "second").await;
    feeds.push(other.begin(get("/v1/settlements")).await.unwrap());
    assert!(feeds.iter().all(|feed| feed.status() == 200));
    assert_eq!(frame.metric("feeds_open"), feeds.len() as u64);
    drop(feeds);
    until(|| frame.metric("feeds_open") == 0).await;
    drop((http, other));
    frame.stop().await;
}
