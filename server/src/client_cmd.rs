//! `bezant client`: everything that can be said to a running frame, for people and scripts at a
//! shell. Each invocation says one thing, over one QUIC session.
//!
//! It invents no outcome: a lost connection is retried with the same ids until the deadline, and
//! what stays unknown is said to be unknown.

mod follow;
mod pay_file;
mod payments;
mod reads;
mod said;
mod writes;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use client::{AssetId, Batch, Client, Command, CommandId, Options, Session, query};
use loadgen::run::RunError;
use protocol::amount::{self, AmountError};
use protocol::data::{TAG_MEMO, TAG_NAME, TAG_REASON};

use crate::cli::client::{ClientArgs, ClientCommand, HoldCommand};
use crate::cli::ledger::{
    AccountCommand, AssetCommand, MintCommand, OwnerCommand, ParametersCommand,
};
use crate::client_cmd::said::{Said, Trouble, exit_of};
use crate::exit::{Exit, Failure, OrExit as _};

/// Runs one client command.
pub(crate) async fn run(args: &ClientArgs) -> Result<(), Failure> {
    let ended = match Speaker::connect(args).await {
        Ok(mut speaker) => {
            let ended = speaker.say(args).await;
            speaker.session.close().await;
            ended
        }
        Err(trouble) => Err(trouble),
    };
    match ended {
        Ok(said) => said.print(args.json),
        Err(Trouble { failure, said }) => {
            if let Some(said) = said.filter(|_| args.json) {
                // The exit code and standard error say it as well.
                let _ = said.print(true);
            }
            Err(failure)
        }
    }
}

/// Data that follows a command.
#[derive(Debug, Default)]
struct Entries(Vec<(u16, Vec<u8>)>);

impl Entries {
    fn with(mut self, tag: u16, text: Option<&str>) -> Self {
        self.0.extend(text.map(|text| (tag, text.as_bytes().to_vec())));
        self
    }

    fn memo(text: Option<&str>) -> Self {
        Self::default().with(TAG_MEMO, text)
    }

    fn reason(text: Option<&str>) -> Self {
        Self::default().with(TAG_REASON, text)
    }

    fn name(text: &str) -> Self {
        Self::default().with(TAG_NAME, Some(text))
    }

    fn push_to(&self, batch: &mut Batch, command: Command) -> Result<(), client::BatchFull> {
        let entries: Vec<_> = self.0.iter().map(|(tag, text)| (*tag, text.as_slice())).collect();
        batch.push_with(command, &entries)
    }
}

/// One conversation.
struct Speaker {
    session: Session,
    client: Client,
    /// Digits after the point of each asset that was asked for; they never change.
    scales: BTreeMap<AssetId, u16>,
}

impl Speaker {
    async fn connect(args: &ClientArgs) -> Result<Self, Trouble> {
        let timeout = Duration::from_secs(args.timeout);
        let mut options = Options::default();
        options.request_timeout = options.request_timeout.min(timeout);
        options.connect_timeout = timeout;
        options.retry_deadline = timeout;
        let connector = loadgen::run::connector(args.server, &args.identity, options);
        let session = Session::new(connector.map_err(unusable)?);
        let client = session.client().await.map_err(|error| {
            let message = format!("cannot talk to the frame at {}: {error}", args.server);
            Failure::new(exit_of(&error), message)
        })?;
        Ok(Self { session, client, scales: BTreeMap::new() })
    }

    async fn say(&mut self, args: &ClientArgs) -> Result<Said, Trouble> {
        match &args.command {
            ClientCommand::Account(command) => self.account(command).await,
            ClientCommand::Owner(command) => self.owner(command).await,
            ClientCommand::Open(open) => self.open(open).await,
            ClientCommand::Balance(account) => self.show_account(account).await,
            ClientCommand::Pay(pay) => self.pay(pay).await,
            ClientCommand::PayFile(file) => self.pay_file(file, args.json).await,
            ClientCommand::Quote(parties) => self.quote(parties).await,
            ClientCommand::Refund(refund) => self.refund(refund).await,
            ClientCommand::Outcome(outcome) => self.outcome(outcome).await,
            ClientCommand::Hold(hold) => match (&hold.command, hold.parties()) {
                (Some(HoldCommand::Place(place)), _) => {
                    self.place(&place.parties, &place.terms).await
                }
                (None, Some(parties)) => self.place(&parties, &hold.terms).await,
                (Some(HoldCommand::Show { from, hold, asset }), _) => {
                    self.show_hold(*from, *hold, asset.asset).await
                }
                (Some(HoldCommand::Capture(capture)), _) => self.capture(capture).await,
                (Some(HoldCommand::Release(release)), _) => self.release(release).await,
                (None, None) => Err(Trouble::usage("say what to hold; see `hold --help`")),
            },
            ClientCommand::Capture(capture) => self.capture(capture).await,
            ClientCommand::Release(release) => self.release(release).await,
            ClientCommand::Issue(create) => self.issue(create).await,
            ClientCommand::Burn(create) => self.burn(create).await,
            ClientCommand::SystemTransfer(transfer) => self.system_transfer(transfer).await,
            ClientCommand::Mint(MintCommand::Halt { why, id }) => {
                self.mint(protocol::Kind::HaltMint, why, *id).await
            }
            ClientCommand::Mint(MintCommand::Resume { why, id }) => {
                self.mint(protocol::Kind::ResumeMint, why, *id).await
            }
            ClientCommand::Asset(AssetCommand::Create { asset, name, scale, id }) => {
                self.create_asset(*asset, name, *scale, *id).await
            }
            ClientCommand::Asset(AssetCommand::Show { asset }) => self.show_asset(*asset).await,
            ClientCommand::Parameters(command) => self.parameters(command).await,
            ClientCommand::Supply(asset) => {
                self.supply(asset.asset, query::supply(asset.asset)).await
            }
            ClientCommand::Recount(asset) => {
                self.supply(asset.asset, query::recount(asset.asset)).await
            }
            ClientCommand::SupplyAudit => self.supply_audit().await,
            ClientCommand::Follow(follow) => self.follow(follow, args.json).await,
            ClientCommand::Me => self.me(&args.identity),
        }
    }

