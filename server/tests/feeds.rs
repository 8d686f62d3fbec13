//! The event feed as consumers meet it: whoever keeps its place with its own state has exactly the
//! engine's balances, however often it is killed; and nobody follows what it may not see.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use loadgen::pace::{Arrivals, OpenLoop};
use loadgen::{Driver, Load};
use protocol::feed::Place;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::books;
use crate::frame::{Frame, PATIENCE, until};

pub(crate) const ALICE: &str = "01900000-0000-7000-8000-00000000000a";
pub(crate) const BOB: &str = "01900000-0000-7000-8000-00000000000b";
pub(crate) const CAROL: &str = "01900000-0000-7000-8000-00000000000c";
/// Deaths of the consumer.
const KILLS: u64 = 100;
/// Lives in which it must at least have got on: in the others it dies before its first byte.
const LIVES_MIN: usize = 40;

/// Slow enough for a consumer in Python that is mostly dead.
const STEADY: Load = Load {
    accounts: 50,
    batch: 4,
    connections: 1,
    open: Some(OpenLoop { rate: 400.0, arrivals: Arrivals::Poisson }),
    ..books::SMALL
};

fn follow(frame: &Frame, state: &Path, more: &[&str]) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let python = std::env::var_os("BEZANT_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let mut program = Command::new(python);
    program.arg("-B").arg(root.join("examples/python/follow.py"));
    program.arg(format!("https://localhost:{}", frame.https().port()));
    program.arg(frame.identity("auditor", "reader")).arg(state).args(more);
    program.stdin(Stdio::null());
    program
}

/// Every balance that differs between the consumer's book and what SQL has settled.
const COMPARE: &str = "
import sqlite3, sys
mine, theirs = (sqlite3.connect(path) for path in sys.argv[1:])
names = {}
def name(owner):
    number = int(owner.replace('-', ''), 16)
    return number
book = {(name(o), a, b): int(m) for o, a, b, m in mine.execute('SELECT * FROM balances')
        if '-' in o and int(m)}
sql = {}
for o, a, liquid, held in theirs.execute('SELECT owner, asset, liquid, held FROM account_balances'):
    if name(o) >> 64:
        sql[(name(o), a, 'liquid')] = int(liquid)
        sql[(name(o), a, 'held')] = int(held)
sql = {key: value for key, value in sql.items() if value}
system = lambda rows: sum(int(row[0]) for row in rows)
frames = system(mine.execute('SELECT minor FROM balances WHERE owner NOT LIKE \"%-%\"'))
settled = sum(int(l) + int(h) for o, l, h in
              theirs.execute('SELECT owner, liquid, held FROM account_balances')
              if not name(o) >> 64)
assert book == sql, set(book.items()) ^ set(sql.items())
assert frames == settled, (frames, settled)
print(len(book), 'balances agree')
";

