//! The list: the accounts of one host, page by page, in the order in which they were opened.
//!
//! It looks at a bounded number of rows at a time, so a page may be short, even empty, and still
//! have a next one. The invariant: a cursor is the number of an account, rows never move, and so
//! no account comes twice, and none that its host kept all the while is left out.

use alloc::vec::Vec;

use protocol::answer::{Answer, trailer_flags};
use protocol::limits::LIST_LIMIT_MAX;
use protocol::{Command, Kind, Status};
use zerocopy::IntoBytes;

use crate::authority::Caller;
use crate::engine::Engine;
use crate::limits::LIST_ROWS_MAX;

/// Refuses a list with company or with a limit that none may have.
pub(crate) fn judge(command: &Command, is_alone: bool) -> Result<(), Status> {
    if is_alone && (1..=u128::from(LIST_LIMIT_MAX)).contains(&command.amount) {
        Ok(())
    } else {
        Err(Status::ListShape)
    }
}

impl Engine {
    /// Appends the accounts of a page and returns its trailer.
    pub(crate) fn list(
        &self,
        caller: &Caller,
        command: &Command,
        answers: &mut Vec<u8>,
    ) -> Result<Answer, Status> {
        let place = match command.asset {
            0 => None,
            _ => Some(self.assets.place(command.asset).ok_or(Status::AssetNotFound)?),
        };
        let host = match command.credit {
            0 => Some(0),
            principal => self.hosts.find(principal),
        };
        let Some(host) = host else {
            // A registry hosts nobody before it is a host; of others that is worth telling.
            return if caller.principal == command.credit {
                Ok(Answer { time: command.value, ..Answer::default() })
            } else {
                Err(Status::CreditorNotFound)
            };
        };
        let len = self.accounts.len() as u64;
        let mut left = command.amount;
        let mut next = command.value;
        let stop = next.saturating_add(LIST_ROWS_MAX).min(len);
        while next < stop && left > 0 {
            let number = u32::try_from(next).expect("tables have at most 2^30 rows");
            next += 1;
            let hot = self.accounts.hot(number);
            if hot.host == host && place.is_none_or(|place| place == hot.asset) {
                left -= 1;
                let answer = Answer {
                    kind: Kind::ReadAccounts.number(),
                    asset: self.assets.row(hot.asset).id,
                    credit_used: hot.owner,
                    ..self.account_answer(number)
                };
                answers.extend_from_slice(answer.as_bytes());
            }
        }
        let flags = if next < len { trailer_flags::MORE } else { 0 };
        Ok(Answer { flags, time: next, ..Answer::default() })
    }
}
