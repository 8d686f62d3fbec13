//! When requests are sent: as soon as there is room, or at times that were fixed before the run.
//!
//! A schedule knows no answers, so a slow frame cannot slow it down. Invariant: each time of a
//! schedule is given out once, in order, whoever asks for it.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::random::Random;

/// How the times of an open loop are spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Arrivals {
    /// Evenly.
    #[default]
    Even,
    /// As independent customers come: exponential gaps, so that bursts happen.
    Poisson,
}

/// Commands a second, whatever the frame does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpenLoop {
    /// Commands a second.
    pub rate: f64,
    /// How their times are spread.
    pub arrivals: Arrivals,
}

/// The times at which requests are to be sent, after the beginning.
#[derive(Debug)]
pub struct Schedule {
    arrivals: Arrivals,
    gap_s: f64,
    random: Random,
    at_s: f64,
    given: u64,
    requests_max: u64,
    time_max: Duration,
}

impl Schedule {
    /// Of requests of `batch` commands, until a limit.
    #[must_use]
    pub fn new(
        open: OpenLoop,
        batch: usize,
        seed: u64,
        commands_max: u64,
        time_max: Duration,
    ) -> Self {
        Self {
            arrivals: open.arrivals,
            gap_s: batch as f64 / open.rate,
            random: Random::new(seed ^ 0x0a44),
            at_s: 0.0,
            given: 0,
            requests_max: commands_max.div_ceil(batch.max(1) as u64),
            time_max,
        }
    }

    /// When the next request is meant to be sent; none when there are no more.
    pub fn next_at(&mut self) -> Option<Duration> {
        let at = Duration::try_from_secs_f64(self.at_s).unwrap_or(Duration::MAX);
        if self.given >= self.requests_max || at >= self.time_max {
            return None;
        }
        self.given += 1;
        match self.arrivals {
            // Not added up, so that no rounding does.
            Arrivals::Even => self.at_s = self.given as f64 * self.gap_s,
            Arrivals::Poisson => self.at_s -= (1.0 - self.random.unit()).ln() * self.gap_s,
        }
        Some(at)
    }
}

/// Waits with the kernel's high-resolution timers; the runtime's own count milliseconds.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: AsyncFd<OwnedFd>,
    /// The time for which the timer was set last, as long as it may still go off.
    set_for: Option<Instant>,
}

impl Alarm {
    /// Inside a runtime.
    #[expect(deprecated, reason = "what replaces it is unsafe; an owned descriptor stays open")]
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { timer: AsyncFd::with_interest(timer, Interest::READABLE)?, set_for: None })
    }

    /// Waits until `at`. Dropping the wait loses nothing, and waiting for the same time again sets
    /// no timer.
    pub(crate) async fn wait(&mut self, at: Instant) -> io::Result<()> {
        loop {
            let left = at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            if self.set_for != Some(at) {
                self.set(left)?;
                self.set_for = Some(at);
            }
            // Nothing is read: setting the timer anew takes back that it has gone off.
            self.timer.readable().await?.clear_ready();
            self.set_for = None;
        }
    }

    fn set(&self, left: Duration) -> io::Result<()> {
        let once = Timespec::try_from(left).map_err(|_| Errno::INVAL)?;
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let when = Itimerspec { it_interval, it_value: once };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &when)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(arrivals: Arrivals) -> Vec<Duration> {
        let open = OpenLoop { rate: 10_000.0, arrivals };
        let mut schedule = Schedule::new(open, 10, 7, 20_000, Duration::from_secs(60));
        std::iter::from_fn(|| schedule.next_at()).collect()
    }

    #[test]
    fn even_times_are_even_and_end_with_the_commands() {
        let times = times(Arrivals::Even);
        assert_eq!(times.len(), 2_000);
        assert_eq!(times[0], Duration::ZERO);
        assert_eq!(times[1_999], Duration::from_millis(1_999));
    }

    #[test]
    fn poisson_times_have_the_same_mean_and_are_in_order() {
        let times = times(Arrivals::Poisson);
        assert!(times.is_sorted());
        let end = times[1_999].as_secs_f64();
        assert!((1.8..2.2).contains(&end), "{end} s for 2000 requests, expected about 2");
        let short = times.windows(2).filter(|pair| pair[1] - pair[0] < Duration::from_millis(1));
        let share = short.count() as f64 / 1_999.0;
        assert!((0.58..0.68).contains(&share), "{share} below the mean, expected 1 - 1/e");
    }

    #[test]
    fn no_time_is_given_out_after_the_end() {
        let open = OpenLoop { rate: 100.0, arrivals: Arrivals::Even };
        let mut schedule = Schedule::new(open, 1, 7, u64::MAX, Duration::from_millis(35));
        let given: Vec<_> = std::iter::from_fn(|| schedule.next_at()).collect();
        assert_eq!(given.len(), 4);
        assert_eq!(schedule.next_at(), None);
    }

    #[tokio::test]
    async fn an_alarm_is_never_early_and_survives_a_dropped_wait() {
        let mut alarm = Alarm::new().unwrap();
        for (dropped, micros) in [(60_000_000, 1), (1, 300), (2_000, 2_000), (500, 200)] {
            let now = Instant::now();
            let [dropped, at] = [dropped, micros].map(|micros| now + Duration::from_micros(micros));
            let _ = tokio::time::timeout(Duration::ZERO, alarm.wait(dropped)).await;
            alarm.wait(at).await.unwrap();
            assert!(Instant::now() >= at);
        }
    }
}
