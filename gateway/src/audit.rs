//! What the gateway tells the audit log: whom it turned away, whom it cut off, and what became of
//! every privileged command and of every command that its sender had no right to.
//!
//! It writes nothing itself and waits for nobody: a [`AuditSink`] keeps the events. Invariant: a
//! request without such a command costs one look at a mark and at its refusals.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use identity::Peer;
use protocol::data::{self, TAG_REASON};
use protocol::reply::Outcome;
use protocol::request::{Commands, Entry, Survey};
use protocol::{Command, Kind, Role, Status};
use ring::Envelope;

use crate::identify::Identified;
use crate::limits::{AUDITED_REFUSALS_MAX, AUDITED_TEXT_LEN_MAX};

/// Which door somebody came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Binary frames over QUIC.
    Quic,
    /// JSON and batches over HTTPS.
    Https,
}

impl Door {
    /// Its name in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quic => "quic",
            Self::Https => "https",
        }
    }
}

/// Something that the audit log is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A connection was not let in.
    Refused {
        /// Where it came to.
        door: Door,
        /// Where it came from.
        remote: SocketAddr,
        /// Stable name of the cause.
        reason: &'static str,
        /// The cause in words.
        cause: String,
    },
    /// A connection was cut off because its identity ended.
    IdentityEnded {
        /// Where it was.
        door: Door,
        /// Where it came from.
        remote: SocketAddr,
        /// Whose it was.
        spiffe_id: String,
        /// Stable name of the cause.
        reason: &'static str,
        /// The cause in words.
        cause: String,
    },
    /// A command was executed or refused.
    Command(Box<Audited>),
}

/// One command and what became of it.
#[derive(Clone, Debug)]
pub struct Audited {
    /// Where it came in.
    pub door: Door,
    /// By whose authority; `None` when the gateway has forgotten the name of the principal.
    pub spiffe_id: Option<Arc<str>>,
    /// The principal's number.
    pub principal: u128,
    /// The role's name.
    pub role: &'static str,
    /// What it does.
    pub kind: Kind,
    /// Its id.
    pub id: u128,
    /// Owner who is debited, or whom it is about.
    pub debit: u128,
    /// Owner who is credited.
    pub credit: u128,
    /// Asset.
    pub asset: u32,
    /// Amount in minor units.
    pub amount: u128,
    /// Reason code or parameter.
    pub code: u16,
    /// Its sequence; 0 if it got none.
    pub sequence: u64,
    /// What became of it.
    pub status: Status,
    /// The answer is that of an earlier command with the same id.
    pub is_repeat: bool,
    /// Text of its reason, cut to [`crate::limits::AUDITED_TEXT_LEN_MAX`] bytes; from the client.
    pub text: String,
    /// Commands of the same request that were refused as well and are not told one by one.
    pub more: u32,
}

/// Where audit events go.
pub trait AuditSink: fmt::Debug + Send + Sync {
    /// Takes an event; must not wait.
    fn note(&self, event: Event);
}

/// Writes events into the log of the process, for a gateway whose owner keeps no audit log.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoggedAudit;

impl AuditSink for LoggedAudit {
    fn note(&self, event: Event) {
        tracing::info!(target: "audit", "{event:?}");
    }
}

/// The note that an envelope carries to its reply.
pub(crate) fn mark(door: Door, survey: Survey) -> u16 {
    u16::from(survey.is_privileged) * PRIVILEGED + u16::from(door == Door::Https) * HTTPS
}

const PRIVILEGED: u16 = 1 << 0;
pub(crate) const HTTPS: u16 = 1 << 1;

/// The door that a marked envelope came in by.
pub(crate) const fn door_of(mark: u16) -> Door {
    if mark & HTTPS != 0 { Door::Https } else { Door::Quic }
}

/// Looks at what comes back from the engine.
#[derive(Clone, Debug)]
pub(crate) struct Auditor {
    sink: Arc<dyn AuditSink>,
    identified: Arc<Identified>,
}

impl Auditor {
    pub(crate) fn new(sink: Arc<dyn AuditSink>, identified: Arc<Identified>) -> Self {
        Self { sink, identified }
    }

