//! Sequencing and journaling: whatever has arrived becomes one record, numbered and stamped.
//!
//! It executes nothing and waits for nothing: a group is what arrived while the last was made
//! durable. A full journal refuses the group without using a sequence, and the stage goes on.
//! When nothing comes any more, a blank record attests that what came before it is durable.
//! Invariant: the place given to a request is the one that its record gives it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use journal::{AppendError, Appended, Appender, Entry, Kind};
use protocol::genesis::RULES;
use protocol::{Command, Request, Status};
use ring::{Envelope, Gate, JournalEnd, Place, Polled, Publisher};
use zerocopy::IntoBytes;

use crate::halt::{Halt, Progress};
use crate::limits::{ATTEST_AFTER, GROUP_BYTES_MAX, TICK_RETRY};
use crate::marks::{Announced, Marks};
use crate::metrics::{Metrics, add};
use crate::tick::{TICK_LEN, tick_command, tick_request};

/// The time, as whoever drives the stages tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Journal time: nanoseconds since the Unix epoch, never stepping.
    pub journal_ns: u64,
    /// The monotonic clock that stamps are taken from.
    pub monotonic_ns: u64,
}

/// The stage that sequences and journals.
pub struct JournalStage {
    ring: JournalEnd,
    /// For carriers of ticks; dropped when the stage closes.
    publisher: Option<Publisher>,
    engine_gate: Arc<Gate>,
    sync_gate: Arc<Gate>,
    sequencer: Sequencer,
}

impl JournalStage {
    pub(crate) fn new(
        ring: JournalEnd,
        publisher: Publisher,
        gates: (Arc<Gate>, Arc<Gate>),
        sequencer: Sequencer,
    ) -> Self {
        let (sync_gate, engine_gate) = gates;
        Self { ring, publisher: Some(publisher), engine_gate, sync_gate, sequencer }
    }

    /// Whether there is anything to do at `journal_ns`.
    #[must_use]
    pub fn is_ready(&self, journal_ns: u64) -> bool {
        let has_work = self.ring.has_available()
            || self.sequencer.is_tick_due(journal_ns)
            || self.sequencer.is_blank_due(journal_ns);
        has_work && !self.awaits_segment()
    }

    /// Whether requests have to wait for a segment that is being prepared: the disk is behind, and
    /// refusing them would be for want of patience, not of room.
    #[must_use]
    pub fn awaits_segment(&self) -> bool {
        self.sequencer.appender.awaits_segment(self.payload_len_max())
    }

    fn payload_len_max(&self) -> u64 {
        GROUP_BYTES_MAX.min(self.sequencer.appender.payload_len_max())
    }

    /// Why the stage has stopped for good.
    #[must_use]
    pub const fn halt(&self) -> Option<&Halt> {
        self.sequencer.halt.as_ref()
    }

    /// Begins the epoch with a blank record, which attests all that was found; says whether there
    /// was room for it. Call it before the first step, and sync before anybody is served: a start
    /// then uses up its epoch whatever becomes of it.
    pub fn open(&mut self, now: Now) -> bool {
        let has_appended = self.sequencer.append_blank(now);
        if has_appended {
            self.sync_gate.notify();
        }
        has_appended
    }

    /// Journals whatever has arrived, up to one record; a blank one if no command has for a while.
    pub fn step(&mut self, now: Now) -> Progress {
        if self.sequencer.halt.is_some() {
            return Progress::Halted;
        }
        if self.awaits_segment() {
            return Progress::Idle;
        }
        self.carry_tick(now);
        let bytes_max = usize::try_from(self.payload_len_max()).unwrap_or(usize::MAX) - TICK_LEN;
        let sequencer = &mut self.sequencer;
        let mut done = Done::default();
        let polled = self.ring.poll(bytes_max, |group| {
            done = sequencer.sequence(group, now);
        });
        let attested = !done.appended
            && self.sequencer.is_blank_due(now.journal_ns)
            && self.sequencer.append_blank(now);
        // Only now: the envelopes are passed on when `poll` has returned.
        if done.appended || attested {
            self.sync_gate.notify();
        }
        if done.executable {
            self.engine_gate.notify();
        }
        match polled {
            _ if self.sequencer.halt.is_some() => Progress::Halted,
            Polled::Taken(_) => Progress::Worked,
            Polled::Empty if attested => Progress::Worked,
            Polled::Empty => Progress::Idle,
            Polled::Shutdown => Progress::Finished,
        }
    }

