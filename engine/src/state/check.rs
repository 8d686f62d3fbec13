//! What each row must be before it enters its table, and what all of them must be together.
//!
//! It repairs nothing. The invariant: no table's own invariant rests on the bytes.

use alloc::string::String;
use alloc::vec::Vec;

use protocol::ids::NATIVE;
use protocol::limits::{SCALE_MAX, SUPPLY_MAX};
use protocol::system::{self, Class};
use protocol::wide::Wide;
use protocol::{OwnerId, Status};

use super::read::ensure;
use super::{AccountRow, AssetRow, HoldRow, HostRow, IdRow, KeyRow, OwnerRow, PairRow, StateError};
use crate::accounts::{Cold, Hot, NONE, PLAIN, bits};
use crate::engine::Engine;
use crate::holds::Hold;
use crate::hosts::Host;
use crate::ids::Key;
use crate::keys::Row;
use crate::limits::ID_TABLE_MS;
use crate::owners::Owner;
use crate::request::Stored;
use crate::supply::{Sums, debt};

/// No balance is larger: supply and credit are both at most half of it.
const BALANCE_MAX: u128 = 2 * SUPPLY_MAX;

type Checked = Result<(), &'static str>;

/// Owners read, which come before the accounts that they are found by.
#[derive(Debug, Default)]
pub(super) struct Owners {
    ids: Vec<OwnerId>,
    /// Those that have an account.
    pub(super) met: u32,
}

impl Engine {
    pub(super) fn take_asset(&mut self, row: &AssetRow) -> Checked {
        let (id, scale) = (row.id.get(), row.scale.get());
        let (name, padding) =
            row.name.split_at_checked(usize::from(row.name_len.get())).ok_or("a name too long")?;
        ensure(padding.iter().all(|&byte| byte == 0), "its padding is not zero")?;
        let name = core::str::from_utf8(name).map_err(|_| "its name is not UTF-8")?;
        ensure(id != 0 && scale <= SCALE_MAX, "its number is 0, or its scale is too fine")?;
        ensure(self.assets.place(id).is_none(), "its number is taken")?;
        if self.assets.len() == 0 {
            let is_native = (id, scale, name) == (NATIVE, self.genesis.scale, &*self.genesis.name);
            ensure(is_native, "the first is not that of the genesis record")?;
        }
        let place = self.assets.add(id, scale, String::from(name));
        let wide = |[low, high]: [u128; 2]| Wide { high, low };
        let sums = &mut self.assets.row_mut(place).sums;
        sums.issued = wide(row.issued.map(Into::into));
        sums.destroyed = wide(row.destroyed.map(Into::into));
        Ok(())
    }

    pub(super) fn take_host(&mut self, row: &HostRow, met: &mut bool) -> Checked {
        let principal = row.principal.get();
        let facts = Host {
            principal,
            debit_limit: row.debit_limit.get(),
            used: row.used.get(),
            window: row.window.get(),
        };
        // The frame's own host is there from the start and has no principal.
        if !*met {
            *met = true;
            ensure(principal == 0, "the first is not the frame itself")?;
            *self.hosts.row_mut(0) = facts;
            return Ok(());
        }
        ensure(self.hosts.find(principal).is_none(), "its principal is taken")?;
        let number = self.hosts.add(principal, 0);
        *self.hosts.row_mut(number) = facts;
        Ok(())
    }

    pub(super) fn take_owner(&mut self, row: &OwnerRow, owners: &mut Owners) -> Checked {
        let (id, host) = (row.id.get(), row.host.get());
        ensure(row.agent_only.get() <= 1 && row.zero == [0; 4], "its flags are unknown")?;
        ensure(!system::is_system(id), "it is a system owner")?;
        ensure(usize::from(host) < self.hosts.len(), "its host is not there")?;
        let agent_only = row.agent_only.get() == 1;
        let number = self.owners.add(Owner { agent_only, ..Owner::new(host) });
        self.owners.set_pending_host(number, row.pending_host.get());
        owners.ids.push(id);
        Ok(())
    }

