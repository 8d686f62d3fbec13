//! The keyed hash of every table: folded multiplication with keys drawn from the genesis seed.
//!
//! It never identifies anything by itself: tables compare whole keys; only the 32-bit check of a
//! body and the 64-bit name of a scope stand for more than they hold, and their keys are secret.
//! The invariant: its values never change, for they decide in which set of the velocity table a
//! pair competes.

use protocol::{Command, OwnerId};

/// Keys of the hash.
#[derive(Clone, Debug)]
pub(crate) struct Hash {
    owner: [u64; 4],
    id: [u64; 4],
    pair: [u64; 2],
    body: [u64; 16],
    close: [u64; 4],
}

/// The upper and the lower half of a product, folded together.
const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128) * (b as u128);
    (product as u64) ^ ((product >> 64) as u64)
}

const fn low(wide: u128) -> u64 {
    wide as u64
}

const fn high(wide: u128) -> u64 {
    (wide >> 64) as u64
}

impl Hash {
    /// Keys of the frame whose genesis has `seed`.
    pub(crate) fn new(seed: u128) -> Self {
        let mut stream = blake3::Hasher::new_derive_key("bezant engine table hash v1")
            .update(&seed.to_le_bytes())
            .finalize_xof();
        let mut next = || {
            let mut bytes = [0; 8];
            stream.fill(&mut bytes);
            // Odd, so that no key is zero and multiplication by it loses nothing.
            u64::from_le_bytes(bytes) | 1
        };
        Self {
            owner: core::array::from_fn(|_| next()),
            id: core::array::from_fn(|_| next()),
            pair: core::array::from_fn(|_| next()),
            body: core::array::from_fn(|_| next()),
            close: core::array::from_fn(|_| next()),
        }
    }

    /// Of a number with a small companion: an account (owner, asset), a hold (id, account), or an
    /// owner (0).
    pub(crate) const fn key(&self, number: u128, companion: u32) -> u64 {
        let [a, b, c, d] = self.owner;
        let folded = fold(low(number) ^ a, high(number) ^ b);
        fold(folded ^ (companion as u64) ^ c, d)
    }

    /// Name of the scope of `owner`.
    pub(crate) const fn scope(&self, owner: OwnerId) -> u64 {
        self.key(owner, u32::MAX)
    }

    /// Of an id in a scope.
    pub(crate) const fn id(&self, scope: u64, id: u128) -> u64 {
        let [a, b, c, d] = self.id;
        let folded = fold(low(id) ^ a, high(id) ^ b);
        fold(folded ^ scope ^ c, d)
    }

    /// Of an ordered pair of accounts, from the hashes of both.
    pub(crate) const fn pair(&self, debit: u64, credit: u64) -> u64 {
        let [a, b] = self.pair;
        fold(fold(debit ^ a, b) ^ credit, a)
    }

    /// Of a command and its data.
    pub(crate) fn body(&self, command: &Command, data: &[Command]) -> u64 {
        let mut sum = self.slot(command);
        for slot in data {
            sum = fold(sum ^ self.close[0], self.close[1]).wrapping_add(self.slot(slot));
        }
        sum
    }

    fn slot(&self, slot: &Command) -> u64 {
        let words: &[u64; 16] = zerocopy::transmute_ref!(slot);
        let mut sum = 0_u64;
        let mut at = 0;
        while at < 16 {
            let (a, b) = (words[at] ^ self.body[at], words[at + 1] ^ self.body[at + 1]);
            sum = sum.wrapping_add(fold(a, b)).rotate_left(7);
            at += 2;
        }
        sum
    }

    /// The check of a single command from the hash of its body.
    pub(crate) const fn check(&self, body: u64) -> u32 {
        (fold(body ^ self.close[1], self.close[0]) >> 32) as u32
    }

    /// The check of a chain from the hashes of its bodies in order.
    pub(crate) fn check_chain(&self, bodies: impl Iterator<Item = u64>) -> u32 {
        let mut sum = self.close[2];
        let mut legs = 0_u64;
        for body in bodies {
            sum = fold(sum ^ body, self.close[3]).wrapping_add(body.rotate_left(23));
            legs += 1;
        }
        (fold(sum ^ legs, self.close[2]) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{CommandId, Kind};

    #[test]
    fn its_values_are_pinned() {
        let hash = Hash::new(7);
        let command = Command::new(Kind::Transfer, CommandId(5));
        let values = [
            hash.key(1 << 64, 1),
            hash.scope(9),
            hash.id(3, 4),
            hash.pair(1, 2),
            hash.body(&command, &[]),
            u64::from(hash.check(1)),
            u64::from(hash.check_chain([1, 2].into_iter())),
        ];
        assert_eq!(values, PINNED, "{values:#x?}");
    }

    const PINNED: [u64; 7] = [
        0xa6df_571e_39f3_9fac,
        0x33a6_bda6_001e_4f3f,
        0xc610_604b_94ff_7d9d,
        0xc942_03e1_f47b_17e2,
        0x3120_8dde_f84e_ab6c,
        0x0904_b879,
        0x581b_8dea,
    ];

    #[test]
    fn every_bit_of_a_body_and_the_order_of_legs_count() {
        let hash = Hash::new(1);
        let command = Command::transfer(CommandId(1), 1 << 64, 2 << 64, 1, 5);
        let body = hash.body(&command, &[]);
        for word in 0..16 {
            for bit in 0..64 {
                let mut words: [u64; 16] = zerocopy::transmute!(command);
                words[word] ^= 1 << bit;
                let other: Command = zerocopy::transmute!(words);
                assert_ne!(hash.body(&other, &[]), body, "word {word} bit {bit}");
            }
        }
        assert_ne!(hash.body(&command, &[Command::default()]), body);
        let forth = hash.check_chain([1, 2].into_iter());
        assert_ne!(forth, hash.check_chain([2, 1].into_iter()));
        assert_ne!(hash.check_chain([1].into_iter()), hash.check(1));
    }
}
