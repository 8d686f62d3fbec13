//! The tick: the frame's own command that lets due timers fire when nobody sends anything.
//!
//! It carries no id, names no account and moves nothing by itself. Invariant: its bytes are always
//! the same, so a record that opens with one needs no envelope for it.

use protocol::{Command, CommandId, Kind, Request, Role};

/// Journal bytes of a tick.
pub(crate) const TICK_LEN: usize = size_of::<Request>() + size_of::<Command>();

/// Head of the request that a tick is.
#[must_use]
pub fn tick_request() -> Request {
    Request { slots: 1, role: Role::Engine as u16, ..Request::default() }
}

/// The tick's one command.
#[must_use]
pub fn tick_command() -> Command {
    Command::new(Kind::Tick, CommandId(0))
}