    /// Publishes no more ticks, so that the ring ends with the last gateway worker.
    pub fn close(&mut self) {
        self.publisher = None;
    }

    /// Ends an executed and durable journal with a blank record that carries the last digest,
    /// unless it ends so already. Call it after the engine stage has finished; then sync once more.
    pub fn conclude(&mut self, now: Now) {
        if self.sequencer.halt.is_none() && self.sequencer.blank_at_ns.is_some() {
            self.sequencer.append_blank(now);
        }
    }

    /// On an idle frame nobody brings the record that due timers need.
    fn carry_tick(&mut self, now: Now) {
        let is_wanted = self.sequencer.is_tick_due(now.journal_ns)
            && (self.sequencer.carrier_wanted || !self.ring.has_available());
        let Some(publisher) = self.publisher.as_mut().filter(|_| is_wanted) else {
            return;
        };
        // A full ring brings other requests that can open with the tick.
        if publisher.try_publish(Envelope::with_slots(0)).is_ok() {
            self.sequencer.carrier_wanted = false;
        }
    }
}

/// What became of a group.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    /// A record was appended.
    appended: bool,
    /// Something needs no further sync: reads and refusals.
    executable: bool,
}

/// Everything of the stage but the ring.
pub(crate) struct Sequencer {
    appender: Appender,
    marks: Arc<Marks>,
    metrics: Arc<Metrics>,
    epoch: u64,
    /// Last record of commands.
    index: u64,
    tick: tick_state::TickState,
    /// A tick is due and the last group could not take it.
    carrier_wanted: bool,
    /// From when a blank record is wanted; none behind a blank record.
    blank_at_ns: Option<u64>,
    halt: Option<Halt>,
}

impl Sequencer {
    pub(crate) fn new(
        appender: Appender,
        marks: Arc<Marks>,
        metrics: Arc<Metrics>,
        epoch: u64,
    ) -> Self {
        let index = appender.last().index;
        Self {
            appender,
            marks,
            metrics,
            epoch,
            index,
            tick: tick_state::TickState::default(),
            carrier_wanted: false,
            blank_at_ns: Some(0),
            halt: None,
        }
    }

    fn is_tick_due(&self, journal_ns: u64) -> bool {
        let at = self.timestamp(journal_ns);
        let executed = self.marks.executed.value();
        self.tick
            .is_allowed(executed, journal_ns)
            .then(|| self.marks.deadline_ns())
            .flatten()
            .is_some_and(|deadline| deadline <= at)
    }

    /// Only behind what is executed: the blank record then carries the last digest, and says that
    /// every record before it is durable.
    fn is_blank_due(&self, journal_ns: u64) -> bool {
        self.blank_at_ns.is_some_and(|at| at <= journal_ns)
            && self.marks.executed.value() + 1 == self.appender.next_sequence()
    }

    /// Journal time of the next record: it always rises, whatever the clock does.
    fn timestamp(&self, journal_ns: u64) -> u64 {
        journal_ns.max(self.appender.last().timestamp_ns + 1)
    }

