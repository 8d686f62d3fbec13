//! A real browser without a window, driven by its own protocol over a pipe: pages as people see
//! them, what they say on the console, and whom they ask.
//!
//! It knows no page. Invariant: no name resolves but the loopback address, so that a page which
//! asks another host meets an error, and every request is noted besides.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::frame::{PATIENCE, until};

/// Runs the browser with its protocol at the two named pipes, which are its descriptors 3 and 4.
const START: &str = "exec chromium \"$@\" 3<\"$PIPES/in\" 4>\"$PIPES/out\"";
const FLAGS: [&str; 14] = [
    "--headless=new",
    // The pages are ours, and root has no sandbox.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) is_dark: bool,
}

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    to: File,
    from: Receiver<Value>,
    /// Of the page; empty before there is one.
    session: String,
    next: u64,
    events: Vec<Value>,
    dir: TempDir,
}

impl Browser {
    /// Starts one with an empty page.
    pub(crate) fn start() -> Self {
        let probed = Command::new("chromium").arg("--version").output();
        assert!(
            probed.is_ok_and(|probed| probed.status.success()),
            "the test needs chromium: `cargo xtask test` finds or installs it"
        );
        let dir = tempfile::tempdir().unwrap();
        let pipes = [dir.path().join("in"), dir.path().join("out")];
        let made = Command::new("mkfifo").args(&pipes).status().unwrap();
        assert!(made.success());
        let log = File::create(dir.path().join("log")).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", START, "chromium"]).args(FLAGS).env("PIPES", dir.path());
        command.arg(format!("--user-data-dir={}", dir.path().join("profile").display()));
        command.arg("about:blank").env("HOME", dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().unwrap();
        // In the order in which the shell opens them.
        let to = File::options().write(true).open(&pipes[0]).unwrap();
        let out = File::open(&pipes[1]).unwrap();
        let (tell, from) = channel();
        std::thread::spawn(move || {
            let messages = BufReader::new(out).split(0).map_while(Result::ok);
            for message in messages {
                // Nobody listens any more.
                if tell.send(serde_json::from_slice(&message).unwrap()).is_err() {
                    return;
                }
            }
        });
        let (session, next, events) = (String::new(), 1, Vec::new());
        let mut browser = Self { child, to, from, session, next, events, dir };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let wish = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", wish);
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Says one thing and hears its answer; what else is said meanwhile is noted.
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        let id = self.next;
        self.next += 1;
        let mut message = json!({"id": id, "method": method, "params": parameters});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = serde_json::to_vec(&message).unwrap();
        bytes.push(0);
        self.to.write_all(&bytes).unwrap();
        loop {
            let heard = self.from.recv_timeout(PATIENCE).unwrap_or_else(|error| {
                let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
                panic!("{method}: the browser says nothing: {error}\n{log}")
            });
            if heard["id"] == id {
                assert!(heard.get("error").is_none(), "{method}: {}", heard["error"]);
                return heard["result"].clone();
            }
            self.events.push(heard);
        }
    }

    /// Looks at pages so from now on.
    pub(crate) fn view(&mut self, view: View) {
        let View { width, height, is_dark } = view;
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1,
                          "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", size);
        let scheme = if is_dark { "dark" } else { "light" };
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        self.call("Emulation.setEmulatedMedia", json!({"features": [feature]}));
    }

    /// Goes to an address and waits until the page is loaded.
    pub(crate) fn open(&mut self, url: &str) {
        let gone = self.call("Page.navigate", json!({"url": url}));
        assert!(gone.get("errorText").is_none(), "{url}: {gone}");
        self.until(url, "document.readyState === 'complete'");
    }

