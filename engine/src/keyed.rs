//! KEYED commands: the part of the ladder that is theirs, where a string key stands for the id.
//!
//! It knows no kind's rules. The invariant (H17): a key that is not remembered is executed only if
//! the settled history was asked at or after the last key that was forgotten, so that each key
//! takes effect at most once for ever.

use protocol::effect::{Effect, Event};
use protocol::parameter::Parameter;
use protocol::{Command, Kind, Status, key};

use crate::engine::Engine;
use crate::ids::Key;
use crate::keys::{Bound, Row};
use crate::posting::Note;
use crate::request::{Decided, Stored};
use crate::resolve::Hint;

impl Engine {
    /// At a record: forgets keys that have had their window, as far as they are settled.
    pub(crate) fn advance_keys(&mut self) {
        let bound = self.key_bound(self.configuration.number(Parameter::KeysWindowMs));
        self.keys.advance(&self.hash, &bound);
    }

    const fn key_bound(&self, window_ms: u64) -> Bound {
        Bound { settled: self.settled, now_ms: self.clock.now_ms, window_ms }
    }

    /// Decides a KEYED command whose shape and authority are right.
    pub(crate) fn decide_keyed(
        &mut self,
        kind: Kind,
        command: &Command,
        data: &[Command],
        hint: &Hint,
    ) -> Result<Decided, Status> {
        let own = key::own_id(data).map(|id| self.key(self.scope(kind, command), id));
        let body = key::body_digest(command, data);
        let check = self.hash.check(self.hash.body(command, data));
        if let Some(stored) = self.known_by_key(command.id, body, own.as_ref(), check)? {
            return Ok(Decided::Before(stored));
        }
        // What is remembered answers first: a key may outlive the window of the id beside it.
        if let Some(own) = &own {
            self.judge_id_time(own)?;
        }
        if self.is_open_hold(kind, command, hint) {
            return Err(Status::IdReused);
        }
        if self.history_checked < self.keys.forgotten_through() {
            return Err(Status::KeyUnchecked);
        }
        if own.is_some() {
            self.make_room(1)?;
        }
        self.make_key_room()?;
        if let Some(own) = &own {
            self.judge_floor(own)?;
        }
        let outcome = self.run_at(kind, command, data, hint);
        let (status, rate) = match outcome {
            Ok(rate) => (Status::Ok, rate),
            Err(status) => (status, 0),
        };
        if status.is_remembered() {
            let stored = Stored { sequence: self.executed, status: status.number(), rate };
            self.remember_key(command.id, body, stored);
            if let Some(own) = &own {
                self.ids.insert(&self.hash, own, stored.sequence, check, (stored.status, rate));
            }
        }
        outcome.map(Decided::Now)
    }

    /// What was answered to this key, or to the id beside it while that outlives the key; `None` if
    /// neither is remembered.
    fn known_by_key(
        &self,
        key: u128,
        body: u128,
        own: Option<&Key>,
        check: u32,
    ) -> Result<Option<Stored>, Status> {
        let by_key = self.keys.find(&self.hash, self.caller.principal, key);
        let by_id = own.and_then(|own| self.ids.find(own));
        let is_other = by_key.is_some_and(|row| row.body != body)
            || by_id.is_some_and(|row| row.check != check);
        if is_other {
            return Err(Status::IdReused);
        }
        Ok(by_key.map(|row| row.stored).or_else(|| by_id.map(|row| row.stored())))
    }

    /// Whether the command would place a hold that is open: then its key was used and forgotten,
    /// and a history that does not know it is wrong.
    fn is_open_hold(&self, kind: Kind, command: &Command, hint: &Hint) -> bool {
        kind == Kind::Hold
            && self
                .debtor(command, hint)
                .is_some_and(|debtor| self.holds.find(&self.hash, debtor, command.id).is_some())
    }

    fn make_key_room(&mut self) -> Result<(), Status> {
        let capacity = self.configuration.count(Parameter::KeysCapacity);
        let window_ms = self.configuration.number(Parameter::KeysWindowMs);
        let least_ms = self.configuration.number(Parameter::IdsMinWindowMs);
        let bound = self.key_bound(window_ms.min(least_ms));
        if self.keys.make_room(&self.hash, capacity, &bound) {
            Ok(())
        } else {
            Err(Status::KeysFull)
        }
    }

    /// Remembers a key and tells of it, behind the effects of the command.
    fn remember_key(&mut self, key: u128, body: u128, stored: Stored) {
        let principal = self.caller.principal;
        let row = Row { principal, key, body, at_ms: self.clock.now_ms, stored };
        self.keys.insert(&self.hash, row);
        if self.effects.is_on() {
            self.note = Note {
                reference: key,
                user_data: u64::from(stored.status),
                rate: u32::from(stored.rate),
            };
            self.push_effect(Effect {
                event: Event::KeyUsed.number(),
                debit: principal,
                amount: body,
                ..Effect::default()
            });
        }
    }
}
