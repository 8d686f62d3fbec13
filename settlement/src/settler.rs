//! The settlement state machine: what to ask the engine and the database, and when.
//!
//! It performs no I/O and reads no clock: `step(now, input)` gives actions, the runner carries
//! them out and feeds the results back. It never has two cuts at once, never commits a cut that
//! does not reach back to the watermark found in the database, and after any failure reads the
//! watermark before it decides anything.
//!
//! ```text
//! Disconnected ─connect─► Connecting ─► Reading ─watermark─► Idle ─pace──► Cutting ─cut►Committing
//!      ▲                      │            │                  ▲                              │  │
//!      └────── backoff ◄──────┴────────────┴──────────────────┼──────────── failed ──────────┘  │
//!                                                             └──────────── committed ──────────┘
//! ```

use protocol::Sequence;
use protocol::cut::{Cut, Effects};

use crate::history::Confirmation;
use crate::pace::Pace;
use crate::sink::Class;
use crate::verdict::{Alarm, Stop, judge};
use crate::watermark::{Watermark, settled_through};

/// What a settler is told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Frame whose journal is settled.
    pub frame: u128,
    /// Epoch of this leader.
    pub epoch: u64,
    /// Whether effects are written.
    pub history: bool,
    /// Time from one cut to the next.
    pub pace: Pace,
    /// How long an idle frame leaves the database unread: a restored copy is noticed by then.
    pub check_every_ms: u64,
    /// First wait after a failure; it doubles with each further one.
    pub backoff_first_ms: u64,
    /// Longest wait after a failure.
    pub backoff_max_ms: u64,
    /// Last sequence the journal says is settled: a database with less is an older copy.
    pub seen: Sequence,
}

impl Settings {
    /// The defaults: a cut every 100 ms, a wait of 50 ms to 5 s after failures.
    pub const fn new(frame: u128, epoch: u64, history: bool, seen: Sequence) -> Self {
        Self {
            frame,
            epoch,
            history,
            pace: Pace::STEADY,
            check_every_ms: 5_000,
            backoff_first_ms: 50,
            backoff_max_ms: 5_000,
            seen,
        }
    }
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// Time passed.
    Tick,
    /// The sink is connected.
    Connected,
    /// The watermark was read, and the journal asked about it unless [`Settler::knows`] it.
    Watermark {
        /// What the database holds.
        stored: Option<Watermark>,
        /// What the journal says of it.
        confirmation: Confirmation,
    },
    /// The engine gave the cut.
    Cut(Box<Cut>),
    /// The pending cut is committed.
    Committed,
    /// The sink or the journal failed.
    Failed(Class),
    /// Settle what there is, then stop.
    Drain {
        /// Give up at this time.
        deadline_ms: u64,
    },
    /// The engine will give no more cuts.
    EngineGone,
}

/// Where the effects of a commit come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffectsFrom {
    /// None are written.
    Nowhere,
    /// The cut holds them.
    Cut,
    /// The journal must be replayed.
    Journal,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Connect anew; answer with `Connected` or `Failed`.
    Connect,
    /// Read the watermark; answer with `Watermark` or `Failed`.
    ReadWatermark,
    /// Ask the engine for a cut; it comes later as `Cut`.
    RequestCut {
        /// With every account.
        complete: bool,
    },
    /// Commit [`Settler::pending`]; answer with `Committed` or `Failed`.
    Commit {
        /// Watermark that must be found.
        expected: Option<Watermark>,
        /// Last sequence settled before.
        after: Sequence,
        /// Source of the effects.
        effects: EffectsFrom,
    },
    /// This is settled now.
    Settled(Watermark),
    /// A person should look.
    Alarm(Alarm),
    /// It is over.
    Stop(Stop),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Disconnected { retry_at_ms: u64 },
    Connecting,
    Reading,
    Idle,
    Cutting,
    Committing,
    Stopped,
}

#[derive(Clone, Copy, Debug)]
struct Drain {
    deadline_ms: u64,
    /// The last cut has been asked for.
    last_cut_asked: bool,
}

/// The state machine.
#[derive(Debug)]
pub struct Settler {
    settings: Settings,
    state: State,
    /// What the database was last known to hold.
    settled: Option<Watermark>,
    /// Whether `settled` has ever been read.
    read: bool,
    /// The cut being committed. It is kept through failures: its rows are in no later cut.
    pending: Option<Box<Cut>>,
    /// The next cut must hold every account.
    complete_next: bool,
    requested_at_ms: u64,
    next_cut_at_ms: u64,
    commit_began_at_ms: u64,
    /// Time from one cut to the next at present.
    interval_ms: u64,
    /// When the database last answered.
    checked_at_ms: u64,
    backoff_ms: u64,
    fresh_at_ms: Option<u64>,
    drain: Option<Drain>,
}

