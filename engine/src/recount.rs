//! The recount: sums of every asset, counted anew from every account and hold.
//!
//! A walk takes time in proportion to the accounts, and nothing is executed meanwhile. It refuses
//! to walk where it was not allowed to, and to know when that is: this crate has no clock. The
//! invariant: sums that are kept are answered only at the state that they were counted in.

use alloc::vec::Vec;

use protocol::answer::Answer;
use protocol::{Command, Status};

use crate::engine::Engine;
use crate::supply::Sums;

/// The last recount, and whether another may walk.
#[derive(Debug, Default)]
pub struct Recount {
    /// Sequence and journal time of the state that was counted, and its sums.
    kept: Option<((u64, u64), Vec<Sums>)>,
    is_forbidden: bool,
    has_walked: bool,
}

impl Recount {
    /// Allows the next reads to walk, or forbids it.
    pub const fn allow(&mut self, may_walk: bool) {
        self.is_forbidden = !may_walk;
    }

    /// Whether reads have walked since this was last asked.
    pub const fn take_walked(&mut self) -> bool {
        core::mem::replace(&mut self.has_walked, false)
    }
}

impl Engine {
    pub(crate) fn read_recount(
        &self,
        command: &Command,
        recount: &mut Recount,
    ) -> Result<Answer, Status> {
        let asset = self.asset_of(command)?;
        let place = self.assets.place(command.asset).ok_or(Status::AssetNotFound)?;
        let state = (self.executed, self.clock.timestamp_ns);
        let kept = recount.kept.take().filter(|(counted, _)| *counted == state);
        let (_, sums) = match kept {
            Some(kept) => recount.kept.insert(kept),
            None if recount.is_forbidden => return Err(Status::Busy),
            None => {
                recount.has_walked = true;
                recount.kept.insert((state, self.recounted()))
            }
        };
        Ok(self.supply_answer(asset, &sums[usize::from(place)]))
    }
}
