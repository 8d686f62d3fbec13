//! The public supply page as everybody meets it: over HTTP without a certificate, and in a real
//! browser, from a real frame.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::browser::{ACCESSIBLE, Browser, CONTRAST, View};
use crate::feeds::{ALICE, BOB, shell};
use crate::frame::{Frame, PATIENCE, page, until};

/// The least contrast that WCAG 2.1 AA asks of text.
pub(crate) const CONTRAST_MIN: f64 = 4.5;
pub(crate) const DESK: View = View { width: 900, height: 1_100, is_dark: false };
pub(crate) const NIGHT: View = View { is_dark: true, ..DESK };
pub(crate) const PHONE: View = View { width: 390, height: 1_000, is_dark: false };

fn frame() -> Frame {
    let mut frame = Frame::with(&[], &["listen.public=127.0.0.1:0"]);
    frame.start();
    until("the engine was asked", || page(frame.public(), "/supply.json", "*/*").0 == 200);
    shell(&frame, "registry", "north", &["open", ALICE]);
    shell(&frame, "registry", "north", &["open", BOB]);
    frame
}

fn told(frame: &Frame) -> Value {
    serde_json::from_str(&page(frame.public(), "/supply.json", "*/*").2).unwrap()
}

/// Talks as no browser does; returns all that is answered until the door ends the connection.
fn raw(address: SocketAddr, said: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(said).unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    String::from_utf8_lossy(&heard).into_owned()
}

#[test]
fn everybody_may_read_the_books_and_nobody_more() {
    let mut frame = frame();
    shell(&frame, "mint", "royal", &["issue", ALICE, "1000"]);
    until("what was issued is told", || told(&frame)["assets"][0]["issued"] == "1000.000000");
    let books = told(&frame);
    assert_eq!(books["status"], "OK");
    assert_eq!(books["run_digest"].as_str().unwrap().len(), 32);
    // The same as who has a certificate is told.
    let said = shell(&frame, "auditor", "eyes", &["--json", "supply"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    for term in ["issued", "destroyed", "held", "staked", "bonded", "delta"] {
        assert_eq!(books["assets"][0][term], said[term], "{term}: {said}");
    }
    let (status, _, heads) = page(frame.public(), "/heads.json", "*/*");
    let heads: Value = serde_json::from_str(&heads).unwrap();
    assert_eq!((status, &heads["heads"][0]["sequence"]), (200, &books["kept"]));
    for path in ["/metrics", "/readyz", "/v1/supply/1", "/../etc/passwd", "/supply.json/"] {
        assert_eq!(page(frame.public(), path, "*/*").0, 404, "{path}");
    }
    let close = "Host: frame\r\nConnection: close\r\n\r\n";
    let posted = raw(frame.public(), format!("POST / HTTP/1.1\r\n{close}").as_bytes());
    assert!(posted.starts_with("HTTP/1.1 405 ") && posted.contains("allow: GET, HEAD"), "{posted}");
    let head = raw(frame.public(), format!("HEAD /supply.json HTTP/1.1\r\n{close}").as_bytes());
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(head.contains("content-security-policy: default-src 'none'; script-src 'self';"));
    frame.stop();
}

#[test]
fn slow_and_long_heads_end() {
    let mut frame = frame();
    let long = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(64 << 10));
    let answer = raw(frame.public(), long.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    // Never a whole head: the door ends the connection by itself.
    let answer = raw(frame.public(), b"GET / HTTP/1.1\r\nHost: fra");
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    frame.stop();
}

#[test]
fn no_address_no_page_and_a_taken_one_is_refused() {
    let mut frame = Frame::new();
    frame.start();
    assert!(frame.take().public.is_none());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    frame.set(&format!("listen.public={}", taken.local_addr().unwrap()));
    let (code, log) = frame.refuses_to_start();
    assert_eq!(code, 74, "{log}");
    assert!(log.contains("listen.public"), "{log}");
}

/// The public door as somebody on the way shows it, who can write more into the holds of the
/// books and leave the verdict as it is.
struct Forger {
    address: SocketAddr,
    is_forging: Arc<AtomicBool>,
}

impl Forger {
    fn before(door: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let is_forging = Arc::new(AtomicBool::new(false));
        let forging = Arc::clone(&is_forging);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, forging) = (stream.unwrap(), Arc::clone(&forging));
                std::thread::spawn(move || pass_on(stream, door, &forging));
            }
        });
        Self { address, is_forging }
    }
}

/// Passes one request on.
fn pass_on(mut stream: TcpStream, door: SocketAddr, is_forging: &AtomicBool) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.extend_from_slice(&byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1)?;
    // A door that is gone ends the connection.
    drop(TcpStream::connect(door).ok()?);
    let (_, head, mut body) = page(door, path, "*/*");
    if is_forging.load(Ordering::Relaxed) {
        body = body.replace("\"held\":\"", "\"held\":\"1");
    }
    let kept = |line: &&str| !["content-length", "etag"].iter().any(|name| line.starts_with(name));
    let head: Vec<&str> = head.lines().filter(kept).collect();
    let head = head.join("\r\n").replace("http/1.1", "HTTP/1.1");
    let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).ok()
}

