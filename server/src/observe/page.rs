//! A page of figures, in the text format of Prometheus or in OpenMetrics: the two differ in how a
//! counter is described and in how the page ends.
//!
//! It knows no figure. Invariant: a family stands in one piece, behind its description.

use std::fmt::{Arguments, Display, Write as _};

use ring::Durations;

use crate::admin::Format;

/// The page so far.
pub(super) struct Page {
    text: String,
    format: Format,
}

/// Nanoseconds as seconds, exact.
pub(super) fn seconds(ns: u64) -> String {
    format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
}

/// Milliseconds as seconds, exact.
pub(super) fn milli_seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

/// Several histograms added up: those of threads that each count for themselves.
#[derive(Default)]
pub(super) struct Times {
    classes: [(Option<u64>, u64); Durations::CLASSES],
    sum_ns: u64,
}

impl Times {
    pub(super) fn of<'a>(all: impl IntoIterator<Item = &'a Durations>) -> Self {
        all.into_iter().fold(Self::default(), |mut times, one| {
            for ((bound, count), (bound_ns, more)) in times.classes.iter_mut().zip(one.classes()) {
                *bound = bound_ns;
                *count += more;
            }
            times.sum_ns += one.sum_ns();
            times
        })
    }
}

impl Page {
    pub(super) const fn new(format: Format) -> Self {
        Self { text: String::new(), format }
    }

    fn line(&mut self, line: Arguments<'_>) {
        writeln!(self.text, "{line}").expect("a string can be written to");
    }

    fn describe(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.describe(name, "gauge", help);
        self.line(format_args!("{name} {value}"));
    }

    /// One for each value of `label`.
    pub(super) fn gauges<L: Display, V: Display>(
        &mut self,
        (name, label): (&str, &str),
        help: &str,
        rows: impl IntoIterator<Item = (L, V)>,
    ) {
        self.describe(name, "gauge", help);
        for (of, value) in rows {
            self.line(format_args!("{name}{{{label}=\"{}\"}} {value}", escaped(&of)));
        }
    }

    /// Always 1: what it says is in its labels.
    pub(super) fn info(&mut self, name: &str, help: &str, labels: &[(&str, &str)]) {
        self.describe(name, "gauge", help);
        let labels = labels.iter().map(|(label, of)| format!("{label}=\"{}\"", escaped(of)));
        let labels: Vec<_> = labels.collect();
        self.line(format_args!("{name}{{{}}} 1", labels.join(",")));
    }

    /// `name` without `_total`.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.describe_counter(name, help);
        self.line(format_args!("{name}_total {value}"));
    }

    /// One for each value of `label`.
    pub(super) fn counters<L: Display, V: Display>(
        &mut self,
        (name, label): (&str, &str),
        help: &str,
        rows: impl IntoIterator<Item = (L, V)>,
    ) {
        self.describe_counter(name, help);
        for (of, value) in rows {
            self.line(format_args!("{name}_total{{{label}=\"{}\"}} {value}", escaped(&of)));
        }
    }

    fn describe_counter(&mut self, name: &str, help: &str) {
        match self.format {
            Format::OpenMetrics => self.describe(name, "counter", help),
            Format::Text => self.describe(&format!("{name}_total"), "counter", help),
        }
    }

    /// One for each set of labels.
    pub(super) fn histograms(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (String, Times)>,
    ) {
        self.describe(name, "histogram", help);
        for (labels, Times { classes, sum_ns }) in rows {
            let mut count = 0;
            let comma = if labels.is_empty() { "" } else { "," };
            for (bound_ns, more) in classes {
                count += more;
                let bound = bound_ns.map_or_else(|| "+Inf".to_owned(), seconds);
                self.line(format_args!("{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}"));
            }
            let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
            self.line(format_args!("{name}_sum{labels} {}", seconds(sum_ns)));
            self.line(format_args!("{name}_count{labels} {count}"));
        }
    }

    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

/// As the value of a label.
fn escaped(text: impl Display) -> String {
    text.to_string().replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(format: Format) -> String {
        let mut page = Page::new(format);
        page.counter("paid", "Paid.", 3);
        page.gauges(("left", "of"), "Left.", [("a \"b\"\n", 1)]);
        page.finish()
    }

    #[test]
    fn the_two_formats_differ_in_counters_and_in_the_end() {
        let gauges = "# HELP left Left.\n# TYPE left gauge\nleft{of=\"a \\\"b\\\"\\n\"} 1\n";
        let text = "# HELP paid_total Paid.\n# TYPE paid_total counter\npaid_total 3\n";
        assert_eq!(page(Format::Text), format!("{text}{gauges}"));
        let open = "# HELP paid Paid.\n# TYPE paid counter\npaid_total 3\n";
        assert_eq!(page(Format::OpenMetrics), format!("{open}{gauges}# EOF\n"));
    }

    #[test]
    fn histograms_of_several_threads_are_one() {
        let threads = [Durations::default(), Durations::default()];
        threads[0].add(1_000);
        threads[1].add(2_000_000_000);
        let mut page = Page::new(Format::Text);
        page.histograms("took_seconds", "Took.", [(String::new(), Times::of(&threads))]);
        let text = page.finish();
        let has = |line: &str| assert!(text.lines().any(|found| found == line), "{line}: {text}");
        has("took_seconds_bucket{le=\"0.000062500\"} 1");
        has("took_seconds_bucket{le=\"1.024000000\"} 1");
        has("took_seconds_bucket{le=\"+Inf\"} 2");
        has("took_seconds_sum 2.000001000");
        has("took_seconds_count 2");
    }
}
