//! A whole conversation over QUIC: an agent opens accounts, the mint issues, the agent pays and
//! repeats the payment as after a lost answer, and reads back what it did.
//!
//! ```text
//! cargo run -p client --example pay -- 127.0.0.1:7400 ids/alice ids/bob ids/mint
//! ```

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use client::{
    Command, CommandId, Connector, Expected, FileSource, Options, OwnerId, Session, Status, query,
};
use protocol::amount;

const NATIVE: u32 = 1;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, alice, bob, mint] = arguments.as_slice() else {
        return Err("usage: pay SERVER ALICE-DIR BOB-DIR MINT-DIR".into());
    };
    converse(server.parse()?, alice.as_ref(), bob.as_ref(), mint.as_ref()).await
}

/// Everything there is to see, with the identities in three directories.
pub(crate) async fn converse(
    server: SocketAddr,
    alice: &Path,
    bob: &Path,
    mint: &Path,
) -> Result<(), Box<dyn Error>> {
    let (alice, bob, mint) =
        (connect(server, alice)?, connect(server, bob)?, connect(server, mint)?);

    // The frame's greeting says who this certificate is: an agent's principal is its UUID.
    let (payer, payee) = (principal(&alice).await?, principal(&bob).await?);
    open(&alice, payer).await?;
    open(&bob, payee).await?;

    // Amounts travel as whole minor units; people write major units of the asset's scale.
    let scale = u16::try_from(alice.ask(query::asset(NATIVE)).await?.scale)?;
    let fund = Command::issue(id(&mint).await?, payer, NATIVE, amount::parse("100", scale)?);
    must(&mint, fund).await?;

    let price = amount::parse("12.50", scale)?;
    let quote = alice.ask(query::quote(payer, payee, NATIVE, price)).await?;
    println!("a payment of 12.50 costs {}", amount::format(quote.debtor_pays, scale));

    // The id makes it safe to send the payment again: it takes effect once.
    let pay = Command::transfer(id(&alice).await?, payer, payee, NATIVE, price);
    let first = must(&alice, pay).await?;
    let again = must(&alice, pay).await?;
    assert_eq!(first, again, "the second answer is that of the first");
    println!("paid as command {first}");

    // A refusal is an answer too: it says what to do about it.
    let much = Command::transfer(id(&alice).await?, payer, payee, NATIVE, price * 1_000);
    let (_, refused) = execute(&alice, much).await?;
    println!("a payment of 12500 is refused: {refused}: {}", refused.cure());

    let account = bob.ask(query::account(payee, NATIVE)).await?;
    println!("bob has {}", amount::format_signed(account.liquid, scale));

    // Else the frame takes them for open until it has heard nothing for a while.
    for session in [alice, bob, mint] {
        session.close().await;
    }
    Ok(())
}

/// A session of the identity in `dir` with the frame of its own trust domain.
fn connect(server: SocketAddr, dir: &Path) -> Result<Session, Box<dyn Error>> {
    let source = Arc::new(FileSource::open(dir)?);
    let frame = Expected::Frame(source.current().trust_domain().clone());
    let connector = Connector::new(server, &source, frame, Options::default())?;
    Ok(Session::new(connector))
}

async fn principal(session: &Session) -> Result<OwnerId, client::Error> {
    Ok(session.client().await?.hello().principal)
}

async fn id(session: &Session) -> Result<CommandId, client::Error> {
    Ok(session.client().await?.ids().next_id())
}

/// Opens an account, or finds it open.
async fn open(session: &Session, owner: OwnerId) -> Result<(), Box<dyn Error>> {
    let open = Command::open(id(session).await?, owner, NATIVE);
    match execute(session, open).await? {
        (_, Status::Ok | Status::AccountExists) => Ok(()),
        (_, refused) => Err(format!("{refused}: {}", refused.cure()).into()),
    }
}

/// Executes a command that must be executed; returns its sequence.
async fn must(session: &Session, command: Command) -> Result<u64, Box<dyn Error>> {
    match execute(session, command).await? {
        (sequence, Status::Ok) => Ok(sequence),
        (_, refused) => Err(format!("{refused}: {}", refused.cure()).into()),
    }
}

/// Executes a command, again with the same id when the connection is lost in between.
async fn execute(session: &Session, command: Command) -> Result<(u64, Status), client::Error> {
    let reply = session.execute(&[command]).await?;
    if let Some(status) = reply.refused() {
        return Ok((0, status));
    }
    let outcome = reply.outcomes().first().expect("a reply has an outcome for each command");
    Ok((outcome.sequence, outcome.status))
}
