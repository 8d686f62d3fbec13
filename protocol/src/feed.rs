//! What follows the history as it happens: a place in it, what is of interest, and what is told.
//!
//! It orders and chooses; it keeps nothing. Invariant: places rise with every effect that is told,
//! timers of a record before its first command, so that whoever keeps the last one misses none
//! and takes none twice.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::effect::{Effect, Event, TIMER_LEG};
use crate::ids::OwnerId;

/// An effect, with what its record and its command say of it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Followed {
    /// The effect.
    pub effect: Effect,
    /// Id of the command, or the one that its string key gives; 0: the frame's own doing.
    pub command: u128,
    /// Journal time of the record.
    pub timestamp_ns: u64,
    /// Epoch of the record.
    pub epoch: u64,
}

const _: () = assert!(size_of::<Followed>() == 160);

impl Followed {
    /// Its place.
    pub const fn place(&self) -> Place {
        Place::of(self.effect.sequence, self.effect.leg)
    }

    /// Whether `owner` is debited or credited, or the event is about it.
    pub const fn concerns(&self, owner: OwnerId) -> bool {
        self.effect.debit == owner || self.effect.credit == owner
    }
}

/// A place in the history: behind one effect, or behind all of a sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    sequence: u64,
    /// Timers, whose legs are numbered from [`TIMER_LEG`], come before the commands.
    turn: u16,
}

impl Place {
    /// Behind the effect `leg` of `sequence`.
    pub const fn of(sequence: u64, leg: u16) -> Self {
        Self { sequence, turn: leg ^ TIMER_LEG }
    }

    /// Behind everything of `sequence`.
    pub const fn after(sequence: u64) -> Self {
        Self { sequence, turn: u16::MAX }
    }

    /// The sequence.
    pub const fn sequence(self) -> u64 {
        self.sequence
    }

    /// The leg; behind all of a sequence [`crate::follow::WHOLE`], which [`Self::of`] takes too.
    pub const fn leg(self) -> u16 {
        self.turn ^ TIMER_LEG
    }

    /// Where it lies within its sequence: whatever comes later there has a higher turn.
    pub const fn turn(self) -> u16 {
        self.turn
    }

    /// The last sequence of which everything lies before this place.
    pub const fn whole(self) -> u64 {
        if self.turn == u16::MAX { self.sequence } else { self.sequence.saturating_sub(1) }
    }

    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (sequence, leg) = match text.split_once('.') {
            Some((sequence, leg)) => (sequence, Some(leg)),
            None => (text, None),
        };
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let sequence = sequence.parse().ok().filter(|_| plain(sequence))?;
        match leg {
            None => Some(Self::after(sequence)),
            Some(leg) => {
                let leg = leg.parse().ok().filter(|_| plain(leg))?;
                Some(Self::of(sequence, leg))
            }
        }
    }
}

impl fmt::Display for Place {
    /// `<sequence>` or `<sequence>.<leg>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.turn == u16::MAX {
            return self.sequence.fmt(f);
        }
        write!(f, "{}.{}", self.sequence, self.leg())
    }
}

/// Bits of an [`Owners`]; a power of two. A thousand owners set one in sixty-five of them.
const BITS: usize = 1 << 16;

/// A set of owners: 8 KiB, and 16 bytes for each. Most of those who are not in it are told from
/// the others by one bit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owners {
    bits: Box<[u64]>,
    /// Rising.
    owners: Box<[OwnerId]>,
}

impl FromIterator<OwnerId> for Owners {
    fn from_iter<T: IntoIterator<Item = OwnerId>>(owners: T) -> Self {
        let mut owners: Vec<OwnerId> = owners.into_iter().collect();
        owners.sort_unstable();
        owners.dedup();
        let mut bits = vec![0; BITS / 64].into_boxed_slice();
        for &owner in &owners {
            let (word, bit) = Self::bit(owner);
            bits[word] |= bit;
        }
        Self { bits, owners: owners.into_boxed_slice() }
    }
}

