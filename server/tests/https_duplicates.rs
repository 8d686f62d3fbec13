//! One id sent from everywhere at once, over HTTP/1.1, HTTP/2 and QUIC, with and without a kill in
//! between, has one effect and one answer, byte for byte. The same holds for a string key.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use client::{Client, Command, CommandId, Status, query};
use loadgen::Random;
use loadgen::https::{Answer, Http1, Http2, HttpsConnector, number};
use loadgen::json::{JsonRequest, Told, told};
use protocol::ids::NATIVE;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::books;
use crate::frame::{Frame, must};
use crate::https_client::{connector, request};

const ALICE: u128 = 0x0190_0000_0000_7000_8000_0000_0000_000a;
const BOB: u128 = ALICE + 1;
/// Requests of each protocol in one burst: 64 together.
const HTTP1: usize = 24;
const HTTP2: usize = 20;
const QUIC: usize = 20;
/// Digits after the point of the native asset.
const SCALE: u16 = 6;
/// Kills under a burst.
const KILLS: u64 = 5;

/// Connections to every door.
struct Doors {
    quic: Vec<Client>,
    http1: Arc<HttpsConnector>,
    http2: Vec<Arc<Http2>>,
}

impl Doors {
    async fn open(frame: &Frame) -> Self {
        let http1 = connector(frame, "registry", "north");
        let mut doors = Self { quic: Vec::new(), http1, http2: Vec::new() };
        for _ in 0..4 {
            doors.quic.push(frame.client("registry", "north").await);
            let http2 = Arc::new(Http2::new(Arc::clone(&doors.http1)));
            http2.open().await.unwrap();
            doors.http2.push(http2);
        }
        doors
    }

    /// Sends the command through every door at once, when the caller passes the barrier too.
    fn burst(&self, command: Command) -> (JoinSet<Option<Heard>>, Arc<Barrier>) {
        let mut json = JsonRequest::default();
        assert!(json.write(&command, &[], SCALE));
        let whole = Arc::new(request(json.method, &json.path, &json.body));
        let mut tasks = JoinSet::new();
        let all = Arc::new(Barrier::new(HTTP1 + HTTP2 + QUIC + 1));
        for _ in 0..HTTP1 {
            let mut line = Http1::new(Arc::clone(&self.http1));
            let (all, whole) = (Arc::clone(&all), Arc::clone(&whole));
            tasks.spawn(async move {
                line.open().await.unwrap();
                all.wait().await;
                line.exchange(&whole).await.ok().map(Heard::over_https)
            });
        }
        for at in 0..HTTP2 {
            let http2 = Arc::clone(&self.http2[at % self.http2.len()]);
            let JsonRequest { method, path, body } = json.clone();
            let all = Arc::clone(&all);
            tasks.spawn(async move {
                all.wait().await;
                let answer = http2.exchange(method, &path, "application/json", body.into()).await;
                answer.ok().map(Heard::over_https)
            });
        }
        for at in 0..QUIC {
            let client = self.quic[at % self.quic.len()].clone();
            let all = Arc::clone(&all);
            tasks.spawn(async move {
                all.wait().await;
                let reply = client.request(&[command]).await.ok()?;
                let outcome = *reply.outcomes().first()?;
                let told = (outcome.sequence, outcome.status, outcome.rate);
                Some(Heard { told, body: None, repeat: outcome.repeat })
            });
        }
        (tasks, all)
    }
}

/// One answer.
#[derive(Debug)]
struct Heard {
    told: (u64, Status, u16),
    body: Option<(u16, Vec<u8>)>,
    repeat: bool,
}

impl Heard {
    fn over_https(answer: Answer) -> Self {
        let Told::Outcome(outcome) = told(&answer) else {
            panic!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body));
        };
        Self {
            told: (outcome.sequence, outcome.status, outcome.rate),
            body: Some((answer.status, answer.body.to_vec())),
            repeat: answer.replayed,
        }
    }
}

/// Everything heard about one command.
#[derive(Debug, Default)]
struct Answers {
    told: BTreeSet<(u64, Status, u16)>,
    bodies: BTreeSet<(u16, Vec<u8>)>,
    heard: usize,
    first: usize,
}

impl Answers {
    /// Sends the command through every door at once and listens.
    async fn ask(&mut self, doors: &Doors, command: Command) {
        let (burst, all) = doors.burst(command);
        all.wait().await;
        self.gather(burst).await;
    }

    async fn gather(&mut self, mut burst: JoinSet<Option<Heard>>) {
        while let Some(heard) = burst.join_next().await {
            if let Some(Heard { told, body, repeat }) = heard.unwrap() {
                self.heard += 1;
                self.first += usize::from(!repeat);
                self.told.insert(told);
                self.bodies.extend(body);
            }
        }
    }

    /// There is one answer, in one form.
    fn agree(&self) {
        assert_eq!((self.told.len(), self.bodies.len()), (1, 1), "{self:?}");
        assert!(self.first <= 1, "{} answers say that they are the first", self.first);
    }
}

