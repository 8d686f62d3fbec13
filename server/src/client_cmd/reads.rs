//! What asks the ledger and changes nothing. Amounts come out in major units, by the scale of their
//! asset.

use std::path::Path;

use client::{
    AccountView, AssetId, AssetView, CommandId, FileSource, OutcomeView, OwnerId, Query, Sequence,
    SupplyView, query,
};
use protocol::amount::{format, format_signed};
use protocol::ids::NATIVE;
use protocol::limits::{ASSETS_MAX, LIST_LIMIT_MAX};
use protocol::parameter::Parameter;
use protocol::request::Role;
use serde_json::{Value, json};

use crate::cli::client::{AccountArgs, OutcomeArgs, PartiesArgs};
use crate::cli::values::owner_text;
use crate::client_cmd::Speaker;
use crate::client_cmd::said::{Said, Trouble};
use crate::exit::{Exit, Failure, OrExit as _};

impl Speaker {
    pub(super) async fn show_account(&mut self, account: &AccountArgs) -> Result<Said, Trouble> {
        let AccountArgs { owner, asset } = *account;
        let view = self.session.ask(query::account(owner, asset.asset)).await;
        let view = view.map_err(|error| Trouble::unread(&owner_text(owner), &error))?;
        Ok(of_account(owner, asset.asset, &view, self.scale(asset.asset).await?))
    }

    /// As many pages as `limit` needs; a page may be short and still have a next one.
    pub(super) async fn list_accounts(
        &mut self,
        host: Option<OwnerId>,
        asset: AssetId,
        limit: u32,
        cursor: u64,
    ) -> Result<Said, Trouble> {
        let hello = self.client.hello();
        let is_registry = hello.role == Role::Registry as u16;
        let own = is_registry.then_some(hello.principal);
        let host = host.or(own).ok_or_else(|| {
            Trouble::usage(
                "say whose accounts with --host; only a registry has accounts of its own",
            )
        })?;
        let mut rows = Vec::new();
        let mut next = Some(query::accounts(host, asset).starting_at(cursor));
        while let Some(list) = next {
            let left = limit.saturating_sub(u32::try_from(rows.len()).unwrap_or(limit));
            if left == 0 {
                break;
            }
            let page = self.session.accounts(list.limit(left.min(LIST_LIMIT_MAX))).await;
            let page = page.map_err(|error| Trouble::unread("accounts", &error))?;
            for listed in &page.accounts {
                let scale = self.scale(listed.asset).await?;
                rows.push(of_account(listed.owner, listed.asset, &listed.account, scale));
            }
            next = page.next;
        }
        let said = Said::default().with_rows("accounts", rows);
        Ok(match next {
            Some(list) => said.with("next", list.cursor()),
            None => said,
        })
    }

    pub(super) async fn outcome(&self, args: &OutcomeArgs) -> Result<Said, Trouble> {
        let view = self.session.ask(query::outcome(args.owner, args.id)).await;
        let view = view.map_err(|error| Trouble::unread(&args.id.to_string(), &error))?;
        let said = Said::default().with("id", args.id.to_string());
        match view {
            OutcomeView::Known { sequence, status, rate } => {
                let said = said.status(status, Some(sequence), rate);
                // A refusal has told its number already.
                Ok(if status.is_ok() { said.with("number", status.number()) } else { said })
            }
            _ => {
                let message = format!(
                    "{}: not remembered: it was not executed in the frame's id window, or too \
                     long ago; the settled history tells",
                    args.id
                );
                Err(Trouble {
                    failure: Failure::new(Exit::Failed, message),
                    said: Some(Box::new(said.with("status", "not_remembered"))),
                })
            }
        }
    }

    pub(super) async fn quote(&mut self, parties: &PartiesArgs) -> Result<Said, Trouble> {
        let asset = parties.asset.asset;
        let amount = self.amount(&parties.amount, asset).await?;
        let scale = self.scale(asset).await?;
        let view = self.session.ask(query::quote(parties.from, parties.to, asset, amount)).await;
        let view = view.map_err(|error| Trouble::unread("quote", &error))?;
        Ok(Said::default()
            .with("pays", format(view.debtor_pays, scale))
            .with("gets", format(view.creditor_gets, scale))
            .with("base_fee", format(view.base_fee, scale))
            .with("velocity_fee", format(view.velocity_fee, scale))
            .with("rate", view.rate))
    }