    fn sequence(&mut self, group: &mut [Box<Envelope>], now: Now) -> Done {
        let is_due = self.is_tick_due(now.journal_ns);
        let is_member =
            |envelope: &Envelope| envelope.journal_len() > 0 || (is_due && envelope.is_carrier());
        let members = group.iter().filter(|envelope| is_member(envelope)).count();
        self.carrier_wanted = is_due && members == 0;
        if members == 0 {
            self.pass(group, now);
            return Done { appended: false, executable: true };
        }
        match self.append(group, is_due, now) {
            Ok((entry, appended)) => {
                self.place(group, is_due, &entry, &appended, now);
                Done { appended: true, executable: false }
            }
            Err(error) => self.refuse(group, error, now),
        }
    }

    /// Appends the record of a group; nothing of the stage has changed when it fails.
    fn append(
        &mut self,
        group: &[Box<Envelope>],
        opens_with_tick: bool,
        now: Now,
    ) -> Result<(Entry, Appended), AppendError> {
        let tick: (Request, Command) = (tick_request(), tick_command());
        let mut parts: Vec<&[u8]> = Vec::with_capacity(2 * group.len() + 2);
        let mut commands = 0;
        if opens_with_tick {
            parts.extend([tick.0.as_bytes(), tick.1.as_bytes()]);
            commands += 1;
        }
        for envelope in group.iter().filter(|envelope| envelope.journal_len() > 0) {
            parts.push(envelope.head.as_bytes());
            parts.push(envelope.slots.as_slice().as_bytes());
            commands += envelope.commands;
        }
        let entry = self.entry(Kind::Commands, commands, now);
        let appended = self.appender.append(&entry, &parts)?;
        let bytes = parts.iter().map(|part| part.len() as u64).sum();
        add(&self.metrics.journal.bytes, bytes);
        Ok((entry, appended))
    }

    fn entry(&self, kind: Kind, commands: u32, now: Now) -> Entry {
        let first_sequence = self.appender.next_sequence();
        let executed = self.marks.boundary();
        Entry {
            kind,
            rules: RULES,
            epoch: self.epoch,
            leader: 0,
            first_sequence,
            commands,
            timestamp_ns: self.timestamp(now.journal_ns),
            settled_sequence: self.marks.watermarks().settled.min(executed.sequence),
            executed_sequence: executed.sequence,
            run_digest: executed.run_digest,
        }
    }

    /// Tells every envelope of the record where it stands.
    fn place(
        &mut self,
        group: &mut [Box<Envelope>],
        opens_with_tick: bool,
        entry: &Entry,
        appended: &Appended,
        now: Now,
    ) {
        self.index = appended.index;
        self.blank_at_ns = Some(after(now.journal_ns, ATTEST_AFTER));
        let mut next = entry.first_sequence;
        let mut requests = 0;
        let mut last = None;
        if opens_with_tick {
            self.tick.journaled(next);
            next += 1;
            self.metrics.ticks.fetch_add(1, Ordering::Relaxed);
        }
        for (at, envelope) in group.iter_mut().enumerate() {
            let is_carrier = envelope.is_carrier() && opens_with_tick;
            let is_journaled = envelope.journal_len() > 0 || is_carrier;
            envelope.stamps.sequenced = now.monotonic_ns;
            envelope.place = Place {
                index: appended.index,
                first_sequence: next,
                record_sequence: entry.first_sequence,
                timestamp_ns: entry.timestamp_ns,
                settled_sequence: entry.settled_sequence,
                epoch: entry.epoch,
                chain_hash: appended.hash,
                is_journaled,
                first_of_record: is_journaled && last.is_none(),
                last_of_record: false,
                opens_with_tick: is_journaled && last.is_none() && opens_with_tick,
            };
            if is_journaled {
                last = Some(at);
                next += u64::from(envelope.commands);
                requests += u64::from(!is_carrier);
            }
        }
        assert_eq!(
            next,
            entry.first_sequence + u64::from(entry.commands),
            "the places of a group add up to its record"
        );
        let last = last.expect("a record has an envelope");
        group[last].place.last_of_record = true;
        self.marks.timestamp_ns.raise(entry.timestamp_ns);
        self.marks.announce(Announced { index: appended.index, sequence: next - 1 });
        let metrics = &self.metrics.journal;
        add(&metrics.groups, 1);
        add(&metrics.requests, requests);
        add(&metrics.commands, u64::from(entry.commands));
    }

