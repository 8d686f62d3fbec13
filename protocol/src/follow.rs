//! Frames of a feed over the wire: what a client asks to follow, and what it is told.
//!
//! A follow (5), 64 bytes, is the one frame behind the client's hello on a stream of its own:
//!
//! | at | field | type | |
//! |---|---|---|---|
//! | 0 | account | u128 | owner whose events are wanted; 0: what the role may follow, unnamed |
//! | 16 | events | u128 | a bit for each number of an event; 0: all |
//! | 32 | sequence | u64 | begin behind this place |
//! | 40 | leg | u16 | [`WHOLE`]: everything of the sequence is known |
//! | 42 | flags | u16 | bit 0 NOW: begin with what comes; sequence and leg are 0 |
//! | 44 | asset | u32 | 0: any |
//! | 48 | – | 16 × 0 | |
//!
//! The frame answers with a progress (7), which says where the feed begins, and then with events
//! (6), 1 to [`EVENTS_MAX`] times a [`Followed`] of 160 bytes, and more progress; or with an
//! unfollowed (8), which is the last. Invariant: every field has one meaning, and what cannot be
//! read is refused.

use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::effect::Event;
use crate::feed::{Followed, Place};
use crate::ids::{AssetId, OwnerId};

/// Events of one frame.
pub const EVENTS_MAX: usize = 64;
/// Instead of a leg: everything of the sequence.
pub const WHOLE: u16 = 0x7fff;
/// Instead of a balance that the client may not see; no balance is this low.
pub const UNTOLD: i128 = i128::MIN;

/// Bits of [`Follow::flags`].
pub mod flags {
    /// From now on.
    pub const NOW: u16 = 1;
}

/// What a client wants to follow.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Follow {
    /// Owner, or 0.
    pub account: OwnerId,
    /// Bits of events, or 0.
    pub events: u128,
    /// Where to begin.
    pub sequence: u64,
    /// Where to begin.
    pub leg: u16,
    /// See [`flags`].
    pub flags: u16,
    /// Asset, or 0.
    pub asset: AssetId,
    /// Zero.
    pub reserved: u128,
}

/// Size of a [`Follow`].
pub const FOLLOW_SIZE: usize = 64;

const _: () = assert!(size_of::<Follow>() == FOLLOW_SIZE);

impl Follow {
    /// Where to begin; nothing: now.
    pub const fn after(&self) -> Option<Place> {
        if self.flags & flags::NOW != 0 {
            return None;
        }
        Some(Place::of(self.sequence, self.leg))
    }

    /// The same beginning behind `place`, or now.
    #[must_use]
    pub const fn behind(self, place: Option<Place>) -> Self {
        match place {
            Some(place) => {
                let flags = self.flags & !flags::NOW;
                Self { sequence: place.sequence(), leg: place.leg(), flags, ..self }
            }
            None => Self { sequence: 0, leg: 0, flags: self.flags | flags::NOW, ..self },
        }
    }

    /// The set of events that is wanted.
    pub const fn wanted_events(&self) -> u128 {
        if self.events == 0 { u128::MAX } else { self.events }
    }

    /// Whether every bit of it has a meaning.
    pub fn is_readable(&self) -> bool {
        let is_known = |number: &u16| Event::is_followed(*number) || self.events >> number & 1 == 0;
        let begins_once = self.flags & flags::NOW == 0 || (self.sequence, self.leg) == (0, 0);
        self.reserved == 0
            && self.flags & !flags::NOW == 0
            && begins_once
            && (0..Event::NUMBERS_END).all(|number| is_known(&number))
    }
}

/// How far a feed has come: nothing for it lies at or before this place any more.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Progress {
    /// Sequence.
    pub sequence: u64,
    /// Leg, or [`WHOLE`].
    pub leg: u16,
    /// Zero.
    pub reserved: [u16; 3],
}

impl Progress {
    /// At `place`.
    pub const fn at(place: Place) -> Self {
        Self { sequence: place.sequence(), leg: place.leg(), reserved: [0; 3] }
    }

    /// Its place.
    pub const fn place(&self) -> Place {
        Place::of(self.sequence, self.leg)
    }
}

/// Why a client cannot follow, or no longer. Numbers are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unfollowed {
    /// The account is not there, or the identity may not follow it, or no longer.
    NotFound,
    /// A bit of the follow has no meaning, or a registry has named no account.
    Invalid,
    /// What lies before this sequence is no longer kept.
    Gone {
        /// The first sequence that can be told.
        first: u64,
    },
    /// The history has not come that far.
    Ahead {
        /// Its last sequence.
        last: u64,
    },
    /// The identity follows as often as it may.
    TooMany,
    /// The frame serves as many feeds as it may.
    Full,
    /// The frame serves no feeds.
    Off,
    /// The journal cannot be read now.
    Unreadable,
    /// The frame ends, or is too busy.
    Unavailable,
}

