//! One page of `/metrics`, read. Shapes are those that `observe::page` writes; figures stay text
//! until one is asked for as a number, so that amounts of money lose no digit.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::{Duration, Instant};

/// What the frame said of itself at one moment.
pub(super) struct Reading {
    at: Instant,
    /// By name with labels, as the page writes them.
    figures: BTreeMap<String, String>,
}

impl Reading {
    /// `None` if it is no page of a frame.
    pub(super) fn parse(at: Instant, page: &str) -> Option<Self> {
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        let figures: BTreeMap<String, String> = lines
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        figures.contains_key("bezant_epoch").then_some(Self { at, figures })
    }

    /// A figure as it stands.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.figures.get(name).map(String::as_str)
    }

    /// A figure as a number; 0 if there is none, as of settlement in a frame without a database.
    pub(super) fn number(&self, name: &str) -> f64 {
        self.text(name).and_then(|text| text.parse().ok()).unwrap_or(0.0)
    }

    /// The figures of a family with one label, by its value.
    pub(super) fn rows<'a>(
        &'a self,
        name: &str,
        label: &str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let head = format!("{name}{{{label}=\"");
        let skipped = head.len();
        self.beginning_with(head).filter_map(move |(name, value)| {
            let of = name.get(skipped..)?.strip_suffix("\"}")?;
            // With another label behind it there are more quotes.
            (!of.contains('"')).then_some((of, value))
        })
    }

    /// Value of a label of a figure that says something by its labels.
    pub(super) fn label(&self, name: &str, label: &str) -> Option<&str> {
        let (said, _) = self.beginning_with(format!("{name}{{")).next()?;
        let (_, rest) = said.split_once(&format!("{label}=\""))?;
        rest.split_once('"').map(|(value, _)| value)
    }

    /// Time from `before` to this one.
    pub(super) fn since(&self, before: &Self) -> Duration {
        self.at.saturating_duration_since(before.at)
    }

    /// How much a counter grew a second; 0 if the frame was started in between.
    pub(super) fn rate(&self, before: &Self, name: &str) -> f64 {
        let grown = self.number(name) - before.number(name);
        let during_s = self.since(before).as_secs_f64();
        if during_s > 0.0 { grown.max(0.0) / during_s } else { 0.0 }
    }

    /// The bound, in seconds, below which the share `q` of the times lies that were counted since
    /// `before`; `None` if there were none. `labels` are those of the histogram, without `le`.
    pub(super) fn quantile(&self, before: &Self, name: &str, labels: &str, q: f64) -> Option<f64> {
        let comma = if labels.is_empty() { "" } else { "," };
        let head = format!("{name}_bucket{{{labels}{comma}le=\"");
        let mut classes: Vec<(f64, f64)> = self
            .beginning_with(head.clone())
            .filter_map(|(key, _)| {
                let bound = key.get(head.len()..)?.strip_suffix("\"}")?;
                let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
                Some((bound, self.number(key) - before.number(key)))
            })
            .collect();
        classes.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let &(_, all) = classes.last()?;
        let class = classes.iter().find(|(_, through)| all > 0.0 && *through >= all * q)?;
        Some(class.0)
    }

    fn beginning_with(&self, head: String) -> impl Iterator<Item = (&str, &str)> {
        let from = (Bound::Included(head.clone()), Bound::Unbounded);
        let found = self.figures.range(from);
        found
            .take_while(move |(name, _)| name.starts_with(&head))
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(at: Instant, page: &str) -> Reading {
        Reading::parse(at, &format!("bezant_epoch 1\n{page}")).unwrap()
    }

    #[test]
    fn a_page_without_an_epoch_is_none_of_a_frame() {
        assert!(Reading::parse(Instant::now(), "up 1\n").is_none());
        assert!(Reading::parse(Instant::now(), "# HELP bezant_epoch 1\n").is_none());
        assert!(Reading::parse(Instant::now(), "").is_none());
    }

    #[test]
    fn figures_are_found_by_name_and_label() {
        let page = "# TYPE a gauge\na{of=\"one\"} 170141183460469231731687303715884105727\n\
                    a{of=\"two\"} 2\na_b 7\nb{x=\"1\",y=\"2\"} 1\n";
        let reading = reading(Instant::now(), page);
        let rows: Vec<_> = reading.rows("a", "of").collect();
        assert_eq!(rows, [("one", "170141183460469231731687303715884105727"), ("two", "2")]);
        assert_eq!(reading.number("a_b"), 7.0);
        assert_eq!(reading.number("none"), 0.0);
        assert_eq!(reading.label("b", "y"), Some("2"));
        assert_eq!(reading.label("b", "z"), None);
        assert_eq!(reading.rows("b", "x").count(), 0, "it has another label");
    }

    #[test]
    fn rates_and_quantiles_are_of_what_came_since() {
        let start = Instant::now();
        let before = reading(
            start,
            "n 100\nt_bucket{le=\"0.1\"} 50\nt_bucket{le=\"0.5\"} 50\nt_bucket{le=\"+Inf\"} 50\n",
        );
        let page = "n 300\nt_bucket{le=\"0.1\"} 50\nt_bucket{le=\"0.5\"} 149\n\
                    t_bucket{le=\"+Inf\"} 150\n";
        let after = reading(start + Duration::from_secs(2), page);
        assert_eq!(after.rate(&before, "n"), 100.0);
        assert_eq!(before.rate(&after, "n"), 0.0, "a counter that fell says nothing");
        assert_eq!(after.quantile(&before, "t", "", 0.5), Some(0.5));
        assert_eq!(after.quantile(&before, "t", "", 0.999), Some(f64::INFINITY));
        assert_eq!(after.quantile(&after, "t", "", 0.5), None, "nothing was counted");
        assert_eq!(after.quantile(&before, "u", "", 0.5), None, "there is no such family");
    }
}
