//! The batches of settlement: `GET /v1/settlements`, server-sent events of what SQL holds since
//! when, for whoever copies the database on.
//!
//! It only looks at what is settled. Invariant: each batch that is told begins right behind the one
//! before, or the stream ends and says so.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::Response;
use bytes::Bytes;
use protocol::batch::SettledBatch;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, sleep, timeout};

use super::answer;
use super::event::NS_PER_MS;
use super::events::{EVENT_STREAM, Listener, Stream, put_end};
use super::following::{LAST_EVENT_ID, query_invalid, refusal};
use super::inbound::Inbound;
use super::operation::{Operation, Sort};
use super::present::{Present, for_watchers};
use super::problem::{Own, Problem};
use super::values::Large;
use crate::entries::BatchHistory;
use crate::feeds::{FeedError, Open};
use crate::limits::{
    BATCH_FEEDS_OF_ONE_MAX, BATCHES_AT_ONCE, BATCHES_PAUSE, BATCHES_PAUSE_MAX, FEED_QUIET,
    FEED_TEXTS, FEED_WRITE_TIMEOUT, HISTORY_READ_TIMEOUT,
};
use crate::metrics::add;

/// The operation.
pub(crate) fn operation() -> Operation {
    Operation::get("/v1/settlements", follow)
        .does(
            "audit",
            "Follows settlement",
            "Server-sent events, one for each batch that SQL holds, in order and without an end; \
             docs/history.md describes them. The header Last-Event-ID goes before `after`.",
        )
        .sort(Sort::Feed)
        .query::<Large>(
            "after",
            "Only batches that end behind this sequence. What is settled from now on by default.",
            json!(0),
        )
        .answers_as("text/event-stream")
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    after: Option<u64>,
}

/// A batch as it is told.
#[derive(Serialize)]
struct Told {
    batch: u64,
    from: u64,
    through: u64,
    epoch: u64,
    time: u64,
    complete: bool,
    accounts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    effects: Option<u64>,
    chain_hash: String,
    run_digest: String,
}

impl Told {
    fn new(batch: &SettledBatch) -> Self {
        Self {
            batch: batch.batch,
            from: batch.from,
            through: batch.through,
            epoch: batch.epoch,
            time: batch.timestamp_ns / NS_PER_MS,
            complete: batch.is_complete,
            accounts: batch.accounts,
            effects: batch.effects,
            chain_hash: hex(&batch.chain_hash),
            run_digest: hex(&batch.run_digest),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").expect("text takes text");
    }
    text
}

async fn follow(inbound: Listener) -> Result<Response, Problem> {
    let inbound = inbound.0;
    let wish: Wish = inbound.query()?;
    let Present { executed, .. } = for_watchers(&inbound).await?;
    let history = inbound.caller.desk().info.batches.clone();
    let history = history.ok_or_else(|| Problem::own(Own::HistoryNotKept))?;
    if history.has_ended() {
        return Err(ended());
    }
    let after = place(&inbound, wish.after)?.unwrap_or_else(|| history.settled());
    if after > executed {
        let detail = format!("the history ends with sequence {executed}; `after` is beyond it");
        return Err(query_invalid(detail));
    }
    let metrics = &inbound.caller.desk().metrics;
    let seats = seats(&inbound).map_err(|error| {
        add(&metrics.feeds_refused, 1);
        refusal(error)
    })?;
    let places = (seats, Open::new(metrics));
    inbound.caller.stays();
    let (sender, receiver) = mpsc::channel(FEED_TEXTS);
    let (ask_at, pause) = (Instant::now(), BATCHES_PAUSE);
    let teller = Teller { inbound, history, after, ask_at, pause, sender, _places: places };
    tokio::spawn(teller.run());
    let mut response = Response::new(Body::new(Stream(receiver)));
    response.headers_mut().insert(header::CONTENT_TYPE, EVENT_STREAM);
    Ok(response)
}

/// A place among those of the identity, and one among all.
type Seats = [OwnedSemaphorePermit; 2];

fn seats(inbound: &Inbound) -> Result<Seats, FeedError> {
    let max = BATCH_FEEDS_OF_ONE_MAX;
    let own = inbound.caller.follows_batches().ok_or(FeedError::TooMany { max })?;
    let all = Arc::clone(&inbound.shared.settlements);
    Ok([own, all.try_acquire_owned().map_err(|_| FeedError::Full)?])
}

/// Nothing more is settled until somebody has mended what ended it.
fn ended() -> Problem {
    let detail = "settlement has ended, and goes on when the frame starts again; /readyz says why";
    Problem::own(Own::HistoryUnavailable).detail(detail)
}

fn place(inbound: &Inbound, after: Option<u64>) -> Result<Option<u64>, Problem> {
    let Some(last) = inbound.headers().get(LAST_EVENT_ID) else {
        return Ok(after);
    };
    let number = last.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = number.and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| query_invalid("Last-Event-ID is the id of an event"))
}

