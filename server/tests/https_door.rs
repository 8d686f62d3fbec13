//! The HTTPS door for walks over every status and every cell: all as batches, or each command as
//! its own JSON request where JSON has words for it. What the door refuses before the engine sees
//! it goes as a batch, so that the engine is what answers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client::{Command, Outcome, Status};
use loadgen::https::{Answer, Http1, head, number};
use loadgen::json::JsonRequest;
use protocol::reply::{Decoded, decode};
use protocol::request::flags;
use protocol::{Kind, Request};
use zerocopy::IntoBytes as _;

use crate::door::Door;
use crate::frame::Frame;
use crate::https_client::{connector, request};

/// Digits after the point of the native asset, and of those that tests make.
const SCALES: (u16, u16) = (6, 2);
/// Numbers of the door's own refusals begin here.
const OWN_REFUSALS: u64 = 1_000;
/// A caller who is too quick waits so long.
const PAUSE: Duration = Duration::from_millis(20);

/// Kinds that went as JSON and were answered by the engine, of all callers together.
pub(crate) type Kinds = Arc<Mutex<BTreeSet<Kind>>>;

/// One caller at the HTTPS door.
pub(crate) struct Https {
    line: tokio::sync::Mutex<Http1>,
    principal: u128,
    /// `None` for one who sends batches only.
    as_json: Option<Kinds>,
}

impl Https {
    /// The identity `name`; who it is, the QUIC door says.
    pub(crate) async fn open(
        frame: &Frame,
        role: &str,
        name: &str,
        as_json: Option<Kinds>,
    ) -> Self {
        let principal = frame.client(role, name).await.hello().principal;
        let line = tokio::sync::Mutex::new(Http1::new(connector(frame, role, name)));
        Self { line, principal, as_json }
    }

    /// What becomes of each command.
    pub(crate) async fn send(&self, slots: &[Command]) -> Vec<Outcome> {
        if let Some(outcome) = self.send_json(slots).await {
            return vec![outcome];
        }
        let decoded = self.batch(slots, 0).await;
        assert_eq!(decoded.refused, None);
        decoded.outcomes
    }

    async fn send_json(&self, slots: &[Command]) -> Option<Outcome> {
        let (kinds, (command, data)) = (self.as_json.as_ref()?, slots.split_first()?);
        let scale = if command.asset == protocol::ids::NATIVE { SCALES.0 } else { SCALES.1 };
        let mut json = JsonRequest::default();
        let fits = data.len() == usize::from(command.data);
        if !fits || !json.write(command, data, scale) {
            return None;
        }
        let answer = self.exchange(&request(json.method, &json.path, &json.body)).await;
        // An object that is read may have a number of its own.
        let refusal = number(&answer.body, "number").filter(|_| answer.status >= 300);
        let status = match refusal {
            Some(number) if number >= OWN_REFUSALS => return None,
            Some(number) => Status::from_number(u16::try_from(number).unwrap()).unwrap(),
            None => Status::Ok,
        };
        let sequence = number(&answer.body, "sequence");
        // To read an amount the door looks the asset up by itself.
        if status == Status::AssetNotFound && sequence.is_none() {
            return None;
        }
        let text = String::from_utf8_lossy(&answer.body);
        assert_eq!(status.is_ok(), answer.status < 300, "{}: {text}", answer.status);
        let kind = Kind::try_from(command.kind).unwrap();
        kinds.lock().unwrap().insert(kind);
        // What one may not see and what is not known are the same over HTTPS.
        if kind == Kind::ReadOutcome && status == Status::NotFound {
            return None;
        }
        let rate = number(&answer.body, "rate").and_then(|rate| u16::try_from(rate).ok());
        let rate = rate.unwrap_or(0);
        Some(Outcome { sequence: sequence.unwrap_or(0), status, rate, repeat: answer.replayed })
    }

    async fn batch(&self, slots: &[Command], flags: u16) -> Decoded {
        let answer = self.exchange(&batch(slots, flags)).await;
        let text = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, 200, "{text}");
        decode(&answer.body).unwrap()
    }

    /// Sends until the door takes it.
    async fn exchange(&self, request: &[u8]) -> Answer {
        let mut line = self.line.lock().await;
        loop {
            let answer = line.exchange(request).await.unwrap();
            let own = number(&answer.body, "number").is_some_and(|number| number >= OWN_REFUSALS);
            if answer.status != 429 || !own {
                return answer;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// A batch as a whole HTTP/1.1 request.
pub(crate) fn batch(slots: &[Command], flags: u16) -> Vec<u8> {
    let count = u32::try_from(slots.len()).unwrap();
    let request = Request { request: 1, slots: count, flags, ..Request::default() };
    let mut whole = Vec::new();
    let length = size_of_val(&request) + size_of_val(slots);
    head("POST", "/v1/batches", "application/octet-stream", length, &mut whole);
    whole.extend_from_slice(request.as_bytes());
    whole.extend_from_slice(slots.as_bytes());
    whole
}

impl Door for Https {
    fn principal(&self) -> u128 {
        self.principal
    }

    async fn execute(&self, slots: &[Command]) -> Status {
        if !Kind::try_from(slots[0].kind).is_ok_and(Kind::is_read) {
            return self.send(slots).await[0].status;
        }
        if let Some(outcome) = self.send_json(slots).await {
            return outcome.status;
        }
        let answers = self.batch(slots, flags::READ).await.answers;
        // Of a list the last answer is the one that speaks of the read itself.
        Status::from_number(answers.last().unwrap().status).unwrap()
    }
}
