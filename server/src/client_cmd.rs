//! `bezant client`: a few words with a running frame, for people at a shell. Amounts are in major
//! units; owners and ids are UUIDs.

use client::{Client, Command, CommandId, Options, OwnerId, query};
use protocol::amount;
use protocol::ids::parse_uuid;
use serde_json::{Value, json};

use crate::cli::{AccountArgs, ClientArgs, ClientCommand, PayArgs};
use crate::exit::{Exit, Failure, OrExit as _};

/// Runs one client command.
pub(crate) async fn run(args: &ClientArgs) -> Result<(), Failure> {
    let client = loadgen::run::connect(args.server, &args.identity, Options::default())
        .await
        .or_exit(Exit::Temporary, "cannot talk to the frame")?;
    let said = Speaker { client }.say(&args.command).await?;
    let refused = said.get("status").is_some_and(|status| status != "ok");
    print(&said, args.json);
    if refused {
        return Err(Failure::new(Exit::Failed, "the frame refused the command"));
    }
    Ok(())
}

fn print(said: &Value, as_json: bool) {
    if as_json {
        println!("{said}");
        return;
    }
    for (name, value) in said.as_object().into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        println!("{name:14} {text}");
    }
}

struct Speaker {
    client: Client,
}

impl Speaker {
    async fn say(&self, command: &ClientCommand) -> Result<Value, Failure> {
        match command {
            ClientCommand::Open(account) => {
                let open = Command::open(self.id(None)?, owner(&account.owner)?, account.asset);
                self.execute(open).await
            }
            ClientCommand::Pay(pay) => {
                let (from, to, amount) = self.parties(pay).await?;
                let id = self.id(pay.id.as_deref())?;
                self.execute(Command::transfer(id, from, to, pay.asset, amount)).await
            }
            ClientCommand::Hold { pay, timeout_ms } => {
                let (from, to, amount) = self.parties(pay).await?;
                let id = self.id(pay.id.as_deref())?;
                self.execute(Command::hold(id, from, to, pay.asset, amount, *timeout_ms)).await
            }
            ClientCommand::Capture { from, to, hold, amount, asset } => {
                let hold = named_hold(from, to, hold, *asset)?;
                let amount = match amount {
                    Some(text) => Some(self.amount(text, *asset).await?),
                    None => None,
                };
                self.execute(Command::capture(self.id(None)?, &hold, amount)).await
            }
            ClientCommand::Release { from, to, hold, asset } => {
                let hold = named_hold(from, to, hold, *asset)?;
                self.execute(Command::release(self.id(None)?, &hold)).await
            }
            ClientCommand::Issue { to, amount, asset } => {
                let amount = self.amount(amount, *asset).await?;
                self.execute(Command::issue(self.id(None)?, owner(to)?, *asset, amount)).await
            }
            ClientCommand::Balance(account) => self.balance(account).await,
            ClientCommand::Supply { asset } => self.supply(*asset).await,
            ClientCommand::Outcome { owner: scope, id } => {
                let view = self.client.ask(query::outcome(owner(scope)?, command_id(id)?)).await;
                let view = view.or_exit(Exit::Failed, "the frame does not tell")?;
                Ok(json!({ "outcome": format!("{view:?}") }))
            }
        }
    }

    fn id(&self, text: Option<&str>) -> Result<CommandId, Failure> {
        text.map_or_else(|| Ok(self.client.ids().next_id()), command_id)
    }

    async fn scale(&self, asset: u32) -> Result<u16, Failure> {
        let view = self.client.ask(query::asset(asset)).await;
        let view = view.or_exit(Exit::Failed, &format!("asset {asset}"))?;
        Ok(u16::try_from(view.scale).unwrap_or(u16::MAX))
    }

    async fn amount(&self, text: &str, asset: u32) -> Result<u128, Failure> {
        amount::parse(text, self.scale(asset).await?).or_exit(Exit::Usage, text)
    }

    async fn parties(&self, pay: &PayArgs) -> Result<(OwnerId, OwnerId, u128), Failure> {
        Ok((owner(&pay.from)?, owner(&pay.to)?, self.amount(&pay.amount, pay.asset).await?))
    }

    async fn execute(&self, command: Command) -> Result<Value, Failure> {
        let id = CommandId(command.id).to_string();
        let reply = self.client.request(&[command]).await;
        let reply =
            reply.or_exit(Exit::Temporary, &format!("no answer to {id}; repeat it with --id"))?;
        let refused = reply.refused().map(|status| (status, 0, 0));
        let outcome = reply.outcomes().first();
        let outcome = outcome.map(|outcome| (outcome.status, outcome.sequence, outcome.rate));
        let Some((status, sequence, rate)) = refused.or(outcome) else {
            return Err(Failure::new(Exit::Internal, "the reply holds no outcome"));
        };
        Ok(json!({
            "status": status.name(),
            "id": id,
            "sequence": sequence,
            "rate_millionths": rate,
            "remembered": status.is_remembered(),
            "next": status.cure(),
        }))
    }

    async fn balance(&self, account: &AccountArgs) -> Result<Value, Failure> {
        let view = self.client.ask(query::account(owner(&account.owner)?, account.asset)).await;
        let view = view.or_exit(Exit::Failed, &account.owner)?;
        let scale = self.scale(account.asset).await?;
        Ok(json!({
            "owner": account.owner,
            "asset": account.asset,
            "liquid": amount::format_signed(view.liquid, scale),
            "held": amount::format(view.held, scale),
            "staked": amount::format(view.staked, scale),
            "bonded": amount::format(view.bonded, scale),
            "host": view.host,
            "frozen": view.is_frozen,
            "closed": view.is_closed,
            "changed_at": view.changed_at.0,
        }))
    }

    async fn supply(&self, asset: u32) -> Result<Value, Failure> {
        let view = self.client.ask(query::supply(asset)).await;
        let view = view.or_exit(Exit::Failed, &format!("asset {asset}"))?;
        let scale = self.scale(asset).await?;
        Ok(json!({
            "asset": asset,
            "executed": view.executed.0,
            "issued": amount::format(view.issued, scale),
            "destroyed": amount::format(view.destroyed, scale),
            "total": amount::format_signed(view.total, scale),
            "held": amount::format(view.held, scale),
            "delta": amount::format_signed(view.delta, scale),
            "mint_halted": view.is_mint_halted,
        }))
    }
}

fn owner(text: &str) -> Result<OwnerId, Failure> {
    parse_uuid(text).ok_or_else(|| Failure::new(Exit::Usage, format!("{text:?} is not a UUID")))
}

fn command_id(text: &str) -> Result<CommandId, Failure> {
    owner(text).map(CommandId)
}

/// A hold as captures and releases name it.
fn named_hold(from: &str, to: &str, hold: &str, asset: u32) -> Result<Command, Failure> {
    Ok(Command::hold(command_id(hold)?, owner(from)?, owner(to)?, asset, 0, 0))
}