/// The task of one who follows.
struct Teller {
    inbound: Inbound,
    history: Arc<dyn BatchHistory>,
    after: u64,
    /// From when SQL is asked, and how long it was last left alone.
    ask_at: Instant,
    pause: Duration,
    sender: mpsc::Sender<Bytes>,
    _places: (Seats, Open),
}

impl Teller {
    async fn run(mut self) {
        let (caller, sender) = (self.inbound.caller.clone(), self.sender.clone());
        let mut text = String::from("retry: 1000\n\n");
        while self.send(text).await {
            let told = tokio::select! {
                biased;
                () = caller.desk().closing() => Err(Problem::own(Own::ShuttingDown)),
                () = sender.closed() => return,
                told = self.next() => told,
            };
            match told {
                Ok(told) => text = told,
                Err(problem) => {
                    let mut last = String::new();
                    put_end(&problem, &mut last);
                    self.send(last).await;
                    return;
                }
            }
        }
    }

    /// What is told next; waits for it. It may be dropped half way and asked again.
    async fn next(&mut self) -> Result<String, Problem> {
        let quiet_until = Instant::now() + FEED_QUIET;
        loop {
            if self.history.has_ended() {
                return Err(ended());
            }
            let is_due = Instant::now() >= self.ask_at;
            if is_due && self.history.settled() > self.after {
                let batches = self.ask().await?;
                if !batches.is_empty() {
                    let mut text = String::new();
                    batches.iter().for_each(|batch| put(batch, &mut text));
                    return Ok(text);
                }
            }
            if Instant::now() >= quiet_until {
                return Ok(": still here\n\n".into());
            }
            sleep(BATCHES_PAUSE).await;
        }
    }

    /// The batches that come next; none: SQL does not answer for now.
    async fn ask(&mut self) -> Result<Vec<SettledBatch>, Problem> {
        let asked = self.history.batches(self.after, BATCHES_AT_ONCE);
        let Ok(Ok(batches)) = timeout(HISTORY_READ_TIMEOUT, asked).await else {
            self.pause = BATCHES_PAUSE_MAX.min(self.pause * 2);
            self.ask_at = Instant::now() + self.pause;
            return Ok(Vec::new());
        };
        self.pause = BATCHES_PAUSE;
        for batch in &batches {
            // What SQL held before an older copy was put back may have ended elsewhere.
            if batch.from > self.after.saturating_add(1) {
                return Err(refusal(FeedError::Gone { first: batch.from }));
            }
            self.after = batch.through;
        }
        Ok(batches)
    }

    /// Whether the client goes on taking what it is told.
    async fn send(&self, text: String) -> bool {
        let sent = timeout(FEED_WRITE_TIMEOUT, self.sender.send(Bytes::from(text))).await;
        matches!(sent, Ok(Ok(())))
    }
}

fn put(batch: &SettledBatch, out: &mut String) {
    let data = answer::to_bytes(&Told::new(batch));
    let data = std::str::from_utf8(&data).expect("JSON is text");
    let through = batch.through;
    write!(out, "id: {through}\nevent: batch\ndata: {data}\n\n").expect("text takes text");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_told_with_the_place_behind_it() {
        let batch = SettledBatch {
            batch: 3,
            from: 11,
            through: 20,
            epoch: 2,
            is_complete: false,
            accounts: 4,
            effects: Some(12),
            chain_hash: [0xab; 32],
            run_digest: [0x01; 16],
            timestamp_ns: 5_000_000,
        };
        let mut text = String::new();
        put(&batch, &mut text);
        let wanted = format!(
            "id: 20\nevent: batch\ndata: {{\"batch\":3,\"from\":11,\"through\":20,\"epoch\":2,\
             \"time\":5,\"complete\":false,\"accounts\":4,\"effects\":12,\"chain_hash\":\"{}\",\
             \"run_digest\":\"{}\"}}\n\n",
            "ab".repeat(32),
            "01".repeat(16),
        );
        assert_eq!(text, wanted);
    }
}
