//! What a run measures while it goes on: totals, histograms, and a row for each tenth of a second.
//!
//! It judges nothing and reads no clock. Invariant: an answer is counted once in each of them.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::report::{Percentiles, Point};

/// Longest latency told apart, in nanoseconds.
const LATENCY_MAX_NS: u64 = 600_000_000_000;
/// Time of one row.
pub const INTERVAL: Duration = Duration::from_millis(100);
/// Rows of a run, an hour of them; what comes later is in the totals alone.
const INTERVALS_MAX: usize = 36_000;
/// Names of the stages, in the order of the stamps.
pub const STAGES: [&str; 4] = ["sequenced", "durable", "executed", "replied"];

/// One request that was answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Since the run began.
    pub at: Duration,
    /// Until the answer was decoded; in an open loop since the time it was meant to be sent.
    pub latency: Duration,
    /// How much later than meant it was sent; zero in a closed loop.
    pub late: Duration,
    /// Stamps of the answer: microseconds since the frame received the request.
    pub stamps: [u32; 4],
    /// Commands executed by it.
    pub executed: u64,
    /// Answered while the run was warming up: counted, and its times left out of the histograms.
    pub is_cold: bool,
}

/// Totals and histograms of a run or a part of one.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Commands executed.
    pub executed: u64,
    /// Commands refused, by name.
    pub refused: BTreeMap<&'static str, u64>,
    /// Requests answered.
    pub requests: u64,
    /// Reads answered.
    pub reads: u64,
    latency: Histogram<u64>,
    late: Histogram<u64>,
    /// In microseconds.
    stages: [Histogram<u64>; 4],
}

fn histogram(max: u64, digits: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(1, max, digits).expect("the bounds are in order")
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(LATENCY_MAX_NS)
}

impl Default for Measured {
    fn default() -> Self {
        let stage = || histogram(LATENCY_MAX_NS / 1_000, 3);
        Self {
            executed: 0,
            refused: BTreeMap::new(),
            requests: 0,
            reads: 0,
            latency: histogram(LATENCY_MAX_NS, 3),
            late: histogram(LATENCY_MAX_NS, 3),
            stages: [stage(), stage(), stage(), stage()],
        }
    }
}

impl Measured {
    fn answered(&mut self, sample: &Sample) {
        self.requests += 1;
        self.executed += sample.executed;
        if sample.is_cold {
            return;
        }
        self.latency.saturating_record(nanos(sample.latency));
        self.late.saturating_record(nanos(sample.late));
        for (stage, &micros) in self.stages.iter_mut().zip(&sample.stamps) {
            stage.saturating_record(u64::from(micros));
        }
    }

    /// Counts commands that were refused by `name`.
    pub fn refuse(&mut self, name: &'static str, count: u64) {
        *self.refused.entry(name).or_default() += count;
    }

    /// Adds what was measured elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.executed += other.executed;
        self.requests += other.requests;
        self.reads += other.reads;
        for (&name, &count) in &other.refused {
            self.refuse(name, count);
        }
        let equal = "equal bounds";
        self.latency.add(&other.latency).expect(equal);
        self.late.add(&other.late).expect(equal);
        for (mine, theirs) in self.stages.iter_mut().zip(&other.stages) {
            mine.add(theirs).expect(equal);
        }
    }

    /// Request latency.
    #[must_use]
    pub fn latency(&self) -> Percentiles {
        Percentiles::of(&self.latency, 1_000.0)
    }

    /// How much later than meant requests were sent.
    #[must_use]
    pub fn late(&self) -> Percentiles {
        Percentiles::of(&self.late, 1_000.0)
    }

    /// When each stage was done, since the frame received the request.
    #[must_use]
    pub fn stages(&self) -> BTreeMap<&'static str, Percentiles> {
        let stages = STAGES.iter().zip(&self.stages);
        stages.map(|(&name, stage)| (name, Percentiles::of(stage, 1.0))).collect()
    }

    /// Latency by percentile, closer and closer to the longest.
    #[must_use]
    pub fn curve(&self) -> Vec<Point> {
        let point = |value: hdrhistogram::iterators::IterationValue<u64>| Point {
            quantile: value.quantile_iterated_to(),
            latency_us: value.value_iterated_to() as f64 / 1_000.0,
            count: value.count_since_last_iteration(),
        };
        self.latency.iter_quantiles(5).map(point).collect()
    }

    /// A latency quantile so far.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.latency.value_at_quantile(quantile))
    }
}

/// One row of the time series; times in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Interval {
    /// Since the run began, in milliseconds.
    pub at_ms: u64,
    /// Commands executed.
    pub executed: u64,
    /// Requests answered.
    pub requests: u64,
    /// Median latency.
    pub p50_us: f64,
    /// 99 in 100.
    pub p99_us: f64,
    /// Longest latency.
    pub max_us: f64,
    /// Mean time that each stage added: to be sequenced, durable, executed, replied.
    pub stages_us: [f64; 4],
}

/// The rows so far.
#[derive(Debug)]
struct Series {
    rows: Vec<Interval>,
    now: Interval,
    stage_sums: [u64; 4],
    latency: Histogram<u64>,
}

impl Default for Series {
    fn default() -> Self {
        let latency = histogram(LATENCY_MAX_NS, 2);
        Self { rows: Vec::new(), now: Interval::default(), stage_sums: [0; 4], latency }
    }
}

