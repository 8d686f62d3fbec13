//! The list of accounts over QUIC: whole pages of a thousand, one after the other, and refusals.

use client::{Client, Command, OwnerId, Status, query};
use protocol::ids::NATIVE;
use tokio::task::JoinSet;

use crate::books;
use crate::frame::Frame;

const FIRST: OwnerId = 0x0190_0000_0000_7000_8000_0000_0000_0000;
/// More than two full pages, and more rows than one page looks at.
const OWNERS: u128 = 5_000;

async fn walk(client: &Client, host: OwnerId, limit: u32) -> Vec<OwnerId> {
    let mut owners = Vec::new();
    let mut next = Some(query::accounts(host, NATIVE).limit(limit));
    while let Some(list) = next {
        let page = client.accounts(list).await.unwrap();
        assert!(page.accounts.len() <= limit as usize);
        owners.extend(page.accounts.iter().map(|listed| listed.owner));
        next = page.next;
    }
    owners
}

async fn refused(client: &Client, list: client::AccountList) -> Status {
    match client.accounts(list).await {
        Err(client::Error::Read(status)) => status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_account_of_a_host_comes_once_in_pages_of_any_size() {
    books::run(async {
        let mut frame = Frame::new();
        frame.start();
        let north = frame.client("registry", "north").await;
        let south = frame.client("registry", "south").await;
        let auditor = frame.client("auditor", "books").await;
        let mut ids = north.ids();
        let expected: Vec<OwnerId> = (0..OWNERS).map(|number| FIRST + number).collect();
        let opens: Vec<Command> =
            expected.iter().map(|&owner| Command::open(ids.next_id(), owner, NATIVE)).collect();
        assert!(north.request(&opens).await.unwrap().is_all_ok());
        let host = north.hello().principal;
        for limit in [1_000, 999, 333] {
            assert_eq!(walk(&north, host, limit).await, expected);
        }
        assert_eq!(walk(&auditor, host, 1_000).await, expected);

        // Many whole pages under way at once stay inside what a connection may be owed.
        let mut pages = JoinSet::new();
        for _ in 0..64 {
            let north = north.clone();
            pages.spawn(async move { north.accounts(query::accounts(host, NATIVE)).await });
        }
        for page in pages.join_all().await {
            let accounts = page.unwrap().accounts;
            assert!(accounts.iter().map(|listed| listed.owner).eq(expected[..1_000].to_vec()));
        }

        let list = query::accounts(host, NATIVE);
        assert_eq!(refused(&south, list).await, Status::NotFound);
        assert_eq!(refused(&north, list.limit(0)).await, Status::ListShape);
        assert_eq!(refused(&north, list.limit(1_001)).await, Status::ListShape);
        let own = query::accounts(south.hello().principal, NATIVE);
        assert_eq!(south.accounts(own).await.unwrap().accounts.len(), 0);
        frame.stop();
        frame.is_sound();
    });
}
