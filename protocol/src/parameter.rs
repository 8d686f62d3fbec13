//! Parameters that can change an outcome: journaled in the genesis record and by `configure`
//! (H19), each with its number, default and bounds.

/// A journaled parameter; its number is the `code` of `configure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
#[non_exhaustive]
pub enum Parameter {
    /// Base fee rate in millionths.
    FeeBase = 1,
    /// Ceiling of the velocity-scaled rate in millionths.
    FeeMax = 2,
    /// Velocity window in milliseconds of journal time.
    VelocityWindowMs = 3,
    /// Earlier payments of a pair in the window that cost nothing extra.
    VelocityFree = 4,
    /// Earlier payments at which the ceiling is reached.
    VelocityCap = 5,
    /// Pairs the velocity table holds.
    PairsCapacity = 6,
    /// Lifetime of a hold that names none, in milliseconds.
    HoldDefaultMs = 7,
    /// Longest lifetime of a hold, in milliseconds.
    HoldMaxMs = 8,
    /// Holds open at once in the frame.
    HoldsCapacity = 9,
    /// Holds open at once per debtor account.
    HoldsPerDebtor = 10,
    /// Time window in which ids are remembered, in milliseconds.
    IdsWindowMs = 11,
    /// Window below which ids are never forgotten for want of room, in milliseconds.
    IdsMinWindowMs = 12,
    /// Ids remembered at once.
    IdsCapacity = 13,
    /// Accounts, system accounts included.
    AccountsCapacity = 14,
    /// Commands of one chain.
    ChainLength = 15,
    /// Bound on the sum of all credit limits, in minor units.
    CreditTotal = 16,
    /// A host may debit this much of its owners' money per window, in minor units of the native
    /// asset; 0 = no limit. Per host (`credit` of the command names it).
    HostDebitLimit = 17,
    /// That window, in milliseconds.
    HostDebitWindowMs = 18,
    /// How long a string key is remembered at the least while there is room, in milliseconds.
    KeysWindowMs = 19,
    /// String keys remembered at once.
    KeysCapacity = 20,
}

/// Bounds and default of one parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Smallest value accepted.
    pub min: u128,
    /// Largest value accepted.
    pub max: u128,
    /// Value of a frame that sets nothing.
    pub default: u128,
}

const SECOND: u128 = 1_000;
const DAY: u128 = 24 * 3_600 * SECOND;

impl Parameter {
    /// Every parameter, in order of its number, which is its place plus one.
    pub const ALL: [Self; 20] = [
        Self::FeeBase,
        Self::FeeMax,
        Self::VelocityWindowMs,
        Self::VelocityFree,
        Self::VelocityCap,
        Self::PairsCapacity,
        Self::HoldDefaultMs,
        Self::HoldMaxMs,
        Self::HoldsCapacity,
        Self::HoldsPerDebtor,
        Self::IdsWindowMs,
        Self::IdsMinWindowMs,
        Self::IdsCapacity,
        Self::AccountsCapacity,
        Self::ChainLength,
        Self::CreditTotal,
        Self::HostDebitLimit,
        Self::HostDebitWindowMs,
        Self::KeysWindowMs,
        Self::KeysCapacity,
    ];

