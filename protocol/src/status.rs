//! Outcomes of commands: `ok` or a refusal, in the fixed precedence in which they are checked
//! (H39): shape → authority → id time → known id → quota, capacity → halts, policy → accounts →
//! amount → funds. Numbers are stable. The hundred names the class.

use core::fmt;

macro_rules! statuses {
    ($($(#[doc = $doc:literal])+
       $variant:ident = $number:literal, $name:literal, $cure:literal;)*) => {
        /// What became of a command.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        #[non_exhaustive]
        pub enum Status {
            $($(#[doc = $doc])+ $variant = $number,)*
        }

        impl Status {
            /// Every status in order of precedence.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable name, as printed, logged and put into SQL.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The sentence of the broken rule.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii_start(),)* }
            }

            /// What the caller can do about it.
            pub const fn cure(self) -> &'static str {
                match self { $(Self::$variant => $cure,)* }
            }

            /// The status with `number`.
            pub const fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

statuses! {
    /// Executed.
    Ok = 0, "ok", "nothing to do";

    /// A field or bit that the kind does not use is not zero.
    Malformed = 101, "malformed", "set every field and bit that the kind does not use to zero";
    /// No kind has this number.
    UnknownKind = 102, "unknown_kind", "use a kind that this version of the frame knows";
    /// The data slots do not hold whole, known entries.
    DataMalformed = 103, "data_malformed", "encode the data as tag, length, bytes; zero the rest";
    /// The kind needs a text in its data.
    ReasonMissing = 104, "reason_missing", "add the reason, name or SPIFFE ID as a data entry";
    /// The last command of the request is LINKED.
    ChainOpen = 105, "chain_open", "clear LINKED on the last command of the chain";
    /// More commands than a chain may have.
    ChainTooLong = 106, "chain_too_long", "split the chain; chain.length says how long it may be";
    /// A kind that may not be a leg of a chain.
    ChainKind = 107, "chain_kind", "send this command outside a chain";
    /// The id is zero.
    IdZero = 108, "id_zero", "give the command an id that embeds the current time";
    /// The reason or parameter number has no meaning for this kind.
    CodeUnknown = 109, "code_unknown", "use a code that the kind documents";
    /// A list or a recount that is not the only read of its request, or a list with a limit that
    /// none may have.
    ListShape = 110, "list_shape", "send a list (limit 1 to 1000) or recount alone in its request";

    /// Not there, or not the caller's: the two are never told apart.
    NotFound = 201, "not_found", "check owner and asset, and whether this identity may act for it";

    /// The id's time is more than 5 s ahead of the frame's.
    IdInFuture = 301, "id_in_future", "correct the clock, then retry with the same id";
    /// The id is older than the window: not executed now.
    IdTooOld = 302, "id_too_old", "ask the history what became of it; never resend it blindly";
    /// The same id came before with another body.
    IdReused = 303, "id_reused", "use a new id for a new command";
    /// The key is not remembered, and keys have been forgotten since the settled history was asked.
    KeyUnchecked = 304, "key_unchecked", "ask the settled history again, retry with the same key";

    /// The id window is full and may not shrink further.
    Busy = 401, "busy", "retry with the same id after a moment";
    /// No room for another account.
    AccountsFull = 402, "accounts_full", "an admin must raise accounts.capacity";
    /// No room for another hold.
    HoldsFull = 403, "holds_full", "wait until holds end, or an admin raises holds.capacity";
    /// The debtor has as many open holds as it may.
    HoldsPerDebtor = 404, "holds_per_debtor", "wait until holds of this debtor end";
    /// No room for another host registry.
    HostsFull = 405, "hosts_full", "use a registry that already hosts owners";
    /// No room for another asset.
    AssetsFull = 406, "assets_full", "the frame has as many assets as it can";
    /// The host has debited its owners as much as its window allows.
    HostLimit = 407, "host_limit", "wait for the next window, or let the agent sign itself";
    /// The journal has no room: nothing was written.
    JournalFull = 408, "journal_full", "retry with the same id when the disk has room again";
    /// No room for another announced configuration change.
    ChangesFull = 409, "changes_full", "wait until an announced change has taken effect";
    /// No room for another string key, and none may be forgotten yet.
    KeysFull = 410, "keys_full", "retry with the same key when more of the history is settled";

    /// Minting is halted.
    MintHalted = 501, "mint_halted", "wait until the mint role resumes it after a recount";
    /// The frame's mode forbids it.
    MintDisabled = 502, "mint_disabled", "only the parent frame can bring units into this one";
    /// Baseline after the first other money command.
    TooLate = 503, "too_late", "issue with another reason; a baseline comes before all else";
    /// The recount does not give zero.
    DeltaNotZero = 504, "delta_not_zero", "restore from the journal; no entry can repair a delta";

    /// No asset has this number.
    AssetNotFound = 601, "asset_not_found", "use an asset that the frame has";
    /// The number is taken.
    AssetExists = 602, "asset_exists", "choose another asset number";
    /// The debtor has no account in this asset.
    DebtorNotFound = 603, "debtor_not_found", "open the debtor's account first";
    /// The creditor has no account in this asset.
    CreditorNotFound = 604, "creditor_not_found", "open the creditor's account first";
    /// The owner id belongs to the frame and cannot be used here.
    ReservedOwner = 605, "reserved_owner", "use an ordinary owner, or system_transfer";
    /// Frozen, closed or limited accounts cannot be the frame's own.
    SystemAccount = 606, "system_account", "system accounts have no host, limits or freeze";
    /// Debtor and creditor are the same.
    SameAccount = 607, "same_account", "name two different owners";
    /// The owner belongs to another host.
    OwnerHostedElsewhere = 608, "owner_hosted_elsewhere", "ask its host, or rehost the owner";
    /// The account is there already.
    AccountExists = 609, "account_exists", "use it; nothing needs to be opened";
    /// The new host has not been asked for by the agent, or is unknown.
    HostRefuses = 610, "host_refuses", "the agent signs first, then the new host accepts";
    /// The debtor's account is closed.
    DebtorClosed = 611, "debtor_closed", "a closed account cannot be debited";
    /// The creditor's account is closed.
    CreditorClosed = 612, "creditor_closed", "a closed account cannot be credited";
    /// The debtor's account is frozen.
    DebtorFrozen = 613, "debtor_frozen", "wait until the host or an admin lifts the freeze";
    /// Something open still names the account.
    OpenItems = 614, "open_items", "let its holds end first";
    /// A bucket besides liquid still holds units.
    BucketNotZero = 615, "bucket_not_zero", "release or withdraw what is held, staked or bonded";
    /// Liquid is below zero.
    NegativeBalance = 616, "negative_balance", "pay the debt before closing";
    /// System units do not go this way.
    Route = 617, "route", "see the routes of system_transfer";
    /// Only the native asset.
    NativeOnly = 618, "native_only", "use the frame's native asset";
    /// The debtor has no open hold with this id in this asset.
    HoldNotFound = 619, "hold_not_found", "it was captured, released or expired, or never placed";
    /// The hold's creditor is another.
    HoldNotYours = 620, "hold_not_yours", "only the creditor or its host moves a hold";
    /// The hold's time has passed.
    HoldExpired = 621, "hold_expired", "place a new hold";
    /// The debtor did not allow partial captures that keep the rest.
    KeepNotAllowed = 622, "keep_not_allowed", "capture without KEEP; the rest is released";

    /// The amount is zero.
    AmountZero = 701, "amount_zero", "the smallest amount is one minor unit";
    /// The amount is above 2^127 − 1.
    AmountTooLarge = 702, "amount_too_large", "the largest amount is 2^127 - 1 minor units";
    /// More than is left of the hold.
    HoldExceeded = 703, "hold_exceeded", "capture at most what is left of the hold";
    /// The hold's lifetime is longer than allowed.
    ExpiryBounds = 704, "expiry_bounds", "choose a lifetime of at most holds.max_ms";
    /// The creditor would receive nothing.
    AmountBelowFee = 705, "amount_below_fee", "send at least 2 minor units";
    /// The rate is above the command's `max_rate`.
    FeeAboveLimit = 706, "fee_above_limit", "raise max_rate, or wait until the pair cools down";
    /// More units than an asset may have.
    SupplyCap = 707, "supply_cap", "an asset holds at most 2^120 minor units";
    /// The value is outside its bounds or its relation to another.
    OutOfBounds = 708, "out_of_bounds", "choose a value inside the documented bounds";
    /// The sum of credit limits would pass its bound.
    CreditCap = 709, "credit_cap", "an admin must raise credit.total first";
    /// Capacities only grow.
    CapacityShrinks = 710, "capacity_shrinks", "choose a capacity not below the present one";

    /// Not enough liquid above the floor.
    InsufficientFunds = 801, "insufficient_funds", "lower the amount or fund the account";

    /// Another leg of the chain was refused, so nothing of it happened.
    LinkedFailed = 901, "linked_failed", "read the refusal of the other legs";
}

/// What a caller should do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// Done: do nothing.
    Done,
    /// Send the same command with the same id again, later.
    RetrySameId,
    /// The answer to this id stands; a new attempt needs a new id.
    RetryNewId,
    /// Sending it again cannot help; the command itself is wrong.
    Never,
}

impl Status {
    /// The stable number.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// Whether the command was executed.
    pub const fn is_ok(self) -> bool {
        matches!(self, Self::Ok)
    }

    /// Whether the answer is remembered with the id (H9): everything that depends on halts,
    /// accounts, amounts or funds is; shape, authority, id time, quota and capacity are not.
    pub const fn is_remembered(self) -> bool {
        self.number() == 0 || self.number() >= 500
    }

    /// What the caller should do next.
    pub const fn advice(self) -> Advice {
        match self.number() {
            0 => Advice::Done,
            301 | 304 | 400..500 => Advice::RetrySameId,
            500..1_000 => Advice::RetryNewId,
            _ => Advice::Never,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_with_precedence_and_names_are_unique() {
        assert!(Status::ALL.windows(2).all(|pair| pair[0].number() < pair[1].number()));
        for (at, status) in Status::ALL.iter().enumerate() {
            assert_eq!(Status::from_number(status.number()), Some(*status));
            assert!(!Status::ALL[..at].iter().any(|other| other.name() == status.name()));
            assert!(!status.cure().is_empty());
        }
    }

    #[test]
    fn what_is_not_remembered_is_shape_authority_time_and_capacity() {
        for status in Status::ALL {
            let class = status.number() / 100;
            assert_eq!(status.is_remembered(), !matches!(class, 1..=4), "{status}");
        }
    }
}
