//! Kinds of commands and of reads, with their stable numbers.

/// What a command does. Numbers are stable; gaps are left for the kinds of the bridge, the
/// federation and the economy.
///
/// Notation of the postings: `d` debtor, `c` creditor, `fc(h)`/`tr(h)` fee collector and treasury
/// of host `h`, `x` amount, `b` base fee, `s` velocity fee, `#iss`/`#dst` the supply counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
#[non_exhaustive]
pub enum Kind {
    /// Opens (`debit` = owner, `asset`); the first open by a registry binds the owner to it as
    /// host. An admin names the host in `credit`. No posting.
    Open = 1,
    /// Freezes an account (`debit`, `asset`): no new debits; `code` is the reason. No posting.
    Freeze = 2,
    /// Lifts a freeze. No posting.
    Unfreeze = 3,
    /// Closes an account (`debit`, `asset`), sweeping what is left to `credit`:
    /// `d.liquid l → c.liquid l − f; fc f` (l = 1: `fc 1`; l = 0: none).
    Close = 4,
    /// Sets minimum balance (`amount`) and credit limit (`reference`) of an account. No posting.
    Limits = 5,
    /// Moves an owner (`debit`) to the host `credit`: signed by the agent, accepted by the host.
    Rehost = 6,
    /// Sets (`code` 1) or clears (`code` 0) an owner's `agent_only`. No posting.
    AgentOnly = 7,
    /// `d.liquid x + s → c.liquid x − b; fc(host d) b + s`, or with different hosts
    /// `tr(host c) b'; fc(host d) s`. `value` = `max_rate`; `reference` may name an original.
    Transfer = 16,
    /// `d.liquid x → d.held x`; fixes creditor, rate and expiry; `reference` is 0, the id names it.
    Hold = 17,
    /// `d.held rem → c.liquid y − f; fc f; d.liquid rem − y`; `reference` = the hold's id.
    Capture = 18,
    /// `d.held rem → d.liquid rem`; `reference` = the hold's id.
    Release = 19,
    /// `sys.liquid x → sys or o.liquid x` (`code` = reason). Fee-exempt.
    SystemTransfer = 20,
    /// `#iss x → c.liquid x` (`code` = reason: [`crate::command::reason`]; reason text in data).
    Issue = 32,
    /// `d.liquid x → #dst x` (`code` = reason; reason text in data for a correction).
    Burn = 33,
    /// Sets the parameter `code` to `amount` ([`crate::parameter`]), for host `credit` if it is one
    /// of a host's; a fee takes effect at `value` (Unix ms of journal time, 0 = as soon as may be).
    Configure = 48,
    /// Creates the asset `asset` with scale `value` and the name in data.
    Asset = 49,
    /// Stops every mint.
    HaltMint = 50,
    /// Lifts the mint halt after a full recomputation that gives 0.
    ResumeMint = 51,
    /// Binds the request's principal to the SPIFFE ID in data; made by the gateway only.
    Identify = 52,
    /// Makes a record exist so that due timers fire; made by the sequencer only.
    Tick = 53,
    /// Read of one account (`debit` = owner, `asset`). Reads never reach the journal.
    ReadAccount = 0x100,
    /// Read of what became of the command with id `reference` in the scope of owner `debit`.
    ReadOutcome = 0x101,
    /// Read of the supply vector of `asset`.
    ReadSupply = 0x102,
    /// Dry run of a transfer with the same fields: what it would cost now.
    Quote = 0x103,
    /// Read of the asset `asset`: its scale and name.
    ReadAsset = 0x104,
    /// Read of the hold `reference` of debtor `debit` in `asset`.
    ReadHold = 0x105,
    /// Read of the parameter `code`.
    ReadParameter = 0x106,
    /// Full recomputation of the supply of `asset` from every account.
    ReadRecount = 0x107,
    /// List of the accounts of the host `credit` (0 = the frame itself), in `asset` or in every
    /// one (0): at most `amount` of them, from the cursor `value` on (0 = the beginning). The only
    /// read of its request; answered by those accounts and then a trailer.
    ReadAccounts = 0x108,
}

impl Kind {
    /// Every kind, commands first, in order of their numbers.
    pub const ALL: [Self; 29] = [
        Self::Open,
        Self::Freeze,
        Self::Unfreeze,
        Self::Close,
        Self::Limits,
        Self::Rehost,
        Self::AgentOnly,
        Self::Transfer,
        Self::Hold,
        Self::Capture,
        Self::Release,
        Self::SystemTransfer,
        Self::Issue,
        Self::Burn,
        Self::Configure,
        Self::Asset,
        Self::HaltMint,
        Self::ResumeMint,
        Self::Identify,
        Self::Tick,
        Self::ReadAccount,
        Self::ReadOutcome,
        Self::ReadSupply,
        Self::Quote,
        Self::ReadAsset,
        Self::ReadHold,
        Self::ReadParameter,
        Self::ReadRecount,
        Self::ReadAccounts,
    ];

    /// The number in a command's `kind`.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// Whether this is a read, which skips the journal.
    pub const fn is_read(self) -> bool {
        self.number() >= 0x100
    }

    /// Whether it changes authority, configuration or supply, so that the audit log names it.
    pub const fn is_privileged(self) -> bool {
        matches!(
            self,
            Self::Freeze
                | Self::Unfreeze
                | Self::Close
                | Self::Limits
                | Self::Rehost
                | Self::AgentOnly
                | Self::SystemTransfer
                | Self::Issue
                | Self::Burn
                | Self::Configure
                | Self::Asset
                | Self::HaltMint
                | Self::ResumeMint
        )
    }

    /// Whether only the frame itself makes it, never a client.
    pub const fn is_internal(self) -> bool {
        matches!(self, Self::Identify | Self::Tick)
    }

    /// Whether it may be a leg of a chain (H10).
    pub const fn is_linkable(self) -> bool {
        matches!(self, Self::Open | Self::Transfer | Self::Hold | Self::Capture | Self::Release)
    }
}

/// The number names no kind this version knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownKind(pub u16);

impl TryFrom<u16> for Kind {
    type Error = UnknownKind;

    fn try_from(number: u16) -> Result<Self, UnknownKind> {
        Ok(match number {
            1 => Self::Open,
            2 => Self::Freeze,
            3 => Self::Unfreeze,
            4 => Self::Close,
            5 => Self::Limits,
            6 => Self::Rehost,
            7 => Self::AgentOnly,
            16 => Self::Transfer,
            17 => Self::Hold,
            18 => Self::Capture,
            19 => Self::Release,
            20 => Self::SystemTransfer,
            32 => Self::Issue,
            33 => Self::Burn,
            48 => Self::Configure,
            49 => Self::Asset,
            50 => Self::HaltMint,
            51 => Self::ResumeMint,
            52 => Self::Identify,
            53 => Self::Tick,
            0x100 => Self::ReadAccount,
            0x101 => Self::ReadOutcome,
            0x102 => Self::ReadSupply,
            0x103 => Self::Quote,
            0x104 => Self::ReadAsset,
            0x105 => Self::ReadHold,
            0x106 => Self::ReadParameter,
            0x107 => Self::ReadRecount,
            0x108 => Self::ReadAccounts,
            other => return Err(UnknownKind(other)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back_from_its_number() {
        for kind in Kind::ALL {
            assert_eq!(Kind::try_from(kind.number()), Ok(kind));
        }
        assert!(Kind::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        let known = (0..=u16::MAX).filter(|&number| Kind::try_from(number).is_ok()).count();
        assert_eq!(known, Kind::ALL.len());
    }
}
