//! What is shipped for monitoring, alert rules and dashboard, against what a real frame shows and
//! what the handbook says. One frame serves all that needs a page.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use crate::books;
use crate::metrics::{busy_page, promtool, shipped};
use crate::promql::{Selector, selectors};

const RULES: &str = "deploy/prometheus/rules.yml";
const RULES_TEST: &str = "deploy/prometheus/rules_test.yml";
const DASHBOARD: &str = "deploy/grafana/bezant.json";
const REFERENCE: &str = "docs/reference/metrics.md";
/// What Prometheus adds by itself.
const ADDED_METRICS: [&str; 1] = ["up"];
const ADDED_LABELS: [&str; 3] = ["job", "instance", "le"];

fn read(path: &str) -> String {
    std::fs::read_to_string(shipped(path)).unwrap()
}

/// Labels of a sample, each with the values that it has.
type Labels<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// Those of every sample on a page, by its name.
fn labels(page: &str) -> BTreeMap<&str, Labels<'_>> {
    let mut all = BTreeMap::<_, Labels<'_>>::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (name, _) = line.rsplit_once(' ').unwrap();
        let (name, inside) = name.split_once('{').unwrap_or((name, ""));
        let found = all.entry(name).or_default();
        for (label, value) in inside.split(',').filter_map(|pair| pair.split_once('=')) {
            found.entry(label).or_default().insert(value.trim_matches(['"', '}']));
        }
    }
    all
}

/// Fails for a query that names what no frame shows.
fn is_shown(page: &BTreeMap<&str, Labels<'_>>, query: &str) {
    for Selector { metric, labels } in selectors(query) {
        if ADDED_METRICS.contains(&&*metric) {
            continue;
        }
        let has = page.get(&*metric).unwrap_or_else(|| panic!("/metrics has no {metric}: {query}"));
        for matcher in labels.iter().filter(|one| !ADDED_LABELS.contains(&&*one.label)) {
            let label = &matcher.label;
            let shown = has.get(&**label);
            let shown = shown.unwrap_or_else(|| panic!("{metric} has no label {label}: {query}"));
            let unknown = matcher.unknown(&shown.iter().copied().collect::<Vec<_>>());
            assert!(unknown.is_empty(), "{metric} has no {label} {unknown:?}: {query}");
        }
    }
}

/// The alert rules, told apart without a reader of YAML: they are written plainly.
fn alerts(rules: &str) -> Vec<(&str, String, Option<&str>)> {
    let blocks = rules.split("- alert: ").skip(1);
    blocks
        .map(|block| {
            let name = block.lines().next().unwrap().trim();
            let from = block.split_once("expr: ").unwrap().1;
            let expr = match from.strip_prefix("|\n") {
                None => from.lines().next().unwrap().trim_matches('\'').to_owned(),
                Some(lines) => {
                    let lines = lines.lines().take_while(|line| line.starts_with("          "));
                    lines.collect::<Vec<_>>().join("\n")
                }
            };
            let runbook = block.lines().find_map(|line| line.trim().strip_prefix("runbook: "));
            (name, expr, runbook)
        })
        .collect()
}

/// Every value of `key` anywhere below.
fn all<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get(key));
            map.values().for_each(|inner| all(inner, key, found));
        }
        Value::Array(list) => list.iter().for_each(|inner| all(inner, key, found)),
        _ => {}
    }
}

fn dashboard() -> Value {
    serde_json::from_str(&read(DASHBOARD)).unwrap()
}

fn queries(dashboard: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    all(dashboard, "expr", &mut found);
    found.into_iter().map(|query| query.as_str().unwrap()).collect()
}

#[test]
fn everything_that_is_watched_is_shown_by_a_frame() {
    let mut page = String::new();
    books::run(async { page = busy_page().await });
    let (is_good, said) = promtool(&["check", "metrics"], &page);
    assert!(is_good && said.is_empty(), "{said}");
    let (_, said) = promtool(&["check", "metrics"], "lone_ms 1\n");
    assert!(said.contains("lone_ms"), "promtool does not look: {said}");
    let shown = labels(&page);
    let rules = read(RULES);
    let alerts = alerts(&rules);
    assert!(alerts.len() > 20, "{alerts:?}");
    alerts.iter().for_each(|(_, expr, _)| is_shown(&shown, expr));
    let dashboard = dashboard();
    let queries = queries(&dashboard);
    assert!(queries.len() > 60, "{} queries", queries.len());
    queries.into_iter().for_each(|query| is_shown(&shown, query));
    let mut variables = Vec::new();
    all(&dashboard, "definition", &mut variables);
    assert_eq!(variables, ["label_values(bezant_ready, instance)"]);
    assert!(shown.contains_key("bezant_ready"));
    is_current(&reference(&page, &shown));
}