fn pay(id: CommandId, amount: u128) -> Command {
    Command::transfer(id, ALICE, BOB, NATIVE, amount)
}

async fn funded(frame: &mut Frame) -> Doors {
    frame.start();
    let doors = Doors::open(frame).await;
    let (north, mint) = (&doors.quic[0], frame.client("mint", "treasury").await);
    let mut ids = north.ids();
    must(north, Command::open(ids.next_id(), ALICE, NATIVE)).await;
    must(north, Command::open(ids.next_id(), BOB, NATIVE)).await;
    must(&mint, Command::issue(mint.ids().next_id(), ALICE, NATIVE, 1_000_000_000)).await;
    doors
}

async fn bob(client: &Client) -> i128 {
    client.ask(query::account(BOB, NATIVE)).await.unwrap().liquid
}

#[test]
fn one_id_through_every_door_at_once_has_one_effect_and_one_answer() {
    books::run(async {
        let mut frame = Frame::new();
        let doors = funded(&mut frame).await;
        let mut ids = doors.quic[0].ids();
        for (amount, status) in [(1_000, Status::Ok), (1 << 90, Status::InsufficientFunds)] {
            let mut answers = Answers::default();
            answers.ask(&doors, pay(ids.next_id(), amount)).await;
            answers.agree();
            assert_eq!((answers.heard, answers.first), (HTTP1 + HTTP2 + QUIC, 1));
            assert_eq!(answers.told.first().unwrap().1, status);
        }
        assert_eq!(bob(&doors.quic[0]).await, 995);
        frame.stop();
        frame.is_sound();
    });
}

#[test]
fn a_kill_under_a_burst_changes_no_answer_and_doubles_no_effect() {
    books::run(async {
        let mut frame = Frame::new();
        let mut doors = funded(&mut frame).await;
        let mut random = Random::new(0x5eed);
        let mut lost = 0;
        for round in 1..=KILLS {
            let command = pay(doors.quic[0].ids().next_id(), 1_000);
            let mut answers = Answers::default();
            let (burst, all) = doors.burst(command);
            all.wait().await;
            // The first kill is at once, so that a fast machine has requests under way as well.
            if round > 1 {
                tokio::time::sleep(Duration::from_micros(random.below(20_000))).await;
            }
            let process = frame.take();
            tokio::task::spawn_blocking(move || process.kill()).await.unwrap();
            // A killed process says no goodbye over QUIC.
            doors.quic.iter().for_each(Client::close);
            answers.gather(burst).await;
            let before = answers.heard;
            lost += HTTP1 + HTTP2 + QUIC - before;
            frame.start();
            doors = Doors::open(&frame).await;
            answers.ask(&doors, command).await;
            answers.agree();
            assert_eq!(answers.heard - before, HTTP1 + HTTP2 + QUIC, "all are answered now");
            assert_eq!(bob(&doors.quic[0]).await, 995 * i128::from(round), "after {round} kills");
        }
        println!("{lost} of {} requests met a kill", KILLS as usize * (HTTP1 + HTTP2 + QUIC));
        assert!(lost > 0, "no kill met a request under way");
        frame.stop();
        frame.is_sound();
    });
}

/// A request that names a key and no id.
fn keyed(key: &str, amount: &str) -> Vec<u8> {
    let [from, to] = [ALICE, BOB].map(|owner| CommandId(owner).to_string());
    let body = format!("{{\"debit\":\"{from}\",\"credit\":\"{to}\",\"amount\":\"{amount}\"}}");
    let head = format!(
        "POST /v1/transfers HTTP/1.1\r\nHost: frame\r\nContent-Type: application/json\r\n\
         Idempotency-Key: {key}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body.into_bytes()].concat()
}

#[test]
fn one_key_sent_many_times_and_across_a_kill_has_one_effect() {
    books::run(async {
        let mut frame = Frame::with(&[], &["settlement.history=full"]);
        let mut doors = funded(&mut frame).await;
        let mut answers = Answers::default();
        let whole = Arc::new(keyed("order-1", "0.001000"));
        for restart in [false, true] {
            if restart {
                frame.take().kill();
                frame.start();
                doors = Doors::open(&frame).await;
            }
            let mut burst = JoinSet::new();
            for _ in 0..HTTP1 {
                let (connector, whole) = (Arc::clone(&doors.http1), Arc::clone(&whole));
                burst.spawn(async move {
                    let answer = Http1::new(connector).exchange(&whole).await.unwrap();
                    Some(Heard::over_https(answer))
                });
            }
            answers.gather(burst).await;
        }
        answers.agree();
        assert_eq!((answers.heard, answers.first), (2 * HTTP1, 1));
        let mut line = Http1::new(Arc::clone(&doors.http1));
        let other = line.exchange(&keyed("order-1", "0.002")).await.unwrap();
        let text = String::from_utf8_lossy(&other.body);
        assert_eq!(number(&other.body, "number"), Some(Status::IdReused.number().into()), "{text}");
        assert_eq!(bob(&doors.quic[0]).await, 995);
        frame.stop();
        frame.is_sound();
    });
}
