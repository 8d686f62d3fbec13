//! The history told anew: what is followed of records that are past, by a replay that catches up
//! with the present and goes on with it.
//!
//! It has an engine of its own and holds up nobody. Invariant: of the records that it has passed,
//! every effect of interest was told, in order, as the engine stage told it.

use protocol::Sequence;
use protocol::effect::TIMER_LEG;
use protocol::feed::{Followed, Interest};
use protocol::request::Commands;

use crate::limits::{LOOKS_MAX, RECORD_COMMANDS_MAX};
use crate::past::{Past, PastError, Replay};
use crate::tap::id_of;

/// A replay that tells what is followed.
pub struct Retelling {
    replay: Replay,
    interest: Interest,
    /// Nothing through this sequence is wanted.
    after: Sequence,
    is_listening: bool,
    /// Ids of the commands of one record.
    ids: Vec<u128>,
}

impl Past {
    /// Tells what is followed of everything behind `after` that is durable with record `until`.
    ///
    /// # Errors
    ///
    /// As [`Self::replay_from`].
    pub fn retell(
        &self,
        after: Sequence,
        interest: Interest,
        until: u64,
    ) -> Result<Retelling, PastError> {
        let options = engine::Options { history: false, effects_max: 0 };
        let replay = self.replay_from(after, options, until)?;
        let ids = Vec::new();
        Ok(Retelling { replay, interest, after, is_listening: false, ids })
    }

    /// The lowest sequence behind which everything can be told.
    ///
    /// # Errors
    ///
    /// When journal or snapshots cannot be looked at.
    pub fn reaches_back_to(&self) -> Result<Sequence, PastError> {
        let mut looks = 0;
        loop {
            looks += 1;
            match self.oldest() {
                Err(error) if error.may_have_moved() && looks < LOOKS_MAX => {}
                found => return found,
            }
        }
    }

    fn oldest(&self) -> Result<Sequence, PastError> {
        let oldest = journal::first_record(&**self.storage())?;
        if oldest.index <= 1 {
            return Ok(Sequence(0));
        }
        let entries = self.catalogue().list()?;
        let known = entries.into_iter().filter_map(|entry| entry.meta.ok());
        let met = known.filter(|meta| meta.is_met_by(oldest.index)).map(|meta| meta.sequence);
        // Without a snapshot nothing of the past can be told: then only what is to come.
        Ok(met.min().unwrap_or(Sequence(u64::MAX)))
    }
}

impl Retelling {
    /// Adds the effects of interest of the next record to `out`. Returns the last sequence
    /// executed, or nothing at the end of what it may read.
    ///
    /// # Errors
    ///
    /// Why the record cannot be read or replayed; nothing may be asked of it after that.
    pub fn next(&mut self, out: &mut Vec<Followed>) -> Result<Option<Sequence>, PastError> {
        // What comes before the place asked for is told to nobody.
        if !self.is_listening && self.replay.executed().0 + RECORD_COMMANDS_MAX >= self.after.0 {
            self.listen();
        }
        self.ids.clear();
        let ids = &mut self.ids;
        let before = self.replay.executed().0;
        let is_listening = self.is_listening;
        let told = self.replay.next(|step| {
            if !is_listening {
                return;
            }
            let commands = Commands::new(step.slots).flatten();
            ids.extend(commands.map(|entry| id_of(entry.command, entry.data)));
        })?;
        let Some(header) = told else {
            return Ok(None);
        };
        let (timestamp_ns, epoch) = (header.timestamp_ns, header.epoch);
        let engine = self.replay.engine_mut();
        for &effect in engine.followed() {
            let place = effect.sequence.saturating_sub(before + 1);
            let id = usize::try_from(place).ok().and_then(|place| self.ids.get(place));
            let is_timer = effect.leg >= TIMER_LEG;
            let command = if is_timer { 0 } else { id.copied().unwrap_or(0) };
            out.push(Followed { effect, command, timestamp_ns, epoch });
        }
        engine.clear_followed();
        Ok(Some(self.replay.executed()))
    }

    /// May read the records through `until` from now on.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub fn go_on(&mut self, until: u64) -> Result<(), PastError> {
        self.replay.go_on(until)
    }

    /// Tells this from the next record on.
    pub fn follow(&mut self, interest: Interest) {
        self.interest = interest;
        self.listen();
    }

    /// Last sequence executed.
    #[must_use]
    pub fn executed(&self) -> Sequence {
        self.replay.executed()
    }

    /// Index of the last record that was read.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.replay.read_index()
    }

    fn listen(&mut self) {
        let interest = Some(self.interest.clone());
        self.replay.engine_mut().follow(interest);
        self.is_listening = true;
    }
}
