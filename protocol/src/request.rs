//! The request: a 64-byte head and its slots, in the same bytes on the wire, in the ring and in
//! the journal.
//!
//! | at | field | type |
//! |---|---|---|
//! | 0 | principal | u128 |
//! | 16 | trace | u128 |
//! | 32 | request | u64, chosen by the client, unique on its connection |
//! | 40 | history_checked | u64, for KEYED commands; filled in by a gateway that asks the history |
//! | 48 | slots | u32 |
//! | 52 | role | u16 |
//! | 54 | flags | u16 |
//! | 56 | peer | u32 |
//! | 60 | – | 4 × 0 |
//!
//! A client sends principal, history_checked, role and peer as 0; the gateway fills them in.

use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::command::Command;
use crate::kind::Kind;
use crate::limits::{DATA_SLOTS_MAX, LIST_LIMIT_MAX, REQUEST_SLOTS_MAX};

/// Size of the head.
pub const REQUEST_SIZE: usize = 64;

/// Head of a request.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Request {
    /// By whose authority; filled in by the gateway.
    pub principal: u128,
    /// The client's trace id, carried through.
    pub trace: u128,
    /// The client's number of this request.
    pub request: u64,
    /// For KEYED commands: the settled sequence at which the history was asked; filled in by the
    /// gateway, 0 if nothing was asked.
    pub history_checked: u64,
    /// 128-byte slots that follow.
    pub slots: u32,
    /// Number of the [`Role`]; filled in by the gateway.
    pub role: u16,
    /// Bits of [`flags`].
    pub flags: u16,
    /// Local number of the peer frame; filled in by the gateway.
    pub peer: u32,
    /// Zero.
    pub reserved: u32,
}

const _: () = {
    assert!(size_of::<Request>() == REQUEST_SIZE);
    assert!(align_of::<Request>() == 16);
    assert!(core::mem::offset_of!(Request, slots) == 48);
    assert!(core::mem::offset_of!(Request, peer) == 56);
};

/// Bits of [`Request::flags`].
pub mod flags {
    /// Every command is a read: skips the journal, answered with
    /// [`crate::answer`]s.
    pub const READ: u16 = 1 << 0;
    /// Every bit a client may set.
    pub const CLIENT: u16 = READ;
}

/// What a principal may do (rulings §3). The numbers are those of the identity crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
#[non_exhaustive]
pub enum Role {
    /// Debits and reads its own accounts.
    Agent = 1,
    /// Opens, freezes, limits, debits and reads the accounts it hosts.
    Registry = 2,
    /// Takes its own protocol steps.
    Peer = 3,
    /// Issues, burns, corrects, lifts the mint halt.
    Mint = 4,
    /// Configuration, assets, credit limits; moves no money.
    Admin = 5,
    /// Reads all.
    Auditor = 6,
    /// The frame itself: ticks and identifications. Never from a certificate.
    Engine = 7,
}

impl Role {
    /// Every role, in order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Agent,
        Self::Registry,
        Self::Peer,
        Self::Mint,
        Self::Admin,
        Self::Auditor,
        Self::Engine,
    ];

    /// The role with `number`.
    pub const fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::Agent,
            2 => Self::Registry,
            3 => Self::Peer,
            4 => Self::Mint,
            5 => Self::Admin,
            6 => Self::Auditor,
            7 => Self::Engine,
            _ => return None,
        })
    }

    /// Its name in certificates' paths, logs and documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Registry => "registry",
            Self::Peer => "peer",
            Self::Mint => "mint",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
            Self::Engine => "engine",
        }
    }
}

/// Why a whole request is refused before it gets a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StructureError {
    /// No slot at all.
    Empty,
    /// More slots than [`REQUEST_SLOTS_MAX`].
    TooManySlots(u32),
    /// A head field that the gateway fills in, or that is unused, is not zero.
    HeadNotZero,
    /// A command claims more than [`DATA_SLOTS_MAX`] data slots, or more than follow it.
    Data {
        /// Slot of that command.
        slot: u32,
    },
    /// Reads and commands in one request, or the READ flag does not match.
    Mixed {
        /// Slot of the first command that does not match.
        slot: u32,
    },
    /// A kind that only the frame itself makes.
    Internal {
        /// Slot of that command.
        slot: u32,
    },
}