/// The amounts on the page are those of the books.
fn shows(browser: &mut Browser, books: &Value) {
    for row in books["assets"].as_array().unwrap() {
        let asset = &row["asset"];
        for term in ["issued", "destroyed", "net_supply", "liquid", "held", "staked", "bonded"]
            .into_iter()
            .chain(["circulating", "delta", "credit_granted", "credit_used"])
        {
            let cell = format!("section[data-asset='{asset}'] td[data-term='{term}']");
            let shown: String = browser.text(&cell).split_whitespace().collect();
            assert_eq!(shown, row[term].as_str().unwrap(), "{term} of asset {asset}");
        }
    }
}

#[test]
fn before_anything_was_executed_the_page_says_so() {
    let mut frame = Frame::with(&[], &["listen.public=127.0.0.1:0"]);
    frame.start();
    until("the engine was asked", || page(frame.public(), "/supply.json", "*/*").0 == 200);
    let mut browser = Browser::start();
    browser.open(&format!("http://{}/", frame.public()));
    browser.until("it says OK", "document.querySelector('#verdict').dataset.status === 'ok'");
    let checked = browser.text("#checked");
    assert!(checked.ends_with("; nothing executed yet."), "{checked}");
    let caption = "document.querySelector('#heads caption').textContent";
    browser.until("no head", &format!("{caption}.startsWith('None: nothing executed yet.')"));
    assert_eq!(browser.value("document.querySelectorAll('#heads tbody tr').length"), 0);
    frame.stop();
}

/// Whether no amount is broken in its last group, which holds what is behind the point.
const UNBROKEN: &str = "[...document.querySelectorAll('.amount')].every((cell) => {
  const [text, end] = [cell.firstChild, document.createRange()];
  end.setStart(text, text.data.lastIndexOf('\\u2009') + 1);
  end.setEnd(text, text.length);
  return end.getClientRects().length === 1;
}) && document.documentElement.scrollWidth <= window.innerWidth";

#[test]
fn the_page_lives_in_a_browser_and_shows_a_breach() {
    let mut frame = frame();
    shell(&frame, "mint", "royal", &["issue", ALICE, "1234567"]);
    shell(&frame, "agent", ALICE, &["pay", ALICE, BOB, "12.5"]);
    until("it is told", || told(&frame)["assets"][0]["issued"] == "1234567.000000");
    let forger = Forger::before(frame.public());
    let origin = format!("http://{}", forger.address);
    let mut browser = Browser::start();
    browser.view(DESK);
    browser.open(&format!("{origin}/"));
    browser.until("it says OK", "document.querySelector('#verdict').dataset.status === 'ok'");
    shows(&mut browser, &told(&frame));
    browser.until("heads", "document.querySelectorAll('#heads tbody tr').length > 0");
    // It follows without being loaded anew.
    shell(&frame, "mint", "royal", &["issue", ALICE, "10000000"]);
    browser.until(
        "the issue is seen",
        "document.querySelector('[data-term=issued]').textContent.replace(/\\s/g, '') \
         === '11234567.000000'",
    );
    shows(&mut browser, &told(&frame));
    for (view, name) in
        [(DESK, "supply-light.png"), (NIGHT, "supply-dark.png"), (PHONE, "supply-phone.png")]
    {
        browser.view(view);
        assert_eq!(browser.value(ACCESSIBLE), serde_json::json!([]), "{name}");
        let contrast = browser.value(CONTRAST);
        assert!(contrast[0].as_f64().unwrap() >= CONTRAST_MIN, "{name}: {contrast}");
        browser.picture(name);
    }
    browser.view(PHONE);
    shell(&frame, "mint", "royal", &["issue", ALICE, "9876543210987654"]);
    let issued = "document.querySelector('[data-term=issued]').textContent.replace(/\\s/g, '') \
                  === '9876543222222221.000000'";
    browser.until("very much is seen", issued);
    assert_eq!(browser.value(UNBROKEN), true, "a narrow page");
    // A unit too many in one term: the page finds it by itself, whatever it is told.
    browser.view(DESK);
    forger.is_forging.store(true, Ordering::Relaxed);
    browser.until("it says BREACH", "document.title.startsWith('BREACH')");
    let verdict = browser.text("#verdict");
    assert!(verdict.starts_with("BREACH: the terms of"), "{verdict}");
    assert_eq!(browser.text("section[data-asset='1'] .state"), "BREACH");
    browser.picture("supply-breach.png");
    forger.is_forging.store(false, Ordering::Relaxed);
    browser.until("it says OK again", "document.title.startsWith('OK')");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    let asked = browser.asked();
    assert!(asked.len() > 5, "{asked:?}");
    assert!(asked.iter().all(|url| url.starts_with(&format!("{origin}/"))), "{asked:?}");
    // Without news it says that it does not know.
    frame.stop();
    browser.until("it does not know", "document.title.startsWith('UNKNOWN')");
}
