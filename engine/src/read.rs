//! Reads: answers from the state as it is, between records or inside one; they change nothing.

use alloc::vec::Vec;

use protocol::answer::Answer;
use protocol::parameter::Parameter;
use protocol::request::Commands;
use protocol::{Command, Kind, Request, Status};
use zerocopy::IntoBytes;

use crate::accounts::bits;
use crate::authority::Caller;
use crate::engine::{Engine, NS_PER_MS};
use crate::list;
use crate::recount::Recount;
use crate::shape::is_of_host;
use crate::supply::{Asset, Sums};

/// An outcome is known, or minting is halted.
const FLAG: u32 = 1;

impl Engine {
    /// Appends one answer of 256 bytes per read; of a list one per account, and a trailer.
    ///
    /// # Panics
    ///
    /// On a request whose structure was not checked.
    pub fn read(&self, request: &Request, slots: &[Command], answers: &mut Vec<u8>) {
        self.read_with(request, slots, &mut Recount::default(), answers);
    }

    /// As [`Self::read`]; a recount is answered from `recount` while nothing was executed since,
    /// and `busy` where another walk is not allowed.
    ///
    /// # Panics
    ///
    /// As [`Self::read`].
    pub fn read_with(
        &self,
        request: &Request,
        slots: &[Command],
        recount: &mut Recount,
        answers: &mut Vec<u8>,
    ) {
        let mut caller = Caller { principal: request.principal, role: request.role, host: None };
        if caller.is(protocol::Role::Registry) {
            caller.host = self.hosts.find(caller.principal);
        }
        let is_alone = slots.len() == 1;
        for entry in Commands::new(slots) {
            let entry = entry.expect("the structure of a request is checked before it is read");
            let mut answer = self
                .answer_read(&caller, entry.command, entry.data, recount, is_alone, answers)
                .unwrap_or_else(|status| Answer { status: status.number(), ..Answer::default() });
            answer.kind = entry.command.kind;
            answer.asset = entry.command.asset;
            answers.extend_from_slice(answer.as_bytes());
        }
    }

    fn answer_read(
        &self,
        caller: &Caller,
        command: &Command,
        data: &[Command],
        recount: &mut Recount,
        is_alone: bool,
        answers: &mut Vec<u8>,
    ) -> Result<Answer, Status> {
        let kind = protocol::shape::check(command, data)?;
        if !kind.is_read() {
            return Err(Status::UnknownKind);
        }
        if kind == Kind::ReadAccounts {
            list::judge(command, is_alone)?;
        }
        if kind == Kind::ReadRecount && !is_alone {
            return Err(Status::ListShape);
        }
        if !self.allows_read(caller, kind, command) {
            return Err(Status::NotFound);
        }
        match kind {
            Kind::ReadAccount => self.read_account(command),
            Kind::ReadOutcome => Ok(self.read_outcome(command)),
            Kind::ReadSupply => {
                let asset = self.asset_of(command)?;
                Ok(self.supply_answer(asset, &asset.sums))
            }
            Kind::ReadRecount => self.read_recount(command, recount),
            Kind::Quote => self.read_quote(caller, command),
            Kind::ReadHold => self.read_hold(command),
            Kind::ReadAsset => self.read_asset(command),
            Kind::ReadAccounts => self.list(caller, command, answers),
            _ => self.read_parameter(command),
        }
    }

    pub(crate) fn asset_of(&self, command: &Command) -> Result<&Asset, Status> {
        let place = self.assets.place(command.asset);
        Ok(self.assets.row(place.ok_or(Status::AssetNotFound)?))
    }

    fn read_asset(&self, command: &Command) -> Result<Answer, Status> {
        let asset = self.asset_of(command)?;
        let host = self.assets.after(asset.id).unwrap_or(0);
        Ok(Answer { host, ..asset_answer(asset) })
    }

    fn read_account(&self, command: &Command) -> Result<Answer, Status> {
        self.asset_of(command)?;
        let number =
            self.account_number(command.debit, command.asset).ok_or(Status::DebtorNotFound)?;
        Ok(self.account_answer(number))
    }

    pub(crate) fn account_answer(&self, number: u32) -> Answer {
        let (hot, cold) = (self.accounts.hot(number), self.accounts.cold(number));
        Answer {
            flags: u32::from(hot.flags & bits::SHOWN),
            sequence: hot.sequence,
            value: hot.liquid.cast_unsigned(),
            held: cold.held,
            minimum: cold.minimum,
            credit: cold.credit_limit,
            host: u32::from(hot.host),
            open_items: cold.open_items,
            ..Answer::default()
        }
    }

    fn read_outcome(&self, command: &Command) -> Answer {
        let (owner, id) = (command.debit, command.reference);
        let by_id = self.ids.find(&self.key(owner, id)).map(|row| row.stored());
        // The id that a string key gives is never one of the usual kind.
        let by_key = || self.keys.find(&self.hash, owner, id).map(|row| row.stored);
        by_id.or_else(by_key).map_or_else(Answer::default, |stored| Answer {
            flags: FLAG,
            sequence: stored.sequence,
            rate: u32::from(stored.rate),
            host: u32::from(stored.status),
            ..Answer::default()
        })
    }

    pub(crate) fn supply_answer(&self, asset: &Asset, sums: &Sums) -> Answer {
        let row = asset.supply(sums);
        Answer {
            flags: if self.mint_halted { FLAG } else { 0 },
            sequence: self.executed,
            value: row.issued.low,
            held: row.held,
            minimum: row.destroyed.low,
            credit: row.credit_granted,
            total: row.total().unwrap_or(i128::MAX),
            delta: row.delta().unwrap_or(i128::MAX),
            credit_used: row.credit_used,
            host: asset.accounts,
            ..Answer::default()
        }
    }

    fn read_quote(&self, caller: &Caller, command: &Command) -> Result<Answer, Status> {
        let quote = self.quote(caller, command)?;
        Ok(Answer {
            value: quote.pays,
            held: quote.gets,
            staked: quote.base,
            bonded: quote.extra,
            rate: quote.rate,
            ..Answer::default()
        })
    }

    fn read_hold(&self, command: &Command) -> Result<Answer, Status> {
        self.asset_of(command)?;
        let debtor =
            self.account_number(command.debit, command.asset).ok_or(Status::DebtorNotFound)?;
        let slot =
            self.holds.find(&self.hash, debtor, command.reference).ok_or(Status::HoldNotFound)?;
        let hold = self.holds.row(slot);
        Ok(Answer {
            flags: u32::from(hold.keep),
            sequence: hold.sequence,
            value: hold.left,
            held: hold.amount,
            staked: self.accounts.hot(hold.creditor).owner,
            time: hold.expiry_ns / NS_PER_MS,
            rate: hold.rate,
            ..Answer::default()
        })
    }

    fn read_parameter(&self, command: &Command) -> Result<Answer, Status> {
        let parameter = Parameter::from_number(command.code).ok_or(Status::CodeUnknown)?;
        let value = if is_of_host(parameter) && command.credit != 0 {
            let host = self.hosts.find(command.credit);
            let host = host.ok_or(Status::CreditorNotFound)?;
            self.hosts.row(host).debit_limit
        } else {
            self.configuration.value(parameter)
        };
        Ok(Answer { value, ..Answer::default() })
    }
}

fn asset_answer(asset: &Asset) -> Answer {
    let mut answer = Answer {
        rate: u32::from(asset.scale),
        open_items: u32::try_from(asset.name.len()).unwrap_or(0),
        ..Answer::default()
    };
    for (target, source) in answer.text.iter_mut().zip(asset.name.bytes()) {
        *target = source;
    }
    answer
}
