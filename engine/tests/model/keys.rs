//! String keys of the naive model: a plain list of what was answered, with whole bodies and the
//! keys as they were sent. It refuses to know hashes and digests. Invariant: the list is in order
//! of the sequences, and what left it did so from the front.

use protocol::command::Command;
use protocol::ids::{CommandId, OwnerId};
use protocol::kind::Kind;
use protocol::limits::ID_FUTURE_MS;
use protocol::parameter::Parameter;
use protocol::reply::Outcome;
use protocol::status::Status;
use protocol::{data, flags, key};

use super::{Caller, Leg, Model, Remembered, accepted, body, refuse_if, refused, scope};

/// Keys forgotten with one record at the most.
const FORGOTTEN_PER_RECORD: usize = 8_192;

#[derive(Clone, Debug)]
struct Used {
    principal: u128,
    key: Vec<u8>,
    body: Vec<Command>,
    at_ms: u64,
    outcome: Outcome,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    used: Vec<Used>,
    forgotten_through: u64,
    settled: u64,
}

/// What is wrong with the key of a command whose data is well formed.
pub(super) fn misfit(caller: Caller, leg: &Leg<'_>) -> Result<(), Status> {
    if !leg.command.has(flags::KEYED) {
        return Ok(());
    }
    let text = data::find(leg.data, data::TAG_KEY).expect("its shape was checked");
    refuse_if(key::id(caller.principal, text) != leg.command.id, Status::DataMalformed)
}

/// The id of a KEYED command besides its key, or of another its only one.
pub(super) fn id_of(leg: &Leg<'_>) -> Option<u128> {
    if leg.command.has(flags::KEYED) {
        let bytes = data::find(leg.data, data::TAG_ID)?;
        Some(u128::from_le_bytes(bytes.try_into().expect("its shape was checked")))
    } else {
        Some(leg.command.id)
    }
}

impl Model {
    /// Highest sequence whose key was forgotten.
    pub(crate) fn forgotten_through(&self) -> u64 {
        self.keys.forgotten_through
    }

    /// Keys remembered.
    pub(crate) fn keys(&self) -> usize {
        self.keys.used.len()
    }

    /// What became of the command whose key has this hash.
    pub(super) fn key_outcome(&self, principal: u128, id: u128) -> Option<Outcome> {
        let is_it =
            |used: &&Used| used.principal == principal && key::id(principal, &used.key) == id;
        self.keys.used.iter().find(is_it).map(|used| used.outcome)
    }

    pub(super) fn begin_keys(&mut self, settled: u64) {
        self.keys.settled = settled;
        let window = self.books.parameter(Parameter::KeysWindowMs);
        for _ in 0..FORGOTTEN_PER_RECORD {
            if !self.forget_key(window) {
                break;
            }
        }
    }

    /// Forgets the oldest key if it is settled and as old as `window`.
    fn forget_key(&mut self, window: u128) -> bool {
        let now_ms = u128::from(self.books.now_ms());
        let may_go = self.keys.used.first().is_some_and(|used| {
            let is_settled = used.outcome.sequence <= self.keys.settled;
            is_settled && u128::from(used.at_ms) + window <= now_ms
        });
        if may_go {
            self.keys.forgotten_through = self.keys.used.remove(0).outcome.sequence;
        }
        may_go
    }

    /// A KEYED command whose shape and authority are right.
    pub(super) fn execute_keyed(
        &mut self,
        caller: Caller,
        leg: &Leg<'_>,
        kind: Kind,
        sequence: u64,
    ) -> Outcome {
        let own = id_of(leg).map(|id| (scope(caller, leg.command, kind), id));
        match self.judge_keyed(caller, leg, own) {
            Ok(Some(answered)) => return Outcome { repeat: true, ..answered },
            Ok(None) => {}
            Err(status) => return refused(sequence, status),
        }
        let outcome = match self.books.run(caller, leg, sequence) {
            Ok(rate) => accepted(sequence, rate),
            Err(status) => refused(sequence, status),
        };
        if outcome.status.is_remembered() {
            let text = data::find(leg.data, data::TAG_KEY).expect("its shape was checked");
            self.keys.used.push(Used {
                principal: caller.principal,
                key: text.to_vec(),
                body: body(leg),
                at_ms: self.books.now_ms(),
                outcome,
            });
            if let Some(own) = own {
                self.ids.insert(own, Remembered { bodies: vec![body(leg)], outcome });
            }
        }
        outcome
    }

    /// The earlier answer, or `None` if the command may run.
    fn judge_keyed(
        &mut self,
        caller: Caller,
        leg: &Leg<'_>,
        own: Option<(OwnerId, u128)>,
    ) -> Result<Option<Outcome>, Status> {
        let text = data::find(leg.data, data::TAG_KEY).expect("its shape was checked");
        let is_it = |used: &&Used| used.principal == caller.principal && used.key == text;
        let by_key = self.keys.used.iter().find(is_it);
        let by_id = own.and_then(|own| self.ids.get(&own));
        refuse_if(by_key.is_some_and(|used| used.body != body(leg)), Status::IdReused)?;
        refuse_if(by_id.is_some_and(|one| one.bodies != [body(leg)]), Status::IdReused)?;
        if let Some(used) = by_key {
            return Ok(Some(used.outcome));
        }
        if let Some(one) = by_id {
            return Ok(Some(one.outcome));
        }
        if let Some((_, id)) = own {
            let id_ms = CommandId(id).unix_ms();
            refuse_if(id_ms > self.books.now_ms() + ID_FUTURE_MS, Status::IdInFuture)?;
            refuse_if(id_ms < self.floor_ms, Status::IdTooOld)?;
        }
        let command = leg.command;
        let hold = (command.debit, command.asset, command.id);
        let is_hold = command.kind == Kind::Hold.number();
        refuse_if(is_hold && self.books.holds.contains_key(&hold), Status::IdReused)?;
        refuse_if(caller.history_checked < self.keys.forgotten_through, Status::KeyUnchecked)?;
        let ids: Vec<_> = own.into_iter().collect();
        let room = self.make_room(&ids).map_err(|(_, status)| status);
        // What became too old only while room was made is told last.
        refuse_if(room == Err(Status::Busy), Status::Busy)?;
        let window = self.books.parameter(Parameter::KeysWindowMs);
        let least = window.min(self.books.parameter(Parameter::IdsMinWindowMs));
        while self.keys.used.len() as u128 >= self.books.parameter(Parameter::KeysCapacity) {
            refuse_if(!self.forget_key(least), Status::KeysFull)?;
        }
        room?;
        Ok(None)
    }
}