    pub(super) async fn show_hold(
        &mut self,
        debit: OwnerId,
        hold: CommandId,
        asset: AssetId,
    ) -> Result<Said, Trouble> {
        let view = self.session.ask(query::hold(debit, asset, hold)).await;
        let view = view.map_err(|error| Trouble::unread(&hold.to_string(), &error))?;
        let scale = self.scale(asset).await?;
        Ok(Said::default()
            .with("debit", owner_text(debit))
            .with("asset", asset)
            .with("hold", hold.to_string())
            .with("credit", owner_text(view.creditor))
            .with("amount", format(view.amount, scale))
            .with("left", format(view.left, scale))
            .with("rate", view.rate)
            .with("keep", view.may_keep)
            .with("expires_at", view.expiry_ms)
            .with("sequence", view.sequence.0))
    }

    pub(super) async fn show_asset(&self, asset: AssetId) -> Result<Said, Trouble> {
        let view = self.session.ask(query::asset(asset)).await;
        let view = view.map_err(|error| Trouble::unread(&format!("asset {asset}"), &error))?;
        let said = Said::default().with("asset", asset);
        Ok(said.with("name", view.name.as_ref()).with("scale", view.scale))
    }

    pub(super) async fn show_parameter(
        &self,
        parameter: Parameter,
        host: OwnerId,
    ) -> Result<Said, Trouble> {
        let view = self.session.ask(query::parameter(parameter.number(), host)).await;
        let view = view.map_err(|error| Trouble::unread(parameter.name(), &error))?;
        Ok(of_parameter(parameter, view.value))
    }

    pub(super) async fn list_parameters(&self) -> Result<Said, Trouble> {
        let queries = Parameter::ALL.map(|parameter| query::parameter(parameter.number(), 0));
        let reads = queries.each_ref().map(|query| *query.command());
        let unread = |error| Trouble::unread("parameters", &error);
        let answers = self.session.read(&reads).await.map_err(unread)?;
        let mut rows = Vec::new();
        for ((parameter, query), answer) in Parameter::ALL.into_iter().zip(queries).zip(&answers) {
            let view = query.view(answer).map_err(unread)?;
            rows.push(of_parameter(parameter, view.value));
        }
        Ok(Said::default().with_rows("parameters", rows))
    }

    pub(super) async fn supply(
        &mut self,
        asset: AssetId,
        query: Query<SupplyView>,
    ) -> Result<Said, Trouble> {
        let view = self.session.ask(query).await;
        let view = view.map_err(|error| Trouble::unread(&format!("asset {asset}"), &error))?;
        let scale = self.scale(asset).await?;
        Ok(Said::default()
            .with("asset", asset)
            .with("issued", format(view.issued, scale))
            .with("destroyed", format(view.destroyed, scale))
            .with("native_total", format_signed(view.total, scale))
            .with("held", format(view.held, scale))
            .with("staked", format(view.staked, scale))
            .with("bonded", format(view.bonded, scale))
            .with("credit_granted", format(view.credit_granted, scale))
            .with("credit_used", format(view.credit_used, scale))
            .with("delta", format_signed(view.delta, scale))
            .with("accounts", view.accounts)
            .with("mint_halted", view.is_mint_halted)
            .with("sequence", view.executed.0))
    }

