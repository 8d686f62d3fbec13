//! The frame itself: parameters, assets, identities. No postings.
//!
//! | kind | events |
//! |---|---|
//! | configure | `ConfigurationChanged` |
//! | asset | `AssetCreated` |
//! | identify | `PrincipalIdentified` |

use alloc::string::String;

use protocol::effect::Event;
use protocol::limits::SCALE_MAX;
use protocol::parameter::{FEE_NOTICE_MS, Parameter};
use protocol::{AssetId, Command, Status, data as entries, system};

use crate::accounts::NONE;
use crate::configuration::Change;
use crate::engine::Engine;
use crate::limits::NOTICE_MAX_MS;
use crate::shape::is_of_host;

impl Engine {
    /// Sets or announces a parameter.
    pub(super) fn configure(&mut self, command: &Command) -> Result<(), Status> {
        let parameter = Parameter::from_number(command.code)
            .expect("the shape of a command refuses unknown parameters");
        if parameter.is_fee() && self.configuration.is_full() {
            return Err(Status::ChangesFull);
        }
        let host = if is_of_host(parameter) {
            let host = self.hosts.find(command.credit);
            Some(host.ok_or(Status::CreditorNotFound)?)
        } else {
            None
        };
        let value = command.amount;
        if !self.configuration.accepts(parameter, value) {
            return Err(Status::OutOfBounds);
        }
        let effective_at_ms = self.judge_notice(parameter, command.value)?;
        if parameter.is_capacity() && value < self.configuration.value(parameter) {
            return Err(Status::CapacityShrinks);
        }
        // Point of no return.
        if self.configuration.is_pinned(parameter) {
            // Answered as ever; the value stays.
        } else if let Some(host) = host {
            self.hosts.row_mut(host).debit_limit = value;
        } else if parameter.is_fee() {
            self.configuration.announce(Change {
                effective_at_ms,
                sequence: self.sequence,
                parameter,
                value,
            });
        } else {
            self.apply(parameter, value);
        }
        self.note.reference = u128::from(parameter.number());
        self.tell(Event::ConfigurationChanged, 0, 0, command.credit);
        Ok(())
    }

    /// When a change takes effect.
    fn judge_notice(&self, parameter: Parameter, at_ms: u64) -> Result<u64, Status> {
        let now_ms = self.clock.now_ms;
        if !parameter.is_fee() {
            return if at_ms == 0 { Ok(now_ms) } else { Err(Status::OutOfBounds) };
        }
        let earliest = now_ms.saturating_add(FEE_NOTICE_MS);
        let latest = now_ms.saturating_add(NOTICE_MAX_MS);
        match at_ms {
            0 => Ok(earliest),
            at_ms if (earliest..=latest).contains(&at_ms) => Ok(at_ms),
            _ => Err(Status::OutOfBounds),
        }
    }

    /// Makes a value the present one.
    pub(crate) fn apply(&mut self, parameter: Parameter, value: u128) {
        self.configuration.set(parameter, value);
        match parameter {
            Parameter::VelocityWindowMs => {
                let window_ms = self.configuration.number(parameter);
                self.velocity.set_window(window_ms, self.clock.now_ms);
            }
            Parameter::HostDebitWindowMs => self.find_host_window(),
            Parameter::PairsCapacity => {
                let capacity = self.configuration.count(parameter);
                let (hash, accounts, assets) = (&self.hash, &self.accounts, &self.assets);
                let key = |number| {
                    let hot = accounts.hot(number);
                    hash.key(hot.owner, assets.row(hot.asset).id)
                };
                self.velocity
                    .grow(capacity, |debtor, creditor| hash.pair(key(debtor), key(creditor)));
            }
            _ => {}
        }
    }

    /// Creates an asset.
    pub(super) fn asset(&mut self, command: &Command, data: &[Command]) -> Result<(), Status> {
        if !self.has_room_for(2 * self.hosts.len() + 2) {
            return Err(Status::AccountsFull);
        }
        if self.assets.is_full() {
            return Err(Status::AssetsFull);
        }
        if command.asset == 0 {
            return Err(Status::AssetNotFound);
        }
        if self.assets.place(command.asset).is_some() {
            return Err(Status::AssetExists);
        }
        let scale = u16::try_from(command.value)
            .ok()
            .filter(|&scale| scale <= SCALE_MAX)
            .ok_or(Status::OutOfBounds)?;
        let name = entries::find_text(data, entries::TAG_NAME)
            .expect("the shape of a command refuses an asset without a name");
        // Point of no return.
        self.add_asset(command.asset, scale, String::from(name));
        self.tell(Event::AssetCreated, command.asset, 0, 0);
        Ok(())
    }

    /// Adds an asset with the system accounts of the frame and of every host.
    pub(crate) fn add_asset(&mut self, id: AssetId, scale: u16, name: String) {
        let place = self.assets.add(id, scale, name);
        let hosts = u16::try_from(self.hosts.len()).expect("there are at most HOSTS_MAX hosts");
        for host in 0..hosts {
            self.add_host_accounts(place, host);
        }
        self.add_account(system::STAKING_POOL, NONE, place);
        self.add_account(system::GRANT_POOL, NONE, place);
    }

    /// The journal is the record of the binding; the state needs none.
    pub(super) fn identify(&mut self) -> Result<(), Status> {
        self.tell(Event::PrincipalIdentified, 0, 0, self.caller.principal);
        Ok(())
    }
}
