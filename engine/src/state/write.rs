//! Writing: every section in its canonical order, in blocks.
//!
//! It changes nothing and judges nothing. The invariant: the bytes are a function of the state.

use alloc::vec::Vec;

use protocol::genesis::RULES;
use protocol::parameter::Parameter;
use zerocopy::{Immutable, IntoBytes};

use super::{
    AccountRow, AssetRow, BLOCK_BYTES, ChangeRow, END, Head, HoldRow, HostRow, IdRow, KeyRow,
    MAGIC, MINT_HALTED, MONEY_MOVED, NAME_BYTES, OwnerRow, PairRow, ParameterRow, VERSION,
};
use crate::accounts::bits;
use crate::engine::Engine;
use crate::supply::Asset;

struct Writer<'s, S> {
    sink: &'s mut S,
    block: Vec<u8>,
}

impl<S: FnMut(&[u8])> Writer<'_, S> {
    fn put(&mut self, bytes: &[u8]) {
        if self.block.len() + bytes.len() > BLOCK_BYTES {
            self.flush();
        }
        self.block.extend_from_slice(bytes);
    }

    fn rows<T: IntoBytes + Immutable>(&mut self, rows: impl Iterator<Item = T>) {
        for row in rows {
            self.put(row.as_bytes());
        }
    }

    fn flush(&mut self) {
        (self.sink)(&self.block);
        self.block.clear();
    }
}

impl Engine {
    /// Hands the whole state to `sink`, piece by piece.
    ///
    /// # Panics
    ///
    /// Inside a record.
    pub fn write_state(&self, sink: &mut impl FnMut(&[u8])) {
        assert!(!self.in_record, "a state is written between records");
        let mut out = Writer { sink, block: Vec::with_capacity(BLOCK_BYTES) };
        let genesis = self.genesis.encode();
        out.put(self.head(genesis.len()).as_bytes());
        out.put(&genesis);
        self.write_configuration(&mut out);
        out.rows(self.assets.iter().map(asset));
        self.write_owners(&mut out);
        self.write_accounts(&mut out);
        self.write_holds(&mut out);
        self.write_memory(&mut out);
        out.put(&END);
        out.flush();
    }

    fn head(&self, genesis_bytes: usize) -> Head {
        let small = |count: usize| u32::try_from(count).expect("its limit is below 2^32").into();
        let halted = if self.mint_halted { MINT_HALTED } else { 0 };
        let moved = if self.money_moved { MONEY_MOVED } else { 0 };
        Head {
            magic: MAGIC,
            version: VERSION.into(),
            rules: RULES.into(),
            flags: (halted | moved).into(),
            genesis_bytes: small(genesis_bytes),
            parameters: small(Parameter::ALL.len()),
            changes: small(self.configuration.changes().len()),
            assets: small(self.assets.len()),
            hosts: small(self.hosts.len()),
            owners: (self.owners.len() as u64).into(),
            accounts: (self.accounts.len() as u64).into(),
            holds: (self.holds.len() as u64).into(),
            pairs: (self.velocity.iter().count() as u64).into(),
            ids: (self.ids.len() as u64).into(),
            keys: (self.keys.len() as u64).into(),
            executed: self.executed.into(),
            timestamp_ns: self.clock.timestamp_ns.into(),
            settled: self.settled.into(),
            id_floor_ms: self.ids.floor_ms().into(),
            keys_forgotten_through: self.keys.forgotten_through().into(),
            run_digest: u128::from_le_bytes(self.run_digest()).into(),
        }
    }

    fn write_configuration(&self, out: &mut Writer<'_, impl FnMut(&[u8])>) {
        out.rows(Parameter::ALL.into_iter().map(|parameter| ParameterRow {
            value: self.configuration.value(parameter).into(),
            number: parameter.number().into(),
            zero: [0; 6],
        }));
        out.rows(self.configuration.changes().iter().map(|change| ChangeRow {
            value: change.value.into(),
            effective_at_ms: change.effective_at_ms.into(),
            sequence: change.sequence.into(),
            number: change.parameter.number().into(),
            zero: [0; 6],
        }));
    }

    fn write_owners(&self, out: &mut Writer<'_, impl FnMut(&[u8])>) {
        out.rows(self.hosts.iter().map(|host| HostRow {
            principal: host.principal.into(),
            debit_limit: host.debit_limit.into(),
            used: host.used.into(),
            window: host.window.into(),
        }));
        out.rows(self.owners.iter().map(|(number, owner)| OwnerRow {
            id: self.owner_id(owner).into(),
            pending_host: self.owners.pending_host(number).into(),
            host: owner.host.into(),
            agent_only: u16::from(owner.agent_only).into(),
            zero: [0; 4],
        }));
    }

    fn write_accounts(&self, out: &mut Writer<'_, impl FnMut(&[u8])>) {
        out.rows(self.accounts.iter().map(|(hot, cold)| AccountRow {
            owner: hot.owner.into(),
            liquid: hot.liquid.into(),
            minimum: cold.minimum.into(),
            credit_limit: cold.credit_limit.into(),
            sequence: hot.sequence.into(),
            owner_number: hot.owner_number.into(),
            place: hot.asset,
            flags: hot.flags & (bits::FROZEN | bits::CLOSED),
            zero: [0; 2],
        }));
    }

    fn write_holds(&self, out: &mut Writer<'_, impl FnMut(&[u8])>) {
        let mut holds: Vec<_> = self.holds.iter().collect();
        holds.sort_unstable_by_key(|hold| hold.sequence);
        out.rows(holds.into_iter().map(|hold| HoldRow {
            id: hold.id.into(),
            amount: hold.amount.into(),
            left: hold.left.into(),
            expiry_ns: hold.expiry_ns.into(),
            sequence: hold.sequence.into(),
            debtor: hold.debtor.into(),
            creditor: hold.creditor.into(),
            rate: hold.rate.into(),
            keep: u32::from(hold.keep).into(),
        }));
    }

    fn write_memory(&self, out: &mut Writer<'_, impl FnMut(&[u8])>) {
        out.rows(self.velocity.iter().map(|(place, debtor, creditor, window, count)| PairRow {
            place: place.into(),
            debtor: debtor.into(),
            creditor: creditor.into(),
            window: window.into(),
            count: count.into(),
        }));
        out.rows(self.ids.iter().map(|row| IdRow {
            id: row.id().into(),
            scope: row.scope().into(),
            sequence: row.sequence.into(),
            check: row.check.into(),
            status: row.status.into(),
            rate: row.rate.into(),
        }));
        out.rows(self.keys.iter().map(|row| KeyRow {
            principal: row.principal.into(),
            key: row.key.into(),
            body: row.body.into(),
            at_ms: row.at_ms.into(),
            sequence: row.stored.sequence.into(),
            status: row.stored.status.into(),
            rate: row.stored.rate.into(),
            zero: [0; 4],
        }));
    }
}

fn asset(asset: &Asset) -> AssetRow {
    let mut name = [0; NAME_BYTES];
    for (to, from) in name.iter_mut().zip(asset.name.bytes()) {
        *to = from;
    }
    let sums = &asset.sums;
    AssetRow {
        issued: [sums.issued.low.into(), sums.issued.high.into()],
        destroyed: [sums.destroyed.low.into(), sums.destroyed.high.into()],
        id: asset.id.into(),
        scale: asset.scale.into(),
        name_len: u16::try_from(asset.name.len()).expect("a name is short").into(),
        name,
    }
}
