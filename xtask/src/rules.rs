//! The rules for one file: its head, length, width, words, attributes and `unsafe`.
//!
//! Refuses to touch the disk: text in, findings out. Invariant: every finding names its line and
//! says what to do instead.

use crate::code::{blanked, lines_with_word};

/// Lines a source file may have, without the unit tests at its end.
pub(crate) const SOURCE_LINES_MAX: usize = 600;
/// Lines a file of tests may have.
pub(crate) const TEST_LINES_MAX: usize = 1200;
/// Columns of a line, as rustfmt has it.
pub(crate) const COLUMNS_MAX: usize = 100;

/// One broken rule.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Finding {
    pub(crate) line: usize,
    pub(crate) what: String,
}

fn finding(line: usize, what: impl Into<String>) -> Finding {
    Finding { line, what: what.into() }
}

/// Words no text file of the repository may hold. Split, so that this file does not hold them.
const WORDS: &[(&str, &str)] = &[
    (concat!("FIX", "ME"), "mend it, or file it"),
    (concat!("X", "XX"), "mend it, or file it"),
    (concat!("TO", "DO"), "do it, or file it"),
    (concat!("crates", ".io"), "say \"the registry\""),
    (concat!("npmjs", ".org"), "say \"the registry\""),
    (concat!("npmjs", ".com"), "say \"the registry\""),
    (concat!("pypi", ".org"), "say \"the registry\""),
    (concat!("deb.", "debian"), "say \"the distribution\""),
    (concat!("/wo", "rk/"), "use a path relative to the repository"),
    (concat!("/ro", "ot/"), "use a path relative to the repository"),
];

/// Macros and attributes no Rust code may hold.
const CODE: &[(&str, &str)] = &[
    ("todo!", "write it, or leave it out"),
    ("unimplemented!", "write it, or return a typed error"),
    ("dbg!", "use tracing, or nothing"),
    ("#[ignore", "make the test fast, or move it to a command of its own"),
];

/// The rules for every text file.
pub(crate) fn text_rules(text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for (number, line) in numbered(text) {
        for (word, instead) in WORDS {
            if line.match_indices(word).any(|(at, _)| begins_there(line, at)) {
                found.push(finding(number, format!("`{word}`: {instead}")));
            }
        }
    }
    found
}

/// A hit inside a longer name or path (`network/…`) is no hit.
fn begins_there(line: &str, at: usize) -> bool {
    let before = line[..at].chars().next_back();
    let path = line[at..].starts_with('/');
    !before.is_some_and(|c| c.is_alphanumeric() || (path && "_-.".contains(c)))
}

/// The rules for a Rust file; `tests` for one that holds nothing but tests.
pub(crate) fn rust_rules(text: &str, tests: bool, may_be_unsafe: bool) -> Vec<Finding> {
    let code = blanked(text);
    let mut found = Vec::new();
    if !text.trim_start().starts_with("//!") {
        found.push(finding(1, "no `//!` head: say what the file is, refuses and keeps true"));
    }
    let (lines, max) = if tests {
        (text.lines().count(), TEST_LINES_MAX)
    } else {
        (length(text), SOURCE_LINES_MAX)
    };
    if lines > max {
        found.push(finding(max, format!("{lines} lines, at most {max}: cut it by nouns")));
    }
    for (number, line) in numbered(text) {
        let columns = line.chars().count();
        let is_table = ["//! |", "/// |"].iter().any(|row| line.trim_start().starts_with(row));
        if columns > COLUMNS_MAX && !line.contains("://") && !is_table {
            found.push(finding(number, format!("{columns} columns, at most {COLUMNS_MAX}")));
        }
    }
    for (number, line) in numbered(&code) {
        for (word, instead) in CODE {
            if line.match_indices(word).any(|(at, _)| begins_there(line, at)) {
                found.push(finding(number, format!("`{word}`: {instead}")));
            }
        }
    }
    if !may_be_unsafe {
        for number in lines_with_word(&code, "unsafe") {
            found.push(finding(number, "`unsafe` in a file that docs/unsafe.md does not list"));
        }
    }
    found.extend(unreasoned(&code));
    found
}

