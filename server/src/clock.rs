//! The journal clock: the boot-time clock from an anchor taken at start, drawn slowly towards the
//! wall clock.
//!
//! One bad reading of the wall clock must not expire a hold: the clock never steps while it runs,
//! and a start far from the journal's last time is refused unless the operator accepts it.
//! Invariant: between two readings journal time moves by the boot-time elapsed, give or take
//! [`SLEW_PPM`] millionths of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pipeline::Now;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// How fast journal time is drawn towards the wall clock at the most: 500 µs a second.
const SLEW_PPM: i64 = 500;
/// How often the pace is set anew.
const PACE_EVERY_NS: u64 = 100_000_000;
/// What is off is drawn in over this long, if the slew allows.
const DRAW_IN_NS: i64 = 1_000_000_000;
/// How far the wall clock may lie behind the journal's last time at a start.
const BEHIND_MAX_NS: u64 = 5_000_000_000;
/// How far it may lie ahead.
const AHEAD_MAX_NS: u64 = 24 * 3_600 * 1_000_000_000;
/// Skew from which on operators are alarmed.
const SKEW_ALARM_NS: u64 = 1_000_000_000;

/// Why the frame does not start with this clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ClockError {
    /// The wall clock is behind the journal.
    #[error(
        "the wall clock is {by:?} behind the journal's last record: set the clock, or accept it \
         once with clock.accept_step=true; holds then expire late by as much"
    )]
    Behind {
        /// By how much.
        by: Duration,
    },
    /// The wall clock is far ahead of the journal.
    #[error(
        "the wall clock is {by:?} ahead of the journal's last record: if the frame was not stopped \
         that long, set the clock; else accept it once with clock.accept_step=true; due holds \
         expire at once"
    )]
    Ahead {
        /// By how much.
        by: Duration,
    },
}

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    /// Nanoseconds since boot, suspension included.
    boot_ns: u64,
    /// Nanoseconds since the Unix epoch.
    wall_ns: u64,
}

impl Reading {
    fn take() -> Self {
        Self { boot_ns: boot_ns(), wall_ns: nanoseconds(clock_gettime(ClockId::Realtime)) }
    }
}

/// Monotonic clock, in nanoseconds since the machine started.
pub(crate) fn boot_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Boottime))
}

/// Wall clock, in nanoseconds since the Unix epoch.
pub(crate) fn wall_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Realtime))
}

/// Monotonic clock, in milliseconds since the machine started.
pub(crate) fn monotonic_ms() -> u64 {
    boot_ns() / 1_000_000
}

