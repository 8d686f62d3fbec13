//! Line charts as SVG, written by hand: axes, grid, lines and a legend, readable in light and dark.
//!
//! It knows nothing of loads and uses nothing but the standard library. Invariant: every number
//! that it writes is finite, and every text is escaped.

use std::fmt::Write as _;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 62.0;
/// Told apart by people who see colours otherwise, on white and on black.
const COLOURS: [&str; 6] = ["#3987e5", "#d95926", "#199e70", "#c98500", "#d55181", "#9085e9"];

/// How an axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Evenly from zero.
    Linear,
    /// By powers of ten; what is not above zero is left out.
    Log,
    /// Of quantiles from 0 to 1, each nine as wide as the one before.
    Percentile,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// In the legend.
    pub name: String,
    /// Its points from left to right.
    pub points: Vec<(f64, f64)>,
}

/// A chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// Above it.
    pub title: String,
    /// Below the x axis, with its unit.
    pub x_label: String,
    /// Beside the y axis, with its unit.
    pub y_label: String,
    /// The x axis.
    pub x: Axis,
    /// The y axis.
    pub y: Axis,
    /// What is drawn.
    pub lines: Vec<Line>,
}

/// An axis with its range and its marks.
struct Scale {
    axis: Axis,
    low: f64,
    high: f64,
    marks: Vec<f64>,
}

impl Axis {
    /// A value on the evenly divided axis.
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => value.log10(),
            Self::Percentile => -(1.0 - value).log10(),
        }
    }
}

impl Scale {
    fn of(axis: Axis, values: impl Iterator<Item = f64>) -> Self {
        let places = values.map(|value| axis.place(value)).filter(|place| place.is_finite());
        let range = places.fold(None, |range: Option<(f64, f64)>, place| {
            Some(range.map_or((place, place), |(low, high)| (low.min(place), high.max(place))))
        });
        let (low, high) = range.unwrap_or((0.0, 1.0));
        if axis == Axis::Linear {
            let step = step(high.max(1e-9));
            let high = (high.max(1e-9) / step).ceil() * step;
            let count = (high / step).round() as usize;
            let marks = (0..=count).map(|at| at as f64 * step).collect();
            return Self { axis, low: 0.0, high, marks };
        }
        let low = if axis == Axis::Percentile { 0.0 } else { low.floor() };
        let high = high.ceil().max(low + 1.0);
        let places = (0..=(high - low) as usize).map(|at| low + at as f64);
        let value = |place: f64| match axis {
            Axis::Percentile => 1.0 - 10_f64.powf(-place),
            _ => 10_f64.powf(place),
        };
        Self { axis, low, high, marks: places.map(value).collect() }
    }

    /// From 0 to 1; none for what the axis cannot show.
    fn share(&self, value: f64) -> Option<f64> {
        let share = (self.axis.place(value) - self.low) / (self.high - self.low);
        share.is_finite().then_some(share)
    }

    fn text(&self, value: f64) -> String {
        if self.axis != Axis::Percentile {
            return short(value);
        }
        // 0, 90, 99, 99.9 …
        let digits = (-(1.0 - value).log10()).round().max(2.0) as usize - 2;
        format!("{:.digits$} %", value * 100.0)
    }
}

/// A step of 1, 2 or 5 times a power of ten that divides `high` into four to ten.
fn step(high: f64) -> f64 {
    let power = 10_f64.powf((high / 10.0).log10().ceil());
    let fits = |step: &f64| high / step >= 4.0;
    [power, power / 2.0, power / 5.0].into_iter().find(fits).unwrap_or(power / 5.0)
}

