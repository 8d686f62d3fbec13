//! Requests: the walk over their commands, the ladder that each runs down, and chains.
//!
//! It knows no kind's rules. The invariant: each command gets one sequence and one outcome, and a
//! refusal has changed nothing.

use protocol::parameter::Parameter;
use protocol::reply::{Outcome, Outcomes};
use protocol::{Command, Kind, Request, Status, flags, request};

use crate::digest::Answer;
use crate::engine::Engine;
use crate::ids::{Key, Row};
use crate::posting::Note;
use crate::resolve::Hint;
use crate::shape;

/// One command of a chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leg {
    slot: usize,
    kind: Kind,
    hint: Hint,
    body: u64,
    rate: u16,
    after: (i128, i128),
    known: Option<Row>,
}

impl Engine {
    /// Executes one request of the record; `outcomes` then has one outcome per command.
    ///
    /// # Panics
    ///
    /// Outside a record, or on a request whose structure was not checked before the journal.
    pub fn execute(&mut self, request: &Request, slots: &[Command], outcomes: &mut Outcomes) {
        assert!(self.in_record, "requests are executed inside a record");
        assert!(request.flags & request::flags::READ == 0, "reads never reach the journal");
        outcomes.clear(self.executed + 1);
        self.caller.principal = request.principal;
        self.caller.role = request.role;
        self.history_checked = request.history_checked;
        self.find_caller_host();
        let mut ahead = self.ahead.take().expect("one request runs at a time");
        ahead.begin();
        let mut at = 0;
        while at < slots.len() {
            self.look_ahead(&mut ahead, slots, at);
            let command = &slots[at];
            if shape::is_plain_transfer(command) {
                let hint = self.hint(&mut ahead, command, at);
                let outcome = self.single(Ok(Kind::Transfer), command, &[], Some(hint));
                outcomes.push(outcome);
                at += 1;
            } else if command.is_linked() {
                at = self.chain(slots, at, outcomes);
            } else {
                let data = data_of(slots, at);
                let kind = shape::judge(request.principal, command, data, false);
                let hint = self.hint_if_any(&mut ahead, command, at);
                let outcome = self.single_of_any_kind(kind, command, data, hint);
                outcomes.push(outcome);
                at += 1 + data.len();
            }
        }
        self.ahead = Some(ahead);
    }

    /// As [`Self::single`], once for every kind but the one that has a way of its own.
    #[inline(never)]
    fn single_of_any_kind(
        &mut self,
        kind: Result<Kind, Status>,
        command: &Command,
        data: &[Command],
        hint: Option<&Hint>,
    ) -> Outcome {
        self.single(kind, command, data, hint)
    }

    /// A command on its own; inlined, so that a transfer's way knows its kind.
    #[inline(always)]
    fn single(
        &mut self,
        kind: Result<Kind, Status>,
        command: &Command,
        data: &[Command],
        hint: Option<&Hint>,
    ) -> Outcome {
        self.executed += 1;
        let sequence = self.executed;
        let outcome = self.decide(kind, command, data, hint);
        let (status, rate) = match outcome {
            Ok(Decided::Now(rate)) => (Status::Ok, rate),
            Ok(Decided::Before(stored)) => return self.repeat(sequence, stored),
            Err(status) => (status, 0),
        };
        let after = if status.is_ok() { self.after } else { (0, 0) };
        self.answer(sequence, status, rate, after)
    }

    #[inline(always)]
    fn decide(
        &mut self,
        kind: Result<Kind, Status>,
        command: &Command,
        data: &[Command],
        hint: Option<&Hint>,
    ) -> Result<Decided, Status> {
        let kind = kind?;
        let resolved;
        let hint = match hint {
            Some(hint) => hint,
            None => {
                resolved = self.resolve(kind, command);
                &resolved
            }
        };
        if !self.allows(kind, command, hint) {
            return Err(Status::NotFound);
        }
        if kind.is_internal() {
            return self.run_at(kind, command, data, hint).map(Decided::Now);
        }
        if command.has(flags::KEYED) {
            return self.decide_keyed(kind, command, data, hint);
        }
        self.judge_id_time(&hint.key)?;
        let check = self.hash.check(self.hash.body(command, data));
        let gap = match self.ids.search(&hint.key) {
            Ok(row) if row.check == check => return Ok(Decided::Before(row.stored())),
            Ok(_) => return Err(Status::IdReused),
            Err(gap) => gap,
        };
        if self.is_full_of_ids(1) {
            self.forget_ids(1)?;
            self.judge_floor(&hint.key)?;
        }
        let outcome = self.run_at(kind, command, data, hint);
        let (status, rate) = match outcome {
            Ok(rate) => (Status::Ok, rate),
            Err(status) => (status, 0),
        };
        if status.is_remembered() {
            let outcome = (status.number(), rate);
            self.ids.insert_at(&self.hash, gap, &hint.key, self.executed, check, outcome);
        }
        outcome.map(Decided::Now)
    }

