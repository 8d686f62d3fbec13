//! Execution: what is durable goes through the engine, record by record, and is answered.
//!
//! It never runs ahead of the durable mark and never refuses anything itself. It reads the time
//! through what it is given, for stamps only. Invariant: a record is begun, executed in order and
//! ended exactly as it stands in the journal.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use engine::{Engine, RecordStart, Recount};
use protocol::Sequence;
use protocol::answer::ANSWER_SIZE;
use protocol::cut::Cut;
use protocol::reply::{self, Outcomes, Reply, encode_refused};
use protocol::request;
use ring::{EngineEnd, Envelope, Polled, Pool, ReplyQueue};
use zerocopy::IntoBytes;

use crate::assemble::Boundary;
use crate::control::{Control, Digests};
use crate::halt::Progress;
use crate::limits::{
    CUT_ROWS_PER_STEP, RECOUNT_PAUSE_MIN, RECOUNT_PAUSE_TIMES, STEP_COMMANDS_MAX,
    SURVEY_ROWS_PER_STEP,
};
use crate::marks::{Executed, Marks};
use crate::metrics::{Metrics, add};
use crate::tap::TapEnd;
use crate::tick::{tick_command, tick_request};

/// Where replies go.
pub(crate) struct Replies {
    pub(crate) queues: Vec<Arc<ReplyQueue>>,
    pub(crate) pool: Arc<Pool>,
}

/// The stage that executes.
pub struct EngineStage {
    engine: Engine,
    ring: EngineEnd,
    replies: Replies,
    marks: Arc<Marks>,
    metrics: Arc<Metrics>,
    control: Receiver<Control>,
    tap: TapEnd,
    #[expect(clippy::vec_box, reason = "envelopes are handed on as boxes, never moved")]
    taken: Vec<Box<Envelope>>,
    tick_outcomes: Outcomes,
    /// Record that the next envelope waits for; 0 = none.
    blocked_index: u64,
    in_record: bool,
    /// The last record boundary, for cuts.
    boundary: Boundary,
    open_cut: Option<(Boundary, Sender<Cut>)>,
    recount: Recount,
    /// Before this no read may walk every account again.
    next_recount_ns: u64,
}

impl EngineStage {
    pub(crate) fn new(
        engine: Engine,
        ring: EngineEnd,
        replies: Replies,
        shared: (Arc<Marks>, Arc<Metrics>),
        (control, tap): (Receiver<Control>, TapEnd),
        boundary: Boundary,
    ) -> Self {
        let (marks, metrics) = shared;
        Self {
            engine,
            ring,
            replies,
            marks,
            metrics,
            control,
            tap,
            taken: Vec::new(),
            tick_outcomes: Outcomes::with_capacity(1),
            blocked_index: 0,
            in_record: false,
            boundary,
            open_cut: None,
            recount: Recount::default(),
            next_recount_ns: 0,
        }
    }

