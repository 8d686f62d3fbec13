//! A registry follows an owner as long as it is its host, whatever else it leaves out of its feed.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Stdio};

use crate::feeds::{ALICE, BOB, CAROL, Reader, data, shell};
use crate::frame::Frame;

/// A feed that is open.
struct Open {
    child: Child,
    out: BufReader<ChildStdout>,
    text: String,
}

impl Open {
    /// Follows from now on.
    fn new(reader: &Reader, path: &str) -> Self {
        let mut child = reader.command(path).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut open = Self { child, out, text: String::new() };
        open.until("event: progress");
        open
    }

    fn until(&mut self, last: &str) {
        while !self.text.contains(last) {
            let count = self.out.read_line(&mut self.text).unwrap();
            assert!(count > 0, "no {last} in:\n{}", self.text);
        }
    }

    /// Everything until the frame ends it.
    fn whole(mut self) -> String {
        self.out.read_to_string(&mut self.text).unwrap();
        assert!(self.child.wait().unwrap().success(), "{}", self.text);
        self.text
    }
}

/// The principal of an identity.
fn principal(frame: &Frame, role: &str, name: &str) -> String {
    let (server, identity) = (frame.quic().to_string(), frame.identity(role, name));
    let identity = identity.display().to_string();
    let asked = ["client", "--server", &server, "--identity", &identity, "me", "--json"];
    let told: serde_json::Value = serde_json::from_str(&frame.run(&asked).stdout).unwrap();
    told["principal"].as_str().unwrap().to_owned()
}

/// Once a feed that had been asked for payments only, or for one asset, went on for ever: the move
/// to another host is neither, and was what ended it.
#[test]
fn a_registry_hears_nothing_of_an_owner_that_has_moved() {
    let mut frame = Frame::new();
    frame.start();
    let south = principal(&frame, "registry", "south");
    shell(&frame, "registry", "north", &["open", ALICE]);
    shell(&frame, "registry", "north", &["open", BOB]);
    shell(&frame, "mint", "royal", &["issue", ALICE, "1000"]);
    let north = Reader::new(&frame, "registry", "north");
    let path = |more: &str| format!("/v1/events?account={ALICE}{more}");
    let filters = ["", "&event=TokensTransferred", "&asset=1"];
    let mut feeds = filters.map(|more| Open::new(&north, &path(more)));
    shell(&frame, "agent", ALICE, &["pay", ALICE, BOB, "1"]);
    feeds.iter_mut().for_each(|feed| feed.until("TokensTransferred"));
    shell(&frame, "admin", "chief", &["owner", "rehost", ALICE, "--host", &south]);
    shell(&frame, "agent", ALICE, &["pay", ALICE, BOB, "2"]);
    for (more, feed) in filters.into_iter().zip(feeds) {
        let text = feed.whole();
        assert_eq!(data(&text, "TokensTransferred").len(), 1, "{text}");
        assert_eq!(data(&text, "OwnerRehosted").len(), usize::from(more.is_empty()), "{text}");
        let end = data(&text, "end");
        assert_eq!((end.len(), &end[0]["title"]), (1, &"not_found".into()), "{text}");
        let refused = north.refused(&path(more));
        assert_eq!(refused, (404, "not_found".to_owned()), "{more}");
    }
    // The new host has the owner's whole past.
    let south = Reader::new(&frame, "registry", "south");
    let text = south.until(&path("&after=0"), "\"1.990000\"");
    assert_eq!(data(&text, "TokensTransferred").len(), 2);
    // An owner is hosted with or without an account in the native asset.
    shell(&frame, "admin", "chief", &["asset", "create", "1000", "GOLD", "--scale", "3"]);
    shell(&frame, "registry", "north", &["open", CAROL, "--asset", "1000"]);
    let path = format!("/v1/events?account={CAROL}");
    let _open = Open::new(&north, &path);
    assert_eq!(south.refused(&path), (404, "not_found".to_owned()));
    frame.stop();
}
