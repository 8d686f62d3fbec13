//! Account history as its readers meet it: pages joined are the engine's entries whatever is
//! settled when, past balances are the model's, and nobody reads what it may not see.

use std::collections::BTreeMap;
use std::sync::Arc;

use loadgen::{Driver, Load};
use serde_json::Value;

use crate::books;
use crate::cluster::Cluster;
use crate::feeds::{ALICE, BOB, Reader, data, effects, shell};
use crate::frame::Frame;

/// A load that leaves the machine to others.
const LIGHT: Load = Load { accounts: 20, batch: 8, connections: 1, in_flight: 1, ..books::SMALL };

/// The engine's own word: what a feed tells through a sequence.
fn told(reader: &Reader, filter: &str, executed: u64) -> Vec<Value> {
    let path = format!("/v1/events?after=0{filter}");
    let text = reader.read(&path, |text| {
        let last = text.rsplit("event: progress\ndata: {\"sequence\":").next();
        let number = last.and_then(|rest| rest.split('}').next()?.parse::<u64>().ok());
        number.is_some_and(|number| number >= executed)
    });
    let told = effects(&text).into_iter().map(|(_, data)| bare(data));
    told.filter(|event| event["sequence"].as_u64().unwrap() <= executed).collect()
}

/// Without what SQL does not keep, or keeps by batches.
fn bare(mut event: Value) -> Value {
    for field in ["id", "epoch", "time"] {
        event.as_object_mut().unwrap().remove(field);
    }
    event
}

/// Entries of a page from SQL, and from the journal, each of which may take a replay of its own.
const SETTLED_PAGES: [usize; 6] = [1, 2, 7, 64, 65, 1_000];
const TOLD_PAGES: [usize; 3] = [100, 999, 1_000];

/// So that much of what is executed is not settled yet.
const LATE: &str = "settlement.interval_ms=3000";

/// One who reads the entries of an account, page after page.
struct Reading {
    owner: String,
    /// What a page may hold.
    sizes: &'static [usize],
    after: String,
    entries: Vec<Value>,
    /// What the pages were to hold, as a number that changes.
    dice: u64,
}

impl Reading {
    /// Reads the next page, of a size that nobody expects.
    fn page(&mut self, reader: &Reader, range: &str) -> bool {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let limit = self.sizes[(self.dice >> 40) as usize % self.sizes.len()];
        let (owner, after) = (&self.owner, &self.after);
        let path = format!("/v1/accounts/{owner}/entries?after={after}&limit={limit}{range}");
        let page = reader.get(&path);
        let entries = page["entries"].as_array().unwrap_or_else(|| panic!("{path}: {page}"));
        assert!(entries.len() <= limit, "{path}");
        self.entries.extend(entries.iter().cloned());
        let next = page["next"].as_str();
        self.after = next.map_or_else(|| page["through"].to_string(), str::to_owned);
        next.is_some()
    }

    /// Reads all pages of a range.
    fn range(&self, reader: &Reader, range: &str) -> Vec<Value> {
        let (owner, sizes, dice) = (self.owner.clone(), self.sizes, self.dice);
        let mut reading = Self { owner, sizes, dice, after: "0".to_owned(), entries: Vec::new() };
        while reading.page(reader, range) {}
        reading.entries
    }
}

/// The balances that the entries of an owner leave behind a sequence, by bucket.
fn model(entries: &[Value], owner: &str, at: u64) -> BTreeMap<String, String> {
    let mut balances = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry["sequence"].as_u64().unwrap() <= at) {
        for side in [&entry["debit"], &entry["credit"]] {
            if let (true, Some(after)) = (side["owner"] == owner, side["after"].as_str()) {
                balances.insert(side["bucket"].as_str().unwrap().to_owned(), after.to_owned());
            }
        }
    }
    balances
}

