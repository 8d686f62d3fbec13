//! Journaled parameters as the engine uses them, and announced changes.
//!
//! The invariant: the set always validates, so no rule divides by zero or overflows.

use alloc::vec::Vec;

use protocol::parameter::{Parameter, Parameters};

use crate::limits::CHANGES_MAX;

/// A change announced for later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// When it takes effect, in Unix milliseconds of journal time.
    pub(crate) effective_at_ms: u64,
    /// Sequence of the command that announced it.
    pub(crate) sequence: u64,
    /// What changes.
    pub(crate) parameter: Parameter,
    /// To what.
    pub(crate) value: u128,
}

/// The curve of the fee.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Curve {
    /// Base rate in millionths.
    pub(crate) base: u32,
    max: u32,
    free: u64,
    cap: u64,
}

impl Curve {
    /// Rate of a pair that paid `count` times before in the window.
    #[inline]
    pub(crate) fn rate(&self, count: u64) -> u32 {
        if count < self.free {
            self.base
        } else if count >= self.cap {
            self.max
        } else {
            let rise = u64::from(self.max - self.base) * (count - self.free);
            let rise = rise / (self.cap - self.free);
            self.base + u32::try_from(rise).expect("the rise is at most max - base")
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Configuration {
    parameters: Parameters,
    changes: Vec<Change>,
    /// A bit for each parameter that keeps its value, by its number.
    pinned: u64,
    /// The fee curve of the present parameters.
    pub(crate) curve: Curve,
    /// Ids remembered at the most.
    pub(crate) ids_capacity: usize,
}

fn curve(parameters: &Parameters) -> Curve {
    let small = |parameter| u32::try_from(parameters.value(parameter)).expect("rates are bounded");
    Curve {
        base: small(Parameter::FeeBase),
        max: small(Parameter::FeeMax),
        free: u64::from(small(Parameter::VelocityFree)),
        cap: u64::from(small(Parameter::VelocityCap)),
    }
}

fn count(parameters: &Parameters, parameter: Parameter) -> usize {
    usize::try_from(parameters.value(parameter)).expect("its bounds keep it below 2^32")
}

fn ids_capacity(parameters: &Parameters) -> usize {
    count(parameters, Parameter::IdsCapacity)
}

impl Configuration {
    /// Of validated parameters.
    pub(crate) fn new(parameters: Parameters) -> Self {
        let changes = Vec::with_capacity(CHANGES_MAX);
        let (curve, ids_capacity) = (curve(&parameters), ids_capacity(&parameters));
        Self { parameters, changes, pinned: 0, curve, ids_capacity }
    }

    /// One value.
    pub(crate) const fn value(&self, parameter: Parameter) -> u128 {
        self.parameters.value(parameter)
    }

    /// One value that its bounds keep below 2^64.
    pub(crate) fn number(&self, parameter: Parameter) -> u64 {
        u64::try_from(self.value(parameter)).expect("its bounds keep it below 2^64")
    }

    /// One value that counts things in memory.
    pub(crate) fn count(&self, parameter: Parameter) -> usize {
        count(&self.parameters, parameter)
    }

    /// Whether the set with this value would validate.
    pub(crate) fn accepts(&self, parameter: Parameter, value: u128) -> bool {
        self.parameters.with(parameter, value).validate().is_ok()
    }

    /// Sets a value that is accepted.
    pub(crate) fn set(&mut self, parameter: Parameter, value: u128) {
        self.replace(self.parameters.with(parameter, value));
    }

    /// Every value.
    pub(crate) const fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Other values, which validate.
    pub(crate) fn replace(&mut self, parameters: Parameters) {
        self.parameters = parameters;
        assert!(
            self.parameters.validate().is_ok(),
            "a value is set only after the set with it validated"
        );
        self.curve = curve(&self.parameters);
        self.ids_capacity = ids_capacity(&self.parameters);
    }

    /// Keeps the value of `parameter` from now on.
    pub(crate) const fn pin(&mut self, parameter: Parameter) {
        self.pinned |= 1 << parameter.number();
    }

    /// Whether `parameter` keeps its value.
    pub(crate) const fn is_pinned(&self, parameter: Parameter) -> bool {
        self.pinned & (1 << parameter.number()) != 0
    }

    /// Whether no other change may be announced.
    pub(crate) const fn is_full(&self) -> bool {
        self.changes.len() >= CHANGES_MAX
    }

    /// Announces a change.
    pub(crate) fn announce(&mut self, change: Change) {
        let order = |change: &Change| (change.effective_at_ms, change.sequence);
        let place = self.changes.partition_point(|other| order(other) < order(&change));
        self.changes.insert(place, change);
    }

    /// Takes the first change that is due.
    pub(crate) fn take_due(&mut self, now_ms: u64) -> Option<Change> {
        let due = self.changes.first()?.effective_at_ms <= now_ms;
        due.then(|| self.changes.remove(0))
    }

    /// When the next change is due.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.changes.first().map(|change| change.effective_at_ms)
    }

    /// What is announced, in order.
    pub(crate) fn changes(&self) -> &[Change] {
        &self.changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_is_exact_at_its_corners() {
        let curve = Configuration::new(Parameters::default()).curve;
        for (count, rate) in [
            (0, 5_000),
            (9, 5_000),
            (10, 5_000),
            (11, 5_450),
            (60, 27_500),
            (109, 49_550),
            (110, 50_000),
            (u64::MAX, 50_000),
        ] {
            assert_eq!(curve.rate(count), rate, "{count}");
        }
    }

    #[test]
    fn changes_are_taken_in_order_of_time_and_sequence() {
        let mut configuration = Configuration::new(Parameters::default());
        for (effective_at_ms, sequence) in [(20, 1), (10, 3), (10, 2), (20, 0)] {
            configuration.announce(Change {
                effective_at_ms,
                sequence,
                parameter: Parameter::FeeBase,
                value: 6_000,
            });
        }
        assert_eq!(configuration.next_ms(), Some(10));
        assert_eq!(configuration.take_due(9), None);
        let mut taken = Vec::new();
        while let Some(change) = configuration.take_due(20) {
            taken.push(change.sequence);
        }
        assert_eq!(taken, [2, 3, 0, 1]);
    }
}
