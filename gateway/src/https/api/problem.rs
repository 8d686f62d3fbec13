//! Problems (RFC 9457): every refusal of the engine and of the door itself, in one form.
//!
//! It decides nothing; it says what was decided. Invariant: the bytes of equal refusals are equal:
//! no time, no number of a request, and no sequence that a repeat would not get again.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::Status;
use protocol::request::StructureError;
use protocol::status::Advice;
use serde::{Serialize, Serializer};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::answer::{self, Seen};
use super::values::{Id, schema};
use crate::https::arriving::BodyFault;
use crate::https::call::NotAnswered;

/// Media type of a problem.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

macro_rules! own {
    ($($(#[doc = $doc:literal])+ $variant:ident = $number:literal, $name:literal, $http:literal,
       $retry:ident, $cure:literal;)*) => {
        /// What the door refuses itself, before anything is sequenced.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Own {
            $($(#[doc = $doc])+ $variant,)*
        }

        impl Own {
            /// Every one in order of its number.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable number.
            pub(crate) const fn number(self) -> u16 {
                match self { $(Self::$variant => $number,)* }
            }

            /// The stable name.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The HTTP status.
            pub(crate) const fn http_status(self) -> u16 {
                match self { $(Self::$variant => $http,)* }
            }

            /// What the caller can do about it.
            pub(crate) const fn cure(self) -> &'static str {
                match self { $(Self::$variant => $cure,)* }
            }

            const fn retry(self) -> Retry {
                match self { $(Self::$variant => Retry::$retry,)* }
            }

            /// The sentence of the broken rule.
            pub(crate) const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii_start(),)* }
            }
        }
    };
}

own! {
    /// The body is not JSON.
    InvalidJson = 1001, "invalid_json", 400, No, "send one JSON object, encoded as UTF-8";
    /// A field or header is missing, unknown, given twice, or its value cannot be read.
    FieldInvalid = 1002, "field_invalid", 400, No, "correct the field that the pointer names";
    /// The write has neither an id nor a key.
    IdMissing = 1003, "id_missing", 400, No,
        "add an id to the body, or an Idempotency-Key header";
    /// A parameter of the query is unknown, given twice, or its value cannot be read.
    QueryInvalid = 1004, "query_invalid", 400, No, "correct the query; /openapi.json describes it";
    /// The body could not be read to its end, or is not whole slots.
    BodyInvalid = 1005, "body_invalid", 400, No,
        "send the whole body as the operation describes it";
    /// No operation has this path.
    RouteNotFound = 1006, "route_not_found", 404, No, "use a path of /openapi.json";
    /// The path has no operation with this method.
    MethodNotAllowed = 1007, "method_not_allowed", 405, No, "use a method that Allow names";
    /// The answer has no form that the Accept header allows.
    NotAcceptable = 1008, "not_acceptable", 406, No, "accept the media type of the operation";
    /// The request or its answer took too long; what became of it may be unknown.
    RequestTimeout = 1009, "request_timeout", 408, SameId,
        "send the same request with the same id or key again";
    /// The body is longer than the operation reads.
    BodyTooLarge = 1010, "body_too_large", 413, No, "split the request";
    /// The body has another media type than the operation reads.
    UnsupportedMediaType = 1011, "unsupported_media_type", 415, No,
        "set Content-Type to the media type of the operation";
    /// The identity asks more often, or sends more, than it may.
    RateLimited = 1012, "rate_limited", 429, SameId, "wait as long as Retry-After says";
    /// The identity has as many unanswered requests as it may.
    TooManyInFlight = 1013, "too_many_in_flight", 429, SameId, "wait for answers before sending";
    /// Keys need the settled history, which this frame does not keep.
    KeysNeedHistory = 1014, "keys_need_history", 501, No, "send an id in the body and no key";
    /// The frame has no room for the request now.
    Overloaded = 1015, "overloaded", 503, SameId, "send the same request again after a moment";
    /// The settled history does not answer.
    HistoryUnavailable = 1016, "history_unavailable", 503, SameId,
        "send the same request again after a moment; a write may have an id instead of a key";
    /// The frame shuts down.
    ShuttingDown = 1017, "shutting_down", 503, SameId, "connect again after a moment";
    /// The amount has more digits after the point than its asset.
    ScaleExceeded = 1018, "scale_exceeded", 422, No,
        "round to the asset's scale, which GET /v1/assets/{asset} tells";
    /// What lies before that place is no longer kept.
    HistoryGone = 1019, "history_gone", 410, No,
        "begin at the place that the detail names, and with balances read after that";
    /// The identity has as many feeds as it may.
    TooManyFeeds = 1020, "too_many_feeds", 429, SameId, "close a feed before opening another";
    /// The frame serves as many feeds as it may.
    FeedsFull = 1021, "feeds_full", 503, SameId, "connect again after a moment";
    /// The frame serves no feeds.
    FeedsOff = 1022, "feeds_off", 501, No, "ask the operator to set feeds.enabled";
    /// The operation is a WebSocket, and the request begins none.
    UpgradeRequired = 1023, "upgrade_required", 426, No,
        "connect with a WebSocket client over HTTP/1.1, or use GET /v1/events";
    /// A page of another origin may not use the identity that its browser has.
    OriginRefused = 1024, "origin_refused", 403, No, "connect from a program, or from this door";
    /// The frame keeps no history that can be asked.
    HistoryNotKept = 1025, "history_not_kept", 501, No,
        "ask the operator to set settlement.history or feeds.enabled";
}

