//! The list of a host's accounts: what can be asked for, and a page of it.
//!
//! It decides nothing about who may list; the frame does. Invariant: following `next` to its end
//! gives every account that the host kept all the while, once.

use protocol::answer::{Answer, trailer_flags};
use protocol::limits::LIST_LIMIT_MAX;
use protocol::{AssetId, Command, CommandId, Kind, OwnerId, Status};

use crate::error::{End, Error};
use crate::query::{AccountView, View};

/// One page of the accounts of a host.
///
/// ```
/// let host = 0x0190_0000_0000_8000_8000_0000_0000_0001;
/// let every_asset = 0;
/// let list = client::query::accounts(host, every_asset).limit(100);
/// assert_eq!((list.cursor(), list.command().amount), (0, 100));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountList {
    command: Command,
}

/// Accounts of the host `host` (0 = the frame itself) in `asset`, or in every one (0): the first
/// page, as long as pages get.
#[must_use]
pub fn accounts(host: OwnerId, asset: AssetId) -> AccountList {
    let command = Command::new(Kind::ReadAccounts, CommandId(0));
    let amount = u128::from(LIST_LIMIT_MAX);
    AccountList { command: Command { credit: host, asset, amount, ..command } }
}

impl AccountList {
    /// With at most `limit` accounts on a page: 1 to 1 000.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.command.amount = u128::from(limit);
        self
    }

    /// The page that begins at the cursor of an earlier page's `next`.
    #[must_use]
    pub const fn starting_at(mut self, cursor: u64) -> Self {
        self.command.value = cursor;
        self
    }

    /// Where the page begins; 0 = at the first account.
    #[must_use]
    pub const fn cursor(&self) -> u64 {
        self.command.value
    }

    /// The list as the one slot of a request.
    #[must_use]
    pub const fn command(&self) -> &Command {
        &self.command
    }

    /// Reads the answers to this list.
    ///
    /// # Errors
    ///
    /// The frame's refusal, e.g. `not_found`.
    pub fn page(&self, answers: &[Answer]) -> Result<AccountPage, Error> {
        let unexpected = || Error::Lost { end: End::Unexpected("a list without its trailer") };
        let (trailer, accounts) = answers.split_last().ok_or_else(unexpected)?;
        match Status::from_number(trailer.status) {
            Some(Status::Ok) => {}
            Some(status) => return Err(Error::Read(status)),
            None => return Err(Error::Read(Status::Malformed)),
        }
        let has_more = trailer.flags & trailer_flags::MORE != 0;
        let listed = |answer: &Answer| ListedAccount {
            owner: answer.owner(),
            asset: answer.asset,
            account: AccountView::from_answer(answer),
        };
        Ok(AccountPage {
            accounts: accounts.iter().map(listed).collect(),
            next: has_more.then(|| self.starting_at(trailer.time)),
        })
    }
}

/// A page: it may be short, even empty, and still have a next one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccountPage {
    /// Accounts in the order in which they were opened.
    pub accounts: Vec<ListedAccount>,
    /// The page after this one; `None` at the end.
    pub next: Option<AccountList>,
}

/// One account of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedAccount {
    /// Whose it is.
    pub owner: OwnerId,
    /// In which asset.
    pub asset: AssetId,
    /// What a read of it alone would tell.
    pub account: AccountView,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_from_its_answers() {
        let list = accounts(1 << 80, 0).limit(2);
        let account = Answer { credit_used: 7 << 70, asset: 3, value: 55, ..Answer::default() };
        let trailer = Answer { flags: trailer_flags::MORE, time: 9, ..Answer::default() };
        let page = list.page(&[account, trailer]).unwrap();
        assert_eq!(page.accounts.len(), 1);
        let ListedAccount { owner, asset, account } = page.accounts[0];
        assert_eq!((owner, asset, account.liquid), (7 << 70, 3, 55));
        let next = page.next.unwrap();
        assert_eq!((next.cursor(), next.command().amount), (9, 2));
        let last = list.page(&[Answer::default()]).unwrap();
        assert_eq!((last.accounts.len(), last.next), (0, None));
        let refused = Answer { status: Status::NotFound.number(), ..Answer::default() };
        assert!(matches!(list.page(&[refused]), Err(Error::Read(Status::NotFound))));
        assert!(list.page(&[]).is_err());
    }
}