/// The page of reference, made from what a frame shows.
fn reference(page: &str, shown: &BTreeMap<&str, Labels<'_>>) -> String {
    let mut text = "# Metrics\n\nWhat `/metrics` of the admin door shows, as Prometheus names it; \
                    made from a running frame. Figures of settlement are there if there is a \
                    database, those of a snapshot once there is one.\n\n\
                    | name | kind | labels | meaning |\n|---|---|---|---|\n"
        .to_owned();
    let mut rows = BTreeMap::new();
    let mut help = "";
    for line in page.lines() {
        if let Some((_, meaning)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' ')) {
            help = meaning;
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' '))
        {
            rows.insert(name, (kind, help));
        }
    }
    for (name, (kind, help)) in rows {
        let of_count = format!("{name}_count");
        let labels = shown.get(name).or_else(|| shown.get(&*of_count));
        let labels = labels.into_iter().flat_map(BTreeMap::keys);
        let labels: Vec<_> = labels.map(|label| format!("`{label}`")).collect();
        let labels = labels.join(", ");
        writeln!(text, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
    }
    text
}

fn is_current(reference: &str) {
    if std::env::var_os("BEZANT_TEST_BLESS").is_some() {
        std::fs::write(shipped(REFERENCE), reference).unwrap();
    }
    let written = std::fs::read_to_string(shipped(REFERENCE)).unwrap_or_default();
    assert!(written == reference, "{REFERENCE}: run this test with BEZANT_TEST_BLESS=1");
}

#[test]
fn promtool_passes_the_rules_their_tests_and_the_example() {
    let path = |path: &str| shipped(path).display().to_string();
    for arguments in [
        ["check", "rules", &path(RULES)],
        ["check", "config", &path("deploy/prometheus/prometheus.yml")],
        ["test", "rules", &path(RULES_TEST)],
    ] {
        let (is_good, said) = promtool(&arguments, "");
        assert!(is_good && said.contains("SUCCESS"), "{arguments:?}: {said}");
    }
}

#[test]
fn every_alert_is_tested_and_has_its_place_in_the_handbook() {
    let (rules, tests, handbook) = (read(RULES), read(RULES_TEST), read("docs/operations.md"));
    let alerts = alerts(&rules);
    let names: BTreeSet<_> = alerts.iter().map(|(name, ..)| *name).collect();
    assert_eq!(names.len(), alerts.len(), "a name is used twice");
    for (name, _, runbook) in &alerts {
        assert!(tests.contains(&format!("alertname=\"{name}\"")), "{name} has no test");
        let anchor = name.to_lowercase();
        assert_eq!(*runbook, Some(&*format!("docs/operations.md#{anchor}")), "{name}");
        assert!(handbook.contains(&format!("\n### {name}\n")), "{name} is not in the handbook");
    }
    let headings = handbook.lines().filter_map(|line| line.strip_prefix("### Bezant"));
    for heading in headings {
        let name = format!("Bezant{heading}");
        assert!(names.contains(&*name), "the handbook has {name}, the rules do not");
    }
}

#[test]
fn the_dashboard_is_whole_and_its_queries_are_queries() {
    let dashboard = dashboard();
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 39);
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert!(variables.iter().any(|one| one["type"] == "datasource" && one["name"] == "datasource"));
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "ids are unique");
    let is_row = |panel: &&Value| panel["type"] == "row";
    let rows: Vec<_> = panels.iter().filter(is_row).map(|row| row["title"].clone()).collect();
    let expected = [
        "Health",
        "Supply",
        "Throughput and latency",
        "Stages",
        "Journal",
        "Settlement",
        "Identity and limits",
    ];
    assert_eq!(rows, expected);
    for panel in panels.iter().filter(|panel| !is_row(panel)) {
        let title = &panel["title"];
        let place = |side: &str| panel["gridPos"][side].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{title} is off the page");
        assert!(!panel["targets"].as_array().unwrap().is_empty(), "{title} asks nothing");
        assert!(!panel["description"].as_str().unwrap().is_empty(), "{title} says nothing");
    }
    let mut sources = Vec::new();
    all(&dashboard, "datasource", &mut sources);
    assert!(sources.iter().all(|source| source["uid"] == "${datasource}"));
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for query in queries(&dashboard) {
        let query = query.replace("$__rate_interval", "5m").replace("$instance", ".+");
        assert!(!query.contains('$'), "an unknown variable: {query}");
        let quoted = query.replace('\'', "''");
        write!(rules, "  - record: a:query\n    labels: {{number: \"{}\"}}\n", rules.len())
            .unwrap();
        writeln!(rules, "    expr: '{quoted}'").unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("queries.yml");
    std::fs::write(&path, &rules).unwrap();
    let (is_good, said) = promtool(&["check", "rules", &path.display().to_string()], "");
    assert!(is_good, "{said}");
}