    pub(super) fn take_account(&mut self, row: &AccountRow, owners: &mut Owners) -> Checked {
        let (owner, place, sequence) = (row.owner.get(), row.place, row.sequence.get());
        ensure(usize::from(place) < self.assets.len(), "its asset is not there")?;
        ensure(row.flags & !(bits::FROZEN | bits::CLOSED) == 0, "its flags are unknown")?;
        ensure(row.zero == [0; 2] && sequence <= self.executed, "it changed in the future")?;
        let (liquid, minimum, credit) =
            (row.liquid.get(), row.minimum.get(), row.credit_limit.get());
        ensure(liquid.unsigned_abs() <= BALANCE_MAX, "its balance is too large")?;
        ensure(minimum <= SUPPLY_MAX && credit <= SUPPLY_MAX, "its limits are too large")?;
        let hash = self.hash.key(owner, self.assets.row(place).id);
        ensure(self.accounts.find(hash, owner, place).is_none(), "it is there twice")?;
        let number = self.accounts.len() as u32;
        let owner_number = row.owner_number.get();
        let (mut host, mut flags, mut next_of_owner) = (0, row.flags, NONE);
        let mut is_first = false;
        if owner_number == NONE {
            ensure(liquid >= 0 && credit == 0, "a system account owes")?;
            self.take_system_account(owner, place, number)?;
        } else {
            let id = owners.ids.get(owner_number as usize);
            ensure(id.is_some(), "its owner is not there")?;
            ensure(id == Some(&owner), "its owner has another id")?;
            is_first = self.owners.row(owner_number).first_account == NONE;
            if is_first {
                ensure(owner_number == owners.met, "owners are not in order of first accounts")?;
                ensure(self.owner_number(owner).is_none(), "its owner is there twice")?;
                owners.met += 1;
            }
            let facts = self.owners.row_mut(owner_number);
            host = facts.host;
            next_of_owner = facts.first_account;
            facts.first_account = number;
            if facts.agent_only {
                flags |= bits::AGENT_ONLY;
            }
        }
        let signed = |units: u128| i128::try_from(units).map_err(|_| "its limits are too large");
        let floor = signed(minimum)? - signed(credit)?;
        let hot = Hot { liquid, floor, owner, sequence, owner_number, host, asset: place, flags };
        let assets = &self.assets;
        self.accounts.add(&self.hash, |place| assets.row(place).id, hot, next_of_owner);
        if is_first {
            self.owners.enter(&self.hash, &self.accounts, owner_number);
        }
        let limits = Cold { minimum, credit_limit: credit, ..PLAIN };
        self.accounts.set_cold(number, limits);
        self.assets.row_mut(place).accounts += 1;
        Ok(())
    }

    fn take_system_account(&mut self, owner: OwnerId, place: u8, number: u32) -> Checked {
        let asset = self.assets.row_mut(place);
        let of_hosts = match system::classify(owner) {
            Some((Class::FeeCollector, host)) => Some((&mut asset.collectors, host)),
            Some((Class::Treasury, host)) => Some((&mut asset.treasuries, host)),
            Some((Class::StakingPool | Class::GrantPool, _)) => None,
            _ => return Err("no system account has this owner"),
        };
        if let Some((numbers, host)) = of_hosts {
            ensure(numbers.len() == host as usize, "those of the hosts are not in order")?;
            numbers.push(number);
        }
        Ok(())
    }

    pub(super) fn take_hold(&mut self, row: &HoldRow, last: &mut u64) -> Checked {
        let (debtor, creditor) = (row.debtor.get(), row.creditor.get());
        let (amount, left, sequence) = (row.amount.get(), row.left.get(), row.sequence.get());
        let accounts = self.accounts.len();
        let is_there = |number: u32| (number as usize) < accounts;
        ensure(is_there(debtor) && is_there(creditor), "its account is not there")?;
        let places = [debtor, creditor].map(|number| self.accounts.hot(number).asset);
        ensure(places[0] == places[1], "its accounts are of two assets")?;
        ensure(amount <= BALANCE_MAX && (1..=amount).contains(&left), "its amount is impossible")?;
        ensure((*last + 1..=self.executed).contains(&sequence), "its sequence is out of order")?;
        ensure(
            row.rate.get() < 1_000_000 && row.keep.get() <= 1,
            "its rate or flag is impossible",
        )?;
        let id = row.id.get();
        ensure(self.holds.find(&self.hash, debtor, id).is_none(), "it is there twice")?;
        *last = sequence;
        self.holds.insert(
            &self.hash,
            Hold {
                id,
                amount,
                left,
                expiry_ns: row.expiry_ns.get(),
                sequence,
                debtor,
                creditor,
                rate: row.rate.get(),
                keep: row.keep.get() == 1,
            },
        );
        let cold = self.accounts.cold_mut(debtor);
        cold.held = cold.held.checked_add(left).ok_or("too much is held")?;
        cold.open_items += 1;
        cold.holds += 1;
        self.accounts.cold_mut(creditor).open_items += 1;
        Ok(())
    }

    pub(super) fn take_pair(&mut self, row: &PairRow, next: &mut u64) -> Checked {
        let accounts = self.accounts.len();
        let numbers = [row.debtor.get(), row.creditor.get()];
        let is_there = numbers.iter().all(|&number| (number as usize) < accounts);
        ensure(is_there, "its account is not there")?;
        let [debtor, creditor] = numbers.map(|number| self.accounts.hot(number));
        ensure(debtor.asset == creditor.asset, "its accounts are of two assets")?;
        let key = |hot: &Hot| self.hash.key(hot.owner, self.assets.row(hot.asset).id);
        let hash = self.hash.pair(key(debtor), key(creditor));
        let place = row.place.get();
        ensure(place >= *next, "its place is out of order")?;
        *next = place.saturating_add(1);
        self.velocity.put(place, hash, numbers, row.window.get(), row.count.get())
    }

