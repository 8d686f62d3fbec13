//! What one follower wants of the history: whose accounts, which events, which asset.
//!
//! It judges no right: who may see what is decided before. Invariant: what it takes is always
//! among what its interest has the engine tell.

use protocol::effect::Event;
use protocol::feed::{Followed, Interest};
use protocol::{AssetId, OwnerId};

/// Whose effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whose {
    /// Everybody's.
    All,
    /// Those that concern one owner.
    Owner(OwnerId),
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Whose.
    pub whose: Whose,
    /// Which events, a bit for each number.
    pub events: u128,
    /// In which asset; nothing: in any, and what is in none.
    pub asset: Option<AssetId>,
    /// Whatever the rest says: that the owner has moved to another host, for one who may follow it
    /// only as its host.
    pub moves: bool,
}

impl Filter {
    /// Everything of `whose`.
    #[must_use]
    pub const fn of(whose: Whose) -> Self {
        Self { whose, events: u128::MAX, asset: None, moves: false }
    }

    /// Whether it is wanted.
    #[must_use]
    pub fn takes(&self, followed: &Followed) -> bool {
        self.shows(followed) || self.is_move(followed)
    }

    /// Whether it is the move of an owner that is followed only as long as it does not move.
    #[must_use]
    pub fn is_move(&self, followed: &Followed) -> bool {
        let is_move = followed.effect.event == Event::OwnerRehosted.number();
        self.moves && is_move && self.whose == Whose::Owner(followed.effect.debit)
    }

    /// Whether it is wanted for itself, and to be told.
    #[must_use]
    pub fn shows(&self, followed: &Followed) -> bool {
        let is_theirs = match self.whose {
            Whose::All => true,
            Whose::Owner(owner) => followed.concerns(owner),
        };
        let bit = 1_u128.checked_shl(followed.effect.event.into()).unwrap_or(0);
        is_theirs
            && self.events & bit != 0
            && self.asset.is_none_or(|asset| followed.effect.asset == asset)
            && followed.effect.event != Event::KeyUsed.number()
    }
}

/// What the engine has to tell so that all of `whose` are served; nothing: nothing.
pub(super) fn interest(whose: impl IntoIterator<Item = Whose>) -> Option<Interest> {
    let mut owners = Vec::new();
    for one in whose {
        match one {
            Whose::All => return Some(Interest::All),
            Whose::Owner(owner) => owners.push(owner),
        }
    }
    (!owners.is_empty()).then(|| Interest::Owners(owners.into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::effect::Effect;

    #[test]
    fn a_filter_takes_what_every_part_of_it_takes() {
        let of = |event: Event, asset, debit, credit| Followed {
            effect: Effect { event: event.number(), asset, debit, credit, ..Effect::default() },
            ..Followed::default()
        };
        let paid = of(Event::TokensTransferred, 1, 5, 6);
        let used = of(Event::KeyUsed, 0, 5, 0);
        assert!(Filter::of(Whose::All).takes(&paid) && !Filter::of(Whose::All).takes(&used));
        let mine = Filter::of(Whose::Owner(6));
        assert!(mine.takes(&paid) && !Filter::of(Whose::Owner(7)).takes(&paid));
        assert!(!Filter { asset: Some(2), ..mine }.takes(&paid));
        let issues = Filter { events: 1 << Event::TokensIssued.number(), ..mine };
        assert!(!issues.takes(&paid));
        let events = 1 << Event::TokensTransferred.number();
        assert!(Filter { events, asset: Some(1), ..mine }.takes(&paid));
    }

    #[test]
    fn a_move_is_heard_of_whatever_else_is_left_out() {
        let moved = |owner| Followed {
            effect: Effect {
                event: Event::OwnerRehosted.number(),
                debit: owner,
                credit: 9,
                ..Effect::default()
            },
            ..Followed::default()
        };
        let events = 1 << Event::TokensIssued.number();
        let narrow = Filter { events, asset: Some(1), ..Filter::of(Whose::Owner(6)) };
        assert!(!narrow.takes(&moved(6)));
        let hosted = Filter { moves: true, ..narrow };
        assert!(hosted.takes(&moved(6)) && hosted.is_move(&moved(6)) && !hosted.shows(&moved(6)));
        assert!(!hosted.takes(&moved(7)));
        let wide = Filter { moves: true, ..Filter::of(Whose::Owner(6)) };
        assert!(wide.shows(&moved(6)) && wide.is_move(&moved(6)));
        // Another owner's, whose new host the owner is.
        let host = Filter { moves: true, ..Filter::of(Whose::Owner(9)) };
        assert!(host.shows(&moved(6)) && !host.is_move(&moved(6)));
    }

    #[test]
    fn an_interest_is_as_narrow_as_its_followers() {
        assert_eq!(interest([]), None);
        let some = interest([Whose::Owner(1), Whose::Owner(2)]).unwrap();
        assert!(some.wants(1) && some.wants(2) && !some.wants(3));
        assert_eq!(interest([Whose::Owner(1), Whose::All]), Some(Interest::All));
    }
}