fn check_balances(reader: &Reader, owner: &str, entries: &[Value], ats: &[u64]) {
    for at in ats {
        let balance = reader.get(&format!("/v1/accounts/{owner}/1/balance?at={at}"));
        let should = model(entries, owner, *at);
        for bucket in ["liquid", "held", "staked", "bonded"] {
            let should = should.get(bucket).map_or("0.000000", String::as_str);
            assert_eq!(balance[bucket], should, "{owner} {bucket} behind {at}: {balance}");
        }
    }
}

/// Totals are what the entries add up to, by event.
fn check_totals(reader: &Reader, filter: &str, entries: &[Value], executed: u64) {
    let minor = |amount: &Value| {
        let text = amount.as_str().unwrap_or("0.000000").replace('.', "");
        text.parse::<u128>().unwrap()
    };
    let mut should: BTreeMap<String, (u64, u128)> = BTreeMap::new();
    for entry in entries {
        let sum = should.entry(entry["event"].as_str().unwrap().to_owned()).or_default();
        *sum = (sum.0 + 1, sum.1 + minor(&entry["amount"]));
    }
    let mut found: BTreeMap<String, (u64, u128)> = BTreeMap::new();
    let mut after = "0".to_owned();
    loop {
        let before = executed + 1;
        let path = format!("/v1/totals?after={after}&before={before}&by=day{filter}");
        let answer = reader.get(&path);
        for row in answer["totals"].as_array().unwrap_or_else(|| panic!("{path}: {answer}")) {
            let sum = found.entry(row["event"].as_str().unwrap().to_owned()).or_default();
            *sum = (sum.0 + row["count"].as_u64().unwrap(), sum.1 + minor(&row["amount"]));
        }
        match answer["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => break,
        }
    }
    assert_eq!(found, should, "{filter}");
}

/// Reads under load, through a restart, and compares with the feed.
async fn pages_joined(settings: &[&str]) {
    let mut frame = Frame::with(&[], settings);
    frame.start();
    let mut driver = Driver::prepare(&frame.target(), LIGHT).await.unwrap();
    let north = Reader::new(&frame, "registry", "north");
    let is_settled = settings.contains(&"settlement.history=full");
    let is_late = settings.contains(&LATE);
    // What the journal tells takes a replay, and those of one identity are spaced.
    let (sizes, pages, owners): (&[usize], _, _) = match (is_settled, is_late) {
        (true, false) => (&SETTLED_PAGES, 12, 3),
        (true, true) => (&SETTLED_PAGES, 3, 1),
        (false, _) => (&TOLD_PAGES, 1, 1),
    };
    let accounts = north.get(&format!("/v1/accounts?limit={owners}"));
    let owner = |account: &Value| account["owner"].as_str().unwrap().to_owned();
    let all = accounts["accounts"].as_array().unwrap().iter().map(owner);
    let reading =
        |(dice, owner)| Reading { owner, sizes, dice, after: "0".into(), entries: vec![] };
    let mut readings: Vec<Reading> = (1..).zip(all).map(reading).collect();
    for _ in 0..2 {
        let reader = Reader::new(&frame, "auditor", "reader");
        let progress = Arc::clone(&driver.progress);
        readings = books::drive_until(&frame, &mut driver, async move {
            books::executed(&progress, 500).await;
            let read = move || {
                for _ in 0..pages {
                    for reading in &mut readings {
                        reading.page(&reader, "");
                    }
                }
                readings
            };
            tokio::task::spawn_blocking(read).await.unwrap()
        })
        .await;
        frame.stop();
        frame.start();
    }
    books::agree(&frame, &mut driver).await;
    let reader = Reader::new(&frame, "auditor", "reader");
    let executed = frame.figure("bezant_executed_sequence") as u64;
    for reading in &mut readings {
        while reading.page(&reader, "") {}
        let told = told(&reader, &format!("&account={}", reading.owner), executed);
        let read: Vec<Value> = reading.entries.iter().cloned().map(bare).collect();
        let upto = read.iter().filter(|entry| entry["sequence"].as_u64() <= Some(executed));
        let upto: Vec<&Value> = upto.collect();
        assert_eq!(upto, told.iter().collect::<Vec<_>>(), "{settings:?}");
        assert!(told.len() > 20, "{} entries", told.len());
        let ats = [executed / 2, 0, executed / 3, executed];
        check_balances(&reader, &reading.owner, &told, &ats[..owners + 1]);
        check_totals(&reader, &format!("&account={}", reading.owner), &told, executed);
    }
    check_totals(&reader, "", &told(&reader, "", executed), executed);
    if is_settled {
        frame.wait_settled();
        // Ranges of time that meet part the entries.
        let reading = &readings[0];
        let all = reading.range(&reader, "");
        let middle = &all[all.len() / 2]["time"];
        let mut both = reading.range(&reader, &format!("&to={middle}"));
        both.extend(reading.range(&reader, &format!("&from={middle}")));
        assert_eq!(both, all);
        let before = format!("&before={}", executed / 2);
        let half = reading.range(&reader, &before);
        let is_before = |entry: &&Value| entry["sequence"].as_u64() < Some(executed / 2);
        assert_eq!(half.len(), all.iter().filter(is_before).count());
    }
    frame.stop();
    frame.is_sound();
}