impl fmt::Display for StructureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the request has no slots; send at least one command"),
            Self::TooManySlots(slots) => {
                write!(f, "the request has {slots} slots; send at most {REQUEST_SLOTS_MAX}")
            }
            Self::HeadNotZero => f.write_str(
                "principal, history_checked, role, peer and unused bits of the request head must \
                 be sent as zero",
            ),
            Self::Data { slot } => write!(
                f,
                "the command in slot {slot} claims more data slots than follow it or than \
                 {DATA_SLOTS_MAX}"
            ),
            Self::Mixed { slot } => write!(
                f,
                "slot {slot}: reads go in requests with the READ flag, commands in requests \
                 without it"
            ),
            Self::Internal { slot } => {
                write!(f, "slot {slot}: only the frame itself makes commands of this kind")
            }
        }
    }
}

impl core::error::Error for StructureError {}

/// Checks the structure of what a client sent and counts its commands.
///
/// # Errors
///
/// The first thing that makes the slots unreadable as a whole; the frame answers it without
/// sequencing anything. Mistakes of single commands are refusals of the engine instead.
pub fn check(head: &Request, slots: &[Command]) -> Result<u32, StructureError> {
    survey(head, slots).map(|survey| survey.commands)
}

/// What a request holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Commands or reads.
    pub commands: u32,
    /// One of them changes authority, configuration or supply ([`crate::Kind::is_privileged`]).
    pub is_privileged: bool,
}

/// As [`check`], and says what it has seen on the way.
///
/// # Errors
///
/// As [`check`].
pub fn survey(head: &Request, slots: &[Command]) -> Result<Survey, StructureError> {
    if head.principal != 0
        || head.history_checked != 0
        || head.role != 0
        || head.peer != 0
        || head.reserved != 0
        || head.flags & !flags::CLIENT != 0
    {
        return Err(StructureError::HeadNotZero);
    }
    let reads = head.flags & flags::READ != 0;
    let mut survey = Survey::default();
    let commands = Commands::new(slots);
    commands.check_len()?;
    for entry in commands {
        let Entry { slot, command, .. } = entry?;
        if (command.kind >= 0x100) != reads {
            return Err(StructureError::Mixed { slot });
        }
        if let Ok(kind) = Kind::try_from(command.kind) {
            if kind.is_internal() {
                return Err(StructureError::Internal { slot });
            }
            survey.is_privileged |= kind.is_privileged();
        }
        survey.commands += 1;
    }
    Ok(survey)
}

/// For how many slots there must be room in the reply: one for each slot sent, but for a list one
/// for each account that it may give, and one for its trailer. `slots` are those of the request,
/// or the first of them.
pub fn reply_slots(head: &Request, slots: &[Command]) -> u32 {
    match slots.first() {
        Some(list) if head.slots == 1 && list.kind == Kind::ReadAccounts.number() => {
            u32::try_from(list.amount).map_or(LIST_LIMIT_MAX, |limit| limit.min(LIST_LIMIT_MAX)) + 1
        }
        _ => head.slots,
    }
}

/// One command of a request with its data.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Slot of the command.
    pub slot: u32,
    /// The command.
    pub command: &'a Command,
    /// Its data slots.
    pub data: &'a [Command],
}

/// Walks the commands of a request, each with its data slots.
#[derive(Clone, Debug)]
pub struct Commands<'a> {
    slots: &'a [Command],
    at: usize,
}

impl<'a> Commands<'a> {
    /// Over `slots`.
    pub const fn new(slots: &'a [Command]) -> Self {
        Self { slots, at: 0 }
    }

