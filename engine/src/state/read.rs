//! Reading: each section in turn, every row checked before it enters a table.
//!
//! It never panics on bytes, and takes no memory that the bytes or the frame's own capacities do
//! not ask for. The invariant: what it returns could have come from records, as far as rows tell.

use alloc::vec::Vec;

use protocol::genesis::{Genesis, GenesisError, RULES};
use protocol::limits::{ASSETS_MAX, HOSTS_MAX, ID_FUTURE_MS};
use protocol::parameter::{Parameter, Parameters};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::check::Owners;
use super::{
    BLOCK_BYTES, ChangeRow, END, Head, MAGIC, MINT_HALTED, MONEY_MOVED, ParameterRow, StateError,
    VERSION,
};
use crate::configuration::{Change, Configuration};
use crate::digest::Digest;
use crate::engine::{Engine, NS_PER_MS, Options};
use crate::keys::Keys;
use crate::limits::CHANGES_MAX;

/// Longest genesis record: far more than parameters and texts can take.
const GENESIS_BYTES_MAX: u32 = 1 << 16;

/// Fails with `fault` unless `holds`.
pub(super) const fn ensure(holds: bool, fault: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(fault) }
}

struct Reader<'s, S> {
    source: &'s mut S,
    block: Vec<u8>,
}

impl<S: FnMut(&mut [u8]) -> bool> Reader<'_, S> {
    fn bytes(&mut self, section: &'static str, len: usize) -> Result<&[u8], StateError> {
        self.block.resize(len, 0);
        if (self.source)(&mut self.block) {
            Ok(&self.block)
        } else {
            Err(StateError::Ended(section))
        }
    }

    fn one<T: FromBytes + IntoBytes>(&mut self, section: &'static str) -> Result<T, StateError> {
        let mut value = T::new_zeroed();
        if (self.source)(value.as_mut_bytes()) {
            Ok(value)
        } else {
            Err(StateError::Ended(section))
        }
    }

    fn rows<T: FromBytes + Immutable + KnownLayout + Unaligned>(
        &mut self,
        section: &'static str,
        count: u64,
        mut each: impl FnMut(&T) -> Result<(), &'static str>,
    ) -> Result<(), StateError> {
        let at_once = (BLOCK_BYTES / size_of::<T>()) as u64;
        let mut row = 0;
        while row < count {
            let rows = (count - row).min(at_once) as usize;
            let bytes = self.bytes(section, rows * size_of::<T>())?;
            let rows = <[T]>::ref_from_bytes(bytes).map_err(|_| StateError::Ended(section))?;
            for read in rows {
                each(read).map_err(|fault| StateError::Row { section, row, fault })?;
                row += 1;
            }
        }
        Ok(())
    }
}

fn whole(section: &'static str, holds: bool, fault: &'static str) -> Result<(), StateError> {
    ensure(holds, fault).map_err(|fault| StateError::Whole { section, fault })
}

impl Engine {
    /// Reads a state that [`Self::write_state`] wrote. `source` fills what it is given, or says
    /// that it cannot. What comes next are the records after [`Self::executed`]; the next cut
    /// begins there too.
    ///
    /// Whether these are the right bytes is for their hashes to tell: compare [`Self::genesis`]
    /// with the frame's, and [`Self::image_digest`] with that of the engine that wrote them.
    ///
    /// # Errors
    ///
    /// The first thing that a state cannot be.
    pub fn read_state(
        options: Options,
        source: &mut impl FnMut(&mut [u8]) -> bool,
    ) -> Result<Self, StateError> {
        let mut reader = Reader { source, block: Vec::with_capacity(BLOCK_BYTES) };
        let head: Head = reader.one("head")?;
        judge_head(&head)?;
        let genesis = reader.bytes("genesis record", head.genesis_bytes.get() as usize)?;
        let genesis = read_genesis(genesis)?;
        let configuration = read_configuration(&mut reader, &head)?;
        let mut engine = Self::bare(genesis, configuration, options);
        engine.take_head(&head)?;
        engine.judge_counts(&head)?;
        let (assets, hosts) = (u64::from(head.assets.get()), u64::from(head.hosts.get()));
        reader.rows("assets", assets, |row| engine.take_asset(row))?;
        let mut met_own = false;
        reader.rows("hosts", hosts, |row| engine.take_host(row, &mut met_own))?;
        let mut owners = Owners::default();
        reader.rows("owners", head.owners.get(), |row| engine.take_owner(row, &mut owners))?;
        reader
            .rows("accounts", head.accounts.get(), |row| engine.take_account(row, &mut owners))?;
        whole("owners", u64::from(owners.met) == head.owners.get(), "one has no account")?;
        drop(owners);
        let mut last = 0;
        reader.rows("holds", head.holds.get(), |row| engine.take_hold(row, &mut last))?;
        let mut next = 0;
        reader.rows("pairs", head.pairs.get(), |row| engine.take_pair(row, &mut next))?;
        let mut last = (0, 0);
        reader.rows("ids", head.ids.get(), |row| engine.take_id(row, &mut last))?;
        let mut last = (engine.keys.forgotten_through(), 0);
        reader.rows("keys", head.keys.get(), |row| engine.take_key(row, &mut last))?;
        whole("end", reader.one::<[u8; 8]>("end")? == END, "there is more than its counts say")?;
        engine.judge_whole()?;
        engine.discard_changes();
        Ok(engine)
    }