#[test]
fn pages_joined_are_the_engines_entries_from_sqlite() {
    books::run(pages_joined(&["settlement.history=full"]));
}

#[test]
fn pages_joined_are_the_engines_entries_where_sql_lags() {
    books::run(pages_joined(&["settlement.history=full", LATE]));
}

#[test]
fn pages_joined_are_the_engines_entries_from_the_journal() {
    books::run(pages_joined(&["settlement.history=none"]));
}

#[test]
fn pages_joined_are_the_engines_entries_from_postgres() {
    let cluster = Cluster::start();
    let address = format!("settlement.postgres={}", cluster.address());
    let settings = ["settlement.history=full", "settlement.sink=postgres", &address];
    books::run(pages_joined(&settings));
}

fn seed(frame: &Frame) {
    shell(frame, "registry", "north", &["open", ALICE]);
    shell(frame, "registry", "north", &["open", BOB]);
    shell(frame, "mint", "royal", &["issue", ALICE, "1000"]);
    shell(frame, "agent", ALICE, &["pay", ALICE, BOB, "12.5"]);
    shell(frame, "agent", BOB, &["pay", BOB, ALICE, "1"]);
}

fn refusal(status: u64, title: &str) -> (u64, String) {
    (status, title.to_owned())
}

/// Each of `who` is told that there is nothing.
fn nobody_reads(frame: &Frame, path: &str, who: &[(&str, &str)]) {
    for (role, name) in who {
        let refused = Reader::new(frame, role, name).refused(path);
        assert_eq!(refused, refusal(404, "not_found"), "{name} {path}");
    }
}

