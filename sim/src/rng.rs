//! The generator that every choice of a run is drawn from, and the rolling hash of what happened.
//!
//! Both are part of what a seed means: they never change, or old seeds would name other runs.
//! Invariant: the same seed gives the same numbers on every machine.

/// A seeded generator (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed ^ 0x5afe_c0de_0b5e_55ed)
    }

    /// Another generator of the same seed, which draws nothing from this one.
    pub(crate) const fn stream(seed: u64, stream: u64) -> Self {
        let mut rng = Self::new(seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95));
        Self(rng.next())
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A place in a list of `len`, which is not 0.
    pub(crate) fn pick(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("a place fits")
    }

    /// Whether something happens that happens `per_mille` times in a thousand.
    pub(crate) const fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }
}

/// The rolling hash of a run (FNV-1a over 64-bit words).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trace(pub(crate) u64);

impl Default for Trace {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Trace {
    pub(crate) const fn mix(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }

    pub(crate) fn mix_bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_seed_are_fixed_for_ever() {
        let mut rng = Rng::new(1);
        let first: Vec<u64> = (0..3).map(|_| rng.next()).collect();
        let again = Rng::new(1).next();
        assert_eq!(first[0], again);
        assert_eq!(splitmix_of_zero(), 0xe220_a839_7b1d_cdaf);
    }

    fn splitmix_of_zero() -> u64 {
        Rng(0).next()
    }
}