/// Every `allow` and `expect` attribute that gives no reason.
fn unreasoned(code: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for lint in ["[allow(", "[expect("] {
        for (at, _) in code.match_indices(lint) {
            let attribute = code[..at].ends_with('#') || code[..at].ends_with("#!");
            let body = &code[at..at + code[at..].find(")]").unwrap_or(code.len() - at)];
            if attribute && lines_with_word(body, "reason").is_empty() {
                let number = code[..at].matches('\n').count() + 1;
                found.push(finding(number, format!("`#{lint}…)]` without `reason = \"…\"`")));
            }
        }
    }
    found
}

/// Lines before the unit tests (and models) at the end of the file.
fn length(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let for_tests = |line: &str| line == "#[cfg(test)]" || line.starts_with("#[cfg(all(test,");
    let a_module = |line: &str| line.starts_with("mod ") && line.ends_with('{');
    let begins = |i: usize| {
        let item = lines[i + 1..].iter().find(|line| !line.starts_with("#["));
        for_tests(lines[i]) && item.is_some_and(|line| a_module(line))
    };
    (0..lines.len()).find(|&i| begins(i)).unwrap_or(lines.len())
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(i, line)| (i + 1, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(found: &[Finding]) -> Vec<usize> {
        found.iter().map(|f| f.line).collect()
    }

    fn source(text: &str) -> Vec<usize> {
        lines(&rust_rules(text, false, false))
    }

    #[test]
    fn a_clean_file_has_no_findings() {
        let text =
            "//! Head.\n\n#[expect(dead_code, reason = \"why\")]\nfn f() {} // todo! unsafe\n";
        assert!(source(text).is_empty());
    }

    #[test]
    fn a_missing_head_is_found() {
        assert_eq!(source("/// Not a head.\nfn f() {}\n"), [1]);
        assert!(source("\n//! Head.\n").is_empty());
    }

    #[test]
    fn length_leaves_out_the_unit_tests_at_the_end() {
        let body = "//\n".repeat(SOURCE_LINES_MAX - 1);
        let tests =
            "#[cfg(test)]\n#[path = \"x\"]\nmod tests {\n}\n".to_owned() + &"//\n".repeat(90);
        assert!(source(&format!("//!\n{body}{tests}")).is_empty());
        assert_eq!(source(&format!("//!\n//\n{body}{tests}")), [SOURCE_LINES_MAX]);
        let long = format!("//!\n{body}{body}");
        assert!(rust_rules(&long, true, false).is_empty());
        assert_eq!(lines(&rust_rules(&format!("{long}//\n//\n"), true, false)), [TEST_LINES_MAX]);
    }

    #[test]
    fn width_counts_characters_and_spares_addresses() {
        let wide = |c: &str| format!("//!\n// {}\n", c.repeat(98));
        assert_eq!(source(&wide("é")), [2]);
        assert!(source(&format!("//!\n// https://{}\n", "a".repeat(200))).is_empty());
    }

    #[test]
    fn banned_code_is_found_in_code_only() {
        assert_eq!(source("//!\nfn f() { todo! {} }\n#[ignore = \"slow\"]\n"), [2, 3]);
        assert!(source("//!\n// dbg!\nconst A: &str = \"dbg!\";\n").is_empty());
    }

    #[test]
    fn unsafe_needs_its_row() {
        let text = "//!\n#![expect(unsafe_code, reason = \"x\")]\nunsafe fn f() {}\n";
        assert_eq!(source(text), [3]);
        assert!(rust_rules(text, false, true).is_empty());
    }

    #[test]
    fn every_allow_gives_its_reason() {
        assert_eq!(source("//!\n#[allow(dead_code)]\nfn f() {}\n"), [2]);
        assert_eq!(source("//!\n#![expect(\n    a,\n)]\n#[allow(b, reason = \"c\")]\n"), [2]);
    }

    #[test]
    fn banned_words_are_found_in_any_text() {
        let path = concat!("see /wo", "rk/x");
        let inside = concat!("the net", "work/x and a/wo", "rk/x");
        let text = format!("a {}\n{path}\n{inside}\n", concat!("FIX", "ME"));
        assert_eq!(lines(&text_rules(&text)), [1, 2]);
    }
}