#[test]
fn everybody_reads_the_history_that_it_may_see_and_nothing_else() {
    let mut frame = Frame::with(&[], &["settlement.history=full"]);
    frame.start();
    seed(&frame);
    let executed = frame.figure("bezant_executed_sequence") as u64;
    let path = format!("/v1/accounts/{ALICE}/entries");
    let entries = |reader: &Reader| reader.get(&path)["entries"].as_array().unwrap().clone();
    let auditor = Reader::new(&frame, "auditor", "reader");
    let all = entries(&auditor);
    let bares: Vec<Value> = all.iter().cloned().map(bare).collect();
    assert_eq!(bares, told(&auditor, &format!("&account={ALICE}"), executed));
    let every: Vec<u64> = (0..=executed).collect();
    check_balances(&auditor, ALICE, &bares, &every);
    check_balances(&Reader::new(&frame, "agent", ALICE), ALICE, &bares, &every);
    // The balances of others are theirs.
    for (role, name) in [("agent", ALICE), ("registry", "north")] {
        let hers = entries(&Reader::new(&frame, role, name));
        assert_eq!(hers.len(), all.len(), "{name}");
        for entry in &hers {
            for side in [&entry["debit"], &entry["credit"]] {
                let is_told = side["after"].is_string();
                assert!(!is_told || side["owner"] == ALICE, "{entry}");
                assert!(is_told || side["owner"] != ALICE || side["bucket"].is_null(), "{entry}");
            }
        }
    }
    let others = [("agent", BOB), ("registry", "south"), ("mint", "royal")];
    nobody_reads(&frame, &path, &others);
    nobody_reads(&frame, &format!("/v1/accounts/{ALICE}/1/balance?at=1"), &others);
    nobody_reads(&frame, &format!("/v1/totals?account={ALICE}"), &others);
    // An owner that is not there has no entries, and an account that is not there no balance.
    let nobody = ALICE.replace('a', "c");
    let none = auditor.get(&format!("/v1/accounts/{nobody}/entries"));
    assert_eq!(none["entries"], Value::Array(Vec::new()));
    let absent = auditor.refused(&format!("/v1/accounts/{nobody}/1/balance?at=1"));
    assert_eq!(absent.0, 404);
    frame.stop();
}

#[test]
fn totals_tell_what_went_between_two_and_the_fees_of_a_day() {
    let mut frame = Frame::with(&[], &["settlement.history=full"]);
    frame.start();
    seed(&frame);
    let auditor = Reader::new(&frame, "auditor", "reader");
    let between = auditor.get(&format!("/v1/totals?account={ALICE}&with={BOB}"));
    assert_eq!(between["totals"].as_array().unwrap().len(), 1, "{between}");
    let moved = &between["totals"][0];
    let sides = [&moved["count"], &moved["debit"], &moved["credit"]].map(Value::to_string);
    // Less the base fee, which is an entry of its own and no transfer to the other.
    assert_eq!(sides, ["2", "\"12.437500\"", "\"0.995000\""]);
    let fees = auditor.get("/v1/totals?event=TransactionFeeCollected&by=day");
    assert_eq!(fees["totals"][0]["count"], 2, "{fees}");
    assert!(fees["totals"][0]["day"].as_u64().unwrap().is_multiple_of(86_400_000));
    let alice = Reader::new(&frame, "agent", ALICE).get("/v1/totals");
    let hers = auditor.get(&format!("/v1/totals?account={ALICE}"));
    assert_eq!(alice["totals"], hers["totals"]);
    let all = auditor.get("/v1/totals");
    let entries = hers["totals"].as_array().unwrap().len();
    assert!(all["totals"].as_array().unwrap().len() >= entries, "{all}");
    frame.stop();
}

#[test]
fn what_cannot_be_asked_of_the_history_is_refused() {
    let mut frame = Frame::with(&[], &["settlement.history=full"]);
    frame.start();
    seed(&frame);
    let auditor = Reader::new(&frame, "auditor", "reader");
    let entries = format!("/v1/accounts/{ALICE}/entries");
    let balance = format!("/v1/accounts/{ALICE}/1/balance");
    let (alice, bob) = (format!("account={ALICE}&with={ALICE}"), format!("with={BOB}"));
    let future = "at_time=18000000000000";
    let past_limits = ["limit=0", "limit=1001", "cursor=1"];
    let malformed = ["after=x", "after=999999", "asset=a", "from=-1", "b=1"];
    let times = ["", "at=999999", "at=1&at_time=1", future, "at=x", "to=1"];
    let sums = ["by=week", "event=Nothing", "with=x", "before=-1", &bob, &alice];
    for (path, queries) in [
        (&*entries, &past_limits[..]),
        (&*entries, &malformed[..]),
        (&*balance, &times[..]),
        ("/v1/totals", &sums[..]),
        ("/v1/settlements", &["after=999999", "after=x", "b=1"][..]),
    ] {
        for query in queries {
            let refused = auditor.refused(&format!("{path}?{query}"));
            assert_eq!(refused, refusal(400, "query_invalid"), "{path}?{query}");
        }
    }
    let early = auditor.get(&format!("{balance}?at_time=1"));
    let held = [&early["liquid"], &early["held"]].map(|text| text.as_str());
    assert_eq!(held, [Some("0.000000"); 2]);
    let others = [("agent", ALICE), ("registry", "north"), ("mint", "royal")];
    nobody_reads(&frame, "/v1/settlements?after=0", &others);
    frame.stop();
}

