//! What changes the ledger, one command each. Every field comes from the command line; the frame
//! judges all of it.

use client::{AssetId, Command, CommandId, OwnerId};
use protocol::parameter::Parameter;
use protocol::{Kind, flags};

use crate::cli::client::{
    AccountArgs, CaptureArgs, HoldTerms, IdArg, NamedHold, NoteArgs, PartiesArgs, PayArgs,
    RefundArgs, ReleaseArgs,
};
use crate::cli::ledger::{ChangeArgs, CreateArgs, OpenArgs, Switch, SystemTransferArgs, WhyArgs};
use crate::client_cmd::said::{Said, Trouble};
use crate::client_cmd::{Entries, Speaker};

impl Speaker {
    pub(super) async fn open(&self, args: &OpenArgs) -> Result<Said, Trouble> {
        let AccountArgs { owner, asset } = args.account;
        let credit = args.host.unwrap_or(0);
        let open = Command::open(self.id(args.id.id), owner, asset.asset);
        self.execute(Command { credit, ..open }, &Entries::default()).await
    }

    pub(super) async fn change_account(
        &self,
        kind: Kind,
        change: &ChangeArgs,
        beneficiary: Option<OwnerId>,
    ) -> Result<Said, Trouble> {
        let command = Command {
            debit: change.account.owner,
            credit: beneficiary.unwrap_or(0),
            asset: change.account.asset.asset,
            code: change.why.code,
            ..Command::new(kind, self.id(change.id.id))
        };
        self.execute(command, &Entries::reason(change.why.reason.as_deref())).await
    }

    pub(super) async fn limits(
        &mut self,
        account: &AccountArgs,
        minimum: &str,
        credit_limit: &str,
        id: IdArg,
    ) -> Result<Said, Trouble> {
        let asset = account.asset.asset;
        let command = Command {
            debit: account.owner,
            asset,
            amount: self.bound(minimum, asset).await?,
            reference: self.bound(credit_limit, asset).await?,
            ..Command::new(Kind::Limits, self.id(id.id))
        };
        self.execute(command, &Entries::default()).await
    }

    pub(super) async fn rehost(
        &self,
        owner: OwnerId,
        host: OwnerId,
        id: IdArg,
    ) -> Result<Said, Trouble> {
        let command = Command::new(Kind::Rehost, self.id(id.id));
        self.execute(Command { debit: owner, credit: host, ..command }, &Entries::default()).await
    }

    pub(super) async fn agent_only(
        &self,
        owner: OwnerId,
        switch: Switch,
        id: IdArg,
    ) -> Result<Said, Trouble> {
        let code = u16::from(switch == Switch::On);
        let command = Command::new(Kind::AgentOnly, self.id(id.id));
        self.execute(Command { debit: owner, code, ..command }, &Entries::default()).await
    }

    pub(super) async fn pay(&mut self, args: &PayArgs) -> Result<Said, Trouble> {
        self.transfer(&args.parties, args.reference, &args.note, args.id).await
    }

    pub(super) async fn refund(&mut self, args: &RefundArgs) -> Result<Said, Trouble> {
        self.transfer(&args.parties, Some(args.original), &args.note, args.id).await
    }

    async fn transfer(
        &mut self,
        parties: &PartiesArgs,
        reference: Option<CommandId>,
        note: &NoteArgs,
        id: IdArg,
    ) -> Result<Said, Trouble> {
        let command = self.payment(Kind::Transfer, parties, note, id).await?;
        let reference = reference.map_or(0, |id| id.0);
        let entries = Entries::memo(note.memo.as_deref());
        self.execute(Command { reference, ..command }, &entries).await
    }

    pub(super) async fn place(
        &mut self,
        parties: &PartiesArgs,
        terms: &HoldTerms,
    ) -> Result<Said, Trouble> {
        let hold = self.payment(Kind::Hold, parties, &terms.note, terms.id).await?;
        let keep = if terms.keep { flags::KEEP } else { 0 };
        let hold = Command { timeout_ms: terms.timeout_ms, flags: keep, ..hold };
        let said = self.execute(hold, &Entries::memo(terms.note.memo.as_deref())).await?;
        Ok(said.with("hold", CommandId(hold.id).to_string()))
    }

