//! System owners: the frame's own accounts. Their ids have a zero upper half (H12), so no agent's
//! UUID and no derived principal can be one.
//!
//! | bits | |
//! |---|---|
//! | 127–64 | 0 |
//! | 63–32 | class ([`Class`]) |
//! | 31–0 | host index (collector, treasury), peer number (bridge, transit), else 0 |

use crate::ids::OwnerId;

/// What a system account is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
#[non_exhaustive]
pub enum Class {
    /// Fees of one host's debtors.
    FeeCollector = 1,
    /// One host's treasury; host 0 is the frame's.
    Treasury = 2,
    /// Source of staking rewards.
    StakingPool = 3,
    /// Source of genesis grants.
    GrantPool = 4,
    /// Units locked for a peer.
    Bridge = 5,
    /// Clearing account of a peer, outside `native_total`.
    Transit = 6,
}

/// The owner id of a system account; `index` is a host or a peer, 0 for the pools.
pub const fn owner(class: Class, index: u32) -> OwnerId {
    ((class as u128) << 32) | index as u128
}

/// The fee collector of host `host`.
pub const fn fee_collector(host: u32) -> OwnerId {
    owner(Class::FeeCollector, host)
}

/// The treasury of host `host`.
pub const fn treasury(host: u32) -> OwnerId {
    owner(Class::Treasury, host)
}

/// The staking pool.
pub const STAKING_POOL: OwnerId = owner(Class::StakingPool, 0);
/// The grant pool.
pub const GRANT_POOL: OwnerId = owner(Class::GrantPool, 0);

/// Whether `owner` belongs to the frame (its upper half is zero).
pub const fn is_system(owner: OwnerId) -> bool {
    owner >> 64 == 0
}

/// Class and index of a system owner; `None` for others and for reserved ids with no meaning.
pub const fn classify(owner: OwnerId) -> Option<(Class, u32)> {
    if !is_system(owner) {
        return None;
    }
    let index = (owner & 0xffff_ffff) as u32;
    let class = match owner >> 32 {
        1 => Class::FeeCollector,
        2 => Class::Treasury,
        3 => Class::StakingPool,
        4 => Class::GrantPool,
        5 => Class::Bridge,
        6 => Class::Transit,
        _ => return None,
    };
    if matches!(class, Class::StakingPool | Class::GrantPool) && index != 0 {
        return None;
    }
    Some((class, index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_owner_reads_back_and_others_are_none() {
        assert_eq!(classify(fee_collector(7)), Some((Class::FeeCollector, 7)));
        assert_eq!(classify(treasury(0)), Some((Class::Treasury, 0)));
        assert_eq!(classify(GRANT_POOL), Some((Class::GrantPool, 0)));
        assert_eq!(classify(GRANT_POOL + 1), None);
        assert_eq!(classify(0), None);
        assert_eq!(classify(1 << 64), None);
        assert!(is_system(0) && !is_system(1 << 64));
    }
}