/// The batches that a feed tells from a place on, until one ends with `through`.
fn batches(reader: &Reader, after: u64, through: u64) -> Vec<Value> {
    let last = format!("id: {through}\nevent: batch\n");
    let text = reader.until(&format!("/v1/settlements?after={after}"), &last);
    data(&text, "batch")
}

fn batches_follow_one_another(settings: &[&str]) {
    let mut frame = Frame::with(&[], settings);
    frame.start();
    seed(&frame);
    frame.wait_settled();
    frame.stop();
    frame.start();
    shell(&frame, "agent", BOB, &["pay", BOB, ALICE, "2"]);
    frame.wait_settled();
    let executed = frame.figure("bezant_settled_sequence") as u64;
    let reader = Reader::new(&frame, "auditor", "reader");
    let all = batches(&reader, 0, executed);
    // The first batch may hold nothing but the beginning.
    let mut next = (all[0]["batch"].as_u64().unwrap(), 1);
    for batch in &all {
        let place = [&batch["batch"], &batch["from"]].map(|number| number.as_u64().unwrap());
        assert_eq!((place[0], place[1]), next, "{batch}");
        next = (place[0] + 1, batch["through"].as_u64().unwrap() + 1);
    }
    let through = |batch: &Value| batch["through"].as_u64().unwrap();
    assert!(all.len() > 1 && through(&all[all.len() - 1]) >= executed);
    let rest = batches(&reader, through(&all[0]), executed);
    assert_eq!(rest[..], all[1..], "a place in the middle goes on there");
    frame.stop();
}

#[test]
fn the_batches_of_sqlite_are_told_without_a_gap() {
    batches_follow_one_another(&[]);
}

#[test]
fn the_batches_of_postgres_are_told_without_a_gap() {
    let cluster = Cluster::start();
    let address = format!("settlement.postgres={}", cluster.address());
    batches_follow_one_another(&["settlement.sink=postgres", &address]);
}

#[test]
fn a_frame_without_any_history_says_so_and_one_without_feeds_reads_sql() {
    let mut frame = Frame::with(&[], &["settlement.history=full", "feeds.enabled=false"]);
    frame.start();
    seed(&frame);
    let path = format!("/v1/accounts/{ALICE}/entries");
    let auditor = Reader::new(&frame, "auditor", "reader");
    let page = auditor.get(&path);
    let executed = frame.figure("bezant_executed_sequence");
    assert_eq!(page["through"].as_f64(), Some(executed));
    assert!(page["entries"].as_array().unwrap().len() >= 4, "{page}");
    frame.stop();
    let mut frame = Frame::with(&[], &["feeds.enabled=false"]);
    frame.start();
    seed(&frame);
    let auditor = Reader::new(&frame, "auditor", "reader");
    let not_kept = refusal(501, "history_not_kept");
    assert_eq!(auditor.refused(&path), not_kept);
    assert_eq!(auditor.refused(&format!("/v1/accounts/{ALICE}/1/balance?at=1")), not_kept);
    assert_eq!(auditor.refused("/v1/totals"), not_kept);
    frame.stop();
    frame.set("settlement.sink=none");
    frame.start();
    let auditor = Reader::new(&frame, "auditor", "reader");
    assert_eq!(auditor.refused("/v1/settlements"), not_kept);
    frame.stop();
}
