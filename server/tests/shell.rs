//! Everything that `bezant client` can say to a frame, with its exit codes and its JSON.

use serde_json::{Value, json};

use crate::frame::Frame;

const ALICE: &str = "01900000-0000-7000-8000-00000000000a";
const BOB: &str = "01900000-0000-7000-8000-00000000000b";

/// What one invocation printed.
struct Answer {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Answer {
    fn json(&self) -> Value {
        let read = serde_json::from_str(&self.stdout);
        read.unwrap_or_else(|_| panic!("{}{}", self.stdout, self.stderr))
    }

    fn lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A running frame whose people have identities; alice and bob are agents with accounts.
struct Town(Frame);

impl Town {
    fn new() -> Self {
        let mut frame = Frame::new();
        frame.start();
        for (role, name) in [
            ("agent", ALICE),
            ("agent", BOB),
            ("registry", "north"),
            ("mint", "royal"),
            ("admin", "chief"),
            ("auditor", "reader"),
        ] {
            frame.identity(role, name);
        }
        let town = Self(frame);
        for agent in [ALICE, BOB] {
            town.ok(agent, &["open", agent]);
        }
        town.ok("royal", &["issue", ALICE, "1000"]);
        town
    }

    fn say(&self, name: &str, arguments: &[&str]) -> Answer {
        let server = self.0.quic().to_string();
        let identity = self.0.home.identity(name).display().to_string();
        let mut all = vec!["client", "--server", &server, "--identity", &identity];
        all.extend_from_slice(arguments);
        let finished = self.0.run(&all);
        let code = finished.status.code().unwrap();
        Answer { code, stdout: finished.stdout, stderr: finished.stderr }
    }

    fn says_json(&self, name: &str, arguments: &[&str]) -> Answer {
        self.say(name, &[arguments, &["--json"]].concat())
    }

    /// It must succeed.
    fn ok(&self, name: &str, arguments: &[&str]) -> Value {
        let answer = self.says_json(name, arguments);
        assert_eq!(answer.code, 0, "{arguments:?}: {}{}", answer.stdout, answer.stderr);
        answer.json()
    }

    /// A write must succeed; returns its id.
    fn done(&self, name: &str, arguments: &[&str]) -> String {
        let said = self.ok(name, arguments);
        assert_eq!(said["status"], "ok", "{arguments:?}: {said}");
        assert!(said["sequence"].is_u64() && said["rate"].is_u64(), "{said}");
        said["id"].as_str().unwrap().to_owned()
    }

    /// The frame must refuse it, in JSON and in words.
    fn refused(&self, name: &str, arguments: &[&str], refusal: &str) -> Value {
        let answer = self.says_json(name, arguments);
        assert_eq!(answer.code, 1, "{arguments:?}: {}{}", answer.stdout, answer.stderr);
        let said = answer.json();
        assert_eq!((&said["status"], &said["name"]), (&json!(refusal), &json!(refusal)), "{said}");
        assert!(said["number"].is_u64() && said["remembered"].is_boolean(), "{said}");
        assert!(["no", "same_id", "new_id"].contains(&said["retry"].as_str().unwrap()));
        let cure = said["cure"].as_str().unwrap();
        assert!(answer.stderr.contains(cure) && answer.stderr.contains(refusal));
        said
    }

    fn liquid(&self, owner: &str) -> String {
        let account = self.ok("reader", &["account", "show", owner]);
        account["liquid"].as_str().unwrap().to_owned()
    }

    /// The number by which hosts and principals are named.
    fn principal(&self, name: &str) -> String {
        self.ok(name, &["me"])["principal"].as_str().unwrap().to_owned()
    }