    /// Passes envelopes on that are in no record; their place in the order is kept.
    fn pass(&self, group: &mut [Box<Envelope>], now: Now) {
        let last = self.appender.last();
        for envelope in group {
            envelope.stamps.sequenced = now.monotonic_ns;
            envelope.place = Place {
                index: self.index,
                timestamp_ns: last.timestamp_ns,
                epoch: self.epoch,
                ..Place::default()
            };
        }
    }

    /// Without room every command of the group is refused and every read goes on; any other
    /// error ends the stage with the group unanswered.
    fn refuse(&mut self, group: &mut [Box<Envelope>], error: AppendError, now: Now) -> Done {
        self.pass(group, now);
        match error {
            AppendError::Full { .. } | AppendError::TooLarge { .. } => {
                self.tick.delay(now.journal_ns, TICK_RETRY);
                let mut refused = 0;
                for envelope in group.iter_mut().filter(|envelope| envelope.journal_len() > 0) {
                    envelope.refused = Some(Status::JournalFull);
                    refused += 1;
                }
                if self.metrics.journal.refused.load(Ordering::Relaxed) == 0 && refused > 0 {
                    tracing::warn!(%error, "the journal has no room: refusing writes");
                }
                add(&self.metrics.journal.refused, refused);
                Done { appended: false, executable: true }
            }
            other => {
                tracing::error!(error = %other, "a record could not be appended; stopping");
                for envelope in group.iter_mut() {
                    // Never durable, so the engine stage leaves them where they are.
                    envelope.place.index = u64::MAX;
                }
                self.halt = Some(Halt::Append(other));
                Done::default()
            }
        }
    }

    /// Appends a blank record; says whether there was room. It takes no sequence, and nobody waits
    /// for it.
    fn append_blank(&mut self, now: Now) -> bool {
        // Until SQL has said how far it is, what the record before says still stands.
        let known = self.appender.last().settled_sequence;
        let entry = self.entry(Kind::Blank, 0, now);
        let entry = Entry { settled_sequence: entry.settled_sequence.max(known), ..entry };
        match self.appender.append(&entry, &[]) {
            Ok(appended) => {
                self.blank_at_ns = None;
                let sequence = self.marks.announced().sequence;
                self.marks.timestamp_ns.raise(entry.timestamp_ns);
                self.marks.announce(Announced { index: appended.index, sequence });
                true
            }
            Err(AppendError::Full { .. }) => {
                self.blank_at_ns = Some(after(now.journal_ns, ATTEST_AFTER));
                false
            }
            Err(error) => {
                tracing::error!(%error, "a record could not be appended; stopping");
                self.halt = Some(Halt::Append(error));
                false
            }
        }
    }
}

/// So long after a moment of journal time.
fn after(journal_ns: u64, pause: Duration) -> u64 {
    journal_ns.saturating_add(u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX))
}

mod tick_state {
    //! When the next tick may be journaled.

    use std::time::Duration;

    /// The tick that is under way, and the pause after a full journal.
    #[derive(Clone, Copy, Debug, Default)]
    pub(super) struct TickState {
        /// Sequence of the tick last journaled: until it is executed, the deadline is old.
        last: u64,
        not_before_ns: u64,
    }

    impl TickState {
        pub(super) const fn is_allowed(&self, executed: u64, journal_ns: u64) -> bool {
            executed >= self.last && journal_ns >= self.not_before_ns
        }

        pub(super) const fn journaled(&mut self, sequence: u64) {
            self.last = sequence;
        }

        pub(super) fn delay(&mut self, journal_ns: u64, pause: Duration) {
            self.not_before_ns = super::after(journal_ns, pause);
        }
    }
}
