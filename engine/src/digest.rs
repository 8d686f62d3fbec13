//! The run digest: a 128-bit fold over what became of every command, so that two engines at the
//! same sequence are compared at once.
//!
//! It is no proof against forgery; the journal's hashes are. The invariant: equal runs fold to
//! equal digests, and every step is a bijection of the state, so a difference is never folded away.
//!
//! One step with a word `w`: `state = rotl((state ⊕ w) × K, 53)`, `K` odd. A command folds three
//! words: `sequence + 2^64·status + 2^80·rate + 2^96·repeat`, then the liquid balances of debtor
//! and creditor after it (0 when nothing changed). A record folds
//! `2^126 + timestamp + 2^64·settled`
//! (settled modulo 2^56); a timer folds `2^127 + first sequence`, the hold's id, what was released.

const MULTIPLIER: u128 = 0xda94_2042_e4dd_58b5_9e37_79b9_7f4a_7c15;
const SETTLED_MASK: u128 = (1 << 56) - 1;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digest(u128);

impl Digest {
    #[inline]
    const fn step(&mut self, word: u128) {
        self.0 = (self.0 ^ word).wrapping_mul(MULTIPLIER).rotate_left(53);
    }

    /// A command.
    #[inline]
    pub(crate) const fn command(&mut self, sequence: u64, answer: Answer, after: (i128, i128)) {
        let Answer { status, rate, repeat } = answer;
        let head = (sequence as u128)
            | (status as u128) << 64
            | (rate as u128) << 80
            | (repeat as u128) << 96;
        self.step(head);
        self.step(after.0.cast_unsigned());
        self.step(after.1.cast_unsigned());
    }

    /// The begin of a record.
    pub(crate) const fn record(&mut self, timestamp_ns: u64, settled: u64) {
        let settled = (settled as u128) & SETTLED_MASK;
        self.step((1 << 126) | (settled << 64) | timestamp_ns as u128);
    }

    /// A hold that ended by its timer.
    pub(crate) const fn timer(&mut self, sequence: u64, id: u128, left: u128) {
        self.step((1 << 127) | sequence as u128);
        self.step(id);
        self.step(left);
    }

    /// Of these bytes.
    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_le_bytes(bytes))
    }

    /// Its bytes.
    pub(crate) const fn bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }
}

/// What a command was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// Number of the status.
    pub(crate) status: u16,
    /// Rate.
    pub(crate) rate: u16,
    /// Whether it repeats an earlier one.
    pub(crate) repeat: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts() {
        let fold = |sequence, status, repeat, after| {
            let mut digest = Digest::default();
            let answer = Answer { status, rate: 1, repeat };
            digest.command(sequence, answer, after);
            digest.bytes()
        };
        let one = fold(1, 0, false, (5, 6));
        for other in [
            fold(2, 0, false, (5, 6)),
            fold(1, 801, false, (5, 6)),
            fold(1, 0, true, (5, 6)),
            fold(1, 0, false, (6, 5)),
            fold(1, 0, false, (5, -6)),
        ] {
            assert_ne!(one, other);
        }
        assert_eq!(one, fold(1, 0, false, (5, 6)));
    }
}
