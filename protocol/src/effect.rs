//! Effects: the postings of executed commands, 128 bytes each, for SQL history and feeds.
//!
//! | at | field | type |
//! |---|---|---|
//! | 0 | sequence | u64 of the command; of a timer the first of its record |
//! | 8 | leg | u16 within the sequence; timers count from 32 768 |
//! | 10 | event | u16 [`Event`] |
//! | 12 | asset | u32 |
//! | 16 | debit | u128 owner, 0 = a supply counter |
//! | 32 | credit | u128 owner, 0 = a supply counter |
//! | 48 | amount | u128 |
//! | 64 | debit_after | i128, of the bucket debited |
//! | 80 | credit_after | i128, of the bucket credited |
//! | 96 | reference | u128 |
//! | 112 | user_data | u64 |
//! | 120 | rate | u32 |
//! | 124 | debit_bucket | u8 [`Bucket`] |
//! | 125 | credit_bucket | u8 |
//! | 126 | – | 2 × 0 |

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// First leg number of timers that fire before a record's commands.
pub const TIMER_LEG: u16 = 1 << 15;

/// One posting of one executed command.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Effect {
    /// Sequence of the command.
    pub sequence: u64,
    /// Leg within the sequence.
    pub leg: u16,
    /// Number of the [`Event`].
    pub event: u16,
    /// Asset.
    pub asset: u32,
    /// Owner debited; 0 = a supply counter.
    pub debit: u128,
    /// Owner credited; 0 = a supply counter.
    pub credit: u128,
    /// Minor units.
    pub amount: u128,
    /// The debited bucket afterwards.
    pub debit_after: i128,
    /// The credited bucket afterwards.
    pub credit_after: i128,
    /// The hold or original named.
    pub reference: u128,
    /// The client's own.
    pub user_data: u64,
    /// Fee rate in millionths.
    pub rate: u32,
    /// Number of the [`Bucket`] debited.
    pub debit_bucket: u8,
    /// Number of the [`Bucket`] credited.
    pub credit_bucket: u8,
    /// Zero.
    pub reserved: u16,
}

const _: () = assert!(size_of::<Effect>() == 128 && align_of::<Effect>() == 16);

/// A part of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Bucket {
    /// No account: a supply counter.
    Counter = 0,
    /// Free to spend; may be negative under a credit limit.
    Liquid = 1,
    /// In two-phase holds.
    Held = 2,
    /// In stake positions.
    Staked = 3,
    /// In reputation bonds.
    Bonded = 4,
}

/// What happened (rulings §3; the account and hold events are new names with no supply effect).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
#[non_exhaustive]
pub enum Event {
    /// Units entered by issue.
    TokensIssued = 1,
    /// Units moved between accounts.
    TokensTransferred = 2,
    /// A fee was paid.
    TransactionFeeCollected = 3,
    /// Units were destroyed.
    TokensBurned = 4,
    /// A correction entered or destroyed units.
    BalanceCorrected = 5,
    /// A dispute's compensation entered.
    DisputeCompensationMinted = 6,
    /// Opening balance entered.
    ProjectionSnapshot = 7,
    /// Between hosts of this frame.
    CrossRegistryTransferCompleted = 8,
    /// A hold was placed.
    HoldPlaced = 32,
    /// A hold was captured.
    HoldCaptured = 33,
    /// A hold was released by its creditor, or what a capture left.
    HoldReleased = 34,
    /// A hold reached its expiry.
    HoldExpired = 35,
    /// An account was opened.
    AccountOpened = 48,
    /// An account was closed.
    AccountClosed = 49,
    /// An account was frozen.
    AccountFrozen = 50,
    /// A freeze was lifted.
    AccountUnfrozen = 51,
    /// Limits were set.
    AccountLimitsSet = 52,
    /// An owner moved to another host.
    OwnerRehosted = 53,
    /// A parameter changed or a change was announced.
    ConfigurationChanged = 64,
    /// An asset was created.
    AssetCreated = 65,
    /// Minting was halted.
    MintHalted = 66,
    /// Minting was resumed.
    MintResumed = 67,
    /// A principal was bound to its SPIFFE ID.
    PrincipalIdentified = 68,
    /// A string key was used up, by a refused command too: debit = the principal whose key it is,
    /// amount = digest of the body, reference = the key's hash, user_data = status, rate = rate.
    KeyUsed = 80,
}

impl Event {
    /// Every number is below this: a set of events is 128 bits.
    pub const NUMBERS_END: u16 = 128;

    /// Its number.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// Its name in SQL and feeds.
    pub const fn name(number: u16) -> &'static str {
        match number {
            1 => "TokensIssued",
            2 => "TokensTransferred",
            3 => "TransactionFeeCollected",
            4 => "TokensBurned",
            5 => "BalanceCorrected",
            6 => "DisputeCompensationMinted",
            7 => "ProjectionSnapshot",
            8 => "CrossRegistryTransferCompleted",
            32 => "HoldPlaced",
            33 => "HoldCaptured",
            34 => "HoldReleased",
            35 => "HoldExpired",
            48 => "AccountOpened",
            49 => "AccountClosed",
            50 => "AccountFrozen",
            51 => "AccountUnfrozen",
            52 => "AccountLimitsSet",
            53 => "OwnerRehosted",
            64 => "ConfigurationChanged",
            65 => "AssetCreated",
            66 => "MintHalted",
            67 => "MintResumed",
            68 => "PrincipalIdentified",
            80 => "KeyUsed",
            _ => "Unknown",
        }
    }

    /// The number of the event with this name, of those that feeds tell.
    pub fn followed_number(name: &str) -> Option<u16> {
        let mut numbers = 1..Self::NUMBERS_END;
        numbers.find(|&number| Self::is_followed(number) && Self::name(number) == name)
    }

    /// Whether feeds tell of the event with this number.
    pub fn is_followed(number: u16) -> bool {
        number != Self::KeyUsed.number() && Self::name(number) != "Unknown"
    }
}
