//! The command: 128 bytes in one layout on the wire, in the ring and in the journal.
//!
//! | at | field | type | use |
//! |---|---|---|---|
//! | 0 | id | u128 | idempotency; upper 48 bits Unix milliseconds |
//! | 16 | debit | u128 | owner debited (open: the owner) |
//! | 32 | credit | u128 | owner credited |
//! | 48 | amount | u128 | minor units (limits: minimum balance; configure: the value) |
//! | 64 | reference | u128 | the hold or original that this names (limits: credit limit) |
//! | 80 | value | u64 | per kind: `max_rate`, asset scale, time a configuration takes effect |
//! | 88 | user_data | u64 | the client's own, stored and returned, never read |
//! | 96 | asset | u32 | |
//! | 100 | peer | u32 | local number of the peer frame |
//! | 104 | timeout_ms | u32 | hold lifetime, 0 = the frame's default |
//! | 108 | kind | u16 | [`crate::Kind`] |
//! | 110 | flags | u16 | [`flags`] |
//! | 112 | code | u16 | reason or parameter number |
//! | 114 | data | u16 | 128-byte data slots that follow |
//! | 116 | – | 12 × 0 | |

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::ids::{AssetId, CommandId, OwnerId};
use crate::kind::Kind;

/// Size of a command and of a data slot.
pub const COMMAND_SIZE: usize = 128;

/// One command, or one slot of data that follows it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Command {
    /// Idempotency id ([`CommandId`]); 0 only for what the frame itself makes.
    pub id: u128,
    /// Owner debited.
    pub debit: OwnerId,
    /// Owner credited.
    pub credit: OwnerId,
    /// Minor units.
    pub amount: u128,
    /// The id of the hold or original transfer that this names.
    pub reference: u128,
    /// Per kind.
    pub value: u64,
    /// The client's own.
    pub user_data: u64,
    /// Asset of this frame.
    pub asset: AssetId,
    /// Local number of the peer frame, 0 for none.
    pub peer: u32,
    /// Lifetime of a hold in milliseconds of journal time.
    pub timeout_ms: u32,
    /// Number of the [`Kind`].
    pub kind: u16,
    /// Bits of [`flags`].
    pub flags: u16,
    /// Reason or parameter number.
    pub code: u16,
    /// Data slots that follow.
    pub data: u16,
    /// Zero.
    pub reserved: [u32; 3],
}

const _: () = {
    assert!(size_of::<Command>() == COMMAND_SIZE);
    assert!(align_of::<Command>() == 16);
    assert!(core::mem::offset_of!(Command, value) == 80);
    assert!(core::mem::offset_of!(Command, asset) == 96);
    assert!(core::mem::offset_of!(Command, kind) == 108);
    assert!(core::mem::offset_of!(Command, reserved) == 116);
};

/// Bits of [`Command::flags`].
pub mod flags {
    /// The next command belongs to the same atomic entry.
    pub const LINKED: u16 = 1 << 0;
    /// The id is the hash of a string key.
    pub const KEYED: u16 = 1 << 1;
    /// Capture everything that is left of the hold; `amount` is 0.
    pub const ALL: u16 = 1 << 2;
    /// Hold: the debtor allows partial captures that keep the rest. Capture: the rest stays held.
    pub const KEEP: u16 = 1 << 3;
    /// A slash destroys instead of moving to treasury.
    pub const BURN: u16 = 1 << 4;
    /// Rewards compound.
    pub const AUTO: u16 = 1 << 5;
    /// Every bit with a meaning.
    pub const KNOWN: u16 = 0x3f;
}

/// Reasons in [`Command::code`] of an issue, a burn and a system transfer.
pub mod reason {
    /// Ordinary issue or burn.
    pub const ORDINARY: u16 = 1;
    /// Issue: compensation after a dispute (`DisputeCompensationMinted`).
    pub const COMPENSATION: u16 = 2;
    /// Issue or burn: `BalanceCorrected`; needs a reason text in data.
    pub const CORRECTION: u16 = 3;
    /// Issue: opening balances, only before any other money command.
    pub const BASELINE: u16 = 4;
    /// System transfer: payout of fees or funding of a pool.
    pub const PAYOUT: u16 = 5;
    /// System transfer: treasury → account, a bad debt written off.
    pub const WRITE_OFF: u16 = 6;
}

impl Command {
    /// A command of `kind` with `id` and nothing else.
    pub fn new(kind: Kind, id: CommandId) -> Self {
        Self { id: id.0, kind: kind.number(), ..Self::default() }
    }

    /// A payment of `amount` minor units.
    pub fn transfer(
        id: CommandId,
        debit: OwnerId,
        credit: OwnerId,
        asset: AssetId,
        amount: u128,
    ) -> Self {
        Self { debit, credit, asset, amount, ..Self::new(Kind::Transfer, id) }
    }

    /// Opens the account of `owner` in `asset`.
    pub fn open(id: CommandId, owner: OwnerId, asset: AssetId) -> Self {
        Self { debit: owner, asset, ..Self::new(Kind::Open, id) }
    }

    /// Issues `amount` new units to `owner`.
    pub fn issue(id: CommandId, owner: OwnerId, asset: AssetId, amount: u128) -> Self {
        Self { credit: owner, asset, amount, code: reason::ORDINARY, ..Self::new(Kind::Issue, id) }
    }

    /// Holds `amount` of the debtor for the creditor during `timeout_ms` (0 = default).
    pub fn hold(
        id: CommandId,
        debit: OwnerId,
        credit: OwnerId,
        asset: AssetId,
        amount: u128,
        timeout_ms: u32,
    ) -> Self {
        Self { debit, credit, asset, amount, timeout_ms, ..Self::new(Kind::Hold, id) }
    }

    /// Captures `amount` of `hold`, releasing the rest; `None` captures everything.
    pub fn capture(id: CommandId, hold: &Self, amount: Option<u128>) -> Self {
        let all = if amount.is_none() { flags::ALL } else { 0 };
        Self {
            debit: hold.debit,
            credit: hold.credit,
            asset: hold.asset,
            reference: hold.id,
            amount: amount.unwrap_or(0),
            flags: all,
            ..Self::new(Kind::Capture, id)
        }
    }

    /// Gives all that is left of `hold` back to its debtor.
    pub fn release(id: CommandId, hold: &Self) -> Self {
        Self {
            debit: hold.debit,
            credit: hold.credit,
            asset: hold.asset,
            reference: hold.id,
            ..Self::new(Kind::Release, id)
        }
    }

    /// Whether every bit of `bits` is set in `flags`.
    pub const fn has(&self, bits: u16) -> bool {
        self.flags & bits == bits
    }

    /// Whether the next command belongs to the same atomic entry.
    pub const fn is_linked(&self) -> bool {
        self.has(flags::LINKED)
    }
}
