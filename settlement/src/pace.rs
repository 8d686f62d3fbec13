//! How often cuts are taken: at the set interval, and less often while committing them takes more
//! of the time than it may.
//!
//! It remembers nothing, so one slow commit stretches one interval only. Its invariant: as long as
//! no interval is at its bound, commits take no larger share of the time than is allowed.

/// How far the share of a commit may stretch the interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Time from one cut to the next while commits are quick.
    pub interval_ms: u64,
    /// Largest share of the time that commits may take, in percent; 100 never stretches.
    pub share_max_percent: u64,
    /// Bound of the stretched interval; below `interval_ms` it has no effect.
    pub stretched_max_ms: u64,
}

impl Pace {
    /// The default bound of a stretched interval: a million rows take two seconds, and most of them
    /// change again in each second of such a load.
    pub const STRETCHED_MAX_MS: u64 = 5_000;

    /// Every 100 ms, whatever it takes.
    pub const STEADY: Self =
        Self { interval_ms: 100, share_max_percent: 100, stretched_max_ms: Self::STRETCHED_MAX_MS };

    /// Time from the start of a commit that took `spent_ms` to the next cut.
    pub fn after_ms(&self, spent_ms: u64) -> u64 {
        let wanted_ms = spent_ms.saturating_mul(100).div_ceil(self.share_max_percent.max(1));
        wanted_ms.min(self.stretched_max_ms).max(self.interval_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const QUARTER: Pace = Pace { share_max_percent: 25, stretched_max_ms: 1_000, ..Pace::STEADY };

    #[test]
    fn an_interval_stretches_with_the_commit_up_to_its_bound_and_is_short_again_at_once() {
        let intervals = [0, 12, 25, 26, 60, 250, 251, 30_000, 12].map(|ms| QUARTER.after_ms(ms));
        assert_eq!(intervals, [100, 100, 100, 104, 240, 1_000, 1_000, 1_000, 100]);
        let seldom = Pace { interval_ms: 5_000, ..QUARTER };
        assert_eq!(seldom.after_ms(2_000), 5_000, "the bound stretches, it does not shorten");
    }

    proptest! {
        #[test]
        fn commits_take_no_more_than_their_share(
            commits in prop::collection::vec(0_u64..250, 1..100),
            share in 1_u64..=100,
        ) {
            let pace = Pace { share_max_percent: share, stretched_max_ms: 25_000, ..Pace::STEADY };
            let spent: u64 = commits.iter().sum();
            let whole: u64 = commits.iter().map(|spent_ms| pace.after_ms(*spent_ms)).sum();
            prop_assert!(spent * 100 <= whole * share);
        }

        #[test]
        fn an_interval_is_never_outside_its_bounds(spent_ms: u64, share: u64, bound_ms: u64) {
            let stretched_max_ms = bound_ms;
            let pace = Pace { share_max_percent: share, stretched_max_ms, ..Pace::STEADY };
            let after_ms = pace.after_ms(spent_ms);
            prop_assert!(after_ms >= pace.interval_ms);
            prop_assert!(after_ms <= bound_ms.max(pace.interval_ms));
        }
    }
}
