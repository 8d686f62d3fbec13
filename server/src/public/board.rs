//! What everybody is told about the supply, as text that is ready to be sent: the books now, and
//! the heads of the past.
//!
//! It reckons nothing that the engine has not reckoned and asks nobody. Invariant: every asset of
//! a text, and the head above it, is of one state of the frame.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use axum::body::Bytes;
use axum::http::HeaderValue;
use identity::FileSource;
use protocol::amount::{format, format_signed};
use protocol::cut::SupplyRow;
use serde::Serialize;

use crate::clock;
use crate::replay_cmd::wide;

/// A head is kept this often, if anything was executed since the last one.
const HEAD_EVERY_MS: u64 = 60_000;
/// Heads that are kept: four hours of a busy frame.
const HEADS_MAX: usize = 240;

/// Whether the books agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum Verdict {
    Ok,
    Breach,
}

impl Verdict {
    const fn of(holds: bool) -> Self {
        if holds { Self::Ok } else { Self::Breach }
    }
}

/// The supply of one asset; amounts are decimal texts.
#[derive(Debug, Serialize)]
struct Row {
    asset: u32,
    name: String,
    scale: u16,
    issued: String,
    destroyed: String,
    /// Nothing: the difference is beyond what can be reckoned with.
    net_supply: Option<String>,
    liquid: String,
    held: String,
    staked: String,
    bonded: String,
    circulating: Option<String>,
    delta: Option<String>,
    credit_granted: String,
    credit_used: String,
    status: Verdict,
}

impl Row {
    fn new(row: &SupplyRow) -> Self {
        let scale = row.scale;
        let signed = |units| format_signed(units, scale);
        Self {
            asset: row.asset,
            name: row.name.clone(),
            scale,
            issued: wide(row.issued, scale),
            destroyed: wide(row.destroyed, scale),
            net_supply: row.issued.difference(row.destroyed).map(signed),
            liquid: signed(row.liquid),
            held: format(row.held, scale),
            staked: format(row.staked, scale),
            bonded: format(row.bonded, scale),
            circulating: row.total().map(signed),
            delta: row.delta().map(signed),
            credit_granted: format(row.credit_granted, scale),
            credit_used: format(row.credit_used, scale),
            status: Verdict::of(row.delta() == Some(0)),
        }
    }
}

/// Where the frame was, and whether its books agreed there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Head {
    /// The last sequence executed.
    sequence: u64,
    /// Journal time, Unix milliseconds.
    time: u64,
    /// Over every outcome from the beginning of the journal, whose records carry it too.
    run_digest: String,
    status: Verdict,
}

impl Head {
    fn new(figures: &engine::Figures) -> Self {
        Self {
            sequence: figures.sequence,
            time: figures.timestamp_ns / 1_000_000,
            run_digest: figures.run_digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            status: Verdict::of(figures.supply.iter().all(|row| row.delta() == Some(0))),
        }
    }
}

/// `/supply.json`.
#[derive(Serialize)]
struct Supply<'a> {
    frame: &'a str,
    trust_domain: &'a str,
    version: &'static str,
    #[serde(flatten)]
    head: &'a Head,
    /// When the engine was asked, Unix milliseconds by the wall clock.
    checked: u64,
    mint_halted: bool,
    assets: Vec<Row>,
    /// The sequence of the newest head that is kept.
    kept: Option<u64>,
}

/// `/heads.json`.
#[derive(Serialize)]
struct Heads<'a> {
    /// Since when they are kept, Unix milliseconds by the wall clock.
    since: u64,
    every_s: u64,
    heads_max: usize,
    /// The newest first.
    heads: &'a VecDeque<Head>,
}

/// A text that is ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) body: Bytes,
    pub(super) tag: HeaderValue,
}

impl Text {
    pub(super) fn new(body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let tag = format!("\"{}\"", &blake3::hash(&body).to_hex()[..32]);
        let tag = HeaderValue::try_from(tag).expect("a digest in quotes is a value");
        Self { body, tag }
    }