    fn take_head(&mut self, head: &Head) -> Result<(), StateError> {
        let flags = head.flags.get();
        let timestamp_ns = head.timestamp_ns.get();
        self.mint_halted = flags & MINT_HALTED != 0;
        self.money_moved = flags & MONEY_MOVED != 0;
        let now_ms = self.set_clock(timestamp_ns);
        self.executed = head.executed.get();
        self.settled = head.settled.get();
        self.digest = Digest::from_bytes(head.run_digest.get().to_le_bytes());
        self.velocity.advance(now_ms);
        let floor_ms = head.id_floor_ms.get();
        // The window may have become shorter since, but no window is longer than its bound.
        let window_max = Parameter::IdsWindowMs.bounds().max;
        let span = u128::from(now_ms.saturating_sub(floor_ms));
        let fits = floor_ms <= now_ms && span <= window_max + 1_000;
        whole(
            "head",
            fits && floor_ms.is_multiple_of(1_000),
            "the id floor does not fit the time",
        )?;
        self.ids.begin_at(floor_ms);
        let forgotten = head.keys_forgotten_through.get();
        whole("head", forgotten <= self.executed, "keys of the future are forgotten")?;
        whole("head", self.settled <= self.executed, "more is settled than was executed")?;
        self.keys = Keys::forgotten(forgotten);
        whole("head", flags & !(MINT_HALTED | MONEY_MOVED) == 0, "unknown flags")
    }

    fn judge_counts(&self, head: &Head) -> Result<(), StateError> {
        let capacity = |parameter| self.configuration.number(parameter);
        for (section, count, most) in [
            ("assets", u64::from(head.assets.get()), ASSETS_MAX as u64),
            ("hosts", u64::from(head.hosts.get()), HOSTS_MAX as u64),
            ("owners", head.owners.get(), capacity(Parameter::AccountsCapacity)),
            ("accounts", head.accounts.get(), capacity(Parameter::AccountsCapacity)),
            ("holds", head.holds.get(), capacity(Parameter::HoldsCapacity)),
            ("ids", head.ids.get(), capacity(Parameter::IdsCapacity)),
            ("keys", head.keys.get(), capacity(Parameter::KeysCapacity)),
        ] {
            whole(section, count <= most, "there are more than the frame may have")?;
        }
        whole("assets", head.assets.get() > 0, "the native one is missing")?;
        whole("hosts", head.hosts.get() > 0, "the frame itself is missing")
    }

    /// Latest time that an id may have.
    pub(super) const fn latest_id_ms(&self) -> u64 {
        self.clock.now_ms.saturating_add(ID_FUTURE_MS)
    }
}

fn judge_head(head: &Head) -> Result<(), StateError> {
    if head.magic != MAGIC {
        return Err(StateError::Magic);
    }
    if head.version.get() != VERSION {
        return Err(StateError::Version(head.version.get()));
    }
    if head.rules.get() == 0 || head.rules.get() > RULES {
        return Err(StateError::Rules(head.rules.get()));
    }
    whole("genesis record", head.genesis_bytes.get() <= GENESIS_BYTES_MAX, "it is too long")
}

/// The genesis record, in the one way in which it is written; one with fewer parameters is of an
/// earlier version.
fn read_genesis(bytes: &[u8]) -> Result<Genesis, StateError> {
    let genesis = Genesis::decode(bytes).map_err(StateError::Genesis)?;
    let again = genesis.encode();
    if again.len() == bytes.len() && again != bytes {
        return Err(StateError::Genesis(GenesisError::Malformed));
    }
    Ok(genesis)
}

fn read_configuration<S: FnMut(&mut [u8]) -> bool>(
    reader: &mut Reader<'_, S>,
    head: &Head,
) -> Result<Configuration, StateError> {
    let known = Parameter::ALL.len() as u64;
    let count = u64::from(head.parameters.get());
    whole("parameters", count <= known, "there are more than this version knows")?;
    let mut parameters = Parameters::default();
    let mut number = 0;
    reader.rows("parameters", count, |row: &ParameterRow| {
        number += 1;
        ensure(row.number.get() == number && row.zero == [0; 6], "out of order")?;
        let parameter = Parameter::from_number(number).ok_or("unknown")?;
        parameters = parameters.with(parameter, row.value.get());
        Ok(())
    })?;
    whole("parameters", parameters.validate().is_ok(), "one is outside its bounds")?;
    let mut configuration = Configuration::new(parameters);
    let changes = head.changes.get();
    whole("changes", changes as usize <= CHANGES_MAX, "there are more than may be announced")?;
    let now_ms = head.timestamp_ns.get() / NS_PER_MS;
    let mut last = (now_ms, u64::MAX);
    reader.rows("changes", u64::from(changes), |row: &ChangeRow| {
        let order = (row.effective_at_ms.get(), row.sequence.get());
        ensure(order > last && order.0 > now_ms, "it is due already, or out of order")?;
        ensure(order.1 <= head.executed.get() && row.zero == [0; 6], "it is not of the past")?;
        let parameter = Parameter::from_number(row.number.get()).ok_or("unknown parameter")?;
        ensure(parameter.is_fee(), "its parameter is not announced")?;
        last = order;
        let (effective_at_ms, sequence) = order;
        let value = row.value.get();
        configuration.announce(Change { effective_at_ms, sequence, parameter, value });
        Ok(())
    })?;
    Ok(configuration)
}
