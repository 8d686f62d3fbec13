//! Pays from one account to another and prints both balances.
//!
//! `cargo run -p client --example pay -- <address> <identity directory> <trust domain> <from> <to>
//! <minor units>`; the identity directory is what `bezant identity` writes, the owners are UUIDs.
//! It refuses to guess: an unknown outcome is resolved by the same id or reported as unknown.

use std::error::Error;
use std::sync::Arc;

use client::{Command, Connector, Expected, FileSource, Options, Session, TrustDomain, query};
use protocol::ids::{NATIVE, parse_uuid};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [addr, directory, domain, from, to, amount] = args.as_slice() else {
        return Err("give: address, identity directory, trust domain, from, to, amount".into());
    };
    let owner = |text: &str| parse_uuid(text).ok_or("an owner is a UUID");
    let (from, to) = (owner(from)?, owner(to)?);

    let source = Arc::new(FileSource::open(directory)?);
    let expected = Expected::Frame(TrustDomain::parse(domain)?);
    let connector = Connector::new(addr.parse()?, &source, expected, Options::default())?;
    let session = Session::new(connector);

    let id = session.client().await?.ids().next_id();
    let pay = Command::transfer(id, from, to, NATIVE, amount.parse()?);
    let reply = session.execute(&[pay]).await?;
    match reply.first_refusal() {
        None => println!("{id} paid, sequence {}", reply.first_sequence()),
        Some(status) => println!("{id} refused: {status}: {}", status.cure()),
    }
    for who in [from, to] {
        match session.ask(query::account(who, NATIVE)).await {
            Ok(account) => println!("{who:032x} has {} minor units", account.liquid),
            Err(error) => println!("{who:032x}: {error}"),
        }
    }
    Ok(())
}