impl Settler {
    /// A settler that has not connected yet.
    pub const fn new(settings: Settings) -> Self {
        let (backoff_ms, interval_ms) = (settings.backoff_first_ms, settings.pace.interval_ms);
        Self {
            settings,
            state: State::Disconnected { retry_at_ms: 0 },
            settled: None,
            read: false,
            pending: None,
            complete_next: true,
            requested_at_ms: 0,
            next_cut_at_ms: 0,
            commit_began_at_ms: 0,
            interval_ms,
            checked_at_ms: 0,
            backoff_ms,
            fresh_at_ms: None,
            drain: None,
        }
    }

    /// The settings, with the newest epoch a cut carried.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The cut that is being committed.
    pub fn pending(&self) -> Option<&Cut> {
        self.pending.as_deref()
    }

    /// What the database is known to hold.
    pub const fn settled(&self) -> Option<&Watermark> {
        self.settled.as_ref()
    }

    /// The time at which everything now settled was all there was.
    pub const fn fresh_at_ms(&self) -> Option<u64> {
        self.fresh_at_ms
    }

    /// Time from one cut to the next, as the last commit stretched it.
    pub const fn interval_ms(&self) -> u64 {
        self.interval_ms
    }

    /// Whether the watermark is one this settler wrote or tried to write, so that the journal need
    /// not be asked.
    pub fn knows(&self, watermark: &Watermark) -> bool {
        let pending = self.pending.as_deref().map(Watermark::of);
        [self.settled.as_ref(), pending.as_ref()]
            .into_iter()
            .flatten()
            .any(|known| known.same_position(watermark))
    }

    /// When the machine wants its next `Tick`, unless an answer comes first.
    pub fn wake_at_ms(&self) -> Option<u64> {
        let own = match self.state {
            State::Disconnected { retry_at_ms } => Some(retry_at_ms),
            State::Idle => Some(self.next_cut_at_ms),
            _ => None,
        };
        let deadline = self.drain.map(|drain| drain.deadline_ms);
        match (own, deadline) {
            (Some(own), Some(deadline)) => Some(own.min(deadline)),
            (own, deadline) => own.or(deadline),
        }
    }

    /// Takes one input and says what to do.
    pub fn step(&mut self, now_ms: u64, input: Input) -> Vec<Action> {
        if self.state == State::Stopped {
            return Vec::new();
        }
        match input {
            Input::Tick => self.tick(now_ms),
            Input::Connected => {
                self.state = State::Reading;
                vec![Action::ReadWatermark]
            }
            Input::Watermark { stored, confirmation } => self.adopt(now_ms, stored, confirmation),
            Input::Cut(cut) => self.accept(cut, now_ms),
            Input::Committed => self.committed(now_ms),
            Input::Failed(class) => self.failed(now_ms, class),
            Input::Drain { deadline_ms } => {
                self.drain = Some(Drain { deadline_ms, last_cut_asked: false });
                self.tick(now_ms)
            }
            Input::EngineGone => self.stop(Stop::EngineGone),
        }
    }

    fn tick(&mut self, now_ms: u64) -> Vec<Action> {
        if self.drain.is_some_and(|drain| now_ms >= drain.deadline_ms) {
            return self.stop(Stop::DrainDeadline);
        }
        match self.state {
            State::Disconnected { retry_at_ms } if now_ms >= retry_at_ms => {
                self.state = State::Connecting;
                vec![Action::Connect]
            }
            State::Idle => {
                let due = self.wake_at_ms().is_none_or(|due_ms| now_ms >= due_ms);
                match &mut self.drain {
                    Some(drain) if drain.last_cut_asked && !self.complete_next => {
                        self.stop(Stop::Drained)
                    }
                    Some(drain) => {
                        drain.last_cut_asked = true;
                        self.request(now_ms)
                    }
                    None if due => self.request(now_ms),
                    None => Vec::new(),
                }
            }
            _ => Vec::new(),
        }
    }

    fn request(&mut self, now_ms: u64) -> Vec<Action> {
        self.state = State::Cutting;
        self.requested_at_ms = now_ms;
        self.next_cut_at_ms = now_ms.saturating_add(self.settings.pace.interval_ms);
        vec![Action::RequestCut { complete: self.complete_next }]
    }

    /// Takes over what the database says it holds.
    fn adopt(
        &mut self,
        now_ms: u64,
        stored: Option<Watermark>,
        confirmation: Confirmation,
    ) -> Vec<Action> {
        let confirmation = match &stored {
            Some(stored) if self.knows(stored) => Confirmation::Same,
            _ => confirmation,
        };
        if let Err(stop) = judge(&self.settings, stored.as_ref(), confirmation) {
            return self.stop(stop);
        }
        let mut actions = Vec::new();
        let through = settled_through(stored.as_ref());
        let before =
            if self.read { settled_through(self.settled.as_ref()) } else { self.settings.seen };
        let has_lost_all = self.settled.is_some() && stored.is_none();
        if through < before || has_lost_all {
            actions.push(Action::Alarm(Alarm::Behind));
            self.complete_next |= self.pending.is_none();
        }
        self.read = true;
        self.checked_at_ms = now_ms;
        self.settled = stored;
        if let Some(settled) = &self.settled {
            actions.push(Action::Settled(settled.clone()));
        }
        self.state = State::Idle;
        if let Some(pending) = self.pending.take() {
            actions.extend(self.place(pending, now_ms));
        }
        actions
    }

