//! `bezant client follow`: the history, one line for each event, as long as anybody reads them.
//!
//! It keeps no place: each line has one, to go on behind. Names are those of the HTTPS door.

use client::{CommandId, Error, Event, FollowedEvent, Told};
use protocol::amount::{format, format_signed};
use protocol::effect::{Bucket, TIMER_LEG};
use serde_json::{Map, Value, json};

use crate::cli::follow::FollowArgs;
use crate::cli::values::owner_text;
use crate::client_cmd::said::{Said, Trouble, exit_of};
use crate::client_cmd::{Speaker, scale_of};
use crate::exit::{Exit, Failure};

const NS_PER_MS: u64 = 1_000_000;

impl Speaker {
    /// Prints what comes until everything through `until` has come, or for ever; says where it
    /// ended.
    pub(super) async fn follow(
        &mut self,
        args: &FollowArgs,
        as_json: bool,
    ) -> Result<Said, Trouble> {
        let Self { session, scales, .. } = self;
        let session = &*session;
        let mut feed = session.follow(args.follow());
        loop {
            let told = feed.next().await.map_err(|error| unfollowed(&error))?;
            let place = told.place();
            if let Told::Event(event) = told {
                let scale = match event.record().effect.asset {
                    0 => 0,
                    asset => scale_of(session, scales, asset).await?,
                };
                let said = of_event(&event, scale);
                if as_json { said.print(true)? } else { print_in_one(&event, scale)? }
            }
            if args.until.is_some_and(|until| place.whole() >= until) {
                return Ok(Said::default().with("place", place.to_string()));
            }
        }
    }
}

fn unfollowed(error: &Error) -> Trouble {
    let exit = if let Error::Unfollowed(_) = error { Exit::Failed } else { exit_of(error) };
    Failure::new(exit, error).into()
}

/// As the HTTPS door tells it, with its place.
fn of_event(event: &FollowedEvent, scale: u16) -> Said {
    let record = event.record();
    let effect = &record.effect;
    let mut said = Said::default()
        .with("place", event.place().to_string())
        .with("sequence", effect.sequence)
        .with("leg", effect.leg)
        .with("event", event.name())
        .with("epoch", record.epoch)
        .with("time", record.timestamp_ns / NS_PER_MS);
    if record.command != 0 {
        said = said.with("id", CommandId(record.command).to_string());
    }
    if effect.leg >= TIMER_LEG {
        said = said.with("timer", true);
    }
    if effect.asset != 0 {
        said = said.with("asset", effect.asset);
    }
    let sides = [
        ("debit", effect.debit, effect.debit_bucket, event.debit_after()),
        ("credit", effect.credit, effect.credit_bucket, event.credit_after()),
    ];
    for (name, owner, bucket, after) in sides {
        if owner != 0 {
            let mut side = Map::new();
            side.insert("owner".to_owned(), owner_text(owner).into());
            if let Some(bucket) = bucket_name(bucket) {
                side.insert("bucket".to_owned(), bucket.into());
            }
            if let Some(after) = after {
                side.insert("after".to_owned(), format_signed(after, scale).into());
            }
            said = said.with(name, Value::Object(side));
        }
    }
    if effect.amount != 0 {
        said = said.with("amount", format(effect.amount, scale));
    }
    if effect.event == Event::ConfigurationChanged.number() {
        said = said.with("parameter", u64::try_from(effect.reference).unwrap_or(u64::MAX));
    } else if effect.reference != 0 {
        said = said.with("reference", CommandId(effect.reference).to_string());
    }
    if effect.rate != 0 {
        said = said.with("rate", effect.rate);
    }
    if effect.user_data != 0 {
        said = said.with("user_data", json!(effect.user_data));
    }
    said
}

/// For people: place, event, amount, and who.
fn print_in_one(event: &FollowedEvent, scale: u16) -> Result<(), Failure> {
    let effect = &event.record().effect;
    let amount = if effect.amount == 0 { "-".to_owned() } else { format(effect.amount, scale) };
    let side = |owner, after: Option<i128>| match (owner, after) {
        (0, _) => "-".to_owned(),
        (owner, None) => owner_text(owner),
        (owner, Some(after)) => {
            format!("{} ({})", owner_text(owner), format_signed(after, scale))
        }
    };
    let from = side(effect.debit, event.debit_after());
    let to = side(effect.credit, event.credit_after());
    say!("{:10} {:24} {amount:>16}  {from} -> {to}", event.place().to_string(), event.name())
}

/// The part of an account that moves, if one does.
fn bucket_name(bucket: u8) -> Option<&'static str> {
    let named = [
        (Bucket::Liquid, "liquid"),
        (Bucket::Held, "held"),
        (Bucket::Staked, "staked"),
        (Bucket::Bonded, "bonded"),
    ];
    named.iter().find(|(known, _)| *known as u8 == bucket).map(|(_, name)| *name)
}
