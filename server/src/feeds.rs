//! The two threads of the feeds: one carries what the engine tells to those who follow it, one
//! tells those who are behind from the journal.
//!
//! Neither holds up a stage. Invariant: nothing is told that is not durable.

use std::io;
use std::sync::Arc;
use std::thread::{Builder, sleep};
use std::time::{Duration, Instant};

use gateway::{FeedError, FeedLimits, Feeds, Present, Round};
use pipeline::{ControlHandle, Marks, Past, PastError, Retelling, Tap};
use protocol::Sequence;
use protocol::feed::{Followed, Interest};

use crate::threads::make_way;

/// How often the tap is looked at while somebody follows.
const PAUSE: Duration = Duration::from_millis(5);
/// How often the journal is looked at by a replay that has come to its end.
const END_PAUSE: Duration = Duration::from_millis(2);
/// Longest time for the engine to take note of what is followed.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(1);

/// How long it is known how far back a feed can begin: to look costs the disk a little, and the
/// thread that looks has to empty the tap.
const REACH_KEPT: Duration = Duration::from_secs(1);

/// What the threads need of the frame.
pub(crate) struct Parts {
    pub(crate) tap: Tap,
    pub(crate) control: ControlHandle,
    pub(crate) marks: Arc<Marks>,
    pub(crate) past: Past,
}

/// Starts both threads. They end when the feeds are closed, or with the process: they only read.
///
/// # Errors
///
/// When the system refuses a thread.
pub(crate) fn start(limits: FeedLimits, parts: Parts) -> io::Result<Arc<Feeds>> {
    let feeds = Feeds::new(limits);
    let (past, marks) = (parts.past.clone(), Arc::clone(&parts.marks));
    let mut live = Live { parts, reach: None };
    let pumped = Arc::clone(&feeds);
    Builder::new().name("feeds".into()).spawn(move || while pumped.pump(&mut live, PAUSE) {})?;
    let told = Arc::clone(&feeds);
    let tell = move || {
        // A replay takes as long as it takes; the engine does not wait for a core meanwhile.
        make_way();
        while let Some(round) = told.next_round() {
            tell_round(&told, round, &past, &marks);
        }
    };
    Builder::new().name("feeds-past".into()).spawn(tell)?;
    Ok(feeds)
}

/// The frame as it runs.
struct Live {
    parts: Parts,
    /// How far back a feed can begin, and when that was looked up.
    reach: Option<(Instant, Option<u64>)>,
}

impl Present for Live {
    fn follow(&mut self, interest: Option<Interest>) -> Option<u64> {
        let answer = self.parts.control.follow(interest).ok()?;
        answer.recv_timeout(FOLLOW_TIMEOUT).ok()
    }

    fn executed(&mut self) -> u64 {
        self.parts.marks.watermarks().executed
    }

    fn next(&mut self) -> Option<Vec<Followed>> {
        self.parts.tap.next()
    }

    fn left_out(&mut self) -> u64 {
        self.parts.tap.left_out()
    }

    fn durable(&mut self) -> u64 {
        self.parts.marks.watermarks().committed
    }

    fn reaches_back_to(&mut self) -> Option<u64> {
        let known = self.reach.filter(|(looked, _)| looked.elapsed() < REACH_KEPT);
        let (looked, reach) =
            known.unwrap_or_else(|| (Instant::now(), look_back(&self.parts.past)));
        self.reach = Some((looked, reach));
        reach
    }
}

fn look_back(past: &Past) -> Option<u64> {
    match past.reaches_back_to() {
        Ok(sequence) => Some(sequence.0),
        Err(error) => {
            tracing::warn!(%error, "how far back a feed can begin is not known");
            None
        }
    }
}

/// Tells everybody of a round from the journal until each of them meets the present.
fn tell_round(feeds: &Feeds, mut round: Round, past: &Past, marks: &Marks) {
    let after = Sequence(round.after());
    let told = past
        .retell(after, round.interest(), marks.durable_index())
        .and_then(|retelling| tell(feeds, &mut round, retelling, marks));
    if let Err(error) = told {
        tracing::warn!(%after, %error, "feeds cannot be told from the journal");
        let is_gone = matches!(error, PastError::Gone { .. });
        let reach = past.reaches_back_to().ok().filter(|reach| is_gone && *reach > after);
        let gone = |reach: Sequence| FeedError::Gone { first: reach.0.saturating_add(1) };
        round.fail(reach.map_or(FeedError::Unreadable, gone));
    }
}

fn tell(
    feeds: &Feeds,
    round: &mut Round,
    mut retelling: Retelling,
    marks: &Marks,
) -> Result<(), PastError> {
    let mut events = Vec::new();
    while !round.is_done() && !feeds.is_closed() {
        events.clear();
        match retelling.next(&mut events)? {
            Some(executed) => {
                round.tell(&events, executed.0);
                if let Some(interest) = round.take_in() {
                    retelling.follow(interest);
                }
            }
            None => {
                let until = marks.durable_index();
                if until > retelling.index() {
                    retelling.go_on(until)?;
                } else {
                    // Somebody may have left, or met the present.
                    round.tell(&[], retelling.executed().0);
                    sleep(END_PAUSE);
                }
            }
        }
    }
    Ok(())
}