/// What a caller may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Retry {
    /// Sending it again cannot help.
    No,
    /// The same id or key again, later.
    SameId,
    /// A new attempt needs a new id or key.
    NewId,
}

impl From<Advice> for Retry {
    fn from(advice: Advice) -> Self {
        match advice {
            Advice::RetrySameId => Self::SameId,
            Advice::RetryNewId => Self::NewId,
            _ => Self::No,
        }
    }
}

/// The HTTP status of a refusal of the engine, as `docs/http-api.md` lists them.
pub(crate) const fn http_status(status: Status) -> u16 {
    use Status as S;
    match status {
        S::Ok => 200,
        S::AssetNotFound | S::DebtorNotFound | S::CreditorNotFound | S::HoldNotFound => 404,
        S::IdTooOld
        | S::AssetExists
        | S::OwnerHostedElsewhere
        | S::AccountExists
        | S::HostRefuses
        | S::DebtorClosed
        | S::CreditorClosed
        | S::DebtorFrozen
        | S::OpenItems
        | S::BucketNotZero
        | S::NegativeBalance
        | S::HoldExpired => 409,
        S::LinkedFailed => 424,
        S::HoldsPerDebtor | S::HostLimit => 429,
        S::Busy | S::ChangesFull | S::KeyUnchecked => 503,
        S::JournalFull
        | S::AccountsFull
        | S::HoldsFull
        | S::HostsFull
        | S::AssetsFull
        | S::KeysFull => 507,
        other => match other.number() / 100 {
            1 => 400,
            2 => 404,
            5 => 409,
            _ => 422,
        },
    }
}

