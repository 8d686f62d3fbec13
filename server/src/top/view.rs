//! What the screen shows: the newest reading, the one before it, and the rates so far.

use std::collections::VecDeque;

use super::reading::Reading;

/// Rates that are kept for the chart: as many as the widest screen has columns.
const RATES_MAX: usize = 512;

/// The figures of which the chart is made.
const COMMANDS: &str = "bezant_engine_commands_total";

/// See the module.
pub(super) struct View {
    now: Reading,
    /// Of the same process.
    before: Option<Reading>,
    rates: VecDeque<u64>,
    problem: Option<String>,
    pub(super) is_paused: bool,
}

impl View {
    pub(super) fn of(now: Reading) -> Self {
        Self { now, before: None, rates: VecDeque::new(), problem: None, is_paused: false }
    }

    /// Goes on to `reading`.
    pub(super) fn take(&mut self, reading: Reading) {
        self.problem = None;
        let started = |reading: &Reading| reading.number("bezant_epoch");
        if started(&reading) != started(&self.now) {
            *self = Self { is_paused: self.is_paused, ..Self::of(reading) };
            return;
        }
        self.before = Some(std::mem::replace(&mut self.now, reading));
        if self.rates.len() == RATES_MAX {
            self.rates.pop_front();
        }
        // A rate is far below 2^53.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate")]
        self.rates.push_back(self.rate(COMMANDS) as u64);
    }

    /// The frame did not answer; what is shown stays.
    pub(super) fn fail(&mut self, problem: String) {
        self.problem = Some(problem);
    }

    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    pub(super) fn now(&self) -> &Reading {
        &self.now
    }

    /// The newest rates of commands, oldest first, `width` at the most.
    pub(super) fn rates(&self, width: usize) -> Vec<u64> {
        let skipped = self.rates.len().saturating_sub(width);
        self.rates.iter().skip(skipped).copied().collect()
    }

    /// Commands a second.
    pub(super) fn commands(&self) -> f64 {
        self.rate(COMMANDS)
    }

    /// How much a counter grows a second.
    pub(super) fn rate(&self, name: &str) -> f64 {
        self.before.as_ref().map_or(0.0, |before| self.now.rate(before, name))
    }

    /// Of the times counted between the two readings, in seconds.
    pub(super) fn quantile(&self, name: &str, labels: &str, q: f64) -> Option<f64> {
        self.now.quantile(self.before.as_ref()?, name, labels, q)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_frame_that_was_started_again_begins_anew() {
        let start = Instant::now();
        let page = |second: u64, epoch: u64, commands: u64| {
            let page = format!("bezant_epoch {epoch}\n{COMMANDS} {commands}\n");
            Reading::parse(start + Duration::from_secs(second), &page).unwrap()
        };
        let mut view = View::of(page(0, 1, 100));
        assert_eq!(view.commands(), 0.0, "one reading makes no rate");
        view.take(page(1, 1, 350));
        view.take(page(2, 1, 850));
        assert_eq!((view.commands(), view.rates(8)), (500.0, vec![250, 500]));
        assert_eq!(view.rates(1), [500]);
        view.fail("no answer".to_owned());
        assert_eq!(view.problem(), Some("no answer"));
        view.take(page(3, 2, 10));
        assert_eq!((view.commands(), view.rates(8)), (0.0, vec![]));
        assert_eq!(view.problem(), None);
    }
}
