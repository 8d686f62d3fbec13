//! Which stream, or call, waits for which reply, and the tasks that carry replies there.
//!
//! It reads nothing of a reply. Invariant: every envelope that comes back is released to the pool,
//! whoever waits for it or does not.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::{Status, reply};
use ring::{Envelope, Pool, ReplyQueue};
use tokio::sync::{Notify, oneshot};

use crate::audit::Auditor;
use crate::limits::ROUTE_BATCH;
use crate::metrics::{Metrics, add};
use crate::outbox::{Outbox, ReplyInfo, reply_of};

/// Where replies go, by the stream number of their tickets.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    routes: Mutex<HashMap<u64, Route>>,
    next: AtomicU64,
}

#[derive(Debug)]
enum Route {
    Stream(Arc<Outbox>),
    /// For requests that the gateway makes itself.
    Once(oneshot::Sender<Status>),
    /// For whoever waits for one reply: the body of its frame.
    Call(oneshot::Sender<Vec<u8>>),
}

impl Routes {
    /// A number for the replies of a stream.
    pub(crate) fn add_stream(&self, outbox: Arc<Outbox>) -> u64 {
        self.add(Route::Stream(outbox))
    }

    /// A place for one request of the gateway's own, and its status to come.
    pub(crate) fn add_once(&self) -> (Once<'_>, oneshot::Receiver<Status>) {
        let (sender, status) = oneshot::channel();
        (Once { routes: self, number: self.add(Route::Once(sender)) }, status)
    }

    /// A place for one request, and its reply to come.
    pub(crate) fn add_call(&self) -> (Once<'_>, oneshot::Receiver<Vec<u8>>) {
        let (sender, reply) = oneshot::channel();
        (Once { routes: self, number: self.add(Route::Call(sender)) }, reply)
    }

    /// Nothing more will come for `number`.
    pub(crate) fn remove(&self, number: u64) {
        self.routes().remove(&number);
    }

    fn add(&self, route: Route) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.routes().insert(number, route);
        number
    }

    /// Hands a reply on; returns the outbox whose writer is to be woken.
    fn deliver(&self, envelope: &Envelope, info: ReplyInfo) -> Option<Arc<Outbox>> {
        let number = envelope.ticket.stream;
        let mut routes = self.routes();
        if let Some(Route::Stream(outbox)) = routes.get(&number) {
            let outbox = Arc::clone(outbox);
            drop(routes);
            outbox.push_reply(envelope, info);
            return Some(outbox);
        }
        let waiting = routes.remove(&number);
        drop(routes);
        // Whoever asked may have gone in the meantime.
        match waiting {
            Some(Route::Once(sender)) => {
                let _ = sender.send(status_of(envelope));
            }
            Some(Route::Call(sender)) => {
                let _ = sender.send(reply_of(envelope, info));
            }
            Some(Route::Stream(_)) | None => {}
        }
        None
    }

    /// Who waits.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.routes().len()
    }

    fn routes(&self) -> MutexGuard<'_, HashMap<u64, Route>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place where a status or a reply arrives; dropped, it is gone, also when nobody waits to the
/// end.
pub(crate) struct Once<'a> {
    routes: &'a Routes,
    /// For the ticket of the request.
    pub(crate) number: u64,
}

impl Drop for Once<'_> {
    fn drop(&mut self) {
        self.routes.remove(self.number);
    }
}

/// What became of a request of one command.
fn status_of(envelope: &Envelope) -> Status {
    if let Some(status) = envelope.refused {
        return status;
    }
    let decoded = reply::decode(&envelope.reply).ok();
    let outcome = decoded.as_ref().and_then(|decoded| decoded.outcomes.first());
    outcome.map_or(Status::Busy, |outcome| outcome.status)
}

/// Carries the replies of one queue to their streams until it is dropped.
pub(crate) async fn carry(
    queue: Arc<ReplyQueue>,
    routes: Arc<Routes>,
    pool: Arc<Pool>,
    metrics: Arc<Metrics>,
    auditor: Auditor,
    info: impl Fn() -> ReplyInfo,
) {
    let arrived = Arc::new(Notify::new());
    let waker = Arc::clone(&arrived);
    queue.set_waker(move || waker.notify_one());
    let passage = metrics.open_passage();
    let mut touched: Vec<Arc<Outbox>> = Vec::with_capacity(ROUTE_BATCH);
    loop {
        let mut now = None;
        for _ in 0..ROUTE_BATCH {
            let Some(envelope) = queue.pop() else {
                break;
            };
            let info = *now.get_or_insert_with(&info);
            add(&metrics.replies, 1);
            if envelope.refused.is_some() {
                add(&metrics.requests_refused, 1);
            }
            passage.count(&envelope, info.now_ns);
            auditor.look(&envelope);
            if let Some(outbox) = routes.deliver(&envelope, info)
                && !touched.iter().any(|other| Arc::ptr_eq(other, &outbox))
            {
                touched.push(outbox);
            }
            pool.release(envelope);
        }
        for outbox in touched.drain(..) {
            outbox.wake();
        }
        if queue.is_empty() {
            arrived.notified().await;
        } else {
            tokio::task::yield_now().await;
        }
    }
}