    fn check_len(&self) -> Result<(), StructureError> {
        match u32::try_from(self.slots.len()) {
            Ok(0) => Err(StructureError::Empty),
            Ok(1..=REQUEST_SLOTS_MAX) => Ok(()),
            Ok(more) => Err(StructureError::TooManySlots(more)),
            Err(_) => Err(StructureError::TooManySlots(u32::MAX)),
        }
    }
}

impl<'a> Iterator for Commands<'a> {
    type Item = Result<Entry<'a>, StructureError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (command, rest) = self.slots.get(self.at..)?.split_first()?;
        let slot = u32::try_from(self.at).unwrap_or(u32::MAX);
        let wanted = usize::from(command.data);
        let data = rest.get(..wanted).filter(|_| command.data <= DATA_SLOTS_MAX);
        let Some(data) = data else {
            self.at = self.slots.len();
            return Some(Err(StructureError::Data { slot }));
        };
        self.at += 1 + wanted;
        Some(Ok(Entry { slot, command, data }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::CommandId;
    use alloc::vec;

    fn command(kind: Kind, data: u16) -> Command {
        Command { data, ..Command::new(kind, CommandId(1)) }
    }

    #[test]
    fn structure_is_judged_before_anything_is_sequenced() {
        let head = Request::default();
        let transfer = command(Kind::Transfer, 0);
        assert_eq!(check(&head, &[]), Err(StructureError::Empty));
        assert_eq!(check(&head, &[transfer; 3]), Ok(3));
        let plain = Survey { commands: 3, is_privileged: false };
        assert_eq!(survey(&head, &[transfer; 3]), Ok(plain));
        let freeze = Command::new(Kind::Freeze, CommandId(1));
        let mixed = Survey { commands: 2, is_privileged: true };
        assert_eq!(survey(&head, &[transfer, freeze]), Ok(mixed));
        let with_data = [command(Kind::Issue, 1), Command::default(), transfer];
        assert_eq!(check(&head, &with_data), Ok(2));
        let cut = [transfer, command(Kind::Issue, 2), Command::default()];
        assert_eq!(check(&head, &cut), Err(StructureError::Data { slot: 1 }));
        let greedy = vec![command(Kind::Issue, 65); 70];
        assert_eq!(check(&head, &greedy), Err(StructureError::Data { slot: 0 }));
        let too_many = vec![transfer; 8_191];
        assert_eq!(check(&head, &too_many), Err(StructureError::TooManySlots(8_191)));
        let read = command(Kind::ReadAccount, 0);
        assert_eq!(check(&head, &[transfer, read]), Err(StructureError::Mixed { slot: 1 }));
        let reads = Request { flags: flags::READ, ..head };
        assert_eq!(check(&reads, &[read]), Ok(1));
        assert_eq!(check(&reads, &[transfer]), Err(StructureError::Mixed { slot: 0 }));
        let tick = command(Kind::Tick, 0);
        assert_eq!(check(&head, &[tick]), Err(StructureError::Internal { slot: 0 }));
        for forged in [
            Request { principal: 1, ..head },
            Request { history_checked: 1, ..head },
            Request { role: 4, ..head },
            Request { peer: 1, ..head },
            Request { reserved: 1, ..head },
            Request { flags: 1 << 15, ..head },
        ] {
            assert_eq!(check(&forged, &[transfer]), Err(StructureError::HeadNotZero));
        }
    }

    #[test]
    fn a_list_needs_room_for_its_accounts_and_nothing_else_for_more_than_it_sends() {
        let head = Request { flags: flags::READ, slots: 1, ..Request::default() };
        let list = |amount| Command { amount, ..command(Kind::ReadAccounts, 0) };
        for (limit, room) in [(0, 1), (1, 2), (1_000, 1_001), (1_001, 1_001), (u128::MAX, 1_001)] {
            assert_eq!(reply_slots(&head, &[list(limit)]), room);
        }
        assert_eq!(reply_slots(&head, &[command(Kind::ReadAccount, 0)]), 1);
        let two = Request { slots: 2, ..head };
        assert_eq!(reply_slots(&two, &[list(1_000); 2]), 2);
    }
}