    /// Whether there is anything to do now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let is_executable =
            self.marks.durable_index() >= self.blocked_index && self.ring.has_available();
        is_executable || self.open_cut.is_some() || !self.control.is_empty()
    }

    /// The engine, for tests and for what happens after the stage has finished.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Executes what is durable, up to a bounded number of commands, answers it, and goes on with
    /// an open cut. `clock` is the monotonic clock of the stamps.
    pub fn step(&mut self, clock: impl Fn() -> u64) -> Progress {
        let asked = !self.in_record && self.answer_controls();
        let polled = self.take();
        let durable_ns = clock();
        let mut taken = std::mem::take(&mut self.taken);
        if !taken.is_empty() {
            add(&self.metrics.engine.groups, 1);
        }
        for mut envelope in taken.drain(..) {
            envelope.stamps.durable = durable_ns;
            self.run(&mut envelope, &clock);
            self.reply(envelope);
        }
        self.taken = taken;
        for queue in &self.replies.queues {
            queue.flush();
        }
        let copied = !self.in_record && self.go_on_with_cut();
        match polled {
            Polled::Taken(_) => Progress::Worked,
            _ if asked || copied => Progress::Worked,
            Polled::Empty => Progress::Idle,
            Polled::Shutdown => Progress::Finished,
        }
    }

    fn take(&mut self) -> Polled {
        let durable = self.marks.durable_index();
        let mut budget = STEP_COMMANDS_MAX;
        let mut blocked = 0;
        let mut is_first = true;
        let polled = self.ring.take_while(&mut self.taken, |envelope| {
            if envelope.place.index > durable {
                blocked = envelope.place.index;
                return false;
            }
            if envelope.commands > budget && !is_first {
                return false;
            }
            is_first = false;
            budget = budget.saturating_sub(envelope.commands);
            true
        });
        self.blocked_index = blocked;
        polled
    }

    fn run(&mut self, envelope: &mut Envelope, clock: &impl Fn() -> u64) {
        let commands = u64::from(envelope.commands);
        if let Some(status) = envelope.refused {
            envelope.stamps.executed = clock();
            let head = reply_head(envelope);
            encode_refused(head, status, &mut envelope.reply);
        } else if envelope.place.is_journaled {
            self.execute(envelope, clock);
        } else if envelope.is_read() {
            self.read(envelope, clock);
        }
        let metrics = &self.metrics.engine;
        add(&metrics.requests, 1);
        add(&metrics.commands, commands);
        add(&metrics.bytes, envelope.reply.len() as u64);
    }

    fn execute(&mut self, envelope: &mut Envelope, clock: &impl Fn() -> u64) {
        let place = envelope.place;
        assert_eq!(
            place.first_of_record, !self.in_record,
            "records are executed whole and one after the other"
        );
        if place.first_of_record {
            self.begin(envelope);
        }
        if !envelope.is_carrier() {
            assert_eq!(
                self.engine.executed().0 + 1,
                place.first_sequence,
                "a request is executed at the sequence that the journal gave it"
            );
            let Envelope { head, slots, outcomes, .. } = envelope;
            self.engine.execute(head, slots, outcomes);
            assert_eq!(
                envelope.outcomes.count(),
                envelope.commands,
                "every command has one outcome"
            );
            envelope.stamps.executed = clock();
            if self.tap.is_on() {
                let request = (place.first_sequence, &*envelope.slots);
                self.tap.take(&mut self.engine, request, (place.timestamp_ns, place.epoch));
            }
            let head = reply_head(envelope);
            envelope.reply.reserve_exact(envelope.outcomes.encoded_len());
            envelope.outcomes.encode(head, &mut envelope.reply);
        }
        if place.last_of_record {
            self.end(envelope);
        }
    }

    fn begin(&mut self, envelope: &Envelope) {
        let place = &envelope.place;
        self.engine.begin_record(RecordStart {
            first_sequence: Sequence(place.record_sequence),
            timestamp_ns: place.timestamp_ns,
            settled: Sequence(place.settled_sequence),
        });
        self.in_record = true;
        if place.opens_with_tick {
            let outcomes = &mut self.tick_outcomes;
            self.engine.execute(&tick_request(), &[tick_command()], outcomes);
        }
        if self.tap.is_on() {
            // Of timers, which no command of the record has fired.
            let of_nobody = (place.record_sequence, &[][..]);
            self.tap.take(&mut self.engine, of_nobody, (place.timestamp_ns, place.epoch));
        }
    }

    fn end(&mut self, envelope: &Envelope) {
        self.engine.end_record();
        self.in_record = false;
        self.boundary =
            Boundary { epoch: envelope.place.epoch, chain_hash: envelope.place.chain_hash };
        // Before the mark, so that whoever sees the mark finds what lies before it.
        self.tap.end(self.engine.executed().0);
        let executed =
            Executed { sequence: self.engine.executed().0, run_digest: self.engine.run_digest() };
        self.marks.execute(executed, self.engine.next_deadline_ns());
    }

    fn read(&mut self, envelope: &mut Envelope, clock: &impl Fn() -> u64) {
        let mut head = Reply {
            first_sequence: self.engine.executed().0,
            timestamp: self.engine.timestamp_ns(),
            flags: reply::flags::READ,
            ..reply_head(envelope)
        };
        let Envelope { head: request, slots, reply, .. } = envelope;
        let count_max = request::reply_slots(request, slots) as usize;
        reply.reserve_exact(reply::REPLY_SIZE + count_max * ANSWER_SIZE);
        reply.extend_from_slice(head.as_bytes());
        let begun_ns = clock();
        self.recount.allow(begun_ns >= self.next_recount_ns);
        self.engine.read_with(request, slots, &mut self.recount, reply);
        let count = (reply.len() - reply::REPLY_SIZE) / ANSWER_SIZE;
        assert!(count <= count_max, "a reply stays inside the room that its request promised");
        head.count = u32::try_from(count).expect("a request has at most 8 190 slots");
        reply[..reply::REPLY_SIZE].copy_from_slice(head.as_bytes());
        envelope.stamps.executed = clock();
        if self.recount.take_walked() {
            let ended_ns = envelope.stamps.executed;
            self.next_recount_ns =
                ended_ns.saturating_add(recount_pause_ns(ended_ns.saturating_sub(begun_ns)));
        }
    }

    fn reply(&self, envelope: Box<Envelope>) {
        match self.replies.queues.get(usize::from(envelope.ticket.worker)) {
            Some(queue) => queue.push(envelope),
            None => self.replies.pool.release(envelope),
        }
    }

    fn answer_controls(&mut self) -> bool {
        let mut asked = false;
        while let Ok(control) = self.control.try_recv() {
            asked = true;
            self.answer(control);
        }
        asked
    }

    /// An asker that no longer waits is no error, so failed sends are ignored.
    fn answer(&mut self, control: Control) {
        match control {
            Control::OpenCut { complete, reply } => {
                if self.open_cut.is_none() {
                    self.engine.open_cut(complete);
                    self.open_cut = Some((self.boundary, reply));
                }
            }
            Control::DiscardChanges => self.engine.discard_changes(),
            Control::Figures { reply } => {
                let _ = reply.try_send(self.engine.figures());
            }
            Control::Survey { survey, reply } => {
                let _ = reply.try_send(self.engine.survey(survey, SURVEY_ROWS_PER_STEP));
            }
            Control::DueHolds { holds_max, reply } => {
                let _ = reply.try_send(self.engine.due_holds(holds_max));
            }
            Control::Recount { reply } => {
                let _ = reply.try_send(self.engine.recount());
            }
            Control::Follow { interest, reply } => {
                self.tap.turn(interest.is_some());
                self.engine.follow(interest);
                let _ = reply.try_send(self.engine.executed().0);
            }
            Control::Digests { reply } => {
                let _ = reply.try_send(Digests {
                    sequence: self.engine.executed().0,
                    timestamp_ns: self.engine.timestamp_ns(),
                    run_digest: self.engine.run_digest(),
                    image_digest: self.engine.image_digest(),
                });
            }
        }
    }

    /// Copies some rows of the open cut; says whether there was one.
    fn go_on_with_cut(&mut self) -> bool {
        let Some((boundary, reply)) = self.open_cut.take() else {
            return false;
        };
        match self.engine.cut_step(CUT_ROWS_PER_STEP) {
            None => self.open_cut = Some((boundary, reply)),
            Some(mut cut) => {
                cut.epoch = boundary.epoch;
                cut.chain_hash = boundary.chain_hash;
                let _ = reply.try_send(cut);
            }
        }
        true
    }
}

/// How long no recount may follow one that took `took_ns`.
fn recount_pause_ns(took_ns: u64) -> u64 {
    let least = u64::try_from(RECOUNT_PAUSE_MIN.as_nanos()).unwrap_or(u64::MAX);
    took_ns.saturating_mul(RECOUNT_PAUSE_TIMES).max(least)
}

/// What every reply says about its request.
fn reply_head(envelope: &Envelope) -> Reply {
    let stamps = envelope.stamps;
    let since = |at: u64| {
        let us = at.saturating_sub(stamps.received) / 1_000;
        u32::try_from(us).unwrap_or(u32::MAX)
    };
    let executed = since(stamps.executed);
    Reply {
        request: envelope.head.request,
        epoch: envelope.place.epoch,
        timestamp: envelope.place.timestamp_ns,
        stamps: [since(stamps.sequenced), since(stamps.durable), executed, executed],
        ..Reply::default()
    }
}
