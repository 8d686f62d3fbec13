//! The operator's console in a real browser, from a real frame. The browser has no certificate of
//! the frame's: a tunnel presents one, byte for byte between the two.

use std::net::SocketAddr;

use loadgen::{Driver, Load};
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::books;
use crate::browser::{ACCESSIBLE, Browser, CONTRAST};
use crate::feeds::{ALICE, BOB, shell};
use crate::frame::{Frame, page, until};
use crate::https_client::connector;
use crate::public_page::{CONTRAST_MIN, DESK, NIGHT, PHONE};

/// A way to the HTTPS door for whoever speaks plain HTTP, with the identity `name`; it ends with
/// its runtime.
fn tunnel(frame: &Frame, role: &str, name: &str) -> (Runtime, SocketAddr) {
    let connector = connector(frame, role, name);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move {
        loop {
            let (mut here, _) = listener.accept().await.unwrap();
            let connector = connector.clone();
            tokio::spawn(async move {
                let mut there = connector.connect().await.unwrap();
                // Either side may end it.
                let _ = copy_bidirectional(&mut here, &mut there).await;
            });
        }
    });
    (runtime, address)
}

/// A frame that has paid, refused and settled.
fn busy() -> Frame {
    let mut frame = Frame::with(&[], &["snapshot.interval_s=1"]);
    frame.start();
    books::run(async {
        let load = Load { commands_max: 2_000, ..books::SMALL };
        let mut driver = Driver::prepare(&frame.target(), load).await.unwrap();
        driver.drive(&frame.target()).await.unwrap();
    });
    shell(&frame, "registry", "north", &["open", ALICE]);
    shell(&frame, "registry", "north", &["open", BOB]);
    shell(&frame, "mint", "royal", &["issue", ALICE, "1000"]);
    frame.wait_settled();
    frame
}

/// The id of a command of Alice's.
fn command(frame: &Frame, words: &[&str]) -> String {
    let said = shell(frame, "agent", ALICE, &[&["--json"], words].concat());
    let said: Value = serde_json::from_str(&said).unwrap();
    said["id"].as_str().unwrap_or_else(|| panic!("{said}")).to_owned()
}

fn search(browser: &mut Browser, id: &str, owner: &str) {
    browser.value(&format!(
        "(() => {{ document.querySelector('#id').value = {id:?}; \
         document.querySelector('#owner').value = {owner:?}; \
         document.querySelector('#search button').click(); }})()"
    ));
}

fn shows(browser: &mut Browser, part: &str, text: &str) {
    let whole =
        format!("document.querySelector({part:?})?.textContent.includes({text:?}) === true");
    browser.until(part, &whole);
}

/// The largest account, the hold that ends first, and whose certificates hold until when.
fn overviews(frame: &Frame, browser: &mut Browser) {
    // It has more than all others from now on; a later walk finds it.
    shell(frame, "mint", "royal", &["issue", ALICE, "1000000000"]);
    let hold = command(frame, &["hold", "place", ALICE, BOB, "3.5", "--timeout-ms", "36000000"]);
    shows(browser, "#largest tbody tr th", ALICE);
    browser.until(
        "held",
        "document.querySelectorAll('#largest tbody td')[4]?.textContent === '3.500000'",
    );
    shows(browser, "#largest-of", "a walk over all of them");
    shows(browser, "#expiring tbody tr th", &hold);
    shows(browser, "#expiring tbody tr", "in 10.0 h");
    shows(browser, "#expiring-of", "1 open in all");
    for (end, role) in
        [("/auditor/eyes", "auditor"), ("/frame/engine", "this frame"), ("", "authority")]
    {
        let row = format!(
            "[...document.querySelectorAll('#certificates tbody tr')].some((row) => \
             row.cells[0].textContent.endsWith({end:?}) && row.cells[1].textContent === {role:?} \
             && row.cells[3].textContent.startsWith('in '))"
        );
        browser.until(role, &row);
    }
}