    /// Runs a command at the sequence just taken.
    #[inline(always)]
    pub(crate) fn run_at(
        &mut self,
        kind: Kind,
        command: &Command,
        data: &[Command],
        hint: &Hint,
    ) -> Result<u16, Status> {
        self.sequence = self.executed;
        self.leg = 0;
        self.after = (0, 0);
        if self.effects.is_on() {
            let Command { reference, user_data, .. } = *command;
            self.note = Note { reference, user_data, rate: 0 };
        }
        let rate = self.run(kind, command, data, hint)?;
        Ok(u16::try_from(rate).expect("rates are at most 50 000 millionths"))
    }

    #[inline]
    pub(crate) fn judge_id_time(&self, key: &Key) -> Result<(), Status> {
        if key.unix_ms() > self.clock.now_ms.saturating_add(protocol::limits::ID_FUTURE_MS) {
            return Err(Status::IdInFuture);
        }
        self.judge_floor(key)
    }

    #[inline]
    pub(crate) fn judge_floor(&self, key: &Key) -> Result<(), Status> {
        if key.unix_ms() < self.ids.floor_ms() {
            return Err(Status::IdTooOld);
        }
        Ok(())
    }

    /// Whether `count` more ids can be remembered only when others are forgotten.
    #[inline]
    const fn is_full_of_ids(&self, count: usize) -> bool {
        self.ids.len() + count > self.configuration.ids_capacity
    }

    /// Makes room for `count` more ids; the floor may rise.
    pub(crate) fn make_room(&mut self, count: usize) -> Result<(), Status> {
        if self.is_full_of_ids(count) {
            self.forget_ids(count)?;
        }
        Ok(())
    }

    #[cold]
    fn forget_ids(&mut self, count: usize) -> Result<(), Status> {
        let capacity = self.configuration.ids_capacity;
        let min_window_ms = self.configuration.number(Parameter::IdsMinWindowMs);
        let now_ms = self.clock.now_ms;
        if self.ids.make_room(count, capacity, now_ms, min_window_ms) {
            Ok(())
        } else {
            Err(Status::Busy)
        }
    }

    #[inline]
    fn answer(&mut self, sequence: u64, status: Status, rate: u16, after: (i128, i128)) -> Outcome {
        let answer = Answer { status: status.number(), rate, repeat: false };
        self.digest.command(sequence, answer, after);
        Outcome { sequence, status, rate, repeat: false }
    }

    fn repeat(&mut self, sequence: u64, stored: Stored) -> Outcome {
        let answer = Answer { status: stored.status, rate: stored.rate, repeat: true };
        self.digest.command(sequence, answer, (0, 0));
        Outcome {
            sequence: stored.sequence,
            status: Status::from_number(stored.status).expect("only statuses are remembered"),
            rate: stored.rate,
            repeat: true,
        }
    }

    /// The chain that begins at slot `at`; returns the slot after it.
    fn chain(&mut self, slots: &[Command], at: usize, outcomes: &mut Outcomes) -> usize {
        let mut legs = core::mem::take(&mut self.legs);
        legs.clear();
        let mut next = at;
        let mut is_open = true;
        while is_open && next < slots.len() {
            legs.push(Leg {
                slot: next,
                kind: Kind::Tick,
                hint: Hint::NONE,
                body: 0,
                rate: 0,
                after: (0, 0),
                known: None,
            });
            is_open = slots[next].is_linked();
            next += 1 + data_of(slots, next).len();
        }
        let first = self.executed + 1;
        let length_max = self.configuration.count(Parameter::ChainLength);
        let verdict = if is_open {
            Verdict::Every(Status::ChainOpen)
        } else if legs.len() > length_max {
            Verdict::Every(Status::ChainTooLong)
        } else {
            self.judge_chain(slots, &mut legs)
        };
        self.executed = first - 1;
        for (place, leg) in legs.iter().enumerate() {
            self.executed += 1;
            let sequence = self.executed;
            let outcome = match verdict {
                Verdict::Done => self.answer(sequence, Status::Ok, leg.rate, leg.after),
                Verdict::Every(status) => self.answer(sequence, status, 0, (0, 0)),
                Verdict::Leg(refused, status) if refused == place => {
                    self.answer(sequence, status, 0, (0, 0))
                }
                Verdict::Leg(..) => self.answer(sequence, Status::LinkedFailed, 0, (0, 0)),
                Verdict::Known => {
                    let row = leg.known.expect("every leg of a known chain is known");
                    self.repeat(sequence, row.stored())
                }
            };
            match verdict {
                // Nothing of such a chain is remembered, whatever its legs are answered.
                Verdict::Leg(_, status) if !status.is_remembered() => {
                    outcomes.push_forgotten(outcome);
                }
                _ => outcomes.push(outcome),
            }
        }
        self.legs = legs;
        next
    }

