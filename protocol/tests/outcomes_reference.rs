//! The reference of outcomes is made from the code, so that the two cannot differ. To write it
//! anew: `BEZANT_TEST_BLESS=1 cargo test -p protocol --test main`.

use std::fmt::Write as _;
use std::path::Path;

use protocol::Status;
use protocol::status::Advice;

fn reference() -> String {
    let mut text = String::from(
        "# Outcomes\n\nEvery command gets one outcome. A refusal is found by walking the classes \
         in order: shape (1xx), authority (2xx), id (3xx), quota and capacity (4xx), halts and \
         policy (5xx), accounts (6xx), amount (7xx), funds (8xx), chain (9xx).\n",
    );
    text.push_str(
        "*Remembered* outcomes are answered again to the same id; the others were not executed \
         and leave no trace under it.\n\n\
         | number | name | remembered | what to do | next |\n|---|---|---|---|---|\n",
    );
    for status in Status::ALL {
        let remembered = if status.is_remembered() { "yes" } else { "no" };
        let next = match status.advice() {
            Advice::Done => "nothing",
            Advice::RetrySameId => "the same id, later",
            Advice::RetryNewId => "a new id",
            _ => "do not resend",
        };
        let (number, name, cure) = (status.number(), status.name(), status.cure());
        writeln!(text, "| {number} | `{name}` | {remembered} | {cure} | {next} |")
            .expect("a string can be written to");
    }
    text
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test compares a file; the crate reads none")]
fn the_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/outcomes.md");
    if std::env::var_os("BEZANT_TEST_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().expect("the page is in a folder")).unwrap();
        std::fs::write(&path, reference()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, reference(), "run this test with BEZANT_TEST_BLESS=1");
}