    async fn payment(
        &mut self,
        kind: Kind,
        parties: &PartiesArgs,
        note: &NoteArgs,
        id: IdArg,
    ) -> Result<Command, Trouble> {
        let asset = parties.asset.asset;
        Ok(Command {
            debit: parties.from,
            credit: parties.to,
            amount: self.amount(&parties.amount, asset).await?,
            asset,
            value: note.max_rate.unwrap_or(0),
            user_data: note.user_data.unwrap_or(0),
            ..Command::new(kind, self.id(id.id))
        })
    }

    pub(super) async fn capture(&mut self, args: &CaptureArgs) -> Result<Said, Trouble> {
        let amount = match &args.amount {
            Some(text) => Some(self.amount(text, args.hold.asset.asset).await?),
            None => None,
        };
        let mut capture = Command::capture(self.id(args.id.id), &named(&args.hold), amount);
        if args.keep {
            capture.flags |= flags::KEEP;
        }
        capture.value = args.note.max_rate.unwrap_or(0);
        capture.user_data = args.note.user_data.unwrap_or(0);
        self.execute(capture, &Entries::memo(args.note.memo.as_deref())).await
    }

    pub(super) async fn release(&self, args: &ReleaseArgs) -> Result<Said, Trouble> {
        let release = Command::release(self.id(args.id.id), &named(&args.hold));
        self.execute(release, &Entries::memo(args.memo.as_deref())).await
    }

    pub(super) async fn issue(&mut self, args: &CreateArgs) -> Result<Said, Trouble> {
        let command = self.creation(Kind::Issue, args).await?;
        let command = Command { credit: args.owner, ..command };
        self.execute(command, &Entries::reason(args.reason.as_deref())).await
    }

    pub(super) async fn burn(&mut self, args: &CreateArgs) -> Result<Said, Trouble> {
        let command = self.creation(Kind::Burn, args).await?;
        let command = Command { debit: args.owner, ..command };
        self.execute(command, &Entries::reason(args.reason.as_deref())).await
    }

    async fn creation(&mut self, kind: Kind, args: &CreateArgs) -> Result<Command, Trouble> {
        let asset = args.asset.asset;
        Ok(Command {
            amount: self.amount(&args.amount, asset).await?,
            asset,
            code: args.code,
            reference: args.reference.map_or(0, |id| id.0),
            ..Command::new(kind, self.id(args.id.id))
        })
    }

    pub(super) async fn system_transfer(
        &mut self,
        args: &SystemTransferArgs,
    ) -> Result<Said, Trouble> {
        let (note, id) = (NoteArgs::default(), args.id);
        let command = self.payment(Kind::SystemTransfer, &args.parties, &note, id).await?;
        let command = Command { code: args.code, ..command };
        self.execute(command, &Entries::reason(args.reason.as_deref())).await
    }

    pub(super) async fn mint(&self, kind: Kind, why: &WhyArgs, id: IdArg) -> Result<Said, Trouble> {
        let command = Command { code: why.code, ..Command::new(kind, self.id(id.id)) };
        self.execute(command, &Entries::reason(why.reason.as_deref())).await
    }

    pub(super) async fn create_asset(
        &self,
        asset: AssetId,
        name: &str,
        scale: u16,
        id: IdArg,
    ) -> Result<Said, Trouble> {
        let command = Command::new(Kind::Asset, self.id(id.id));
        let command = Command { asset, value: u64::from(scale), ..command };
        self.execute(command, &Entries::name(name)).await
    }

    pub(super) async fn set_parameter(
        &self,
        (parameter, value): (Parameter, u128),
        host: OwnerId,
        effective_at: u64,
        reason: Option<&str>,
        id: IdArg,
    ) -> Result<Said, Trouble> {
        let command = Command {
            code: parameter.number(),
            amount: value,
            credit: host,
            value: effective_at,
            ..Command::new(Kind::Configure, self.id(id.id))
        };
        self.execute(command, &Entries::reason(reason)).await
    }
}

/// A hold as captures and releases name it.
fn named(hold: &NamedHold) -> Command {
    Command::hold(hold.hold, hold.from, hold.to, hold.asset.asset, 0, 0)
}