    /// Every asset of one moment: all running sums are read in one request.
    pub(super) async fn supply_audit(&mut self) -> Result<Said, Trouble> {
        let assets = self.assets().await?;
        let queries: Vec<_> = assets.iter().map(|(asset, _)| query::supply(*asset)).collect();
        let reads: Vec<_> = queries.iter().map(|query| *query.command()).collect();
        let unread = |error| Trouble::unread("supply", &error);
        let answers = self.session.read(&reads).await.map_err(unread)?;
        let mut executed = Sequence(0);
        let mut is_sound = true;
        let mut rows = Vec::new();
        for (((asset, listed), query), answer) in assets.iter().zip(queries).zip(&answers) {
            let view = query.view(answer).map_err(unread)?;
            executed = view.executed;
            is_sound &= view.delta == 0;
            rows.push(audited(*asset, listed, &view));
        }
        let totals = rows.first().map_or(Value::Null, |native| json!(native));
        Ok(Said::default()
            .with("frame", CommandId(self.client.hello().frame).to_string())
            .with("status", verdict(is_sound))
            .with("sequence", executed.0)
            .with("totals", totals)
            .with_rows("assets", rows))
    }

    /// Every asset by its number, from the native one on.
    async fn assets(&self) -> Result<Vec<(AssetId, AssetView)>, Trouble> {
        let mut assets = Vec::new();
        let mut next = Some(NATIVE);
        while let Some(asset) = next.filter(|_| assets.len() < ASSETS_MAX) {
            let view = self.session.ask(query::asset(asset)).await;
            let view = view.map_err(|error| Trouble::unread(&format!("asset {asset}"), &error))?;
            next = view.next;
            assets.push((asset, view));
        }
        Ok(assets)
    }

    pub(super) fn me(&self, identity: &Path) -> Result<Said, Trouble> {
        let source = FileSource::open(identity);
        let source = source.or_exit(Exit::Identity, &identity.display().to_string())?;
        let hello = self.client.hello();
        let role = Role::from_number(hello.role).map_or("unknown", Role::name);
        Ok(Said::default()
            .with("spiffe_id", source.current().spiffe_id().as_str())
            .with("principal", owner_text(hello.principal))
            .with("role", role)
            .with(
                "frame",
                json!({
                    "id": CommandId(hello.frame).to_string(),
                    "epoch": hello.epoch,
                    "time": hello.timestamp / 1_000_000,
                    "limits": {
                        "batch_slots": hello.slots_max,
                        "requests_in_flight": hello.in_flight_max,
                    },
                }),
            ))
    }
}

fn of_account(owner: OwnerId, asset: AssetId, view: &AccountView, scale: u16) -> Said {
    Said::default()
        .with("owner", owner_text(owner))
        .with("asset", asset)
        .with("host", view.host)
        .with("liquid", format_signed(view.liquid, scale))
        .with("held", format(view.held, scale))
        .with("staked", format(view.staked, scale))
        .with("bonded", format(view.bonded, scale))
        .with("minimum", format(view.minimum, scale))
        .with("credit_limit", format(view.credit_limit, scale))
        .with("frozen", view.is_frozen)
        .with("closed", view.is_closed)
        .with("agent_only", view.is_agent_only)
        .with("open_items", view.open_items)
        .with("sequence", view.changed_at.0)
}

fn of_parameter(parameter: Parameter, value: u128) -> Said {
    let bounds = parameter.bounds();
    Said::default()
        .with("name", parameter.name())
        .with("number", parameter.number())
        .with("value", value.to_string())
        .with("default", bounds.default.to_string())
        .with("minimum", bounds.min.to_string())
        .with("maximum", bounds.max.to_string())
}

fn audited(asset: AssetId, listed: &AssetView, view: &SupplyView) -> Said {
    let scale = u16::try_from(listed.scale).unwrap_or(u16::MAX);
    let net = view.total.saturating_add(view.delta);
    // By its definition, so that a frame which has peers is reckoned by the same line.
    let supplied = view.issued.wrapping_sub(view.destroyed).cast_signed();
    Said::default()
        .with("asset", asset)
        .with("name", listed.name.as_ref())
        .with("tokens_issued", format(view.issued, scale))
        .with("tokens_destroyed", format(view.destroyed, scale))
        .with("transit_net", format_signed(net.saturating_sub(supplied), scale))
        .with("net_supply", format_signed(net, scale))
        .with("circulating", format_signed(view.total, scale))
        .with("delta", format_signed(view.delta, scale))
        .with("status", verdict(view.delta == 0))
}

const fn verdict(is_sound: bool) -> &'static str {
    if is_sound { "OK" } else { "BREACH" }
}