/// What a command did, found by its id and by its sequence; of one that did nothing as well.
fn stories(frame: &Frame, browser: &mut Browser) {
    let paid = command(frame, &["pay", ALICE, BOB, "12.5"]);
    search(browser, &paid, ALICE);
    for text in
        ["Its record", &paid, "TokensTransferred", "TransactionFeeCollected", BOB, "12.437500"]
    {
        shows(browser, "#found", text);
    }
    shows(browser, "#found-text", "Found: 1.");
    let whole = browser.text("#found");
    let sequence = "[...document.querySelectorAll('#found tr')].find((row) => \
                    row.cells[0].textContent === 'Sequence').cells[1].textContent";
    let sequence = browser.value(sequence);
    search(browser, sequence.as_str().unwrap(), "");
    shows(browser, "#found-text", "Found: 1.");
    let told = browser.text("#found");
    assert!(whole.ends_with(&told) && told.contains(&paid), "{told}: {whole}");
    search(browser, "999999999", "");
    shows(browser, "#found", "What it did cannot be told");
    shows(browser, "#found-text", "Nothing is found");
}

#[test]
fn the_console_lives_in_a_browser() {
    let mut frame = busy();
    let (runtime, address) = tunnel(&frame, "auditor", "eyes");
    let origin = format!("http://{address}");
    let mut browser = Browser::start();
    browser.view(DESK);
    browser.open(&format!("{origin}/console/"));
    browser.until("it is ready", "document.querySelector('#verdict').dataset.status === 'ok'");
    assert!(browser.text("#who").ends_with("/auditor/eyes, with the role auditor."));
    // Each part has something to say, and says what the figures say.
    for part in ["checks", "identity", "supply", "doors", "stages", "tables", "settled", "kept"] {
        let rows = format!("document.querySelectorAll('#{part} tbody tr').length > 0");
        browser.until(part, &rows);
    }
    until("the supply is that of the figures", || {
        let issued = frame.figure("bezant_supply_issued{asset=\"1\"}").to_string();
        browser.text("#supply tbody td") == issued
    });
    let set = "[...document.querySelectorAll('#set tr')].map((row) => row.innerText).join('\\n')";
    let set = browser.value(set);
    assert!(set.as_str().unwrap().contains("ring.requests\t256\tflag\t"), "{set}");
    // It follows without being loaded anew.
    let before = browser.text("#supply tbody td");
    shell(&frame, "mint", "royal", &["issue", ALICE, "7"]);
    let moved = format!("document.querySelector('#supply tbody td').textContent !== '{before}'");
    browser.until("the issue is seen", &moved);
    browser.until("charts are drawn", "document.querySelectorAll('canvas').length === 3");
    overviews(&frame, &mut browser);
    stories(&frame, &mut browser);
    search(&mut browser, ALICE, "");
    browser.until("an account is found", "document.querySelector('#found caption') !== null");
    let said = shell(&frame, "agent", ALICE, &["--json", "balance", ALICE]);
    let said: Value = serde_json::from_str(&said).unwrap();
    let found = browser.text("#found");
    assert!(found.contains(said["liquid"].as_str().unwrap()), "{found}: {said}");
    for (view, name) in
        [(DESK, "console-light.png"), (NIGHT, "console-dark.png"), (PHONE, "console-phone.png")]
    {
        browser.view(view);
        assert_eq!(browser.value(ACCESSIBLE), json!([]), "{name}");
        let contrast = browser.value(CONTRAST);
        assert!(contrast[0].as_f64().unwrap() >= CONTRAST_MIN, "{name}: {contrast}");
        browser.picture(name);
    }
    browser.view(DESK);
    browser.value("document.querySelector('#accounts').scrollIntoView()");
    browser.picture("console-accounts.png");
    let complaints = browser.complaints();
    // What is searched for may be no account or no command, and lie ahead; a walk takes its time.
    let is_answer = |said: &String| {
        let told = [("/v1/accounts/", "404"), ("/v1/holds/", "404"), ("/v1/commands/", "404")];
        let later = [("/v1/events?after=999999998", "400"), ("/v1/largest", "503")];
        let mut known = told.into_iter().chain(later);
        known.any(|(path, status)| said.contains(path) && said.contains(status))
    };
    assert!(complaints.iter().all(is_answer), "{complaints:?}");
    let asked = browser.asked();
    assert!(asked.iter().all(|url| url.starts_with(&format!("{origin}/"))), "{asked:?}");
    drop(runtime);
    browser.until("it does not know", "document.title.startsWith('UNKNOWN')");
    frame.stop();
}

#[test]
fn an_agent_finds_no_console() {
    let mut frame = Frame::new();
    frame.start();
    let (_runtime, address) = tunnel(&frame, "agent", ALICE);
    let (status, _, body) = page(address, "/console/", "*/*");
    assert_eq!((status, body.contains("route_not_found")), (404, true), "{body}");
    frame.stop();
}
