//! The part of the history that a request asks for, and the walk through it.
//!
//! Invariant: what a walk has taken is everything of the part at or before the place that it names,
//! once, in order, and nothing behind that place.

use protocol::feed::{Followed, Place};

use super::event::NS_PER_MS;
use super::following::query_invalid;
use super::problem::{Own, Problem};
use super::walk::Walk;
use crate::limits::{HISTORY_PAGE_PATIENCE, HISTORY_WALK_TIMEOUT};

/// As it is written in a query.
pub(super) struct Span<'a> {
    pub(super) after: Option<&'a str>,
    pub(super) before: Option<u64>,
    pub(super) from: Option<u64>,
    pub(super) to: Option<u64>,
}

/// See the module.
pub(super) struct Range {
    pub(super) after: Place,
    pub(super) through: u64,
    pub(super) from_ns: Option<u64>,
    pub(super) to_ns: Option<u64>,
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was taken, and there is room for more.
    More,
    /// It was taken, and there is no room behind it.
    Last,
    /// There was no room for it.
    Full,
}

impl Range {
    /// Of a history that ends with `executed`.
    pub(super) fn of(span: &Span<'_>, executed: u64) -> Result<Self, Problem> {
        let after = match span.after {
            None => Place::after(0),
            Some(text) => Place::parse(text).ok_or_else(|| {
                query_invalid("after is a sequence or the `next` of the page before")
            })?,
        };
        if after.sequence() > executed {
            let detail = format!("the history ends with sequence {executed}; `after` is beyond it");
            return Err(query_invalid(detail));
        }
        Ok(Self {
            after,
            through: span.before.map_or(executed, |before| executed.min(before.saturating_sub(1))),
            from_ns: span.from.map(|ms| nanoseconds("from", ms)).transpose()?,
            to_ns: span.to.map(|ms| nanoseconds("to", ms)).transpose()?,
        })
    }

    /// Lets `take` have the entries, of which up to `step` are asked for at once. Gives the place
    /// that was reached, and whether there is nothing behind it.
    ///
    /// # Errors
    ///
    /// Why the history cannot be walked.
    pub(super) async fn walk(
        &self,
        mut walk: Walk,
        step: u32,
        mut take: impl FnMut(&Followed) -> Taken,
    ) -> Result<(Place, bool), Problem> {
        walk.narrow(self.from_ns, self.to_ns).await;
        let start = walk.place();
        let mut reached = start;
        while !walk.is_done() {
            if walk.elapsed() >= HISTORY_PAGE_PATIENCE && walk.place() > start {
                break;
            }
            if walk.elapsed() >= HISTORY_WALK_TIMEOUT {
                return Err(stuck(&walk));
            }
            for entry in walk.next(step).await? {
                if self.to_ns.is_some_and(|to| entry.timestamp_ns >= to) {
                    // All entries of a sequence have one time, so that this is its first one.
                    let before = Place::after(entry.effect.sequence.saturating_sub(1));
                    return Ok((reached.max(before), true));
                }
                if self.from_ns.is_none_or(|from| entry.timestamp_ns >= from) {
                    match take(&entry) {
                        Taken::More => {}
                        Taken::Last => return Ok((entry.place(), false)),
                        Taken::Full => return Ok((reached, false)),
                    }
                }
                reached = entry.place();
            }
            reached = walk.place();
        }
        Ok((walk.place(), walk.is_done()))
    }
}

/// A time in the query.
pub(super) fn nanoseconds(name: &str, ms: u64) -> Result<u64, Problem> {
    let too_late = || query_invalid(format!("{name} is a time in Unix milliseconds"));
    ms.checked_mul(NS_PER_MS).ok_or_else(too_late)
}

/// The walk has not come to where it has to go.
pub(super) fn stuck(walk: &Walk) -> Problem {
    let reached = walk.place();
    Problem::own(Own::Overloaded).detail(format!(
        "the history could be walked only to {reached} in time; ask for less of it, or later"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::effect::TIMER_LEG;

    const ALL: Span<'_> = Span { after: None, before: None, from: None, to: None };

    #[test]
    fn a_range_ends_with_the_history_and_before_what_is_named() {
        let through = |before| Range::of(&Span { before, ..ALL }, 50).unwrap().through;
        assert_eq!(through(None), 50);
        assert_eq!(through(Some(10)), 9);
        assert_eq!(through(Some(u64::MAX)), 50);
        assert_eq!((through(Some(1)), through(Some(0))), (0, 0));
        let place = |after| Range::of(&Span { after: Some(after), ..ALL }, 50).map(|it| it.after);
        assert_eq!(place("50").unwrap(), Place::after(50));
        assert_eq!(place("7.32768").unwrap(), Place::of(7, TIMER_LEG));
        for wrong in ["51", "x", "", "-1", "1.x"] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_is_refused_where_nanoseconds_would_not_hold_it() {
        assert!(Range::of(&Span { to: Some(u64::MAX), ..ALL }, 1).is_err());
        let range = Range::of(&Span { from: Some(3), ..ALL }, 1).unwrap();
        assert_eq!((range.from_ns, range.to_ns), (Some(3_000_000), None));
    }
}
