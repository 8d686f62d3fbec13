//! Who may follow what, and whose balances that shows.
//!
//! It asks nobody: for a registry it names what the engine has to be asked. Invariant: only those
//! who may read every account follow without naming one.

use identity::{Principal, Role};
use protocol::ids::NATIVE;
use protocol::{Command, CommandId, Kind, OwnerId, Status};

use super::filter::Whose;

/// Whose balances may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Everybody's.
    All,
    /// Those of one owner.
    Of(OwnerId),
}

impl Sight {
    /// Whether the balances of `owner` may be told.
    pub(crate) fn covers(self, owner: OwnerId) -> bool {
        self == Self::All || self == Self::Of(owner)
    }
}

/// What a caller that asks to follow an account, or everything, may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// It may.
    Granted(Whose, Sight),
    /// It may if the engine says so, and only as long as the owner stays with its host.
    Hosted(OwnerId),
    /// It has to name an account.
    Unnamed,
    /// It may not, as if the account were not there.
    Nothing,
}

/// What `principal` may of what it asks for; nothing named: everything.
pub(crate) fn right(principal: Principal, account: Option<OwnerId>) -> Right {
    match (principal.role, account) {
        // Nobody: the other side of what enters and ends.
        (_, Some(0)) => Right::Nothing,
        (Role::Agent, None) => of_one(principal.id),
        (Role::Agent, Some(owner)) if owner == principal.id => of_one(owner),
        (Role::Registry, None) => Right::Unnamed,
        (Role::Registry, Some(owner)) => Right::Hosted(owner),
        (Role::Admin | Role::Auditor, None) => Right::Granted(Whose::All, Sight::All),
        (Role::Admin | Role::Auditor, Some(owner)) => {
            Right::Granted(Whose::Owner(owner), Sight::All)
        }
        (Role::Agent | Role::Mint | Role::Peer, _) => Right::Nothing,
    }
}

const fn of_one(owner: OwnerId) -> Right {
    Right::Granted(Whose::Owner(owner), Sight::Of(owner))
}

/// The read by which the engine tells whether a registry hosts `owner`. A host is one of an owner
/// and not of an account: that the owner has none in this asset says nothing.
pub(crate) fn question(owner: OwnerId) -> Command {
    Command { debit: owner, asset: NATIVE, ..Command::new(Kind::ReadAccount, CommandId(0)) }
}

/// Whether the status of the answer says that it does.
pub(crate) fn is_granted(status: u16) -> bool {
    matches!(Status::from_number(status), Some(Status::Ok | Status::DebtorNotFound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_reads_everything_follows_everything() {
        let (own, other) = (7 << 64, 8 << 64);
        let of = |role, account| right(Principal { id: own, role }, account);
        for role in Role::ALL {
            let everything = matches!(role, Role::Admin | Role::Auditor);
            let granted = of(role, None) == Right::Granted(Whose::All, Sight::All);
            assert_eq!(granted, everything, "{role:?}");
            let granted = matches!(of(role, Some(other)), Right::Granted(..));
            assert_eq!(granted, everything, "{role:?}");
        }
        assert!(Role::ALL.iter().all(|&role| of(role, Some(0)) == Right::Nothing));
        assert_eq!(of(Role::Agent, None), of_one(own));
        assert_eq!(of(Role::Agent, Some(own)), of_one(own));
        assert_eq!(of(Role::Agent, Some(other)), Right::Nothing);
        assert_eq!(of(Role::Registry, None), Right::Unnamed);
        assert_eq!(of(Role::Registry, Some(other)), Right::Hosted(other));
        for role in [Role::Mint, Role::Peer] {
            assert_eq!(of(role, None), Right::Nothing);
            assert_eq!(of(role, Some(own)), Right::Nothing);
        }
    }

    #[test]
    fn a_host_follows_an_owner_without_an_account_in_the_native_asset() {
        let granted = |status: Status| is_granted(status.number());
        assert!(granted(Status::Ok) && granted(Status::DebtorNotFound));
        assert!(!granted(Status::NotFound) && !granted(Status::Busy) && !is_granted(9_999));
    }
}
