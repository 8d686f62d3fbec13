//! A walk through the entries of one owner: what is settled from SQL, what is not, or not there,
//! from the journal.
//!
//! ```text
//!  SQL, one question after the other ──► what is being settled: wait a little, ask again
//!        │ it lags, does not answer, or lacks this part of the history
//!        ▼
//!  a feed that begins at the same place: memory, or one replay for all who need one
//! ```
//!
//! It judges no right. Invariant: between where it began and where it stands it has given every
//! entry, once and in order. A row is in SQL if and only if the watermark read with it is past it,
//! and a place has one meaning in both, so that there is no seam to miss or to count twice.

use std::sync::Arc;
use std::time::Duration;

use identity::Principal;
use protocol::entry::EntryQuestion;
use protocol::feed::{Followed, Place};
use tokio::time::{Instant, sleep, timeout};

use super::following::refusal;
use super::problem::{Own, Problem};
use super::range::Range;
use crate::entries::EntryHistory;
use crate::feeds::{FeedError, Feeds, Filter, Follower, News, Purpose, Whose};
use crate::https::call::Caller;
use crate::limits::{
    HISTORY_QUIET, HISTORY_READ_TIMEOUT, HISTORY_SETTLE_PATIENCE, HISTORY_SETTLE_PAUSE,
};

/// See the module.
pub(crate) struct Walk {
    filter: Filter,
    principal: Principal,
    place: Place,
    through: u64,
    begun: Instant,
    /// The settled history, as long as the walk can be told from it.
    history: Option<Arc<dyn EntryHistory>>,
    feeds: Option<Arc<Feeds>>,
    follower: Option<Follower>,
    /// The settled history did not answer.
    is_failing: bool,
    /// Behind which sequence the settled history is whole, if the walk began before it.
    hole: Option<u64>,
    /// Since when there has been nothing more that is settled.
    waits: Option<Instant>,
}

/// What the settled history gave.
enum Read {
    Entries(Vec<Followed>),
    /// Nothing now.
    Nothing,
    /// It can give no more.
    Leave,
}

impl Walk {
    /// Through `range`, which ends with what is executed.
    pub(super) fn new(caller: &Caller, filter: Filter, range: &Range) -> Self {
        let info = &caller.desk().info;
        Self {
            filter,
            principal: caller.peer().principal(),
            place: range.after,
            through: range.through,
            begun: Instant::now(),
            history: info.entries.clone(),
            feeds: info.feeds.clone(),
            follower: None,
            is_failing: false,
            hole: None,
            waits: None,
        }
    }

    /// Where it stands.
    pub(crate) const fn place(&self) -> Place {
        self.place
    }

    /// Whether everything was given.
    pub(crate) const fn is_done(&self) -> bool {
        self.place.whole() >= self.through
    }

    /// How long it has been under way.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Leaves out what is settled and has a time before `from_ns`, or at `to_ns` or later: what it
    /// gives may still have such times, but need not be looked for.
    pub(crate) async fn narrow(&mut self, from_ns: Option<u64>, to_ns: Option<u64>) {
        let Some(history) = self.history.clone() else {
            return;
        };
        for (time_ns, is_end) in [(from_ns, false), (to_ns, true)] {
            let Some(time_ns) = time_ns else {
                continue;
            };
            match timeout(HISTORY_READ_TIMEOUT, history.boundary(time_ns)).await {
                Ok(Ok(found)) if is_end && found.is_passed => {
                    self.through = self.through.min(found.before);
                }
                Ok(Ok(_)) if is_end => {}
                Ok(Ok(found)) => self.place = self.place.max(Place::after(found.before)),
                Ok(Err(_)) | Err(_) => {
                    self.is_failing = true;
                    self.history = None;
                    return;
                }
            }
        }
    }

    /// The next entries, mostly at most `entries_max`; none: there were none up to where it stands
    /// now, or there is nothing to be had for a moment.
    ///
    /// # Errors
    ///
    /// Why it cannot go on.
    pub(crate) async fn next(&mut self, entries_max: u32) -> Result<Vec<Followed>, Problem> {
        if let Some(history) = self.history.clone() {
            match self.read(&*history, entries_max).await {
                Read::Entries(entries) => return Ok(entries),
                Read::Nothing => {
                    sleep(HISTORY_SETTLE_PAUSE).await;
                    return Ok(Vec::new());
                }
                Read::Leave => self.history = None,
            }
        }
        let follower = match self.follower.take() {
            Some(follower) => follower,
            None => self.join().await?,
        };
        self.hear(follower).await
    }

    async fn read(&mut self, history: &dyn EntryHistory, entries_max: u32) -> Read {
        if history.settled() <= self.place.whole() {
            return self.wait();
        }
        let question = EntryQuestion {
            owner: match self.filter.whose {
                Whose::Owner(owner) => Some(owner),
                Whose::All => None,
            },
            asset: self.filter.asset,
            after: self.place,
            through: self.through,
            entries_max,
        };
        let Ok(Ok(answer)) = timeout(HISTORY_READ_TIMEOUT, history.read(question)).await else {
            self.is_failing = true;
            return Read::Leave;
        };
        if self.place.whole() < answer.whole_behind {
            self.hole = Some(answer.whole_behind);
            return Read::Leave;
        }
        if answer.reached <= self.place {
            return self.wait();
        }
        self.place = answer.reached;
        self.waits = None;
        Read::Entries(answer.entries)
    }

    /// What is executed is mostly settled a moment later; without feeds there is nothing else.
    fn wait(&mut self) -> Read {
        let since = *self.waits.get_or_insert_with(Instant::now);
        if self.feeds.is_some() && since.elapsed() >= HISTORY_SETTLE_PATIENCE {
            return Read::Leave;
        }
        Read::Nothing
    }

    async fn join(&mut self) -> Result<Follower, Problem> {
        let Some(feeds) = &self.feeds else {
            return Err(match self.hole {
                _ if self.is_failing => Problem::own(Own::HistoryUnavailable),
                Some(hole) => refusal(FeedError::Gone { first: hole.saturating_add(1) }),
                None => Problem::own(Own::HistoryNotKept),
            });
        };
        let (after, principal, filter) = (Some(self.place), self.principal, self.filter);
        let joined = feeds.join_for(Purpose::Walk, principal, filter, after, HISTORY_QUIET);
        joined.await.map_err(|error| self.refusal(error))
    }

    async fn hear(&mut self, mut follower: Follower) -> Result<Vec<Followed>, Problem> {
        let mut entries = match follower.next().await {
            News::Events(events) => events,
            News::Progress(_) | News::Quiet => Vec::new(),
            News::Ended(error) => return Err(self.refusal(error)),
        };
        let reached = follower.place().min(Place::after(self.through));
        self.place = self.place.max(reached);
        self.follower = Some(follower);
        entries.retain(|entry| entry.effect.sequence <= self.through);
        for entry in &mut entries {
            // What SQL does not know is told by neither.
            (entry.command, entry.epoch) = (0, 0);
        }
        Ok(entries)
    }

    /// What the journal lacks may be in the history that did not answer.
    fn refusal(&self, error: FeedError) -> Problem {
        match error {
            FeedError::Gone { .. } if self.is_failing => Problem::own(Own::HistoryUnavailable),
            error => refusal(error),
        }
    }
}