    fn json(value: &impl Serialize) -> Self {
        Self::new(serde_json::to_vec(value).expect("texts and numbers are JSON"))
    }
}

/// What is told now.
struct Told {
    supply: Option<Text>,
    heads: VecDeque<Head>,
    /// When the newest of them was kept.
    kept_ms: u64,
    past: Option<Text>,
}

/// The board.
pub(crate) struct Board {
    frame: String,
    trust_domain: String,
    since_ms: u64,
    told: Mutex<Told>,
}

impl Board {
    pub(crate) fn new(frame: u128, identity: &FileSource) -> Self {
        let trust_domain = identity.current().trust_domain().to_string();
        Self::at(frame, trust_domain, clock::wall_ns() / 1_000_000)
    }

    fn at(frame: u128, trust_domain: String, since_ms: u64) -> Self {
        let frame = uuid::Uuid::from_u128(frame).to_string();
        let told = Told { supply: None, heads: VecDeque::new(), kept_ms: 0, past: None };
        Self { frame, trust_domain, since_ms, told: Mutex::new(told) }
    }

    /// Takes what the engine said at `now_ms`, by the wall clock.
    pub(crate) fn take(&self, figures: &engine::Figures, now_ms: u64) {
        let head = Head::new(figures);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = told.is_due(&head, now_ms);
        if is_due {
            told.keep(head.clone(), now_ms);
        }
        if is_due || told.past.is_none() {
            told.past = Some(Text::json(&Heads {
                since: self.since_ms,
                every_s: HEAD_EVERY_MS / 1_000,
                heads_max: HEADS_MAX,
                heads: &told.heads,
            }));
        }
        told.supply = Some(Text::json(&Supply {
            frame: &self.frame,
            trust_domain: &self.trust_domain,
            version: env!("CARGO_PKG_VERSION"),
            head: &head,
            checked: now_ms,
            mint_halted: figures.is_mint_halted,
            assets: figures.supply.iter().map(Row::new).collect(),
            kept: told.heads.front().map(|head| head.sequence),
        }));
    }

    /// The books; nothing before the engine was asked for the first time.
    pub(super) fn supply(&self) -> Option<Text> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).supply.clone()
    }

    /// The heads.
    pub(super) fn heads(&self) -> Option<Text> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).past.clone()
    }
}

impl Told {
    /// A head is kept after a while, and at once when the books begin or cease to agree; none
    /// before anything was executed.
    fn is_due(&self, head: &Head, now_ms: u64) -> bool {
        if head.sequence == 0 {
            return false;
        }
        let Some(last) = self.heads.front() else {
            return true;
        };
        let is_news = last.sequence != head.sequence || last.run_digest != head.run_digest;
        let is_late = now_ms.abs_diff(self.kept_ms) >= HEAD_EVERY_MS;
        last.status != head.status || (is_news && is_late)
    }