fn compared(book: &Path, sqlite: &Path) -> String {
    let python = std::env::var_os("BEZANT_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let output = Command::new(python).args(["-c", COMPARE]).args([book, sqlite]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The place that the consumer has stored, if there is one and its book can be read just now.
fn place(book: &Path) -> Option<Place> {
    let rows = Connection::open_with_flags(book, OpenFlags::SQLITE_OPEN_READ_WRITE).ok()?;
    let stored = rows.query_row("SELECT place FROM place", (), |row| row.get::<_, String>(0));
    Place::parse(&stored.ok()?)
}

/// One life of the consumer; whether it got on in it. Some end when the place has just been stored,
/// others at any time.
async fn live_and_die(frame: &Frame, book: &Path, n: u64) -> bool {
    let before = place(book);
    let child = follow(frame, book, &[]).spawn().unwrap();
    let alive_ms = if n.is_multiple_of(2) {
        let born = std::time::Instant::now();
        while place(book) <= before && born.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        n * 7_919 % 60
    } else {
        // From before its first byte to long after: 50 to 170 ms.
        50 + n * 7_919 % 120
    };
    tokio::time::sleep(Duration::from_millis(alive_ms)).await;
    kill(child);
    let after = place(book);
    assert!(after >= before, "{before:?} was stored, and {after:?} after that");
    after > before
}

fn kill(mut child: Child) {
    let ended = child.try_wait().unwrap();
    assert!(ended.is_none(), "the consumer ended by itself: {ended:?}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_consumer_killed_a_hundred_times_has_the_engines_balances() {
    books::run(async {
        // A tail so small that whoever is away for a moment is served from the journal.
        let mut frame = Frame::with(&[], &["feeds.tail_mib=1"]);
        frame.start();
        let book = frame.beside("book.sqlite");
        let mut driver = Driver::prepare(&frame.target(), STEADY).await.unwrap();
        let killing = async {
            let mut lives = 0;
            for n in 0..KILLS {
                lives += usize::from(live_and_die(&frame, &book, n).await);
            }
            lives
        };
        let lives = books::drive_until(&frame, &mut driver, killing).await;
        assert!(lives >= LIVES_MIN, "it got on in {lives} of its lives");
        books::agree(&frame, &mut driver).await;
        frame.wait_settled();
        let executed = format!("{:.0}", frame.figure("bezant_executed_sequence"));
        let output = follow(&frame, &book, &["--until", &executed]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = compared(&book, &frame.sqlite());
        assert!(said.contains("balances agree"), "{said}");
        frame.set(&format!("listen.https={}", frame.https()));
        // One that is told of the frame's end waits for it to come back.
        let next = executed.parse::<u64>().unwrap() + 1;
        let mut waiting = follow(&frame, &book, &["--until", &next.to_string()]).spawn().unwrap();
        until("it follows", || frame.figure("bezant_gateway_feeds_open") > 0.0);
        frame.stop();
        frame.is_sound();
        // And so has one that comes only now, after a start, to a journal that is past.
        frame.start();
        let late = frame.beside("late.sqlite");
        let output = follow(&frame, &late, &["--until", &executed]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        compared(&late, &frame.sqlite());
        shell(&frame, "registry", "west", &["open", ALICE]);
        assert!(waiting.wait().unwrap().success(), "it goes on with the frame");
        frame.wait_settled();
        compared(&book, &frame.sqlite());
        frame.stop();
    });
}

/// One identity with curl, as long as the frame runs.
#[derive(Clone)]
pub(crate) struct Reader {
    pub(crate) identity: PathBuf,
    port: u16,
}

impl Reader {
    pub(crate) fn new(frame: &Frame, role: &str, name: &str) -> Self {
        Self { identity: frame.identity(role, name), port: frame.https().port() }
    }

    pub(crate) fn command(&self, path: &str) -> Command {
        let file = |name: &str| self.identity.join(name);
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--no-buffer", "--max-time", "90"]);
        curl.arg("--cacert").arg(file("bundle.pem")).stdin(Stdio::null());
        curl.arg("--cert").arg(file("svid.pem")).arg("--key").arg(file("svid.key"));
        curl.arg(format!("https://localhost:{}{path}", self.port));
        curl
    }

    /// What is answered, whether it is refused or not.
    pub(crate) fn get(&self, path: &str) -> Value {
        answer(self.command(path))
    }

    /// The same of a POST.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        let mut curl = self.command(path);
        curl.args(["--header", "Content-Type: application/json", "--data", &body.to_string()]);
        answer(curl)
    }

    /// A refusal: its status and its title.
    pub(crate) fn refused(&self, path: &str) -> (u64, String) {
        let problem = self.get(path);
        let title = problem["title"].as_str().unwrap_or_else(|| panic!("{path}: {problem}"));
        (problem["status"].as_u64().unwrap(), title.to_owned())
    }

    /// Reads a feed until it has said enough; the whole text.
    pub(crate) fn read(&self, path: &str, is_enough: impl Fn(&str) -> bool) -> String {
        let mut child = self.command(path).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        let (mut text, mut piece) = (String::new(), [0; 65_536]);
        while !text.ends_with("\n\n") || !is_enough(&text) {
            let count = out.read(&mut piece).unwrap();
            assert!(count > 0, "the feed ended behind:\n{text}");
            text.push_str(std::str::from_utf8(&piece[..count]).unwrap());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        text
    }

    /// Reads a feed until it has said `last`; the whole text.
    pub(crate) fn until(&self, path: &str, last: &str) -> String {
        self.read(path, |text| text.contains(last))
    }
}

fn answer(mut curl: Command) -> Value {
    let output = curl.output().expect("curl is installed (`cargo xtask test` does it)");
    let printed = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{curl:?}: {printed}{errors}"))
}

/// One command by the command line; returns what it printed.
pub(crate) fn shell(frame: &Frame, role: &str, name: &str, words: &[&str]) -> String {
    let (server, identity) = (frame.quic().to_string(), frame.identity(role, name));
    let identity = identity.display().to_string();
    let start = ["client", "--server", &server, "--identity", &identity];
    frame.ends_with(0, &[&start, words].concat())
}

/// The data of the events `name` in a feed.
pub(crate) fn data(text: &str, name: &str) -> Vec<Value> {
    let named = format!("event: {name}\n");
    let events = text.split("\n\n").filter(|event| event.contains(&named));
    let data = events.filter_map(|event| event.split_once("data: "));
    data.map(|(_, json)| serde_json::from_str(json).unwrap()).collect()
}

/// The effects in a feed, each with its id: what tells of progress alone is none.
pub(crate) fn effects(text: &str) -> Vec<(String, Value)> {
    let events = text.split("\n\n").filter(|event| event.contains("event: "));
    let events = events.filter(|event| !event.contains("event: progress\n"));
    let field = |event: &str, name: &str| {
        event.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned()
    };
    let parsed = |event: &str| serde_json::from_str(&field(event, "data: ")).unwrap();
    events.map(|event| (field(event, "id: "), parsed(event))).collect()
}

/// Once progress between two effects was counted as one, so that the last was not waited for.
#[test]
fn progress_is_no_effect() {
    let progress = "id: 3\nevent: progress\ndata: {\"sequence\":3}\n\n";
    let effect = |n: u64| format!("id: {n}.0\nevent: TokensIssued\ndata: {{\"sequence\":{n}}}\n\n");
    let text = ["retry: 1000\n\n", progress, &effect(4), progress, &effect(5)].concat();
    let found = effects(&text);
    assert_eq!(found.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["4.0", "5.0"]);
    assert_eq!(found[1].1["sequence"], 5);
}

#[test]
fn everybody_follows_what_it_may_see_and_nothing_else() {
    let mut frame = Frame::new();
    frame.start();
    shell(&frame, "registry", "north", &["open", ALICE]);
    shell(&frame, "registry", "north", &["open", BOB]);
    shell(&frame, "mint", "royal", &["issue", ALICE, "1000"]);
    shell(&frame, "agent", ALICE, &["pay", ALICE, BOB, "12.5"]);
    shell(&frame, "mint", "royal", &["issue", BOB, "1"]);
    let paid = |text: &str| data(text, "TokensTransferred");
    let reader = Reader::new(&frame, "auditor", "reader");
    let all = reader.until("/v1/events?after=0", "\"1.000000\"");
    let issued = data(&all, "TokensIssued");
    assert_eq!((issued.len(), paid(&all).len()), (2, 1));
    assert_eq!(issued[0]["amount"], "1000.000000");
    assert_eq!(issued[0]["credit"]["after"], "1000.000000");
    let transfer = &paid(&all)[0];
    assert_eq!(transfer["debit"]["owner"], ALICE);
    assert!(transfer["debit"]["after"].is_string() && transfer["credit"]["after"].is_string());
    assert!(transfer["id"].is_string() && transfer["time"].as_u64() > Some(1_600_000_000_000));
    // An agent hears of its own account, and no balance of another.
    let alice = Reader::new(&frame, "agent", ALICE);
    let hers = alice.until("/v1/events?after=0", "TransactionFeeCollected");
    assert!(paid(&hers)[0]["debit"]["after"].is_string());
    assert_eq!(paid(&hers)[0]["credit"]["after"], Value::Null);
    assert_eq!(data(&hers, "TokensIssued").len(), 1);
    let bob = Reader::new(&frame, "agent", BOB);
    let his = bob.until("/v1/events?after=0", "\"1.000000\"");
    assert!(data(&his, "TransactionFeeCollected").is_empty(), "{his}");
    assert_eq!(paid(&his)[0]["debit"]["after"], Value::Null);
    // Filters, and a place within a sequence.
    let place = format!("{}.0", transfer["sequence"]);
    let path = format!("/v1/events?after={place}&event=TokensIssued,TokensTransferred&asset=1");
    let rest = reader.until(&path, "\"1.000000\"");
    assert_eq!((paid(&rest).len(), data(&rest, "TokensIssued").len()), (0, 1));
    let north = Reader::new(&frame, "registry", "north");
    let hosted = format!("/v1/events?after=0&account={ALICE}");
    assert_eq!(paid(&north.until(&hosted, "TransactionFeeCollected")).len(), 1);
    let not_found = (404, "not_found".to_owned());
    let invalid = (400, "query_invalid".to_owned());
    assert_eq!(alice.refused(&format!("/v1/events?account={BOB}")), not_found);
    assert_eq!(Reader::new(&frame, "registry", "south").refused(&hosted), not_found);
    assert_eq!(Reader::new(&frame, "mint", "royal").refused("/v1/events"), not_found);
    assert_eq!(north.refused("/v1/events"), invalid);
    for query in ["after=x", "after=999999999", "event=Nothing", "event=KeyUsed", "asset=a", "b=1"]
    {
        assert_eq!(reader.refused(&format!("/v1/events?{query}")), invalid, "{query}");
    }
    // A stop ends the feeds at once, and says so.
    let mut open = reader.command("/v1/events").stdout(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 6];
    open.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    frame.stop();
    let mut said = String::new();
    open.stdout.as_mut().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("event: end") && open.wait().unwrap().success(), "{said}");
    // A frame that serves none says so.
    frame.set("feeds.enabled=false");
    frame.start();
    let off = Reader::new(&frame, "auditor", "reader").refused("/v1/events");
    assert_eq!(off, (501, "feeds_off".to_owned()));
    frame.stop();
}