/// Seconds after which a refusal with 429, 503 or 507 may have passed.
const fn retry_after_s(status: Status) -> u64 {
    match status {
        Status::Busy | Status::KeyUnchecked | Status::HoldsPerDebtor | Status::HostLimit => 1,
        Status::JournalFull | Status::KeysFull => 5,
        _ => 60,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Engine(Status),
    Own(Own),
}

/// One refusal.
#[derive(Clone, Debug)]
pub(crate) struct Problem(Box<Facts>);

#[derive(Clone, Debug)]
struct Facts {
    cause: Cause,
    detail: Option<Cow<'static, str>>,
    pointer: Option<Cow<'static, str>>,
    remembered: bool,
    retry: Retry,
    retry_after_s: u64,
    id: Option<Id>,
    sequence: Option<u64>,
    seen: Option<Seen>,
}

impl Problem {
    /// A refusal of the door.
    pub(crate) fn own(own: Own) -> Self {
        let retry_after_s = if matches!(own.http_status(), 429 | 503) { 1 } else { 0 };
        Self::new(Cause::Own(own), false, own.retry(), retry_after_s)
    }

    /// A refusal of the engine.
    pub(crate) fn refused(status: Status) -> Self {
        let after =
            if matches!(http_status(status), 429 | 503 | 507) { retry_after_s(status) } else { 0 };
        Self::new(
            Cause::Engine(status),
            status.is_remembered(),
            Retry::from(status.advice()),
            after,
        )
    }

    /// A field that cannot be used.
    pub(crate) fn field(
        pointer: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::own(Own::FieldInvalid).detail(detail).pointer(pointer)
    }

    /// A body that did not arrive.
    pub(crate) fn of_body(fault: Option<&BodyFault>) -> Self {
        match fault {
            Some(BodyFault::TimedOut) => {
                Self::own(Own::RequestTimeout).detail("the body did not arrive in time")
            }
            Some(BodyFault::NoRoom) => Self::own(Own::Overloaded),
            Some(BodyFault::Broken(_)) | None => Self::own(Own::BodyInvalid),
        }
    }

    fn new(cause: Cause, remembered: bool, retry: Retry, retry_after_s: u64) -> Self {
        Self(Box::new(Facts {
            cause,
            detail: None,
            pointer: None,
            remembered,
            retry,
            retry_after_s,
            id: None,
            sequence: None,
            seen: None,
        }))
    }

    /// What exactly was wrong.
    #[must_use]
    pub(crate) fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Which field (RFC 6901).
    #[must_use]
    pub(crate) fn pointer(mut self, pointer: impl Into<Cow<'static, str>>) -> Self {
        self.0.pointer = Some(pointer.into());
        self
    }

    /// The same problem of a part of the request that lies under `prefix`.
    #[must_use]
    pub(crate) fn under(mut self, prefix: &str) -> Self {
        self.0.pointer = self.0.pointer.take().map(|rest| Cow::Owned(format!("{prefix}{rest}")));
        self
    }

    /// The command that it answers. Its sequence is told in the body only if a repeat gets it too.
    #[must_use]
    pub(crate) fn of(mut self, id: Id, sequence: u64) -> Self {
        self.0.id = Some(id);
        self.0.sequence = self.0.remembered.then_some(sequence);
        self
    }

    /// The command that it answers, of a request that was refused as a whole.
    #[must_use]
    pub(crate) fn named(mut self, id: Id) -> Self {
        self.0.id = Some(id);
        self
    }

    /// Nothing was remembered, whatever the status says otherwise; `cause` says what to do.
    #[must_use]
    pub(crate) fn forgotten(mut self, cause: Status) -> Self {
        self.0.remembered = false;
        self.0.sequence = None;
        self.0.retry = Retry::from(cause.advice());
        self
    }

    /// What the engine's reply says for the headers.
    #[must_use]
    pub(crate) fn seen(mut self, seen: Seen) -> Self {
        self.0.seen = Some(seen);
        self
    }

    /// When it may be asked again, in whole seconds, at least one.
    #[must_use]
    pub(crate) fn after(mut self, wait: Duration) -> Self {
        self.0.retry_after_s = wait.as_secs().saturating_add(1);
        self
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        match self.0.cause {
            Cause::Engine(status) => status.name(),
            Cause::Own(own) => own.name(),
        }
    }

    /// Its HTTP status.
    pub(crate) fn http_status(&self) -> u16 {
        match self.0.cause {
            Cause::Engine(status) => http_status(status),
            Cause::Own(own) => own.http_status(),
        }
    }
}

impl From<NotAnswered> for Problem {
    fn from(cause: NotAnswered) -> Self {
        match cause {
            NotAnswered::Structure(StructureError::TooManySlots(_)) => {
                Self::own(Own::BodyTooLarge).detail(cause.to_string())
            }
            NotAnswered::Structure(_) => Self::own(Own::BodyInvalid).detail(cause.to_string()),
            NotAnswered::Refused(status) => Self::refused(status),
            NotAnswered::Overloaded => Self::own(Own::Overloaded),
            NotAnswered::RateLimited { retry_after } => {
                Self::own(Own::RateLimited).after(retry_after)
            }
            NotAnswered::TooManyInFlight => Self::own(Own::TooManyInFlight),
            NotAnswered::ShuttingDown => Self::own(Own::ShuttingDown),
            NotAnswered::TimedOut => Self::own(Own::RequestTimeout).detail(
                "no answer came in time; what became of the request is unknown, and sending it \
                 again tells",
            ),
        }
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(rename = "type")]
    kind: Cow<'a, str>,
    title: &'a str,
    status: u16,
    number: u16,
    detail: &'a str,
    cure: &'a str,
    remembered: bool,
    retry: Retry,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<&'a str>,
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let facts = &*self.0;
        let (number, meaning, cure) = match facts.cause {
            Cause::Engine(status) => (status.number(), status.meaning(), status.cure()),
            Cause::Own(own) => (own.number(), own.meaning(), own.cure()),
        };
        let shown = Shown {
            kind: Cow::Owned(format!("/docs#{}", self.name())),
            title: self.name(),
            status: self.http_status(),
            number,
            detail: facts.detail.as_deref().unwrap_or(meaning),
            cure,
            remembered: facts.remembered,
            retry: facts.retry,
            id: facts.id,
            sequence: facts.sequence,
            pointer: facts.pointer.as_deref(),
        };
        shown.serialize(serializer)
    }
}