    fn judge_chain(&mut self, slots: &[Command], legs: &mut [Leg]) -> Verdict {
        if let Err(verdict) = self.judge_legs(slots, legs) {
            return verdict;
        }
        let check = self.hash.check_chain(legs.iter().map(|leg| leg.body));
        let known = legs.iter().filter(|leg| leg.known.is_some()).count();
        let is_same = |leg: &Leg| leg.known.is_some_and(|row| row.check == check);
        if known == legs.len() && legs.iter().all(is_same) {
            return Verdict::Known;
        }
        if known > 0 || has_twins(legs) {
            return Verdict::Every(Status::IdReused);
        }
        if let Err(status) = self.make_room(legs.len()) {
            return Verdict::Leg(0, status);
        }
        for (place, leg) in legs.iter().enumerate() {
            if let Err(status) = self.judge_floor(&leg.hint.key) {
                return Verdict::Leg(place, status);
            }
        }
        let first = self.executed + 1;
        let verdict = self.run_chain(slots, legs);
        for (place, leg) in legs.iter().enumerate() {
            let (status, rate) = match verdict {
                Verdict::Leg(_, status) if !status.is_remembered() => break,
                Verdict::Leg(refused, status) if refused == place => (status, 0),
                Verdict::Leg(..) => (Status::LinkedFailed, 0),
                _ => (Status::Ok, leg.rate),
            };
            let sequence = first + place as u64;
            let outcome = (status.number(), rate);
            self.ids.insert(&self.hash, &leg.hint.key, sequence, check, outcome);
        }
        verdict
    }

    /// Shape and authority of every leg, then the time of every id; looks up what is known.
    fn judge_legs(&self, slots: &[Command], legs: &mut [Leg]) -> Result<(), Verdict> {
        for (place, leg) in legs.iter_mut().enumerate() {
            let command = &slots[leg.slot];
            let data = data_of(slots, leg.slot);
            let refuse = |status| Verdict::Leg(place, status);
            leg.kind = shape::judge(self.caller.principal, command, data, true).map_err(refuse)?;
            leg.hint = self.resolve(leg.kind, command);
            if !self.allows(leg.kind, command, &leg.hint) {
                return Err(refuse(Status::NotFound));
            }
            leg.body = self.hash.body(command, data);
        }
        for (place, leg) in legs.iter_mut().enumerate() {
            self.judge_id_time(&leg.hint.key).map_err(|status| Verdict::Leg(place, status))?;
            leg.known = self.ids.find(&leg.hint.key);
        }
        Ok(())
    }

    fn run_chain(&mut self, slots: &[Command], legs: &mut [Leg]) -> Verdict {
        self.begin_chain();
        for (place, leg) in legs.iter_mut().enumerate() {
            self.executed += 1;
            let command = &slots[leg.slot];
            let data = data_of(slots, leg.slot);
            match self.run_at(leg.kind, command, data, &leg.hint) {
                Ok(rate) => (leg.rate, leg.after) = (rate, self.after),
                Err(status) => {
                    self.undo_chain();
                    return Verdict::Leg(place, status);
                }
            }
        }
        self.keep_chain();
        Verdict::Done
    }
}

/// What a remembered command was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Sequence of the command.
    pub(crate) sequence: u64,
    /// Number of its status.
    pub(crate) status: u16,
    /// Rate that it paid.
    pub(crate) rate: u16,
}

/// What became of a single command.
pub(crate) enum Decided {
    /// Executed now, at this rate.
    Now(u16),
    /// Answered before.
    Before(Stored),
}

/// What became of a chain.
#[derive(Clone, Copy)]
enum Verdict {
    /// Every leg was executed.
    Done,
    /// Every leg gets this refusal.
    Every(Status),
    /// This leg was refused, so the others failed.
    Leg(usize, Status),
    /// Every leg was answered before.
    Known,
}

fn data_of(slots: &[Command], at: usize) -> &[Command] {
    let wanted = usize::from(slots[at].data);
    slots
        .get(at + 1..at + 1 + wanted)
        .expect("the structure of a request is checked before the journal")
}

fn has_twins(legs: &[Leg]) -> bool {
    let key = |leg: &Leg| (leg.hint.key.scope, leg.hint.key.id);
    legs.iter()
        .enumerate()
        .any(|(place, leg)| legs.iter().take(place).any(|other| key(other) == key(leg)))
}