fn short(value: f64) -> String {
    let trimmed = |value: f64, unit: &str| {
        let text = format!("{value:.3}");
        format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match value {
        value if value >= 1e6 => trimmed(value / 1e6, " M"),
        value if value >= 1e3 => trimmed(value / 1e3, " k"),
        value => trimmed(value, ""),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Charts one below the other.
#[must_use]
pub fn page(charts: &[Chart]) -> String {
    let height = HEIGHT * charts.len() as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
         <style>svg{{background:#fff}}text{{fill:#333}}.t{{font-size:15px}}\
         .g{{stroke:#ddd}}.l{{fill:none;stroke-width:1.8;stroke-linejoin:round}}\
         @media (prefers-color-scheme:dark){{svg{{background:#161616}}text{{fill:#ccc}}\
         .g{{stroke:#3a3a3a}}}}</style>\n"
    );
    for (at, chart) in charts.iter().enumerate() {
        let _ = writeln!(out, "<g transform=\"translate(0 {})\">", HEIGHT * at as f64);
        chart.draw(&mut out);
        out.push_str("</g>\n");
    }
    out.push_str("</svg>\n");
    out
}

impl Chart {
    fn draw(&self, out: &mut String) {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let x = Scale::of(self.x, points().map(|point| point.0));
        let y = Scale::of(self.y, points().map(|point| point.1));
        let across = |share: f64| LEFT + share * (WIDTH - LEFT - RIGHT);
        let down = |share: f64| HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
        let (left, right, bottom) = (across(0.0), across(1.0), down(0.0));
        let title = escaped(&self.title);
        let _ = writeln!(out, "<text class=\"t\" x=\"{left}\" y=\"20\">{title}</text>");
        for &mark in &y.marks {
            let at = down(y.share(mark).unwrap_or(0.0));
            let (text, below) = (y.text(mark), at + 4.0);
            let _ = writeln!(
                out,
                "<path class=\"g\" d=\"M{left} {at:.1}H{right}\"/><text x=\"{:.0}\" \
                 y=\"{below:.1}\" text-anchor=\"end\">{text}</text>",
                left - 6.0
            );
        }
        for &mark in &x.marks {
            let at = across(x.share(mark).unwrap_or(0.0));
            let (text, below) = (x.text(mark), bottom + 16.0);
            let _ = writeln!(
                out,
                "<path class=\"g\" d=\"M{at:.1} {TOP}V{bottom}\"/><text x=\"{at:.1}\" \
                 y=\"{below}\" text-anchor=\"middle\">{text}</text>"
            );
        }
        let (x_label, y_label) = (escaped(&self.x_label), escaped(&self.y_label));
        let below = bottom + 32.0;
        let middle = (TOP + bottom) / 2.0;
        let _ = writeln!(
            out,
            "<text x=\"{right}\" y=\"{below}\" text-anchor=\"end\">{x_label}</text>\n\
             <text transform=\"translate(14 {middle}) rotate(-90)\" \
             text-anchor=\"middle\">{y_label}</text>"
        );
        let mut legend = left;
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            let mut path = String::new();
            for &(px, py) in &line.points {
                let (Some(px), Some(py)) = (x.share(px), y.share(py)) else {
                    continue;
                };
                let word = if path.is_empty() { 'M' } else { 'L' };
                let _ = write!(path, "{word}{:.1} {:.1}", across(px), down(py));
            }
            let name = escaped(&line.name);
            let (low, text_at) = (HEIGHT - 10.0, legend + 22.0);
            let _ = writeln!(
                out,
                "<path class=\"l\" stroke=\"{colour}\" d=\"{path}\"/>\
                 <path class=\"l\" stroke=\"{colour}\" d=\"M{legend:.0} {:.0}h16\"/>\
                 <text x=\"{text_at:.0}\" y=\"{low}\">{name}</text>",
                low - 4.0
            );
            legend += 40.0 + 7.0 * line.name.chars().count() as f64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(x: Axis, y: Axis, points: Vec<(f64, f64)>) -> Chart {
        let lines = vec![Line { name: "a < b".to_owned(), points }];
        let label = |text: &str| text.to_owned();
        let (title, x_label, y_label) = (label("t & t"), label("x"), label("y"));
        Chart { title, x_label, y_label, x, y, lines }
    }

    #[test]
    fn what_an_axis_cannot_show_is_left_out() {
        let odd = vec![(0.0, 0.0), (0.5, 1.0), (1.0, f64::NAN), (0.99, 100.0), (1.0, 10.0)];
        for x in [Axis::Linear, Axis::Log, Axis::Percentile] {
            for y in [Axis::Linear, Axis::Log] {
                for points in [odd.clone(), Vec::new(), vec![(0.0, 0.0)]] {
                    let svg = page(&[chart(x, y, points)]);
                    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
                    assert!(svg.contains("a &lt; b") && svg.contains("t &amp; t"));
                }
            }
        }
    }

    #[test]
    fn marks_are_round_numbers_around_the_values() {
        let linear = Scale::of(Axis::Linear, [0.0, 37.0].into_iter());
        assert_eq!(linear.marks, [0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0]);
        let log = Scale::of(Axis::Log, [30.0, 2_000.0].into_iter());
        assert_eq!(log.marks, [10.0, 100.0, 1_000.0, 10_000.0]);
        let shares = Scale::of(Axis::Percentile, [0.0, 0.5, 0.9995].into_iter());
        let texts: Vec<_> = shares.marks.iter().map(|&mark| shares.text(mark)).collect();
        assert_eq!(texts, ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
        assert_eq!((short(1_500_000.0), short(0.25)), ("1.5 M".to_owned(), "0.25".to_owned()));
    }
}