impl Owners {
    /// Whether it is in.
    #[inline]
    pub fn holds(&self, owner: OwnerId) -> bool {
        let (word, bit) = Self::bit(owner);
        self.bits[word] & bit != 0 && self.owners.binary_search(&owner).is_ok()
    }

    /// Each once, rising.
    pub fn iter(&self) -> impl Iterator<Item = OwnerId> {
        self.owners.iter().copied()
    }

    /// Where the bit of an owner is. Whoever makes owners collide makes work, never an error.
    #[inline]
    const fn bit(owner: OwnerId) -> (usize, u64) {
        let folded = (owner as u64) ^ ((owner >> 64) as u64).rotate_left(32);
        // Twice, for owners that are numbered one after the other would meet after one product.
        let once = folded.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (once ^ (once >> 32)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 48;
        ((mixed >> 6) as usize, 1 << (mixed & 63))
    }
}

/// Which effects somebody follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Every one.
    All,
    /// Those that concern one of these.
    Owners(Owners),
}

impl Interest {
    /// Whether effects of an account of `owner` are wanted.
    #[inline]
    pub fn wants(&self, owner: OwnerId) -> bool {
        match self {
            Self::All => true,
            Self::Owners(owners) => owners.holds(owner),
        }
    }

    /// Whether `effect` is wanted. What is said of string keys is for the settled history alone.
    #[inline]
    pub fn wants_effect(&self, effect: &Effect) -> bool {
        effect.event != Event::KeyUsed.number()
            && (self.wants(effect.debit) || self.wants(effect.credit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn places_stand_in_the_order_in_which_things_happen() {
        let told = [
            Place::after(6),
            Place::of(7, TIMER_LEG),
            Place::of(7, TIMER_LEG + 1),
            Place::of(7, 0),
            Place::of(7, 1),
            Place::after(7),
            Place::of(8, 0),
        ];
        assert!(told.is_sorted_by(|one, next| one < next));
        assert_eq!(told.map(Place::whole), [6, 6, 6, 6, 6, 7, 7]);
    }

    #[test]
    fn a_place_reads_back_as_written() {
        for text in ["0", "42", "42.0", "42.1", "42.32768", "18446744073709551615"] {
            assert_eq!(Place::parse(text).unwrap().to_string(), text);
        }
        for text in ["", ".", "1.", ".1", "+1", "-1", "1.65536", "1.0.0", "1.+0", " 1", "1e3"] {
            assert_eq!(Place::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        let owner = |n: u128| (0x0190_0000_0000_7000 << 64) + n * 0x10_0001;
        let owners: Owners = (0..1_000).rev().chain([7, 7]).map(owner).collect();
        assert!(owners.iter().eq((0..1_000).map(owner)));
        assert!((0..1_000).all(|n| owners.holds(owner(n))));
        // Some of them have the bit of one that is in.
        let is_set = |owner| {
            let (word, bit) = Owners::bit(owner);
            owners.bits[word] & bit != 0
        };
        let others = (1_000..11_000).map(owner).chain(0..100);
        assert!(others.clone().any(is_set));
        assert!(others.clone().filter(|&other| is_set(other)).count() < 400);
        assert!(!others.into_iter().any(|other| owners.holds(other)));
        let nobody: Owners = [].into_iter().collect();
        assert!(!nobody.holds(0) && nobody.iter().next().is_none());
    }

    #[test]
    fn an_effect_is_wanted_by_either_side() {
        let two = Interest::Owners([1, 2].into_iter().collect());
        let effect = Effect { debit: 5, credit: 2, ..Effect::default() };
        assert!(two.wants_effect(&effect) && Interest::All.wants_effect(&effect));
        assert!(!two.wants_effect(&Effect { credit: 3, ..effect }));
        let used = Effect { event: Event::KeyUsed.number(), ..effect };
        assert!(!Interest::All.wants_effect(&used) && !two.wants_effect(&used));
    }
}
