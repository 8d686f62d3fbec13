//! What is followed: the effects that the engine keeps for feeds, and marks on the accounts of the
//! owners that somebody follows, so that a payment looks at lines it needs anyway and at no set.
//!
//! Local: nothing here changes an outcome. Invariant: between records an account bears the mark
//! exactly if its owner is one of those that are followed.

use protocol::effect::Effect;
use protocol::feed::{Interest, Owners};
use protocol::{OwnerId, system};

use crate::accounts::{NONE, bits};
use crate::engine::Engine;

impl Engine {
    /// Tells what is followed from the next record on; `None`: nothing. Nothing that the engine
    /// decides depends on it. It costs a search for each owner that was not followed before or no
    /// longer is.
    ///
    /// # Panics
    ///
    /// Inside a record: then it would be followed in part.
    pub fn follow(&mut self, interest: Option<Interest>) {
        assert!(!self.in_record, "what is followed changes between records");
        // Taken out while the accounts are changed.
        let before = self.effects.follow(None);
        for owner in only_in(before.as_ref(), interest.as_ref()) {
            self.mark(owner, false);
        }
        for owner in only_in(interest.as_ref(), before.as_ref()) {
            self.mark(owner, true);
        }
        self.effects.follow(interest);
    }

    /// Effects of what is followed, in order, since [`Self::clear_followed`].
    pub fn followed(&self) -> &[Effect] {
        self.effects.followed()
    }

    /// They were taken.
    pub fn clear_followed(&mut self) {
        self.effects.clear_followed();
    }

    /// Marks every account of an owner, or takes the mark away.
    fn mark(&mut self, owner: OwnerId, is_followed: bool) {
        if system::is_system(owner) {
            for place in self.assets.places() {
                let hash = self.hash.key(owner, self.assets.row(place).id);
                if let Some(number) = self.accounts.find(hash, owner, place) {
                    self.mark_account(number, is_followed);
                }
            }
        } else if let Some(number) = self.owners.find(&self.hash, &self.accounts, owner) {
            let mut account = self.owners.row(number).first_account;
            while account != NONE {
                self.mark_account(account, is_followed);
                account = self.accounts.next_of_owner(account);
            }
        }
    }

    fn mark_account(&mut self, number: u32, is_followed: bool) {
        let flags = &mut self.accounts.hot_mut(number).flags;
        if is_followed {
            *flags |= bits::FOLLOWED;
        } else {
            *flags &= !bits::FOLLOWED;
        }
    }
}

/// Owners that one names and another does not.
fn only_in<'a>(
    one: Option<&'a Interest>,
    other: Option<&'a Interest>,
) -> impl Iterator<Item = OwnerId> + 'a {
    let owners = |interest: Option<&'a Interest>| match interest {
        Some(Interest::Owners(owners)) => Some(owners),
        Some(Interest::All) | None => None,
    };
    let mut others = owners(other).into_iter().flat_map(Owners::iter).peekable();
    owners(one).into_iter().flat_map(Owners::iter).filter(move |owner| {
        while others.next_if(|other| other < owner).is_some() {}
        others.peek() != Some(owner)
    })
}