impl PartialSchema for Problem {
    fn schema() -> RefOr<Schema> {
        let engine =
            Status::ALL.iter().filter(|status| !status.is_ok()).map(|status| status.name());
        let names: Vec<&str> = engine.chain(Own::ALL.iter().map(|own| own.name())).collect();
        let mut statuses: Vec<u16> = Status::ALL.iter().copied().map(http_status).collect();
        statuses.extend(Own::ALL.iter().map(|own| own.http_status()));
        statuses.retain(|status| *status != 200);
        statuses.sort_unstable();
        statuses.dedup();
        let text = serde_json::json!({"type": "string", "minLength": 1, "maxLength": 1024});
        schema(serde_json::json!({
            "type": "object",
            "description": "A refusal (RFC 9457). Titles and numbers are stable.",
            "required": ["type", "title", "status", "number", "detail", "cure", "remembered",
                         "retry"],
            "properties": {
                "type": {"type": "string", "format": "uri-reference", "pattern": "^/docs#[a-z_]+$"},
                "title": {"type": "string", "enum": names},
                "status": {"type": "integer", "enum": statuses},
                "number": {"type": "integer", "minimum": 101, "maximum": 1999},
                "detail": text, "cure": text,
                "remembered": {
                    "type": "boolean", "description": "Whether the same id gets this answer again.",
                },
                "retry": {"type": "string", "enum": ["no", "same_id", "new_id"]},
                "id": {"$ref": "#/components/schemas/Id"},
                "sequence": {"type": "integer", "minimum": 0},
                "pointer": {
                    "type": "string", "maxLength": 1024,
                    "description": "The field that it is about (RFC 6901).",
                },
            },
        }))
    }
}

impl ToSchema for Problem {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Problem")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.http_status());
        let status = status.expect("every refusal has an HTTP status");
        let mut response = answer::json(status, &self);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if self.0.retry_after_s > 0 {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(self.0.retry_after_s));
        }
        if let Some(seen) = &self.0.seen {
            seen.put(headers);
        }
        response
    }
}
