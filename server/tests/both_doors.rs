//! What `bezant client` prints is what the HTTPS door answers: the same names, the same values.

use serde_json::{Value, json};

use crate::feeds::{ALICE, BOB, Reader, effects};
use crate::frame::Frame;

/// One identity that speaks through both doors.
struct Speaker<'a> {
    frame: &'a Frame,
    reader: Reader,
}

impl<'a> Speaker<'a> {
    fn new(frame: &'a Frame, role: &str, name: &str) -> Self {
        Self { frame, reader: Reader::new(frame, role, name) }
    }

    /// What the shell prints, whether it is refused or not.
    fn shell(&self, arguments: &[&str]) -> Value {
        let server = self.frame.quic().to_string();
        let identity = self.reader.identity.display().to_string();
        let start = ["client", "--json", "--server", &server, "--identity", &identity];
        let finished = self.frame.run(&[&start, arguments].concat());
        let printed = serde_json::from_str(&finished.stdout);
        printed.unwrap_or_else(|_| panic!("{arguments:?}: {}{}", finished.stdout, finished.stderr))
    }

    /// What the HTTPS door answers, whether it is refused or not.
    fn https(&self, path: &str, body: Option<&Value>) -> Value {
        body.map_or_else(|| self.reader.get(path), |body| self.reader.post(path, body))
    }
}

/// Without the executed sequence, which HTTPS tells in a header.
fn timeless(mut said: Value) -> Value {
    said.as_object_mut().unwrap().remove("sequence");
    said
}

/// A frame with two funded accounts of the registry north, and a hold; returns its id.
fn town() -> (Frame, String) {
    let mut frame = Frame::new();
    frame.start();
    let north = Speaker::new(&frame, "registry", "north");
    for owner in [ALICE, BOB] {
        north.shell(&["open", owner]);
    }
    Speaker::new(&frame, "mint", "royal").shell(&["issue", ALICE, "1000"]);
    let hold = north.shell(&["hold", ALICE, BOB, "10"]);
    let hold = hold["hold"].as_str().unwrap().to_owned();
    (frame, hold)
}

#[test]
fn reads_tell_the_same_through_both_doors() {
    let (mut frame, hold) = town();
    let north = Speaker::new(&frame, "registry", "north");
    for (arguments, path) in [
        (&["balance", ALICE][..], format!("/v1/accounts/{ALICE}/1")),
        (&["account", "list"], "/v1/accounts".to_owned()),
        (&["account", "list", "--limit", "1"], "/v1/accounts?limit=1".to_owned()),
        (&["hold", "show", ALICE, &hold], format!("/v1/holds/{ALICE}/1/{hold}")),
        (&["asset", "show", "1"], "/v1/assets/1".to_owned()),
        (&["parameters", "list"], "/v1/parameters".to_owned()),
        (&["parameters", "show", "fee.base"], "/v1/parameters/fee.base".to_owned()),
    ] {
        assert_eq!(north.shell(arguments), north.https(&path, None), "{path}");
    }
    let quote = json!({"debit": ALICE, "credit": BOB, "amount": "12.5"});
    let quoted = north.https("/v1/transfers/quote", Some(&quote));
    assert_eq!(north.shell(&["quote", ALICE, BOB, "12.5"]), quoted);

    let reader = Speaker::new(&frame, "auditor", "reader");
    for (arguments, path) in [
        (&["supply"][..], "/v1/supply/1"),
        (&["recount"], "/v1/supply/1/recount"),
        (&["supply-audit"], "/api/v1/projections/supply-audit"),
    ] {
        let (shell, https) = (reader.shell(arguments), reader.https(path, None));
        assert_eq!(timeless(shell), timeless(https), "{path}");
    }
    let (shell, https) = (reader.shell(&["me"]), reader.https("/v1/me", None));
    for fact in ["/spiffe_id", "/principal", "/role", "/frame/id", "/frame/epoch"] {
        assert!(shell.pointer(fact).is_some(), "{fact}: {shell}");
        assert_eq!(shell.pointer(fact), https.pointer(fact), "{fact}");
    }
    frame.stop();
}

/// The id of a payment belongs to its debtor, not to a door: what one has executed, the other
/// repeats.
#[test]
fn a_write_through_one_door_is_repeated_through_the_other() {
    let (mut frame, _) = town();
    let north = Speaker::new(&frame, "registry", "north");
    let id = client::system_ids().next_id().to_string();
    let paid = north.shell(&["pay", ALICE, BOB, "5", "--memo", "rent", "--id", &id]);
    let body = json!({"id": id, "debit": ALICE, "credit": BOB, "amount": "5", "memo": "rent"});
    assert_eq!(north.https("/v1/transfers", Some(&body)), paid);
    let known = north.https(&format!("/v1/transfers/{id}?debit={ALICE}"), None);
    assert_eq!(north.shell(&["outcome", ALICE, &id]), known);

    let id = client::system_ids().next_id().to_string();
    let body = json!({"id": id, "debit": ALICE, "credit": BOB, "amount": "5000"});
    let problem = north.https("/v1/transfers", Some(&body));
    let refused = north.shell(&["pay", ALICE, BOB, "5000", "--id", &id]);
    assert_eq!(refused["name"], problem["title"]);
    for name in ["id", "sequence", "number", "cure", "remembered", "retry"] {
        assert_eq!(refused[name], problem[name], "{name}");
    }
    frame.stop();
    frame.is_sound();
}

/// What follows the history hears the same through both, in the same order.
#[test]
fn the_history_is_followed_through_both_doors() {
    let (mut frame, _) = town();
    let north = Speaker::new(&frame, "registry", "north");
    let paid = north.shell(&["pay", ALICE, BOB, "5", "--user-data", "7"]);
    let (last, reader) = (paid["sequence"].to_string(), Speaker::new(&frame, "auditor", "reader"));
    let server = frame.quic().to_string();
    for (speaker, more) in [(&reader, &[][..]), (&north, &["--account", ALICE])] {
        let identity = speaker.reader.identity.display().to_string();
        let start = ["client", "--json", "--server", &server, "--identity", &identity];
        let follow = ["follow", "--after", "0", "--until", &last];
        let told = frame.ends_with(0, &[&start[..], &follow, more].concat());
        let mut lines: Vec<Value> =
            told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.pop().unwrap(), json!({ "place": last }));
        let account = more.last().map_or(String::new(), |owner| format!("&account={owner}"));
        let is_enough = |text: &str| effects(text).len() >= lines.len();
        let text = speaker.reader.read(&format!("/v1/events?after=0{account}"), is_enough);
        let expected: Vec<Value> = effects(&text)
            .into_iter()
            .map(|(place, mut data)| {
                data["place"] = place.into();
                data
            })
            .collect();
        assert!(lines.len() >= 5, "{lines:?}");
        assert_eq!(lines, expected[..lines.len()]);
    }
    frame.stop();
}