    /// Takes a cut from the engine.
    fn accept(&mut self, mut cut: Box<Cut>, now_ms: u64) -> Vec<Action> {
        assert_eq!(cut.frame, self.settings.frame, "a cut is of this frame");
        assert!(cut.after <= cut.through, "a cut ends where it begins or later");
        if self.state != State::Cutting {
            // Nobody asked: its rows are lost to later cuts unless the next holds every account.
            self.complete_next = true;
            return Vec::new();
        }
        cut.accounts.sort();
        self.settings.epoch = self.settings.epoch.max(cut.epoch);
        // Its last record may be a predecessor's, and would not fence that one.
        cut.epoch = self.settings.epoch;
        if cut.complete {
            self.complete_next = false;
        }
        self.state = State::Idle;
        let mut actions = self.place(cut, now_ms);
        if self.state == State::Idle {
            if self.complete_next {
                actions.extend(self.request(now_ms));
            } else {
                self.fresh_at_ms = Some(self.requested_at_ms);
                self.backoff_ms = self.settings.backoff_first_ms;
                self.interval_ms = self.settings.pace.interval_ms;
                actions.extend(self.check(now_ms));
            }
        }
        actions
    }

    /// Reads the watermark of an idle frame from time to time.
    fn check(&mut self, now_ms: u64) -> Option<Action> {
        let due_ms = self.checked_at_ms.saturating_add(self.settings.check_every_ms);
        (now_ms >= due_ms).then(|| {
            self.state = State::Reading;
            Action::ReadWatermark
        })
    }

    /// Commits `cut` if it reaches back to what is settled, drops it if all of it is settled
    /// already, and else drops it and wants a complete one. Into an empty database only a complete
    /// one goes: accounts that never changed since the genesis are in no other.
    fn place(&mut self, cut: Box<Cut>, now_ms: u64) -> Vec<Action> {
        let after = settled_through(self.settled.as_ref());
        if self.settled.is_some() && cut.through <= after {
            return Vec::new();
        }
        if !cut.complete && (self.settled.is_none() || cut.after > after) {
            self.complete_next = true;
            return Vec::new();
        }
        let effects = match (&cut.effects, self.settings.history) {
            (_, false) => EffectsFrom::Nowhere,
            _ if cut.through == after => EffectsFrom::Nowhere,
            (Effects::All(_), true) if cut.after <= after => EffectsFrom::Cut,
            (_, true) => EffectsFrom::Journal,
        };
        self.state = State::Committing;
        self.commit_began_at_ms = now_ms;
        self.pending = Some(cut);
        vec![Action::Commit { expected: self.settled.clone(), after, effects }]
    }

    fn committed(&mut self, now_ms: u64) -> Vec<Action> {
        assert_eq!(self.state, State::Committing, "only a commit is committed");
        let cut = self.pending.take().expect("a commit has its cut");
        let settled = Watermark::of(&cut);
        self.settled = Some(settled.clone());
        self.checked_at_ms = now_ms;
        self.state = State::Idle;
        self.fresh_at_ms = Some(self.requested_at_ms);
        self.backoff_ms = self.settings.backoff_first_ms;
        self.stretch(now_ms);
        vec![Action::Settled(settled)]
    }

    /// Puts the next cut off if the commit that ends now took more than its share. Not with
    /// history: postings are as many however seldom they are written, and must fit their pool.
    fn stretch(&mut self, now_ms: u64) {
        let pace = &self.settings.pace;
        if self.settings.history {
            return;
        }
        self.interval_ms = pace.after_ms(now_ms.saturating_sub(self.commit_began_at_ms));
        if self.interval_ms > pace.interval_ms {
            let stretched_ms = self.commit_began_at_ms.saturating_add(self.interval_ms);
            self.next_cut_at_ms = self.next_cut_at_ms.max(stretched_ms);
        }
    }

    fn failed(&mut self, now_ms: u64, class: Class) -> Vec<Action> {
        let alarm = match class {
            Class::Retry | Class::Moved => None,
            Class::Refused => Some(Alarm::Refused),
            Class::Settings => Some(Alarm::Settings),
            Class::HistoryUnread => Some(Alarm::HistoryUnread),
            Class::HistoryTooShort => return self.stop(Stop::JournalTooShort),
            Class::Fenced => return self.stop(Stop::Fenced),
            Class::Foreign => return self.stop(Stop::Foreign),
            Class::Schema => return self.stop(Stop::Schema),
        };
        self.state = State::Disconnected { retry_at_ms: now_ms.saturating_add(self.backoff_ms) };
        self.backoff_ms = (self.backoff_ms.saturating_mul(2)).min(self.settings.backoff_max_ms);
        alarm.map(Action::Alarm).into_iter().collect()
    }

    fn stop(&mut self, reason: Stop) -> Vec<Action> {
        self.state = State::Stopped;
        vec![Action::Stop(reason)]
    }
}

#[cfg(test)]
#[path = "settler_test.rs"]
mod tests;