    fn close(mut self) {
        self.0.stop();
        self.0.is_sound();
    }
}

/// An id of this moment.
fn fresh_id() -> String {
    client::system_ids().next_id().to_string()
}

#[test]
fn accounts_are_opened_listed_frozen_limited_and_closed() {
    let town = Town::new();
    let carol = "01900000-0000-7000-8000-00000000000c";
    let dave = "did:theprotocol:01900000-0000-7000-8000-00000000000d";
    town.done("north", &["account", "open", carol]);
    town.done("north", &["account", "open", dave]);
    town.done("royal", &["issue", carol, "50"]);

    let listed = town.ok("north", &["account", "list"]);
    let rows = listed["accounts"].as_array().unwrap();
    assert_eq!((rows.len(), &listed["next"]), (2, &Value::Null));
    assert_eq!((&rows[0]["owner"], &rows[0]["liquid"]), (&json!(carol), &json!("50.000000")));
    let first = town.ok("north", &["account", "list", "--limit", "1"]);
    let next = first["next"].to_string();
    let second = town.ok("north", &["account", "list", "--limit", "1", "--cursor", &next]);
    assert_eq!(second["accounts"][0], rows[1]);
    let own = town.ok("reader", &["account", "list", "--host", "frame", "--asset", "1"]);
    let own: Vec<_> = own["accounts"].as_array().unwrap().iter().collect();
    assert!([ALICE, BOB, "treasury:0"].iter().all(|name| own.iter().any(|a| a["owner"] == *name)));
    assert_eq!(town.says_json("reader", &["account", "list"]).code, 2);
    town.refused(ALICE, &["account", "list", "--host", "frame"], "not_found");

    town.done("north", &["account", "freeze", carol, "--code", "3", "--reason", "court"]);
    town.refused("north", &["pay", carol, ALICE, "1"], "debtor_frozen");
    assert_eq!(town.ok("north", &["account", "show", carol])["frozen"], true);
    town.done("north", &["account", "unfreeze", carol]);
    let limits = ["account", "limits", carol, "--minimum", "49.5", "--credit-limit", "0"];
    town.done("chief", &limits);
    assert_eq!(town.ok("north", &["balance", carol])["minimum"], "49.500000");
    town.refused("north", &["pay", carol, ALICE, "1"], "insufficient_funds");
    let raise = ["account", "limits", carol, "--minimum", "0", "--credit-limit", "5"];
    town.refused("chief", &raise, "credit_cap");
    town.done("north", &["account", "close", carol, "--beneficiary", ALICE]);
    assert_eq!(town.ok("north", &["balance", carol])["closed"], true);
    assert_eq!(town.liquid(ALICE), "1049.750000", "50 less 0.5 %");
    town.close();
}

#[test]
fn owners_move_between_hosts_and_may_sign_alone() {
    let town = Town::new();
    let north = town.principal("north");
    town.refused("north", &["pay", ALICE, BOB, "1"], "not_found");
    town.done(ALICE, &["owner", "rehost", ALICE, "--host", &north]);
    town.done("north", &["owner", "rehost", ALICE, "--host", &north]);
    town.done("north", &["pay", ALICE, BOB, "1"]);
    town.done(ALICE, &["owner", "agent-only", ALICE, "on"]);
    assert_eq!(town.ok(ALICE, &["balance", ALICE])["agent_only"], true);
    town.refused("north", &["pay", ALICE, BOB, "1"], "not_found");
    town.done(ALICE, &["owner", "agent-only", ALICE, "off"]);
    let erin = "01900000-0000-7000-8000-00000000000e";
    town.done("chief", &["account", "open", erin, "--host", &north]);
    town.done("north", &["pay", ALICE, erin, "1"]);
    town.close();
}

#[test]
fn payments_are_quoted_made_refunded_and_asked_about() {
    let town = Town::new();
    let quote = town.ok(ALICE, &["quote", ALICE, BOB, "100"]);
    assert_eq!(quote["gets"], "99.500000");
    assert_eq!((&quote["base_fee"], &quote["rate"]), (&json!("0.500000"), &json!(5_000)));
    let id = fresh_id();
    let pay = ["pay", ALICE, BOB, "100", "--id", &id, "--memo", "rent", "--user-data", "7"];
    assert_eq!(town.done(ALICE, &pay), id);
    let again = town.ok(ALICE, &pay);
    assert_eq!(again["sequence"], town.ok(ALICE, &["outcome", ALICE, &id])["sequence"]);
    assert_eq!(town.liquid(BOB), "99.500000", "paid once");
    town.refused(ALICE, &["pay", ALICE, BOB, "101", "--id", &id], "id_reused");
    town.done(BOB, &["refund", &id, BOB, ALICE, "10", "--max-rate", "5000"]);
    assert_eq!(town.liquid(BOB), "89.500000");

    let poor = fresh_id();
    let refused =
        town.refused(BOB, &["pay", BOB, ALICE, "1000", "--id", &poor], "insufficient_funds");
    assert_eq!((&refused["id"], &refused["retry"]), (&json!(poor), &json!("new_id")));
    let known = town.ok(BOB, &["outcome", BOB, &poor]);
    assert_eq!((&known["status"], &known["number"]), (&json!("insufficient_funds"), &json!(801)));
    let never = town.says_json(BOB, &["outcome", BOB, &fresh_id()]);
    assert_eq!((never.code, never.json()["status"].as_str()), (1, Some("not_remembered")));
    town.close();
}

#[test]
fn holds_are_placed_shown_captured_and_released() {
    let town = Town::new();
    let hold = town.done(ALICE, &["hold", "place", ALICE, BOB, "10", "--keep"]);
    let shown = town.ok(BOB, &["hold", "show", ALICE, &hold]);
    assert_eq!((&shown["left"], &shown["credit"]), (&json!("10.000000"), &json!(BOB)));
    assert_eq!(shown["keep"], true);
    let capture = ["hold", "capture", ALICE, BOB, &hold, "--amount", "4", "--keep"];
    town.done(BOB, &capture);
    assert_eq!(town.ok(ALICE, &["hold", "show", ALICE, &hold])["left"], "6.000000");
    town.done(BOB, &["hold", "release", ALICE, BOB, &hold, "--memo", "done"]);
    town.refused(ALICE, &["hold", "show", ALICE, &hold], "hold_not_found");
    let hold = town.done(ALICE, &["hold", ALICE, BOB, "10", "--timeout-ms", "60000"]);
    town.done(BOB, &["capture", ALICE, BOB, &hold]);
    let hold = town.done(ALICE, &["hold", ALICE, BOB, "10"]);
    town.done(BOB, &["release", ALICE, BOB, &hold]);
    assert_eq!(town.liquid(BOB), "13.930000");
    town.close();
}

#[test]
fn units_are_issued_burned_moved_and_counted() {
    let town = Town::new();
    town.refused("royal", &["issue", BOB, "5", "--code", "correction"], "reason_missing");
    town.done("royal", &["issue", BOB, "5", "--code", "correction", "--reason", "lost"]);
    town.done(ALICE, &["pay", ALICE, BOB, "200"]);
    let payout = ["fee_collector:0", "treasury:0", "1", "--code", "payout"];
    town.done("chief", &[&["system-transfer"], &payout[..]].concat());
    town.done("royal", &["burn", "treasury:0", "0.25"]);
    town.done("royal", &["burn", BOB, "5", "--code", "3", "--reason", "found"]);
    assert_eq!(town.liquid("treasury:0"), "0.750000");

    town.done("royal", &["mint", "halt", "--reason", "drill"]);
    town.refused("royal", &["issue", BOB, "1"], "mint_halted");
    assert_eq!(town.ok(BOB, &["supply"])["mint_halted"], true);
    town.done("royal", &["mint", "resume"]);
    town.done("chief", &["asset", "create", "1000", "GOLD", "--scale", "3"]);
    let gold = town.ok(BOB, &["asset", "show", "1000"]);
    assert_eq!(gold, json!({"asset": 1000, "name": "GOLD", "scale": 3}));
    town.done(BOB, &["open", BOB, "--asset", "1000"]);
    town.done("royal", &["issue", BOB, "1.5", "--asset", "1000"]);
    assert_eq!(town.ok(BOB, &["balance", BOB, "--asset", "1000"])["liquid"], "1.500");
    assert_eq!(town.says_json("royal", &["issue", BOB, "1.5555", "--asset", "1000"]).code, 2);

    let (supply, recount) = (town.ok(BOB, &["supply"]), town.ok("reader", &["recount"]));
    for name in ["issued", "destroyed", "native_total", "delta", "held"] {
        assert_eq!(supply[name], recount[name], "{name}");
    }
    assert_eq!(supply["destroyed"], "5.250000");
    let audit = town.ok("reader", &["supply-audit"]);
    let assets = audit["assets"].as_array().unwrap();
    assert_eq!((assets.len(), &assets[1]["name"]), (2, &json!("GOLD")));
    assert_eq!((&audit["status"], &audit["totals"]), (&json!("OK"), &assets[0]));
    assert_eq!(assets[0]["tokens_issued"], "1005.000000");
    assert_eq!(assets[0]["net_supply"], "999.750000");
    assert_eq!((&assets[1]["status"], &assets[1]["delta"]), (&json!("OK"), &json!("0.000")));
    town.close();
}

#[test]
fn parameters_are_listed_shown_and_set() {
    let town = Town::new();
    let list = town.ok(ALICE, &["parameters", "list"]);
    let rows = list["parameters"].as_array().unwrap();
    let named = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap();
    assert_eq!(named("fee.base")["value"], "5000");
    let set = ["parameters", "set", "holds.default_ms", "60000", "--reason", "short"];
    town.refused(ALICE, &set, "not_found");
    town.done("chief", &set);
    assert_eq!(town.ok(ALICE, &["parameters", "show", "holds.default_ms"])["value"], "60000");
    town.refused("chief", &["parameters", "set", "fee.base", "1"], "out_of_bounds");
    town.done("chief", &["parameters", "set", "fee.base", "6000"]);
    assert_eq!(town.ok(ALICE, &["parameters", "show", "fee.base"])["value"], "5000", "in an hour");
    assert_eq!(town.says_json(ALICE, &["parameters", "show", "fee.bass"]).code, 2);

    let me = town.ok("chief", &["me"]);
    assert_eq!((&me["role"], me["frame"]["epoch"].is_u64()), (&json!("admin"), true));
    assert!(me["spiffe_id"].as_str().unwrap().ends_with("/admin/chief"), "{me}");
    town.close();
}

#[test]
fn a_file_is_paid_once_however_often_it_is_sent() {
    let town = Town::new();
    let file = town.0.beside("payments.csv");
    let mut text = "debit,credit,amount,memo\n".to_owned();
    for place in 1..=30 {
        text += &format!("{ALICE},{BOB},1,\"no. {place}, of 30\"\n");
    }
    std::fs::write(&file, &text).unwrap();
    let path = file.display().to_string();
    let first = town.say(ALICE, &["pay-file", &path]);
    assert_eq!(first.code, 0, "{}{}", first.stdout, first.stderr);
    let id = first.stderr.trim().rsplit(' ').next().unwrap().to_owned();
    let before = town.liquid(BOB);
    let again = town.says_json(ALICE, &["pay-file", &path, "--id", &id]);
    let lines = again.lines();
    let total = lines.last().unwrap();
    assert_eq!((again.code, lines.len()), (0, 31));
    assert_eq!((&lines[0]["line"], &lines[0]["status"]), (&json!(2), &json!("ok")));
    assert_eq!((&total["ok"], &total["repeated"]), (&json!(30), &json!(30)));
    assert_eq!(town.liquid(BOB), before);

    // One payment too many: alone it is refused alone, in a chain it takes the others with it.
    let pay = |amount| json!({"debit": ALICE, "credit": BOB, "amount": amount}).to_string();
    std::fs::write(&file, format!("{}\n{}\n{}\n", pay("1"), pay("100000"), pay("2"))).unwrap();
    let atomic = town.says_json(ALICE, &["pay-file", &path, "--atomic"]);
    let statuses = |lines: &[Value]| -> Vec<String> {
        lines[..3].iter().map(|line| line["status"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(atomic.code, 1);
    let all = ["linked_failed", "insufficient_funds", "linked_failed"];
    assert_eq!(statuses(&atomic.lines()), all);
    assert_eq!(town.liquid(BOB), before);
    let single = town.says_json(ALICE, &["pay-file", &path]);
    assert_eq!((single.code, statuses(&single.lines())[1].as_str()), (1, "insufficient_funds"));
    assert!(single.stderr.contains("1 of 3"), "{}", single.stderr);
    assert_ne!(town.liquid(BOB), before);

    std::fs::write(&file, format!("{}\n{ALICE},{BOB}\n", pay("1"))).unwrap();
    let bad = town.say(ALICE, &["pay-file", &path]);
    assert_eq!(bad.code, 2);
    assert!(bad.stderr.contains("line 2") && bad.stderr.contains("nothing was sent"));
    assert_eq!(town.say(ALICE, &["pay-file", "/nowhere"]).code, 66);
    town.close();
}

/// A write that takes longer than the shell waits is the plainest answer that does not come.
#[test]
fn a_lost_answer_is_told_with_its_id_and_repeated_safely() {
    let mut town = Town::new();
    town.0.stop();
    town.0.write_with("direct");
    town.0.injure("pwritev", "delay_enter=3000000");
    town.0.start();
    let lost = town.says_json(ALICE, &["--timeout", "1", "pay", ALICE, BOB, "10"]);
    assert_eq!(lost.code, 75, "{}{}", lost.stdout, lost.stderr);
    let said = lost.json();
    assert_eq!((&said["status"], &said["retry"]), (&json!("unknown"), &json!("same_id")));
    let id = said["id"].as_str().unwrap();
    assert!(lost.stderr.contains(&format!("--id {id}")), "{}", lost.stderr);
    town.0.stop();
    town.0.heal();
    town.0.start();
    town.done(ALICE, &["pay", ALICE, BOB, "10", "--id", id]);
    assert_eq!(town.liquid(BOB), "9.950000", "paid once");
    town.close();
}

#[test]
fn what_cannot_be_said_ends_with_the_code_of_its_reason() {
    let town = Town::new();
    for (arguments, said) in [
        (&["pay", ALICE, "bob", "1"][..], "did:theprotocol"),
        (&["pay", ALICE, BOB, "1e3"], "neither a digit"),
        (&["pay", ALICE, BOB, "0"], "zero"),
        (&["pay", ALICE, BOB, "1", "--id", "7"], "UUID"),
        (&["issue", ALICE, "1", "--code", "gift"], "ordinary"),
        (&["hold"], "Usage"),
        (&["outcome", ALICE], "Usage"),
        (&["account", "list", "--limit", "0"], "0"),
    ] {
        let answer = town.say(ALICE, arguments);
        assert_eq!(answer.code, 2, "{arguments:?}: {}{}", answer.stdout, answer.stderr);
        assert!(answer.stderr.contains(said), "{arguments:?}: {}", answer.stderr);
    }
    assert_eq!(town.say("nobody", &["me"]).code, 66);
    let identity = town.0.home.identity(ALICE).display().to_string();
    let gone = ["client", "--timeout", "1", "--server", "127.0.0.1:9", "--identity", &identity];
    town.0.ends_with(75, &[&gone[..], &["me"]].concat());

    // In words, a refusal is on standard error and a balance on standard output.
    let refused = town.say(BOB, &["pay", BOB, ALICE, "1"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    assert!(refused.stderr.contains("insufficient_funds (801)"), "{}", refused.stderr);
    let table = town.say("reader", &["parameters", "list"]);
    assert!(table.stdout.contains("holds.per_debtor") && table.stdout.contains("1024"));
    town.close();
}
