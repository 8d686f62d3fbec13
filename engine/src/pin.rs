//! Pinned parameters: values that hold whatever the journal says, to see what a past would have
//! become under other rules.
//!
//! It refuses values outside their bounds and capacities below what is in use. Invariant: an
//! engine without pins knows nothing of them, and one with pins is never written or recovered.

use core::fmt;

use protocol::genesis::GenesisError;
use protocol::parameter::Parameter;

use crate::engine::Engine;
use crate::velocity::Velocity;

/// Why a parameter cannot be pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PinError {
    /// The value is outside its bounds, or does not fit the other parameters.
    Bounds(Parameter),
    /// The state at hand needs more.
    InUse {
        /// Which.
        parameter: Parameter,
        /// The least that will do here.
        least: u64,
    },
}

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Bounds(parameter) => GenesisError::Parameter(parameter).fmt(f),
            Self::InUse { parameter, least } => write!(
                f,
                "{} cannot be less than {least} from here on, which is in use; choose more, or \
                 begin earlier",
                parameter.name()
            ),
        }
    }
}

impl core::error::Error for PinError {}

impl Engine {
    /// Sets parameters, and keeps them so: commands and announced changes that set them later are
    /// judged and answered as ever, and change nothing. `host.debit_limit` is that of every host.
    ///
    /// # Errors
    ///
    /// Nothing is set when the values cannot be.
    ///
    /// # Panics
    ///
    /// Inside a record.
    pub fn pin(&mut self, values: &[(Parameter, u128)]) -> Result<(), PinError> {
        assert!(!self.in_record, "parameters are pinned between records");
        let mut wanted = *self.configuration.parameters();
        for &(parameter, value) in values {
            wanted = wanted.with(parameter, value);
        }
        wanted.validate().map_err(PinError::Bounds)?;
        for &(parameter, _) in values {
            let least = self.in_use(parameter);
            if wanted.value(parameter) < u128::from(least) {
                return Err(PinError::InUse { parameter, least });
            }
        }
        self.configuration.replace(wanted);
        for &(parameter, value) in values {
            self.take_up(parameter);
            if parameter == Parameter::HostDebitLimit {
                for number in 1..self.hosts.len() {
                    let number = u16::try_from(number).expect("there are at most HOSTS_MAX hosts");
                    self.hosts.row_mut(number).debit_limit = value;
                }
            }
            self.configuration.pin(parameter);
        }
        Ok(())
    }

    /// What a parameter is now.
    pub const fn parameter(&self, parameter: Parameter) -> u128 {
        self.configuration.value(parameter)
    }

    /// The least that a capacity can be with this state; 0 for everything else.
    fn in_use(&self, parameter: Parameter) -> u64 {
        let used = match parameter {
            Parameter::AccountsCapacity => self.accounts.len(),
            Parameter::HoldsCapacity => self.holds.len(),
            Parameter::IdsCapacity => self.ids.len(),
            Parameter::KeysCapacity => self.keys.len(),
            // Its sets only ever split.
            Parameter::PairsCapacity if self.executed > 0 => {
                self.configuration.count(Parameter::PairsCapacity)
            }
            _ => 0,
        };
        u64::try_from(used).expect("capacities are below 2^32")
    }

    /// Brings the tables in line with a parameter that was set.
    fn take_up(&mut self, parameter: Parameter) {
        if self.executed > 0 {
            let value = self.configuration.value(parameter);
            self.apply(parameter, value);
        } else if matches!(parameter, Parameter::PairsCapacity | Parameter::VelocityWindowMs) {
            self.velocity = Velocity::new(
                self.configuration.count(Parameter::PairsCapacity),
                self.configuration.number(Parameter::VelocityWindowMs),
            );
            self.velocity.advance(self.clock.now_ms);
        }
    }
}
