//! One run: the loop that moves every part of one frame, in an order that its seed draws, through
//! faults first and then healed, while the judge looks on.
//!
//! It has no clock, no thread and no file. Invariant: what happens depends on the seed and the
//! planted bug alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use protocol::reply::{Decoded, Outcome, decode};
use protocol::{Kind, Status};
use ring::Ticket;

use crate::bug::Bug;
use crate::clients::{Clients, Sent};
use crate::disk::SimDisk;
use crate::faults::Faults;
use crate::judge::{Checked, Judge, broken, hold};
use crate::node::{Node, REQUESTS_MAX, create};
use crate::rng::{Rng, Trace};
use crate::sql::Database;
use crate::swarm::Swarm;

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_700_000_000 * SECOND;
/// Rounds in which a healed frame must have finished everything.
const ROUNDS_MAX: u64 = 600;

/// What a client was told of a read: owner's liquid and held, and when.
type Told = (u64, (i128, u128));

pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) swarm: Swarm,
    pub(crate) bug: Option<Bug>,
    pub(crate) trace: Trace,
    pub(crate) faults: Faults,
    pub(crate) disk: SimDisk,
    pub(crate) database: Database,
    pub(crate) judge: Judge,
    pub(crate) clients: Clients,
    /// Taken out while the process is down.
    pub(crate) node: Option<Node>,
    pub(crate) clock: Arc<AtomicU64>,
    pub(crate) is_frozen: bool,
    pub(crate) step: u64,
    pub(crate) simulated_ns: u64,
    pub(crate) acknowledged: u64,
    /// Commands answered, by what became of them.
    pub(crate) outcomes: BTreeMap<&'static str, u64>,
    /// Epoch of the last process that has used one up or acknowledged a write.
    pub(crate) epoch: u64,
    /// Step at which a halted process ends.
    pub(crate) ends_at: Option<u64>,
    requests: u64,
    /// Highest sequence that a client was told.
    told: u64,
    /// Memory of a gateway with a planted bug.
    by_id: BTreeMap<(u128, u128), (Status, u16, u64)>,
    reads: BTreeMap<u128, Told>,
}