    fn keep(&mut self, head: Head, now_ms: u64) {
        self.heads.truncate(HEADS_MAX - 1);
        self.heads.push_front(head);
        self.kept_ms = now_ms;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use protocol::wide::Wide;
    use serde_json::Value;

    use super::*;

    /// Of one asset; `lost` units are in no bucket.
    fn figures(sequence: u64, lost: i128) -> engine::Figures {
        let row = SupplyRow {
            asset: 1,
            scale: 2,
            name: "AVT".into(),
            issued: Wide::from(1_000),
            destroyed: Wide::from(100),
            liquid: 850 - lost,
            held: 30,
            staked: 15,
            bonded: 5,
            credit_granted: 70,
            credit_used: 20,
        };
        let supply = vec![row];
        engine::Figures { sequence, timestamp_ns: 5_000_000, supply, ..Default::default() }
    }

    /// Before the engine was asked.
    pub(in super::super) fn board() -> Board {
        Board::at(7, "frame.example".into(), 1_000)
    }

    /// After it.
    pub(in super::super) fn told_board() -> Board {
        let board = board();
        board.take(&figures(1, 0), 2_000);
        board
    }

    fn json(text: Option<Text>) -> Value {
        serde_json::from_slice(&text.unwrap().body).unwrap()
    }

    #[test]
    fn every_term_is_told_and_a_lost_unit_is_a_breach() {
        let board = board();
        assert!(board.supply().is_none() && board.heads().is_none(), "nobody was asked");
        board.take(&figures(9, 0), 2_000);
        let told = json(board.supply());
        assert_eq!(told["frame"], "00000000-0000-0000-0000-000000000007");
        assert_eq!((&told["sequence"], &told["time"]), (&9.into(), &5.into()));
        assert_eq!((&told["status"], &told["checked"]), (&"OK".into(), &2_000.into()));
        let row = &told["assets"][0];
        for (term, is) in [
            ("issued", "10.00"),
            ("destroyed", "1.00"),
            ("net_supply", "9.00"),
            ("liquid", "8.50"),
            ("held", "0.30"),
            ("staked", "0.15"),
            ("bonded", "0.05"),
            ("circulating", "9.00"),
            ("delta", "0.00"),
            ("credit_granted", "0.70"),
            ("credit_used", "0.20"),
            ("status", "OK"),
        ] {
            assert_eq!(row[term], is, "{term}");
        }
        board.take(&figures(10, 1), 3_000);
        let told = json(board.supply());
        assert_eq!(told["status"], "BREACH");
        assert_eq!(told["assets"][0]["status"], "BREACH");
        assert_eq!(told["assets"][0]["delta"], "0.01");
    }

    #[test]
    fn what_cannot_be_reckoned_is_a_breach() {
        let mut wrong = figures(1, 0);
        wrong.supply[0].held = u128::MAX;
        let board = board();
        board.take(&wrong, 2_000);
        let row = &json(board.supply())["assets"][0];
        assert_eq!((&row["circulating"], &row["delta"]), (&Value::Null, &Value::Null));
        assert_eq!(row["status"], "BREACH");
    }

    #[test]
    fn before_anything_was_executed_there_is_no_head() {
        let board = board();
        board.take(&figures(0, 0), 2_000);
        let (told, past) = (json(board.supply()), json(board.heads()));
        assert_eq!((&told["sequence"], &told["kept"]), (&0.into(), &Value::Null));
        assert_eq!((&past["heads"], &past["since"]), (&Value::Array(Vec::new()), &1_000.into()));
        board.take(&figures(1, 0), 2_001);
        assert_eq!(json(board.heads())["heads"][0]["sequence"], 1);
    }

    #[test]
    fn heads_are_kept_each_minute_and_at_every_change_of_the_verdict() {
        let board = board();
        let sequences = || -> Vec<u64> {
            let heads = json(board.heads());
            let heads = heads["heads"].as_array().unwrap().iter();
            heads.map(|head| head["sequence"].as_u64().unwrap()).collect()
        };
        board.take(&figures(1, 0), 10_000);
        board.take(&figures(2, 0), 69_999);
        assert_eq!(sequences(), [1], "a minute is not over");
        board.take(&figures(3, 0), 70_000);
        board.take(&figures(3, 0), 200_000);
        assert_eq!(sequences(), [3, 1], "nothing was executed since");
        board.take(&figures(4, 1), 200_001);
        board.take(&figures(5, 0), 200_002);
        assert_eq!(sequences(), [5, 4, 3, 1]);
        assert_eq!(json(board.heads())["heads"][1]["status"], "BREACH");
        assert_eq!(json(board.supply())["kept"], 5);
    }

    #[test]
    fn so_many_heads_are_kept_and_no_more() {
        let board = board();
        for minute in 1..=HEADS_MAX as u64 + 10 {
            board.take(&figures(minute, 0), minute * HEAD_EVERY_MS);
        }
        let told = json(board.heads());
        let heads = told["heads"].as_array().unwrap();
        assert_eq!(heads.len(), HEADS_MAX);
        assert_eq!(heads[0]["sequence"], HEADS_MAX as u64 + 10);
        assert_eq!(told["heads_max"], HEADS_MAX);
    }
}
