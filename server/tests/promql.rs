//! The names in a PromQL expression: which series it selects, and by which labels.
//!
//! It is no parser: whether an expression is right, promtool says. It knows strings, selectors,
//! ranges, variables and the words of the language, and takes every other word for a metric, so
//! that a mistake of its own is a failure and never a pass.

/// A metric and what its selector asks of its labels.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(crate) metric: String,
    pub(crate) labels: Vec<Matcher>,
}

/// What is asked of one label.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Matcher {
    pub(crate) label: String,
    /// The values wanted, or not wanted, one by one; `.*` in one stands for anything.
    pub(crate) values: Vec<String>,
}

impl Matcher {
    /// Those of its values that none of `shown` is.
    pub(crate) fn unknown<'a>(&'a self, shown: &[&str]) -> Vec<&'a str> {
        let is_shown = |value: &&String| match value.split_once(".*") {
            None => shown.contains(&value.as_str()),
            Some((head, tail)) => {
                let is = |one: &&str| one.starts_with(head) && one.ends_with(tail);
                shown.iter().any(is)
            }
        };
        self.values.iter().filter(|value| !is_shown(value)).map(String::as_str).collect()
    }
}

/// Words before a list of labels.
const LABEL_LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
/// Words that are no metric although no bracket follows them at once.
const WORDS: [&str; 12] =
    ["and", "or", "unless", "bool", "offset", "sum", "count", "min", "max", "avg", "topk", "atan2"];

/// Every series that `expression` selects.
pub(crate) fn selectors(expression: &str) -> Vec<Selector> {
    let mut found: Vec<Selector> = Vec::new();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        let word_len = rest.find(|c: char| !is_of_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(word_len);
        rest = match first {
            '"' | '\'' => behind_string(rest),
            '{' => {
                let (inside, after) = until(rest, '}');
                let selector = found.last_mut().expect("a selector has a metric");
                selector.labels = matchers(inside);
                after
            }
            '[' => until(rest, ']').1,
            '$' => rest[1..].trim_start_matches(is_of_word),
            _ if word.is_empty() => &rest[first.len_utf8()..],
            _ if first.is_ascii_digit() => after,
            _ if LABEL_LISTS.contains(&word) => until(after, ')').1,
            _ if WORDS.contains(&word) || after.trim_start().starts_with('(') => after,
            _ => {
                found.push(Selector { metric: word.to_owned(), labels: Vec::new() });
                after
            }
        }
        .trim_start();
    }
    found
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// What follows the string at the beginning of `text`.
fn behind_string(text: &str) -> &str {
    let quote = text.chars().next().expect("a string begins with its quote");
    let mut is_escaped = false;
    let end = text.char_indices().skip(1).find(|&(_, c)| {
        let is_end = c == quote && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_end
    });
    &text[end.expect("a string ends").0 + 1..]
}

/// What stands up to `close`, strings aside, and what follows it.
fn until(text: &str, close: char) -> (&str, &str) {
    let mut rest = text;
    loop {
        let at = rest.find(['"', '\'', close]).expect("a bracket is closed");
        if rest[at..].starts_with(close) {
            let end = text.len() - rest.len() + at;
            return (&text[..end], &text[end + 1..]);
        }
        rest = behind_string(&rest[at..]);
    }
}

/// `{a="1",b=~"2|3"` → a is 1, b is 2 or 3.
fn matchers(inside: &str) -> Vec<Matcher> {
    let mut found = Vec::new();
    let mut rest = inside.trim_start_matches('{');
    while let Some(at) = rest.find(['=', '!']) {
        let label = rest[..at].trim_matches([',', ' ']).to_owned();
        let quote = rest.find(['"', '\'']).expect("a label is compared with a string");
        let is_pattern = rest[at..quote].contains('~');
        let after = behind_string(&rest[quote..]);
        let value = &rest[quote + 1..rest.len() - after.len() - 1];
        let values = if is_pattern { value.split('|').collect() } else { vec![value] };
        let values = values.into_iter().map(str::to_owned).collect();
        found.push(Matcher { label, values });
        rest = after;
    }
    found
}

#[test]
fn names_are_told_from_words_labels_and_numbers() {
    let found = |expression| {
        let found = selectors(expression);
        let labels = |labels: Vec<Matcher>| {
            labels.into_iter().map(|matcher| matcher.label).collect::<Vec<_>>().join(" ")
        };
        found.into_iter().map(|one| (one.metric, labels(one.labels))).collect::<Vec<_>>()
    };
    let is = |expression, expected: &[(&str, &str)]| {
        let expected: Vec<_> =
            expected.iter().map(|(name, of)| ((*name).to_owned(), (*of).to_owned())).collect();
        assert_eq!(found(expression), expected, "{expression}");
    };
    is("a_total != 0", &[("a_total", "")]);
    is("sum by (x, y) (rate(a_total{b=\"}c\",d!~\"e\"}[5m])) > 1e-9", &[("a_total", "b d")]);
    is("1 - a{i=~\"$instance\"} / on (z) b", &[("a", "i"), ("b", "")]);
    is("(a > 7200 or b == 0) and max(c) without (q)", &[("a", ""), ("b", ""), ("c", "")]);
    is("rate(a{}[$__rate_interval])", &[("a", "")]);
}

#[test]
fn values_are_told_one_by_one() {
    let found = selectors("a{b=\"c\",d=~\"e|.*_full\",f!=\"g,h\"}");
    let values: Vec<_> = found[0].labels.iter().map(|matcher| matcher.values.join(" ")).collect();
    assert_eq!(values, ["c", "e .*_full", "g,h"]);
    assert_eq!(found[0].labels[1].unknown(&["e", "ids_full"]), Vec::<&str>::new());
    assert_eq!(found[0].labels[1].unknown(&["full", "c"]), ["e", ".*_full"]);
}