impl World {
    pub(crate) fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut rng = Rng::new(seed);
        let swarm = Swarm::draw(&mut rng);
        let disk = SimDisk::new(bug);
        create(&disk, START);
        Self {
            rng,
            swarm,
            bug,
            trace: Trace::default(),
            faults: Faults::default(),
            disk,
            database: Database::default(),
            judge: Judge::new(),
            clients: Clients::new(START / 1_000_000),
            node: None,
            clock: Arc::new(AtomicU64::new(START + SECOND)),
            is_frozen: false,
            step: 0,
            simulated_ns: 0,
            acknowledged: 0,
            outcomes: BTreeMap::new(),
            epoch: 0,
            ends_at: None,
            requests: 0,
            told: 0,
            by_id: BTreeMap::new(),
            reads: BTreeMap::new(),
        }
    }

    /// The safety phase, then the liveness phase.
    pub(crate) fn run(&mut self) -> Checked {
        self.start()?;
        let steps = 300 + self.rng.below(500);
        while self.step < steps {
            self.step += 1;
            self.inject()?;
            self.act()?;
        }
        self.heal()?;
        let mut round = 0;
        while !self.is_finished() {
            round += 1;
            hold(round <= ROUNDS_MAX, "I13", || {
                let open = self.clients.open();
                format!(
                    "{ROUNDS_MAX} rounds after everything was healed {open} wait: {}",
                    self.lag()
                )
            })?;
            self.round()?;
        }
        self.restart(true)
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    pub(crate) fn advance(&mut self, ns: u64) {
        if !self.is_frozen {
            self.clock.fetch_add(ns, Ordering::Relaxed);
            self.simulated_ns += ns;
        }
    }

    pub(crate) fn node(&mut self) -> &mut Node {
        self.node.as_mut().expect("the process runs but during a restart")
    }

    fn act(&mut self) -> Checked {
        self.advance(1_000_000);
        let action = self.rng.below(100);
        self.trace.mix(action);
        let now_ns = self.now_ns();
        match action {
            0..=29 => {
                let (step, now_ms) = (self.step, now_ns / 1_000_000);
                self.clients.think(&mut self.rng, &self.swarm, step, now_ms);
                self.send_due()?;
            }
            30..=44 => {
                self.node().prepare();
                self.node().journal(now_ns);
            }
            45..=61 if !self.rng.chance(self.swarm.slow_sync) => self.node().sync(),
            62..=82 => self.execute()?,
            83..=94 if !self.rng.chance(self.swarm.sql_slow) => self.settle()?,
            95..=99 => {
                let ns = self.rng.below(2 * SECOND);
                self.advance(ns);
            }
            _ => {}
        }
        Ok(())
    }

    /// Everything moves once.
    fn round(&mut self) -> Checked {
        self.step += 1;
        self.advance(SECOND / 20);
        for _ in 0..REQUESTS_MAX {
            self.send_due()?;
        }
        let now_ns = self.now_ns();
        self.node().prepare();
        self.node().journal(now_ns);
        self.node().sync();
        self.execute()?;
        self.settle()
    }

    fn is_finished(&mut self) -> bool {
        let executed = self.node().stages.marks.watermarks().executed;
        let stored = self.database.state().tables.watermark.clone();
        self.clients.open() == 0 && stored.is_some_and(|mark| mark.through().0 == executed)
    }

    fn lag(&self) -> String {
        let marks = self.node.as_ref().map(|node| node.stages.marks.watermarks());
        format!("{marks:?}")
    }

    fn execute(&mut self) -> Checked {
        let now_ns = self.now_ns();
        self.node().execute(now_ns);
        let node = self.node();
        let checked = node.stages.marks.watermarks().validate();
        hold(checked.is_ok(), "I3", || format!("{checked:?}"))?;
        hold(node.pool.in_flight() <= REQUESTS_MAX, "I11", || "the pool overflows".to_owned())?;
        let supply = node.stages.engine.engine().supply();
        hold(supply.iter().all(|row| row.delta() == Some(0)), "I1", || {
            format!("units were lost or invented: {supply:?}")
        })?;
        self.replies()
    }

    pub(crate) fn settle(&mut self) -> Checked {
        let stop = self.node().settle();
        let state = self.database.state();
        (self.faults.lost_commits, self.faults.broken_commits) = state.struck;
        drop(state);
        if let Some(stop) = stop {
            return broken("I8", format!("settlement stopped: {}", stop.text()));
        }
        let marks = self.node().stages.marks.watermarks();
        let ever = self.database.state().committed_ever;
        hold(marks.settled <= ever, "I8", || {
            format!("{} counts as settled, {ever} was ever committed", marks.settled)
        })?;
        self.judge_database()
    }

    pub(crate) fn judge_database(&mut self) -> Checked {
        let durable = self.node().stages.marks.durable_index();
        self.judge.walk(&self.disk, durable)?;
        self.judge.settled(&self.database.state().tables)
    }

    /// Takes the replies that have come.
    fn replies(&mut self) -> Checked {
        let durable = self.node().stages.marks.durable_index();
        while let Some(envelope) = self.node().queue.pop() {
            let decoded = decode(&envelope.reply);
            let place = envelope.place.index;
            self.trace.mix_bytes(&envelope.reply);
            let request = envelope.head.request;
            self.node().pool.release(envelope);
            hold(place <= durable, "I14", || {
                format!("request {request} of record {place} is answered, durable is {durable}")
            })?;
            let Ok(decoded) = decoded else {
                return broken("I5", format!("the reply to request {request} cannot be read"));
            };
            self.judge.walk(&self.disk, durable)?;
            self.reply(request, &decoded)?;
        }
        Ok(())
    }

    fn reply(&mut self, request: u64, decoded: &Decoded) -> Checked {
        let Some(Sent { intent, floor }) = self.clients.sent.remove(&request) else {
            return broken("I5", format!("request {request} is answered twice"));
        };
        self.acknowledged += 1;
        self.clients.intents[intent].sent = None;
        let first = decoded.head.first_sequence;
        let epoch = self.node().epoch;
        hold(decoded.head.epoch == epoch, "I10", || {
            format!("request {request} is answered in epoch {}, not {epoch}", decoded.head.epoch)
        })?;
        if decoded.refused.is_some() {
            self.clients.intents[intent].due = self.step + 10;
            return Ok(());
        }
        if self.clients.intents[intent].is_read {
            self.clients.intents[intent].is_done = true;
            return self.read(intent, floor, decoded);
        }
        hold(first > floor, "I6", || {
            format!("request {request} got sequence {first}, sent when {floor} was known")
        })?;
        self.epoch = epoch;
        self.told = self.told.max(first + decoded.outcomes.len() as u64 - 1);
        self.judge.acknowledged(request, &decoded.outcomes)?;
        for outcome in &decoded.outcomes {
            let name = if outcome.repeat { "repeat" } else { outcome.status.name() };
            *self.outcomes.entry(name).or_default() += 1;
        }
        let is_open =
            |outcome: &Outcome| matches!(outcome.status.number(), 301 | 304 | 401 | 408 | 410);
        let is_done = !decoded.outcomes.iter().any(is_open);
        let command = self.clients.intents[intent].slots[0];
        let entry = &mut self.clients.intents[intent];
        entry.is_done = is_done;
        entry.due = self.step + 10;
        if let (Some(id), [outcome]) = (entry.id(), &decoded.outcomes[..]) {
            let Outcome { status, rate, sequence, .. } = *outcome;
            self.judge.answered(id, (entry.body(), status, rate, sequence))?;
            if status == Status::Ok {
                self.by_id.insert(id, (status, rate, sequence));
                if command.kind == Kind::Hold.number() {
                    self.clients.holds.push(command);
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, intent: usize, floor: u64, decoded: &Decoded) -> Checked {
        let owner = self.clients.intents[intent].principal;
        let sequence = decoded.head.first_sequence;
        hold(sequence >= floor, "I6", || {
            format!("a read saw {sequence}, sent when {floor} was known")
        })?;
        self.told = self.told.max(sequence);
        let Some(answer) = decoded.answers.first().filter(|answer| answer.status == 0) else {
            return Ok(());
        };
        let told = (answer.liquid(), answer.held);
        self.reads.insert(owner, (sequence, told));
        self.judge.read(owner, sequence, told)
    }

    /// Sends one intent that is due.
    fn send_due(&mut self) -> Checked {
        let Some(intent) = self.clients.due(self.step) else { return Ok(()) };
        let mut asked = 0;
        let wanted = self.clients.intents[intent].clone();
        if let Some(done) = self.gateway_bug(intent)? {
            self.clients.intents[intent].is_done = done;
            return Ok(());
        }
        if wanted.is_keyed() {
            let executed = self.node().stages.marks.watermarks().executed;
            let found = self.database.find_key(wanted.principal, wanted.slots[0].id);
            match found.as_ref().map(|found| found.used) {
                _ if self.bug == Some(Bug::KeyUnasked) => asked = executed,
                Some(Some((body, status, rate, sequence))) => {
                    self.clients.intents[intent].is_done = true;
                    return self.answer_from_history(intent, (body, status, rate, sequence));
                }
                _ => asked = found.map_or(0, |found| found.through),
            }
        }
        let slots = u32::try_from(wanted.slots.len()).expect("few slots");
        let Some(mut envelope) = self.node().pool.try_acquire(slots) else { return Ok(()) };
        let request = self.requests + 1;
        envelope.head.request = request;
        envelope.head.principal = wanted.principal;
        envelope.head.history_checked = asked;
        envelope.head.role = wanted.role as u16;
        envelope.head.slots = slots;
        if wanted.is_read {
            envelope.head.flags = protocol::request::flags::READ;
        }
        envelope.slots.extend_from_slice(&wanted.slots);
        envelope.commands = wanted.commands;
        envelope.ticket = Ticket { worker: 0, connection: 1, stream: request };
        envelope.stamps.received = self.now_ns();
        if let Err(envelope) = self.node().stages.publisher.try_publish(envelope) {
            self.node().pool.release(envelope);
            return Ok(());
        }
        self.requests = request;
        self.trace.mix(request);
        self.clients.sent.insert(request, Sent { intent, floor: self.told });
        let entry = &mut self.clients.intents[intent];
        (entry.sent, entry.tries) = (Some(request), entry.tries + 1);
        Ok(())
    }

    /// The settled history answers a key that it knows.
    fn answer_from_history(
        &mut self,
        intent: usize,
        (body, status, rate, sequence): (u128, u16, u32, u64),
    ) -> Checked {
        let wanted = &self.clients.intents[intent];
        let id = wanted.id().expect("a key is of one command");
        if wanted.body() != body {
            return Ok(());
        }
        let status = Status::from_number(status).expect("the history holds known statuses");
        let rate = u16::try_from(rate).expect("the history holds rates");
        self.judge.answered(id, (body, status, rate, sequence))
    }

    /// What gateways and clients with planted bugs do; `Some` if nothing is sent.
    fn gateway_bug(&mut self, intent: usize) -> Checked<Option<bool>> {
        let wanted = self.clients.intents[intent].clone();
        match self.bug {
            Some(Bug::AnswerById) => {
                let known =
                    wanted.id().and_then(|id| self.by_id.get(&id).map(|&known| (id, known)));
                let Some((id, (status, rate, sequence))) = known else { return Ok(None) };
                self.judge.answered(id, (wanted.body(), status, rate, sequence))?;
                Ok(Some(true))
            }
            Some(Bug::StaleRead) if wanted.is_read => {
                let Some(&(sequence, told)) = self.reads.get(&wanted.principal) else {
                    return Ok(None);
                };
                self.judge.read(wanted.principal, sequence, told)?;
                let floor = self.told;
                hold(sequence >= floor, "I6", || {
                    format!("a read saw {sequence}, sent when {floor} was known")
                })?;
                Ok(Some(true))
            }
            Some(Bug::NewIdOnRetry) if wanted.tries == 1 && !wanted.is_read => {
                let id = self.clients.id(self.now_ns() / 1_000_000);
                let entry = &mut self.clients.intents[intent];
                if !entry.is_keyed() && entry.commands == 1 {
                    entry.slots[0].id = id.0;
                }
                Ok(None)
            }
            _ => Ok(None),
        }
    }
}