    async fn account(&mut self, command: &AccountCommand) -> Result<Said, Trouble> {
        match command {
            AccountCommand::Open(open) => self.open(open).await,
            AccountCommand::Show(account) => self.show_account(account).await,
            AccountCommand::List { host, asset, limit, cursor } => {
                self.list_accounts(*host, asset.unwrap_or(0), *limit, *cursor).await
            }
            AccountCommand::Freeze(change) => {
                self.change_account(protocol::Kind::Freeze, change, None).await
            }
            AccountCommand::Unfreeze(change) => {
                self.change_account(protocol::Kind::Unfreeze, change, None).await
            }
            AccountCommand::Close { change, beneficiary } => {
                self.change_account(protocol::Kind::Close, change, *beneficiary).await
            }
            AccountCommand::Limits { account, minimum, credit_limit, id } => {
                self.limits(account, minimum, credit_limit, *id).await
            }
        }
    }

    async fn owner(&mut self, command: &OwnerCommand) -> Result<Said, Trouble> {
        match command {
            OwnerCommand::Rehost { owner, host, id } => self.rehost(*owner, *host, *id).await,
            OwnerCommand::AgentOnly { owner, switch, id } => {
                self.agent_only(*owner, *switch, *id).await
            }
        }
    }

    async fn parameters(&mut self, command: &ParametersCommand) -> Result<Said, Trouble> {
        match command {
            ParametersCommand::List => self.list_parameters().await,
            ParametersCommand::Show { name, host } => {
                self.show_parameter(*name, host.unwrap_or(0)).await
            }
            ParametersCommand::Set { name, value, host, effective_at, reason, id } => {
                let host = host.unwrap_or(0);
                let at = effective_at.unwrap_or(0);
                self.set_parameter((*name, *value), host, at, reason.as_deref(), *id).await
            }
        }
    }

    /// The id of the command line, or a new one.
    fn id(&self, given: Option<CommandId>) -> CommandId {
        given.unwrap_or_else(|| self.client.ids().next_id())
    }

    /// Executes one command, again with the same id if the connection is lost.
    async fn execute(&self, command: Command, entries: &Entries) -> Result<Said, Trouble> {
        let id = CommandId(command.id);
        let mut batch = Batch::new();
        entries.push_to(&mut batch, command).or_exit(Exit::Usage, "the texts are too long")?;
        let reply = self.session.execute(&batch).await.map_err(|error| {
            Trouble::unanswered(id, &error, &format!("Repeat the command with --id {id}"))
        })?;
        if let Some(status) = reply.refused() {
            return Err(Trouble::refused_unsequenced(id, status));
        }
        match reply.outcomes() {
            [outcome] if outcome.status.is_ok() => Ok(Said::outcome(id, outcome)),
            [outcome] => Err(Trouble::refused(id, outcome)),
            _ => Err(Failure::new(Exit::Internal, "the reply holds no outcome").into()),
        }
    }

    async fn scale(&mut self, asset: AssetId) -> Result<u16, Trouble> {
        scale_of(&self.session, &mut self.scales, asset).await
    }

    async fn amount(&mut self, text: &str, asset: AssetId) -> Result<u128, Trouble> {
        let scale = self.scale(asset).await?;
        Ok(amount::parse(text, scale).or_exit(Exit::Usage, text)?)
    }

    /// As [`Self::amount`], for a bound, which may be zero.
    async fn bound(&mut self, text: &str, asset: AssetId) -> Result<u128, Trouble> {
        let scale = self.scale(asset).await?;
        match amount::parse(text, scale) {
            Err(AmountError::Zero) => Ok(0),
            other => Ok(other.or_exit(Exit::Usage, text)?),
        }
    }
}

/// Digits after the point of `asset`, which is asked for once.
async fn scale_of(
    session: &Session,
    scales: &mut BTreeMap<AssetId, u16>,
    asset: AssetId,
) -> Result<u16, Trouble> {
    if let Some(scale) = scales.get(&asset) {
        return Ok(*scale);
    }
    let view = session.ask(query::asset(asset)).await;
    let view = view.map_err(|error| Trouble::unread(&format!("asset {asset}"), &error))?;
    let scale = u16::try_from(view.scale).unwrap_or(u16::MAX);
    scales.insert(asset, scale);
    Ok(scale)
}

/// Why there is no session with this identity.
fn unusable(error: RunError) -> Failure {
    let exit = match &error {
        RunError::Identity(dir, _) if !Path::exists(dir) => Exit::NotFound,
        RunError::Identity(..) => Exit::Identity,
        _ => Exit::Io,
    };
    Failure::new(exit, error)
}