    /// Tells what is to be told of an answered request.
    pub(crate) fn look(&self, envelope: &Envelope) {
        if envelope.is_read() {
            return;
        }
        let is_trespass =
            envelope.refused.is_none() && envelope.outcomes.has_refusal(Status::NotFound);
        if is_trespass || envelope.mark & PRIVILEGED != 0 {
            self.tell(envelope);
        }
    }

    /// Tells what is to be told of a command of `peer` that was answered from the settled history
    /// and never came to the engine.
    pub(crate) fn look_at_stored(
        &self,
        door: Door,
        peer: &Peer,
        slots: &[Command],
        outcome: &Outcome,
    ) {
        let principal = peer.principal();
        let sender = Sender {
            door,
            principal: principal.id,
            role: Role::from_number(principal.role.number()),
            spiffe_id: Some(peer.spiffe_id().to_string().into()),
        };
        for entry in Commands::new(slots).flatten() {
            let kind = Kind::try_from(entry.command.kind).ok();
            if let Some(kind) = kind.filter(|kind| sender.is_told(*kind, outcome.status)) {
                let audited = sender.audited(kind, &entry, outcome);
                self.sink.note(Event::Command(Box::new(audited)));
            }
        }
    }

    #[cold]
    fn tell(&self, envelope: &Envelope) {
        let principal = envelope.head.principal;
        let sender = Sender {
            door: door_of(envelope.mark),
            principal,
            role: Role::from_number(envelope.head.role),
            spiffe_id: self.identified.spiffe_id(principal),
        };
        let outcomes = envelope.outcomes.to_vec();
        let mut refusals = 0;
        let mut last: Option<Box<Audited>> = None;
        for (at, entry) in Commands::new(&envelope.slots).flatten().enumerate() {
            let Ok(kind) = Kind::try_from(entry.command.kind) else {
                continue;
            };
            let outcome = match (envelope.refused, outcomes.get(at)) {
                (Some(status), _) => Outcome { sequence: 0, status, rate: 0, repeat: false },
                (None, Some(outcome)) => *outcome,
                (None, None) => break,
            };
            if !sender.is_told(kind, outcome.status) {
                continue;
            }
            let is_ok = outcome.status.is_ok();
            if !is_ok {
                refusals += 1;
                if refusals > AUDITED_REFUSALS_MAX {
                    if let Some(last) = &mut last {
                        last.more += 1;
                    }
                    continue;
                }
            }
            let audited = sender.audited(kind, &entry, &outcome);
            // The last refusal waits, for it says how many more there were.
            let due = if is_ok { Some(Box::new(audited)) } else { last.replace(Box::new(audited)) };
            due.into_iter().for_each(|due| self.sink.note(Event::Command(due)));
        }
        last.into_iter().for_each(|due| self.sink.note(Event::Command(due)));
    }
}

/// Whose commands they are, and where they came in.
struct Sender {
    door: Door,
    principal: u128,
    role: Option<Role>,
    spiffe_id: Option<Arc<str>>,
}

impl Sender {
    fn is_told(&self, kind: Kind, status: Status) -> bool {
        // Whoever closes an account of its own changes nobody's authority.
        let is_own = kind == Kind::Close && self.role == Some(Role::Agent);
        (kind.is_privileged() && !is_own) || status == Status::NotFound
    }

    fn audited(&self, kind: Kind, entry: &Entry<'_>, outcome: &Outcome) -> Audited {
        let text = data::find_text(entry.data, TAG_REASON).unwrap_or_default();
        let command = entry.command;
        Audited {
            door: self.door,
            spiffe_id: self.spiffe_id.clone(),
            principal: self.principal,
            role: self.role.map_or("unknown", Role::name),
            kind,
            id: command.id,
            debit: command.debit,
            credit: command.credit,
            asset: command.asset,
            amount: command.amount,
            code: command.code,
            sequence: outcome.sequence,
            status: outcome.status,
            is_repeat: outcome.repeat,
            text: text[..text.floor_char_boundary(AUDITED_TEXT_LEN_MAX)].to_owned(),
            more: 0,
        }
    }
}

#[cfg(test)]
#[path = "audit_test.rs"]
mod tests;
