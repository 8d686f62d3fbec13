//! Where the time of a request went, by the frame's own clock.
//!
//! It measures nothing itself and knows nothing of the way there and back. Invariant: the stages
//! add up to [`Receipt::total`].

use std::time::Duration;

/// How long a request was in each stage of the frame, from the last byte read to the reply handed
/// to its connection, in whole microseconds. A request that the frame refused before it reached the
/// stages has zeros.
///
/// ```
/// use client::Receipt;
/// use std::time::Duration;
/// let receipt = Receipt::new([120, 820, 900, 950]);
/// assert_eq!(receipt.journaling(), Duration::from_micros(700));
/// let elsewhere = receipt.elsewhere(Duration::from_micros(1_150));
/// assert_eq!(elsewhere, Duration::from_micros(200));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Microseconds since received: sequenced, durable, executed, replied.
    stamps: [u32; 4],
}

impl Receipt {
    /// Of the stamps of a reply's head.
    #[must_use]
    pub const fn new(stamps: [u32; 4]) -> Self {
        Self { stamps }
    }

    /// Waiting for its place in the order: in the ring, behind what the journal is writing.
    #[must_use]
    pub const fn sequencing(&self) -> Duration {
        micros(self.stamps[0])
    }

    /// Being written and synced, and waiting until the engine took it up. Reads skip the writing.
    #[must_use]
    pub const fn journaling(&self) -> Duration {
        self.between(0, 1)
    }

    /// Being executed, behind what became durable together with it.
    #[must_use]
    pub const fn executing(&self) -> Duration {
        self.between(1, 2)
    }

    /// Between its execution and the handing over to its connection.
    #[must_use]
    pub const fn replying(&self) -> Duration {
        self.between(2, 3)
    }

    /// Time in the frame altogether.
    #[must_use]
    pub const fn total(&self) -> Duration {
        let [sequenced, durable, executed, replied] = self.stamps;
        micros(max(max(sequenced, durable), max(executed, replied)))
    }

    /// What of `round_trip`, as the caller measured it, was not the frame: the network, both
    /// transports, and the caller's own queues.
    #[must_use]
    pub const fn elsewhere(&self, round_trip: Duration) -> Duration {
        round_trip.saturating_sub(self.total())
    }

    const fn between(&self, before: usize, after: usize) -> Duration {
        let mut reached = 0;
        let mut stage = 0;
        while stage <= before {
            reached = max(reached, self.stamps[stage]);
            stage += 1;
        }
        micros(self.stamps[after].saturating_sub(reached))
    }
}

const fn micros(count: u32) -> Duration {
    Duration::from_micros(count as u64)
}

const fn max(one: u32, other: u32) -> u32 {
    if one > other { one } else { other }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stages_add_up() {
        // A stage that was skipped has the stamp 0; a frame that is wrong gives no nonsense either.
        for stamps in [[0; 4], [5, 7, 7, 30], [0, 0, 9, 12], [9, 0, 3, 20], [u32::MAX; 4]] {
            let receipt = Receipt::new(stamps);
            let stages = [
                receipt.sequencing(),
                receipt.journaling(),
                receipt.executing(),
                receipt.replying(),
            ];
            assert_eq!(stages.iter().sum::<Duration>(), receipt.total(), "{stamps:?}");
        }
    }

    #[test]
    fn a_caller_whose_clock_saw_less_than_the_frame_waited_nowhere_else() {
        let receipt = Receipt::new([1, 2, 3, 400]);
        assert_eq!(receipt.elsewhere(Duration::from_micros(399)), Duration::ZERO);
    }
}
