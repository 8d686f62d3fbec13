//! Requests whose reply has not come yet.
//!
//! Invariant: each request submitted is answered exactly once: with its reply, or with how the
//! connection ended.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::error::{End, Error};
use crate::reply::Reply;

/// The table of one connection.
#[derive(Debug, Default)]
pub(crate) struct PendingRequests(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<u64, Waiting>,
    /// Why no more requests are taken.
    refusal: Option<End>,
    end: Option<End>,
}

#[derive(Debug)]
struct Waiting {
    answer: oneshot::Sender<Result<Reply, Error>>,
    /// Given back when the reply comes, not when the caller stops waiting.
    _permit: OwnedSemaphorePermit,
}

/// The reply to come. Dropping it does not take the request back.
#[derive(Debug)]
#[must_use = "a request is only known to be executed by its reply"]
pub struct Pending {
    request: u64,
    answer: oneshot::Receiver<Result<Reply, Error>>,
}

impl Pending {
    /// Number of the request on its connection.
    pub const fn request(&self) -> u64 {
        self.request
    }
}

impl Future for Pending {
    type Output = Result<Reply, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer)
            .poll(context)
            .map(|answer| answer.unwrap_or(Err(Error::Lost { end: End::Here })))
    }
}

impl PendingRequests {
    pub(crate) fn add(&self, request: u64, permit: OwnedSemaphorePermit) -> Result<Pending, Error> {
        let mut state = self.state();
        if let Some(end) = state.end.as_ref().or(state.refusal.as_ref()) {
            return Err(Error::Closed { end: end.clone() });
        }
        let (sender, answer) = oneshot::channel();
        let waiting = Waiting { answer: sender, _permit: permit };
        state.waiting.insert(request, waiting);
        Ok(Pending { request, answer })
    }

    /// Takes back a request that was not sent.
    pub(crate) fn remove(&self, request: u64) {
        self.state().waiting.remove(&request);
    }

    /// Hands a reply to whoever waits for it; `false` if no such request is open.
    pub(crate) fn answer(&self, reply: Reply) -> bool {
        let Some(waiting) = self.state().waiting.remove(&reply.0.head.request) else {
            return false;
        };
        // Nobody may be listening any more, which is their affair.
        let _ = waiting.answer.send(Ok(reply));
        true
    }

    /// Ends every later request; those that wait go on waiting.
    pub(crate) fn refuse_more(&self, end: End) {
        self.state().refusal.get_or_insert(end);
    }

    /// Ends every request, and every later one; only the first reason counts.
    pub(crate) fn end(&self, end: End) {
        let mut state = self.state();
        if state.end.is_some() {
            return;
        }
        state.end = Some(end.clone());
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for (_, waiting) in waiting {
            let end = end.clone();
            let _ = waiting.answer.send(Err(Error::Lost { end }));
        }
    }

    /// Why the connection takes no more requests, if so.
    pub(crate) fn ended(&self) -> Option<End> {
        let state = self.state();
        state.end.as_ref().or(state.refusal.as_ref()).cloned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
