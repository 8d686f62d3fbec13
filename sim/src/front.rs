//! The doors: what clients send, what they are told, and what gateways with planted bugs do.
//!
//! It judges nothing itself. Invariant: every reply is shown to the judge before a client acts on
//! it.

use protocol::reply::{Decoded, Outcome, decode};
use protocol::{Kind, Role, Status};
use ring::Ticket;

use crate::bug::Bug;
use crate::clients::Sent;
use crate::judge::{Checked, broken, hold};
use crate::world::World;

impl World {
    /// Takes the replies that have come.
    pub(crate) fn replies(&mut self) -> Checked {
        let durable = self.node().stages.marks.durable_index();
        while let Some(envelope) = self.node().queue.pop() {
            let decoded = decode(&envelope.reply);
            let place = envelope.place.index;
            self.run.trace.mix_bytes(&envelope.reply);
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
        self.run.acknowledged += 1;
        self.clients.intents[intent].sent = None;
        let first = decoded.head.first_sequence;
        let epoch = self.node().epoch;
        hold(decoded.head.epoch == epoch, "I10", || {
            format!("request {request} is answered in epoch {}, not {epoch}", decoded.head.epoch)
        })?;
        if decoded.refused.is_some() {
            self.clients.intents[intent].due = self.run.step + 10;
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
            *self.run.outcomes.entry(name).or_default() += 1;
        }
        let is_open =
            |outcome: &Outcome| matches!(outcome.status.number(), 301 | 304 | 401 | 408 | 410);
        let is_done = !decoded.outcomes.iter().any(is_open);
        let command = self.clients.intents[intent].slots[0];
        let entry = &mut self.clients.intents[intent];
        entry.is_done = is_done;
        entry.due = self.run.step + 10;
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
        let wanted = &self.clients.intents[intent];
        let (asking, owner) = (wanted.principal, wanted.slots[0].debit);
        let sequence = decoded.head.first_sequence;
        hold(sequence >= floor, "I6", || {
            format!("a read saw {sequence}, sent when {floor} was known")
        })?;
        self.told = self.told.max(sequence);
        let Some(answer) = decoded.answers.first().filter(|answer| answer.status == 0) else {
            return Ok(());
        };
        hold(asking == owner, "I12", || format!("{asking:x} has read the account of {owner:x}"))?;
        let told = (answer.liquid(), answer.held);
        self.reads.insert(owner, (sequence, told));
        self.judge.read(owner, sequence, told)
    }

    /// Sends one intent that is due.
    pub(crate) fn send_due(&mut self) -> Checked {
        let Some(intent) = self.clients.due(self.run.step) else { return Ok(()) };
        let mut asked = 0;
        let wanted = self.clients.intents[intent].clone();
        if let Some(done) = self.gateway_bug(intent)? {
            self.clients.intents[intent].is_done = done;
            return Ok(());
        }
        if wanted.is_keyed() {
            let executed = self.node().stages.marks.watermarks().executed;
            // Another leader's history says nothing of what was done here.
            let is_ours = !self.is_foreign();
            let find = || self.database.find_key(wanted.principal, wanted.slots[0].id);
            let found = is_ours.then(find).flatten();
            match found.as_ref().map(|found| found.used) {
                _ if self.run.bug == Some(Bug::KeyUnasked) => asked = executed,
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
        let (principal, role) = self.caller(intent);
        envelope.head.principal = principal;
        envelope.head.history_checked = asked;
        envelope.head.role = role as u16;
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
        self.judge.sent(request, wanted.principal, wanted.role);
        self.run.trace.mix(request);
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

    /// By whose authority a gateway sends an intent: its own, unless a bug is planted.
    fn caller(&self, intent: usize) -> (u128, Role) {
        let wanted = &self.clients.intents[intent];
        match self.run.bug {
            Some(Bug::IdentityMixed) => {
                let other = &self.clients.intents[intent.saturating_sub(1)];
                (other.principal, other.role)
            }
            Some(Bug::OwnerBelieved) if wanted.role == Role::Agent => {
                let command = &wanted.slots[0];
                let is_capture = command.kind == Kind::Capture.number();
                let is_release = command.kind == Kind::Release.number();
                let is_paid = is_capture || is_release;
                (if is_paid { wanted.principal } else { command.debit }, wanted.role)
            }
            _ => (wanted.principal, wanted.role),
        }
    }

    /// What gateways and clients with planted bugs do; `Some` if nothing is sent.
    fn gateway_bug(&mut self, intent: usize) -> Checked<Option<bool>> {
        let wanted = self.clients.intents[intent].clone();
        match self.run.bug {
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