    /// The value of an expression on the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let wish = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let said = self.call("Runtime.evaluate", wish);
        assert!(said.get("exceptionDetails").is_none(), "{expression}: {said}");
        said["result"]["value"].clone()
    }

    /// The text of the first element that `selector` names, without white space around it.
    pub(crate) fn text(&mut self, selector: &str) -> String {
        let value =
            self.value(&format!("document.querySelector({selector:?})?.textContent?.trim()"));
        value.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an expression on the page is true.
    pub(crate) fn until(&mut self, what: &str, expression: &str) {
        until(&format!("{what}: {expression}"), || self.value(expression) == true);
    }

    /// The page as it stands there, as PNG.
    pub(crate) fn screenshot(&mut self) -> Vec<u8> {
        let wish = json!({"format": "png", "captureBeyondViewport": false});
        let shot = self.call("Page.captureScreenshot", wish);
        let coded = self.dir.path().join("shot");
        std::fs::write(&coded, shot["data"].as_str().unwrap()).unwrap();
        let decoded = Command::new("base64").arg("-d").arg(&coded).output().unwrap();
        assert!(decoded.status.success());
        assert!(decoded.stdout.starts_with(b"\x89PNG"), "a picture");
        decoded.stdout
    }

    /// Takes a picture for the book, and puts it there when the test is run with
    /// `BEZANT_TEST_BLESS`.
    pub(crate) fn picture(&mut self, name: &str) {
        let png = self.screenshot();
        if std::env::var_os("BEZANT_TEST_BLESS").is_some() {
            let figures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/figures");
            std::fs::write(figures.join(name), png).unwrap();
        }
    }

    /// Whom it has asked for anything, up to now.
    pub(crate) fn asked(&mut self) -> Vec<String> {
        self.value("1");
        let requests = self.events.iter().filter(|it| it["method"] == "Network.requestWillBeSent");
        let urls = requests.map(|it| it["params"]["request"]["url"].as_str().unwrap().to_owned());
        urls.collect()
    }

    /// Errors and warnings on the console, exceptions, and what the browser itself complained of.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        self.value("1");
        let is_one = |event: &&Value| {
            let parameters = &event["params"];
            let level = match event["method"].as_str().unwrap_or_default() {
                "Runtime.exceptionThrown" => return true,
                "Runtime.consoleAPICalled" => &parameters["type"],
                "Log.entryAdded" => &parameters["entry"]["level"],
                _ => return false,
            };
            ["error", "warning", "assert"].iter().any(|one| level == one)
        };
        self.events.iter().filter(is_one).map(|event| event["params"].to_string()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its processes end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a page must be for everybody: a language, a title, one first heading, tables with captions
/// and headings, names for what can be focused, and no need to scroll sideways.
pub(crate) const ACCESSIBLE: &str = "(() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const wrong = [];
  const want = (holds, what) => { if (!holds) wrong.push(what); };
  want(document.documentElement.lang === 'en', 'language');
  want(document.title !== '', 'title');
  want(all('h1').length === 1, 'one h1');
  want(all('[role=status]').length === 1, 'one status');
  for (const table of all('table').filter((one) => !one.closest('[role=img]'))) {
    want(table.caption?.textContent, 'caption of a table');
    want([...table.querySelectorAll('th')].every((th) => th.scope), 'scope of a heading');
  }
  for (const one of all('[tabindex], input, button, select')) {
    const name = one.getAttribute('aria-label') ?? one.getAttribute('aria-labelledby')
      ?? (one.labels?.length ? 'label' : one.textContent.trim());
    want(name, 'name of ' + one.outerHTML);
  }
  want(all('canvas, svg').every((one) => one.closest('[role=img][aria-label]')), 'picture');
  want(document.documentElement.scrollWidth <= window.innerWidth, 'width');
  return wrong;
})()";

/// The least contrast of any text on the page with what is behind it, and that text.
pub(crate) const CONTRAST: &str = "(() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const [r, g, b] = channels(color).map((c) => c / 255)
      .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const color = getComputedStyle(one).backgroundColor;
      if ((channels(color)[3] ?? 1) > 0) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  let least = [21, ''];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility()) continue;
    const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < least[0]) least = [contrast, texts.currentNode.data];
  }
  return least;
})()";