    /// Its number.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The parameter with `number`.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.get(usize::from(number.checked_sub(1)?)).copied()
    }

    /// Its name in configuration files and documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FeeBase => "fee.base",
            Self::FeeMax => "fee.max",
            Self::VelocityWindowMs => "velocity.window_ms",
            Self::VelocityFree => "velocity.free",
            Self::VelocityCap => "velocity.cap",
            Self::PairsCapacity => "pairs.capacity",
            Self::HoldDefaultMs => "holds.default_ms",
            Self::HoldMaxMs => "holds.max_ms",
            Self::HoldsCapacity => "holds.capacity",
            Self::HoldsPerDebtor => "holds.per_debtor",
            Self::IdsWindowMs => "ids.window_ms",
            Self::IdsMinWindowMs => "ids.min_window_ms",
            Self::IdsCapacity => "ids.capacity",
            Self::AccountsCapacity => "accounts.capacity",
            Self::ChainLength => "chain.length",
            Self::CreditTotal => "credit.total",
            Self::HostDebitLimit => "host.debit_limit",
            Self::HostDebitWindowMs => "host.debit_window_ms",
            Self::KeysWindowMs => "keys.window_ms",
            Self::KeysCapacity => "keys.capacity",
        }
    }

    /// What `configure` and the genesis record accept. Relations between parameters (cap > free,
    /// base ≤ max, minimum window ≤ window, default ≤ longest hold) are checked on top.
    pub const fn bounds(self) -> Bounds {
        let (min, max, default) = match self {
            Self::FeeBase => (5_000, 50_000, 5_000),
            Self::FeeMax => (5_000, 50_000, 50_000),
            Self::VelocityWindowMs => (1_000, DAY, 60 * SECOND),
            Self::VelocityFree => (1, 1_000_000, 10),
            Self::VelocityCap => (2, 2_000_000, 110),
            Self::PairsCapacity => (8, 1 << 28, 1 << 20),
            Self::HoldDefaultMs => (1, 30 * DAY, 7 * DAY),
            Self::HoldMaxMs => (1, 30 * DAY, 30 * DAY),
            Self::HoldsCapacity => (1, 1 << 28, 1 << 20),
            Self::HoldsPerDebtor => (1, 1 << 20, 1_024),
            Self::IdsWindowMs => (1_000, DAY, 120 * SECOND),
            Self::IdsMinWindowMs => (1_000, DAY, 10 * SECOND),
            Self::IdsCapacity => (64, 1 << 30, 1 << 25),
            Self::AccountsCapacity => (16, 1 << 28, 1 << 22),
            Self::ChainLength => (2, 64, 64),
            Self::CreditTotal => (0, 1 << 120, 0),
            Self::HostDebitLimit => (0, 1 << 120, 0),
            Self::HostDebitWindowMs => (1_000, DAY, DAY),
            Self::KeysWindowMs => (1_000, 30 * DAY, DAY),
            Self::KeysCapacity => (64, 1 << 26, 1 << 20),
        };
        Bounds { min, max, default }
    }

    /// Whether a change must be announced an hour ahead (H30).
    pub const fn is_fee(self) -> bool {
        matches!(
            self,
            Self::FeeBase
                | Self::FeeMax
                | Self::VelocityWindowMs
                | Self::VelocityFree
                | Self::VelocityCap
        )
    }

    /// Whether it is a size that may only grow.
    pub const fn is_capacity(self) -> bool {
        matches!(
            self,
            Self::PairsCapacity
                | Self::HoldsCapacity
                | Self::IdsCapacity
                | Self::AccountsCapacity
                | Self::KeysCapacity
        )
    }
}

/// How far ahead a fee change takes effect at the least (H30).
pub const FEE_NOTICE_MS: u64 = 3_600_000;

/// One value for every parameter, `HostDebitLimit` being the default of new hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters([u128; Parameter::ALL.len()]);

impl Default for Parameters {
    fn default() -> Self {
        let mut values = [0; Parameter::ALL.len()];
        for (value, parameter) in values.iter_mut().zip(Parameter::ALL) {
            *value = parameter.bounds().default;
        }
        Self(values)
    }
}

impl Parameters {
    /// The value of `parameter`.
    pub const fn value(&self, parameter: Parameter) -> u128 {
        self.0[parameter.number() as usize - 1]
    }

    /// The same set with one value changed; check it with [`Self::validate`].
    #[must_use]
    pub fn with(mut self, parameter: Parameter, value: u128) -> Self {
        if let Some(place) = self.0.get_mut(usize::from(parameter.number()) - 1) {
            *place = value;
        }
        self
    }

    /// The first parameter outside its bounds or its relation to another.
    ///
    /// # Errors
    ///
    /// Names that parameter.
    pub fn validate(&self) -> Result<(), Parameter> {
        use Parameter as P;
        for parameter in P::ALL {
            let Bounds { min, max, .. } = parameter.bounds();
            if !(min..=max).contains(&self.value(parameter)) {
                return Err(parameter);
            }
        }
        let related = [
            (P::FeeBase, self.value(P::FeeBase) <= self.value(P::FeeMax)),
            (P::VelocityCap, self.value(P::VelocityCap) > self.value(P::VelocityFree)),
            (P::HoldDefaultMs, self.value(P::HoldDefaultMs) <= self.value(P::HoldMaxMs)),
            (P::IdsMinWindowMs, self.value(P::IdsMinWindowMs) <= self.value(P::IdsWindowMs)),
        ];
        related.iter().find(|(_, holds)| !holds).map_or(Ok(()), |&(parameter, _)| Err(parameter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_numbers_read_back() {
        assert_eq!(Parameters::default().validate(), Ok(()));
        for parameter in Parameter::ALL {
            assert_eq!(Parameter::from_number(parameter.number()), Some(parameter));
        }
        assert_eq!(Parameter::from_number(0), None);
        assert_eq!(Parameter::from_number(21), None);
    }

    #[test]
    fn bounds_and_relations_are_kept() {
        let set = |parameter, value| Parameters::default().with(parameter, value).validate();
        assert_eq!(set(Parameter::FeeBase, 4_999), Err(Parameter::FeeBase));
        assert_eq!(set(Parameter::FeeMax, 50_001), Err(Parameter::FeeMax));
        assert_eq!(set(Parameter::VelocityWindowMs, 0), Err(Parameter::VelocityWindowMs));
        assert_eq!(set(Parameter::VelocityFree, 110), Err(Parameter::VelocityCap));
        assert_eq!(set(Parameter::VelocityFree, 0), Err(Parameter::VelocityFree));
        assert_eq!(set(Parameter::IdsWindowMs, 5_000), Err(Parameter::IdsMinWindowMs));
    }
}
