//! The reference of authority is made from the table that the engine decides by, so that the two
//! cannot differ. To write it anew: `BEZANT_TEST_BLESS=1 cargo test -p engine --test main`.

use std::fmt::Write as _;
use std::path::Path;

use engine::authority::{Relation, TABLE};
use protocol::{Kind, Role};

fn name(kind: Kind) -> String {
    let mut name = String::new();
    for letter in format!("{kind:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

/// What a role must be to what a kind names: the ways in, or a dash.
fn cell(kind: Kind, role: Role) -> String {
    let rules = engine::authority::rules(kind).iter().filter(|rule| rule.roles.contains(&role));
    let mut ways = Vec::new();
    for rule in rules {
        if rule.needs.is_empty() {
            return "always".into();
        }
        let needs: Vec<_> = rule.needs.iter().map(|need| need.name()).collect();
        ways.push(needs.join(" *and* "));
    }
    if ways.is_empty() { "–".into() } else { ways.join("; *or* ") }
}

fn reference() -> String {
    let mut text = String::from(
        "# Authority\n\nWho may do what: for every kind of command and of read, and every role, \
         how the caller must stand to what the command names. The engine decides by this table \
         and by nothing else; this page is written from it, and every cell is tested against the \
         engine and over the wire.\n\n\
         Whatever a cell does not allow is answered 201 `not_found`, whether or not what it names \
         is there; only the shape of the command is judged before. A role comes from the \
         certificate alone. Nobody can send `identify` and `tick`: the frame makes them itself, \
         the one in the name of whoever it has identified, the other as `engine`, a role that no \
         certificate gives.\n\n\
         –: never. *and*: all of these. *or*: one of these is enough.\n\n| kind |",
    );
    for role in Role::ALL {
        write!(text, " {} |", role.name()).expect("a string can be written to");
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(Role::ALL.len()));
    for row in &TABLE {
        write!(text, "\n| `{}` |", name(row.kind)).expect("a string can be written to");
        for role in Role::ALL {
            write!(text, " {} |", cell(row.kind, role)).expect("a string can be written to");
        }
    }
    text.push_str("\n\n## What the words mean\n\n| | |\n|---|---|\n");
    for relation in Relation::ALL {
        writeln!(text, "| {} | {} |", relation.name(), relation.meaning())
            .expect("a string can be written to");
    }
    text
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test compares a file; the crate reads none")]
fn the_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/authority.md");
    if std::env::var_os("BEZANT_TEST_BLESS").is_some() {
        std::fs::write(&path, reference()).expect("the page can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, reference(), "run this test with BEZANT_TEST_BLESS=1");
}
