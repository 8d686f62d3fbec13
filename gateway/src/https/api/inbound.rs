//! One request on its way in: who asks, its path, query, headers and body.
//!
//! It reads nothing that a handler does not ask for. Invariant: a handler runs only for a request
//! whose answer the caller is willing to take.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Version};
use hyper::upgrade::OnUpgrade;
use protocol::answer::Answer;
use protocol::ids::parse_uuid;
use protocol::limits::KEY_LEN_MAX;
use protocol::{AssetId, Command, Status};
use serde::de::DeserializeOwned;

use super::answer::Seen;
use super::body;
use super::problem::{Own, Problem};
use super::values::{Id, Owner};
use super::{Shared, accept};
use crate::https::call::Caller;

/// The header of a string key.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request.
pub(crate) struct Inbound {
    pub(crate) caller: Caller,
    pub(crate) shared: Arc<Shared>,
    parts: Parts,
    path: Option<RawPathParams>,
    /// Behind a lock that nobody ever waits for, because bodies cannot be shared between threads
    /// and handlers may.
    body: Mutex<Body>,
}

impl FromRequest<Arc<Shared>> for Inbound {
    type Rejection = Problem;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Problem> {
        Self::accepting(request, shared, ("application", "json")).await
    }
}

impl Inbound {
    /// A request whose answer is of this media type.
    pub(crate) async fn accepting(
        request: Request,
        shared: &Arc<Shared>,
        (kind, subtype): (&str, &str),
    ) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let caller = parts.extensions.remove::<Caller>();
        let caller = caller.expect("the door puts the caller into every request");
        if !accept::allows(&parts.headers, kind, subtype) {
            let detail = format!("the answer is {kind}/{subtype}, which Accept excludes");
            return Err(Problem::own(Own::NotAcceptable).detail(detail));
        }
        let path = match RawPathParams::from_request_parts(&mut parts, shared).await {
            Ok(path) => Some(path),
            Err(_) => return Err(Problem::own(Own::RouteNotFound).detail("the path is not UTF-8")),
        };
        Ok(Self { caller, shared: Arc::clone(shared), parts, path, body: Mutex::new(body) })
    }

    /// The headers.
    pub(crate) const fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The version of HTTP.
    pub(crate) const fn version(&self) -> Version {
        self.parts.version
    }

    /// What becomes of the connection, if the request asks for another protocol; once.
    pub(crate) fn upgrade(&mut self) -> Option<OnUpgrade> {
        self.parts.extensions.remove()
    }

    /// The part `name` of the path.
    pub(crate) fn path(&self, name: &str) -> &str {
        let mut parts = self.path.iter().flatten();
        parts.find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }

    /// The owner in the path.
    pub(crate) fn path_owner(&self, name: &str) -> Result<Owner, Problem> {
        Owner::parse(self.path(name)).ok_or_else(|| of_path(name, "an owner"))
    }

    /// The id in the path.
    pub(crate) fn path_id(&self, name: &str) -> Result<Id, Problem> {
        parse_uuid(self.path(name)).map(Id).ok_or_else(|| of_path(name, "a UUID"))
    }

    /// The asset in the path.
    pub(crate) fn path_asset(&self) -> Result<AssetId, Problem> {
        let text = self.path("asset");
        let plain = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| plain).ok_or_else(|| of_path("asset", "an asset's number"))
    }

    /// The query as `T`, which knows every parameter of the operation.
    pub(crate) fn query<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        match Query::try_from_uri(&self.parts.uri) {
            Ok(Query(query)) => Ok(query),
            Err(rejection) => {
                let text = std::error::Error::source(&rejection)
                    .map_or_else(|| rejection.to_string(), ToString::to_string);
                Err(Problem::own(Own::QueryInvalid).detail(text))
            }
        }
    }

    /// Refuses a query, for operations that have none.
    pub(crate) fn no_query(&self) -> Result<(), Problem> {
        match self.parts.uri.query() {
            None | Some("") => Ok(()),
            Some(_) => Err(Problem::own(Own::QueryInvalid).detail("this operation has no query")),
        }
    }

    /// The whole body, once; of an operation without query.
    pub(crate) async fn body(&mut self, size_max: usize) -> Result<Bytes, Problem> {
        self.no_query()?;
        let body = self.body.get_mut().unwrap_or_else(PoisonError::into_inner);
        let body = std::mem::take(body);
        body::read(&self.parts.headers, body, size_max).await
    }

    /// The string key, if there is one.
    pub(crate) fn key(&self) -> Result<Option<&[u8]>, Problem> {
        let mut keys = self.parts.headers.get_all(&IDEMPOTENCY_KEY).iter();
        let Some(key) = keys.next() else {
            return Ok(None);
        };
        let key = key.as_bytes();
        let is_valid = (1..=KEY_LEN_MAX).contains(&key.len())
            && key.iter().all(u8::is_ascii_graphic)
            && keys.next().is_none();
        if is_valid {
            Ok(Some(key))
        } else {
            Err(Problem::own(Own::FieldInvalid)
                .detail("Idempotency-Key is one value of 1 to 255 visible ASCII characters"))
        }
    }

    /// Refuses a key, for operations that are not one command with an id.
    pub(crate) fn no_key(&self, detail: &'static str) -> Result<(), Problem> {
        no_key(&self.parts.headers, detail)
    }

    /// Asks one thing of the engine.
    pub(crate) async fn ask(&self, read: Command) -> Result<(Seen, Answer), Problem> {
        let answered = self.caller.read(&[read]).await?;
        let seen = Seen::of(&answered.decoded.head);
        let answer = answered.decoded.answers.first().copied();
        let answer = answer.expect("every read has an answer");
        told(&answer).map_err(|problem| problem.seen(seen))?;
        Ok((seen, answer))
    }

    /// Digits after the point of `asset`, which the body names or leaves to be the native one.
    pub(crate) async fn body_scale(&self, asset: AssetId) -> Result<u16, Problem> {
        self.scale(asset).await.map_err(|problem| {
            let is_missing = problem.name() == Status::AssetNotFound.name();
            if is_missing { problem.pointer("/asset") } else { problem }
        })
    }

    /// Digits after the point of `asset`.
    pub(crate) async fn scale(&self, asset: AssetId) -> Result<u16, Problem> {
        self.shared.scales.of(&self.caller, asset).await
    }
}

/// Refuses a key: one that were passed over would be taken for a promise.
pub(crate) fn no_key(headers: &HeaderMap, detail: &'static str) -> Result<(), Problem> {
    if headers.contains_key(&IDEMPOTENCY_KEY) {
        return Err(Problem::own(Own::FieldInvalid).detail(detail));
    }
    Ok(())
}

/// The refusal that an answer is, if it is one. Reads are never remembered.
pub(crate) fn told(answer: &Answer) -> Result<(), Problem> {
    match Status::from_number(answer.status) {
        Some(Status::Ok) => Ok(()),
        Some(status) => Err(Problem::refused(status).forgotten(status)),
        None => Err(Problem::refused(Status::Malformed)),
    }
}

fn of_path(name: &str, what: &str) -> Problem {
    Problem::own(Own::FieldInvalid).detail(format!("{name} in the path is not {what}"))
}
