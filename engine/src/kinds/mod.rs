//! The kinds of commands, a file for each family. Every command validates, decides, then posts;
//! past its "point of no return" nothing is refused any more.
//!
//! What a kind does is written in `docs/rules.md`, in the order in which it is checked here.

mod account;
mod hold;
mod owner;
mod payment;
mod supply;
mod system;

use protocol::{Command, Kind, Status};

use crate::engine::Engine;
use crate::resolve::Hint;

impl Engine {
    /// Runs a command down the ladder from the capacity class on; the rate it paid.
    #[inline(always)]
    pub(crate) fn run(
        &mut self,
        kind: Kind,
        command: &Command,
        data: &[Command],
        hint: &Hint,
    ) -> Result<u32, Status> {
        match kind {
            Kind::Transfer => return self.transfer(command, hint),
            Kind::Hold => return self.hold(command, hint),
            Kind::Capture => return self.capture(command, hint),
            Kind::Release => self.release(command, hint),
            Kind::Open => self.open(command, hint),
            Kind::Freeze => self.freeze(command, hint, true),
            Kind::Unfreeze => self.freeze(command, hint, false),
            Kind::Close => self.close(command, hint),
            Kind::Limits => self.limits(command, hint),
            Kind::Rehost => self.rehost(command),
            Kind::AgentOnly => self.agent_only(command),
            Kind::SystemTransfer => self.system_transfer(command, hint),
            Kind::Issue => self.issue(command, hint),
            Kind::Burn => self.burn(command, hint),
            Kind::Configure => self.configure(command),
            Kind::Asset => self.asset(command, data),
            Kind::HaltMint => self.halt_mint(),
            Kind::ResumeMint => self.resume_mint(),
            Kind::Identify => self.identify(),
            Kind::Tick => Ok(()),
            _ => unreachable!("the shape of a command refuses reads"),
        }?;
        Ok(0)
    }
}