/// An [`Unfollowed`] on the wire.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct UnfollowedFrame {
    /// Of which the reason tells, or 0.
    pub sequence: u64,
    /// Number of the reason.
    pub reason: u16,
    /// Zero.
    pub reserved: [u16; 3],
}

/// Size of a [`Progress`] and of an [`UnfollowedFrame`].
pub const PROGRESS_SIZE: usize = 16;

const _: () = assert!(size_of::<Progress>() == PROGRESS_SIZE);
const _: () = assert!(size_of::<UnfollowedFrame>() == PROGRESS_SIZE);
const _: () = assert!(size_of::<Followed>() == 160);

impl Unfollowed {
    /// As it is written.
    pub const fn frame(self) -> UnfollowedFrame {
        let (reason, sequence) = match self {
            Self::NotFound => (1, 0),
            Self::Invalid => (2, 0),
            Self::Gone { first } => (3, first),
            Self::Ahead { last } => (4, last),
            Self::TooMany => (5, 0),
            Self::Full => (6, 0),
            Self::Off => (7, 0),
            Self::Unreadable => (8, 0),
            Self::Unavailable => (9, 0),
        };
        UnfollowedFrame { sequence, reason, reserved: [0; 3] }
    }

    /// Whether the same may be asked for again after a moment.
    pub const fn is_passing(self) -> bool {
        matches!(self, Self::TooMany | Self::Full | Self::Unreadable | Self::Unavailable)
    }
}

impl UnfollowedFrame {
    /// What it says, if that is known.
    pub const fn read(&self) -> Option<Unfollowed> {
        Some(match self.reason {
            1 => Unfollowed::NotFound,
            2 => Unfollowed::Invalid,
            3 => Unfollowed::Gone { first: self.sequence },
            4 => Unfollowed::Ahead { last: self.sequence },
            5 => Unfollowed::TooMany,
            6 => Unfollowed::Full,
            7 => Unfollowed::Off,
            8 => Unfollowed::Unreadable,
            9 => Unfollowed::Unavailable,
            _ => return None,
        })
    }
}

impl fmt::Display for Unfollowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::NotFound => "no such account, or this identity may not follow it; name another",
            Self::Invalid => "the follow has an unknown bit, or a registry has to name an account",
            Self::Gone { first } => {
                let place = first.saturating_sub(1);
                return write!(
                    f,
                    "the history before sequence {first} is no longer kept; begin behind {place}, \
                     and take what was before from balances or SQL"
                );
            }
            Self::Ahead { last } => {
                return write!(f, "the history ends with sequence {last}; begin at or before it");
            }
            Self::TooMany => "the identity has as many feeds as it may; close one",
            Self::Full => "there are as many feeds as the frame serves; try again later",
            Self::Off => "the frame serves no feeds; ask its operator to set feeds.enabled",
            Self::Unreadable => "the journal cannot be read now; try again later",
            Self::Unavailable => "the frame shuts down, or is too busy; try again later",
        };
        f.write_str(text)
    }
}

impl core::error::Error for Unfollowed {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follow_says_where_it_begins() {
        let follow = Follow::default();
        assert_eq!(follow.behind(None).after(), None);
        for place in [Place::after(0), Place::after(42), Place::of(42, 0), Place::of(42, 1 << 15)] {
            let follow = follow.behind(None).behind(Some(place));
            assert_eq!(follow.after(), Some(place));
            assert!(follow.is_readable());
            assert_eq!(Progress::at(place).place(), place);
        }
        assert_eq!(Place::after(42).leg(), WHOLE);
    }

    #[test]
    fn every_bit_without_a_meaning_is_refused() {
        let now = Follow::default().behind(None);
        assert!(now.is_readable());
        let paid = 1 << Event::TokensTransferred.number();
        assert!(Follow { events: paid, account: 7, asset: 3, ..now }.is_readable());
        for wrong in [
            Follow { reserved: 1, ..now },
            Follow { flags: 2, ..now },
            Follow { sequence: 1, ..now },
            Follow { leg: 1, ..now },
            Follow { events: 1, ..now },
            Follow { events: 1 << 127, ..now },
            Follow { events: 1 << Event::KeyUsed.number(), ..now },
        ] {
            assert!(!wrong.is_readable(), "{wrong:?}");
        }
    }

    #[test]
    fn reasons_read_back_as_written() {
        for reason in [
            Unfollowed::NotFound,
            Unfollowed::Invalid,
            Unfollowed::Gone { first: 5 },
            Unfollowed::Ahead { last: 10 },
            Unfollowed::TooMany,
            Unfollowed::Full,
            Unfollowed::Off,
            Unfollowed::Unreadable,
            Unfollowed::Unavailable,
        ] {
            assert_eq!(reason.frame().read(), Some(reason));
        }
        assert_eq!(UnfollowedFrame { reason: 10, ..UnfollowedFrame::default() }.read(), None);
    }
}