fn nanoseconds(at: Timespec) -> u64 {
    let seconds = u64::try_from(at.tv_sec).unwrap_or(0);
    let rest = u64::try_from(at.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

/// Journal time as a function of the readings it is given.
#[derive(Clone, Copy, Debug)]
struct Pace {
    boot_ns: u64,
    journal_ns: u64,
    slew_ppm: i64,
    /// Wall minus journal time when the pace was last set.
    skew_ns: i64,
}

impl Pace {
    fn start(reading: Reading, last_ns: u64, is_accepted: bool) -> Result<Self, ClockError> {
        let wall_ns = reading.wall_ns;
        let behind = last_ns.saturating_sub(wall_ns);
        let ahead = wall_ns.saturating_sub(last_ns);
        if !is_accepted && behind > BEHIND_MAX_NS {
            let by = Duration::from_nanos(behind);
            return Err(ClockError::Behind { by });
        }
        if !is_accepted && ahead > AHEAD_MAX_NS {
            let by = Duration::from_nanos(ahead);
            return Err(ClockError::Ahead { by });
        }
        let mut pace = Self {
            boot_ns: reading.boot_ns,
            // Journal time cannot go back, so a wall clock behind it is caught up with slowly.
            journal_ns: wall_ns.max(last_ns),
            slew_ppm: 0,
            skew_ns: 0,
        };
        pace.set(reading);
        Ok(pace)
    }

    /// Journal time at `boot_ns`, at the present pace.
    fn at(&self, boot_ns: u64) -> u64 {
        let elapsed = boot_ns.saturating_sub(self.boot_ns);
        let slewed = i64::try_from(elapsed)
            .unwrap_or(i64::MAX)
            .min(DRAW_IN_NS)
            .saturating_mul(self.slew_ppm)
            / 1_000_000;
        self.journal_ns.saturating_add(elapsed).saturating_add_signed(slewed)
    }

    const fn is_due(&self, boot_ns: u64) -> bool {
        boot_ns.saturating_sub(self.boot_ns) >= PACE_EVERY_NS
    }

    /// Anchors at `reading` and sets the pace by what is off there.
    fn set(&mut self, reading: Reading) {
        let journal_ns = self.at(reading.boot_ns);
        let skew = i128::from(reading.wall_ns) - i128::from(journal_ns);
        let skew_ns = i64::try_from(skew).unwrap_or(if skew < 0 { i64::MIN } else { i64::MAX });
        let per_second = skew_ns / (DRAW_IN_NS / 1_000_000);
        *self = Self {
            boot_ns: reading.boot_ns.max(self.boot_ns),
            journal_ns,
            slew_ppm: per_second.clamp(-SLEW_PPM, SLEW_PPM),
            skew_ns,
        };
    }
}

/// Whether a frame whose journal ends at `last_ns` would start with the wall clock as it is.
///
/// # Errors
///
/// When it is too far from `last_ns`.
pub(crate) fn judge_start(last_ns: u64) -> Result<(), ClockError> {
    Pace::start(Reading::take(), last_ns, false).map(drop)
}

/// The clocks of the process.
#[derive(Debug)]
pub(crate) struct SystemClock {
    pace: Mutex<Pace>,
}

impl SystemClock {
    /// Starts journal time behind the journal's last record.
    ///
    /// # Errors
    ///
    /// When the wall clock is too far from `last_ns` and that is not accepted.
    pub(crate) fn start(last_ns: u64, is_accepted: bool) -> Result<Self, ClockError> {
        let pace = Mutex::new(Pace::start(Reading::take(), last_ns, is_accepted)?);
        Ok(Self { pace })
    }

    /// The clock of the stamps.
    pub(crate) fn monotonic_ns(&self) -> u64 {
        boot_ns()
    }

    /// Both times.
    pub(crate) fn now(&self) -> Now {
        let monotonic_ns = boot_ns();
        let mut pace = self.pace();
        if pace.is_due(monotonic_ns) {
            pace.set(Reading::take());
        }
        // Another thread may have set the pace after this one looked.
        let journal_ns = pace.at(monotonic_ns.max(pace.boot_ns));
        Now { journal_ns, monotonic_ns }
    }

    /// Wall minus journal time, in nanoseconds.
    pub(crate) fn skew_ns(&self) -> i64 {
        self.pace().skew_ns
    }

    /// Whether operators should look at the clocks.
    pub(crate) fn is_skewed(&self) -> bool {
        self.skew_ns().unsigned_abs() > SKEW_ALARM_NS
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const WALL: u64 = 1_700_000_000 * SECOND;

    fn reading(seconds: u64, wall_ns: u64) -> Reading {
        Reading { boot_ns: seconds * SECOND, wall_ns }
    }

    #[test]
    fn a_start_far_from_the_journal_needs_acceptance() {
        let at = |last_ns, accepted| Pace::start(reading(1, WALL), last_ns, accepted);
        assert!(at(WALL + 5 * SECOND, false).is_ok());
        let behind = at(WALL + 6 * SECOND, false).unwrap_err();
        assert_eq!(behind, ClockError::Behind { by: Duration::from_secs(6) });
        assert!(at(WALL - 86_400 * SECOND, false).is_ok());
        let ahead = at(WALL - 86_401 * SECOND, false).unwrap_err();
        assert!(matches!(ahead, ClockError::Ahead { .. }));
        assert_eq!(at(WALL + 60 * SECOND, true).unwrap().journal_ns, WALL + 60 * SECOND);
        assert_eq!(at(WALL - 90_000 * SECOND, true).unwrap().journal_ns, WALL);
    }

    #[test]
    fn a_jump_of_the_wall_clock_moves_journal_time_by_500_us_a_second() {
        for (jump, sign) in [(3_600 * SECOND, 1_i64), (WALL, 1), (0, 0)] {
            let mut pace = Pace::start(reading(0, WALL), WALL, false).unwrap();
            for tenth in 1..=100_u64 {
                let boot_ns = tenth * SECOND / 10;
                pace.set(Reading { boot_ns, wall_ns: WALL + boot_ns + jump });
            }
            let elapsed = pace.journal_ns - WALL;
            let off = elapsed.cast_signed() - 10 * SECOND.cast_signed();
            // The first tenth passed before the jump was seen.
            assert_eq!(off, sign * 9_900 * 500_000 / 1_000, "jump of {jump}");
        }
    }

    #[test]
    fn a_wall_clock_set_back_never_turns_journal_time_back() {
        let mut pace = Pace::start(reading(0, WALL), WALL, false).unwrap();
        let mut last = pace.at(0);
        for milli in 1..5_000_u64 {
            let boot_ns = milli * 1_000_000;
            if milli % 100 == 0 {
                pace.set(Reading { boot_ns, wall_ns: 1 });
            }
            let now = pace.at(boot_ns);
            assert!(now > last);
            last = now;
        }
        assert!(pace.skew_ns < -(SECOND.cast_signed()));
    }

    #[test]
    fn a_small_skew_is_drawn_in_and_stays_in() {
        let mut pace = Pace::start(reading(0, WALL), WALL, false).unwrap();
        let ahead = 200_000;
        for tenth in 1..=200_u64 {
            let boot_ns = tenth * SECOND / 10;
            pace.set(Reading { boot_ns, wall_ns: WALL + boot_ns + ahead });
        }
        assert!(pace.skew_ns.abs() < 2_000, "{}", pace.skew_ns);
    }

    #[test]
    fn a_long_pause_is_not_overcorrected() {
        let mut pace = Pace::start(reading(0, WALL), WALL, false).unwrap();
        pace.set(reading(1, WALL + SECOND + 100_000));
        let after = pace.at(3_601 * SECOND);
        assert_eq!(after, WALL + 3_601 * SECOND + 100_000);
    }

    #[test]
    fn the_system_clock_runs() {
        let clock = SystemClock::start(0, true).unwrap();
        let first = clock.now();
        let second = clock.now();
        assert!(second.journal_ns >= first.journal_ns);
        assert!(second.monotonic_ns >= first.monotonic_ns);
        assert!(clock.monotonic_ns() >= second.monotonic_ns && !clock.is_skewed());
    }
}