impl Series {
    fn answered(&mut self, sample: &Sample) {
        let row = (sample.at.as_millis() / INTERVAL.as_millis()) as usize;
        while self.rows.len() < row.min(INTERVALS_MAX) {
            self.close();
        }
        self.now.requests += 1;
        self.now.executed += sample.executed;
        self.latency.saturating_record(nanos(sample.latency));
        let mut before = 0;
        for (sum, &stamp) in self.stage_sums.iter_mut().zip(&sample.stamps) {
            *sum += u64::from(stamp.saturating_sub(before));
            before = before.max(stamp);
        }
    }

    /// Ends the row that is being counted.
    fn close(&mut self) {
        let latency = Percentiles::of(&self.latency, 1_000.0);
        let requests = self.now.requests.max(1) as f64;
        self.rows.push(Interval {
            p50_us: latency.p50,
            p99_us: latency.p99,
            max_us: latency.max,
            stages_us: self.stage_sums.map(|sum| sum as f64 / requests),
            ..self.now
        });
        let at_ms = self.rows.len() as u64 * INTERVAL.as_millis() as u64;
        self.now = Interval { at_ms, ..Interval::default() };
        self.stage_sums = [0; 4];
        self.latency.reset();
    }
}

/// Takes the samples of every lane.
#[derive(Debug, Default)]
pub struct Recorder {
    total: Measured,
    /// Since it was last taken; none until somebody has asked.
    recent: Option<Measured>,
    series: Series,
}

impl Recorder {
    /// Counts an answer.
    pub fn answered(&mut self, sample: &Sample) {
        self.total.answered(sample);
        self.series.answered(sample);
        if let Some(recent) = &mut self.recent {
            recent.answered(sample);
        }
    }

    /// Counts commands refused by `name`.
    pub fn refuse(&mut self, name: &'static str, count: u64) {
        self.total.refuse(name, count);
    }

    /// Counts reads.
    pub const fn read(&mut self, count: u64) {
        self.total.reads += count;
    }

    /// What was measured since the last call, from the first call on.
    pub fn take_recent(&mut self) -> Measured {
        self.recent.replace(Measured::default()).unwrap_or_default()
    }

    /// Everything, and the rows; begins anew.
    pub fn take(&mut self) -> (Measured, Vec<Interval>) {
        let mut series = std::mem::take(&mut self.series);
        if series.now.requests > 0 {
            series.close();
        }
        (std::mem::take(&mut self.total), series.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_ms: u64, latency_us: u64, stamps: [u32; 4]) -> Sample {
        Sample {
            at: Duration::from_millis(at_ms),
            latency: Duration::from_micros(latency_us),
            stamps,
            executed: 10,
            ..Sample::default()
        }
    }

    #[test]
    fn each_answer_is_in_its_row_and_in_the_totals() {
        let mut recorder = Recorder::default();
        recorder.answered(&sample(10, 100, [10, 30, 60, 70]));
        recorder.answered(&sample(90, 300, [20, 50, 60, 90]));
        recorder.answered(&sample(310, 500, [1, 2, 3, 4]));
        // A lane that is a little behind the others.
        recorder.answered(&sample(299, 500, [1, 2, 3, 4]));
        let (measured, rows) = recorder.take();
        assert_eq!((measured.requests, measured.executed), (4, 40));
        let counts: Vec<_> = rows.iter().map(|row| (row.at_ms, row.requests)).collect();
        assert_eq!(counts, [(0, 2), (100, 0), (200, 0), (300, 2)]);
        assert_eq!(rows[0].stages_us, [15.0, 25.0, 20.0, 20.0]);
        assert!((rows[0].max_us - 300.0).abs() < 3.0, "{}", rows[0].max_us);
        assert_eq!(recorder.take().0.requests, 0);
    }

    #[test]
    fn what_is_answered_while_warming_up_counts_and_has_no_latency() {
        let mut recorder = Recorder::default();
        recorder.answered(&Sample { is_cold: true, ..sample(10, 90_000, [9; 4]) });
        recorder.answered(&sample(20, 100, [1; 4]));
        let (measured, rows) = recorder.take();
        assert_eq!((measured.requests, measured.executed), (2, 20));
        assert!((measured.latency().max - 100.0).abs() < 1.0, "{:?}", measured.latency());
        assert!(measured.stages().values().all(|stage| stage.max < 2.0));
        assert!(rows[0].max_us > 80_000.0, "the rows of the series show it: {rows:?}");
    }

    #[test]
    fn what_is_recent_begins_with_the_first_question() {
        let mut recorder = Recorder::default();
        recorder.answered(&sample(1, 100, [0; 4]));
        assert_eq!(recorder.take_recent().requests, 0);
        recorder.answered(&sample(2, 100, [0; 4]));
        assert_eq!(recorder.take_recent().requests, 1);
        assert_eq!(recorder.take_recent().requests, 0);
    }

    #[test]
    fn stamps_out_of_order_take_no_time() {
        let mut recorder = Recorder::default();
        recorder.answered(&sample(1, 100, [50, 40, 60, 60]));
        assert_eq!(recorder.take().1[0].stages_us, [50.0, 0.0, 10.0, 0.0]);
    }
}