    pub(super) fn take_id(&mut self, row: &IdRow, last: &mut (u64, u64)) -> Checked {
        let (id, scope) = (row.id.get(), row.scope.get());
        let key = Key::new(&self.hash, id, scope);
        let is_held = (self.ids.floor_ms()..=self.latest_id_ms()).contains(&key.unix_ms());
        ensure(is_held, "its time is outside the window")?;
        self.judge_stored(row.sequence.get(), row.status.get())?;
        ensure(self.ids.find(&key).is_none(), "it is there twice")?;
        let order = (key.unix_ms() / ID_TABLE_MS, row.sequence.get());
        ensure(order > *last, "its time or sequence is out of order")?;
        *last = order;
        let outcome = (row.status.get(), row.rate.get());
        self.ids.insert(&self.hash, &key, row.sequence.get(), row.check.get(), outcome);
        Ok(())
    }

    pub(super) fn take_key(&mut self, row: &KeyRow, last: &mut (u64, u64)) -> Checked {
        let (sequence, at_ms) = (row.sequence.get(), row.at_ms.get());
        self.judge_stored(sequence, row.status.get())?;
        ensure(sequence > last.0 && at_ms >= last.1, "its sequence or time is out of order")?;
        ensure(at_ms <= self.clock.now_ms && row.zero == [0; 4], "it is of the future")?;
        *last = (sequence, at_ms);
        let (principal, key) = (row.principal.get(), row.key.get());
        ensure(self.keys.find(&self.hash, principal, key).is_none(), "it is there twice")?;
        let stored = Stored { sequence, status: row.status.get(), rate: row.rate.get() };
        self.keys.insert(&self.hash, Row { principal, key, body: row.body.get(), at_ms, stored });
        Ok(())
    }

    fn judge_stored(&self, sequence: u64, status: u16) -> Checked {
        ensure((1..=self.executed).contains(&sequence), "its sequence was not executed")?;
        let status = Status::from_number(status).ok_or("its status is unknown")?;
        ensure(status.is_remembered(), "its status is not remembered")
    }

    /// What only all rows together tell: sums, system accounts, closed accounts.
    pub(super) fn judge_whole(&mut self) -> Result<(), StateError> {
        let whole = |section, fault| StateError::Whole { section, fault };
        let mut all: Vec<_> = self
            .assets
            .iter()
            .map(|asset| Sums {
                issued: asset.sums.issued,
                destroyed: asset.sums.destroyed,
                ..Sums::default()
            })
            .collect();
        for (hot, cold) in self.accounts.iter() {
            let is_idle = hot.liquid == 0 && cold.open_items == 0;
            ensure(!hot.has(bits::CLOSED) || is_idle, "a closed one is not empty")
                .map_err(|fault| whole("accounts", fault))?;
            let sums = &mut all[usize::from(hot.asset)];
            let units = || StateError::Units(self.assets.row(hot.asset).id);
            count(sums, hot, cold).ok_or_else(units)?;
        }
        let hosts = self.hosts.len();
        for (place, sums) in self.assets.places().zip(all) {
            let asset = self.assets.row(place);
            let has_all = asset.collectors.len() == hosts && asset.treasuries.len() == hosts;
            let pools = [system::STAKING_POOL, system::GRANT_POOL].map(|owner| {
                let hash = self.hash.key(owner, asset.id);
                self.accounts.find(hash, owner, place).is_some()
            });
            ensure(has_all && pools == [true; 2], "a system account is missing")
                .map_err(|fault| whole("accounts", fault))?;
            let net = sums.issued.difference(sums.destroyed);
            let total =
                i128::try_from(sums.held).ok().and_then(|held| sums.liquid.checked_add(held));
            let bounded = net.is_some_and(|net| net.unsigned_abs() <= SUPPLY_MAX);
            if net != total || !bounded || sums.credit_granted > SUPPLY_MAX {
                return Err(StateError::Units(asset.id));
            }
            self.assets.row_mut(place).sums = sums;
        }
        Ok(())
    }
}

/// [`Sums::count`] for accounts that nobody vouches for.
fn count(sums: &mut Sums, hot: &Hot, cold: &Cold) -> Option<()> {
    sums.liquid = sums.liquid.checked_add(hot.liquid)?;
    sums.held = sums.held.checked_add(cold.held)?;
    // What is held is what is left of open holds, for so it was added up.
    sums.open_holds = sums.held;
    sums.credit_granted = sums.credit_granted.checked_add(cold.credit_limit)?;
    sums.credit_used = sums.credit_used.checked_add(debt(hot.liquid))?;
    Some(())
}
